package subject

// A Result is what an Index found. It is used again and again: what it has grown to is
// kept from one match to the next.
type Result[T Entry] struct {
	Plain  []T        // entries without a queue, in no order
	Groups []Group[T] // one for each queue name, whatever filters its members use

	// Steps is what finding them has taken: nodes visited and entries found. Whoever publishes can
	// tell by it who asks for much, which may be somebody with no match at all.
	Steps int

	byName map[string]int // places in Groups by name; empty up to manyGroups
}

// A Group is the entries that share a queue name.
type Group[T Entry] struct {
	Queue   string
	Members []T
}

// manyGroups is how many groups are searched one by one; from there on a map helps.
const manyGroups = 16

// Reset empties r, keeps its capacity and lets go of all entries.
func (r *Result[T]) Reset() {
	clear(r.Plain)
	r.Plain = r.Plain[:0]
	r.Steps = 0
	for i := range r.Groups {
		g := &r.Groups[i]
		g.Queue = ""
		clear(g.Members)
		g.Members = g.Members[:0]
	}
	r.Groups = r.Groups[:0]
	if len(r.byName) > 0 {
		clear(r.byName)
	}
}

// group returns the group of that name, which may be new and empty. It is good until the
// next call.
func (r *Result[T]) group(queue string) *Group[T] {
	if len(r.byName) > 0 {
		if i, ok := r.byName[queue]; ok {
			return &r.Groups[i]
		}
	} else {
		for i := range r.Groups {
			if r.Groups[i].Queue == queue {
				return &r.Groups[i]
			}
		}
	}
	n := len(r.Groups)
	if n < cap(r.Groups) {
		r.Groups = r.Groups[:n+1] // with the Members that a Reset has left there
	} else {
		r.Groups = append(r.Groups, Group[T]{})
	}
	r.Groups[n].Queue = queue
	r.index()
	return &r.Groups[n]
}

// index keeps byName in step with a Groups that has grown by one.
func (r *Result[T]) index() {
	n := len(r.Groups)
	if n <= manyGroups {
		return
	}
	if r.byName == nil {
		r.byName = make(map[string]int, 2*manyGroups)
	}
	if len(r.byName) == 0 {
		for i := range r.Groups[:n-1] {
			r.byName[r.Groups[i].Queue] = i
		}
	}
	r.byName[r.Groups[n-1].Queue] = n - 1
}
