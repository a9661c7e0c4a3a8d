package engine

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A Session is one protocol conversation. The engine calls it from one goroutine at a time, the
// connection's owner.
type Session interface {
	// Data gives the bytes that have arrived, beginning with what the last call left. It returns
	// how many it is done with; the rest comes again with more behind it. in is the engine's and
	// good only until Data returns. An error closes the connection and is Closed's reason.
	Data(l *Loop, in []byte) (used int, err error)
	// Due is called when the time asked for with Conn.WakeAt has come. now is on Now's scale.
	Due(l *Loop, now int64)
	// Closed is called once, when the connection is gone.
	Closed(reason error)
}

// Open makes the session of a new connection. It is called by the connection's owner before any
// input, and may queue output and ask for a time.
type Open func(c *Conn) Session

// What keeps a connection's input from being read.
const (
	heldAway  = 1 << iota // Away: work for it runs beside the loops
	heldRest              // Rest
	heldFull              // no room for a half message, see Options.PartialTotal
	heldAgain             // Loop.Again: Data is to be called with what is already there
)

const timerOff = -1

// fullRetry is how long input waits before it asks again for room for a half message.
const fullRetry = 500 * time.Millisecond

// A Conn is one connection. Its owner reads and hands input to the session; anyone may queue
// output, and whoever flushes writes it.
type Conn struct {
	// Set before the session sees the connection, never written again.
	engine *Engine
	id     uint64
	remote netip.AddrPort

	// The owner's.
	loop    *Loop // nil once the stream driver has it
	session Session
	rest    *chunk // input that the session has not used yet; nil while there is none
	need    int    // Data is not called before rest holds so much
	wakeAt  int64  // the time of WakeAt, 0 for none
	restEnd int64  // end of Rest
	timer   struct{ prev, next *Conn }

	timerSlot int16 // timerOff: not in the wheel
	held      uint8
	gone      bool                             // Closed has been called, or is about to be
	linger    bool                             // closed for the session, the socket still swallows input
	wrap      func(net.Conn) (net.Conn, error) // set by Upgrade, carried out after Data

	// The owner's to change, and then under mu.
	fd                int32
	index, generation uint32 // in the loop's table
	layer             *layer // TLS on a loop; nil for a plain connection, and with the stream driver

	// Anyone's, under mu.
	out struct {
		mu         sync.Mutex
		stream     *stream // not nil: the stream driver writes
		head, tail *chunk  // not yet taken by the kernel
		bytes      int     // sum of pending, at most Options.MaxPending
		lost       int     // that were given up when it was closed
		mask       uint32  // what epoll watches
		inOff      bool    // input is not watched
		waiting    bool    // the kernel takes no more; the owner writes when it does
		soon       bool    // in the owner's list of connections to write
		reason     error   // why out takes no more; nil while open
	}
	// Of pending output, what is counted in Engine.pending. Written under out.mu.
	counted atomic.Int64
	// When the kernel last took something while waiting. Written under out.mu.
	progress atomic.Int64
	// Since when a half message of more than chunkMiddle is held; 0 if none. The owner writes.
	fillingSince atomic.Int64
}

// ID returns the connection's number, counted from 1 and never used again while the process lives.
func (c *Conn) ID() uint64 { return c.id }

// RemoteAddr returns the peer's address; the zero value where the network has none.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// NetConn returns the net.Conn that the stream driver reads, nil for a connection on a loop. Owner only.
func (c *Conn) NetConn() net.Conn {
	if s := c.out.stream; s != nil {
		return s.nc
	}
	return nil
}

// WakeAt asks for Session.Due at time t on Now's scale, in place of a time asked for before; 0
// asks for nothing. Waits of a second and more come up to a second late. Owner only.
func (c *Conn) WakeAt(t int64) {
	if c.timerSlot != timerOff {
		c.loop.wheel.remove(c)
	}
	c.wakeAt = t
	if t == 0 || c.gone || c.loop == nil {
		return // the stream driver looks at wakeAt before each read
	}
	if t-c.loop.now >= slotWidth {
		c.loop.wheel.add(c)
	} else {
		c.loop.alarms.push(alarm{at: t, kind: alarmWake, conn: c})
	}
}

