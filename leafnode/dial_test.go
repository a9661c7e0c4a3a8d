package leafnode

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPlainHubIsReached(t *testing.T) {
	heard := make(chan string, 1)
	h := openHub(t, func(c net.Conn) {
		io.WriteString(c, greeting+"-ERR 'wh")
		heard <- aLine(c)
	})
	d := reached(t, dialOptions{}, h.url)
	if d.info.ServerName != "hub" || d.tls != nil || d.address != h.Addr().String() || d.rtt <= 0 || d.rtt > 10*time.Second {
		t.Errorf("%+v", d)
	}
	// What came behind the greeting is not lost, in whatever pieces it comes.
	rest := make([]byte, len("-ERR 'wh")-len(d.leftover))
	if _, err := io.ReadFull(d.conn, rest); err != nil || string(d.leftover)+string(rest) != "-ERR 'wh" {
		t.Errorf("behind the greeting: %q and %q, %v", d.leftover, rest, err)
	}
	io.WriteString(d.conn, "CONNECT {}\r\n")
	if got := <-heard; got != "CONNECT {}" {
		t.Errorf("the hub hears %q", got)
	}
}

func TestHubIsReachedByTLS(t *testing.T) {
	a := newAuthority(t)
	server := a.valid("hub.example", "127.0.0.1")
	for _, c := range []struct {
		name  string
		plain string
		talk  func(net.Conn)
		o     dialOptions
	}{
		{"the hub asks for it", greetingTLS, says(""), dialOptions{}},
		{"both want it", greetingTLS, says(""), dialOptions{secure: true}},
		{"it comes first", "", says(greetingTLS), dialOptions{handshakeFirst: true, secure: true}},
		{"it comes first, and the hub does not know of it", "", says(greeting), dialOptions{handshakeFirst: true, secure: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := openHub(t, secretly(c.plain, server, c.talk))
			c.o.tls, c.o.serverName = a.trusted, "hub.example"
			d := reached(t, c.o, h.url)
			if d.tls == nil || len(d.tls.VerifiedChains) == 0 || d.info.ClientID != 6 {
				t.Errorf("%+v", d)
			}
			if _, ok := d.conn.(*tls.Conn); !ok {
				t.Errorf("the connection is a %T", d.conn)
			}
		})
	}
}

func TestNameOfTheHubIsThatOfItsURL(t *testing.T) {
	a := newAuthority(t)
	h := openHub(t, secretly(greetingTLS, a.valid("hub.example"), says("")))
	_, port, _ := net.SplitHostPort(h.Addr().String())
	asked := ""
	o := dialOptions{resolver: namesFor(t, map[string][]string{"hub.example": {"127.0.0.1"}}), tls: func(host string) (*tls.Config, error) {
		asked = host
		return &tls.Config{RootCAs: a.pool()}, nil // whoever makes it may forget the name
	}}
	d := reached(t, o, &url.URL{Scheme: "tls", Host: "hub.example:" + port})
	if asked != "hub.example" || d.tls.ServerName != "hub.example" {
		t.Errorf("asked for %q, and greeted as %q", asked, d.tls.ServerName)
	}
}

