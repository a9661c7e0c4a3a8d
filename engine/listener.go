package engine

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// acceptPause is how long a listener rests after the system had no descriptor left for it.
	acceptPause = 500 * time.Millisecond
	// droughtReminder is how often it is said at most that this is so: it may be so for weeks, and where
	// each client that leaves makes room for another it ends and begins again all the time.
	droughtReminder = int64(time.Minute)
)

// A Listener is a door: what it accepts becomes a connection.
type Listener struct {
	// Set before it is open, never written again.
	engine *Engine
	ln     net.Listener
	open   Open

	socket // of a door on a loop

	drought drought // of whoever accepts: the loop, or the door's own goroutine

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
			d.accepts()
			d.engine.Adopt(nc, d.open)
			continue
		}
		d.mu.Lock()
		closed := d.closed
		d.mu.Unlock()
		if closed || errors.Is(err, net.ErrClosed) {
			return
		}
		d.cannotAccept(err)
		time.Sleep(acceptPause)
	}
}

// A drought is a time in which the system has no descriptor for a door. The log hears when it begins and when
// it is over, and of one that goes on now and then.
type drought struct {
	began int64 // zero: there is none
	tries int   // that have failed in it
	told  bool  // the log has it
	again int64 // when it may be told of next
}

// goesOn notes a try that has failed, and reports whether to tell of it.
func (w *drought) goesOn(now int64) (tell bool) {
	if w.began == 0 {
		w.began = now
	}
	w.tries++
	if now < w.again {
		return false
	}
	w.told, w.again = true, now+droughtReminder
	return true
}

// over notes that one has ended, and reports whether to tell of it.
func (w *drought) over() (tell bool) {
	tell = w.told
	*w = drought{again: w.again}
	return tell
}

// cannotAccept notes that there was no descriptor for who came.
func (d *Listener) cannotAccept(err error) {
	now := Now()
	if d.drought.goesOn(now) {
		d.engine.options.Logger.Error("cannot accept connections for now; raise the limit of open files (ulimit -n) if this repeats",
			"error", err, "address", d.ln.Addr().String(), "tries", d.drought.tries, "for", d.drought.lasted(now))
	}
}

// accepts notes that somebody has come in.
func (d *Listener) accepts() {
	if d.drought.began == 0 {
		return
	}
	tries, lasted := d.drought.tries, d.drought.lasted(Now())
	if d.drought.over() {
		d.engine.options.Logger.Info("connections are accepted again", "address", d.ln.Addr().String(), "tries", tries, "for", lasted)
	}
}

func (w *drought) lasted(now int64) time.Duration {
	return time.Duration(now - w.began).Round(time.Millisecond)
}
