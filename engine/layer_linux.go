package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sealMax is how much of the output is sealed at once: the content of a record (RFC 8446, section 5.1).
	sealMax = 16 << 10
	// maxAnswers bounds in bytes what TLS itself may have to say to a peer that does not read.
	maxAnswers = 64 << 10
)

// A layer is TLS on a connection that stays on its loop. While the peer is silent it owns no
// goroutine and no buffer but those that crypto/tls keeps. It is the net.Conn on which that stands.
//
// Reading is the owner's: a socket that is dry answers EAGAIN, which crypto/tls takes for a
// temporary error and goes on from later, also in the middle of a record. Sealing is done by whoever
// flushes, a record at a time, and the next one only when the kernel has taken the last: output that
// waits is plain, so that its bounds hold as they stand.
type layer struct {
	conn *Conn

	// The owner's. tls is changed under Conn.out.mu as well.
	tls  *tls.Conn // nil until the handshake is done
	more bool      // there may be input that epoll does not know of
	dry  bool      // the kernel had no more at the last look
	late error     // what came behind input that was handed on

	// Under Conn.out.mu. While nc is not nil crypto/tls reads and writes it: during the handshake,
	// and once the stream driver has the connection.
	nc    net.Conn
	plain int // bytes at the head of the output that are in sealed

	mu     sync.Mutex // the innermost lock
	sealed []byte     // not yet taken by the kernel
}

// beside carries out the handshake beside the loop; input is held meanwhile. in is what has arrived.
func (g *guard) beside(in []byte) error {
	c := g.conn
	if c.Flush(false); c.Pending() > 0 {
		return fmt.Errorf("%w: the peer does not read", ErrHandshake)
	}
	e, size := c.engine, int64(len(in))
	if e.partial.Add(size) > e.options.PartialTotal/2 {
		e.partial.Add(-size)
		return fmt.Errorf("%w: too many at a time", ErrHandshake)
	}
	y := &layer{conn: c}
	c.out.mu.Lock()
	c.layer = y
	c.out.mu.Unlock()
	c.hold(heldAway)
	left := time.Duration(g.until - Now())
	e.wg.Add(1)
	e.gate.begin(c.remote.Addr(), func(from *source) {
		defer e.wg.Done()
		defer e.gate.end(from)
		defer e.partial.Add(-size)
		g.shakeBeside(y, from, in, left)
	})
	return nil
}

// shakeBeside runs on a goroutine of its own. It reads and writes a duplicate of the descriptor.
func (g *guard) shakeBeside(y *layer, from *source, in []byte, left time.Duration) {
	c := g.conn
	nc, err := y.lendSocket(from, in)
	if nc == nil {
		if err != nil {
			c.Close(fmt.Errorf("%w: %w", ErrHandshake, err))
		}
		return
	}
	t, state, err := g.shake(nc, y, left)
	c.out.mu.Lock()
	y.nc = nil
	c.out.mu.Unlock()
	nc.Close()
	if err != nil {
		c.Close(err)
		return
	}
	c.Post(func(l *Loop) {
		c.out.mu.Lock()
		y.tls = t
		c.setMask() // of what was queued meanwhile
		c.out.mu.Unlock()
		c.session = g.session
		g.session.Secured(l, state)
		y.more = true // read with the end of the handshake
		c.release(heldAway)
	})
}

// lendSocket makes the net.Conn of the handshake; none if the connection is closed.
func (y *layer) lendSocket(from *source, in []byte) (*gated, error) {
	c := y.conn
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.fd < 0 || c.out.reason != nil {
		return nil, nil
	}
	nc, err := connOf(int(c.fd))
	if err != nil {
		return nil, err
	}
	d := &gated{Conn: nc, gate: c.engine.gate, source: from, prefix: in}
	y.nc = d
	return d, nil
}

// read is read(2) through the layer: it fills b as far as there is input.
func (y *layer) read(b []byte) (n int, err error) {
	y.more, y.dry = false, false
	if err = y.late; err == nil {
		for n < len(b) && err == nil {
			var m int
			m, err = y.tls.Read(b[n:])
			n += m
		}
	}
	if n > 0 {
		if dry := errors.Is(err, unix.EAGAIN); !dry {
			y.late = err // which may be nil, when b is full
			y.again()
		}
		return n, nil
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, nil // with a close_notify or without: what ends a message is not the end of the line
	case errors.Is(err, unix.EAGAIN):
		return -1, unix.EAGAIN
	case errors.Is(err, unix.ECONNRESET):
		return -1, unix.ECONNRESET
	}
	return -1, err
}

// again has the loop read once more, though epoll may have nothing to say.
func (y *layer) again() {
	y.more = true
	y.conn.loop.inbox.put(post{y.conn, y.readMore})
}

