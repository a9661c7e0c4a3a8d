package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Status says what a connection is doing.
type Status int

// A connection is Connected or Reconnecting, back and forth, until it is Closed.
const (
	Connected Status = iota
	Reconnecting
	Closed
)

func (s Status) String() string {
	return [...]string{"connected", "reconnecting", "closed"}[s]
}

// A Conn is one connection to a bus, through as many TCP connections as it takes.
type Conn struct {
	// Set by Connect, never written again.
	options options
	cancel  context.CancelFunc // ends dialling, waiting and reading
	done    chan struct{}      // closed by the last goroutine to end
	kick    chan struct{}      // wakes the writer; capacity 1
	stopped chan struct{}      // closed by the reader when the socket is no longer used
	running atomic.Int32       // goroutines of the connection; the last to end closes done
	events  events
	outbox  *outbox // nil: none

	// The reader's alone, after Connect.
	servers *servers

	// Anyone's, under mu.
	mu       sync.Mutex
	room     *sync.Cond // publishers wait here for the writer to take what is in out
	status   Status
	draining bool       // takes no more subscriptions
	idle     bool       // the writer sleeps and wants a kick
	writing  bool       // the writer is about to write, or does, or has ended
	out      []byte     // operations that the writer has not taken
	control  []span     // the ones in out that mean nothing on another connection
	ponged   bool       // there is a PONG in out
	last     *farewell  // all that the writer may still send to a server that is shutting down
	pongs    []pongWait // one for every PING on this socket that has no PONG yet
	later    []pongWait // those of PINGs queued while the line is down
	socket   net.Conn   // nil while there is none
	info     serverInfo
	address  string
	lastErr  error
	nextSid  uint64
	lines    uint64    // how many there have been
	receipts []receipt // for what is in out, with no PING behind it yet
	watchers []*watcher

	// Under subsMu. Changed only with mu held as well.
	subsMu sync.RWMutex
	subs   map[uint64]*Subscription

	requests requests
	counts   counts
}

// A span is a range of bytes in Conn.out.
type span struct{ from, to int }

// Stats are counts since Connect.
type Stats struct {
	InMsgs, OutMsgs   uint64
	InBytes, OutBytes uint64 // payloads and headers
	Reconnects        uint64
	Dropped           uint64 // by slow subscriptions
}

type counts struct {
	inMsgs, inBytes, outMsgs, outBytes, reconnects, dropped atomic.Uint64
}

// Connect connects to one of the servers, which are addresses such as nats://host:4222 with
// commas between them. ctx bounds the connecting only; Close ends the connection.
func Connect(ctx context.Context, urls string, list ...Option) (*Conn, error) {
	o, err := newOptions(list)
	if err != nil {
		return nil, err
	}
	pool, err := parseServers(urls, !o.noRandom)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		options: o, servers: pool, subs: make(map[uint64]*Subscription),
		done: make(chan struct{}), kick: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	c.room = sync.NewCond(&c.mu)
	c.events.wake = make(chan struct{}, 1)
	if o.outbox != nil {
		c.outbox = newOutbox(c, o.outbox)
	}
	first, err := c.firstConnect(ctx)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if c.options.hasHandlers() {
		c.start(c.callHandlers)
	}
	if c.outbox != nil {
		c.start(c.outbox.run)
	}
	c.start(func() { c.run(life, first) })
	return c, nil
}

// start runs f on a goroutine of the connection. It is called by Connect, and with mu held
// while the connection is not closed: then the reader has not ended, and done cannot be closed.
func (c *Conn) start(f func()) {
	c.running.Add(1)
	go func() {
		defer func() {
			if c.running.Add(-1) == 0 {
				close(c.done)
			}
		}()
		f()
	}()
}

