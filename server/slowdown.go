package server

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

const (
	// failedWindow is how long failed logins count.
	failedWindow = int64(time.Minute)
	// slowStep is how much longer each failed login makes the wait, slowMost how long it can get. It
	// stays below the 2 s that client libraries give a server to answer.
	slowStep = 100 * time.Millisecond
	slowMost = 1500 * time.Millisecond
	// maxAddresses bounds the table, maxWaiting the logins that wait in one of its entries.
	maxAddresses = 1024
	maxWaiting   = 256
	// maxFriends is how many who got in are remembered of an address.
	maxFriends = 8
)

// A slowdown makes guessing of passwords slow. What an address has to wait for grows with its failed
// logins; others wait for nothing. Neither do those who come in from the same address with what they
// have come in with before: behind one address there may be a whole plant.
type slowdown struct {
	mu   sync.Mutex
	seed maphash.Seed
	all  map[netip.Addr]*attempts
}

// attempts is what is known of one address.
type attempts struct {
	window  int64 // when the first of failed was
	failed  int
	waiting int
	friends [maxFriends]uint64 // digests of what others got in with
	next    int                // the friend to be forgotten next
}

// addressKey is what counts as one address: of IPv6 whoever has one has 64 bits of them.
func addressKey(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// digest stands for credentials, apart from a signature: that is another one each time.
func (s *slowdown) digest(c *auth.Credentials) uint64 {
	if s.seed == (maphash.Seed{}) {
		s.seed = maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, text := range []string{c.User, c.Password, c.Token, c.NKey, c.JWT} {
		h.WriteString(text)
		h.WriteByte(0)
	}
	return max(1, h.Sum64())
}

// begin says how long a login has to wait; end is called after that. False: too many wait already.
func (s *slowdown) begin(c *auth.Credentials, most int, now int64) (wait time.Duration, ok bool) {
	if most < 0 {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.all[addressKey(c.Remote)]
	if a == nil || now-a.window > failedWindow || a.failed < most {
		return 0, true
	}
	digest := s.digest(c)
	for _, friend := range a.friends {
		if friend == digest {
			return 0, true
		}
	}
	if a.waiting >= maxWaiting {
		return 0, false
	}
	a.waiting++
	return min(slowMost, slowStep*time.Duration(a.failed-most+1)), true
}

// end says that a login from an address waits no longer.
func (s *slowdown) end(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.all[addressKey(from)]; a != nil && a.waiting > 0 {
		a.waiting--
	}
}

// failed counts a failed login.
func (s *slowdown) failed(c *auth.Credentials, most int, now int64) {
	if most < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.entryLocked(addressKey(c.Remote))
	if a.failed == 0 || now-a.window > failedWindow {
		a.window, a.failed = now, 0
	}
	a.failed++
}

// succeeded remembers somebody who got in.
func (s *slowdown) succeeded(c *auth.Credentials, most int) {
	if most < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.entryLocked(addressKey(c.Remote))
	digest := s.digest(c)
	for _, friend := range a.friends {
		if friend == digest {
			return
		}
	}
	a.friends[a.next] = digest
	a.next = (a.next + 1) % maxFriends
}

// entryLocked finds the entry of an address or makes one, in place of another if the table is full:
// of a few the one with the fewest failures.
func (s *slowdown) entryLocked(address netip.Addr) *attempts {
	if a := s.all[address]; a != nil {
		return a
	}
	if s.all == nil {
		s.all = make(map[netip.Addr]*attempts)
	}
	if len(s.all) >= maxAddresses {
		const few = 8
		var victim netip.Addr
		least, seen := -1, 0
		for other, a := range s.all {
			if score := a.failed + a.waiting; least < 0 || score < least {
				victim, least = other, score
			}
			if seen++; seen == few {
				break
			}
		}
		delete(s.all, victim)
	}
	a := &attempts{}
	s.all[address] = a
	return a
}
