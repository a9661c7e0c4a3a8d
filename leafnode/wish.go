package leafnode

import (
	"math"
	"slices"
)

// What is known of interest: who wants it, and which links have been told so. There may be a hundred
// thousand wishes and a thousand links, so a wish is 64 bytes, and a link costs it two bits.

// A wish is interest in one subject, of plain subscriptions or of one queue group. Everything is under
// joint.mu.
type wish struct {
	subject, queue string // memory of the subscription that came first

	at     int32  // place in joint.log
	local  int32  // members that are not behind links
	first  share  // of a link that has members; the only one mostly
	states uint64 // two bits for each of the first inlineStates slots
	more   *more  // nil while there is nothing more
}

// A share is how many members are behind one link; 0 stands for no link at all.
type share struct{ slot, members int32 }

// more is what few wishes have.
type more struct {
	shares  []share  // of links beside the first
	states  []uint64 // of slots beyond those in wish.states
	weights []int32  // by slot, what was told of a queue group
}

// A state is what one link knows of one wish.
type state uint8

const (
	wishTold   state = 1 << iota // it has been announced
	wishMarked                   // it has changed since the link looked at it last
)

const (
	statesInWord  = 32
	inlineStates  = statesInWord
	toldEverybody = math.MaxUint64 / 3 // the bits of wishTold
)

// has reports whether the link at a slot has all bits of b.
func (w *wish) has(slot int32, b state) bool {
	word := w.states
	if i := slot/statesInWord - 1; i >= 0 {
		if w.more == nil || int(i) >= len(w.more.states) {
			return false
		}
		word = w.more.states[i]
	}
	return state(word>>(slot%statesInWord*2))&b == b
}

// set gives the link at a slot the bits of b, or takes them.
func (w *wish) set(slot int32, b state, on bool) {
	word := &w.states
	if i := int(slot/statesInWord) - 1; i >= 0 {
		m := w.rest()
		for len(m.states) <= i {
			m.states = append(m.states, 0)
		}
		word = &m.states[i]
	}
	bits := uint64(b) << (slot % statesInWord * 2)
	if on {
		*word |= bits
	} else {
		*word &^= bits
	}
}

func (w *wish) rest() *more {
	if w.more == nil {
		w.more = new(more)
	}
	return w.more
}

// toldWeight is what was announced to the link at a slot; 0 if nothing was.
func (w *wish) toldWeight(slot int32) int32 {
	switch {
	case !w.has(slot, wishTold):
		return 0
	case w.queue == "":
		return 1
	}
	return w.more.weights[slot]
}

// tell notes what is announced to the link at a slot.
func (w *wish) tell(slot, weight int32) {
	w.set(slot, wishTold, weight != 0)
	if w.queue == "" || weight == 0 {
		return
	}
	m := w.rest()
	for len(m.weights) <= int(slot) {
		m.weights = append(m.weights, 0)
	}
	m.weights[slot] = weight
}

// isOver reports whether nobody wants it and nobody believes so.
func (w *wish) isOver() bool {
	if w.local != 0 || w.first.members != 0 || w.states&toldEverybody != 0 {
		return false
	}
	return w.more == nil || len(w.more.shares) == 0 &&
		!slices.ContainsFunc(w.more.states, func(word uint64) bool { return word&toldEverybody != 0 })
}

// add changes how many members are behind the link at a slot, and reports by how much the number of
// links changes.
func (w *wish) add(slot, delta int32) (links int32) {
	if w.first.members != 0 && w.first.slot == slot {
		if w.first.members += delta; w.first.members != 0 {
			return 0
		}
		if w.more != nil && len(w.more.shares) != 0 {
			last := len(w.more.shares) - 1
			w.first = w.more.shares[last]
			w.more.shares = w.more.shares[:last]
		}
		return -1
	}
	if w.more != nil {
		for i := range w.more.shares {
			s := &w.more.shares[i]
			if s.slot != slot {
				continue
			}
			if s.members += delta; s.members != 0 {
				return 0
			}
			w.more.shares = slices.Delete(w.more.shares, i, i+1)
			return -1
		}
	}
	if w.first.members == 0 {
		w.first = share{slot, delta}
	} else {
		w.rest().shares = append(w.rest().shares, share{slot, delta})
	}
	return 1
}