func TestWhatIsWrongWithTLSIsSaid(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	good := a.valid("127.0.0.1")
	at := func(from, to time.Duration) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{a.issue(from, to, "hub.example")}}
	}
	const host = "hub.example"
	for _, c := range []struct {
		name   string
		talk   func(net.Conn)
		o      dialOptions
		remedy string
	}{
		{"an unknown authority", secretly(greetingTLS, foreign.valid(host), says("")), dialOptions{tls: a.trusted}, `signed by "works authority", which is not trusted`},
		{"it has expired", secretly(greetingTLS, at(-2*time.Hour, -time.Hour), says("")), dialOptions{tls: a.trusted}, "is the clock right?"},
		{"it is not valid yet", secretly(greetingTLS, at(time.Hour, 2*time.Hour), says("")), dialOptions{tls: a.trusted}, "is valid from"},
		{"another name", secretly(greetingTLS, a.valid("mail.example"), says("")), dialOptions{tls: a.trusted}, `is for ["mail.example"] and not for "hub.example"`},
		{"an old version", secretly(greetingTLS, &tls.Config{Certificates: good.Certificates, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, says("")),
			dialOptions{tls: a.trusted}, "no version of TLS in common"},
		{"none is possible here", says(greetingTLS), dialOptions{}, "write a tls block"},
		{"the block is wrong", says(greetingTLS), dialOptions{tls: func(string) (*tls.Config, error) { return nil, errors.New("no such file") }}, "mend the tls block"},
		{"the hub has none", says(greeting), dialOptions{tls: a.trusted, secure: true}, "switch TLS on in the hub's leafnodes block"},
		{"the hub begins in plain", says(greeting), dialOptions{tls: a.trusted, handshakeFirst: true}, "remove handshake_first"},
		{"the hub cuts it", func(c net.Conn) { c.Read(make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) }, dialOptions{tls: a.trusted, handshakeFirst: true}, "cut the connection during TLS"},
		{"the hub falls silent", says(greetingTLS), dialOptions{tls: a.trusted, budget: brief}, "did not finish TLS in time"},
		{"the hub falls silent for longer than timeout", says(greetingTLS), dialOptions{tls: a.trusted, tlsTimeout: 200 * time.Millisecond}, "did not finish TLS in time"},
		// It could be taken for something that the hub has said in secret.
		{"somebody slips something in", says(greetingTLS + "INFO {}\r\n"), dialOptions{tls: a.trusted}, "must not be there"},
		{"pinned", secretly(greetingTLS, a.valid(host), says("")), dialOptions{tls: func(string) (*tls.Config, error) {
			c, _ := a.trusted(host)
			c.VerifyConnection = func(tls.ConnectionState) error {
				return errors.New("certs: the key of the certificate is not among pinned_certs")
			}
			return c, nil
		}}, "has another key than those in pinned_certs"},
	} {
		h := openHub(t, c.talk)
		c.o.serverName = host
		missed(t, c.name, c.o, h.url, "tls", c.remedy)
	}
	h := openHub(t, says(greeting))
	u := *h.url
	u.Scheme = "tls"
	missed(t, "the URL wants it", dialOptions{tls: a.trusted}, &u, "tls", "switch TLS on")
}

// With TLS 1.3 a hub looks at our certificate after we have done with the handshake.
func TestHubThatWantsACertificateIsUnderstoodLater(t *testing.T) {
	a := newAuthority(t)
	server := a.valid("hub.example")
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
	h := openHub(t, secretly(greetingTLS, server, says("")))
	d := reached(t, dialOptions{tls: a.trusted, serverName: "hub.example"}, h.url)
	_, err := d.conn.Read(make([]byte, 1))
	if text := explainTLS(err, "hub.example", time.Now()); !strings.Contains(text, "cert_file and key_file") {
		t.Errorf("%v: %s", err, text)
	}
	own := func(host string) (*tls.Config, error) {
		c, _ := a.trusted(host)
		c.Certificates = []tls.Certificate{a.issue(-time.Hour, time.Hour, "edge")}
		return c, nil
	}
	h = openHub(t, secretly(greetingTLS, server, says("PING\r\n")))
	d = reached(t, dialOptions{tls: own, serverName: "hub.example"}, h.url)
	if got := aLine(d.conn); got != "PING" {
		t.Errorf("with a certificate: %q", got)
	}
}

func TestTimeOfACertificateIsExplainedByTheClock(t *testing.T) {
	day := func(y int) time.Time { return time.Date(y, 5, 6, 7, 8, 0, 0, time.UTC) }
	cert := &x509.Certificate{NotBefore: day(2025), NotAfter: day(2026)}
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{day(1970), "this machine's clock says 1970-05-06 07:08 UTC, which cannot be"},
		{day(2024), "is valid from 2025-05-06 07:08 UTC on"},
		{day(2027), "expired at 2026-05-06 07:08 UTC"},
	} {
		if got := explainTime(cert, c.now); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s", c.now, got)
		}
	}
}

