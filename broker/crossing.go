package broker

// What a slot knows of other accounts, and the deliveries that follow from it. Accounts without imports,
// exports and mappings have slots without any of this, and pay one look at a pointer.

// A crossing is the part of a slot that is about other accounts.
type crossing struct {
	text     []byte     // all subjects that there are, one after the other
	imported []imported // plain subscriptions in accounts that import
	links    []imported // of those, one of each remote peer
	members  []span     // what members of groups see, in step with slot.subs[plain:]; empty if they see the route
	services []transfer // service imports
	answers  bool       // answers to requests from other accounts come this way
	mapping  *mapping   // of what is published to this subject; nil if there is none
	used     bool       // something has been put in since the last reset
}

// A span is a piece of crossing.text; an empty one stands for the subject that was published to.
type span struct{ from, to int32 }

// imported is a subscription of an importer, and what it sees.
type imported struct {
	sub *Sub
	span
}

// transfer is a service import, and what the subject is there.
type transfer struct {
	service *serviceImport
	span
}

func (x *crossing) isEmpty() bool {
	return x.mapping == nil && !x.answers && len(x.imported) == 0 && len(x.links) == 0 &&
		len(x.members) == 0 && len(x.services) == 0
}

// reset empties x and keeps its memory, within reason.
func (x *crossing) reset() {
	if cap(x.imported)+cap(x.members) > keptMatches || cap(x.text) > keptText {
		*x = crossing{}
		return
	}
	clear(x.imported)
	clear(x.links)
	clear(x.services)
	*x = crossing{
		text: x.text[:0], imported: x.imported[:0], links: x.links[:0], members: x.members[:0], services: x.services[:0],
	}
}

// copied is a copy of x, made in into's memory if there is any.
func (x *crossing) copied(into *crossing) *crossing {
	if into == nil {
		into = new(crossing)
	}
	into.text = refit(into.text, x.text)
	into.imported = refit(into.imported, x.imported)
	into.links = refit(into.links, x.links)
	into.members = refit(into.members, x.members)
	into.services = refit(into.services, x.services)
	into.answers, into.mapping, into.used = x.answers, x.mapping, x.used
	return into
}

// cost is what x remembers, in pointers, about.
func (x *crossing) cost() int {
	return 16 + cap(x.text)/8 + 2*cap(x.imported) + 2*cap(x.links) + cap(x.members) + 2*cap(x.services)
}

// shown appends what the importer's Sub of a shadow sees of route.
func (x *crossing) shown(h *shadow, route []byte) span {
	from := len(x.text)
	x.text = h.by.appendTo(x.text, route)
	return span{int32(from), int32(len(x.text))}
}

// bytes is a span's subject; nil for an empty one.
func (x *crossing) bytes(s span) []byte {
	if s.from == s.to {
		return nil
	}
	return x.text[s.from:s.to]
}

// plain takes in a plain match that is not a Sub of the account's own. It reports false for one whose
// permissions deny what it would see.
func (x *crossing) plain(a *Account, sub *Sub, route []byte) bool {
	x.used = true
	switch sub.kind {
	case serviceSub:
		service := a.services[sub.own]
		from := len(x.text)
		x.text = service.appendTo(x.text, route)
		x.services = append(x.services, transfer{service, span{int32(from), int32(len(x.text))}})
	case answerSub:
		x.answers = true
	case shadowSub:
		h := a.shadows[sub.own]
		at := x.shown(h, route)
		if sub.denies(x.text[at.from:at.to]) {
			x.text = x.text[:at.from]
			return false
		}
		if !sub.peer.remote {
			x.imported = append(x.imported, imported{h.of, at})
			return true
		}
		for i := range x.links {
			// One copy a link, as for its other interest.
			if x.links[i].sub.peer == sub.peer {
				return true
			}
		}
		x.links = append(x.links, imported{h.of, at})
	}
	return true
}

// addShadow makes a shadow's Sub a member of a group, where slot.subs grows next.
func (x *crossing) addShadow(s *slot, sub *Sub, route []byte) {
	x.used = true
	h := s.account.shadows[sub.own]
	at := x.shown(h, route)
	if sub.denies(x.text[at.from:at.to]) {
		return
	}
	x.fill(s)
	x.members = append(x.members, at)
	s.subs = append(s.subs, h.of)
}

// fill makes members as long as the members in s.subs.
func (x *crossing) fill(s *slot) {
	for len(x.members) < len(s.subs)-int(s.plain) {
		x.members = append(x.members, span{})
	}
}

// deliverImported gives m to subscriptions of importers. What has come through a service import is not
// for them.
func (l *Lane) deliverImported(p *Peer, m *Msg, s *slot) (delivered int, lost bool) {
	x := s.cross
	if m.hop != 0 {
		return 0, false
	}
	l.effort += len(x.imported)
	for i := range x.imported {
		to := &x.imported[i]
		if took, why := l.handAs(p, m, to.sub, x.bytes(to.span)); took {
			delivered++
		} else if why != 0 {
			s.tally.add(why, 1)
			lost = true
		}
	}
	return delivered, lost
}

// handAs is hand under another subject, unless that is nil. What is shown instead of the route stays.
func (l *Lane) handAs(p *Peer, m *Msg, sub *Sub, as []byte) (took bool, why Reason) {
	if as == nil || m.Route != nil {
		return l.hand(p, m, sub)
	}
	own := m.Subject
	m.Subject = as
	took, why = l.hand(p, m, sub)
	m.Subject = own
	return took, why
}

// serveMixed is serveGroup for a group that may have members in other accounts.
func (l *Lane) serveMixed(p *Peer, m *Msg, s *slot, g *group) (took bool, why Reason) {
	n := int(g.remotes - g.from)
	if n == 0 {
		return false, 0
	}
	first := l.draw(n)
	for i := range n {
		l.effort++
		at := first + i
		if at >= n {
			at -= n
		}
		at += int(g.from)
		as := s.cross.bytes(s.cross.members[at-int(s.plain)])
		if as != nil && m.hop != 0 {
			continue
		}
		took, refusal := l.handAs(p, m, s.subs[at], as)
		if took {
			return true, 0
		}
		why = max(why, refusal)
	}
	return false, why
}

// shownTo is what the member at a place in s.subs sees; nil if it is what was published.
func (s *slot) shownTo(at int) []byte {
	if s.cross == nil || len(s.cross.members) == 0 {
		return nil
	}
	return s.cross.bytes(s.cross.members[at-int(s.plain)])
}

// empty reports whether nobody at all would get a message by s.
func (s *slot) empty() bool {
	return len(s.subs) == 0 && len(s.links) == 0 && s.cross == nil
}
