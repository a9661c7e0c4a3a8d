package auth

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// DefaultMaxFailedLogins is how many failed logins of a minute an address may have before it is slowed.
const DefaultMaxFailedLogins = 5

const (
	// failedWindow is how long failed logins count.
	failedWindow = int64(time.Minute)
	// slowStep is how much longer each failed login makes the wait, slowMost how long it can get. It
	// stays below the 2 s that client libraries give a server to answer.
	slowStep = 100 * time.Millisecond
	slowMost = 1500 * time.Millisecond
	// maxSlowed bounds the table, maxWaiting the logins that wait in one of its entries.
	maxSlowed  = 1024
	maxWaiting = 256
	// maxFriends is how many who got in are remembered of an address.
	maxFriends = 8
)

// A Slowdown makes guessing of passwords slow. What an address has to wait for grows with its failed
// logins; others wait for nothing. Neither do those who come in from the same address, through the same
// door, with what they have come in with before: behind one address there may be a whole plant.
//
// Some checks are slow, and wait for their turn: there logins from such an address let those from others go
// first, see Yields.
//
// One of them serves all doors of a process, so that whoever guesses at two of them is not half as slow.
// It only counts and tells: to wait is for whoever asks, and nobody has to hold a goroutine for that.
// In all of its methods most is how many failed logins of a minute cost nothing, negative: as many as
// may be; now is a time in nanoseconds, on the same scale for all callers. The zero value is ready to use.
// Anyone's.
type Slowdown struct {
	mu   sync.Mutex
	seed maphash.Seed             // under mu
	all  map[netip.Addr]*attempts // at most maxSlowed; under mu
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
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// digestLocked stands for credentials at a door, apart from a signature: that is another one each time.
// What opens one door may be a guess at another, or be asked for at none.
func (s *Slowdown) digestLocked(c *Credentials) uint64 {
	if s.seed == (maphash.Seed{}) {
		s.seed = maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, text := range []string{c.Type, c.User, c.Password, c.Token, c.NKey, c.JWT} {
		h.WriteString(text)
		h.WriteByte(0)
	}
	return max(1, h.Sum64())
}

// Begin says how long a login has to wait before anybody looks at its credentials. After a wait that is
// not 0 Waited has to be called. False: too many wait already, and this one is to be refused.
func (s *Slowdown) Begin(c *Credentials, most int, now int64) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.slowedLocked(c, most, now)
	if a == nil {
		return 0, true
	}
	if a.waiting >= maxWaiting {
		return 0, false
	}
	a.waiting++
	return min(slowMost, slowStep*time.Duration(a.failed-most+1)), true
}

// Yields reports whether a login whose turn for a slow check has come lets those of others go first: what is
// to be slowed by now. A thousand guesses may have begun at once, before the first of them had failed.
func (s *Slowdown) Yields(c *Credentials, most int, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slowedLocked(c, most, now) != nil
}

// slowedLocked is the entry of the address that a login comes from, nil if the login is not to be slowed.
func (s *Slowdown) slowedLocked(c *Credentials, most int, now int64) *attempts {
	a := s.all[addressKey(c.Remote)]
	if most < 0 || a == nil || now-a.window > failedWindow || a.failed < most {
		return nil
	}
	if slices.Contains(a.friends[:], s.digestLocked(c)) {
		return nil
	}
	return a
}

// Waited says that a login from an address waits no longer.
func (s *Slowdown) Waited(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.all[addressKey(from)]; a != nil && a.waiting > 0 {
		a.waiting--
	}
}

// Note takes how a login has ended, which is what Authenticate has returned. Errors that are no guesses
// count for nothing.
func (s *Slowdown) Note(c *Credentials, err error, most int, now int64) {
	if most < 0 || err != nil && !IsGuess(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.entryLocked(addressKey(c.Remote))
	if err == nil {
		a.befriend(s.digestLocked(c))
		return
	}
	if a.failed == 0 || now-a.window > failedWindow {
		a.window, a.failed = now, 0
	}
	a.failed++
}

// befriend remembers somebody who got in.
func (a *attempts) befriend(digest uint64) {
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
func (s *Slowdown) entryLocked(address netip.Addr) *attempts {
	if a := s.all[address]; a != nil {
		return a
	}
	if s.all == nil {
		s.all = make(map[netip.Addr]*attempts)
	}
	if len(s.all) >= maxSlowed {
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
