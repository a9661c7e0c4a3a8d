package daemon

import (
	"time"

	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// secureResolver makes what an https resolver needs of the resolver_tls block.
func (l *Loaded) secureResolver() (err error) {
	o := &l.Options
	if o.ResolverTLS != nil {
		o.Auth.Operator.ResolverTLS, err = certs.ClientConfig(o.ResolverTLS, "")
	}
	return err
}

// secure reads the files of the tls block and hands what is in them to the parts.
func (l *Loaded) secure() error {
	o := &l.Options
	o.Server.TLS = nil
	if o.TLS == nil {
		return nil
	}
	c, err := certs.Load(o.TLS)
	if err != nil {
		return err
	}
	l.certs = c
	// With handshake_first and nothing else there is no INFO that could offer a choice.
	first, delay := c.HandshakeFirst()
	o.Server.TLS = &server.TLS{
		Security: &engine.Security{Config: c.Config(), Timeout: c.Timeout(), MayBePlain: o.AllowNonTLS && !(first && delay == 0), Grace: delay, Check: c.Check},
		First:    first,
		Verify:   c.Verifies(),
		Allow:    c.Allow,
	}
	if o.Auth.Timeout == 0 {
		o.Auth.Timeout = c.Timeout() + time.Second // credentials come behind the handshake
	}
	return nil
}
