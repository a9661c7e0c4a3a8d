package leafnode

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edgebus-io/edgebus/broker"
)

// Interest. A joint hears of every change of interest in its account and works out what each link
// must tell its other side. It keeps one log of what has changed, and each link has a place in it: a link that
// joins begins at the front, one that has no room stays where it is, and what came and went before
// its turn is never told. What a link does not know yet costs no memory for that reason. A joint goes
// on listening when its last link has gone: to begin anew with tens of thousands of subjects, under the
// account's lock, would make everybody wait whenever a line comes back.

// A joint is where one account meets its links. There is one for an account as long as the process
// lives, so that its loop subject stays.
type joint struct {
	// Set when made.
	account *broker.Account
	loop    string // see loop.go

	// joining is above Account.mu. Under it:
	joining   sync.Mutex
	stop      func()       // of Watch; nil before the first link
	announcer *broker.Peer // interested in loop; nil before the first link

	// mu is below Account.mu and below a link's own lock. Under it:
	mu      sync.Mutex
	plain   map[string]*wish
	groups  map[group]*wish
	log     []*wish // what was marked last stands last; nil where one has been
	gaps    int     // nil ones in log
	members []*member
	sources []source // by slot
	slots   map[*broker.Peer]int32
}

// group names a queue group on a subject.
type group struct{ subject, queue string }

// A source is a link that brings interest. It stays as long as any of that is left.
type source struct {
	peer    *broker.Peer // nil: the slot is free
	member  *member      // nil if it has left, or not joined yet
	known   bool         // it has joined: what hub says holds
	hub     bool
	origin  uint32
	brought int32 // wishes that it has a share of
}

// A member is one link at a joint.
type member struct {
	// Set before join.
	peer     *broker.Peer
	hub      bool                             // the other side is a hub of ours
	isolated bool                             // it is told nothing of what other links want; under joint.mu
	filter   func(subject, queue string) bool // what it may be told; nil is everything; under joint.mu
	notify   func()                           // there is something to tell again; runs under Account.mu, so it only posts

	// Set by join.
	joint *joint

	// Under joint.mu.
	slot int32 // -1 if it has left
	next int   // place in joint.log where it goes on; what is marked is there or behind

	// Moved under joint.mu, read by anyone.
	marks     atomic.Int32 // wishes marked for it
	announced atomic.Int32 // wishes it has told
}

const (
	// drainBatch is how many places of the log a link looks at under one hold of joint.mu: who
	// subscribes waits for that.
	drainBatch = 256

	// fewGaps is how many gaps the log may have however short it is.
	fewGaps = 64

	// elsewhere stands for the slot of those who are not behind a link.
	elsewhere = -1
)

func newJoint(a *broker.Account) *joint {
	return &joint{account: a, loop: newLoopSubject()}
}

// join makes m hear of all interest from now on, beginning with what is there. What its peer brings is
// told to nobody before that. The caller holds no lock.
func (j *joint) join(m *member) error {
	j.joining.Lock()
	defer j.joining.Unlock()
	if err := j.announceLoop(); err != nil {
		return err
	}
	j.mu.Lock()
	m.joint, m.next = j, 0
	m.slot = j.slotLocked(m.peer)
	s := &j.sources[m.slot]
	brought := s.brought != 0
	s.member, s.known, s.hub = m, true, m.hub
	j.members = append(j.members, m)
	for _, w := range j.log {
		switch {
		case w == nil:
		case brought: // nobody has been told of it
			j.markAllLocked(w)
		case j.weightLocked(w, m) != 0:
			j.markLocked(w, m)
		}
	}
	j.compactLocked()
	j.mu.Unlock()
	if j.stop == nil {
		j.stop = j.account.Watch(j.hear)
	}
	return nil
}

// leave is the end of m: it is told nothing more. What its peer has brought is there for the others
// until that is detached. The caller holds no lock.
func (j *joint) leave(m *member) {
	j.joining.Lock()
	defer j.joining.Unlock()
	j.mu.Lock()
	i := slices.Index(j.members, m)
	if i < 0 {
		j.mu.Unlock()
		return
	}
	j.members = slices.Delete(j.members, i, i+1)
	for _, w := range j.log {
		if w != nil && (w.has(m.slot, wishTold) || w.has(m.slot, wishMarked)) {
			w.set(m.slot, wishTold|wishMarked, false)
			j.tidyLocked(w)
		}
	}
	j.compactLocked()
	s := &j.sources[m.slot]
	s.member = nil
	j.freeLocked(m.slot)
	m.slot = elsewhere
	m.marks.Store(0)
	m.announced.Store(0)
	j.mu.Unlock()
}

