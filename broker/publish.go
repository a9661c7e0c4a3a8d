package broker

import (
	"hash/maphash"
	"slices"

	"github.com/edgebus-io/edgebus/auth"
)

// The hot path. Publish finds the slot of a subject in the lane's cache, which has everything worked
// out already: who gets a copy, who stands in which queue group, what permissions say. A hit takes
// no lock and allocates nothing; the rest is a walk over pointers. slot.go is what a miss does,
// remote.go what links need.

// Publish moves m to everybody in the account whose interest matches it, and reports how many have
// taken it. They are woken by the lane's Flush. The error is ErrPublishDenied.
func (p *Peer) Publish(l *Lane, m *Msg) (delivered int, err error) { return l.publish(p, m, nil, nil) }

// publish is Publish with no slot and no way. With them m has come here from other accounts, and goes
// to everybody that the slot knows of. It is one function since calls show in what a message costs.
func (l *Lane) publish(p *Peer, m *Msg, s *slot, way *hop) (delivered int, err error) {
	if s == nil {
		route := m.Subject
		if m.Route != nil {
			route = m.Route
		}
		s = l.find(p.account, route)
		if s.cross != nil && s.cross.mapping != nil && m.Route == nil && !m.mapped {
			s = l.mapped(p.account, s, m)
		}
		m.mapped = false
		if perms := p.perms.Load(); perms != nil && !s.mayPublish(p, perms, m) {
			s.tally.add(Denied, 1)
			s.tally.count(l, m, 0)
			return 0, ErrPublishDenied
		}
	}
	l.effort += int(s.plain) + len(s.groups) + len(s.links)
	lost := s.denied != 0
	for _, sub := range s.subs[:s.plain] {
		if took, why := l.hand(p, m, sub); took {
			delivered++
		} else if why != 0 {
			s.tally.add(why, 1)
			lost = true
		}
	}
	if len(s.groups) != 0 || len(s.links) != 0 || s.cross != nil {
		served, short := l.serve(p, m, s)
		delivered += served
		lost = lost || short
	}
	if lost {
		s.tally.add(Denied, int(s.denied))
	}
	bytes := len(m.Header) + len(m.Payload)
	l.pending += delivered * (len(m.Subject) + len(m.Reply) + bytes) // about what it takes in outputs
	tally := s.tally
	if tally == l.counting && m.hop == 0 && tally.now.fits(bytes, delivered) {
		tally.now += pack(bytes, delivered)
	} else {
		tally.count(l, m, delivered)
	}
	if s.cross != nil {
		delivered += l.relay(p, m, s, way)
	}
	if delivered == 0 && !lost {
		tally.add(NoInterest, 1)
	}
	if len(l.spent) != 0 && way == nil {
		l.removeSpent()
	}
	return delivered, nil
}

// find returns the slot for a subject, good until the lane is used again.
func (l *Lane) find(a *Account, route []byte) *slot {
	// A publisher mostly goes on with the subject it had: comparing is cheaper than a hash.
	if s := l.cache.last; s != nil && s.account == a && string(s.subject) == string(route) {
		s.used = true
		if !s.fresh() {
			l.refill(s)
		}
		return s
	}
	hash := maphash.Bytes(l.cache.seed, route) ^ a.salt
	place := hash & uint64(len(l.cache.table)-1)
	for range ways {
		s := l.cache.table[place]
		if s != nil && s.hash == hash && s.account == a && string(s.subject) == string(route) {
			s.used = true
			if !s.fresh() {
				l.refill(s)
			}
			l.cache.last = s
			return s
		}
		place ^= 1
	}
	return l.miss(a, route, hash)
}

// fresh reports whether nobody has subscribed or unsubscribed since, as far as s is concerned.
func (s *slot) fresh() bool {
	g := &s.account.generations
	return g[s.token].Load() == s.generation && g[wildGeneration].Load() == s.wild
}

