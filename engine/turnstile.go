package engine

import (
	"net/netip"
	"sync"
	"time"
)

// A Turnstile counts connections where they come in, so that neither one address nor a crowd takes what
// is there for all. One of them serves all doors of a process. It only counts and tells: what becomes of
// who is refused is for whoever asks. Of IPv6 64 bits count as one address; what has no address, such as
// a unix socket, counts for nothing. The zero value is ready to use. Anyone's.
type Turnstile struct {
	mu     sync.Mutex
	inside map[netip.Addr]int // by address, of those that Enter has counted; under mu

	second int64              // which one the rest is about; under mu
	taken  int                // in it; under mu
	shares map[netip.Addr]int // of it, by address: no more entries than taken; under mu
}

// TurnstileLimits are what a Turnstile goes by. 0 is no limit.
type TurnstileLimits struct {
	// PerAddress bounds the connections of one address.
	PerAddress int
	// PerSecond bounds the new connections of all addresses in a second. One address gets half of them
	// at most, so that it cannot lock out the others.
	PerSecond int
}

// Enter asks for a place for a connection, at a time on the scale of the function Now. counted says that
// Leave is to be called at its end. The error is ErrAddressFull or ErrTooMany.
func (t *Turnstile) Enter(from netip.Addr, o TurnstileLimits, now int64) (counted bool, err error) {
	if o == (TurnstileLimits{}) || !from.IsValid() {
		return false, nil
	}
	from = sourceOf(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.PerAddress > 0 && t.inside[from] >= o.PerAddress {
		return false, ErrAddressFull
	}
	if o.PerSecond > 0 && !t.takeLocked(from, o.PerSecond, now) {
		return false, ErrTooMany
	}
	if o.PerAddress <= 0 {
		return false, nil
	}
	if t.inside == nil {
		t.inside = make(map[netip.Addr]int)
	}
	t.inside[from]++
	return true, nil
}

// takeLocked takes one of the places of this second.
func (t *Turnstile) takeLocked(from netip.Addr, most int, now int64) bool {
	// Loops do not read the clock at the same moment: one that is a little behind does not begin the last
	// second anew.
	if second := now / int64(time.Second); second > t.second || t.shares == nil {
		t.second, t.taken, t.shares = second, 0, make(map[netip.Addr]int)
	}
	if t.taken >= most || t.shares[from] >= max(1, most/2) {
		return false
	}
	t.taken++
	t.shares[from]++
	return true
}

// Leave gives the place of a connection back that Enter has counted.
func (t *Turnstile) Leave(from netip.Addr) {
	from = sourceOf(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.inside[from]; n > 1 {
		t.inside[from] = n - 1
	} else {
		delete(t.inside, from)
	}
}
