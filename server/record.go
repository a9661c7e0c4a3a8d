package server

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A record is one connection as it was at one moment. Thousands of ended ones are kept, so it is
// made of what sessions share; show spells it out.
type record struct {
	id                uint64
	from              netip.AddrPort
	start, last       time.Time
	now               time.Time // when the record was made
	rtt               uint32    // microseconds
	pending           int
	traffic           traffic
	about             *about // nil: no CONNECT yet
	account           string
	subscriptions     int
	subs              []SubSnapshot // nil if nobody asked
	tlsVersion, suite uint16        // 0: plain
	tlsFirst          bool
	hears             bool     // if somebody asked, see Query.Hears
	tlsPeer           []byte   // the client's certificate, nil if nobody asked
	why               *closing // not nil: it has ended
}

// record describes the session. Owner only.
func (s *session) record() record {
	now, clock := engine.Now(), time.Now()
	r := record{
		id: s.conn.ID(), from: s.conn.RemoteAddr(), now: clock,
		start: clock.Add(-s.age(now)), last: clock.Add(-time.Duration(now - s.lastIn)),
		rtt: s.rtt, pending: s.conn.Pending(), about: s.about, account: broker.GlobalAccount, tlsFirst: s.is(tlsFirst),
	}
	r.traffic = s.outTraffic()
	r.traffic.inMsgs, r.traffic.inBytes = s.inMsgs, s.inBytes
	if s.peer != nil {
		r.account = s.peer.Account().Name()
		r.subscriptions = s.countSubs(nil)
	}
	if state := s.conn.TLS(); state != nil {
		r.tlsVersion, r.suite = state.Version, state.CipherSuite
	}
	return r
}

// eachSub calls f, which must not wait, for each subscription of the session.
func (s *session) eachSub(f func(*broker.Sub)) {
	if s.peer != nil {
		s.peer.Subs(f)
	}
}

// countSubs counts those whose subjects fit; with nil all.
func (s *session) countSubs(fits func(subject string) bool) (n int) {
	s.eachSub(func(sub *broker.Sub) {
		if fits == nil || fits(sub.Subject()) {
			n++
		}
	})
	return n
}

// ending is the record of a session that is over, or about to be.
func (s *session) ending(why *closing) record {
	r := s.record()
	r.why = why
	return r
}

// show spells a record out.
func (r record) show() ClientSnapshot {
	c := ClientSnapshot{
		ID: r.id, Kind: "Client", Type: "nats", Port: int(r.from.Port()),
		Start: r.start, LastActivity: r.last,
		RTT: time.Duration(r.rtt) * time.Microsecond, PendingBytes: r.pending,
		InMsgs: r.traffic.inMsgs, InBytes: r.traffic.inBytes, OutMsgs: r.traffic.outMsgs, OutBytes: r.traffic.outBytes,
		Subscriptions: r.subscriptions, Subs: r.subs, Hears: r.hears, Account: r.account, TLSFirst: r.tlsFirst, TLSPeer: r.tlsPeer,
	}
	if r.from.IsValid() {
		c.IP = r.from.Addr().String()
	}
	if a := r.about; a != nil {
		id := a.identity
		c.Perms = id.Perms
		c.Name, c.Lang, c.Version, c.User = a.name, a.lang, a.version, cmp.Or(id.User, a.claimed)
		c.NameTag, c.Issuer, c.Tags = id.Name, issuerOf(id), id.Tags
		c.Expires = id.Expires
	}
	if r.suite != 0 {
		c.TLSVersion, c.TLSCipher = versionName(r.tlsVersion), tls.CipherSuiteName(r.suite)
	}
	if r.why != nil {
		c.Stop, c.Reason = r.now, r.why.reason
	}
	return c
}

// versionName is TLS's version as monitoring shows it.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS10:
		return "1.0"
	}
	return "unknown"
}

// A graveyard remembers the last connections that have ended.
type graveyard struct {
	mu   sync.Mutex
	all  []record
	next int // where the oldest is, once it is full
}

// add remembers r, in place of the oldest if there are most already.
func (g *graveyard) add(r *record, most int) {
	if most < 0 {
		return
	}
	if a := r.about; a != nil && a.identity.Issuer != "" {
		// What a JWT allowed interests nobody any more, and nobody shares it.
		lean := *a
		id := *a.identity
		id.Perms = nil
		lean.identity, lean.jwt = &id, ""
		r.about = &lean
	}
	r.trim()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.all) > most { // it was lowered
		g.all, g.next = append([]record(nil), g.inOrder()[len(g.all)-most:]...), 0
	}
	switch {
	case len(g.all) < most && g.next == 0:
		g.all = append(g.all, *r)
	case len(g.all) < most: // it was raised
		g.all, g.next = append(g.inOrder(), *r), 0
	default:
		g.all[g.next] = *r
		g.next = (g.next + 1) % most
	}
}

// trim cuts what takes much room. Most records have nothing of that.
func (r *record) trim() {
	left := maxClosedText
	if a := r.about; a != nil {
		if len(a.name)+len(a.lang)+len(a.version) > maxClosedText/2 {
			lean := *a
			lean.name, lean.lang, lean.version = cutCopy(a.name), cutCopy(a.lang), cutCopy(a.version)
			a, r.about = &lean, &lean
		}
		left -= len(a.name) + len(a.lang) + len(a.version)
	}
	for i, sub := range r.subs {
		if left -= len(sub.Subject) + len(sub.Queue) + len(sub.SID); left < 0 {
			r.subs = slices.Clone(r.subs[:i])
			return
		}
	}
}

// cutCopy is cutText without the rest in memory.
func cutCopy(text string) string { return strings.Clone(cutText(text)) }

// inOrder is a copy, the oldest first. Under mu.
func (g *graveyard) inOrder() []record {
	return append(append([]record(nil), g.all[g.next:]...), g.all[:g.next]...)
}

func (g *graveyard) list() []record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inOrder()
}

// leave accounts for a session that is over, where somebody looks later.
func (s *session) leave(why *closing) {
	server := s.door.server
	set := server.settings.Load()
	if server.events == nil && set.MaxClosedClients < 0 {
		return
	}
	r := s.ending(why)
	// Nobody can begin output any more, so these have no other writer.
	r.traffic.outMsgs, r.traffic.outBytes = s.outMsgs, s.outBytes
	r.subs = s.listSubs(&subsRange{most: maxClosedSubs}, nil)
	if server.events != nil {
		server.events.Disconnected(r.show())
	}
	server.graves.add(&r, set.MaxClosedClients)
}
