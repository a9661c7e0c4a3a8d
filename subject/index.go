package subject

import (
	"bytes"
	"hash/maphash"
)

// An Entry is what an Index keeps, a pointer as a rule. Subject and Queue answer with what
// it was inserted under. Slot is the index's own note of where the entry stands, so that
// removing one of ten thousand members costs as much as removing one of two.
type Entry interface {
	comparable
	Subject() string
	Queue() string
	Slot() *int32
}

// An Index finds the entries whose filters match a subject. Its zero value is ready. It
// is not safe for concurrent use, but Match and Walk only read: a read lock is enough for
// them.
type Index[T Entry] struct {
	seed    maphash.Seed
	root    node[T]
	nodes   table[*node[T]] // every node that a literal token leads to, by parent and token
	filters table[T]        // heads of all filters with a literal end, by node and end
	sets    []*set[T]       // members.go
	free    []int32         // numbers of sets that are nil
	entries int
}

// A node stands for the beginning of filters, up to a token behind which a wildcard comes,
// or up to a wildcard. Nodes are few: those who share a beginning share the node, and
// filters without wildcards have none.
type node[T Entry] struct {
	path   string // the tokens to here, each with a dot behind it
	parent *node[T]
	star   *node[T] // behind a "*"
	own    T        // head of the filter that ends here, in a "*"
	more   T        // head of the filter that goes on with ">"
	salt   uint32   // tells the edges of one node from those of another
	kids   int32    // edges in nodes
	ends   int32    // edges in filters
}

// Match appends to r all entries whose filter matches subject.
func (x *Index[T]) Match(subject []byte, r *Result[T]) {
	if n := len(subject); x.entries == 0 || n == 0 || subject[0] == '.' || subject[n-1] == '.' || bytes.Contains(subject, twoDots) {
		return // as Valid says, in a third of its time
	}
	x.walk(&x.root, subject, r)
}

var twoDots = []byte("..")

// walk takes in what the filters at n and below say of the tokens that are left, which are
// one at least. A node is reached on one way only, so the work is bounded by the number of
// nodes; the calls nest no deeper than the subject has tokens.
func (x *Index[T]) walk(n *node[T], rest []byte, r *Result[T]) {
	var none T
	for {
		r.Steps++
		if n.ends > 0 {
			if i := findEnd(x, n, x.hash(n, rest), rest); i >= 0 {
				x.take(x.filters.values[i], r)
			}
		}
		if n.more != none {
			x.take(n.more, r)
		}
		if n.star == nil && n.kids == 0 {
			return
		}
		dot := bytes.IndexByte(rest, '.')
		if dot < 0 {
			if n.star != nil && n.star.own != none {
				x.take(n.star.own, r)
			}
			return
		}
		star := n.star
		var kid *node[T]
		if n.kids > 0 {
			kid = findKid(x, n, x.hash(n, rest[:dot]), rest[:dot])
		}
		rest = rest[dot+1:]
		switch {
		case kid == nil && star == nil:
			return
		case kid == nil:
			n = star
		case star == nil:
			n = kid
		default:
			x.walk(star, rest, r)
			n = kid
		}
	}
}

// take appends the entries of one filter.
func (x *Index[T]) take(head T, r *Result[T]) {
	mark := *head.Slot()
	if mark < 0 {
		x.takeSet(x.sets[-1-mark], r)
		return
	}
	r.Steps++
	if queue := head.Queue(); queue == "" {
		r.Plain = append(r.Plain, head)
	} else {
		g := r.group(queue)
		g.Members = append(g.Members, head)
	}
}

func (x *Index[T]) takeSet(s *set[T], r *Result[T]) {
	r.Steps += s.size()
	r.Plain = append(r.Plain, s.plain...)
	if s.named == nil {
		return
	}
	for i := range s.named.list {
		g := r.group(s.named.list[i].Queue)
		g.Members = append(g.Members, s.named.list[i].Members...)
	}
}

// Insert adds v under filter and queue, "" for none, and returns how many entries these two
// have then. filter is valid; v is in no index.
func (x *Index[T]) Insert(filter, queue string, v T) (members int) {
	var zero maphash.Seed
	if x.seed == zero {
		x.seed = maphash.MakeSeed()
	}
	n, end := x.grow(filter)
	switch end {
	case "":
		return x.join(&n.own, queue, v)
	case ">":
		return x.join(&n.more, queue, v)
	}
	hash := x.hashString(n, end)
	i := findEnd(x, n, hash, end)
	if i < 0 {
		var none T
		i = x.filters.add(hash, none)
		n.ends++
	}
	return x.join(&x.filters.values[i], queue, v)
}

// Remove takes v away from filter and queue and returns how many entries these two have
// left. ok is false if v was not there.
func (x *Index[T]) Remove(filter, queue string, v T) (members int, ok bool) {
	if x.entries == 0 {
		return 0, false
	}
	n, end := x.descend(filter)
	if n == nil {
		return 0, false
	}
	switch end {
	case "":
		members, ok = x.leave(&n.own, queue, v)
	case ">":
		members, ok = x.leave(&n.more, queue, v)
	default:
		i := findEnd(x, n, x.hashString(n, end), end)
		if i < 0 {
			return 0, false
		}
		var none T
		members, ok = x.leave(&x.filters.values[i], queue, v)
		if x.filters.values[i] == none {
			x.filters.remove(i)
			n.ends--
		}
	}
	x.prune(n)
	return members, ok
}

// Len returns the number of entries.
func (x *Index[T]) Len() int { return x.entries }

// hash is of an edge of n. The first bits find the slot, all of them are compared there.
func (x *Index[T]) hash(n *node[T], edge []byte) uint32 {
	return max(1, uint32(maphash.Bytes(x.seed, edge))^n.salt)
}

func (x *Index[T]) hashString(n *node[T], edge string) uint32 {
	return max(1, uint32(maphash.String(x.seed, edge))^n.salt)
}

// findEnd returns the slot in filters of the filter that hangs at n and ends so, or -1.
func findEnd[T Entry, S Text](x *Index[T], n *node[T], hash uint32, end S) int {
	for i := x.filters.first(hash); i >= 0; i = x.filters.next(hash, i) {
		filter := x.filters.values[i].Subject()
		at := len(n.path)
		if len(filter) == at+len(end) && filter[at:] == string(end) && filter[:at] == n.path {
			return i
		}
	}
	return -1
}

// findKid returns the node that token leads to from n, or nil.
func findKid[T Entry, S Text](x *Index[T], n *node[T], hash uint32, token S) *node[T] {
	for i := x.nodes.first(hash); i >= 0; i = x.nodes.next(hash, i) {
		if kid := x.nodes.values[i]; kid.parent == n && kid.token() == string(token) {
			return kid
		}
	}
	return nil
}

// token is the last one of the path.
func (n *node[T]) token() string { return n.path[len(n.parent.path) : len(n.path)-1] }
