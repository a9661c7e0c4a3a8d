package client

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/edgebus-io/edgebus/parser"
	"github.com/edgebus-io/edgebus/subject"
)

// A Subscription is one interest in a subject, which may hold wildcards.
type Subscription struct {
	// Set by the constructor, never written again.
	conn           *Conn
	sid            uint64
	subject, queue string
	callback       func(*Msg)    // run on the subscription's own goroutine
	inline         func(*Msg)    // run on the reader's; must not wait
	channel        chan *Msg     // the caller's
	wake           chan struct{} // capacity 1
	done           chan struct{} // closed when nothing more will be handed out
	limitMessages  int           // that wait at most
	limitBytes     int
	policy         Policy // DropNewest or DropOldest

	// The reader's alone.
	lastSubject string // of the message before, so that a stream of equal ones shares one

	mu       sync.Mutex
	waiting  ring
	max      uint64 // end after so many; 0: never
	received uint64
	handed   uint64
	dropped  uint64
	slow     bool  // OnError was told, and the queue was never half empty since
	gone     bool  // the server was told to forget it: not restored on a new line
	closing  bool  // nothing more comes in; what waits is still handed out
	ended    error // why nothing is handed out any more
}

// Subscribe calls f for each message on subject, one at a time, on a goroutine of the
// subscription's own.
func (c *Conn) Subscribe(subject string, f func(*Msg), list ...SubOption) (*Subscription, error) {
	return c.subscribe(&Subscription{subject: subject, callback: f}, list...)
}

// QueueSubscribe is Subscribe as a member of a group: each message goes to one of them.
func (c *Conn) QueueSubscribe(subject, queue string, f func(*Msg), list ...SubOption) (*Subscription, error) {
	if queue == "" {
		return nil, ErrQueueName
	}
	return c.subscribe(&Subscription{subject: subject, queue: queue, callback: f}, list...)
}

// SubscribeSync keeps messages for NextMsg and Messages. An empty queue makes no group.
func (c *Conn) SubscribeSync(subject, queue string, list ...SubOption) (*Subscription, error) {
	return c.subscribe(&Subscription{subject: subject, queue: queue}, list...)
}

// SubscribeChan sends messages to ch, whose capacity is the bound: what does not fit is
// dropped and counted. ch is the caller's and never closed by us; see Subscription.Done. An
// empty queue makes no group.
func (c *Conn) SubscribeChan(subject, queue string, ch chan *Msg) (*Subscription, error) {
	if ch == nil {
		return nil, errors.New("client: SubscribeChan needs a channel")
	}
	return c.subscribe(&Subscription{subject: subject, queue: queue, channel: ch})
}

func (c *Conn) subscribe(s *Subscription, list ...SubOption) (*Subscription, error) {
	s.limitMessages, s.limitBytes, s.policy = c.options.queueMessages, c.options.queueBytes, DropNewest
	for _, set := range list {
		if err := set(s); err != nil {
			return nil, err
		}
	}
	if err := checkFilter(s.subject); err != nil {
		return nil, err
	}
	if strings.ContainsAny(s.queue, " \t\r\n\x00") {
		return nil, wrap("queue", s.queue, ErrQueueName)
	}
	s.conn = c
	s.wake, s.done = make(chan struct{}, 1), make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.status == Connected && len(c.out) >= writeHigh {
		c.room.Wait()
	}
	if c.status == Closed {
		return nil, ErrClosed
	}
	if c.draining {
		return nil, ErrDraining
	}
	c.nextSid++
	s.sid = c.nextSid
	c.subsMu.Lock()
	c.subs[s.sid] = s
	c.subsMu.Unlock()
	if c.status == Connected {
		c.controlLocked(func(out []byte) []byte { return parser.AppendSub(out, s.subject, s.queue, s.tag()) })
	}
	if s.callback != nil {
		c.start(s.callLoop)
	}
	return s, nil
}

func (s *Subscription) tag() string { return strconv.FormatUint(s.sid, 10) }

