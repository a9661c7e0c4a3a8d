package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// An outbox moves a queue's messages to the server: in flights, each with a PING behind it whose
// PONG is the receipt for all of its messages.
type outbox struct {
	// Set by newOutbox, never written again.
	conn *Conn
	wake chan struct{} // capacity 1

	mu     sync.Mutex // after Conn.mu
	room   *sync.Cond // something has changed: room, line, end
	queue  *queue
	closed bool

	// The pump's alone.
	flights []flight // oldest first
}

// A flight is messages on their way. Its bytes are bound to one line: on another they are picked anew.
type flight struct {
	line   uint64
	answer chan error // capacity 1
}

func newOutbox(c *Conn, o *OutboxOptions) *outbox {
	box := &outbox{conn: c, wake: make(chan struct{}, 1), queue: newQueue(o)}
	box.room = sync.NewCond(&box.mu)
	return box
}

func (o *outbox) stats() OutboxStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue.expire(time.Now())
	return o.queue.accounts()
}

// line is told when one comes and goes, with Conn.mu held.
func (o *outbox) line(up bool) { o.change(func() { o.queue.line(up) }) }

// close lets nothing more in.
func (o *outbox) close() { o.change(func() { o.closed = true }) }

func (o *outbox) change(f func()) {
	o.mu.Lock()
	f()
	o.mu.Unlock()
	o.room.Broadcast()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// publish takes an encoded operation. ctx bounds the waiting for room; answer, if not nil, is told
// what became of the message.
func (o *outbox) publish(ctx context.Context, subject string, frame []byte, payload int, answer chan error) error {
	stop := o.broadcastAt(ctx)
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if o.closed {
			return ErrClosed
		}
		now := time.Now()
		switch o.queue.admit(subject, len(frame), now) {
		case take:
			err := o.queue.add(subject, frame, payload, now, answer)
			o.signal()
			return err
		case refuse:
			o.queue.sent++
			o.queue.dropped.Full++
			return wrap("publish to", subject, ErrOutboxFull)
		}
		if err := ctx.Err(); err != nil {
			return wrap("publish to", subject, err)
		}
		o.room.Wait()
	}
}

// settled waits until everything published so far is confirmed or dropped.
func (o *outbox) settled(ctx context.Context) error {
	stop := o.broadcastAt(ctx)
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	goal := o.queue.number
	for {
		switch {
		case o.queue.settledUpTo(goal):
			return nil
		case o.closed:
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		o.room.Wait()
	}
}

// broadcastAt wakes those that wait for room when ctx ends.
func (o *outbox) broadcastAt(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() {
		// Whoever looked at ctx and does not wait yet holds mu.
		o.mu.Lock()
		defer o.mu.Unlock()
		o.room.Broadcast()
	})
}

// run is the pump's goroutine, until the connection closes.
func (o *outbox) run() {
	for {
		later := o.launch()
		if age := o.expire(); age > 0 && (later == 0 || age < later) {
			later = age
		}
		var answer chan error
		if len(o.flights) > 0 {
			answer = o.flights[0].answer
		}
		var due <-chan time.Time
		var timer *time.Timer
		if later > 0 {
			timer = time.NewTimer(later)
			due = timer.C
		}
		select {
		case err := <-answer:
			o.land(err)
		case <-o.wake:
		case <-due:
		case <-o.conn.stopped:
			return
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// expire gives up what has become too old, for the sake of those who wait for room or for its end, and
// returns when to look again; zero: there is nothing to look at.
func (o *outbox) expire() (later time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	was := o.queue.kept
	o.queue.expire(now)
	if o.queue.kept < was {
		o.room.Broadcast()
	}
	return o.queue.expires(now)
}

// launch sends what may be sent now and returns when to look again; zero: when woken.
func (o *outbox) launch() (later time.Duration) {
	for len(o.flights) < maxFlights {
		line, info, up := o.conn.lineNow()
		if !up || len(o.flights) > 0 && o.flights[0].line != line {
			return 0 // flights of an old line land first: theirs are the older messages
		}
		o.mu.Lock()
		batch, later := o.queue.pick(time.Now())
		frames := o.queue.frames(batch, &info)
		o.mu.Unlock()
		if len(batch) == 0 {
			return later
		}
		f := flight{line: line, answer: make(chan error, 1)}
		if !o.conn.sendFlight(frames, batch, f) {
			f.answer <- ErrDisconnected
		}
		o.flights = append(o.flights, f)
	}
	return 0
}

// land is the end of the oldest flight.
func (o *outbox) land(err error) {
	o.flights = o.flights[1:]
	o.change(func() {
		var refused refusals
		if err == nil || errors.As(err, &refused) {
			o.queue.confirm(refused)
		} else {
			o.queue.giveBack()
		}
	})
}

// lineNow names the line in use; up: there is one.
func (c *Conn) lineNow() (line uint64, info serverInfo, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines, c.info, c.status == Connected
}

// sendFlight queues a flight and its PING, if the line it is meant for is still there. Should the
// line break before they are written, they go with it.
func (c *Conn) sendFlight(frames []byte, batch []*entry, f flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != Connected || c.lines != f.line {
		return false
	}
	c.controlLocked(func(out []byte) []byte { return append(out, frames...) })
	c.pingLocked(pongWait{answer: f.answer})
	c.counts.outMsgs.Add(uint64(len(batch)))
	for _, e := range batch {
		c.counts.outBytes.Add(uint64(e.payload))
	}
	return true
}
