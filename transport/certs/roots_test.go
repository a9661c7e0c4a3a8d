package certs

import (
	"crypto/x509"
	"errors"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func TestListOfTheProgramCountsOnlyWhereTheSystemHasNone(t *testing.T) {
	o := newOffice(t)
	own := x509.NewCertPool()
	own.AddCert(o.cert)
	for _, c := range []struct {
		name    string
		system  *x509.CertPool
		err     error
		builtIn bool
	}{
		{"the system has one", own, nil, false},
		{"the system has an empty one", x509.NewCertPool(), nil, true},
		{"the system's cannot be read", nil, errors.New("permission denied"), true},
	} {
		if pool := rootsOf(c.system, c.err); (pool != nil) != c.builtIn {
			t.Errorf("%s: built-in list %v, want %v", c.name, pool != nil, c.builtIn)
		}
	}
}

// Each root has signed itself: it is found in the pool if and only if the pool trusts it.
func TestListOfTheProgramTrustsAllThatIsInIt(t *testing.T) {
	pool, known := builtIn(), 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if root.Constraint != nil {
			continue // it is about leaves of a certain age
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: cert.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%v: %v", cert.Subject, err)
		}
		known++
	}
	if known < 100 {
		t.Errorf("%d authorities, want more than 100", known)
	}
	stranger := newOffice(t)
	if _, err := stranger.cert.Verify(x509.VerifyOptions{Roots: pool}); err == nil {
		t.Error("it trusts an authority that is not in it")
	}
}

func TestClientTrustsTheSystemOnlyWithoutAFile(t *testing.T) {
	o := newOffice(t)
	own, err := ClientConfig(&Options{CAFile: o.file("ca.pem")}, "bus.example")
	if err != nil || own.RootCAs == nil || own.RootCAs.Equal(builtIn()) {
		t.Errorf("with ca_file: %v, %v", own, err)
	}
	for _, options := range []*Options{{}, {Insecure: true}} {
		c, err := ClientConfig(options, "bus.example")
		if err != nil {
			t.Fatal(err)
		}
		want := Roots()
		if options.Insecure {
			want = nil
		}
		if !c.RootCAs.Equal(want) {
			t.Errorf("insecure %v: other authorities than Roots", options.Insecure)
		}
	}
}

func TestClientIsCheckedWithoutAConfiguration(t *testing.T) {
	o := newOffice(t)
	if _, err := LoadClient(&Options{CAFile: o.file("ca.pem")}); err != nil {
		t.Error(err)
	}
	for _, bad := range []*Options{{CAFile: o.file("none.pem")}, {CertFile: o.file("ca.pem")}} {
		if _, err := LoadClient(bad); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
