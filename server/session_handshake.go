package server

import (
	"crypto/tls"
	"math"
	"math/rand/v2"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

// open begins a conversation: the server speaks first, unless it is TLS that comes first.
func (d *door) open(c *engine.Conn) engine.Session {
	set := d.server.settings.Load()
	now := engine.Now()
	s := &session{conn: c, door: d, started: uint32(now / hundredth), lastIn: now, flags: beforeConnect}
	if set.Trace {
		s.output |= isTraced
	}
	why := d.server.welcome(s, set, now)
	if set.TLS != nil && set.TLS.First && why == nil {
		s.flags |= isMute
	} else {
		s.sayInfo(set, infoFirst)
	}
	if why != nil {
		s.flags |= isRefused
		s.close(why)
		return s
	}
	s.settle()
	if set.TLS != nil {
		s.flags |= isSecuring
		c.Secure(set.TLS.Security)
	} else {
		s.begin(set)
	}
	return s
}

// Silent implements engine.SecureSession: a client that was to begin with TLS waits to be spoken to.
func (s *session) Silent(*engine.Loop) {
	if s.is(isMute) {
		s.flags &^= isMute
		s.sayInfo(s.door.server.settings.Load(), infoFirst)
		s.settle()
	}
}

// Securing implements engine.SecureSession.
func (s *session) Securing(*engine.Loop) error {
	if t := s.door.server.settings.Load().TLS; t != nil && t.Allow != nil && !t.Allow() {
		return s.fail(errThrottled)
	}
	return nil
}

// Secured implements engine.SecureSession.
func (s *session) Secured(_ *engine.Loop, state *tls.ConnectionState) {
	set := s.door.server.settings.Load()
	s.flags &^= isSecuring
	if s.is(isMute) {
		s.flags &^= isMute
		s.set(tlsFirst, state != nil)
		s.sayInfo(set, infoFirst)
	}
	s.begin(set)
	s.settle()
}

// begin gives the client its time for credentials, and asks for the first PING.
func (s *session) begin(set *settings) {
	now := engine.Now()
	if set.directory.Required() { // who may be silent about itself has to be so in time
		s.until = now + int64(set.directory.Timeout())
	}
	s.pingAt = now + int64(set.firstPingIn(s.door.server.crowd()))
	s.arm()
}

// firstPingIn is when a new connection gets its first PING, by chance, where there are so many.
func (set *settings) firstPingIn(crowd int) time.Duration {
	wait := min(set.firstPing, set.PingInterval)
	spread := min(max(wait/5, time.Duration(crowd)*pingSpread), set.PingInterval)
	return wait + rand.N(spread+1)
}

// sayInfo queues an INFO.
func (s *session) sayInfo(set *settings, kind infoKind) {
	server := s.door.server
	o := infoOf{
		kind: kind, id: s.conn.ID(), from: s.conn.RemoteAddr().Addr(), lame: kind == infoLameDuck || server.lame.Load(),
		maxPayload: max(0, s.reader(set).MaxPayload),
	}
	var nonce [nonceSize]byte
	if kind == infoFirst && set.needNonce {
		o.nonce = server.appendNonce(nonce[:0], o.id)
	}
	if kind == infoConnect {
		a := s.peer.Account()
		o.account = server.globalJSON
		if a != server.global {
			o.account = appendJSON(nil, a.Name())
		}
		o.isSystem = a.Name() == set.directory.SystemAccount()
	}
	size := len(set.infoHead) + len(s.door.address) + len(set.infoBody) + len(set.infoTail) + len(o.account) + infoRoom
	c := s.conn
	if !c.Begin(size) {
		return
	}
	if size <= engine.RoomMax {
		c.Put(s.door.appendInfo(c.Room(size), set, &o))
	} else {
		c.Write(s.door.appendInfo(nil, set, &o))
	}
	c.End()
	s.flags |= owesFlush
}

// mayBegin decides about an operation that begins with b, from a client that is nobody yet. CONNECT
// always may. Others make it the guest, if there is one.
func (s *session) mayBegin(set *settings, b byte) error {
	if s.is(isRefused) {
		return errMaxConnections // said already
	}
	if b|0x20 == 'c' {
		return nil
	}
	if set.guest == nil {
		err := s.fail(errNotConnected)
		if events := s.door.server.events; events != nil {
			events.AuthFailed(s.ending(errNotConnected).show())
		}
		return err
	}
	s.about = s.door.server.describe(set, &connectRequest{}, nil, set.guest)
	return s.attach(set, set.guest)
}

// doPing answers, and tells a client that has just connected who it is: INFO comes behind the PONG,
// because client libraries read the PONG themselves while they connect.
func (s *session) doPing(set *settings) {
	s.say(linePong)
	if s.flags&(isConnected|hasPonged) == isConnected {
		s.flags |= hasPonged
		if s.is(takesInfo) {
			s.sayInfo(set, infoConnect)
		}
	}
}

// doPong notes that the client is there, and how long its answer took.
func (s *session) doPong() {
	if s.pingsOut > 0 && s.pingSent != 0 {
		s.rtt = microseconds(engine.Now() - s.pingSent)
	}
	s.pingsOut = 0
}

// microseconds is how session.rtt says a time.
func microseconds(d int64) uint32 {
	return uint32(min(max(1, d/int64(time.Microsecond)), math.MaxUint32))
}
