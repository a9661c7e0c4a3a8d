package broker

// Links. A link speaks for many, so it gets one Deliver a message, whatever it was wanted for: with
// its plain interest, if it has any, and the names of all queue groups it was chosen for. Who is to
// be called is collected while groups are served, and called at the end.

// A call is one link that is to be handed the message.
type call struct {
	sub    *Sub
	plain  bool    // it has plain interest
	shown  []byte  // its subject if that is another than the message's; nil if not
	groups []int32 // of slot.groups, those it was chosen for; capacity is kept
}

// mayHave reports whether a link may be handed what p publishes. What came from above in one account may
// not go back there from another: if those above import from each other as well, it would not end.
func (s *Sub) mayHave(p *Peer) bool {
	to := s.peer
	if to.up && p.up && to.account != p.account {
		return false
	}
	return to != p && (to.origin != p.origin || p.origin == 0)
}

// chooseLink picks one of the links that have members in a group, by their weights, and notes it in
// the calls. The first called of those are over: their links are left out.
func (l *Lane) chooseLink(p *Peer, m *Msg, s *slot, at, called int) bool {
	g := &s.groups[at]
	var chosen *Sub
	var shown []byte
	place, total := 0, 0
	for k, sub := range s.subs[g.remotes:g.to] {
		i := l.callOf(sub.peer, len(l.calls))
		as := s.shownTo(int(g.remotes) + k)
		if i < called || !sub.mayHave(p) || as != nil && m.hop != 0 {
			continue
		}
		// Each takes the place of those before it in proportion to its weight.
		weight := int(sub.members())
		total += weight
		if total == weight || l.draw(total) < weight {
			chosen, place, shown = sub, i, as
		}
	}
	if chosen == nil {
		return false
	}
	c := l.call(place, chosen)
	c.shown = shown
	c.groups = append(c.groups, int32(at))
	return true
}

// callOf is the place of a link among the first calls, or the next free place of all.
func (l *Lane) callOf(to *Peer, first int) int {
	for i := range l.calls[:first] {
		if l.calls[i].sub.peer == to {
			return i
		}
	}
	return len(l.calls)
}

// call returns the call at a place, which may be the next free one.
func (l *Lane) call(place int, sub *Sub) *call {
	if place < len(l.calls) {
		return &l.calls[place]
	}
	if place < cap(l.calls) {
		l.calls = l.calls[:place+1]
	} else {
		l.calls = append(l.calls, call{})
	}
	c := &l.calls[place]
	c.sub, c.plain, c.shown, c.groups = sub, false, nil, c.groups[:0]
	return c
}

// callLinks hands m to every link that has plain interest or was chosen.
func (l *Lane) callLinks(p *Peer, m *Msg, s *slot) (delivered int, lost bool) {
	if len(l.calls) == 0 && s.cross == nil {
		return l.callPlain(p, m, s)
	}
	chosen := len(l.calls)
	for _, sub := range s.links { // each of another link, so only the chosen ones are looked through
		if sub.mayHave(p) {
			c := l.call(l.callOf(sub.peer, chosen), sub)
			c.sub, c.plain = sub, true
		}
	}
	if s.cross != nil && m.hop == 0 {
		for i := range s.cross.links {
			to := &s.cross.links[i]
			if to.sub.mayHave(p) {
				c := l.call(l.callOf(to.sub.peer, chosen), to.sub)
				c.sub, c.plain, c.shown = to.sub, true, s.cross.bytes(to.span)
			}
		}
	}
	inward := m.Queues
	for i := 0; i < len(l.calls); i++ { // a refusal may add calls
		c := &l.calls[i]
		l.names = l.names[:0]
		for _, at := range c.groups {
			l.names = append(l.names, s.groups[at].queue)
		}
		m.Queues = l.names
		took, why := l.handAs(p, m, c.sub, c.shown)
		if took {
			delivered++
			continue
		}
		if c.plain && why != 0 {
			s.tally.add(why, 1)
			lost = true
		}
		if l.passOn(p, m, s, i, why) {
			lost = true
		}
	}
	m.Queues = inward
	for i := range l.calls {
		l.calls[i].sub, l.calls[i].shown = nil, nil
	}
	l.calls = l.calls[:0]
	return delivered, lost
}

// callPlain is callLinks where nobody was chosen for a group and nothing is imported: mostly.
func (l *Lane) callPlain(p *Peer, m *Msg, s *slot) (delivered int, lost bool) {
	inward := m.Queues
	m.Queues = nil
	for _, sub := range s.links {
		if !sub.mayHave(p) {
			continue
		}
		if took, why := l.hand(p, m, sub); took {
			delivered++
		} else if why != 0 {
			s.tally.add(why, 1)
			lost = true
		}
	}
	m.Queues = inward
	return delivered, lost
}

// passOn gives the groups of a call that was refused to links that have not been called yet.
func (l *Lane) passOn(p *Peer, m *Msg, s *slot, refused int, why Reason) (lost bool) {
	for k := 0; k < len(l.calls[refused].groups); k++ {
		if !l.chooseLink(p, m, s, int(l.calls[refused].groups[k]), refused+1) && why != 0 {
			s.tally.add(why, 1)
			lost = true
		}
	}
	return lost
}
