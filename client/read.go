package client

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/parser"
)

// readLoop reads one socket until it breaks and says why. Its read deadline is the clock of
// everything that is not a message: PINGs, and the two steps of leaving a server.
func (c *Conn) readLoop(l *line) error {
	r := &reading{conn: c, line: l}
	r.input().socket.SetReadDeadline(time.Now().Add(c.options.pingInterval))
	var op parser.Op
	for {
		err := r.input().next(&op)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = r.tick()
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = r.do(&op)
		}
		if err != nil {
			return r.reason(err)
		}
	}
}

// reading is the state of readLoop.
type reading struct {
	conn    *Conn
	line    *line
	silent  int       // ticks in a row without a byte
	moveAt  time.Time // when to leave a server that is shutting down; zero: stay
	leaving bool      // the farewell is sent

	complaint error // the server's last words, if they were about the connection as a whole
}

func (r *reading) input() *input { return r.line.input }

func (r *reading) do(op *parser.Op) error {
	c := r.conn
	switch op.Verb {
	case parser.Msg, parser.HMsg:
		c.deliver(op)
	case parser.Ping:
		c.mu.Lock()
		// One PONG says that we live, however many PINGs there were. A server that asks on
		// and on and reads nothing must not fill our memory.
		// One that we are leaving needs none, and the next has not asked.
		if !c.ponged && c.status == Connected {
			c.controlLocked(parser.AppendPong)
			c.ponged = true
		}
		c.mu.Unlock()
	case parser.Pong:
		return c.doPong()
	case parser.Info:
		r.doInfo(op.Args)
	case parser.Err:
		r.doErr(string(op.Args))
	}
	return nil
}

// deliver hands a message to its subscription. One that comes after UNSUB has none, and is
// nobody's.
func (c *Conn) deliver(op *parser.Op) {
	c.counts.inMsgs.Add(1)
	c.counts.inBytes.Add(uint64(len(op.Header) + len(op.Payload)))
	sid, ok := parseSid(op.Sid)
	if !ok {
		return
	}
	c.subsMu.RLock()
	s := c.subs[sid]
	c.subsMu.RUnlock()
	if s != nil {
		s.deliver(op)
	}
}

// parseSid reads the decimal numbers that we use.
func parseSid(b []byte) (sid uint64, ok bool) {
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		sid = sid*10 + uint64(d-'0')
	}
	return sid, len(b) > 0
}

func (c *Conn) doPong() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pongs) == 0 {
		return nil
	}
	p := c.pongs[0]
	c.pongs = c.pongs[1:]
	p.settle(nil)
	if p.leave {
		return ErrLameDuck
	}
	return nil
}

// doInfo takes over what a server tells in mid-stream.
func (r *reading) doInfo(text []byte) {
	c := r.conn
	var info serverInfo
	if err := info.read(text); err != nil {
		c.report(nil, errors.Join(errors.New("client: bad INFO"), err))
		return
	}
	c.mu.Lock()
	was := c.info
	if info.MaxPayload == 0 {
		info.MaxPayload = was.MaxPayload
	}
	c.info = info
	c.mu.Unlock()
	if added := c.servers.announced(info.ConnectURLs); len(added) > 0 && c.options.onServers != nil {
		c.events.add(func() { c.options.onServers(c, added) }, true)
	}
	if info.LameDuck && !was.LameDuck {
		if f := c.options.onLameDuck; f != nil {
			c.events.add(func() { f(c) }, true)
		}
		// With nowhere to go the server's own end is soon enough. Elsewhere we go before it,
		// each client at a moment of its own.
		if c.servers.others() && !c.options.noReconnect && r.moveAt.IsZero() {
			pause := rand.N(c.options.reconnectWait + 1)
			r.moveAt = time.Now().Add(pause)
			r.line.socket.SetReadDeadline(r.moveAt)
		}
	}
}

// doErr reads a complaint. One about a single operation goes to OnError. All others are about
// the connection: the server ends it, and OnDisconnect is told this instead of "EOF".
func (r *reading) doErr(text string) {
	err := &ServerError{Text: text}
	lower := strings.ToLower(text)
	for _, one := range [...]string{"permissions violation", "maximum subscriptions exceeded", "invalid subject", "invalid publish subject"} {
		if strings.HasPrefix(lower, one) {
			r.conn.refused(text)
			r.conn.report(r.conn.complainedOf(text), err)
			return
		}
	}
	r.complaint = err
}

// complainedOf finds the subscription that a permissions violation is about, if it is one.
func (c *Conn) complainedOf(text string) *Subscription {
	_, rest, ok := strings.Cut(text, "ermissions Violation for Subscription to ")
	if !ok {
		return nil
	}
	name, rest := cutQuoted(rest)
	_, rest, _ = strings.Cut(rest, "using queue ")
	queue, _ := cutQuoted(rest)
	for _, s := range c.snapshot() {
		if s.subject == name && s.queue == queue {
			return s
		}
	}
	return nil
}

// reason says why the line broke in words that help.
func (r *reading) reason(err error) error {
	switch {
	case !isEnd(err):
		return err
	case r.complaint != nil:
		return r.complaint
	}
	return fmt.Errorf("client: the server closed the connection: %w", err)
}

// tick is the read deadline: leave, ask whether anybody is there, or give up.
func (r *reading) tick() error {
	c := r.conn
	socket := r.line.socket
	if r.leaving {
		return ErrLameDuck
	}
	if !r.moveAt.IsZero() && !time.Now().Before(r.moveAt) {
		r.leaving = true
		c.leave()
		socket.SetReadDeadline(time.Now().Add(farewellTimeout))
		return nil
	}
	socket.SetReadDeadline(time.Now().Add(c.options.pingInterval))
	if r.input().fresh {
		r.input().fresh, r.silent = false, 0
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return nil // the last PING may stand behind what a slow line takes; the writer sees to a dead one
	}
	if r.silent >= c.options.maxPingsOut {
		return ErrStale
	}
	r.silent++
	c.pingLocked(pongWait{})
	return nil
}

// isEnd tells the errors that only say that the other side is gone.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
