package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// TLS speaks TLS with every server, and refuses one that does not: no credentials go over a line
// that can be read. nil takes the system's authorities. A program that never names an option of
// this file does not carry the handshake, a fifth of one that does.
func TLS(config *tls.Config) Option {
	return func(o *options) error {
		if config == nil {
			config = new(tls.Config)
		}
		o.tls = config.Clone()
		o.secure = handshakeTLS
		return nil
	}
}

// RootCAs makes the authorities in PEM files the only ones whose servers are believed. It implies
// TLS, and comes after it where both are given.
func RootCAs(files ...string) Option {
	return func(o *options) error {
		pool := x509.NewCertPool()
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("client: authorities: %w", err)
			}
			if !pool.AppendCertsFromPEM(text) {
				return fmt.Errorf("client: authorities: no certificate in %s", file)
			}
		}
		o.wantTLS().RootCAs = pool
		return nil
	}
}

// ClientCert shows the server a certificate, for mutual TLS. The files are read again for every
// line, so that a renewed one is used from the next reconnect on. It implies TLS, and comes after
// it where both are given.
func ClientCert(certFile, keyFile string) Option {
	return func(o *options) error {
		load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("client: certificate %s: %w", certFile, err)
			}
			return &pair, nil
		}
		if _, err := load(nil); err != nil {
			return err
		}
		o.wantTLS().GetClientCertificate = load
		return nil
	}
}

// TLSFirst begins with TLS instead of waiting for the server's INFO, for servers set to
// handshake_first. It implies TLS.
func TLSFirst() Option {
	return func(o *options) error {
		o.wantTLS()
		o.tlsFirst = true
		return nil
	}
}

func (o *options) wantTLS() *tls.Config {
	if o.tls == nil {
		o.tls = new(tls.Config)
	}
	o.secure = handshakeTLS
	return o.tls
}

// handshakeTLS is reached only by way of options.secure: the linker leaves TLS out of programs
// that have no option of this file.
func handshakeTLS(ctx context.Context, o *options, socket net.Conn, host string) (net.Conn, error) {
	config := o.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(socket, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		var unknown x509.UnknownAuthorityError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("TLS: %w; name the authority's file with RootCAs", err)
		}
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}