// close ends listening. Whoever joins afterwards makes it begin again.
func (j *joint) close() {
	j.joining.Lock()
	defer j.joining.Unlock()
	if j.stop == nil || len(j.members) != 0 {
		return
	}
	j.stop()
	j.stop = nil
	j.announcer.Detach()
	j.announcer = nil
	j.plain, j.groups, j.log, j.gaps, j.sources, j.slots = nil, nil, nil, 0, nil, nil
}

// slotLocked is where a link's peer has its place among the sources.
func (j *joint) slotLocked(p *broker.Peer) int32 {
	if slot, ok := j.slots[p]; ok {
		return slot
	}
	slot := slices.IndexFunc(j.sources, func(s source) bool { return s.peer == nil })
	if slot < 0 {
		slot = len(j.sources)
		j.sources = append(j.sources, source{})
	}
	j.sources[slot] = source{peer: p, origin: p.Origin()}
	if p.Account() != j.account {
		// A link of an account that imports from this one. Its cluster's links here know nothing of
		// that interest, but a hub's goes to no hub: it could come back by an import there.
		j.sources[slot] = source{peer: p, known: true, hub: p.Up()}
	}
	if j.slots == nil {
		j.slots = make(map[*broker.Peer]int32)
	}
	j.slots[p] = int32(slot)
	return int32(slot)
}

// freeLocked gives a slot back if nothing is left of its link.
func (j *joint) freeLocked(slot int32) {
	s := &j.sources[slot]
	if s.member == nil && s.brought == 0 {
		delete(j.slots, s.peer)
		*s = source{}
	}
}