func TestWhatAnswersInsteadOfAHubIsNamed(t *testing.T) {
	for _, c := range []struct {
		name, says string
		o          dialOptions
		remedy     string
	}{
		{"a port for clients", `INFO {"server_id":"N","client_id":6,"connect_urls":["h:4222"]}` + "\r\n", dialOptions{}, "port for clients"},
		{"a port for routes", `INFO {"server_id":"N","leafnode_urls":["h:7422"]}` + "\r\n", dialOptions{}, "port for routes or gateways"},
		{"a web server", "HTTP/1.1 400 Bad Request\r\n", dialOptions{}, "a web server answers"},
		{"an SSH server", "SSH-2.0-OpenSSH_9.6\r\n", dialOptions{}, "an SSH server answers"},
		{"something else", "220 mail ESMTP\r\n", dialOptions{}, "look at host and port"},
		{"half an INFO", "INFO {\"server_id\":\r\n", dialOptions{}, "no nats-server"},
		{"TLS", "\x15\x03\x01\x00\x02\x02\x16", dialOptions{firstInfo: brief}, "handshake_first: true"},
		{"silence", "", dialOptions{firstInfo: brief}, "the hub says nothing"},
		{"half a line", "INFO {\"server", dialOptions{firstInfo: brief}, "does not get here whole"},
		{"a long line", "INFO " + strings.Repeat("x", maxGreeting), dialOptions{}, "no nats-server"},
		{"a refusal", "-ERR 'maximum connections exceeded'\r\n", dialOptions{}, "raise its max_connections"},
		{"one of our own making", "-ERR 'closed for lunch'\r\n", dialOptions{}, "look at the log of the hub"},
	} {
		h := openHub(t, says(c.says))
		missed(t, c.name, c.o, h.url, "info", c.remedy)
	}
	h := openHub(t, func(c net.Conn) {})
	missed(t, "it closes", dialOptions{}, h.url, "info", "closed the connection without a word")
}

func TestPortWhereNobodyListensIsSaid(t *testing.T) {
	missed(t, "nobody listens", dialOptions{}, &url.URL{Scheme: "nats-leaf", Host: nobodyAt}, "tcp", "nothing listens on that port")
}

func TestWhatIsWrongWithTheLineIsSaid(t *testing.T) {
	of := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{of(syscall.ECONNREFUSED), "nothing listens"},
		{of(syscall.ENETUNREACH), "default route"},
		{of(syscall.EHOSTUNREACH), "default route"},
		{of(syscall.ETIMEDOUT), "a firewall drops"},
		{of(context.DeadlineExceeded), "a firewall drops"},
		{of(syscall.ECONNRESET), "cut at once"},
		{of(syscall.EMFILE), "ulimit"},
		{of(syscall.EPERM), "firewall"},
		{errors.New("something else"), "look at the line"},
	} {
		if got := explainTCP(c.err); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}

func TestNamesAreLookedUpAnew(t *testing.T) {
	h := openHub(t, says(greeting))
	_, port, _ := net.SplitHostPort(h.Addr().String())
	at := func(host string) *url.URL { return &url.URL{Scheme: "nats-leaf", Host: host + ":" + port} }
	o := dialOptions{resolver: namesFor(t, map[string][]string{
		// Nobody listens at the first of these, and the second is tried then.
		"two.example": {"127.0.0.2", "127.0.0.1"}, "silent.example": {},
	})}
	if d := reached(t, o, at("two.example")); d.address != h.Addr().String() {
		t.Errorf("reached at %s", d.address)
	}
	missed(t, "no such name", o, at("nowhere.example"), "dns", `"nowhere.example" does not exist`)
	o.connect = 300 * time.Millisecond
	missed(t, "no answer", o, at("silent.example"), "dns", "is the line up")
}