// appendRestore appends what makes the subscription on a new line.
func (s *Subscription) appendRestore(out []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return out
	}
	out = parser.AppendSub(out, s.subject, s.queue, s.tag())
	if s.max > 0 {
		// The new server counts from here.
		out = parser.AppendUnsub(out, s.tag(), s.max-min(s.received, s.max-1))
	}
	return out
}

// Subject is what was subscribed to.
func (s *Subscription) Subject() string { return s.subject }

// Queue is the group's name, or empty.
func (s *Subscription) Queue() string { return s.queue }

// Done is closed when nothing more will be handed out and the callback has returned.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Pending is what waits for the callback or NextMsg.
func (s *Subscription) Pending() (messages, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channel != nil {
		return len(s.channel), 0
	}
	return s.waiting.count, s.waiting.bytes
}

// Delivered counts messages handed out, Dropped those that found the queue full.
func (s *Subscription) Delivered() uint64 { return s.count(&s.handed) }
func (s *Subscription) Dropped() uint64   { return s.count(&s.dropped) }

func (s *Subscription) count(counter *uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *counter
}

// deliver runs on the reader's goroutine and never waits.
func (s *Subscription) deliver(op *parser.Op) {
	m := s.message(op)
	lost := 0
	s.mu.Lock()
	if s.closing || s.ended != nil {
		s.mu.Unlock()
		return
	}
	s.received++
	last := s.max > 0 && s.received >= s.max
	size := len(op.Header) + len(op.Payload)
	taken, tell := true, false
	switch {
	case s.inline != nil:
		s.handed++
	case s.channel != nil:
		select {
		case s.channel <- m:
			s.handed++
		default:
			taken = false
		}
	default:
		lost = s.queueLocked(m, size)
		taken = lost == 0
	}
	if !taken {
		lost = max(lost, 1)
		s.dropped += uint64(lost)
		tell, s.slow = !s.slow, true
	} else if s.channel != nil && len(s.channel) <= cap(s.channel)/2 {
		s.slow = false
	}
	s.mu.Unlock()
	s.signal()
	if s.inline != nil {
		s.inline(m)
	}
	if !taken {
		s.conn.counts.dropped.Add(uint64(lost))
	}
	if tell {
		s.conn.report(s, wrap("subscription to", s.subject, ErrSlowConsumer))
	}
	if last {
		s.conn.forget(s)
		s.close(ErrSubscriptionClosed)
	}
}

// queueLocked puts a message into the queue and returns how many were lost for it: itself, or older
// ones. A message larger than the queue may be waits alone.
func (s *Subscription) queueLocked(m *Msg, size int) (lost int) {
	full := func() bool {
		return s.waiting.count > 0 && (s.waiting.count >= s.limitMessages || s.waiting.bytes+size > s.limitBytes)
	}
	if full() && s.policy == DropNewest {
		return 1
	}
	for ; full(); lost++ {
		s.waiting.pop()
	}
	s.waiting.push(m, size)
	return lost
}

// message copies op out of the read buffer: the one copy.
func (s *Subscription) message(op *parser.Op) *Msg {
	m := &Msg{Sub: s}
	if s.lastSubject != string(op.Subject) {
		s.lastSubject = string(op.Subject)
	}
	m.Subject = s.lastSubject
	if len(op.Reply) > 0 {
		m.Reply = string(op.Reply)
	}
	m.Data = append([]byte(nil), op.Payload...)
	if len(op.Header) > 0 {
		readHeader(op.Header, m)
	}
	return m
}

// next takes the next message that waits. ok: there was one. err: there will be none.
func (s *Subscription) next() (m *Msg, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil && s.closing && s.waiting.count == 0 {
		s.endLocked(ErrSubscriptionClosed)
	}
	// wake holds one token for all who wait: whoever takes it passes it on.
	if s.ended != nil || s.waiting.count > 1 {
		defer s.signal()
	}
	if s.ended != nil || s.waiting.count == 0 {
		return nil, false, s.ended
	}
	m = s.waiting.pop()
	s.handed++
	if s.waiting.count <= s.limitMessages/2 && s.waiting.bytes <= s.limitBytes/2 {
		s.slow = false
	}
	return m, true, nil
}

