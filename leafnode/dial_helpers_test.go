package leafnode

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// greeting is what a hub says first.
const greeting = `INFO {"server_id":"NHUB","server_name":"hub","client_id":6,"headers":true,"nonce":"n","info_on_connect":true,"leafnode_urls":["h:7422"]}` + "\r\n"

var greetingTLS = strings.Replace(greeting, `"headers"`, `"tls_required":true,"headers"`, 1)

// brief is how long an attempt waits for what never comes. What comes before that, which is all that a test
// wants to see, has to be there by then on a busy machine too.
const brief = time.Second

// nobodyAt is an address where nobody listens, and where nobody comes to meanwhile who takes any port that is free.
const nobodyAt = "127.0.0.1:1"

// A hubEnd is a listener whose connections are in the hands of a test.
type hubEnd struct {
	net.Listener
	url  *url.URL
	done chan struct{} // closed when the talk with the first connection is over
}

// openHub listens, and talks to the first connection with talk, which need not close it.
func openHub(t *testing.T, talk func(c net.Conn)) *hubEnd {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hubEnd{Listener: ln, done: make(chan struct{})}
	h.url = &url.URL{Scheme: "nats-leaf", Host: ln.Addr().String()}
	go func() {
		defer close(h.done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		talk(c)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-h.done
	})
	return h
}

// says is a hub that says text, and then waits for the other side to go away.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
	}
}

// reached dials, and gives the connection back when the test is over.
func reached(t *testing.T, o dialOptions, u *url.URL) *dialed {
	t.Helper()
	d, err := dial(t.Context(), o, u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close() })
	return d
}

// missed dials in vain. part is of the remedy.
func missed(t *testing.T, name string, o dialOptions, u *url.URL, stage, part string) error {
	t.Helper()
	d, err := dial(t.Context(), o, u)
	if err == nil {
		d.conn.Close()
		t.Errorf("%s: reached", name)
		return nil
	}
	var why *dialError
	if !errors.As(err, &why) || why.err == nil || why.stage != stage || !strings.Contains(why.remedy, part) {
		t.Errorf("%s: %v (%+v)\nwant stage %s, and %q", name, err, why, stage, part)
	}
	return err
}

// An authority signs certificates for tests.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "works authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

// issue makes a certificate for hosts, good from and to these times from now.
func (a *authority) issue(from, to time.Duration, hosts ...string) tls.Certificate {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: hosts, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) valid(hosts ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(-time.Hour, time.Hour, hosts...)}}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// trusted is what a remote with a ca_file has.
func (a *authority) trusted(host string) (*tls.Config, error) {
	return &tls.Config{RootCAs: a.pool(), ServerName: host}, nil
}

// secretly does TLS, after the greeting in plain if there is one, and goes on with talk.
func secretly(plain string, config *tls.Config, talk func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, plain)
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			talk(s)
			return
		}
		io.Copy(io.Discard, c) // the other side has the better error: closing now could cut it off
	}
}

// namesFor is a resolver that knows some names, and of no others.
func namesFor(t *testing.T, known map[string][]string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if answer := answerDNS(b[:n], known); answer != nil {
				pc.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// answerDNS makes an answer to the one question in q (RFC 1035, 4.1). A name without addresses is never answered.
func answerDNS(q []byte, known map[string][]string) []byte {
	const headSize, typeA, noSuchName = 12, 1, 3
	at, name := headSize, ""
	for q[at] != 0 {
		name += string(q[at+1:at+1+int(q[at])]) + "."
		at += 1 + int(q[at])
	}
	question := q[headSize : at+5]
	addresses, ok := known[strings.TrimSuffix(name, ".")]
	if ok && len(addresses) == 0 {
		return nil
	}
	if binary.BigEndian.Uint16(q[at+1:]) != typeA {
		addresses = nil
	}
	flags := uint16(0x8180)
	if !ok {
		flags |= noSuchName
	}
	out := append([]byte(nil), q[:2]...)
	for _, word := range []uint16{flags, 1, uint16(len(addresses)), 0, 0} {
		out = binary.BigEndian.AppendUint16(out, word)
	}
	out = append(out, question...)
	for _, one := range addresses {
		out = append(out, 0xc0, headSize, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, net.ParseIP(one).To4()...)
	}
	return out
}

// aLine reads one.
func aLine(c io.Reader) string {
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimRight(line, "\r\n")
}
