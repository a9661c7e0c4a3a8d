package broker

import (
	"slices"
	"strings"
	"sync/atomic"
)

// A tally counts what one lane could not deliver in one account. The lane is its only writer.
type tally struct {
	drops [reasons]atomic.Uint64
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

// A Snapshot is the broker at one moment, for monitoring.
type Snapshot struct {
	Accounts []AccountSnapshot `json:"accounts"`
}

// AccountSnapshot is one account at one moment.
type AccountSnapshot struct {
	Name          string            `json:"name"`
	Peers         int               `json:"peers"`
	Subscriptions int               `json:"subscriptions"`
	Drops         map[string]uint64 `json:"drops"` // messages not delivered, by reason
}

// Snapshot sums up all accounts, in order of their names.
func (b *Broker) Snapshot() Snapshot {
	b.mu.Lock()
	accounts := make([]*Account, 0, len(b.accounts))
	for _, a := range b.accounts {
		accounts = append(accounts, a)
	}
	b.mu.Unlock()
	slices.SortFunc(accounts, func(x, y *Account) int { return strings.Compare(x.name, y.name) })
	var s Snapshot
	for _, a := range accounts {
		s.Accounts = append(s.Accounts, a.Snapshot())
	}
	return s
}

// Snapshot sums up one account.
func (a *Account) Snapshot() AccountSnapshot {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s := AccountSnapshot{
		Name:          a.name,
		Peers:         int(a.peers.Load()),
		Subscriptions: a.index.Len(),
		Drops:         make(map[string]uint64, reasons-1),
	}
	for why := NoInterest; why < reasons; why++ {
		n := a.past[why]
		for _, t := range a.tallies {
			n += t.drops[why].Load()
		}
		s.Drops[why.String()] = n
	}
	return s
}