// released says that input is not held any more.
func (y *layer) released() {
	if y.more {
		y.again()
	}
}

func (y *layer) readMore(l *Loop) {
	switch c := y.conn; {
	case !y.more || c.layer != y:
	case c.held == heldAgain:
		y.again() // once Data has been called
	case c.held == 0:
		l.readable(c)
	} // else release asks for it
}

// seal hands pending output to the kernel, sealed, as writeChunks does with what is plain. It
// returns the bytes of the output that it is done with. Under out.mu.
func (y *layer) seal() (done int, err error) {
	c := y.conn
	if y.tls == nil || c.fd < 0 {
		return 0, nil // nothing goes out plain between the two
	}
	at, pos := c.out.head, 0
	if at != nil {
		pos = at.r
	}
	for done < writeMax {
		if ok, err := y.push(); !ok {
			return done, err
		}
		if y.plain > 0 { // the record that stood there
			done, y.plain = min(y.plain, c.out.bytes), 0
			pos += done
		}
		for at != nil && pos >= at.w {
			if at = at.next; at != nil {
				pos = at.r
			}
		}
		if at == nil {
			break
		}
		n := min(sealMax, at.w-pos)
		if _, err := y.tls.Write(at.buf[pos : pos+n]); err != nil {
			return done, explainWrite(err)
		}
		y.mu.Lock()
		left := len(y.sealed)
		y.mu.Unlock()
		if left > 0 {
			y.plain = n
			break
		}
		pos += n
		done += n
	}
	return done, nil
}

// push writes what is sealed. False: the kernel does not take it all now, or the socket has failed.
func (y *layer) push() (bool, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for len(y.sealed) > 0 {
		n, err := write(y.conn.fd, y.sealed)
		if n <= 0 {
			return false, err
		}
		y.sealed = y.sealed[n:]
	}
	y.sealed = nil
	return true, nil
}

// explainWrite is the error of a write without what crypto/tls has put around it.
func explainWrite(err error) error {
	if errors.Is(err, ErrPeerClosed) || errors.Is(err, ErrWrite) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrWrite, err)
}

// closeWrite ends the layer's output.
func (y *layer) closeWrite() {
	if y.tls != nil {
		y.tls.CloseWrite()
		y.push()
	}
}

// leave makes a layer of the stream driver out of y: it stands on nc from now on. Under out.mu.
func (y *layer) leave(nc net.Conn) net.Conn {
	y.nc = nc
	y.conn.taken(min(y.plain, y.conn.out.bytes))
	y.plain = 0
	return y.tls
}

// Read implements net.Conn for crypto/tls.
func (y *layer) Read(b []byte) (int, error) {
	if y.nc != nil {
		return y.nc.Read(b)
	}
	if y.dry {
		return 0, unix.EAGAIN
	}
	n, err := read(y.conn.fd, b)
	switch {
	case n == 0 && err == nil:
		return 0, io.EOF
	case n < 0:
		return 0, err
	}
	y.dry = n < len(b)
	return n, nil
}

// Write implements net.Conn for crypto/tls. On a loop it takes everything: what the kernel does not
// take waits.
func (y *layer) Write(b []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.nc != nil {
		if len(y.sealed) > 0 {
			if _, err := y.nc.Write(y.sealed); err != nil {
				return 0, err
			}
			y.sealed = nil
		}
		return y.nc.Write(b)
	}
	done := 0
	if len(y.sealed) == 0 {
		n, err := write(y.conn.fd, b)
		if err != nil {
			return 0, err
		}
		done = n
	}
	if len(y.sealed)+len(b)-done > maxAnswers {
		return 0, fmt.Errorf("%w: the peer asks and does not read", ErrWrite)
	}
	y.sealed = append(y.sealed, b[done:]...)
	return len(b), nil
}

// Close, and what follows, are there for net.Conn's sake; the owner closes the socket.
func (y *layer) Close() error {
	if y.nc != nil {
		return y.nc.Close()
	}
	return nil
}

func (y *layer) LocalAddr() net.Addr  { return noAddr{} }
func (y *layer) RemoteAddr() net.Addr { return noAddr{} }

func (y *layer) SetDeadline(t time.Time) error {
	if y.nc != nil {
		return y.nc.SetDeadline(t)
	}
	return nil
}

func (y *layer) SetReadDeadline(t time.Time) error {
	if y.nc != nil {
		return y.nc.SetReadDeadline(t)
	}
	return nil
}

func (y *layer) SetWriteDeadline(t time.Time) error {
	if y.nc != nil {
		return y.nc.SetWriteDeadline(t)
	}
	return nil
}

// noAddr is an address that nobody asks for.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }
