package auth

import (
	"strings"
	"time"
)

// HandshakeRemedy says what to do about a TLS handshake at a door that did not come about, as far as it is known
// by what was said of it. who is whoever came: a client, or a leaf.
func HandshakeRemedy(said, who string, now time.Time) string {
	if flaw := ClockFlaw(now); flaw != "" && strings.Contains(said, "certificate has expired") && !strings.Contains(said, "remote error") {
		return flaw + ", so that no certificate seems valid: set it, or let NTP do that (" + said + ")"
	}
	for _, known := range []struct{ text, remedy string }{
		{"remote error: tls: unknown certificate authority", "does not trust the server's certificate: give it the authority that has signed cert_file, as its ca_file"},
		{"remote error: tls: bad certificate", "does not accept the server's certificate: does it know the authority, is the name that it connects to in the certificate, and is its clock set?"},
		{"didn't provide a certificate", "shows no certificate, which verify asks for: give it one that ca_file has signed"},
		{"certificate signed by unknown authority", "has a certificate that ca_file has not signed: give it another one, or add its authority there"},
		{"certificate has expired", "has a certificate that is not valid now: give it a new one, and look at the clocks"},
		{"pinned", "has a certificate that is not one of pinned_certs: add its key there, if it may come in"},
		{"began with byte", "does no TLS: give it a tls block, or look which program it is"},
	} {
		if strings.Contains(said, known.text) {
			return "the " + who + " " + known.remedy + " (" + said + ")"
		}
	}
	return said
}