// Need says that Data is not to be called before n bytes are there. Owner only, within Data; it
// holds until the next call.
func (c *Conn) Need(n int) { c.need = n }

// Rest stops reading input for d. Output goes on. A rest that is under way is not made shorter.
// Owner only.
func (c *Conn) Rest(d time.Duration) {
	end := Now() + int64(d)
	if c.gone || end <= c.restEnd {
		return
	}
	c.restEnd = end
	c.hold(heldRest)
	if c.loop != nil {
		c.loop.alarms.push(alarm{at: end, kind: alarmRest, conn: c})
	}
}

// Away takes work off the owner's goroutine: Data is held, work runs in the engine's pool, then
// runs where Data runs, and input goes on. It reports false, and does nothing, when the pool's
// queue is full, or has no room for more from this address. then is not called if the connection closes
// meanwhile, and work is not done for a peer that has left before its turn came. Addresses take turns; of
// IPv6 64 bits count as one. What work waits for it waits for in Engine.Waiting. Owner only.
func (c *Conn) Away(work func(), then func(l *Loop)) bool { return c.AwayYielding(nil, work, then) }

// AwayYielding is Away for work that may have to let others' go first: yields is asked in the pool when its
// turn has come, and if so work runs when nothing else waits, or has been passed over often enough.
func (c *Conn) AwayYielding(yields func() bool, work func(), then func(l *Loop)) bool {
	j := &job{conn: c, yields: yields}
	j.do = func() bool { return c.away(j, work, then) }
	if !c.engine.workers.run(j) {
		return false
	}
	c.hold(heldAway)
	return true
}

// Post runs f where Data runs; it is dropped if the connection closes first. f runs later, never
// within Post. Anyone.
func (c *Conn) Post(f func(l *Loop)) {
	c.out.mu.Lock()
	s, l := c.out.stream, c.loop
	c.out.mu.Unlock()
	if s != nil {
		s.post(f)
		return
	}
	if l != nil {
		l.inbox.put(post{c, f})
	}
}

// Unread is how many bytes wait for more of what they are part of, since Data has left them or Need has
// asked for more: while the number changes the peer is alive. Owner only.
func (c *Conn) Unread() int { return c.restLen() }

// Held reports whether input has been held by Rest or Away at any time since t, on Now's scale. What
// the peer is expected to send may be waiting unread then. Owner only.
func (c *Conn) Held(t int64) bool { return c.held&(heldAway|heldRest) != 0 || c.restEnd > t }

// Upgrade puts a layer between the socket and the session (TLS has Secure): after Data has returned,
// what is pending is sent as it is, the connection moves to the stream driver, and input that Data
// has not used is the first that wrap's result reads. Upgrades stack. Until wrap has returned
// nobody may queue output, which is so as long as the session has not been attached anywhere. wrap
// runs where Data runs, and carries out its layer's handshake itself, within a time of its own:
// later a Read may be cut short at any moment, and some handshakes cannot go on after that. Close
// ends it. Owner only, within Data.
func (c *Conn) Upgrade(wrap func(net.Conn) (net.Conn, error)) { c.wrap = wrap }

// Close ends the connection: it takes no more output, what is pending is tried once, and
// Session.Closed is handed the reason, the first one given. Anyone.
func (c *Conn) Close(reason error) {
	c.out.mu.Lock()
	first := c.out.reason == nil
	if first {
		c.out.reason = reason
	}
	c.out.mu.Unlock()
	if first {
		c.Post(nil) // the owner looks at the reason
	}
}

// hold stops input for one of the reasons above.
func (c *Conn) hold(why uint8) {
	c.held |= why
	if c.loop != nil {
		c.watchInput()
	}
}

// release ends one of the reasons, and has Data called with what is there once none is left.
func (c *Conn) release(why uint8) {
	if c.gone || c.held&why == 0 {
		return
	}
	c.held &^= why
	if c.held&^heldAgain != 0 || c.loop == nil {
		return // the stream driver looks at held before each read
	}
	c.watchInput()
	if c.layer != nil {
		c.layer.released()
	}
	if c.rest != nil && c.held == 0 && c.restLen() >= c.need {
		c.loop.Again(c)
	}
}

