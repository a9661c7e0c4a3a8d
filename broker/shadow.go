package broker

import (
	"slices"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// Stream imports. For each Sub of an importer that an import is about there is a shadow in the
// exporter's index: a Sub on the exporter's subject, which stands for it. What is published there finds
// the shadow, and is delivered to the Sub under the importer's subject. Tried against nats-server
// 2.15.2:
//
//   - Imports are not passed on: what an account has imported does not reach those who import from it.
//   - A queue's members in the exporter and in all importers are one group.
//   - What a subscriber may not see is decided by its own subject, and so is what it gets.
//   - Requests that come in through a service import are not seen by stream imports.
//   - There, UNSUB with a number does not count what comes in through imports, and such a subscription
//     goes on for ever. Here it counts: clients count, and believe that it is over.

// A streamImport is one import. It never changes once made.
type streamImport struct {
	of            *auth.Import
	exporter      *Account
	forward, back *subject.Transform // nil if it is about one subject
}

// A shadow stands in the exporter's index for a Sub of an importer.
type shadow struct {
	// Set when made.
	sub      *Sub // in the index
	of       *Sub
	exporter *Account

	// Under the exporter's mu.
	by *streamImport
}

// wanted is a shadow that there should be.
type wanted struct {
	by     *streamImport
	filter string
}

// same reports whether two imports do the same, before a reload and after it.
func (i *streamImport) same(as *streamImport) bool {
	return i == as || i.exporter == as.exporter && i.of.Subject == as.of.Subject && i.of.To == as.of.To
}

// to is what the import offers, as a filter of the importer's.
func (i *streamImport) to() string {
	if i.back != nil {
		return i.back.Source()
	}
	return i.of.To
}

// appendTo appends what the importer sees of a subject.
func (i *streamImport) appendTo(dst, route []byte) []byte {
	if i.forward != nil {
		return i.forward.AppendMatched(dst, route)
	}
	return append(dst, i.of.To...)
}

// wantedBy are the shadows that a subscription to filter should have.
func (r *rules) wantedBy(filter string) (list []wanted) {
	for _, i := range r.streams {
		both, ok := subject.Intersect(i.to(), filter)
		if !ok {
			continue
		}
		if i.back != nil {
			both = string(i.back.AppendMatched(nil, []byte(both)))
		} else {
			both = i.of.Subject
		}
		list = append(list, wanted{i, both})
	}
	return list
}

// cast makes the shadows of s what they should be now, whatever has changed: s, its permissions, or the
// account's imports. No lock is held by the caller.
func (a *Account) cast(s *Sub) {
	a.casting.Lock()
	defer a.casting.Unlock()
	a.mu.Lock()
	var want []wanted
	if r := a.rules.Load(); r != nil && s.state.Load()&subClosed == 0 {
		want = r.wantedBy(s.Subject())
	}
	s.shadowed = len(want) != 0
	filtered, weight := s.filtered, s.weight.Load()
	a.mu.Unlock()

	have := a.casts[s]
	var exporters []*Account
	for _, h := range have {
		exporters = appendNew(exporters, h.exporter)
	}
	for _, w := range want {
		exporters = appendNew(exporters, w.by.exporter)
	}
	var kept []*shadow
	for _, exporter := range exporters {
		// At one go for each exporter, so that no message falls between an old shadow and a new one.
		kept = append(kept, exporter.castHere(s, have, want, filtered, weight)...)
	}
	switch {
	case len(kept) != 0:
		if a.casts == nil {
			a.casts = make(map[*Sub][]*shadow)
		}
		a.casts[s] = kept
	case len(have) != 0:
		delete(a.casts, s)
	}
}

func appendNew(list []*Account, a *Account) []*Account {
	if slices.Contains(list, a) {
		return list
	}
	return append(list, a)
}

// castHere does what cast does for the shadows in one exporter, and returns those there are then.
func (a *Account) castHere(s *Sub, have []*shadow, want []wanted, filtered bool, weight int32) (kept []*shadow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stays := make([]bool, len(have))
	for _, w := range want {
		if w.by.exporter != a {
			continue
		}
		i := slices.IndexFunc(have, func(h *shadow) bool {
			return h.exporter == a && h.by.same(w.by) && h.sub.Subject() == w.filter
		})
		if i >= 0 && !stays[i] {
			stays[i] = true
			have[i].by = w.by
			a.refreshLocked(have[i].sub, filtered, weight)
			kept = append(kept, have[i])
			continue
		}
		kept = append(kept, a.insertShadowLocked(s, w, filtered, weight))
	}
	for i, h := range have {
		if h.exporter == a && !stays[i] {
			a.removeShadowLocked(h)
		}
	}
	return kept
}

// refreshLocked takes over what may have changed of the Sub that a shadow stands for.
func (a *Account) refreshLocked(s *Sub, filtered bool, weight int32) {
	before := s.members()
	s.weight.Store(weight)
	if delta := s.members() - before; delta != 0 {
		a.tellLocked(s, delta)
	}
	if filtered || s.filtered {
		s.filtered = filtered
		a.generations[generationOf(s.Subject())].Add(1)
	}
}

func (a *Account) insertShadowLocked(of *Sub, w wanted, filtered bool, weight int32) *shadow {
	s := &Sub{
		peer: of.peer, text: w.filter + of.Queue(), subjectBytes: uint32(len(w.filter)), queueBytes: of.queueBytes,
		kind: shadowSub, filtered: filtered, own: int32(len(a.shadows)),
	}
	s.weight.Store(weight)
	h := &shadow{sub: s, of: of, exporter: a, by: w.by}
	a.shadows = append(a.shadows, h)
	a.insertLocked(s)
	return h
}

func (a *Account) removeShadowLocked(h *shadow) {
	last := len(a.shadows) - 1
	moved := a.shadows[last]
	a.shadows[h.sub.own] = moved
	moved.sub.own = h.sub.own
	a.shadows[last] = nil
	a.shadows = a.shadows[:last]
	if last == 0 {
		a.shadows = nil
	}
	a.takeOutLocked(h.sub)
}

// castAll sees to the shadows of all Subs, after the rules have changed.
func (a *Account) castAll() {
	r := a.rules.Load()
	if r == nil {
		r = noRules
	}
	a.casting.Lock()
	idle := len(a.casts) == 0 && len(r.streams) == 0
	a.casting.Unlock()
	if idle {
		return
	}
	var subs []*Sub
	a.mu.RLock()
	a.index.Walk(func(filter, _ string, members []*Sub) bool {
		about := slices.ContainsFunc(r.streams, func(i *streamImport) bool { return subject.Overlap(i.to(), filter) })
		for _, s := range members {
			if s.kind == ownSub && (about || s.shadowed) {
				subs = append(subs, s)
			}
		}
		return true
	})
	a.mu.RUnlock()
	for _, s := range subs {
		a.cast(s)
	}
}
