package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHandshakeShowsTheCertificate(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	state, err, _ := shake(s, o.client("bus.example"))
	if err != nil {
		t.Fatal(err)
	}
	if got := Fingerprint(state.PeerCertificates[0]); got != inUse(s) {
		t.Errorf("the client saw %s, the server has %v", got, inUse(s))
	}
	if left := time.Until(s.NotAfter()); left < year-time.Hour || left > year {
		t.Errorf("expires in %v", left)
	}
	if len(s.Warnings(time.Now())) > 0 {
		t.Error(s.Warnings(time.Now()))
	}
	if s.Timeout() != 2*time.Second || s.Verifies() || !s.Allow() {
		t.Error("defaults are others than nats-server's")
	}
}

func TestServerNameChoosesTheCertificate(t *testing.T) {
	o := newOffice(t)
	s := o.load(&Options{Certs: []Pair{o.valid("a", "a.example"), o.valid("b", "b.example")}})
	for _, host := range []string{"a.example", "b.example"} {
		state, err, _ := shake(s, o.client(host))
		if err != nil || state.PeerCertificates[0].DNSNames[0] != host {
			t.Error(host, err)
		}
	}
	first := o.client("")
	first.InsecureSkipVerify = true
	if state, err, _ := shake(s, first); err != nil || state.PeerCertificates[0].DNSNames[0] != "a.example" {
		t.Error("a client that says no name gets another certificate than the first:", err)
	}
}

func TestVerifyLetsInWhoHasACertificate(t *testing.T) {
	o, stranger := newOffice(t), newOffice(t)
	options := o.options()
	options.CAFile, options.VerifyAndMap = o.file("ca.pem"), true
	s := o.load(options)
	if !s.Verifies() {
		t.Error("verify_and_map is not verify")
	}
	if _, err, serverErr := shake(s, o.client("bus.example")); err == nil || serverErr == nil {
		t.Error("let in without a certificate")
	}
	if _, err, _ := shake(s, o.client("bus.example", o.valid("client", "device"))); err != nil {
		t.Error(err)
	}
	foreign := o.client("bus.example", stranger.valid("client", "device"))
	foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign.Certificates[0], nil }
	var unknown *tls.CertificateVerificationError
	if _, err, serverErr := shake(s, foreign); err == nil || !errors.As(serverErr, &unknown) {
		t.Error("a stranger's certificate was let in:", serverErr)
	}
	if _, err, _ := shake(s, o.client("bus.example", o.issue("old", "device", -2*time.Hour, -time.Hour))); err == nil {
		t.Error("an expired certificate was let in")
	}
}

func TestPinnedKeysAreTheOnlyOnes(t *testing.T) {
	o := newOffice(t)
	good, other := o.valid("good", "device"), o.valid("other", "device")
	pair, _ := tls.LoadX509KeyPair(good.CertFile, good.KeyFile)
	leaf, _ := x509.ParseCertificate(pair.Certificate[0])
	options := o.options()
	options.CAFile, options.Verify = o.file("ca.pem"), true
	if err := options.PinnedCerts.UnmarshalConf([]any{strings.ToUpper(KeyFingerprint(leaf))}); err != nil {
		t.Fatal(err)
	}
	s := o.load(options)
	if _, err, _ := shake(s, o.client("bus.example", good)); err != nil {
		t.Error(err)
	}
	if _, _, err := shake(s, o.client("bus.example", other)); !errors.Is(err, ErrNotPinned) {
		t.Error("another key was let in:", err)
	}
	options.Verify = false
	s = o.load(options)
	if _, _, err := shake(s, o.client("bus.example", good)); !errors.Is(err, ErrNotPinned) {
		t.Error("let in without a certificate:", err)
	}
	if w := s.Warnings(time.Now()); len(w) != 1 || !strings.Contains(w[0], "verify") {
		t.Error("it is not warned that nobody gets in:", w)
	}
}

