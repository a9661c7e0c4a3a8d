package leafnode

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

// A forwarder is an HTTP proxy: it notes what it is asked, and says status. With a good one it goes on with rest,
// what the hub says, in the same piece, and then forwards.
func forwarder(asked chan<- []string, status, rest string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		var lines []string
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimRight(line, "\r\n"); line == "" {
				break
			}
			lines = append(lines, line)
		}
		asked <- lines
		io.WriteString(c, "HTTP/1.1 "+status+"\r\nServer: squid\r\n\r\n"+rest)
		if rest != "" || !strings.HasPrefix(status, "2") {
			io.Copy(io.Discard, c)
			return
		}
		hub, err := net.Dial("tcp", strings.Fields(lines[0])[1])
		if err != nil {
			return
		}
		go func() {
			io.Copy(hub, in)
			hub.Close()
		}()
		io.Copy(c, hub)
	}
}

func TestHubIsReachedThroughAProxy(t *testing.T) {
	a := newAuthority(t)
	secret := a.valid("proxy.example", "hub.example")
	for _, c := range []struct {
		name   string
		hub    func(net.Conn)
		secret bool // to the proxy
		isTLS  bool // to the hub
		o      dialOptions
	}{
		{"all in plain", says(greeting), false, false, dialOptions{}},
		{"TLS with the hub", secretly(greetingTLS, secret, says("")), false, true, dialOptions{}},
		{"TLS first", secretly("", secret, says(greetingTLS)), false, true, dialOptions{handshakeFirst: true}},
		{"TLS with the proxy", says(greeting), true, false, dialOptions{}},
		{"TLS with both", secretly(greetingTLS, secret, says("")), true, true, dialOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hub := openHub(t, c.hub)
			asked := make(chan []string, 1)
			talk := forwarder(asked, "200 Connection established", "")
			scheme := "http"
			if c.secret {
				talk, scheme = secretly("", secret, talk), "https"
			}
			proxy := openHub(t, talk)
			c.o.tls, c.o.serverName = a.trusted, "hub.example"
			c.o.proxy = &Proxy{URL: scheme + "://" + proxy.Addr().String(), TLS: func(host string) (*tls.Config, error) {
				if host != "127.0.0.1" {
					t.Errorf("TLS with the proxy as %q", host)
				}
				return a.trusted("proxy.example")
			}}
			d := reached(t, c.o, hub.url)
			if (d.tls != nil) != c.isTLS || d.info.ServerName != "hub" || d.address != proxy.Addr().String() {
				t.Errorf("%+v", d)
			}
			if _, says := d.conn.(interface{ ConnectionState() tls.ConnectionState }); says != c.isTLS {
				t.Error("TLS with the proxy is taken for TLS with the hub, or not even that is")
			}
			want := []string{"CONNECT " + hub.Addr().String() + " HTTP/1.1", "Host: " + hub.Addr().String(), "User-Agent: edgebus"}
			if got := <-asked; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the proxy was asked %q", got)
			}
			d.conn.Close()
		})
	}
}

func TestProxyIsShownItsUser(t *testing.T) {
	for _, p := range []Proxy{{URL: "http://", Username: "edge", Password: "pw:1"}, {URL: "http://edge:pw%3A1@"}} {
		asked := make(chan []string, 1)
		// The hub's greeting comes in one piece with the answer.
		proxy := openHub(t, forwarder(asked, "200 OK", greeting))
		p.URL += proxy.Addr().String()
		hub := *proxy.url
		hub.Host = "hub.example" // the proxy looks the name up, and we do not
		d := reached(t, dialOptions{proxy: &p}, &hub)
		if got := <-asked; got[0] != "CONNECT hub.example:7422 HTTP/1.1" || got[len(got)-1] != "Proxy-Authorization: Basic ZWRnZTpwdzox" {
			t.Errorf("the proxy was asked %q", got)
		}
		if d.info.ServerName != "hub" {
			t.Errorf("%+v", d.info)
		}
	}
}

func TestWhatIsWrongWithAProxyIsSaidWithoutItsPassword(t *testing.T) {
	answers := func(status string) func(net.Conn) { return forwarder(make(chan []string, 1), status, "") }
	for _, c := range []struct {
		name   string
		talk   func(net.Conn)
		change func(p *Proxy)
		remedy string
	}{
		{"it wants a user", answers("407 Proxy Authentication Required"), nil, "write username and password"},
		{"it does not want to", answers("403 Forbidden"), nil, "does not allow connections to hub.example:7422"},
		{"it does not reach the hub", answers("502 Bad Gateway"), nil, "does not reach hub.example:7422"},
		{"it says anything else", answers("500 Oops"), nil, "ask the proxy's administrator"},
		{"it is something else", says("SSH-2.0-OpenSSH_9.6\r\n"), nil, "no HTTP proxy"},
		{"it is silent", says(""), func(p *Proxy) { p.Timeout = brief }, "does not answer"},
		{"it hangs up", func(c net.Conn) { c.Read(make([]byte, 4096)) }, nil, "cut the connection"},
		{"it never stops", says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxProxyHeaders+1)), nil, "no HTTP proxy"},
		{"it speaks no TLS", says("HTTP/1.1 400 Bad Request\r\n"), func(p *Proxy) { p.URL = strings.Replace(p.URL, "http:", "https:", 1) }, "TLS with the proxy failed"},
		{"no scheme", says(""), func(p *Proxy) { p.URL = "hunter2:hunter2@proxy:3128" }, "mend the proxy block"},
		{"half a user", says(""), func(p *Proxy) { p.Username = "" }, "mend the proxy block"},
	} {
		h := openHub(t, c.talk)
		p := &Proxy{URL: "http://" + h.Addr().String(), Username: "edge", Password: "hunter2"}
		if c.change != nil {
			c.change(p)
		}
		u := *h.url
		u.Host = "hub.example"
		if err := missed(t, c.name, dialOptions{proxy: p}, &u, "proxy", c.remedy); strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: the password is shown: %v", c.name, err)
		}
	}
	missed(t, "there is none", dialOptions{proxy: &Proxy{URL: "http://" + nobodyAt}}, &url.URL{Scheme: "nats-leaf", Host: "hub.example"}, "proxy", "the proxy is not reached")
}
