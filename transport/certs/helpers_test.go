package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An office issues certificates into files.
type office struct {
	t      *testing.T
	folder string
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	serial int64
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, folder: t.TempDir()}
	o.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "office"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &o.key.PublicKey, o.key)
	if err != nil {
		t.Fatal(err)
	}
	o.cert, _ = x509.ParseCertificate(der)
	o.write("ca.pem", "CERTIFICATE", der)
	return o
}

func (o *office) file(name string) string { return filepath.Join(o.folder, name) }

func (o *office) write(name, kind string, der []byte) {
	o.t.Helper()
	if err := os.WriteFile(o.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// issue writes NAME.pem and NAME.key, good for host from and to these times from now.
func (o *office) issue(name, host string, from, to time.Duration) Pair {
	o.t.Helper()
	o.serial++
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + o.serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, o.cert, &key.PublicKey, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(name+".pem", "CERTIFICATE", der)
	inside, _ := x509.MarshalPKCS8PrivateKey(key)
	o.write(name+".key", "PRIVATE KEY", inside)
	return Pair{o.file(name + ".pem"), o.file(name + ".key")}
}

const year = 365 * 24 * time.Hour

func (o *office) valid(name, host string) Pair { return o.issue(name, host, -time.Hour, year) }

func (o *office) load(options *Options) *Server {
	o.t.Helper()
	s, err := Load(options)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// options are those of a server with one certificate.
func (o *office) options() *Options {
	p := o.valid("server", "bus.example")
	return &Options{CertFile: p.CertFile, KeyFile: p.KeyFile}
}

// client is a configuration that trusts the office.
func (o *office) client(host string, own ...Pair) *tls.Config {
	o.t.Helper()
	options := &Options{CAFile: o.file("ca.pem"), Certs: own}
	c, err := ClientConfig(options, host)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// wires are the two ends of a connection. The kernel's buffers are needed: either side may have an
// alert to send while the other one has too.
func wires() (near, far net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		defer ln.Close()
		if near, err = net.Dial("tcp", ln.Addr().String()); err == nil {
			far, err = ln.Accept()
		}
	}
	if err != nil {
		panic(err)
	}
	return near, far
}

// shake has a client and a server do their handshake, and then exchange a byte each.
func shake(s *Server, client *tls.Config) (seen tls.ConnectionState, clientErr, serverErr error) {
	near, far := wires()
	defer near.Close()
	near.SetDeadline(time.Now().Add(20 * time.Second))
	done := make(chan error)
	var state tls.ConnectionState
	go func() {
		c := tls.Server(far, s.Config())
		err := c.Handshake()
		if err == nil {
			state = c.ConnectionState()
			if err = s.Check(&state); err == nil {
				_, err = c.Write([]byte{1})
			}
		}
		far.Close()
		done <- err
	}()
	c := tls.Client(near, client)
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	seen = c.ConnectionState()
	near.Close()
	serverErr = <-done
	return seen, clientErr, serverErr
}
