package subject

import (
	"math/rand/v2"
	"strings"
)

// split says where the end of filter begins: what follows its last "*", or its ">".
func split(filter string) int {
	if filter == ">" || strings.HasSuffix(filter, ".>") {
		return len(filter) - len(">")
	}
	if filter == "*" || strings.HasSuffix(filter, ".*") {
		return len(filter)
	}
	if i := strings.LastIndex(filter, ".*."); i >= 0 {
		return i + len(".*.")
	}
	if strings.HasPrefix(filter, "*.") {
		return len("*.")
	}
	return 0
}

// descend returns the node where filter hangs, nil if there is none, and its end.
func (x *Index[T]) descend(filter string) (n *node[T], end string) {
	at := split(filter)
	n = &x.root
	for rest := filter[:at]; rest != "" && n != nil; {
		var token string
		if token, rest, _ = strings.Cut(rest, "."); token == "*" {
			n = n.star
		} else {
			n = findKid(x, n, x.hashString(n, token), token)
		}
	}
	return n, filter[at:]
}

// grow is descend that makes the nodes which are missing.
func (x *Index[T]) grow(filter string) (n *node[T], end string) {
	at := split(filter)
	n = &x.root
	path := "" // made with the first node, shared by all
	for from := 0; from < at; {
		token, _, _ := strings.Cut(filter[from:at], ".")
		from += len(token) + len(".")
		star := token == "*"
		next := n.star
		if !star {
			next = findKid(x, n, x.hashString(n, token), token)
		}
		if next == nil {
			if path == "" {
				// A copy: the filter may be a piece of a longer text, which the node outlives.
				path = strings.TrimSuffix(filter[:at], ".") + "."
			}
			next = &node[T]{path: path[:from], parent: n, salt: rand.Uint32()}
			if star {
				n.star = next
			} else {
				x.nodes.add(x.hashString(n, token), next)
				n.kids++
			}
		}
		n = next
	}
	return n, filter[at:]
}

// prune takes n off the tree if nothing hangs at it, and then those above it.
func (x *Index[T]) prune(n *node[T]) {
	var none T
	for n != &x.root && n.ends == 0 && n.kids == 0 && n.star == nil && n.own == none && n.more == none {
		parent := n.parent
		if parent.star == n {
			parent.star = nil
		} else {
			hash := x.hashString(parent, n.token())
			slot := x.nodes.first(hash)
			for x.nodes.values[slot] != n {
				slot = x.nodes.next(hash, slot)
			}
			x.nodes.remove(slot)
			parent.kids--
		}
		n = parent
	}
}

// Walk calls f for each filter and queue with its members, in no order, until f returns
// false. members is good until f returns. f must not change the index.
func (x *Index[T]) Walk(f func(filter, queue string, members []T) bool) {
	for i, hash := range x.filters.hashes {
		if hash != 0 && !x.show(x.filters.values[i], f) {
			return
		}
	}
	if !x.showNode(&x.root, f) {
		return
	}
	for _, n := range x.nodes.values {
		if n != nil && !x.showNode(n, f) {
			return
		}
	}
}

// showNode shows what stands in n and in the stars behind it.
func (x *Index[T]) showNode(n *node[T], f func(filter, queue string, members []T) bool) bool {
	for ; n != nil; n = n.star {
		if !x.show(n.own, f) || !x.show(n.more, f) {
			return false
		}
	}
	return true
}

// show shows one filter, by its head.
func (x *Index[T]) show(head T, f func(filter, queue string, members []T) bool) bool {
	var none T
	if head == none {
		return true
	}
	mark := *head.Slot()
	if mark >= 0 {
		return f(head.Subject(), head.Queue(), []T{head})
	}
	s := x.sets[-1-mark]
	if len(s.plain) > 0 && !f(head.Subject(), "", s.plain) {
		return false
	}
	if s.named == nil {
		return true
	}
	for i := range s.named.list {
		if !f(head.Subject(), s.named.list[i].Queue, s.named.list[i].Members) {
			return false
		}
	}
	return true
}
