package testnet

import (
	"io"
	"os"
	"sync"
	"time"
)

// defaultWindow is what one direction holds before writers wait: like a small socket buffer, so
// that a peer that does not read is noticed soon.
const defaultWindow = 64 << 10

// A segment is bytes on their way that arrive together.
type segment struct {
	bytes []byte
	at    time.Time // when they may be read
}

// A direction carries bytes from one end's Write to the other end's Read. The two ends of a
// connection share two of them.
type direction struct {
	mu      sync.Mutex
	changed *sync.Cond // on mu; any change of what follows, and each deadline

	// All under mu.
	segments []segment
	pending  int // sum of segments' bytes
	window   int // bound of pending, at least 1
	delay    time.Duration
	stalled  bool  // written bytes stay on their way
	chunk    int   // most bytes one read gives; 0: no bound
	left     int64 // bytes that are still carried before a cut; below 0: no cut is planned
	onLeft   func()

	writeClosed bool  // no more will come: the reader gets the rest, then io.EOF
	broken      error // the line is cut: what reads and writes return; nil while whole
	readClosed  bool  // the reader is gone: writes fail

	readDeadline, writeDeadline deadline
}

func newDirection() *direction {
	d := &direction{window: defaultWindow, left: -1}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// set changes something under the lock and lets everybody look again.
func (d *direction) set(f func()) {
	d.mu.Lock()
	f()
	d.mu.Unlock()
	d.changed.Broadcast()
}

// A deadline wakes those who wait when it passes. All under the direction's mu.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (dl *deadline) passed() bool { return !dl.at.IsZero() && !time.Now().Before(dl.at) }

func (d *direction) setDeadline(dl *deadline, at time.Time) {
	d.set(func() {
		if dl.timer != nil {
			dl.timer.Stop()
			dl.timer = nil
		}
		dl.at = at
		if wait := time.Until(at); !at.IsZero() && wait > 0 {
			dl.timer = time.AfterFunc(wait, d.wake)
		}
	})
}

// wake takes the lock so that nobody who has looked but does not wait yet misses it.
func (d *direction) wake() {
	d.set(func() {})
}

func (d *direction) read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.readClosed:
			return 0, io.ErrClosedPipe
		case d.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		if n := d.takeLocked(p); n > 0 {
			d.changed.Broadcast() // the writer has room
			return n, nil
		}
		if d.broken != nil && (d.pending == 0 || d.stalled) {
			return 0, d.broken
		}
		if d.writeClosed && d.pending == 0 {
			return 0, io.EOF
		}
		d.waitForHeadLocked()
	}
}

// takeLocked moves what has arrived into p, at most chunk bytes.
func (d *direction) takeLocked(p []byte) int {
	if d.stalled {
		return 0
	}
	if d.chunk > 0 && len(p) > d.chunk {
		p = p[:d.chunk]
	}
	now := time.Now()
	n := 0
	for n < len(p) && len(d.segments) > 0 && !d.segments[0].at.After(now) {
		head := &d.segments[0]
		copied := copy(p[n:], head.bytes)
		n += copied
		head.bytes = head.bytes[copied:]
		if len(head.bytes) == 0 {
			d.segments = d.segments[1:]
		}
	}
	d.pending -= n
	return n
}

// waitForHeadLocked waits for a change, or for the first segment's time to come.
func (d *direction) waitForHeadLocked() {
	if len(d.segments) > 0 && !d.stalled {
		if wait := time.Until(d.segments[0].at); wait > 0 {
			timer := time.AfterFunc(wait, d.wake)
			defer timer.Stop()
		} else {
			return
		}
	}
	d.changed.Wait()
}

func (d *direction) write(p []byte) (n int, err error) {
	d.mu.Lock()
	for {
		switch {
		case d.writeClosed:
			err = io.ErrClosedPipe
		case d.broken != nil:
			err = d.broken
		case d.readClosed:
			err = errReset
		case d.writeDeadline.passed():
			err = os.ErrDeadlineExceeded
		case n == len(p):
			d.mu.Unlock()
			return n, nil
		}
		if err != nil {
			d.mu.Unlock()
			return n, err
		}
		room := min(d.window-d.pending, len(p)-n)
		if d.left >= 0 {
			room = int(min(int64(room), d.left))
		}
		if room > 0 {
			d.appendLocked(p[n : n+room])
			n += room
		}
		if d.left == 0 && d.onLeft != nil {
			cut := d.onLeft
			d.onLeft = nil
			d.mu.Unlock()
			cut()
			if n == len(p) {
				return n, nil // all of it went before the line broke
			}
			d.mu.Lock()
			continue
		}
		if n < len(p) && room <= 0 {
			d.changed.Wait()
		}
	}
}

func (d *direction) appendLocked(p []byte) {
	d.segments = append(d.segments, segment{append([]byte(nil), p...), time.Now().Add(d.delay)})
	d.pending += len(p)
	if d.left > 0 {
		d.left -= int64(len(p))
	}
	d.changed.Broadcast()
}