// hear takes in one change of the account's interest. It runs under Account.mu.
func (j *joint) hear(i broker.Interest) {
	from := i.Sub.Peer()
	imported := from.Account() != j.account
	if imported && isLDS(i.Subject) {
		return // it is about the other account's links
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	slot := int32(elsewhere)
	if from.Remote() {
		slot = j.slotLocked(from)
	}
	w := j.wishLocked(i.Subject, i.Queue)
	if slot == elsewhere {
		before := w.local
		w.local += i.Delta
		if w.queue == "" && before > 0 && w.local > 0 {
			return // nobody sees a difference
		}
	} else {
		j.sources[slot].brought += w.add(slot, i.Delta)
	}
	for _, m := range j.members {
		if slot != elsewhere && !j.tellsLocked(slot, m, w) {
			continue
		}
		after := j.weightLocked(w, m)
		if w.queue == "" && (after > 0) == (after-int64(i.Delta) > 0) {
			continue
		}
		j.markLocked(w, m)
	}
	j.tidyLocked(w)
	if slot != elsewhere {
		j.freeLocked(slot)
	}
	j.compactLocked()
}

// wishLocked is the wish for a subject and a queue, which may be a new one.
func (j *joint) wishLocked(subject, queue string) *wish {
	var w *wish
	if queue == "" {
		w = j.plain[subject]
	} else {
		w = j.groups[group{subject, queue}]
	}
	if w != nil {
		return w
	}
	w = &wish{subject: subject, queue: queue, at: int32(len(j.log))}
	j.log = append(j.log, w)
	switch {
	case queue == "" && j.plain == nil:
		j.plain = map[string]*wish{subject: w}
	case queue == "":
		j.plain[subject] = w
	case j.groups == nil:
		j.groups = map[group]*wish{{subject, queue}: w}
	default:
		j.groups[group{subject, queue}] = w
	}
	return w
}

// tellsLocked reports whether m is told of what the link at a slot wants.
func (j *joint) tellsLocked(slot int32, m *member, w *wish) bool {
	s := &j.sources[slot]
	switch {
	case slot == m.slot || m.isolated || !s.known:
		return false
	case s.origin != 0 && s.origin == m.peer.Origin():
		return false // it is one cluster: it knows
	case s.hub && m.hub:
		return isLDS(w.subject) // hubs are not joined through us, but a ring through us is found
	}
	return true
}

// weightLocked is how many members there are of whom m is told.
func (j *joint) weightLocked(w *wish, m *member) int64 {
	n := int64(w.local)
	if w.first.members != 0 && j.tellsLocked(w.first.slot, m, w) {
		n += int64(w.first.members)
	}
	if w.more != nil {
		for _, s := range w.more.shares {
			if j.tellsLocked(s.slot, m, w) {
				n += int64(s.members)
			}
		}
	}
	return n
}

// markLocked has m look at w in its turn.
func (j *joint) markLocked(w *wish, m *member) {
	if w.has(m.slot, wishMarked) {
		return
	}
	w.set(m.slot, wishMarked, true)
	if int(w.at) < m.next {
		j.log[w.at] = nil
		j.gaps++
		w.at = int32(len(j.log))
		j.log = append(j.log, w)
	}
	if m.marks.Add(1) == 1 {
		m.notify()
	}
}

func (j *joint) markAllLocked(w *wish) {
	for _, m := range j.members {
		j.markLocked(w, m)
	}
}

// tidyLocked forgets w if it is over.
func (j *joint) tidyLocked(w *wish) {
	if !w.isOver() {
		return
	}
	for _, m := range j.members {
		if w.has(m.slot, wishMarked) {
			m.marks.Add(-1)
		}
	}
	j.log[w.at] = nil
	j.gaps++
	if w.queue == "" {
		delete(j.plain, w.subject)
	} else {
		delete(j.groups, group{w.subject, w.queue})
	}
}

// compactLocked closes the gaps of the log once they are most of it.
func (j *joint) compactLocked() {
	if j.gaps <= fewGaps || 2*j.gaps <= len(j.log) {
		return
	}
	order := slices.Clone(j.members)
	slices.SortFunc(order, func(a, b *member) int { return a.next - b.next })
	log := make([]*wish, 0, len(j.log)-j.gaps+fewGaps)
	for at := range len(j.log) + 1 {
		for len(order) != 0 && order[0].next == at {
			order[0].next = len(log)
			order = order[1:]
		}
		if at == len(j.log) || j.log[at] == nil {
			continue
		}
		w := j.log[at]
		w.at = int32(len(log))
		log = append(log, w)
	}
	j.log, j.gaps = log, 0
}

// drain tells f what m's other side should know and does not, until f returns false: then the last it
// was called with has not been told. Weight 0 is for interest that is gone; plain interest has weight
// 1 and no queue. f runs under joint.mu, so it may only put the change into a buffer. The caller may
// hold the link's own lock, for neither f nor filter nor notify takes it.
func (m *member) drain(f func(subject, queue string, weight int32) bool) {
	j := m.joint
	for more := true; more; {
		j.mu.Lock()
		more = j.drainLocked(m, f)
		j.mu.Unlock()
	}
}

// drainLocked does drainBatch of what drain does, and reports whether there may be more.
func (j *joint) drainLocked(m *member, f func(subject, queue string, weight int32) bool) (more bool) {
	for range drainBatch {
		if m.slot == elsewhere || m.marks.Load() == 0 {
			m.next = len(j.log)
			return false
		}
		w := j.log[m.next]
		if w == nil || !w.has(m.slot, wishMarked) {
			m.next++
			continue
		}
		was, is := w.toldWeight(m.slot), j.announcedAs(w, m)
		if was != is && !f(w.subject, w.queue, is) {
			return false
		}
		w.tell(m.slot, is)
		switch {
		case was == 0 && is != 0:
			m.announced.Add(1)
		case was != 0 && is == 0:
			m.announced.Add(-1)
		}
		w.set(m.slot, wishMarked, false)
		m.marks.Add(-1)
		m.next++
		j.tidyLocked(w)
	}
	j.compactLocked()
	return true
}

// announcedAs is the weight that m's other side should know of.
func (j *joint) announcedAs(w *wish, m *member) int32 {
	n := j.weightLocked(w, m)
	switch {
	case n <= 0 || m.filter != nil && !m.filter(w.subject, w.queue):
		return 0
	case w.queue == "":
		return 1
	}
	return int32(min(n, math.MaxInt32))
}

// pending is how many wishes m has to look at, about as many as drain will tell. It takes no lock.
func (m *member) pending() int { return int(m.marks.Load()) }

// told is how many wishes m's other side has been told. It takes no lock.
func (m *member) told() int { return int(m.announced.Load()) }

// setFilter changes what m may be told: what it may not be told any more is taken back.
func (m *member) setFilter(filter func(subject, queue string) bool) {
	j := m.joint
	j.mu.Lock()
	defer j.mu.Unlock()
	m.filter = filter
	j.againLocked(m)
}

// setIsolated changes whether m is told what other links want: what it has been told of that is taken back.
func (m *member) setIsolated(isolated bool) {
	j := m.joint
	j.mu.Lock()
	defer j.mu.Unlock()
	m.isolated = isolated
	j.againLocked(m)
}

// againLocked has m look at everything anew.
func (j *joint) againLocked(m *member) {
	if m.slot == elsewhere {
		return
	}
	m.next = 0
	for _, w := range j.log {
		if w != nil {
			j.markLocked(w, m)
		}
	}
}

// told calls f with everything that m's other side believes. f must not call back.
func (j *joint) told(m *member, f func(subject, queue string, weight int32)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if m.slot == elsewhere {
		return
	}
	for _, w := range j.log {
		if w == nil {
			continue
		}
		if weight := w.toldWeight(m.slot); weight != 0 {
			f(w.subject, w.queue, weight)
		}
	}
}
