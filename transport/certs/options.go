package certs

import (
	"reflect"
	"time"
)

// Options are a `tls` block. The zero value means that there is no TLS. Keys and their meaning are
// those of nats-server.
type Options struct {
	// CertFile and KeyFile are the server's certificate and its private key, PEM. The chain follows
	// the certificate in its file. Relative names count from the folder the server was started in.
	CertFile string `conf:"cert_file"`
	KeyFile  string `conf:"key_file"`

	// Certs are several of them, in place of CertFile and KeyFile: the client's server name (SNI)
	// chooses, and the first is for those who say none.
	Certs []Pair `conf:"certs,alias=certificates"`

	// CAFile holds the authorities that peers' certificates are checked against, PEM. Default: the
	// system's.
	CAFile string `conf:"ca_file"`

	// Verify lets in only clients that show a certificate of these authorities.
	Verify bool `conf:"verify"`

	// VerifyAndMap is Verify, and the certificate says who the user is.
	VerifyAndMap bool `conf:"verify_and_map"`

	// Insecure lets a link that we dial skip the check of the other side's certificate. It has no
	// effect on a listener. Danger: anybody in between can read and change everything.
	Insecure bool `conf:"insecure"`

	// Timeout is how long a handshake may take. Default 2 s.
	Timeout time.Duration `conf:"timeout"`

	// HandshakeFirst has the client begin with its handshake before it is sent anything. Default:
	// the server speaks first, in plain.
	HandshakeFirst HandshakeFirst `conf:"handshake_first,alias=first,alias=immediate"`

	// MinVersion is the oldest version of TLS spoken, "1.2" or "1.3". Default 1.2.
	MinVersion Version `conf:"min_version"`

	// CipherSuites are those that TLS 1.2 may use, by Go's names; TLS 1.3 has no choice to make.
	// Default: all that are secure.
	CipherSuites Suites `conf:"cipher_suites"`

	// AllowInsecureCipherSuites lets CipherSuites name such as are known to be weak.
	AllowInsecureCipherSuites bool `conf:"allow_insecure_cipher_suites"`

	// CurvePreferences are the key exchanges offered. Default: all.
	CurvePreferences Curves `conf:"curve_preferences"`

	// PinnedCerts are the only keys that peers may have: SHA-256 of the certificate's public key
	// (SubjectPublicKeyInfo, DER), in hex. Default: no restriction.
	PinnedCerts Pins `conf:"pinned_certs"`

	// ConnectionRateLimit bounds the handshakes begun in a second. Default: 0, no bound.
	ConnectionRateLimit int `conf:"connection_rate_limit"`

	// What is not here, and refused with the reason where it asks for something.
	CertStore            windowsOnly `conf:"cert_store"`
	CertMatchBy          windowsOnly `conf:"cert_match_by"`
	CertMatch            windowsOnly `conf:"cert_match"`
	CACertsMatch         windowsOnly `conf:"ca_certs_match"`
	CertMatchSkipInvalid windowsOnly `conf:"cert_match_skip_invalid"`
	OCSPPeer             noOCSP      `conf:"ocsp_peer"`
	CheckKnownURLs       routesOnly  `conf:"verify_cert_and_check_known_urls"`
}

// A Pair is a certificate and its private key.
type Pair struct {
	CertFile string `conf:"cert_file"`
	KeyFile  string `conf:"key_file"`
}

const (
	// defaultTimeout and fallbackDelay are nats-server's.
	defaultTimeout = 2 * time.Second
	fallbackDelay  = 50 * time.Millisecond

	// maxPEM bounds a certificate or key file in bytes, and maxCerts the list of pairs.
	maxPEM   = 4 << 20
	maxCerts = 256

	// expirySoon is how long ahead it is warned that a certificate expires.
	expirySoon = 14 * 24 * time.Hour
)

// Given reports whether the block asks for TLS at all.
func (o *Options) Given() bool { return o != nil && !reflect.ValueOf(*o).IsZero() }

// pairs are the certificates, however they are written.
func (o *Options) pairs() []Pair {
	if o.CertFile != "" || o.KeyFile != "" {
		return []Pair{{o.CertFile, o.KeyFile}}
	}
	return o.Certs
}
