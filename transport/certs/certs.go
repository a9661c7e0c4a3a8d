package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"sync"
	"time"
)

// A Server is what listeners need for TLS.
type Server struct {
	kept

	config *tls.Config // set by Load, never written again

	// Anyone's.
	rate struct {
		mu    sync.Mutex
		end   time.Time // of the second that is counted
		begun int
	}
}

// Load reads the files that o names.
func Load(o *Options) (*Server, error) {
	s := &Server{}
	if err := s.begin(o, true); err != nil {
		return nil, err
	}
	s.config = &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.look()
			return s.current.Load().config, nil
		},
		// Never used; a listener of net/http wants to see one.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.current.Load().config.Certificates[0], nil
		},
	}
	return s, nil
}

// Config is for listeners, and the same each time: a handshake asks it for what is current.
func (s *Server) Config() *tls.Config { return s.config }

// Check refuses a peer whose key is not among pinned_certs. It is for the end of a handshake.
func (s *Server) Check(state *tls.ConnectionState) error {
	return s.current.Load().options.PinnedCerts.check(state)
}

func (p Pins) check(state *tls.ConnectionState) error {
	if len(p) == 0 {
		return nil
	}
	if len(state.PeerCertificates) == 0 || !slices.Contains(p, sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)) {
		return ErrNotPinned
	}
	return nil
}

// Allow counts a handshake, and reports whether connection_rate_limit lets it begin now.
func (s *Server) Allow() bool {
	limit := s.current.Load().options.ConnectionRateLimit
	if limit <= 0 {
		return true
	}
	s.rate.mu.Lock()
	defer s.rate.mu.Unlock()
	if now := time.Now(); !now.Before(s.rate.end) {
		s.rate.end = now.Add(time.Second)
		s.rate.begun = 0
	}
	s.rate.begun++
	return s.rate.begun <= limit
}

// Timeout is how long a handshake may take.
func (s *Server) Timeout() time.Duration {
	if t := s.current.Load().options.Timeout; t > 0 {
		return t
	}
	return defaultTimeout
}

// HandshakeFirst says whether the client begins, and for how long it is waited for then before it is
// spoken to in plain; 0 is for ever.
func (s *Server) HandshakeFirst() (on bool, delay time.Duration) {
	h := s.current.Load().options.HandshakeFirst
	return h.On, h.Delay
}

// Verifies reports whether clients have to show a certificate.
func (s *Server) Verifies() bool {
	return s.current.Load().config.ClientAuth == tls.RequireAndVerifyClientCert
}

// Fingerprint is the SHA-256 of a certificate in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// KeyFingerprint is the SHA-256 of a certificate's public key in hex, as pinned_certs has it.
func KeyFingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
