package subject

import "strings"

// The place of a filter in the index is one entry, its head. A head that is alone has 0
// in its slot. From the second entry on the filter has a set, and the head's slot is
// -1 minus the number of the set; the head is then the first of its own list. The slot of
// every other member is its position in the list of its queue.

// A set is the entries of one filter, two at least.
type set[T Entry] struct {
	plain []T
	named *groups[T] // nil while nobody has a queue
}

// A groups is the entries of one filter that have a queue.
type groups[T Entry] struct {
	list   []Group[T]     // none is empty
	byName map[string]int // places in list; nil up to manyGroups
	size   int            // members of all
}

// join adds v to those whose head is at place, and returns the members of its queue.
func (x *Index[T]) join(place *T, queue string, v T) (members int) {
	var none T
	x.entries++
	if *place == none {
		*place, *v.Slot() = v, 0
		return 1
	}
	mark := (*place).Slot()
	if *mark >= 0 {
		number := x.newSet()
		x.sets[number].add((*place).Queue(), *place)
		*mark = -1 - number
	}
	return x.sets[-1-*mark].add(queue, v)
}

// leave takes v from those whose head is at place; the place is empty when it was the last.
func (x *Index[T]) leave(place *T, queue string, v T) (members int, ok bool) {
	var none T
	head := *place
	if head == none {
		return 0, false
	}
	mark := *head.Slot()
	if mark >= 0 {
		if head != v || v.Queue() != queue {
			return 0, false
		}
		*place = none
		x.entries--
		return 0, true
	}
	s := x.sets[-1-mark]
	members, ok = s.remove(queue, v)
	if !ok {
		return 0, false
	}
	x.entries--
	*v.Slot() = 0
	if head == v {
		head = s.any()
	}
	if *place = head; s.size() == 1 {
		x.freeSet(-1 - mark)
		mark = 0
		*place = s.any()
	}
	*(*place).Slot() = mark
	return members, true
}

func (x *Index[T]) newSet() int32 {
	if n := len(x.free); n > 0 {
		number := x.free[n-1]
		x.free = x.free[:n-1]
		x.sets[number] = &set[T]{}
		return number
	}
	x.sets = append(x.sets, &set[T]{})
	return int32(len(x.sets) - 1)
}

func (x *Index[T]) freeSet(number int32) {
	x.sets[number] = nil
	x.free = append(x.free, number)
	if len(x.free) == len(x.sets) {
		x.sets, x.free = nil, nil
	}
}

func (s *set[T]) size() int {
	if s.named == nil {
		return len(s.plain)
	}
	return len(s.plain) + s.named.size
}

// any returns the first member of some list.
func (s *set[T]) any() T {
	if len(s.plain) > 0 {
		return s.plain[0]
	}
	return s.named.list[0].Members[0]
}

func (s *set[T]) add(queue string, v T) (members int) {
	list := &s.plain
	if queue != "" {
		if s.named == nil {
			s.named = &groups[T]{}
		}
		list = s.named.grow(queue)
		s.named.size++
	}
	*v.Slot() = int32(len(*list))
	*list = append(*list, v)
	return len(*list)
}

func (s *set[T]) remove(queue string, v T) (members int, ok bool) {
	if queue == "" {
		return drop(&s.plain, v)
	}
	if s.named == nil {
		return 0, false
	}
	i := s.named.find(queue)
	if i < 0 {
		return 0, false
	}
	if members, ok = drop(&s.named.list[i].Members, v); !ok {
		return 0, false
	}
	if members == 0 {
		s.named.shrink(i)
	}
	if s.named.size--; s.named.size == 0 {
		s.named = nil
	}
	return members, true
}

// minShrink is the capacity up to which a list keeps its room.
const minShrink = 16

// drop takes v off list, whose last member moves to its place.
func drop[T Entry](list *[]T, v T) (members int, ok bool) {
	all := *list
	at, last := max(0, int(*v.Slot())), len(all)-1
	if at > last || all[at] != v {
		return 0, false
	}
	if at < last {
		all[at] = all[last]
		*all[at].Slot() = int32(at)
	}
	var none T
	all[last] = none
	*list = all[:last]
	if cap(all) > minShrink && last < cap(all)/4 {
		*list = append(make([]T, 0, cap(all)/2), all[:last]...)
	}
	return last, true
}

// find returns the place of a group, or -1.
func (g *groups[T]) find(queue string) int {
	if g.byName != nil {
		if i, ok := g.byName[queue]; ok {
			return i
		}
		return -1
	}
	for i := range g.list {
		if g.list[i].Queue == queue {
			return i
		}
	}
	return -1
}

// grow returns the members of a group, which may be a new one.
func (g *groups[T]) grow(queue string) *[]T {
	if i := g.find(queue); i >= 0 {
		return &g.list[i].Members
	}
	// A copy: the name is a piece of a longer text, which the group may outlive.
	queue = strings.Clone(queue)
	g.list = append(g.list, Group[T]{Queue: queue})
	if len(g.list) == manyGroups+1 {
		g.byName = make(map[string]int, 2*manyGroups)
		for i := range g.list {
			g.byName[g.list[i].Queue] = i
		}
	} else if g.byName != nil {
		g.byName[queue] = len(g.list) - 1
	}
	return &g.list[len(g.list)-1].Members
}

// shrink takes away group i, whose place goes to the last one.
func (g *groups[T]) shrink(i int) {
	last := len(g.list) - 1
	if g.byName != nil {
		delete(g.byName, g.list[i].Queue)
		if i < last {
			g.byName[g.list[last].Queue] = i
		}
	}
	g.list[i] = g.list[last]
	g.list[last] = Group[T]{}
	if g.list = g.list[:last]; last <= manyGroups {
		g.byName = nil
	}
}