// restLen is the length of the input that the session has not used yet.
func (c *Conn) restLen() int {
	if c.rest == nil {
		return 0
	}
	return c.rest.w - c.rest.r
}

// feed calls Data with in, which is either c.rest's bytes or lies in the driver's buffer, and
// keeps what the session leaves.
func (c *Conn) feed(l *Loop, in []byte, isRest bool) error {
	c.need = 0
	used, err := c.session.Data(l, in)
	if err != nil {
		return err
	}
	if used < 0 || used > len(in) {
		panic("engine: session used more than there is")
	}
	left := in[used:]
	switch k := c.rest; {
	case !isRest && len(left) > 0:
		c.keep(left, len(left))
	case !isRest:
	case len(left) == 0:
		c.dropRest()
	case len(left) >= len(k.buf)/4:
		k.r += used
	default:
		c.keep(left, len(left)) // a small rest must not hold a large chunk
		c.engine.partial.Add(-int64(len(k.buf)))
		k.free()
	}
	c.noteFilling(used > 0)
	return nil
}

// noteFilling keeps the engine's list of half messages in step.
func (c *Conn) noteFilling(moved bool) {
	large := c.rest != nil && len(c.rest.buf) > chunkMiddle
	since := c.fillingSince.Load()
	switch {
	case large && since == 0:
		c.noteRefused()
	case large && moved:
		c.fillingSince.Store(Now())
	case since != 0 && (c.rest == nil || moved && !large):
		c.fillingSince.Store(0)
		c.engine.filling.remove(c)
	}
}

// noteRefused puts c on that list, if it is not there: its half message is large, or may not grow.
func (c *Conn) noteRefused() {
	if c.fillingSince.Load() == 0 {
		c.fillingSince.Store(Now())
		c.engine.nurse(&c.engine.filling, c)
	}
}

// keep copies b into a chunk with room for n bytes and makes it the rest.
func (c *Conn) keep(b []byte, n int) {
	k := takeChunk(max(n, len(b)))
	k.w = copy(k.buf, b)
	c.rest = k
	c.engine.partial.Add(int64(len(k.buf)))
}

// dropRest gives the rest back.
func (c *Conn) dropRest() {
	if c.rest != nil {
		c.engine.partial.Add(-int64(len(c.rest.buf)))
		c.rest.free()
		c.rest = nil
	}
}

// growRest makes room in rest for more of a message of c.need bytes, 0 if its length is not known
// yet: it doubles with what has arrived, so that a stranger who announces much and sends nothing
// costs nothing. False: the bound on all half messages is reached.
func (c *Conn) growRest() bool {
	have, old := c.restLen(), 0
	if k := c.rest; k != nil {
		if k.w < len(k.buf) {
			return true
		}
		old = len(k.buf) // is given back for it
	}
	e := c.engine
	size := max(2*have, chunkMiddle)
	if c.need > 0 {
		size = min(size, c.need)
	}
	if e.partial.Load()+int64(size-old) > e.options.PartialTotal {
		e.starved.Store(true)
		return false
	}
	c.moveRest(size)
	if size > chunkMiddle {
		c.noteRefused() // it is large now; since when it is to be finished does not change
	}
	return true
}

// moveRest puts rest into a chunk with room for n bytes.
func (c *Conn) moveRest(n int) {
	old := c.rest
	if old == nil {
		c.keep(nil, n)
		return
	}
	c.keep(old.buf[old.r:old.w], n)
	c.engine.partial.Add(-int64(len(old.buf)))
	old.free()
}

// appendRest adds b to rest, for a message that is still not whole.
func (c *Conn) appendRest(b []byte) {
	if k := c.rest; k == nil || len(k.buf)-k.w < len(b) {
		have := c.restLen()
		c.moveRest(max(min(c.need, 2*have), have+len(b)))
	}
	k := c.rest
	k.w += copy(k.buf[k.w:], b)
	c.noteFilling(false)
}