func TestLinkChecksTheOtherSide(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	if _, err, _ := shake(s, o.client("elsewhere.example")); err == nil {
		t.Error("another host's certificate was taken")
	}
	pinned := &Options{CAFile: o.file("ca.pem"), PinnedCerts: Pins{{1, 2, 3}}}
	c, err := ClientConfig(pinned, "bus.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err, _ := shake(s, c); !errors.Is(err, ErrNotPinned) {
		t.Error("a key that is not pinned was taken:", err)
	}
	if c, err = ClientConfig(&Options{Insecure: true}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err, _ := shake(s, c); err != nil {
		t.Error(err)
	}
}

// inUse is the fingerprint of the certificate that handshakes use now.
func inUse(s *Server) string { return Fingerprint(s.current.Load().config.Certificates[0].Leaf) }

func TestChangedFilesAreUsed(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	var told []error
	s.OnRefresh(func(err error) { told = append(told, err) })
	if changed, err := s.Refresh(); changed || err != nil {
		t.Fatal(changed, err)
	}
	before := inUse(s)

	// Half of a pair: the certificate is there, its key not yet.
	old, _ := os.ReadFile(o.file("server.key"))
	o.valid("server", "bus.example")
	fresh, _ := os.ReadFile(o.file("server.key"))
	later := time.Now().Add(time.Minute)
	os.WriteFile(o.file("server.key"), old, 0o600)
	os.Chtimes(o.file("server.pem"), later, later)
	for range 2 {
		if changed, err := s.Refresh(); !changed || err == nil {
			t.Fatal(changed, err)
		}
	}
	if inUse(s) != before || len(told) != 1 || told[0] == nil {
		t.Fatalf("half a pair is in use, or was told of more or less than once: %v", told)
	}
	if _, err, _ := shake(s, o.client("bus.example")); err != nil {
		t.Error(err)
	}

	os.WriteFile(o.file("server.key"), fresh, 0o600)
	os.Chtimes(o.file("server.key"), later, later)
	s.refresh.next = time.Time{} // the handshake looks
	if _, err, _ := shake(s, o.client("bus.example")); err != nil {
		t.Error(err)
	}
	if inUse(s) == before || len(told) != 2 || told[1] != nil {
		t.Fatalf("the new pair is not in use: %v", told)
	}
	os.Remove(o.file("server.pem"))
	if changed, err := s.Refresh(); changed || err != nil {
		t.Error("a file that is gone for a moment was missed:", err)
	}
}

func TestRateLimitCountsBySecond(t *testing.T) {
	o := newOffice(t)
	options := o.options()
	options.ConnectionRateLimit = 3
	s := o.load(options)
	n := 0
	for range 10 {
		if s.Allow() {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d of 10 were allowed", n)
	}
	s.rate.end = time.Time{}
	if !s.Allow() {
		t.Error("the next second does not begin anew")
	}
}

func TestVersionAndSuitesAreKept(t *testing.T) {
	o := newOffice(t)
	options := o.options()
	if err := options.MinVersion.UnmarshalConf("1.3"); err != nil {
		t.Fatal(err)
	}
	old := o.client("bus.example")
	old.MaxVersion = tls.VersionTLS12
	if _, err, _ := shake(o.load(options), old); err == nil {
		t.Error("TLS 1.2 was spoken")
	}
	options.MinVersion = 0
	if err := options.CipherSuites.UnmarshalConf([]any{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}); err != nil {
		t.Fatal(err)
	}
	if err := options.CurvePreferences.UnmarshalConf("CurveP384"); err != nil {
		t.Fatal(err)
	}
	state, err, _ := shake(o.load(options), old)
	if err != nil || state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 || state.CurveID != tls.CurveP384 {
		t.Errorf("%x %v %v", state.CipherSuite, state.CurveID, err)
	}
	older := old.Clone()
	older.MinVersion, older.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err, _ := shake(o.load(o.options()), older); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

func TestNoTicketLetsInUnseen(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	c := o.client("bus.example")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 2 {
		if state, err, _ := shake(s, c); err != nil || state.DidResume {
			t.Error("resumed", err)
		}
	}
}

func TestKeyFingerprintIsThatOfSha256sum(t *testing.T) {
	// A public key as `openssl pkey -pubout -outform DER` writes it, and what sha256sum says of it.
	spki, _ := hex.DecodeString("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	const want = "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"
	if got := KeyFingerprint(&x509.Certificate{RawSubjectPublicKeyInfo: spki}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
