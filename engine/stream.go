package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// streamInput is the size of a reader's buffer.
	streamInput = 4 << 10
	// streamLast is how long a closing connection may take to send its last line, and then to swallow input.
	// How often it looks meanwhile whether the engine is being shut down is streamLook.
	streamLast = time.Second
	streamLook = 50 * time.Millisecond
)

// longAgo as a deadline ends a Read that is under way.
var longAgo = time.Unix(1, 0)

// A stream is what a connection has besides while the stream driver has it.
type stream struct {
	conn *Conn
	poke chan struct{} // something to look at; capacity 1

	// Under Conn.out.mu.
	writing chan struct{} // closed by the writer when it ends; nil while there is none

	// Under mu. Read deadlines are set under it too: a post must not be overlooked by a Read that
	// is about to begin.
	mu       sync.Mutex
	nc       net.Conn
	posts    []func(*Loop)
	wrapping bool // wrap has nc: only a Close may disturb its reads
	over     bool // the last line is being sent; the write deadline stays as it is
}

// newStream makes what c needs to be the stream driver's.
func (e *Engine) newStream(c *Conn, nc net.Conn) *stream {
	s := &stream{conn: c, poke: make(chan struct{}, 1)}
	c.out.mu.Lock()
	if y := c.layer; y != nil {
		nc = y.leave(nc)
	}
	s.nc = nc
	c.loop, c.layer, c.out.stream = nil, nil, s // at once, or somebody would write past the layer
	c.out.mu.Unlock()
	return s
}

// startStream gives c, which is on no loop, a goroutine that reads. open is nil if it has a session
// already. False: the engine is being shut down, and there is no session to be told.
func (e *Engine) startStream(c *Conn, s *stream, open Open) bool {
	e.readers.mu.Lock()
	closing := e.closing.Load() // Shutdown looks through the list after it has set this
	if closing && open != nil {
		e.readers.mu.Unlock()
		return false
	}
	e.readers.all[c] = struct{}{}
	e.wg.Add(1)
	e.readers.mu.Unlock()
	if closing {
		c.Close(ErrShutdown)
	}
	e.tune(1)
	go func() {
		defer e.wg.Done()
		err := c.readStream(s, open)
		c.endStream(s, err)
		e.readers.mu.Lock()
		delete(e.readers.all, c)
		e.readers.mu.Unlock()
		e.tune(-1)
	}()
	return true
}

// tune counts the stream driver's connections, and gives their goroutines a processor of their own
// while there are any: loops that never idle would let them wait.
func (e *Engine) tune(more int) {
	if !e.options.TuneProcs {
		return
	}
	e.streams.mu.Lock()
	defer e.streams.mu.Unlock()
	e.streams.open += more
	want := e.options.Loops
	if e.streams.open > 0 {
		want++
	}
	if runtime.GOMAXPROCS(0) != want {
		runtime.GOMAXPROCS(want)
	}
}

// post queues f for the reader and ends its wait.
func (s *stream) post(f func(*Loop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f != nil && !s.over {
		s.posts = append(s.posts, f)
	}
	if f == nil || !s.wrapping {
		s.nc.SetReadDeadline(longAgo)
	}
	// Under mu: arm must see this, or it would undo the deadline and wait.
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// allow gives one write its time, unless the time for the last line is running.
func (s *stream) allow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.nc.SetWriteDeadline(time.Now().Add(d))
	}
}

// lend runs f with a place of the pool, where match cache and scratch are, and ends its turn.
func (c *Conn) lend(f func(l *Loop)) {
	l := <-c.engine.places
	defer func() { c.engine.places <- l }()
	l.now = Now()
	f(l)
	c.engine.options.TurnEnd(l.Local())
}

