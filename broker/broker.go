package broker

import (
	"sync"
	"sync/atomic"

	"github.com/edgebus-io/edgebus/auth"
)

// GlobalAccount is the account of everybody who has no other.
const GlobalAccount = auth.GlobalAccount

// A Broker is a set of accounts, and the lanes that publish in them.
type Broker struct {
	// Set when made.
	cacheSlots   int
	cacheResults int

	// Anyone's.
	maxSubscriptions atomic.Int32
	maxTokens        atomic.Int32

	answers answers
	owed    atomic.Int64 // bytes that answers to requests from other accounts take, about

	configuring sync.Mutex               // above all other locks
	configured  map[string]*auth.Account // by name; under configuring

	mu       sync.Mutex
	accounts map[string]*Account // under mu
	lanes    uint32              // bits of Peer.touched that are given out; under mu
}

// New makes a Broker without accounts.
func New(o Options) *Broker {
	b := &Broker{
		cacheSlots:   firstCacheSlots,
		cacheResults: o.CacheResults,
		accounts:     make(map[string]*Account),
	}
	if o.CacheSlots <= 0 {
		o.CacheSlots = defaultCacheSlots
	}
	for b.cacheSlots < min(o.CacheSlots, maxCacheSlots) {
		b.cacheSlots *= 2
	}
	if b.cacheResults <= 0 {
		b.cacheResults = defaultCacheResults
	}
	b.Reload(o)
	return b
}

// Reload sets the bounds that can be changed while running: MaxSubscriptions and MaxTokens. They
// hold for subscriptions made from then on.
func (b *Broker) Reload(o Options) {
	b.maxSubscriptions.Store(int32(min(max(0, o.MaxSubscriptions), 1<<31-1)))
	b.maxTokens.Store(int32(min(max(0, o.MaxTokens), 1<<31-1)))
}

// Account returns the account of that name, and makes it if there is none yet. The empty name is
// the global account.
func (b *Broker) Account(name string) *Account {
	if name == "" {
		name = GlobalAccount
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.accounts[name]
	if a == nil {
		a = newAccount(b, name)
		b.accounts[name] = a
	}
	return a
}
