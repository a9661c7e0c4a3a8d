package leafnode

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// maxProxyHeaders bounds the lines of a proxy's answer.
const maxProxyHeaders = 100

// A tunnel hides that the connection to a proxy is secured: that says nothing of the one to the hub.
type tunnel struct{ net.Conn }

// checkProxy says what is wrong with the options of a proxy, as nats-server does.
func checkProxy(p *Proxy) (*url.URL, error) {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		// The error of Parse would quote the text, and with it a password.
		return nil, errors.New("proxy: url has to be http://host:port or https://host:port")
	case p.Username == "" && p.Password != "" || p.Username != "" && p.Password == "":
		return nil, errors.New("proxy: username and password go together: write both or none")
	case p.Timeout < 0:
		return nil, fmt.Errorf("proxy: timeout %v is negative: write how long the proxy may take, such as \"5s\"", p.Timeout)
	}
	return u, nil
}

// proxyAddress is where it listens.
func proxyAddress(u *url.URL) string {
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// reachByProxy makes a connection to the proxy, and asks it for one to the hub.
func (d *dialer) reachByProxy(ctx context.Context) error {
	u, err := checkProxy(d.proxy)
	if err != nil {
		return &dialError{"proxy", err, "mend the proxy block of the remote"}
	}
	limit := orElse(d.proxy.Timeout, orElse(d.connect, defaultConnect))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := d.connectTo(ctx, proxyAddress(u), limit)
	if err != nil {
		return &dialError{"proxy", err, "the proxy is not reached: " + d.explain("tcp", err).remedy}
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	err = d.askProxy(ctx, u, conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return d.explainProxy(err)
	}
	return nil
}

// askProxy has the proxy make the connection to the hub.
func (d *dialer) askProxy(ctx context.Context, u *url.URL, conn net.Conn) error {
	if u.Scheme == "https" {
		secret, err := shakeProxy(ctx, d.proxy, u.Hostname(), conn)
		if err != nil {
			return &dialError{"proxy", err, "TLS with the proxy failed: " + explainTLS(err, u.Hostname(), d.now())}
		}
		conn = tunnel{secret}
	}
	user, password := d.proxy.Username, d.proxy.Password
	if user == "" && u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	request := "CONNECT " + d.target() + " HTTP/1.1\r\nHost: " + d.target() + "\r\nUser-Agent: edgebus\r\n"
	if user != "" {
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
	}
	d.use(conn) // the hub's INFO may come along with the answer
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	return d.proxyAnswer()
}

func shakeProxy(ctx context.Context, p *Proxy, host string, conn net.Conn) (*tls.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.TLS != nil {
		own, err := p.TLS(host)
		if err != nil {
			return nil, err
		}
		config = own.Clone()
	}
	config.ServerName = cmp.Or(config.ServerName, host)
	secret := tls.Client(conn, config)
	return secret, secret.HandshakeContext(ctx)
}

// proxyAnswer reads the status and steps over the lines behind it.
func (d *dialer) proxyAnswer() error {
	line, err := d.input.ReadSlice('\n')
	if err != nil {
		return err
	}
	version, status, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	if !strings.HasPrefix(version, "HTTP/1.") || len(status) < 3 {
		return &dialError{"proxy", errProxyReply, "what answers is no HTTP proxy: look at the url in the proxy block"}
	}
	if status[0] != '2' {
		return &dialError{"proxy", fmt.Errorf("%w: %s", errProxyReply, cut(status)), explainStatus(status[:3], d.target())}
	}
	for range maxProxyHeaders {
		line, err := d.input.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(trim(line)) == 0 {
			return nil
		}
	}
	return &dialError{"proxy", errProxyReply, "its answer does not end, so what answers is no HTTP proxy: look at the url in the proxy block"}
}

func explainStatus(code, target string) string {
	switch code {
	case "407":
		return "the proxy wants other credentials: write username and password into the proxy block"
	case "403", "405":
		return fmt.Sprintf("the proxy does not allow connections to %s: have its administrator allow CONNECT to this port", target)
	case "502", "503", "504":
		return fmt.Sprintf("the proxy does not reach %s: look at the remote's url, and whether the hub is running", target)
	}
	return fmt.Sprintf("ask the proxy's administrator whether it allows CONNECT to %s", target)
}

func (d *dialer) explainProxy(err error) *dialError {
	var known *dialError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return d.explain("proxy", err)
	case isTimeout(err):
		return &dialError{"proxy", err, "the proxy does not answer: look at the url in the proxy block, or raise its timeout"}
	}
	return &dialError{"proxy", err, "the proxy cut the connection: what answers may be no HTTP proxy, or want https"}
}
