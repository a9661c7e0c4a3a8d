package broker

import (
	"bytes"
	"strings"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// Service imports. In the importer's index stands a Sub that nobody owns. What is published to it is
// published again in the exporter's account, after the fan-out: under the exporter's subject, with a
// header that says who asks, and with a reply subject under which the answer finds its way back
// (answer.go). There it may meet another service import. Tried against nats-server 2.15.2:
//
//   - A request that finds nobody there counts as not delivered here, so that the requester learns it.
//   - The publisher's permissions count once, for what it publishes to.
//   - A request that comes past the same export again ends there.
//   - Whoever subscribes in the importer's account to the subject of a service gets the request as well.

// A serviceImport is one import. It never changes once made, sub excepted.
type serviceImport struct {
	of       *auth.Import
	exporter *Account
	from     string             // what the importer's peers publish to, a filter
	back     *subject.Transform // to the exporter's name space; nil if it is always of.Subject
	export   *auth.Export       // nil if none is known
	sub      *Sub               // in the importer's index; under its mu
}

// insertServiceLocked puts s where publishers find it.
func (a *Account) insertServiceLocked(s *serviceImport) {
	s.sub = &Sub{
		peer: a.innerLocked(), text: s.from, subjectBytes: uint32(len(s.from)),
		kind: serviceSub, own: int32(len(a.services)),
	}
	a.services = append(a.services, s)
	a.insertLocked(s.sub)
}

// appendTo appends what a subject is in the exporter's account.
func (s *serviceImport) appendTo(dst, route []byte) []byte {
	if s.back != nil {
		return s.back.AppendMatched(dst, route)
	}
	return append(dst, s.of.Subject...)
}

// A task is a service import that a message is to go through.
type task struct {
	service *serviceImport
	to      []byte // subject in the exporter's account; in Lane.text
}

// A hop is one passage of a message into another account.
type hop struct {
	msg    Msg  // what it is there
	before *hop // nil for the first
	export *auth.Export
	share  bool
	told   bool       // the header has info
	info   ClientInfo // what the header says
}

// hasPassed reports whether the way so far has led past an export.
func (h *hop) hasPassed(e *auth.Export) bool {
	for ; h != nil; h = h.before {
		if h.export == e && e != nil {
			return true
		}
	}
	return false
}

// relay takes m on to other accounts, as far as s says so. The slot is void afterwards.
func (l *Lane) relay(p *Peer, m *Msg, s *slot, way *hop) (delivered int) {
	a, x := s.account, s.cross
	answers := x.answers
	first := len(l.tasks)
	for i := range x.services {
		to := &x.services[i]
		l.tasks = append(l.tasks, task{to.service, l.kept(x.text[to.from:to.to])})
	}
	for i, last := first, len(l.tasks); i < last; i++ {
		delivered += l.request(p, m, a, l.tasks[i], way)
	}
	clear(l.tasks[first:])
	l.tasks = l.tasks[:first]
	if answers {
		delivered += l.answer(p, m, a, way)
	}
	if m.hop == 0 {
		if l.text = l.text[:0]; cap(l.text) > keptText {
			l.text = nil
		}
	}
	return delivered
}

// kept is a copy of b that is good until the message that came first is done with.
func (l *Lane) kept(b []byte) []byte {
	at := len(l.text)
	l.text = append(l.text, b...)
	return l.text[at:len(l.text):len(l.text)]
}

// passage makes a hop of m to an account, whose mappings have seen to it. It is nil if the message has
// come too far, or past this export before.
func (l *Lane) passage(a *Account, m *Msg, to []byte, export *auth.Export, way *hop) (s *slot, h *hop) {
	if int(m.hop) >= maxHops || way.hasPassed(export) {
		return nil, nil
	}
	if l.hops == nil {
		l.hops = new([maxHops]hop)
	}
	h = &l.hops[m.hop]
	h.msg = Msg{Subject: to, Header: m.Header, Payload: m.Payload, hop: m.hop + 1}
	h.before, h.export, h.told = way, export, false
	s = l.find(a, to)
	if s.cross != nil && s.cross.mapping != nil {
		at := len(l.text)
		l.text = s.cross.mapping.appendTo(l.text, to, l)
		h.msg.Subject = l.text[at:len(l.text):len(l.text)]
		s = l.find(a, h.msg.Subject)
	}
	return s, h
}

// leave ends a hop: nothing of the message must live on in the lane.
func (h *hop) leave() { *h = hop{} }

// request publishes m, a message in account a, as a request to a service.
func (l *Lane) request(p *Peer, m *Msg, a *Account, t task, way *hop) (delivered int) {
	l.effort++
	service := t.service
	s, h := l.passage(service.exporter, m, t.to, service.export, way)
	if h == nil {
		l.tally(a).add(Loop, 1)
		return 0
	}
	defer h.leave()
	if s.empty() {
		s.tally.add(NoInterest, 1)
		return 0 // before anything is made for nobody
	}
	next := &h.msg
	h.share, h.told = service.of.Share, true
	about(&h.info, p, a, service, way)
	next.Header = l.withInfo(m.Header, &h.info, a)
	var d *debt
	switch {
	case len(m.Reply) == 0:
	case bytes.HasPrefix(m.Reply, acknowledgements):
		next.Reply = m.Reply // pull consumers know the stream by it
	default:
		if d = service.exporter.owe(p, a, m.Reply, service.export); d == nil {
			s.tally.add(SlowPeer, 1)
			return 0
		}
		next.Reply = l.keptString(d.key())
	}
	if delivered, _ = l.publish(p, next, s, h); delivered == 0 && d != nil {
		d.settle()
	}
	return delivered
}

var acknowledgements = []byte("$JS.ACK.")

func (l *Lane) keptString(text string) []byte {
	at := len(l.text)
	l.text = append(l.text, text...)
	return l.text[at:len(l.text):len(l.text)]
}

// answer takes an answer back to whoever has asked. It counts as delivered, whatever becomes of it, as
// it does in nats-server.
func (l *Lane) answer(p *Peer, m *Msg, a *Account, way *hop) (delivered int) {
	l.effort++
	route := m.Subject
	if m.Route != nil {
		route = m.Route
	}
	d, why := a.owed.Load().claim(route)
	if d == nil {
		if why != 0 {
			l.tally(a).add(why, 1)
		}
		return 1
	}
	over := d.single() || len(m.Header)+len(m.Payload) == 0 // an empty one is the last
	if l.passBack(p, m, a, d, way) == 0 {
		over = true
	}
	if over {
		d.settle()
	}
	return 1
}

func (l *Lane) passBack(p *Peer, m *Msg, a *Account, d *debt, way *hop) (delivered int) {
	s, h := l.passage(d.to, m, l.keptString(d.reply()), d.export, way)
	if h == nil {
		l.tally(a).add(Loop, 1)
		return 0
	}
	defer h.leave()
	if len(m.Reply) != 0 && !s.empty() {
		// Whoever gets the answer may answer in turn.
		if back := d.to.owe(p, a, m.Reply, d.export); back != nil {
			h.msg.Reply = l.keptString(back.key())
		}
	}
	delivered, _ = l.publish(p, &h.msg, s, h)
	return delivered
}

// isAnswer reports whether a subject is one of those under which answers from services are awaited.
func isAnswer(text string) bool { return strings.HasPrefix(text, answerPrefix) }
