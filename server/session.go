package server

import (
	"strconv"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// What a session has been told by CONNECT, and how far it has come.
const (
	isVerbose uint16 = 1 << iota
	isPedantic
	wantsEcho
	wantsNoResponders
	takesInfo // protocol 1: may be sent INFO at any time
	hasHeaders
	isConnected // CONNECT was accepted
	hasPonged   // the first PONG after that has gone out
	isAway      // credentials are being checked beside the loop
	owesFlush   // output was queued that nobody has flushed
	isRefused   // not in the server's list: it only waits to be closed
	isMute      // INFO has not been said, because the client is to begin with TLS
	tlsFirst    // and did
	isSecuring  // nothing may be said until TLS is done
	isOver      // closed by us: nothing that it sends is looked at
	isCounted   // by the turnstile
)

// How messages go out, in session.output.
const (
	takesHeaders uint8 = 1 << iota // as HMSG, if they have a header
	isTraced                       // each operation is logged, in both directions
)

// beforeConnect is how a client is treated that has not sent CONNECT: what CONNECT leaves out means
// the same.
const beforeConnect = isVerbose | isPedantic | wantsEcho

// A session is one client's conversation. There may be ten thousand that are silent, so it holds
// numbers and pointers only; what a client says of itself is in an about, which many share.
type session struct {
	// Set before the engine sees it, never written again.
	conn    *engine.Conn
	door    *door
	started uint32 // hundredths of a second on the engine's scale; see age

	// Under Server.mu.
	place int32 // in Server.sessions

	// The owner's. Times are on the engine's scale.
	peer     *broker.Peer // nil until it may publish
	about    *about       // nil until CONNECT
	pingAt   int64        // when to look whether a PING is due
	until    int64        // when credentials must have come, and after that when they expire; 0: never
	lastIn   int64        // when it last did something but answer PINGs
	pingSent int64        // the last PING
	inMsgs   uint64
	inBytes  uint64
	rtt      uint32 // microseconds, 0 until CONNECT, and a guess until the first PONG
	flags    uint16
	pingsOut uint8 // without an answer

	// Anyone's, under the connection's output lock.
	output   uint8 // how messages go out; only the owner writes it
	outMsgs  uint64
	outBytes uint64
}

// hundredth is the unit of session.started: 32 bits of them are 497 days, which no age exceeds that
// anybody looks at.
const hundredth = int64(10 * time.Millisecond)

// age is how long ago the session began.
func (s *session) age(now int64) time.Duration {
	return time.Duration(int64(uint32(now/hundredth)-s.started) * hundredth)
}

// A work is what one call of Data needs and no connection keeps.
type work struct {
	op      parser.Op
	msg     broker.Msg
	connect connectRequest
	text    []byte
}

var works = sync.Pool{New: func() any { return new(work) }}

// release gives w back without what it points to.
func (w *work) release() {
	w.op = parser.Op{}
	w.msg = broker.Msg{}
	works.Put(w)
}

func (s *session) is(flag uint16) bool { return s.flags&flag != 0 }

func (s *session) set(flag uint16, on bool) {
	s.flags &^= flag
	if on {
		s.flags |= flag
	}
}

// Wake implements broker.Sink.
func (s *session) Wake(soon bool) (rest time.Duration) { return s.conn.Flush(soon) }

// Rest implements broker.Rester.
func (s *session) Rest(d time.Duration) { s.conn.Rest(d) }

// say queues a line for the client itself.
func (s *session) say(line string) {
	c := s.conn
	if !c.Begin(len(line)) {
		return
	}
	c.Put(append(c.Room(len(line)), line...))
	c.End()
	s.flags |= owesFlush
	if s.output&isTraced != 0 {
		s.traceLine([]byte(line))
	}
}

const (
	lineOK   = "+OK\r\n"
	linePing = "PING\r\n"
	linePong = "PONG\r\n"
)

func (s *session) sayOK() {
	if s.is(isVerbose) {
		s.say(lineOK)
	}
}

// complain queues an -ERR.
func (s *session) complain(text string) { s.say("-ERR '" + text + "'\r\n") }

// complainOf is complain about a subject, which is quoted as nats-server does it. It may be empty, if
// that is what a message was mapped to.
func (s *session) complainOf(text string, subject []byte, after string) {
	b := append(make([]byte, 0, 128), "-ERR '"...)
	b = strconv.AppendQuote(append(b, text...), string(subject))
	s.sayBytes(append(append(b, after...), "'\r\n"...))
}

// sayBytes is say for a line of any length.
func (s *session) sayBytes(b []byte) {
	if !s.conn.Begin(len(b)) {
		return
	}
	s.conn.Write(b)
	s.conn.End()
	s.flags |= owesFlush
	if s.output&isTraced != 0 {
		s.traceLine(b)
	}
}

// fail tells the client why it is going to be closed, and returns that.
func (s *session) fail(why *closing) error {
	if why.wire != "" {
		s.complain(why.wire)
	}
	return why
}

// close is fail outside of Data, which has nobody to return an error to.
func (s *session) close(why *closing) {
	if !s.is(isSecuring) {
		s.fail(why)
	}
	s.end(why)
}

// end closes the connection. What has arrived already, and would be handed to Data before the engine
// comes to that, is not carried out any more.
func (s *session) end(reason error) {
	s.flags |= isOver
	s.conn.Close(reason)
}

// settle flushes what this session has queued for its own client. What was queued for others is
// flushed by the lane.
func (s *session) settle() {
	if s.is(owesFlush) {
		s.flags &^= owesFlush
		s.conn.Flush(false)
	}
}

// Due implements engine.Session: the time for credentials is over, or theirs, or that for a PING.
func (s *session) Due(l *engine.Loop, now int64) {
	if s.is(isOver) {
		return // it may still be taking what waits for it
	}
	set := s.door.server.settings.Load()
	switch {
	case s.until == 0:
	case s.peer != nil:
		if why := s.heed(set); why != nil {
			s.close(why)
			return
		}
	case s.until > now:
	case !s.is(isAway):
		s.close(errAuthTimeout)
		return
	default:
		// It has brought credentials; that nobody has looked at them yet is not its fault.
		s.until = now + int64(set.directory.Timeout())
	}
	if now >= s.pingAt && !s.doDuePing(set, now) {
		return
	}
	s.arm()
	s.settle()
}

// doDuePing sends a PING if the client has been silent for an interval; the first one in any case,
// because it measures the round trip. False: the client is stale and was closed.
func (s *session) doDuePing(set *settings, now int64) bool {
	interval := int64(set.PingInterval)
	measure := s.pingSent == 0 || now-s.pingSent > measureAgain
	switch {
	case now-s.lastIn < interval && !measure:
	case s.pingsOut > 0 && s.conn.Held(now-interval): // its answer may lie there unread
	case int(s.pingsOut) >= set.PingMax:
		s.door.server.stale.Add(1)
		s.close(errStale)
		return false
	default:
		s.pingsOut++
		s.pingSent = now
		s.say(linePing)
	}
	s.pingAt = now + interval
	if interval >= int64(time.Minute) {
		s.pingAt += pingGrain - 1 - (s.pingAt-1)%pingGrain
	}
	return true
}

// arm asks for the earlier one of the session's two times. The engine may be a second late with
// what is a second away or more. That is good enough for most PINGs; where it is not, Due is asked
// for too early, and arms again for what is left.
func (s *session) arm() {
	const early = int64(time.Second - time.Millisecond)
	at, exact := s.pingAt, int64(s.door.server.settings.Load().PingInterval) < pingGrain
	if s.until != 0 && s.until <= at {
		at, exact = s.until, true
	}
	if exact && at-engine.Now() > early {
		at -= early
	}
	s.conn.WakeAt(at)
}

// Closed implements engine.Session.
func (s *session) Closed(reason error) {
	why := closingOf(reason)
	s.leave(why)
	if s.peer != nil {
		s.peer.Detach()
	}
	s.door.server.left(s, why)
}
