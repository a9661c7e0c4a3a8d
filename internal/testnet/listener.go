package testnet

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// maxBacklog is how many dialled connections wait to be accepted before one is refused.
const maxBacklog = 128

// lastPort numbers the made-up addresses, so that every end has its own.
var lastPort atomic.Uint32

func nextAddr() net.Addr {
	n := lastPort.Add(1)
	return &net.TCPAddr{IP: net.IPv4(127, byte(n>>24), byte(n>>16), 1), Port: 1 + int(n%65535)}
}

// A Listener accepts what is dialled on it in memory.
type Listener struct {
	addr net.Addr

	mu      sync.Mutex
	changed *sync.Cond // on mu
	backlog []*Conn
	closed  bool
	refuse  error              // what Dial returns instead of connecting; nil: it connects
	prepare func(server *Conn) // sets faults on a connection before anyone uses it; may be nil
}

var _ net.Listener = (*Listener)(nil)

// Listen returns a listener with an address of its own.
func Listen() *Listener {
	l := &Listener{addr: nextAddr()}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *Listener) Addr() net.Addr { return l.addr }

// Prepare has f called with the server's end of each connection dialled from now on, before
// anyone uses it: the place to set faults.
func (l *Listener) Prepare(f func(server *Conn)) {
	l.mu.Lock()
	l.prepare = f
	l.mu.Unlock()
}

// Refuse makes Dial fail with err until Refuse(nil): a server that is down, or a wire unplugged.
func (l *Listener) Refuse(err error) {
	l.mu.Lock()
	l.refuse = err
	l.mu.Unlock()
}

// Dial connects. As with a socket's backlog it does not wait to be accepted.
func (l *Listener) Dial() (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	refused := l.refuse
	if refused == nil && (l.closed || len(l.backlog) >= maxBacklog) {
		refused = errRefused
	}
	if refused != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: refused}
	}
	client, server := pipe(nextAddr(), l.addr)
	if l.prepare != nil {
		l.prepare(server)
	}
	l.backlog = append(l.backlog, server)
	l.changed.Signal()
	return client, nil
}

// DialContext has the signature that clients take for a dialer of their own. It connects whatever
// the address.
func (l *Listener) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := l.Dial()
	if err != nil {
		return nil, err // not c: a nil *Conn is not a nil net.Conn
	}
	return c, nil
}

// Accept waits for a connection, or for Close.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
		}
		if len(l.backlog) > 0 {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		l.changed.Wait()
	}
}

// Close ends Accept. Connections that nobody has accepted are cut, accepted ones live on.
func (l *Listener) Close() error {
	l.mu.Lock()
	waiting := l.backlog
	l.backlog = nil
	already := l.closed
	l.closed = true
	l.mu.Unlock()
	l.changed.Broadcast()
	if already {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	for _, c := range waiting {
		c.Cut()
	}
	return nil
}
