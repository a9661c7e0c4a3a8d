package broker

import (
	"bytes"
	"hash/maphash"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// The match cache of a lane. A table of slots, two ways, which begins small and doubles up to the
// broker's bound. A slot owns the bytes of its subject. Nothing enters on first sight: a subject
// that is published to once, as a reply subject is, costs a match and no allocation, and displaces
// nobody.

// ways is how many places of the table a subject may stand in: a pair.
const ways = 2

// A slot is everything about publishing to one subject of one account. It belongs to its lane.
type slot struct {
	hash       uint64
	account    *Account
	subject    []byte
	generation uint32 // of the subject's first token, when subs was filled
	wild       uint32 // of filters that begin with a wildcard, when subs was filled
	token      uint8  // which generation is the first token's
	used       bool   // since the table last looked for one to displace
	may        bool   // whether perms allow to publish
	perms      *auth.Permissions
	tally      *tally

	subs   []*Sub  // first the plain ones, then those of each group: local members, then remote ones
	plain  int32   // of subs
	denied int32   // plain ones left out because their permissions deny the subject
	groups []group // each with its part of subs
	links  []*Sub  // one plain subscription of each remote peer that has any

	cross *crossing // what concerns other accounts; nil if nothing does
}

// A group is one queue group: its local members and then those behind links.
type group struct {
	queue             string
	from, remotes, to int32 // in slot.subs
}

// cache is a lane's table of slots.
type cache struct {
	seed    maphash.Seed
	table   []*slot
	last    *slot    // hit last, if it is still in table
	seen    []uint32 // hashes of subjects that have missed once
	count   int      // slots in table
	held    int      // cost of all slots
	swept   int      // place where the sweep goes on
	results int      // most that held may be
	most    int      // most that the table may grow to
}

type matchScratch = subject.Result[*Sub]

// miss matches a subject that has no slot. What it returns is the lane's scratch.
func (l *Lane) miss(a *Account, route []byte, hash uint64) *slot {
	s := &l.scratch
	if cap(s.subs) > keptMatches {
		s.subs = nil
	}
	if s.account != a {
		s.account, s.tally = a, l.tally(a)
	}
	s.hash, s.perms = hash, nil
	token := route
	if i := bytes.IndexByte(route, '.'); i >= 0 {
		token = route[:i]
	}
	s.token = uint8(tokenGeneration(token))
	l.fill(s, route)
	l.cache.sweep()
	if l.cache.secondSight(hash) {
		l.cache.keep(s, route)
	}
	return s
}

// refill matches the subject of a slot anew.
func (l *Lane) refill(s *slot) {
	before := s.cost()
	l.fill(s, s.subject)
	l.cache.held += s.cost() - before
	l.cache.trim(s)
}

// fill finds everybody who is interested in route.
func (l *Lane) fill(s *slot, route []byte) {
	a := s.account
	a.mu.RLock()
	s.generation = a.generations[s.token].Load()
	s.wild = a.generations[wildGeneration].Load()
	a.index.Match(route, &l.matches)
	l.effort += l.matches.Steps
	l.arrange(s, route)
	a.mu.RUnlock()
	l.forgetMatches()
}

// forgetMatches empties the scratch of a match, and lets go of one that has become large.
func (l *Lane) forgetMatches() {
	large := cap(l.matches.Plain) > keptMatches
	l.matches.Reset()
	if large {
		l.matches = matchScratch{}
	}
}

// arrange puts what matches into the order in which Publish wants it.
func (l *Lane) arrange(s *slot, route []byte) {
	oldSubs, oldGroups, oldLinks, oldCross := s.subs, s.groups, s.links, s.cross
	s.subs, s.groups, s.links = s.subs[:0], s.groups[:0], s.links[:0]
	s.denied = 0
	if l.cross.used {
		l.cross.reset()
	}
	for _, sub := range l.matches.Plain {
		switch {
		case sub.kind != ownSub:
			if !l.cross.plain(s.account, sub, route) {
				s.denied++
			}
		case sub.denies(route):
			s.denied++
		case sub.peer.remote:
			s.addLink(sub)
		default:
			s.subs = append(s.subs, sub)
		}
	}
	s.plain = int32(len(s.subs))
	for i := range l.matches.Groups {
		g := &l.matches.Groups[i]
		from := int32(len(s.subs))
		l.addMembers(s, g.Members, route, false)
		remotes := int32(len(s.subs))
		l.addMembers(s, g.Members, route, true)
		if to := int32(len(s.subs)); to > from {
			s.groups = append(s.groups, group{g.Queue, from, remotes, to})
		}
	}
	s.cross = nil
	if r := s.account.rules.Load(); l.cross.used || r != nil && len(r.mappings) != 0 {
		l.arrangeCrossing(s, oldCross, r, route)
	}
	// What the slot has held before and holds no more must not live on behind its lengths.
	clear(oldSubs[min(len(s.subs), len(oldSubs)):])
	clear(oldGroups[min(len(s.groups), len(oldGroups)):])
	clear(oldLinks[min(len(s.links), len(oldLinks)):])
}

// denies reports whether s must not see messages to route, though it matches.
func (s *Sub) denies(route []byte) bool {
	return s.filtered && s.peer.perms.Load().Denies(route, s.Queue())
}

// addLink takes one plain subscription a link: it gets one copy, however many of its match.
func (s *slot) addLink(sub *Sub) {
	// From behind: those of one link mostly stand together. Links are tens, not thousands.
	for i := len(s.links) - 1; i >= 0; i-- {
		if s.links[i].peer == sub.peer {
			return
		}
	}
	s.links = append(s.links, sub)
}

func (l *Lane) addMembers(s *slot, members []*Sub, route []byte, remote bool) {
	for _, sub := range members {
		switch {
		case sub.peer.remote != remote:
		case sub.kind == shadowSub:
			l.cross.addShadow(s, sub, route)
		case !sub.denies(route):
			s.subs = append(s.subs, sub)
		}
	}
}

// arrangeCrossing gives s what has been found of other accounts, in the memory of what it has had before.
// The scratch slot gets the scratch.
func (l *Lane) arrangeCrossing(s *slot, old *crossing, r *rules, route []byte) {
	x := &l.cross
	if r != nil && len(r.mappings) != 0 {
		x.mapping, x.used = r.mappingOf(route), true
	}
	if len(x.members) != 0 {
		x.fill(s)
	}
	switch {
	case x.isEmpty():
	case s == &l.scratch:
		s.cross = x
	default:
		s.cross = x.copied(old)
	}
}

// cost is what s remembers, in pointers, about. The slots themselves are bounded by the table.
func (s *slot) cost() int {
	n := cap(s.subs) + 4*cap(s.groups) + cap(s.links) + cap(s.subject)/8
	if s.cross != nil {
		n += s.cross.cost()
	}
	return n
}

// secondSight reports whether a subject has missed before, not too long ago.
func (c *cache) secondSight(hash uint64) bool {
	if c.seen == nil {
		c.seen = make([]uint32, sightings)
	}
	mark := uint32(hash>>32) | 1
	place := &c.seen[hash%sightings]
	if *place == mark {
		return true
	}
	*place = mark
	return false
}

// keep makes a slot of the scratch.
func (c *cache) keep(scratch *slot, route []byte) {
	if len(scratch.subs) > c.results || scratch.cross != nil && len(scratch.subs)+scratch.cross.cost() > c.results {
		return
	}
	if 4*c.count >= 3*len(c.table) && len(c.table) < c.most {
		c.grow()
	}
	place := scratch.hash & uint64(len(c.table)-1)
	s := c.table[place]
	if s != nil {
		place ^= 1
		s = c.table[place]
	}
	if s == nil {
		s = new(slot)
		c.table[place] = s
		c.count++
	} else {
		s = c.displaced(place)
		c.held -= s.cost()
	}
	own := *s
	*s = *scratch
	s.used = false // until it is hit: one that goes by must not push out one that stays
	s.subject = append(own.subject[:0], route...)
	s.subs = refit(own.subs, scratch.subs)
	s.groups = refit(own.groups, scratch.groups)
	s.links = refit(own.links, scratch.links)
	if s.cross != nil {
		s.cross = scratch.cross.copied(own.cross)
	}
	c.held += s.cost()
	c.trim(s)
}

// refit copies from into into's memory, unless that is too small or far too large.
func refit[T any](into, from []T) []T {
	if cap(into) < len(from) || cap(into) > 16+4*len(from) {
		if len(from) == 0 {
			return nil
		}
		into = make([]T, 0, len(from))
	}
	clear(into[min(len(from), len(into)):])
	return append(into[:0], from...)
}

// displaced is the one of a pair that has to go: one that nobody has used lately.
func (c *cache) displaced(place uint64) *slot {
	for range ways {
		if s := c.table[place]; !s.used || !s.fresh() {
			return s
		}
		place ^= 1
	}
	c.table[place].used, c.table[place^1].used = false, false
	return c.table[place]
}

// grow doubles the table. A pair becomes two, so everything finds room.
func (c *cache) grow() {
	old := c.table
	c.table = make([]*slot, max(firstCacheSlots, 2*len(old)))
	for _, s := range old {
		if s == nil {
			continue
		}
		place := s.hash & uint64(len(c.table)-1)
		if c.table[place] != nil {
			place ^= 1
		}
		c.table[place] = s
	}
}

// sweep looks at one slot, and lets go of what is no longer true in it: peers that are gone must
// not be kept by subjects that nobody publishes to any more.
func (c *cache) sweep() {
	c.swept = (c.swept + 1) & (len(c.table) - 1)
	if s := c.table[c.swept]; s != nil && !s.fresh() {
		c.empty(s)
	}
}

// trim drops slots until what they remember is within the bound, sparing one.
func (c *cache) trim(spared *slot) {
	for range c.table {
		if c.held <= c.results {
			return
		}
		c.swept = (c.swept + 1) & (len(c.table) - 1)
		if s := c.table[c.swept]; s != nil && s != spared {
			c.table[c.swept] = nil
			if c.last == s {
				c.last = nil
			}
			c.count--
			c.held -= s.cost()
		}
	}
}

// empty makes s hold nothing. It is not fresh afterwards.
func (c *cache) empty(s *slot) {
	c.held -= s.cost()
	s.subs, s.groups, s.links, s.cross = nil, nil, nil, nil
	s.plain, s.denied = 0, 0
	s.generation = s.account.generations[s.token].Load() - 1
	c.held += s.cost()
}
