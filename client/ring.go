package client

// A ring is a queue that grows, and is given back to the collector when it is empty.
type ring struct {
	slots        []queued // a power of two of them
	first, count int
	bytes        int
}

type queued struct {
	msg  *Msg
	size int
}

func (r *ring) push(m *Msg, size int) {
	if r.count == len(r.slots) {
		grown := make([]queued, max(8, 2*len(r.slots)))
		n := copy(grown, r.slots[r.first:])
		copy(grown[n:], r.slots[:r.first])
		r.slots, r.first = grown, 0
	}
	r.slots[(r.first+r.count)&(len(r.slots)-1)] = queued{m, size}
	r.count++
	r.bytes += size
}

func (r *ring) pop() *Msg {
	q := r.slots[r.first]
	r.slots[r.first] = queued{}
	r.first = (r.first + 1) & (len(r.slots) - 1)
	r.count--
	r.bytes -= q.size
	if r.count == 0 && len(r.slots) > keepSlots {
		*r = ring{}
	}
	return q.msg
}

// keepSlots is the largest queue that is kept while it is empty.
const keepSlots = 1024
