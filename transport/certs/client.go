package certs

import "crypto/tls"

// A Client is what links that we dial need for TLS.
type Client struct{ kept }

// LoadClient reads the files that o names. It does not look at the system's authorities, which takes a
// while on small machines, and may never be needed.
func LoadClient(o *Options) (*Client, error) {
	c := &Client{}
	if err := c.begin(o, false); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is for one handshake with the host serverName. It looks whether the files have changed; as
// long as new ones cannot be used, those before them are. Without ca_file it trusts Roots.
func (c *Client) Config(serverName string) *tls.Config {
	c.Refresh() // who asked for it is told of an error
	l := c.current.Load()
	made := l.config.Clone()
	made.ServerName, made.InsecureSkipVerify = serverName, l.options.Insecure
	if made.RootCAs == nil && !l.options.Insecure {
		made.RootCAs = Roots()
	}
	if pins := l.options.PinnedCerts; len(pins) > 0 {
		made.VerifyConnection = func(state tls.ConnectionState) error { return pins.check(&state) }
	}
	return made
}

// ClientConfig is that of a Client that is used once.
func ClientConfig(o *Options, serverName string) (*tls.Config, error) {
	c, err := LoadClient(o)
	if err != nil {
		return nil, err
	}
	return c.Config(serverName), nil
}
