package certs

import (
	"crypto/x509"
	"encoding/pem"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Roots are the authorities that a server is checked against when nothing is configured. Nil means the
// system's, as in tls.Config; a machine that has none, as small boards often are, gets the list that is
// part of the program. The system is looked at once, when the first link needs it.
func Roots() *x509.CertPool { return systemRoots() }

var systemRoots = sync.OnceValue(func() *x509.CertPool {
	return rootsOf(x509.SystemCertPool())
})

func rootsOf(system *x509.CertPool, err error) *x509.CertPool {
	if err == nil && !system.Equal(x509.NewCertPool()) {
		return nil
	}
	return builtIn()
}

// builtIn is Mozilla's list as the Go project keeps it.
func builtIn() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			// As PEM a pool keeps the bytes, and parses what it needs when it needs it.
			pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		} else if cert, err := x509.ParseCertificate(root.Certificate); err == nil {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
}
