package engine

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

const (
	// handshakeTimeout is Security.Timeout's default, as in nats-server.
	handshakeTimeout = 2 * time.Second
	// tlsHandshake is the first byte of a record that begins a handshake; its length stands in the
	// last two bytes of its header, and has a bound (RFC 8446, section 5.1).
	tlsHandshake = 0x16
	recordHeader = 5
	maxRecord    = 16<<10 + recordHeader
)

// Security says how connections are secured with TLS. One serves all connections of a listener; it
// is not changed while any of them uses it.
type Security struct {
	// Config is a server's. What its GetConfigForClient returns is used at once, so that new
	// certificates reach the next handshake.
	Config *tls.Config
	// Timeout is how long a peer may take, from Secure on, until its handshake is done. The time that
	// the handshake waits for those of others does not count. Default 2 s.
	Timeout time.Duration
	// MayBePlain leaves a peer plain that begins with anything but a TLS handshake, or sends nothing
	// for Timeout.
	MayBePlain bool
	// Grace is how long Secure waits for a peer to begin before the session is told, by Silent, to
	// speak first. 0: it is not told.
	Grace time.Duration
	// Check looks at what the peer has shown, beside the loops; an error closes the connection. It may
	// be nil.
	Check func(*tls.ConnectionState) error
}

// A SecureSession is a session that may call Conn.Secure. All of these run where Data runs.
type SecureSession interface {
	Session
	// Silent says that Security.Grace is over and the peer has sent nothing.
	Silent(l *Loop)
	// Securing says that the peer has begun its handshake. What is queued here still goes out as it
	// is. An error closes the connection and is Closed's reason.
	Securing(l *Loop) error
	// Secured ends what Secure began: the handshake is done, or the peer stays plain, and state is nil.
	Secured(l *Loop, state *tls.ConnectionState)
}

// Secure has the peer begin a TLS handshake. Until Secured the session gets no Data and no Due, asks
// for no time, and queues no output but before Secure, in Silent and in Securing. A connection that
// waits for its peer to begin costs no more than any other; a handshake runs beside the loops, and
// few at once. If it fails, or is not done in time, the connection is closed without a word, and
// Closed's reason is an ErrHandshake. Owner only, as the last thing that Open does; the session is a
// SecureSession.
func (c *Conn) Secure(o *Security) {
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = handshakeTimeout
	}
	now := Now()
	g := &guard{conn: c, security: o, until: now + int64(timeout)}
	c.session = g
	c.WakeAt(g.until)
	if o.Grace > 0 {
		c.WakeAt(min(g.until, now+int64(o.Grace)))
	}
}

// TLS is the state of the connection's TLS layer, nil for a plain one. Layers that stand on it say
// what they stand on by a method NetConn. Owner only.
func (c *Conn) TLS() *tls.ConnectionState {
	nc := c.NetConn()
	if y := c.layer; y != nil && y.tls != nil {
		nc = y.tls
	}
	for nc != nil {
		if t, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
			state := t.ConnectionState()
			return &state
		}
		below, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = below.NetConn()
	}
	return nil
}

// opened calls open. Where that has called Secure, its guard is the session for now.
func (c *Conn) opened(open Open) Session {
	s := open(c)
	if g, ok := c.session.(*guard); ok && s != nil {
		g.session = s.(SecureSession)
		return g
	}
	return s
}

// A guard stands in for a session between Secure and Secured. All of it is the owner's.
type guard struct {
	conn     *Conn
	security *Security
	session  SecureSession
	until    int64 // the end of Security.Timeout
	told     bool  // Silent has been called
}

// Data implements Session: the first byte says what the peer speaks. A handshake begins when its
// first record is there: who sends half of one gets no goroutine.
func (g *guard) Data(l *Loop, in []byte) (int, error) {
	size := recordHeader
	if len(in) >= size {
		size += int(in[3])<<8 | int(in[4])
	}
	switch {
	case len(in) == 0:
		return 0, nil
	case in[0] != tlsHandshake && g.security.MayBePlain:
		g.stayPlain(l)
		return g.session.Data(l, in)
	case in[0] != tlsHandshake:
		return 0, fmt.Errorf("%w: it began with byte %#02x: a client without TLS, or something else than a client", ErrHandshake, in[0])
	case size > maxRecord:
		return 0, fmt.Errorf("%w: a first record of %d bytes: not TLS", ErrHandshake, size)
	case len(in) < size:
		g.conn.Need(size)
		return 0, nil
	}
	g.conn.WakeAt(0)
	if err := g.session.Securing(l); err != nil {
		return 0, err
	}
	if g.conn.loop != nil {
		return len(in), g.beside(bytes.Clone(in))
	}
	g.conn.wrap = g.within
	return 0, nil
}

// Due implements Session.
func (g *guard) Due(l *Loop, now int64) {
	switch {
	case now < g.until && !g.told && g.security.Grace > 0:
		g.told = true
		g.conn.WakeAt(g.until)
		g.session.Silent(l)
	case now < g.until:
		g.conn.WakeAt(g.until)
	case g.security.MayBePlain:
		g.stayPlain(l)
	default:
		g.conn.Close(fmt.Errorf("%w: %w", ErrHandshake, errNotBegun))
	}
}

// Closed implements Session.
func (g *guard) Closed(reason error) { g.session.Closed(reason) }

func (g *guard) stayPlain(l *Loop) {
	g.conn.WakeAt(0)
	g.conn.session = g.session
	g.session.Secured(l, nil)
}

// shake carries out the handshake on nc, which goes through a gate, between bottom and the layer
// that is made. What bottom writes and reads is nc's.
func (g *guard) shake(nc *gated, bottom net.Conn, left time.Duration) (*tls.Conn, *tls.ConnectionState, error) {
	nc.deadline = time.Now().Add(left)
	nc.SetDeadline(nc.deadline)
	t := tls.Server(bottom, g.security.Config)
	if err := t.Handshake(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	state := t.ConnectionState()
	if check := g.security.Check; check != nil {
		if err := check(&state); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrHandshake, err)
		}
	}
	nc.done = true
	nc.SetDeadline(time.Time{})
	return t, &state, nil
}

// within is Upgrade's wrap, for a connection of the stream driver.
func (g *guard) within(nc net.Conn) (net.Conn, error) {
	c := g.conn
	left := time.Duration(g.until - Now())
	gate := c.engine.gate
	from := gate.wait(c.remote.Addr())
	defer gate.end(from)
	d := &gated{Conn: heeding{nc, c}, gate: gate, source: from}
	t, state, err := g.shake(d, d, left)
	if err != nil {
		return nil, err
	}
	c.Post(func(l *Loop) {
		c.session = g.session
		g.session.Secured(l, state)
	})
	return t, nil
}

// heeding is what a handshake of the stream driver stands on: its deadlines do not undo the one with which
// Close ends its reads.
type heeding struct {
	net.Conn
	conn *Conn
}

func (h heeding) SetDeadline(at time.Time) error {
	err := h.Conn.SetDeadline(at)
	h.conn.out.mu.Lock()
	closed := h.conn.out.reason != nil // who closes from now on will set the deadline after us
	h.conn.out.mu.Unlock()
	if closed {
		return h.Conn.SetReadDeadline(longAgo)
	}
	return err
}
