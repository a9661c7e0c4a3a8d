package broker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A tally counts what one lane has moved in one account and what it could not deliver. The lane is its
// only writer.
type tally struct {
	now packed // the lane's

	// Written by the lane, read by anyone.
	recent atomic.Uint64 // now as of the last flush: one store, where a lock would cost more than all counting
	drops  [reasons]atomic.Uint64

	mu   sync.Mutex // the innermost lock
	past traffic    // what was counted before now; under mu
}

// traffic counts messages and their bytes, header and payload.
type traffic struct{ inMsgs, inBytes, outMsgs, outBytes uint64 }

// packed is a little traffic in one word: from the highest bit on inMsgs, outMsgs, inBytes, outBytes.
type packed uint64

const (
	msgsBits  = 13
	bytesBits = 19

	inMsgsAt  = 2*bytesBits + msgsBits
	outMsgsAt = 2 * bytesBits
	inBytesAt = bytesBits

	// half has the highest bit of each field. As long as none is set, a message of less than packedMost
	// bytes with less than packedMost>>packedShift deliveries finds room.
	half        packed = 1<<(inMsgsAt+msgsBits-1) | 1<<(outMsgsAt+msgsBits-1) | 1<<(inBytesAt+bytesBits-1) | 1<<(bytesBits-1)
	packedMost         = 4096
	packedShift        = 6
)

// pack is one message of so many bytes that was published and has had n deliveries.
func pack(bytes, n int) packed {
	return 1<<inMsgsAt | packed(n)<<outMsgsAt | packed(bytes)<<inBytesAt | packed(n*bytes)
}

// fits reports whether such a message finds room in w.
func (w packed) fits(bytes, n int) bool {
	return w&half == 0 && n<<packedShift|bytes < packedMost
}

// unpack adds what w holds.
func (n *traffic) unpack(w packed) {
	n.inMsgs += uint64(w >> inMsgsAt)
	n.outMsgs += uint64(w >> outMsgsAt & (1<<msgsBits - 1))
	n.inBytes += uint64(w >> inBytesAt & (1<<bytesBits - 1))
	n.outBytes += uint64(w & (1<<bytesBits - 1))
}

func (n *traffic) add(more *traffic) {
	n.inMsgs += more.inMsgs
	n.inBytes += more.inBytes
	n.outMsgs += more.outMsgs
	n.outBytes += more.outBytes
}

// count counts m with n deliveries, which count where they were published, those to importers included,
// as in nats-server. What comes in through a service import has been published elsewhere. What happens
// all day publish counts itself.
func (t *tally) count(l *Lane, m *Msg, n int) {
	if l.counting != t {
		l.showCounts() // it may be long until something is counted there again
		l.counting = t
	}
	bytes := len(m.Header) + len(m.Payload)
	if m.hop == 0 && t.now.fits(bytes, n) {
		t.now += pack(bytes, n)
		return
	}
	more := traffic{outMsgs: uint64(n), outBytes: uint64(n) * uint64(bytes)}
	if m.hop == 0 {
		more.inMsgs, more.inBytes = 1, uint64(bytes)
	}
	more.unpack(t.now)
	t.now = 0
	t.mu.Lock()
	t.past.add(&more)
	t.recent.Store(0)
	t.mu.Unlock()
}

// showCounts makes visible to others what has been counted since the last flush.
func (l *Lane) showCounts() {
	if t := l.counting; t != nil && t.recent.Load() != uint64(t.now) {
		t.recent.Store(uint64(t.now))
	}
}

// moved is what t shows.
func (t *tally) moved() traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.past
	n.unpack(packed(t.recent.Load()))
	return n
}

func (t *tally) add(why Reason, n int) { t.drops[why].Add(uint64(n)) }

// tally returns the lane's counters for an account.
func (l *Lane) tally(a *Account) *tally {
	t := l.tallies[a]
	if t == nil {
		t = new(tally)
		l.tallies[a] = t
		a.mu.Lock()
		a.tallies = append(a.tallies, t)
		a.mu.Unlock()
	}
	return t
}

// retire keeps the counts of a lane that is closed.
func (a *Account) retire(t *tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range t.drops {
		a.past[i] += t.drops[i].Load()
	}
	moved := t.moved()
	a.moved.add(&moved)
	if i := slices.Index(a.tallies, t); i >= 0 {
		a.tallies = slices.Delete(a.tallies, i, i+1)
	}
}

// Drop counts n messages that an adapter took and lost, outside Deliver: one that grew too old in
// a queue, or came round in a loop.
func (a *Account) Drop(why Reason, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.past[why] += uint64(n)
}

// NoteSlow counts a peer that an adapter has closed because it took too little.
func (a *Account) NoteSlow() { a.slow.Add(1) }

// AccountSnapshot is one account at one moment.
type AccountSnapshot struct {
	Name          string
	Peers         int    // links included, our own not
	Links         int    // peers that speak for others
	Subscriptions int    // with those that imports make, as in nats-server
	InMsgs        uint64 // what its peers have published
	InBytes       uint64
	OutMsgs       uint64 // deliveries of what was published here or came in through services
	OutBytes      uint64
	SlowPeers     int64             // closed because they took too little
	OpenRequests  int               // from other accounts, not answered yet
	Drops         map[string]uint64 // messages not delivered, by reason
}

// Accounts sums up each account, in order of their names.
func (b *Broker) Accounts() (list []AccountSnapshot) {
	accounts := b.all()
	slices.SortFunc(accounts, func(x, y *Account) int { return strings.Compare(x.name, y.name) })
	for _, a := range accounts {
		list = append(list, a.Snapshot())
	}
	return list
}

// Snapshot sums up one account.
func (a *Account) Snapshot() AccountSnapshot {
	open := a.owed.Load().count()
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := AccountSnapshot{
		Name:          a.name,
		Peers:         int(a.peers.Load()),
		Subscriptions: a.index.Len(),
		Drops:         make(map[string]uint64, reasons-1),
		Links:         int(a.links.Load()),
		SlowPeers:     a.slow.Load(),
		OpenRequests:  open,
	}
	moved := a.moved
	for _, t := range a.tallies {
		more := t.moved()
		moved.add(&more)
	}
	s.InMsgs, s.InBytes, s.OutMsgs, s.OutBytes = moved.inMsgs, moved.inBytes, moved.outMsgs, moved.outBytes
	for why := NoInterest; why < reasons; why++ {
		n := a.past[why]
		for _, t := range a.tallies {
			n += t.drops[why].Load()
		}
		s.Drops[why.String()] = n
	}
	return s
}
