//go:build linux

package peers

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// papers are the certificates of a test.
type papers struct {
	ours, others             *authority
	hub, named, old, foreign certificate // hub's: right, right by name only, expired, of another authority
	edge                     certificate // the leaf's
}

func newPapers(t *testing.T) *papers {
	p := &papers{ours: newAuthority(t, "ours"), others: newAuthority(t, "others")}
	p.hub = p.ours.forServer(t)
	p.foreign = p.others.forServer(t)
	p.named = p.ours.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	p.old = p.ours.issue(t, func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		c.NotAfter = time.Now().Add(-time.Minute)
	})
	p.edge = p.ours.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = "edge" })
	return p
}

// files are the lines of a tls block for a certificate and an authority, each of which may be absent.
func files(c certificate, ca *authority, more ...string) string {
	lines := []string{"timeout: 5"}
	if c.file != "" {
		lines = append(lines, fmt.Sprintf("cert_file: %q\nkey_file: %q", c.file, c.key))
	}
	if ca != nil {
		lines = append(lines, fmt.Sprintf("ca_file: %q", ca.file))
	}
	return "tls {\n" + strings.Join(append(lines, more...), "\n") + "\n}\n"
}

// A secured link: what the hub's block has, and the remote.
type secured struct {
	name   string
	keep   func(p pair) bool
	hub    string
	remote string
	host   string   // of the hub, in the remote's url; default 127.0.0.1
	env    []string // of the leaf
	why    []string // what the leaf's log says, one of these; empty: it gets in
	stock  []string // or a nats-server's does, which says less
	hubs   []string // or the hub's log does
}

func (s secured) start(t *testing.T, p pair) (hub, leaf *node) {
	t.Helper()
	l := layout{kind: p.hub, hub: true, port: process.FreePort(t), block: s.hub}
	where := address(l.port)
	if s.host != "" {
		where = strings.Replace(where, "127.0.0.1", s.host, 1)
		l.block += fmt.Sprintf("advertise: %q\n", where)
	}
	hub = l.start(t)
	leaf = layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(where, s.remote)}, env: s.env}.start(t)
	return hub, leaf
}

func playSecured(t *testing.T, p pair, all []secured) {
	tests := map[string]func(t *testing.T){}
	for _, s := range all {
		if s.keep != nil && !s.keep(p) {
			continue
		}
		tests[s.name] = func(t *testing.T) {
			hub, leaf := s.start(t, p)
			if len(s.why)+len(s.hubs) == 0 {
				agree(t, hub.client(t), leaf.client(t))
				return
			}
			why := s.why
			if p.leaf != process.Edgebus && s.stock != nil {
				why = s.stock
			}
			if len(why) > 0 {
				leaf.awaitLog(t, why...)
			}
			if len(s.hubs) > 0 {
				hub.awaitLog(t, s.hubs...)
			}
			if n := hub.links(t).Count; n != 0 {
				t.Errorf("%d links", n)
			}
		}
	}
	atOnce(t, tests)
}

func TestLeafLinkIsSecuredByEachFormOfTLS(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		c, none := newPapers(t), certificate{}
		playSecured(t, p, []secured{
			{name: "an authority of one's own", hub: files(c.hub, nil), remote: files(none, c.ours)},
			{name: "the system's authorities", hub: files(c.hub, nil), env: []string{"SSL_CERT_FILE=" + c.ours.file}},
			{name: "no questions asked", hub: files(c.foreign, nil), remote: files(none, nil, "insecure: true")},
			{name: "the hub's name", hub: files(c.named, nil), host: "localhost", remote: files(none, c.ours)},
			{name: "a certificate of the leaf", hub: files(c.hub, c.ours, "verify: true"), remote: files(c.edge, c.ours)},
			{name: "a certificate that is the user", remote: files(c.edge, c.ours),
				hub: files(c.hub, c.ours, "verify_and_map: true") + "authorization { users: [{user: \"CN=edge\"}] }\n"},
			{name: "a certificate of the leaf, pinned", remote: files(c.edge, c.ours),
				hub: files(c.hub, c.ours, "verify: true", fmt.Sprintf("pinned_certs: [%q]", c.edge.pin(t)))},
			{name: "TLS before all else", keep: modern, hub: files(c.hub, nil, "handshake_first: true"),
				remote: files(none, c.ours, "handshake_first: true")},
			{name: "TLS before all else, where the hub takes both", keep: modern, hub: files(c.hub, nil, "handshake_first: auto"),
				remote: files(none, c.ours, "handshake_first: true")},
			{name: "TLS after INFO, where the hub takes both", keep: modern, hub: files(c.hub, nil, "handshake_first: 300ms"),
				remote: files(none, c.ours)},
		})
	})
}

