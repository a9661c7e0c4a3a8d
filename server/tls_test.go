package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// certificate is one for 127.0.0.1 that signs itself.
func certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// securely has handshakes take as long as a slow machine needs.
func securely(t testing.TB) *TLS {
	return &TLS{Security: &engine.Security{Config: &tls.Config{Certificates: []tls.Certificate{certificate(t)}}, Timeout: patience}}
}

// raw dials without reading INFO.
func (r *rig) raw() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t: r.t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// secure puts TLS between c and its socket.
func (c *client) secure(o *tls.Config) {
	c.t.Helper()
	if o == nil {
		o = &tls.Config{InsecureSkipVerify: true}
	}
	nc := tls.Client(c.conn, o)
	if err := nc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.conn, c.in = nc, bufio.NewReaderSize(nc, 64<<10)
}

// talks shows that c is heard.
func (c *client) talks() {
	c.t.Helper()
	c.send(quiet + "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
	c.expect("MSG a 1 2\r\nhi\r\nPONG\r\n")
}

func TestTLSAfterINFO(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Verify = true
	r := start(t, o, auth.Options{}, broker.Options{})
	c := r.dial()
	if c.info["tls_required"] != true || c.info["tls_verify"] != true || c.info["tls_available"] != nil {
		t.Errorf("INFO %v", c.info)
	}
	c.secure(nil)
	c.send(`CONNECT {"protocol":1,"verbose":false}` + "\r\nPING\r\n")
	c.expect("PONG\r\n")
	if info := c.readInfo(); info["tls_required"] != true || info["connect_info"] != true {
		t.Errorf("INFO %v", info)
	}
	c.talks()
	all := r.server.Clients(Query{})
	if len(all) != 1 || all[0].TLSVersion != "1.3" || !strings.HasPrefix(all[0].TLSCipher, "TLS_") || all[0].TLSFirst {
		t.Errorf("shown as %+v", all)
	}
}

func TestPlainTextWhereTLSIsRequiredIsClosed(t *testing.T) {
	r := start(t, Options{TLS: securely(t)}, auth.Options{}, broker.Options{})
	c := r.dial()
	c.send(quiet + "PING\r\n")
	c.expectClosed("")
	eventually(t, "it is counted", func() bool { return r.server.Status().Closed["TLS Handshake Failure"] == 1 })
}

func TestHandshakesThatFailAreLoggedWithARemedy(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Security.Config.ClientAuth = tls.RequireAndVerifyClientCert
	r := start(t, o, auth.Options{}, broker.Options{})
	tls.Client(r.dial().conn, &tls.Config{ServerName: "x"}).Handshake()
	r.logged(`reason="TLS Handshake Failure"`, "remedy=\"the client does not", "bad certificate")
	c := r.dial()
	nc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	nc.Handshake()
	nc.Read(make([]byte, 1))
	r.logged(`reason="TLS Handshake Failure"`, "remedy=\"the client shows no certificate")
	if strings.Contains(r.logs.String(), "engine:") {
		t.Errorf("log:\n%s", r.logs)
	}
}

func TestNoHandshakeInTimeIsClosed(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Security.Timeout = 50 * time.Millisecond
	r := start(t, o, auth.Options{}, broker.Options{})
	r.dial().expectClosed("")
	half := r.dial()
	half.send("\x16\x03\x01\x00\xf0")
	half.expectClosed("")
	eventually(t, "both are counted", func() bool { return r.server.Status().Closed["TLS Handshake Failure"] == 2 })
}

func TestAllowNonTLSTakesBoth(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Security.MayBePlain = true
	r := start(t, o, auth.Options{}, broker.Options{})
	plain, hidden := r.dial(), r.dial()
	if plain.info["tls_available"] != true || plain.info["tls_required"] != nil {
		t.Errorf("INFO %v", plain.info)
	}
	plain.talks()
	hidden.secure(nil)
	hidden.talks()
}

func TestHandshakeFirstSaysINFOInside(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.First = true
	r := start(t, o, auth.Options{}, broker.Options{})
	c := r.raw()
	c.secure(nil)
	c.info = c.readInfo()
	c.talks()
	if all := r.server.Clients(Query{}); len(all) != 1 || !all[0].TLSFirst {
		t.Errorf("shown as %+v", all)
	}
}

func TestHandshakeFirstAutoFallsBack(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.First, o.TLS.Security.Grace = true, 20*time.Millisecond
	r := start(t, o, auth.Options{}, broker.Options{})
	old := r.dial()
	if old.info["tls_required"] != true {
		t.Errorf("INFO %v", old.info)
	}
	old.secure(nil)
	old.talks()
	r.update(func(set *settings) {
		tlsOptions := *set.TLS
		security := *tlsOptions.Security
		security.Grace = patience
		tlsOptions.Security = &security
		set.TLS = &tlsOptions
	})
	c := r.raw()
	c.secure(nil)
	c.readInfo()
	c.talks()
}

func TestThrottledHandshakesAreTold(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Allow = func() bool { return false }
	r := start(t, o, auth.Options{}, broker.Options{})
	c := r.dial()
	c.send("\x16\x03\x01\x00\x01\x01") // a record that is whole
	c.expectClosed("-ERR 'Connection throttling is active. Please try again later.'\r\n")
}

func TestPinnedCertificatesAreAskedFor(t *testing.T) {
	o := Options{TLS: securely(t)}
	o.TLS.Security.Check = func(*tls.ConnectionState) error { return errors.New("not pinned") }
	r := start(t, o, auth.Options{}, broker.Options{})
	c := r.dial()
	c.secure(nil)
	c.expectClosed("")
	eventually(t, "it is counted", func() bool { return r.server.Status().Closed["TLS Handshake Failure"] == 1 })
}

func TestAuthTimeoutBeginsBehindTheHandshake(t *testing.T) {
	o := Options{TLS: securely(t)}
	a := auth.Options{User: "u", Password: "p", Timeout: 300 * time.Millisecond}
	r := start(t, o, a, broker.Options{})
	c := r.dial()
	c.secure(nil)
	c.expectClosed("-ERR 'Authentication Timeout'\r\n")
}

func TestReloadSwapsTLSForConnectionsToCome(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	before := r.connect(quiet)
	d, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.Reload(Options{TLS: securely(t)}, d); err != nil {
		t.Fatal(err)
	}
	after := r.dial()
	after.secure(nil)
	after.talks()
	before.talks()
}
