package certs

import (
	"os"
	"testing"
	"time"
)

// A link that is dialled anew shows the certificate that is there by then, or as long as that cannot be
// used the one before.
func TestALinkShowsItsRenewedCertificate(t *testing.T) {
	o := newOffice(t)
	options := o.options()
	options.CAFile, options.Verify = o.file("ca.pem"), true
	s := o.load(options)
	own := o.valid("link", "edge")
	c, err := LoadClient(&Options{CertFile: own.CertFile, KeyFile: own.KeyFile, CAFile: o.file("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	c.OnRefresh(func(err error) { told = append(told, err) })
	shown := func() string {
		t.Helper()
		config := c.Config("bus.example")
		if _, err, serverErr := shake(s, config); err != nil || serverErr != nil {
			t.Fatal(err, serverErr)
		}
		return Fingerprint(config.Certificates[0].Leaf)
	}
	first := shown()
	if first != shown() {
		t.Error("another certificate although nothing has changed")
	}
	key, _ := os.ReadFile(own.KeyFile)
	os.WriteFile(own.KeyFile, key[:len(key)/2], 0o600)
	for range 4 {
		if shown() != first {
			t.Error("half a key is in use")
		}
	}
	if len(told) != 1 || told[0] == nil {
		t.Errorf("told %v of half a key", told)
	}
	o.valid("link", "edge")
	if shown() == first || len(told) != 2 || told[1] != nil {
		t.Errorf("the new certificate is not shown; told %v", told)
	}
	if left := time.Until(c.NotAfter()); left < year-time.Hour {
		t.Errorf("expires in %v", left)
	}
}

// What was moved into place may be as old and as long as what it replaces.
func TestAnotherFileOfTheSameTimeAndSizeIsSeen(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	same := time.Now().Add(-time.Hour)
	text, _ := os.ReadFile(o.file("server.pem"))
	os.Chtimes(o.file("server.pem"), same, same)
	if changed, err := s.Refresh(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	os.WriteFile(o.file("other.pem"), text, 0o600)
	os.Chtimes(o.file("other.pem"), same, same)
	if err := os.Rename(o.file("other.pem"), o.file("server.pem")); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Refresh(); !changed || err != nil {
		t.Error("it was missed:", changed, err)
	}
}
