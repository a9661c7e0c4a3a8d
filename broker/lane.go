package broker

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"time"
)

// A Lane is one publishing goroutine's private working set, for all accounts: match cache,
// sinks touched since the last flush, scratch, counters with one writer. An engine loop owns
// one, so that thousands of connections on a loop share a cache and own none.
//
// One goroutine uses it at a time, and it needs no lock for that reason.
type Lane struct {
	broker *Broker
	bit    uint32 // in Peer.touched; 0 for lanes that came too late for one
	random uint64 // state of the generator that picks members of queue groups

	// The match cache; see slot.go.
	cache   cache
	scratch slot         // the slot of what is not kept
	matches matchScratch // what a miss finds
	cross   crossing     // what a miss finds of other accounts
	tallies map[*Account]*tally

	// What Publish has set going and Flush ends.
	touched []touch
	first   *Peer              // of touched, which has no bit set for it: mostly there is no other
	slowed  *Peer              // the last who was told to rest, so that not each of its messages says so
	seen    map[*Peer]struct{} // stands in for the bit if there is none
	pending int                // bytes, about
	effort  int                // see Effort

	// Publish's own, empty between calls.
	spent []*Sub // had their last message
	calls []call // what links are to be handed; see remote.go
	names []string

	// What crosses into other accounts. Publish's own, but for mappedTo, which is Msg.Subject after it.
	mappedTo []byte
	text     []byte        // subjects and headers on their way
	tasks    []task        // service imports to go through
	hops     *[maxHops]hop // on the way of a message, in order; nil before the first

	counting *tally // in which the last message was counted; nil before the first
}

// touch is a sink to be woken.
type touch struct {
	peer *Peer
	by   *Peer // who published to it first
}

// NewLane makes a lane. Close gives back what it takes of the broker.
func (b *Broker) NewLane() *Lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &Lane{broker: b, random: rand.Uint64() | 1, tallies: make(map[*Account]*tally)}
	l.cache = cache{seed: maphash.MakeSeed(), table: make([]*slot, ways), results: b.cacheResults, most: b.cacheSlots}
	if id := bits.TrailingZeros32(^b.lanes); id < touchLanes {
		l.bit = 1 << id
		b.lanes |= l.bit
	} else {
		l.seen = make(map[*Peer]struct{})
	}
	return l
}

// Close flushes and ends the lane. Its counts stay.
func (l *Lane) Close() {
	l.Flush()
	for a, t := range l.tallies {
		a.retire(t)
	}
	l.tallies, l.cache, l.scratch, l.cross, l.hops = nil, cache{}, slot{}, crossing{}, nil
	l.broker.mu.Lock()
	defer l.broker.mu.Unlock()
	l.broker.lanes &^= l.bit
}

// Full reports whether so much is pending since the last Flush that there should be another.
func (l *Lane) Full() bool { return l.pending >= fullBytes }

// Effort counts what publishing and asking has taken since the lane was made, in deliveries, about:
// subscriptions that were tried, whether they took the message or not, and steps of matching. It
// goes up only. An adapter stops by it after its share of a turn: someone who has made a hundred
// thousand filters can have each message matched with all of them and delivered to none.
func (l *Lane) Effort() int { return l.effort }

// touch notes that p's sink is to be woken.
func (l *Lane) touch(p, by *Peer) {
	switch {
	case l.first == nil:
		l.first = p
	case l.bit != 0:
		p.touched.Or(l.bit)
	default:
		if _, ok := l.seen[p]; ok {
			return
		}
		l.seen[p] = struct{}{}
	}
	l.touched = append(l.touched, touch{p, by})
}

// Flush wakes every sink touched since the last Flush, and makes those rest who have published
// faster than a sink can follow.
func (l *Lane) Flush() {
	l.showCounts()
	if len(l.touched) == 0 {
		return
	}
	soon := len(l.touched) > maxWakes
	l.first = nil
	for i := range l.touched {
		t := &l.touched[i]
		// Before Wake, since what comes after Wake has begun must be woken again.
		if i != 0 {
			t.peer.touched.And(^l.bit)
		}
		rest := uint32(t.peer.sink.Wake(soon) / time.Microsecond)
		if rest != t.peer.behind.Load() {
			t.peer.behind.Store(rest)
		}
		if rest != 0 {
			t.by.rest(t.peer)
		}
	}
	clear(l.touched)
	if cap(l.touched) > keptTouches {
		l.touched = nil
	}
	l.touched = l.touched[:0]
	l.pending, l.slowed = 0, nil
	if l.bit == 0 {
		clear(l.seen)
	}
}

// rest slows p down because to is behind: never for its own sake, and never what speaks for others.
// Only the first who has published to it since the last Flush is found by Flush itself; the others
// come by here as they publish on.
func (p *Peer) rest(to *Peer) {
	if p == to || p.remote {
		return
	}
	if publisher, ok := p.sink.(Rester); ok {
		publisher.Rest(time.Duration(to.behind.Load()) * time.Microsecond)
	}
}

// draw returns a random number below n.
func (l *Lane) draw(n int) int {
	// xorshift64: good enough to spread work, and it is three shifts.
	l.random ^= l.random << 13
	l.random ^= l.random >> 7
	l.random ^= l.random << 17
	high, _ := bits.Mul64(l.random, uint64(n))
	return int(high)
}