func TestAttemptEndsWithItsContextAndItsBudget(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := openHub(t, func(c net.Conn) {
		cancel()
		c.Read(make([]byte, 1)) // until the other side closes
	})
	_, err := dial(ctx, dialOptions{}, h.url)
	var why *dialError
	if !errors.As(err, &why) || !errors.Is(err, context.Canceled) && !isTimeout(err) {
		t.Errorf("cancelled: %v", err)
	}
	<-h.done // the connection is closed, or this would be the 20 s of openHub's deadline

	h = openHub(t, says("INFO "))
	begun := time.Now()
	missed(t, "the budget", dialOptions{budget: brief}, h.url, "info", "does not get here whole")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestDialedConnectionHasNoDeadline(t *testing.T) {
	on := make(chan struct{})
	h := openHub(t, func(c net.Conn) {
		io.WriteString(c, greeting)
		<-on
		io.WriteString(c, "PING\r\n")
	})
	d := reached(t, dialOptions{budget: brief, firstInfo: brief}, h.url)
	time.AfterFunc(3*brief/2, func() { close(on) }) // when all of the attempt's deadlines are over
	if got := aLine(d.conn); got != "PING" {
		t.Errorf("%q", got)
	}
}

func TestTextsOfErrorsAreKnown(t *testing.T) {
	for _, c := range []struct {
		text, reason string
		delay        time.Duration
		stays        bool
	}{
		{"Authorization Violation", "Authentication Failure", 0, false},
		{"Authentication Timeout", "Authentication Timeout", 0, false},
		{"User Authentication Expired", "Authentication Expired", 0, false},
		{"User Authentication Revoked", "Credentials Revoked", 0, false},
		{"Account Authentication Expired", "Authentication Expired", 0, false},
		{`Loop detected for leafnode account="$G". Delaying attempt to reconnect for 30s`, "Loop Detected", 30 * time.Second, false},
		{"remote leafnode has same cluster name", "Cluster Names Identical", 30 * time.Second, false},
		{"cluster name cannot contain spaces", "Protocol Violation", 0, false},
		{"cluster name is reserved", "Protocol Violation", 0, false},
		{`connection rejected since minimum version required is "2.99.0"`, "Minimum Version Required", 5 * time.Second, false},
		{"Duplicate Remote LeafNode Connection", "Duplicate Remote LeafNode Connection", 0, false},
		{"maximum account active connections exceeded", "Maximum Connections Exceeded", 0, false},
		{"maximum connections exceeded", "Maximum Connections Exceeded", 0, false},
		{"maximum subscriptions exceeded", "Maximum Subscriptions Exceeded", 0, true},
		{`Permissions Violation for Subscription to "loop detected"`, "Permissions Violation", 0, false},
		{`Permissions Violation for Publish to "x"`, "Permissions Violation", 0, false},
		{"Invalid Subscription", "Invalid Subscription", 0, true},
		{"Maximum Payload Violation", "Maximum Message Payload Exceeded", 0, false},
		{"maximum control line exceeded", "Maximum Control Line Exceeded", 0, false},
		{`unsupported route compression mode "zstd"`, "Protocol Violation", 0, false},
		{"Permissions Changed", "Permissions Changed", 0, false},
		{"Stale Leaf Node Connection - Closing", "Handshake Timeout", 0, false},
		{"Stale Connection", "Stale Connection", 0, false},
		{"Slow Consumer", "Slow Consumer", 0, false},
		{"attempted to connect to leaf node port", "Wrong Port", 0, false},
		{`Rejecting connection from gateway "G" on the leafnode port`, "Wrong Port", 0, false},
		{"Unknown Protocol Operation", "Protocol Violation", 0, false},
	} {
		for _, text := range []string{c.text, "'" + strings.ToUpper(c.text) + "'"} {
			if got := reasonOf(text); got.reason != c.reason || got.delay != c.delay || got.stays != c.stays || got.remedy == "" {
				t.Errorf("%s: %+v", text, got)
			}
		}
	}
	long := reasonOf(strings.Repeat("\xff", 10_000))
	if !long.stays || len(long.reason) > 1000 {
		t.Errorf("an unknown text: %+v", long)
	}
}

// What we say must be understood by ourselves at the other end.
func TestOwnErrorsMeanTheSameAtTheOtherSide(t *testing.T) {
	for _, c := range []*closing{
		errClusterSpaces, errClusterReserved, errAuthTimeout, errAuthorization, errNotConnected, errSameCluster, errMaxLinks, errMaxAccountLinks, errAddressFull, errTooMany, errDuplicate, errStale, errNoWelcome, errNewPermissions,
		errUnknownOp, errControlLine, errMaxPayload, errClientHere, loopOf("A"), deniedSubscription("a"), deniedPublish("a"), tooOld("2.9.0", ""), gatewayHere("G"),
	} {
		if back := reasonOf(c.wire); back.stays || back.delay != c.delay || back.remedy == "" {
			t.Errorf("%q: %+v, want the delay %v", c.wire, back, c.delay)
		}
		if c.remedy == "" || !strings.Contains(fmt.Sprint(c), c.remedy) {
			t.Errorf("%q has no remedy in its text", c.reason)
		}
	}
}
