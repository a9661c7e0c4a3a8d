package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// A loaded is what came out of a block and its files. It never changes once made.
type loaded struct {
	options  Options
	config   *tls.Config
	files    []stamp
	own      []ownCert
	notAfter time.Time
	warnings []string // whatever the time
}

// An ownCert is a certificate of ours.
type ownCert struct {
	file string
	leaf *x509.Certificate
}

// A stamp is how a file looked before it was read.
type stamp struct {
	name string
	info fs.FileInfo
}

// load reads what o names. listener is for a side that accepts.
func load(o *Options, listener bool) (*loaded, error) {
	if err := o.check(listener); err != nil {
		return nil, err
	}
	l := &loaded{options: *o}
	l.config = &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           o.CipherSuites,
		CurvePreferences:       o.CurvePreferences,
		SessionTicketsDisabled: listener, // see doc.go
		// Small records first would only help pages that are drawn as they arrive, and cost a system
		// call each.
		DynamicRecordSizingDisabled: true,
	}
	if o.MinVersion != 0 {
		l.config.MinVersion = uint16(o.MinVersion)
	}
	if o.CipherSuites == nil {
		for _, one := range tls.CipherSuites() {
			l.config.CipherSuites = append(l.config.CipherSuites, one.ID)
		}
	}
	for _, pair := range o.pairs() {
		cert, err := l.pair(pair)
		if err != nil {
			return nil, err
		}
		l.config.Certificates = append(l.config.Certificates, cert)
	}
	if o.CAFile != "" {
		pool, err := l.authorities(o.CAFile)
		if err != nil {
			return nil, err
		}
		l.config.ClientCAs, l.config.RootCAs = pool, pool
	}
	if o.Verify || o.VerifyAndMap {
		l.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if listener && o.Insecure {
		l.warn("insecure has no effect on a listener: what clients are asked for is said by verify")
	}
	if listener && len(o.PinnedCerts) > 0 && !o.Verify && !o.VerifyAndMap {
		l.warn("pinned_certs without verify lets nobody in, because clients are not asked for a certificate: write verify: true")
	}
	return l, nil
}

// check looks at what can be judged without files.
func (o *Options) check(listener bool) error {
	pairs := o.pairs()
	switch {
	case len(o.Certs) > 0 && (o.CertFile != "" || o.KeyFile != ""):
		return fmt.Errorf("%w: cert_file and certs exclude one another: put the pair into certs, as its first", ErrOptions)
	case len(pairs) > maxCerts:
		return fmt.Errorf("%w: certs has %d entries, at most %d are possible", ErrOptions, len(pairs), maxCerts)
	case listener && len(pairs) == 0:
		return fmt.Errorf("%w: cert_file and key_file are missing: without a certificate no client can connect", ErrOptions)
	case o.Timeout < 0:
		return fmt.Errorf("%w: timeout %v is negative: write how long a handshake may take, such as \"2s\"", ErrOptions, o.Timeout)
	}
	for _, pair := range pairs {
		switch {
		case pair.CertFile == "":
			return fmt.Errorf("%w: key_file %q has no cert_file beside it: name its certificate", ErrOptions, pair.KeyFile)
		case pair.KeyFile == "":
			return fmt.Errorf("%w: cert_file %q has no key_file beside it: name its private key", ErrOptions, pair.CertFile)
		}
	}
	if weak := o.CipherSuites.insecure(); len(weak) > 0 && !o.AllowInsecureCipherSuites {
		return fmt.Errorf("%w: cipher_suites names what is known to be weak (%s): remove it, or write allow_insecure_cipher_suites: true",
			ErrOptions, strings.Join(weak, ", "))
	}
	return nil
}

// pair reads one certificate and its key.
func (l *loaded) pair(p Pair) (tls.Certificate, error) {
	chain, err := l.read("cert_file", p.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := l.read("key_file", p.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, explainPair(p, chain, key, err)
	}
	leaf := cert.Leaf
	if leaf == nil { // only where GODEBUG asks for it
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return tls.Certificate{}, fmt.Errorf("%w: cert_file %q: %w", ErrOptions, p.CertFile, err)
		}
		cert.Leaf = leaf
	}
	if l.notAfter.IsZero() || leaf.NotAfter.Before(l.notAfter) {
		l.notAfter = leaf.NotAfter
	}
	l.own = append(l.own, ownCert{p.CertFile, leaf})
	return cert, nil
}

func (l *loaded) warn(text string) { l.warnings = append(l.warnings, text) }

// explainPair says what is wrong with a pair, and what to do.
func explainPair(p Pair, chain, key []byte, err error) error {
	switch text := string(key); {
	case !strings.Contains(string(chain), "-----BEGIN CERTIFICATE-----"):
		return fmt.Errorf("%w: cert_file %q holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): convert it with `openssl x509 -inform DER -in FILE`",
			ErrOptions, p.CertFile)
	case strings.Contains(text, "ENCRYPTED"):
		return fmt.Errorf("%w: key_file %q is locked with a passphrase, and nobody can type it at start: write it without one (`openssl pkey -in FILE`) and let only the server read it",
			ErrOptions, p.KeyFile)
	case !strings.Contains(text, "PRIVATE KEY-----"):
		return fmt.Errorf("%w: key_file %q holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)", ErrOptions, p.KeyFile)
	case strings.Contains(err.Error(), "does not match"):
		return fmt.Errorf("%w: key_file %q is not the key of cert_file %q: name the key that the certificate was requested with",
			ErrOptions, p.KeyFile, p.CertFile)
	}
	return fmt.Errorf("%w: cert_file %q with key_file %q: %w", ErrOptions, p.CertFile, p.KeyFile, err)
}

// authorities reads certificates that others are checked against.
func (l *loaded) authorities(file string) (*x509.CertPool, error) {
	text, err := l.read("ca_file", file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: ca_file %q holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", ErrOptions, file)
	}
	return pool, nil
}

// read reads a file, and notes how it looked.
func (l *loaded) read(key, name string) ([]byte, error) {
	explain := func(err error) error {
		remedy := "look at the name and at who may read it"
		switch {
		case errors.Is(err, fs.ErrNotExist):
			remedy = "relative names count from the folder the server was started in"
		case errors.Is(err, fs.ErrPermission):
			remedy = "let the user that the server runs as read it"
		}
		return fmt.Errorf("%w: %s %q cannot be read: %s: %w", ErrOptions, key, name, remedy, cause(err))
	}
	// Nobody may ever write to a FIFO, and it is handshakes that read these files again.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, explain(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, explain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s %q is no file but %v: name the file itself", ErrOptions, key, name, info.Mode().Type())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err != nil {
		return nil, explain(err)
	}
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: %s %q is larger than %d MiB: that is no certificate", ErrOptions, key, name, maxPEM>>20)
	}
	l.files = append(l.files, stamp{name, info})
	return text, nil
}

// cause is err without the operation and the name, which stand in front of it already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// stale reports whether a file looks other than when it was read, or another one stands in its place.
// One that is gone does not: it may be about to be replaced.
func (l *loaded) stale() bool {
	for _, f := range l.files {
		info, err := os.Stat(f.name)
		if err == nil && (info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime()) || !os.SameFile(info, f.info)) {
			return true
		}
	}
	return false
}
