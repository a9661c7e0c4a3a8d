package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/parser"
)

// run is the reader's goroutine: it serves one line after another until the connection closes.
func (c *Conn) run(ctx context.Context, l *line) {
	defer c.finish()
	pause := &backoff{first: c.options.reconnectWait, limit: c.options.reconnectLimit}
	for {
		began := time.Now()
		err := c.serve(l)
		if !c.lost(err) {
			return
		}
		// A server that takes us and drops us again gets longer pauses, like one that is away.
		if time.Since(began) > c.options.reconnectLimit {
			pause.next = 0
		}
		if l = c.reconnect(ctx, pause, errors.Is(err, ErrLameDuck)); l == nil {
			return
		}
		c.counts.reconnects.Add(1)
		if f := c.options.onReconnect; f != nil {
			c.events.add(func() { f(c) }, true)
		}
	}
}

// serve reads one line until it breaks, with the writer beside it, and says why it broke.
func (c *Conn) serve(l *line) error {
	gone := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- c.writeLoop(l.socket, gone) }()
	err := c.readLoop(l)
	l.socket.Close()
	close(gone)
	// The writer's reason is the better one: it closed the socket under the reader.
	if werr := <-ended; werr != nil {
		err = werr
	}
	return err
}

// lost takes note that the line broke. It reports whether to look for another.
func (c *Conn) lost(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = nil
	if c.status == Closed {
		return false
	}
	if c.status == Connected {
		c.suspendLocked()
	}
	if c.last != nil {
		// The server went before it was told everything. What it was not told goes elsewhere.
		kept := c.last.withoutControl()
		for i := range c.control {
			c.control[i].from += len(kept)
			c.control[i].to += len(kept)
		}
		c.out = append(kept, c.out...)
		c.last = nil
	}
	for _, p := range c.pongs {
		p.settle(ErrDisconnected)
	}
	c.pongs = nil
	c.lastErr = err
	if c.options.noReconnect {
		c.shutLocked(err)
	}
	if f := c.options.onDisconnect; f != nil {
		c.events.add(func() { f(c, err) }, true)
	}
	return !c.options.noReconnect
}

// suspendLocked begins the time without a line: publishes are kept for the next one, all else
// is made anew from the subscriptions when it is there.
func (c *Conn) suspendLocked() {
	c.setStatusLocked(Reconnecting)
	whole := farewell{bytes: c.out, control: c.control}
	c.out, c.control, c.ponged = whole.withoutControl(), nil, false
	c.room.Broadcast()
}

// A farewell is a run of operations, and where in it those stand that mean nothing to another
// server.
type farewell struct {
	bytes   []byte
	control []span
}

func (f *farewell) withoutControl() []byte {
	var kept []byte
	from := 0
	for _, s := range f.control {
		kept = append(kept, f.bytes[from:s.from]...)
		from = s.to
	}
	return append(kept, f.bytes[from:]...)
}

// reconnect tries all servers, round by round, until one takes us. nil: the connection closed.
func (c *Conn) reconnect(ctx context.Context, pause *backoff, moving bool) *line {
	for rounds := 1; ; rounds++ {
		// Before the first round as well: when a server dies, all its clients come at once.
		if !moving && !pause.wait(ctx) {
			return nil
		}
		moving = false
		l, err := c.round(ctx, func(err error) { c.report(nil, err) })
		if err == nil {
			if !c.resume(l) {
				l.socket.Close()
				return nil
			}
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		if c.options.maxReconnects > 0 && rounds >= c.options.maxReconnects {
			c.mu.Lock()
			if c.status != Closed {
				c.shutLocked(err)
			}
			c.mu.Unlock()
			return nil
		}
	}
}

// round tries every server once, each failure told to failed, and returns all of them.
func (c *Conn) round(ctx context.Context, failed func(error)) (*line, error) {
	var all []error
	for _, s := range slices.Clone(c.servers.list) {
		l, err := c.dial(ctx, s)
		if err == nil {
			c.servers.used(s)
			c.servers.announced(l.info.ConnectURLs)
			return l, nil
		}
		if ctx.Err() != nil && len(all) > 0 {
			break
		}
		failed(err)
		all = append(all, err)
	}
	return nil, errors.Join(all...)
}

// resume puts a new line into use: first the subscriptions, then what was published meanwhile.
// false: the connection was closed while the line was made.
func (c *Conn) resume(l *line) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == Closed {
		return false
	}
	var out []byte
	for _, s := range c.snapshot() {
		out = s.appendRestore(out)
	}
	shifted := make([]span, 0, len(c.control)+1)
	shifted = append(shifted, span{0, len(out)})
	for _, s := range c.control {
		shifted = append(shifted, span{s.from + len(out), s.to + len(out)})
	}
	c.out, c.control = append(out, c.out...), shifted
	c.pongs, c.later = c.later, nil
	c.lines++
	c.setStatusLocked(Connected)
	c.socket, c.info, c.address = l.socket, l.info, l.server.address
	c.lastErr = nil
	c.wakeLocked()
	return true
}

// leave is the reader's farewell to a server that is shutting down: one last PING behind all
// that is buffered. What is published from now on waits for the next server.
func (c *Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != Connected || c.last != nil {
		return
	}
	c.pingLocked(pongWait{leave: true, receipts: c.receipts})
	c.receipts = nil
	c.last = &farewell{bytes: c.out, control: c.control}
	c.out, c.control, c.ponged = nil, nil, false
	c.setStatusLocked(Reconnecting)
	c.wakeLocked()
	c.room.Broadcast()
}

// pingLocked queues a PING and notes who waits for its PONG.
func (c *Conn) pingLocked(p pongWait) {
	c.controlLocked(parser.AppendPing)
	if c.status == Connected {
		c.pongs = append(c.pongs, p)
	} else {
		c.later = append(c.later, p)
	}
}

// A backoff is a pause that doubles. Up to half of it is random.
type backoff struct{ first, limit, next time.Duration }

// wait sleeps and reports whether ctx is still alive.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 {
		b.next = b.first
	}
	pause := b.next - rand.N(b.next/2+1)
	b.next = min(2*b.next, b.limit)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
