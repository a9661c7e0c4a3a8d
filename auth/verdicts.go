package auth

import (
	"hash/maphash"
	"sync/atomic"
)

// verdicts remembers what permissions have said of subjects, for all of a Directory's users
// together, so that it has one bound however many users there are. A subject is known by a hash of
// 63 bits, seeded at random: nobody can find two that are taken for one another.
type verdicts struct {
	seed  maphash.Seed
	table atomic.Pointer[verdictTable]
}

// A verdictTable has pairs of places. A place is 0 or a hash whose last bit is the verdict.
type verdictTable struct {
	places []atomic.Uint64
	stored atomic.Int64 // since it was made, about
}

const (
	// A table begins small and grows by verdictGrowth while more is asked than it can hold.
	firstVerdicts = 1 << 10
	mostVerdicts  = 1 << 15 // 256 KiB
	verdictGrowth = 4
	// worthRemembering is from how many rules on a look into the table is faster than the rules.
	worthRemembering = 4
)

func newVerdicts() *verdicts { return &verdicts{seed: maphash.MakeSeed()} }

// mayPublish is p's verdict, remembered or asked.
func (v *verdicts) mayPublish(p *Permissions, literal []byte) bool {
	hash := maphash.Bytes(v.seed, literal) ^ p.salt
	t := v.table.Load()
	if t == nil {
		t = v.grow(nil)
	}
	place := int(hash>>1) & (len(t.places) - 1)
	for range 2 {
		if known := t.places[place].Load(); known>>1 == hash>>1 && known != 0 {
			return known&1 != 0
		}
		place ^= 1
	}
	may := p.decide(literal)
	hash &^= 1
	if may {
		hash |= 1
	}
	// The one that was stored last is kept beside it.
	t.places[place^1].Store(t.places[place].Load())
	t.places[place].Store(hash)
	if t.stored.Add(1) > 2*int64(len(t.places)) && len(t.places) < mostVerdicts {
		v.grow(t)
	}
	return may
}

// grow replaces a table by a larger one, which is empty.
func (v *verdicts) grow(old *verdictTable) *verdictTable {
	size := firstVerdicts
	if old != nil {
		size = min(mostVerdicts, verdictGrowth*len(old.places))
	}
	made := &verdictTable{places: make([]atomic.Uint64, size)}
	if v.table.CompareAndSwap(old, made) {
		return made
	}
	return v.table.Load()
}

// remember lets a Directory remember the verdicts of somebody's permissions, if that is worth it.
func (v *verdicts) remember(id *Identity) *Identity {
	if v != nil && id != nil && id.Perms != nil && id.Perms.publish.rules() >= worthRemembering {
		id.Perms.verdicts.Store(v)
	}
	return id
}
