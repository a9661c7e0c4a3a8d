package subject

// A table finds values by hash: open addressing, one slot after the other. Hashes stand
// apart from values, so that a search that fails reads four bytes a slot and follows no
// pointer. Several values may have one hash; whoever looks compares and asks for the next.
type table[V any] struct {
	hashes []uint32 // 0: the slot is free
	values []V
	used   int
}

const minSlots = 8 // the least a table has once it holds anything; a power of two, as are all sizes

// first returns the first slot that holds hash, or -1.
func (t *table[V]) first(hash uint32) int { return probe(t.hashes, hash, int(hash)) }

// next returns the slot after slot that holds hash, or -1.
func (t *table[V]) next(hash uint32, slot int) int { return probe(t.hashes, hash, slot+1) }

func probe(hashes []uint32, hash uint32, slot int) int {
	if len(hashes) == 0 {
		return -1
	}
	for ; ; slot++ {
		slot &= len(hashes) - 1
		if h := hashes[slot]; h == hash {
			return slot
		} else if h == 0 {
			return -1
		}
	}
}

// add puts v into a slot of its own, which it returns. Slots found earlier are void.
func (t *table[V]) add(hash uint32, v V) int {
	if t.used >= len(t.hashes)-len(t.hashes)/8 {
		t.resize(max(minSlots, 2*len(t.hashes)))
	}
	t.used++
	return t.put(hash, v)
}

func (t *table[V]) put(hash uint32, v V) int {
	slot := probe(t.hashes, 0, int(hash))
	t.hashes[slot], t.values[slot] = hash, v
	return slot
}

// remove frees slot. Slots found earlier are void.
func (t *table[V]) remove(slot int) {
	mask := len(t.hashes) - 1
	for i := (slot + 1) & mask; t.hashes[i] != 0; i = (i + 1) & mask {
		// What stands at i may move back to the gap if it was not meant for a slot behind it.
		if (i-int(t.hashes[i]))&mask >= (i-slot)&mask {
			t.hashes[slot], t.values[slot] = t.hashes[i], t.values[i]
			slot = i
		}
	}
	var none V
	t.hashes[slot], t.values[slot] = 0, none
	t.used--
	switch {
	case t.used == 0:
		t.hashes, t.values = nil, nil
	case len(t.hashes) > minSlots && t.used < len(t.hashes)/8:
		t.resize(len(t.hashes) / 2)
	}
}

func (t *table[V]) resize(slots int) {
	old := *t
	t.hashes, t.values = make([]uint32, slots), make([]V, slots)
	for i, h := range old.hashes {
		if h != 0 {
			t.put(h, old.values[i])
		}
	}
}