func TestInsecureLeafLinkIsRefusedForTheRightReason(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		c, none := newPapers(t), certificate{}
		playSecured(t, p, []secured{
			{name: "unknown authority", hub: files(c.foreign, nil), remote: files(none, c.ours), why: []string{"unknown authority"}},
			{name: "unknown to the system", hub: files(c.hub, nil), env: []string{"SSL_CERT_FILE=" + c.others.file}, why: []string{"unknown authority"}},
			{name: "expired", hub: files(c.old, nil), remote: files(none, c.ours), why: []string{"expired"}},
			{name: "another name", hub: files(c.named, nil), remote: files(none, c.ours), why: []string{"SANs", "does not match"}},
			{name: "no certificate of the leaf", hub: files(c.hub, c.ours, "verify: true"), remote: files(none, c.ours),
				hubs: []string{"didn't provide a certificate", "certificate"}},
			{name: "another than the pinned one", remote: files(c.edge, c.ours),
				hub:  files(c.hub, c.ours, "verify: true", fmt.Sprintf("pinned_certs: [%q]", c.hub.pin(t))),
				hubs: []string{"pinned", "not pinned"}},
			{name: "the leaf does not begin with TLS", keep: modern, hub: files(c.hub, nil, "handshake_first: true"),
				remote: files(none, c.ours) + "first_info_timeout: 1s", why: []string{"handshake_first"}, stock: []string{"Read Error"}},
			{name: "the hub does not begin with TLS", keep: modern, hub: files(c.hub, nil),
				remote: files(none, c.ours, "handshake_first: true"), why: []string{"handshake_first"}, stock: []string{"TLS Handshake Failure"}},
		})
	})
}

// New files of certificates are used for the next handshake, with no reload.
func TestNewCertificatesAreUsedForTheNextAttempt(t *testing.T) {
	keep := func(p pair) bool { return p.leaf == process.Edgebus }
	onPairsAtOnce(t, keep, func(t *testing.T, p pair) {
		c := newPapers(t)
		ca := write(t, "ca.pem", string(must(os.ReadFile(c.others.file))))
		s := secured{hub: files(c.hub, nil), remote: files(certificate{}, &authority{file: ca})}
		hub, leaf := s.start(t, p)
		leaf.awaitLog(t, "unknown authority")
		if err := os.WriteFile(ca, must(os.ReadFile(c.ours.file)), 0o600); err != nil {
			t.Fatal(err)
		}
		agree(t, hub.client(t), leaf.client(t))
	})
}

// What a public hub asks for is little to write: TLS with the system's authorities, creds, an account.
func TestPublicHubIsJoinedInEightLines(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		c, r := newPapers(t), newRealm()
		system, mine := r.account("SYS"), r.account("MINE")
		mine.claims.Limits.LeafNodeConn = 5
		hub := layout{kind: p.hub, hub: true, port: process.FreePort(t), config: r.trust(system) + r.preload(), block: files(c.named, nil)}
		where := strings.Replace(address(hub.port), "127.0.0.1", "localhost", 1)
		hub.block += fmt.Sprintf("advertise: %q\n", where)
		h := hub.start(t)
		edge := process.Start(t, process.Options{Kind: p.leaf, Env: []string{"SSL_CERT_FILE=" + c.ours.file}, Port: process.FreePort(t),
			Config: fmt.Sprintf("leafnodes {\n  remotes: [{\n    url: %q\n    credentials: %q\n  }]\n}",
				"tls://"+where, mine.user("edge", nil).creds(t))})
		agree(t, h.client(t, nats.UserCredentials(mine.user("cloud", nil).creds(t))), connect(t, edge))
		if links := h.links(t); links.Leafs[0].Account != mine.public() {
			t.Errorf("the link is in account %s", links.Leafs[0].Account)
		}
	})
}

func TestLeafReachesItsHubThroughAnHTTPProxy(t *testing.T) {
	onPairsAtOnce(t, modern, func(t *testing.T, p pair) {
		c := newPapers(t)
		for _, each := range []struct{ name, hub, remote string }{
			{"plain", "", ""},
			{"secured", files(c.hub, nil), files(certificate{}, c.ours)},
		} {
			firm := startFirm(t, "user", "pass word")
			hub := layout{kind: p.hub, hub: true, block: each.hub}.start(t)
			leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(hub.leafs, each.remote,
				fmt.Sprintf("proxy { url: %q, username: user, password: %q }", "http://"+firm.addr, "pass word"))}}.start(t)
			agree(t, hub.client(t), leaf.client(t))
			if n := firm.passed.Load(); n != 1 {
				t.Errorf("%s: %d links went through the proxy", each.name, n)
			}
		}
	})
}

func TestLeafSaysThatTheProxyRefuses(t *testing.T) {
	onPairsAtOnce(t, modern, func(t *testing.T, p pair) {
		firm := startFirm(t, "user", "right")
		hub := layout{kind: p.hub, hub: true}.start(t)
		leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(hub.leafs,
			fmt.Sprintf("proxy { url: %q, username: user, password: wrong }", "http://"+firm.addr))}}.start(t)
		leaf.awaitLog(t, "407")
		if n := hub.links(t).Count; n != 0 || leaf.Logged("wrong") {
			t.Errorf("%d links; the log has the password: %v", n, leaf.Logged("wrong"))
		}
	})
}

// A firm is what its HTTP proxy lets through.
type firm struct {
	addr   string
	passed atomic.Int64
}

func startFirm(t *testing.T, user, password string) *firm {
	t.Helper()
	ln := process.ListenFree(t)
	t.Cleanup(func() { ln.Close() })
	o := &firm{addr: ln.Addr().String()}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go o.serve(conn, want)
		}
	}()
	return o
}

func (o *firm) serve(conn net.Conn, want string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	request, err := http.ReadRequest(in)
	if err != nil || request.Method != http.MethodConnect {
		fmt.Fprint(conn, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if request.Header.Get("Proxy-Authorization") != want {
		fmt.Fprint(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
		return
	}
	far, err := net.Dial("tcp", request.Host)
	if err != nil {
		fmt.Fprint(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer far.Close()
	o.passed.Add(1)
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer conn.Close()
		io.Copy(conn, far)
	}()
	io.Copy(far, in)
}