// readStream is the reader: it returns why the connection is to be closed.
func (c *Conn) readStream(s *stream, open Open) (err error) {
	if open != nil {
		c.lend(func(*Loop) { c.session = c.opened(open) })
		if c.session == nil {
			return ErrShutdown
		}
	}
	buf := make([]byte, streamInput)
	for {
		c.out.mu.Lock()
		err := c.out.reason
		c.out.mu.Unlock()
		if err != nil {
			return err
		}
		if c.wrap != nil {
			if err := c.wrapStream(s); err != nil {
				return err
			}
			continue
		}
		busy, err := c.chores(s)
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		if c.held != 0 {
			c.pause(s)
			continue
		}
		if !s.arm(c.wakeAt) {
			continue
		}
		room := len(buf)
		if k := c.rest; k != nil && c.need > 0 {
			if !c.growRest() {
				c.noteRefused()
				c.held |= heldFull
				continue
			}
			room = min(room, len(c.rest.buf)-c.rest.w)
		}
		n, err := s.nc.Read(buf[:room])
		if n > 0 {
			if err := c.streamInput(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
				return ErrPeerClosed
			}
			return fmt.Errorf("%w: %w", ErrRead, err)
		}
	}
}

// chores does what was posted, calls Due, and goes on after Again; it reports whether it did anything.
func (c *Conn) chores(s *stream) (busy bool, err error) {
	s.mu.Lock()
	posts := s.posts
	s.posts = nil
	s.mu.Unlock()
	now := Now()
	due := c.wakeAt != 0 && c.wakeAt <= now
	rested := c.held&heldRest != 0 && now >= c.restEnd
	if rested {
		c.held &^= heldRest
	}
	again := c.held == heldAgain || rested && c.held == 0
	if len(posts) == 0 && !due && !again {
		return false, nil
	}
	c.lend(func(l *Loop) {
		for _, f := range posts {
			f(l)
		}
		if due {
			c.wakeAt = 0
			c.session.Due(l, l.now)
		}
		if c.held&^heldAgain == 0 {
			c.held = 0
			if c.rest != nil && c.restLen() >= c.need {
				err = c.feed(l, c.rest.buf[c.rest.r:c.rest.w], true)
			}
		}
	})
	return true, err
}

// pause waits while input is held.
func (c *Conn) pause(s *stream) {
	wait := time.Hour
	now := Now()
	if c.held&heldRest != 0 {
		wait = time.Duration(c.restEnd - now)
	}
	if c.held&heldFull != 0 {
		wait = min(wait, fullRetry)
	}
	if c.wakeAt != 0 {
		wait = min(wait, time.Duration(c.wakeAt-now))
	}
	t := time.NewTimer(max(0, wait))
	defer t.Stop()
	select {
	case <-s.poke:
	case <-t.C:
	}
	c.held &^= heldFull // to ask again
}

// arm sets the deadline of the Read that follows. False: there is something to do first.
func (s *stream) arm(wakeAt int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.poke:
		return false
	default:
	}
	if len(s.posts) > 0 {
		return false
	}
	var deadline time.Time
	if wakeAt != 0 {
		deadline = started.Add(time.Duration(wakeAt))
	}
	s.nc.SetReadDeadline(deadline)
	return true
}

// streamInput hands b to the session, behind what it left before.
func (c *Conn) streamInput(b []byte) (err error) {
	if c.rest != nil {
		c.appendRest(b)
		if c.restLen() < c.need {
			return nil
		}
	}
	c.lend(func(l *Loop) {
		if c.rest != nil {
			err = c.feed(l, c.rest.buf[c.rest.r:c.rest.w], true)
		} else {
			err = c.feed(l, b, false)
		}
	})
	return err
}

// startWriter sees to it that a goroutine writes what is pending. Under out.mu.
func (s *stream) startWriter() {
	if s.writing == nil {
		s.writing = make(chan struct{})
		e := s.conn.engine
		e.wg.Add(1)
		go func() {
			defer e.wg.Done()
			s.conn.writeStream(s)
		}()
	}
}

