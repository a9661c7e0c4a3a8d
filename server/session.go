package server

import (
	"strconv"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/auth"
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
	authBy   int64        // when credentials must have come; 0: they have, or none are needed
	lastIn   int64        // when it last did something but answer PINGs
	pingSent int64        // the last PING
	inMsgs   uint64
	inBytes  uint64
	rtt      uint32 // microseconds, 0 until the first PONG
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

// An about is what a client said of itself, and who it turned out to be. It never changes once made.
type about struct {
	name, lang, version string
	identity            *auth.Identity
	claimed             string // the user that was refused
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

// complain queues an -ERR. The subject, if there is one, is quoted as nats-server does.
func (s *session) complain(text string, subject []byte, after string) {
	b := append(make([]byte, 0, 128), "-ERR '"...)
	b = append(b, text...)
	if subject != nil {
		b = strconv.AppendQuote(b, string(subject))
	}
	b = append(append(b, after...), "'\r\n"...)
	s.sayBytes(b)
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
		s.complain(why.wire, nil, "")
	}
	return why
}

// close is fail outside of Data, which has nobody to return an error to.
func (s *session) close(why *closing) { s.conn.Close(s.fail(why)) }

// settle flushes what this session has queued for its own client. What was queued for others is
// flushed by the lane.
func (s *session) settle() {
	if s.is(owesFlush) {
		s.flags &^= owesFlush
		s.conn.Flush(false)
	}
}

// Due implements engine.Session: the time for credentials is over, or for a PING.
func (s *session) Due(l *engine.Loop, now int64) {
	set := s.door.server.settings.Load()
	if s.authBy != 0 && now >= s.authBy {
		if !s.is(isAway) {
			s.close(errAuthTimeout)
			return
		}
		// It has brought credentials; that nobody has looked at them yet is not its fault.
		s.authBy = now + int64(set.directory.Timeout())
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
	measure := s.rtt == 0 || now-s.pingSent > measureAgain
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
	if s.authBy != 0 && s.authBy <= at {
		at, exact = s.authBy, true
	}
	if exact && at-engine.Now() > early {
		at -= early
	}
	s.conn.WakeAt(at)
}

// Closed implements engine.Session.
func (s *session) Closed(reason error) {
	if s.peer != nil {
		s.peer.Detach()
	}
	s.door.server.left(s, closingOf(reason))
}
