package engine

import (
	"math/bits"
	"time"
)

const (
	// slotWidth is the grain of the wheel. Waits shorter than this sit in the heap.
	slotWidth = int64(time.Second)
	slotCount = 512 // a power of two; waits beyond 512 s go round more than once
)

// A wheel holds the connections of one loop that wait for a time, in lists of one second each.
// Setting and clearing cost a few pointer writes, whatever the number of connections. The time
// that a connection waits for is its wakeAt; the lists run through its timer fields.
type wheel struct {
	slots [slotCount]*Conn
	used  [slotCount / 64]uint64 // a bit for each slot that is not empty
	done  int64                  // slots up to this number have been served
}

func slotOf(t int64) int64 { return (t + slotWidth - 1) / slotWidth }

// add puts c into the slot in which c.wakeAt has passed.
func (w *wheel) add(c *Conn) {
	n := max(slotOf(c.wakeAt), w.done+1)
	i := int(n % slotCount)
	c.timerSlot = int16(i)
	c.timer.prev, c.timer.next = nil, w.slots[i]
	if c.timer.next != nil {
		c.timer.next.timer.prev = c
	}
	w.slots[i] = c
	w.used[i/64] |= 1 << (i % 64)
}

// remove takes c out of its slot.
func (w *wheel) remove(c *Conn) {
	i := int(c.timerSlot)
	if c.timer.prev != nil {
		c.timer.prev.timer.next = c.timer.next
	} else {
		w.slots[i] = c.timer.next
		if w.slots[i] == nil {
			w.used[i/64] &^= 1 << (i % 64)
		}
	}
	if c.timer.next != nil {
		c.timer.next.timer.prev = c.timer.prev
	}
	c.timer.prev, c.timer.next, c.timerSlot = nil, nil, timerOff
}

// next says how long it is until a slot that is not empty is due; -1 if there is none.
func (w *wheel) next(now int64) time.Duration {
	first := int((w.done + 1) % slotCount)
	for k := 0; k <= len(w.used); k++ {
		word := (first/64 + k) % len(w.used)
		b := w.used[word]
		if k == 0 {
			b &= ^uint64(0) << (first % 64)
		} else if k == len(w.used) {
			b &= 1<<(first%64) - 1
		}
		if b == 0 {
			continue
		}
		i := word*64 + bits.TrailingZeros64(b)
		ahead := int64((i - first + slotCount) % slotCount)
		return time.Duration(max(0, (w.done+1+ahead)*slotWidth-now))
	}
	return -1
}

// expire takes out the connections whose time has come and hands each to due.
func (w *wheel) expire(now int64, due func(*Conn)) {
	last := now / slotWidth
	// After a long sleep one round over all slots is enough.
	if last-w.done > slotCount {
		w.done = last - slotCount
	}
	for w.done < last {
		w.done++
		i := int(w.done % slotCount)
		// due may close or move connections, this one's neighbours too: look from the head each time.
		for c := firstDue(w.slots[i], now); c != nil; c = firstDue(w.slots[i], now) {
			w.remove(c)
			due(c)
		}
	}
}

func firstDue(c *Conn, now int64) *Conn {
	for c != nil && c.wakeAt > now {
		c = c.timer.next
	}
	return c
}

// An alarm is a wait of less than a second: a time, and what it is for.
type alarm struct {
	at   int64
	kind alarmKind
	conn *Conn
	door *Listener // for alarmDoor
}

type alarmKind uint8

const (
	alarmWake alarmKind = iota // Conn.WakeAt
	alarmRest                  // the end of Conn.Rest
	alarmDoor                  // a listener that had no descriptors left
)

// alarms is a heap by time. Entries are not removed early: whoever gets one looks whether it still holds.
type alarms []alarm

func (h *alarms) push(a alarm) {
	*h = append(*h, a)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].at <= s[i].at {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *alarms) pop() alarm {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0], s[last] = s[last], alarm{}
	s = s[:last]
	*h = s
	for i := 0; ; {
		low := 2*i + 1
		if low >= len(s) {
			break
		}
		if low+1 < len(s) && s[low+1].at < s[low].at {
			low++
		}
		if s[i].at <= s[low].at {
			break
		}
		s[i], s[low] = s[low], s[i]
		i = low
	}
	return top
}
