package broker

import "sync/atomic"

// A Sub is one subscription of one peer. There may be hundreds of thousands, so it is kept at 64
// bytes: one string for its three texts, and counters of 32 bits, which every processor can change
// at once.
type Sub struct {
	// Set when made.
	peer         *Peer
	text         string // subject, queue and tag, one after the other
	subjectBytes uint32
	queueBytes   uint16
	kind         subKind
	filtered     bool // permissions deny some of what the subject matches; under Account.mu

	// Under Account.mu.
	slot int32 // place in the index's list
	own  int32 // place in peer.subs; of other kinds, where the account keeps what belongs to it

	// Anyone's.
	state  atomic.Uint32
	weight atomic.Int32  // members that it stands for; 0 is 1
	max    atomic.Uint32 // messages it may have in all; 0 is any number
	taken  atomic.Uint32 // messages it was given, lower half
	wraps  atomic.Uint32 // messages it was given, upper half

	shadowed bool // there may be shadows of it in other accounts; under Account.mu
}

// A subKind tells the Subs apart that an account's index holds.
type subKind uint8

const (
	ownSub     subKind = iota // of one of the account's peers
	shadowSub                 // stands for one of another account, which imports; see shadow.go
	serviceSub                // takes requests to another account; see service.go
	answerSub                 // takes answers to requests from other accounts; see answer.go
)

// States of a Sub.
const (
	subSpent  uint32 = 1 << iota // had its last message, and waits to be removed
	subClosed                    // removed
)

// Subject is the filter.
func (s *Sub) Subject() string { return s.text[:s.subjectBytes] }

// Queue is the queue group's name; empty for a plain subscription.
func (s *Sub) Queue() string {
	return s.text[s.subjectBytes : s.subjectBytes+uint32(s.queueBytes)]
}

// Tag is the adapter's own: a NATS sid, an MQTT filter. The core never looks at it.
func (s *Sub) Tag() string { return s.text[s.subjectBytes+uint32(s.queueBytes):] }

// Peer is whose subscription it is.
func (s *Sub) Peer() *Peer { return s.peer }

// Slot is for the index, which notes there where it keeps s.
func (s *Sub) Slot() *int32 { return &s.slot }

// Closed reports whether s is gone: removed, or done with its last message.
func (s *Sub) Closed() bool { return s.state.Load() != 0 }

// Delivered is how many messages s has had.
func (s *Sub) Delivered() uint64 {
	return uint64(s.wraps.Load())<<32 | uint64(s.taken.Load())
}

// Max is how many messages s may have in all; 0 is any number, or more than 32 bits can count.
func (s *Sub) Max() uint64 { return uint64(s.max.Load()) }

// Take counts one message. It is false if s must not have it. Deliver calls it under the sink's
// output lock, so that nothing is written after the last message. Publish removes s afterwards.
func (s *Sub) Take() bool {
	if s.state.Load() != 0 {
		return false
	}
	n := s.taken.Add(1)
	if n == 0 {
		s.wraps.Add(1)
	}
	most := s.max.Load()
	if most == 0 || n < most {
		return true
	}
	s.state.Or(subSpent)
	if n > most {
		s.taken.Add(^uint32(0)) // not this one
		return false
	}
	return true
}

// limit sets max and reports whether s has had that many already. Either Take sees the new max or
// limit sees what Take has counted, so that no message too many gets through and none too few.
func (s *Sub) limit(most uint64) (reached bool) {
	if most > 1<<32-1 {
		s.max.Store(0) // out of reach
		return false
	}
	s.max.Store(uint32(most))
	return s.wraps.Load() > 0 || uint64(s.taken.Load()) >= most
}

// members is how many members of its queue group s stands for.
func (s *Sub) members() int32 { return max(1, s.weight.Load()) }

// SetWeight says that s, a link's queue subscription, stands for n members.
func (s *Sub) SetWeight(n int32) {
	a := s.peer.account
	n = min(max(1, n), maxWeight)
	a.mu.Lock()
	delta := n - s.members()
	s.weight.Store(n)
	if delta != 0 && s.state.Load()&subClosed == 0 {
		a.tellLocked(s, delta)
	}
	shadowed := s.shadowed
	a.mu.Unlock()
	if shadowed {
		a.cast(s)
	}
}
