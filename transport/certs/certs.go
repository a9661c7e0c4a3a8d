package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// refreshEvery is how often, at the most, the files are looked at for changes.
const refreshEvery = 10 * time.Second

// A Server is what listeners need for TLS.
type Server struct {
	// Set by Load, never written again.
	config *tls.Config

	// Anyone's.
	current atomic.Pointer[loaded]

	refresh struct {
		mu   sync.Mutex
		next time.Time
		told func(error)
		last string // the error that was told last
	}
	rate struct {
		mu    sync.Mutex
		end   time.Time // of the second that is counted
		begun int
	}
}

// Load reads the files that o names.
func Load(o *Options) (*Server, error) {
	l, err := load(o, true)
	if err != nil {
		return nil, err
	}
	if o.Insecure {
		l.warn("insecure has no effect on a listener: what clients are asked for is said by verify")
	}
	if len(o.PinnedCerts) > 0 && !o.Verify && !o.VerifyAndMap {
		l.warn("pinned_certs without verify lets nobody in, because clients are not asked for a certificate: write verify: true")
	}
	s := &Server{}
	s.current.Store(l)
	s.refresh.next = time.Now().Add(refreshEvery)
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

// OnRefresh has f told, from any goroutine, when files have changed: they are used from now on, or
// err says why they cannot be, and the old ones stay.
func (s *Server) OnRefresh(f func(err error)) {
	s.refresh.mu.Lock()
	s.refresh.told = f
	s.refresh.mu.Unlock()
}

// look uses the files that have changed, if it is time to look at them.
func (s *Server) look() {
	s.refresh.mu.Lock()
	if now := time.Now(); now.Before(s.refresh.next) {
		s.refresh.mu.Unlock()
		return
	} else {
		s.refresh.next = now.Add(refreshEvery)
	}
	s.refresh.mu.Unlock()
	s.Refresh()
}

// Refresh reads the files anew if they have changed, and reports whether they have. With an error
// what was there stays in use.
func (s *Server) Refresh() (changed bool, err error) {
	old := s.current.Load()
	if !old.stale() {
		return false, nil
	}
	l, err := load(&old.options, true)
	if err == nil && !s.current.CompareAndSwap(old, l) {
		return true, nil // somebody else has looked, and was faster
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.refresh.mu.Lock()
	told, again := s.refresh.told, err != nil && text == s.refresh.last
	s.refresh.last = text
	s.refresh.mu.Unlock()
	if told != nil && !again {
		told(err) // once, though every later look finds the same
	}
	return true, err
}

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

// NotAfter is when the first of the certificates expires.
func (s *Server) NotAfter() time.Time { return s.current.Load().notAfter }

// Warnings are what the operator should know of what is in use.
func (s *Server) Warnings() []string { return slices.Clone(s.current.Load().warnings) }

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

// CheckClient says what is wrong with o for ClientConfig. Unlike that it does not look at the system's
// authorities, which takes a while on small machines, and may never be needed.
func CheckClient(o *Options) error {
	_, err := load(o, false)
	return err
}

// ClientConfig is for a link that we dial to the host serverName. Without ca_file it trusts Roots.
func ClientConfig(o *Options, serverName string) (*tls.Config, error) {
	l, err := load(o, false)
	if err != nil {
		return nil, err
	}
	c := l.config
	c.ServerName, c.InsecureSkipVerify = serverName, o.Insecure
	if c.RootCAs == nil && !o.Insecure {
		c.RootCAs = Roots()
	}
	if pins := o.PinnedCerts; len(pins) > 0 {
		c.VerifyConnection = func(state tls.ConnectionState) error { return pins.check(&state) }
	}
	return c, nil
}
