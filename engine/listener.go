package engine

import (
	"errors"
	"net"
	"sync"
	"time"
)

// acceptPause is how long a listener rests after the system had no descriptor left for it.
const acceptPause = 500 * time.Millisecond

// A Listener is a door: what it accepts becomes a connection.
type Listener struct {
	// Set before it is open, never written again.
	engine *Engine
	ln     net.Listener
	open   Open

	socket // of a door on a loop

	mu     sync.Mutex
	closed bool
}

// Listen accepts connections on ln, on a loop where there are loops and ln is a TCP or Unix
// socket, else on a goroutine. open is called for each by its owner. ln belongs to the engine then.
func (e *Engine) Listen(ln net.Listener, open Open) (*Listener, error) {
	d := &Listener{engine: e, ln: ln, open: open}
	e.doors.mu.Lock()
	defer e.doors.mu.Unlock()
	if e.closing.Load() {
		return nil, ErrShutdown
	}
	onLoop, err := e.listenSocket(d)
	if err != nil {
		return nil, err
	}
	e.doors.all[d] = struct{}{}
	if !onLoop {
		e.wg.Add(1)
		go d.accept()
	}
	return d, nil
}

// Addr is the listener's address.
func (d *Listener) Addr() net.Addr { return d.ln.Addr() }

// Close closes the door. Connections that came through it stay.
func (d *Listener) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.closeSocket()
	d.mu.Unlock()
	err := d.ln.Close()
	d.engine.doors.mu.Lock()
	delete(d.engine.doors.all, d)
	d.engine.doors.mu.Unlock()
	return err
}

// accept is a door's own goroutine where it is on no loop.
func (d *Listener) accept() {
	defer d.engine.wg.Done()
	for {
		nc, err := d.ln.Accept()
		if err == nil {
			d.engine.Adopt(nc, d.open)
			continue
		}
		d.mu.Lock()
		closed := d.closed
		d.mu.Unlock()
		if closed || errors.Is(err, net.ErrClosed) {
			return
		}
		d.engine.options.Logger.Error("cannot accept connections for now; raise the limit of open files (ulimit -n) if this repeats", "error", err)
		time.Sleep(acceptPause)
	}
}