// writeStream is the writer; it ends when nothing is pending.
func (c *Conn) writeStream(s *stream) {
	o := &c.out
	for {
		o.mu.Lock()
		head := o.head
		o.head, o.tail = nil, nil
		if head == nil {
			close(s.writing)
			s.writing = nil
			o.mu.Unlock()
			return
		}
		nc := s.nc
		o.mu.Unlock()
		n, lost := 0, 0
		var err error
		for k := head; k != nil; k = k.next {
			sent := 0
			if err == nil {
				s.allow(c.engine.options.WriteDeadline)
				sent, err = nc.Write(k.buf[k.r:k.w])
			}
			n += k.w - k.r
			lost += k.w - k.r - sent
		}
		freeChunks(head)
		o.mu.Lock()
		o.lost += lost
		o.bytes = max(0, o.bytes-n)
		if o.head == nil {
			o.bytes = 0
		}
		c.account()
		if err != nil && o.reason == nil {
			o.reason = fmt.Errorf("%w: %w", ErrWrite, err)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				o.reason = ErrWriteDeadline
			}
		}
		o.mu.Unlock()
		if err != nil {
			s.post(nil)
		}
	}
}

// drainStream waits for the writer, and writes what is left when out takes no more.
func (c *Conn) drainStream(s *stream) {
	o := &c.out
	o.mu.Lock()
	if o.head != nil {
		s.startWriter()
	}
	writing := s.writing
	o.mu.Unlock()
	if writing != nil {
		<-writing
	}
}

// wrapStream carries out Upgrade.
func (c *Conn) wrapStream(s *stream) error {
	c.drainStream(s)
	var left []byte
	if c.rest != nil {
		left = append(left, c.rest.buf[c.rest.r:c.rest.w]...)
		c.dropRest()
	}
	wrap := c.wrap
	c.wrap = nil
	if !s.beginWrap() {
		return nil // closed: the reason is looked at next
	}
	nc := s.nc
	if len(left) > 0 {
		nc = &prefixed{Conn: nc, prefix: left}
	}
	wrapped, err := wrap(nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrapping = false
	if err == nil {
		c.out.mu.Lock()
		s.nc = wrapped
		c.out.mu.Unlock()
	}
	return err
}

// beginWrap takes away the read deadline for wrap's handshake. False: the connection is closed.
func (s *stream) beginWrap() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrapping = true
	s.nc.SetReadDeadline(time.Time{})
	s.conn.out.mu.Lock() // who closes from now on will set the deadline after us
	defer s.conn.out.mu.Unlock()
	return s.conn.out.reason == nil
}

// endStream closes the connection and tells the session.
func (c *Conn) endStream(s *stream, err error) {
	o := &c.out
	c.gone = true
	o.mu.Lock()
	if o.reason == nil {
		o.reason = err
	}
	err = o.reason
	o.mu.Unlock()
	s.mu.Lock()
	s.over = true
	s.nc.SetWriteDeadline(time.Now().Add(streamLast))
	s.mu.Unlock()
	there := !errors.Is(err, ErrPeerClosed) && !errors.Is(err, ErrWrite) && !errors.Is(err, ErrWriteDeadline)
	if there {
		c.drainStream(s)
	} else {
		s.nc.Close() // which ends a write that is under way
		o.mu.Lock()
		writing := s.writing
		o.mu.Unlock()
		if writing != nil {
			<-writing
		}
	}
	o.mu.Lock()
	c.dropOut()
	o.mu.Unlock()
	c.dropRest()
	c.leaveQueue()
	c.noteFilling(false)
	if c.session != nil {
		c.session.Closed(err)
	}
	if there {
		s.linger()
		s.nc.Close()
	}
}

// linger swallows input behind the last line, until the peer has closed as well or the time for that is over:
// a socket that is closed with input unread is reset, and the line lost.
func (s *stream) linger() {
	socket, half := s.nc, false
	for {
		if c, ok := socket.(interface{ CloseWrite() error }); ok {
			half = c.CloseWrite() == nil
		}
		outer, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		socket = outer.NetConn()
	}
	if !half {
		return // the peer cannot be told, or is not there
	}
	buf := make([]byte, streamInput)
	for end := time.Now().Add(streamLast); time.Now().Before(end) && !s.conn.engine.closing.Load(); {
		socket.SetReadDeadline(time.Now().Add(streamLook))
		if _, err := socket.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// prefixed is a connection whose first bytes have been read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

// NetConn is what it stands on; see Conn.TLS.
func (p *prefixed) NetConn() net.Conn { return p.Conn }

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		if p.prefix = p.prefix[n:]; len(p.prefix) == 0 {
			p.prefix = nil
		}
		return n, nil
	}
	return p.Conn.Read(b)
}