func (c *Conn) firstConnect(ctx context.Context) (*line, error) {
	pause := backoff{first: c.options.reconnectWait, limit: c.options.reconnectLimit}
	for {
		first, err := c.round(ctx, func(error) {})
		if err == nil {
			c.resume(first)
			return first, nil
		}
		if !c.options.retryFirst || ctx.Err() != nil {
			return nil, err
		}
		if f := c.options.onError; f != nil {
			f(nil, nil, err) // by ourselves: there is nobody yet who calls handlers
		}
		if !pause.wait(ctx) {
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// Close ends the connection at once: what is buffered is not sent, what waits for a callback
// is not delivered. Use Drain to end in order. It returns when the socket is closed; a
// callback that is running may finish later, see Done.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.status != Closed {
		c.shutLocked(nil)
	}
	c.mu.Unlock()
	<-c.stopped
}

// Done is closed when the connection is closed and all its goroutines have ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// shutLocked is the one way to Closed. The reader does the rest.
func (c *Conn) shutLocked(reason error) {
	c.setStatusLocked(Closed)
	if reason != nil {
		c.lastErr = reason
	}
	c.out, c.control, c.last = nil, nil, nil
	c.cancel()
	if c.socket != nil {
		c.socket.Close()
	}
	c.room.Broadcast()
}

// finish runs at the reader's end, when nothing is read or written any more.
func (c *Conn) finish() {
	c.mu.Lock()
	c.failPongsLocked(ErrClosed)
	c.subsMu.Lock()
	subs := c.subs
	c.subs = nil
	c.subsMu.Unlock()
	c.mu.Unlock()
	for _, s := range subs {
		s.end(ErrClosed)
	}
	if f := c.options.onClose; f != nil {
		c.events.add(func() { f(c) }, true)
	}
	c.events.close()
	close(c.stopped)
}

func (c *Conn) failPongsLocked(err error) {
	for _, list := range [][]pongWait{c.pongs, c.later} {
		for _, p := range list {
			p.settle(err)
		}
	}
	pongWait{receipts: c.receipts}.settle(err)
	c.pongs, c.later, c.receipts = nil, nil, nil
}

// Status says whether the line is up.
func (c *Conn) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Server is the address in use, host:port; the last one while there is none.
func (c *Conn) Server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address
}

// ServerName, ServerVersion and ServerID are what the server in use calls itself.
func (c *Conn) ServerName() string    { return c.serverInfo().ServerName }
func (c *Conn) ServerVersion() string { return c.serverInfo().Version }
func (c *Conn) ServerID() string      { return c.serverInfo().ServerID }

// ClientID is the number that the server gave this connection.
func (c *Conn) ClientID() uint64 { return c.serverInfo().ClientID }

// MaxPayload is the largest message the server takes, headers included.
func (c *Conn) MaxPayload() int { return c.serverInfo().MaxPayload }

func (c *Conn) serverInfo() serverInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// LastError is what last went wrong: why the line broke, or what the server complained of.
func (c *Conn) LastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastErr
}

// Stats returns what the connection has counted.
func (c *Conn) Stats() Stats {
	return Stats{
		InMsgs: c.counts.inMsgs.Load(), OutMsgs: c.counts.outMsgs.Load(),
		InBytes: c.counts.inBytes.Load(), OutBytes: c.counts.outBytes.Load(),
		Reconnects: c.counts.reconnects.Load(), Dropped: c.counts.dropped.Load(),
	}
}

// RTT asks the server for a PONG and says how long that took. What is buffered goes first.
func (c *Conn) RTT(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	err := c.Flush(ctx)
	return time.Since(begin), err
}

// report hands an error that has no caller to OnError.
func (c *Conn) report(s *Subscription, err error) {
	c.mu.Lock()
	c.lastErr = err
	c.mu.Unlock()
	if f := c.options.onError; f != nil {
		c.events.add(func() { f(c, s, err) }, false)
	}
}

// events is the queue of calls to the On... functions.
type events struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	queue  []func()
	closed bool
}

// add queues one call. Errors beyond the bound are not kept: whoever reads them is behind
// already. Changes of state are always kept; reconnecting paces them.
func (e *events) add(f func(), keep bool) {
	e.mu.Lock()
	if keep || len(e.queue) < maxEvents {
		e.queue = append(e.queue, f)
	}
	e.mu.Unlock()
	e.signal()
}

func (e *events) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.signal()
}

func (e *events) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// callHandlers is the goroutine that calls the On... functions, in order.
func (c *Conn) callHandlers() {
	for {
		c.events.mu.Lock()
		queue, closed := c.events.queue, c.events.closed
		c.events.queue = nil
		c.events.mu.Unlock()
		for _, f := range queue {
			f()
		}
		if closed && len(queue) == 0 {
			return
		}
		if len(queue) == 0 {
			<-c.events.wake
		}
	}
}

// snapshot returns the live subscriptions in the order they were made.
func (c *Conn) snapshot() []*Subscription {
	c.subsMu.RLock()
	list := make([]*Subscription, 0, len(c.subs))
	for _, s := range c.subs {
		list = append(list, s)
	}
	c.subsMu.RUnlock()
	slices.SortFunc(list, func(a, b *Subscription) int {
		if a.sid < b.sid {
			return -1
		}
		return 1
	})
	return list
}