// mayPublish asks the permissions, and remembers what the last ones asked have said.
func (s *slot) mayPublish(p *Peer, perms *auth.Permissions, m *Msg) bool {
	route := m.Subject
	if m.Route != nil {
		route = m.Route
	}
	if s.perms != perms {
		s.perms, s.may = perms, perms.MayPublish(route)
	}
	if s.may {
		// What is shown must be allowed as well as where it goes.
		return m.Route == nil || perms.MayPublish(m.Subject)
	}
	answers := p.replies.Load()
	return answers != nil && m.Route == nil && answers.use(m.Subject)
}

// hand gives m to one subscription. If that is not taken, why says what has been lost: nothing
// where the subscription is over, or must not have it because of who publishes.
func (l *Lane) hand(p *Peer, m *Msg, sub *Sub) (took bool, why Reason) {
	to := sub.peer
	if to == p && p.noEcho || to.origin == p.origin && p.origin != 0 {
		return false, 0
	}
	if len(m.Reply) != 0 {
		if answers := to.replies.Load(); answers != nil {
			// Before Deliver: another lane may wake the sink, and the answer be there at once.
			answers.allow(m.Reply)
		}
	}
	took = to.sink.Deliver(m, sub)
	if sub.state.Load() == subSpent {
		l.spent = append(l.spent, sub)
	}
	if !took {
		return false, m.refusal(sub)
	}
	if to != l.first && to.touched.Load()&l.bit == 0 {
		l.touch(to, p)
	} else if to.behind.Load() != 0 && l.slowed != p {
		l.slowed = p
		p.rest(to)
	}
	return true, 0
}

// refusal is why the last Deliver has not taken m.
func (m *Msg) refusal(sub *Sub) (why Reason) {
	why, m.why = m.why, 0
	switch {
	case why != 0:
		return why
	case sub.Closed():
		return 0
	case sub.peer.closed.Load():
		return Closing
	}
	return SlowPeer
}

// serve gives m to one member of each queue group, a local one where there is one, to links, and to
// importers.
func (l *Lane) serve(p *Peer, m *Msg, s *slot) (delivered int, lost bool) {
	for i := range s.groups {
		g := &s.groups[i]
		if (p.remote && m.hop == 0 || len(m.Queues) != 0) && !slices.Contains(m.Queues, g.queue) {
			continue // a link has chosen other groups for us
		}
		took, why := l.serveGroup(p, m, s, g)
		switch {
		case took:
			delivered++
		case l.chooseLink(p, m, s, i, 0):
		case why != 0:
			s.tally.add(why, 1)
			lost = true
		}
	}
	if len(s.links) != 0 || len(l.calls) != 0 || s.cross != nil && len(s.cross.links) != 0 {
		called, short := l.callLinks(p, m, s)
		delivered += called
		lost = lost || short
	}
	if s.cross != nil {
		imported, short := l.deliverImported(p, m, s)
		delivered += imported
		lost = lost || short
	}
	return delivered, lost
}

// serveGroup tries members from a random one on, until one takes m.
func (l *Lane) serveGroup(p *Peer, m *Msg, s *slot, g *group) (took bool, why Reason) {
	if s.cross != nil && len(s.cross.members) != 0 {
		return l.serveMixed(p, m, s, g)
	}
	members := s.subs[g.from:g.remotes]
	if len(members) == 0 {
		return false, 0
	}
	first := l.draw(len(members))
	for i := range members {
		l.effort++
		at := first + i
		if at >= len(members) {
			at -= len(members)
		}
		took, refusal := l.hand(p, m, members[at])
		if took {
			return true, 0
		}
		why = max(why, refusal)
	}
	return false, why
}

// removeSpent takes away subscriptions that have had their last message.
func (l *Lane) removeSpent() {
	for i, sub := range l.spent {
		a := sub.peer.account
		a.mu.Lock()
		a.removeLocked(sub)
		a.unlock()
		l.spent[i] = nil
	}
	l.spent = l.spent[:0]
}