// callLoop is the goroutine that runs the callback.
func (s *Subscription) callLoop() {
	defer close(s.done)
	for {
		m, ok, err := s.next()
		switch {
		case err != nil:
			return
		case ok:
			s.callback(m)
		default:
			<-s.wake
		}
	}
}

// NextMsg waits for a message of a subscription made by SubscribeSync. Several goroutines may
// wait at once.
func (s *Subscription) NextMsg(ctx context.Context) (*Msg, error) {
	if s.callback != nil || s.channel != nil || s.inline != nil {
		return nil, ErrNotSync
	}
	for {
		m, ok, err := s.next()
		if ok || err != nil {
			return m, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Unsubscribe ends the subscription at once. What waits is not handed out.
func (s *Subscription) Unsubscribe() error {
	if !s.conn.unsubscribe(s, 0) {
		return ErrSubscriptionClosed
	}
	s.end(ErrSubscriptionClosed)
	return nil
}

// AutoUnsubscribe ends the subscription after max messages, counted from its beginning.
func (s *Subscription) AutoUnsubscribe(max uint64) error {
	if max == 0 {
		return s.Unsubscribe()
	}
	s.mu.Lock()
	s.max = max
	over := s.received >= max
	s.mu.Unlock()
	if over {
		max = 0
	}
	if !s.conn.unsubscribe(s, max) {
		return ErrSubscriptionClosed
	}
	if over {
		s.conn.forget(s)
		s.close(ErrSubscriptionClosed)
	}
	return nil
}

// Drain ends the subscription in order: the server sends no more, what is here is handed out.
// It returns when that is done. Called from the subscription's own callback it would wait for
// itself until ctx ends.
func (s *Subscription) Drain(ctx context.Context) error {
	if !s.conn.unsubscribe(s, 0) {
		return ErrSubscriptionClosed
	}
	return s.drained(ctx, s.conn.Flush(ctx))
}

// drained waits for the end of a subscription that the server knows no more.
func (s *Subscription) drained(ctx context.Context, err error) error {
	s.conn.forget(s)
	s.close(ErrSubscriptionClosed)
	if err != nil {
		return err
	}
	if s.callback == nil {
		return nil // whoever reads takes what is left when it likes
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unsubscribe tells the server. With a max of 0 it is also the end of the subscription for
// restoring, though messages that are on their way still arrive until forget.
func (c *Conn) unsubscribe(s *Subscription, max uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subsMu.RLock()
	live := c.subs[s.sid] == s
	c.subsMu.RUnlock()
	if !live || c.status == Closed {
		return false
	}
	if c.status == Connected {
		c.controlLocked(func(out []byte) []byte { return parser.AppendUnsub(out, s.tag(), max) })
	}
	if max == 0 {
		s.mu.Lock()
		s.gone = true
		s.mu.Unlock()
	}
	return true
}

// forget takes the subscription off the books.
func (c *Conn) forget(s *Subscription) {
	c.mu.Lock()
	c.subsMu.Lock()
	delete(c.subs, s.sid)
	c.subsMu.Unlock()
	c.mu.Unlock()
}

// close lets nothing more in. What waits is handed out.
func (s *Subscription) close(reason error) {
	s.mu.Lock()
	s.closing = true
	if s.callback == nil && s.waiting.count == 0 {
		s.endLocked(reason)
	}
	s.mu.Unlock()
	s.signal()
}

// end hands nothing more out.
func (s *Subscription) end(reason error) {
	s.conn.forget(s)
	s.mu.Lock()
	s.endLocked(reason)
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) endLocked(reason error) {
	if s.ended != nil {
		return
	}
	s.closing, s.ended = true, reason
	s.waiting = ring{}
	if s.callback == nil {
		close(s.done)
	}
}

func checkFilter(filter string) error {
	if !subject.ValidFilter(filter) || strings.IndexByte(filter, 0) >= 0 {
		return wrap("subject", filter, ErrSubject)
	}
	return nil
}
