package main

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/daemon"
)

// overrideTLS is what the options of nats-server for TLS change in the tls block: each says one of its
// keys, and any of them switches TLS on.
func overrideTLS(c *invocation, o *daemon.Options) {
	files := []struct {
		name string
		key  func(*daemon.TLSOptions) *string
	}{
		{"tlscert", func(t *daemon.TLSOptions) *string { return &t.CertFile }},
		{"tlskey", func(t *daemon.TLSOptions) *string { return &t.KeyFile }},
		{"tlscacert", func(t *daemon.TLSOptions) *string { return &t.CAFile }},
	}
	given := c.Bool("tls") || c.Bool("tlsverify")
	for _, file := range files {
		given = given || c.IsSet(file.name)
	}
	if !given {
		return
	}
	var block daemon.TLSOptions
	if o.TLS != nil {
		block = *o.TLS
	}
	for _, file := range files {
		if c.IsSet(file.name) {
			*file.key(&block) = c.String(file.name)
		}
	}
	if c.IsSet("tlscert") {
		block.Certs = nil // the one that is named stands for all of the file's
	}
	block.Verify = block.Verify || c.Bool("tlsverify")
	o.TLS = &block
}

// helpTLS is the page of --help_tls.
func helpTLS() string {
	var suites, weak []string
	for _, suite := range tls.CipherSuites() {
		suites = append(suites, suite.Name)
	}
	for _, suite := range tls.InsecureCipherSuites() {
		weak = append(weak, suite.Name)
	}
	slices.Sort(suites)
	slices.Sort(weak)
	return fmt.Sprintf(helpTLSText, strings.Join(suites, "\n    "), strings.Join(weak, "\n    "))
}

const helpTLSText = `
TLS is configured in the tls block of a configuration file:

    tls {
        cert_file:      "./server-cert.pem"
        key_file:       "./server-key.pem"
        ca_file:        "./ca.pem"
        verify:         true
        verify_and_map: true
        min_version:    "1.2"

        cipher_suites:     ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        curve_preferences: ["X25519", "CurveP256"]
    }

or, for the most part of it, by --tls, --tlscert, --tlskey, --tlsverify and --tlscacert. What
configs/edgebus.conf says of each key is the manual.

Cipher suites of TLS 1.2 (TLS 1.3 has no choice to make):
    %s

Weak ones, which need allow_insecure_cipher_suites: true as well:
    %s

Curves: CurveP256, CurveP384, CurveP521, X25519, X25519MLKEM768
`
