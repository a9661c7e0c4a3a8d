package broker

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// Generations of an account. Filters are told apart by their first token, so that a change to one
// does not make every lane match every subject anew.
const (
	tokenGenerations = 64
	inboxGeneration  = tokenGenerations - 1 // of first tokens that begin with "_": inboxes come and go most
	wildGeneration   = tokenGenerations     // of filters whose first token is a wildcard
)

// An Account is a name space of subjects with the interest in it.
type Account struct {
	// Set when made.
	broker *Broker
	name   string
	quoted []byte // the name in JSON
	salt   uint64 // keeps equal subjects of two accounts apart in a lane's cache

	// Moved under mu, read by anyone.
	generations [tokenGenerations + 1]atomic.Uint32

	// Anyone's.
	peers atomic.Int32 // links included, our own not
	links atomic.Int32
	slow  atomic.Int64         // peers that NoteSlow has been told of
	owed  atomic.Pointer[owed] // answers to requests from other accounts; nil before the first

	// Written under mu, read by anyone.
	rules atomic.Pointer[rules]

	mu       sync.RWMutex
	index    subject.Index[*Sub] // under mu; matching only reads
	watchers []*watcher          // under mu
	tallies  []*tally            // of the lanes that have published here; under mu
	past     [reasons]uint64     // counted by lanes that are closed; under mu
	moved    traffic             // by lanes that are closed; under mu
	shadows  []*shadow           // of Subs of accounts that import from this one; under mu
	services []*serviceImport    // of serviceSubs in index; under mu
	orphans  []*Sub              // whose shadows are to be seen to by unlock; under mu
	inner    *Peer               // to whom belong the Subs that are nobody's; under mu

	// casting is above all Account.mu: shadows of one Sub are made and removed by one goroutine at a
	// time.
	casting sync.Mutex
	casts   map[*Sub][]*shadow // the shadows of this account's Subs; under casting
}

func newAccount(b *Broker, name string) *Account {
	quoted, err := json.Marshal(name)
	if err != nil {
		panic(err) // a string can always be written
	}
	return &Account{broker: b, name: name, quoted: quoted, salt: rand.Uint64()}
}

// Name is the account's name.
func (a *Account) Name() string { return a.name }

// Links is how many of the account's peers speak for others.
func (a *Account) Links() int { return int(a.links.Load()) }

// Attach makes a peer of whoever is behind s. id says what it may do; nil is everything.
func (a *Account) Attach(id *auth.Identity, s Sink, t Traits) *Peer {
	p := &Peer{account: a, sink: s, remote: t.Remote, up: t.Up, own: t.Own, noEcho: t.NoEcho, origin: t.Origin}
	p.permit(id, false)
	p.count(1)
	return p
}

// generationOf is the generation that a filter's changes move.
func generationOf(filter string) int {
	token := filter
	if i := strings.IndexByte(filter, '.'); i >= 0 {
		token = filter[:i]
	}
	if token == "*" || token == ">" {
		return wildGeneration
	}
	return tokenGeneration(token)
}

// tokenGeneration is the generation of filters that begin with this literal token.
func tokenGeneration[T ~string | ~[]byte](token T) int {
	if len(token) > 0 && token[0] == '_' {
		return inboxGeneration
	}
	var h uint32 = 2166136261
	for i := 0; i < len(token); i++ {
		h = (h ^ uint32(token[i])) * 16777619
	}
	return int((h ^ h>>16) % inboxGeneration)
}

// insertLocked puts s where publishers find it.
func (a *Account) insertLocked(s *Sub) {
	a.index.Insert(s.Subject(), s.Queue(), s)
	a.generations[generationOf(s.Subject())].Add(1)
	a.tellLocked(s, s.members())
}

// removeLocked takes s away from publishers and from its peer. It may be called twice.
func (a *Account) removeLocked(s *Sub) {
	if s.state.Load()&subClosed != 0 {
		return
	}
	s.state.Or(subClosed)
	a.index.Remove(s.Subject(), s.Queue(), s)
	s.peer.dropLocked(s)
	if s.shadowed {
		a.orphans = append(a.orphans, s)
	}
	a.generations[generationOf(s.Subject())].Add(1)
	a.tellLocked(s, -s.members())
}

// unlock gives mu back, and takes away the shadows of what has been removed under it: they stand in
// other accounts, whose locks may not be held together with this one.
func (a *Account) unlock() {
	orphans := a.orphans
	a.orphans = nil
	a.mu.Unlock()
	for _, s := range orphans {
		a.cast(s)
	}
}

// innerLocked is the peer that has Subs of the account's own. Nothing is ever delivered to it.
func (a *Account) innerLocked() *Peer {
	if a.inner == nil {
		a.inner = &Peer{account: a, sink: nowhere{}}
	}
	return a.inner
}

// nowhere is the sink of such a peer.
type nowhere struct{}

func (nowhere) Deliver(*Msg, *Sub) bool { return false }
func (nowhere) Wake(bool) time.Duration { return 0 }

// moveAllLocked makes every lane match every subject of the account anew.
func (a *Account) moveAllLocked() {
	for i := range a.generations {
		a.generations[i].Add(1)
	}
}
