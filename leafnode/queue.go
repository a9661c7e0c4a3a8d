package leafnode

import "sync"

const (
	// blockBytes is the size of a queue's blocks, but for the first one of a queue that was empty, which is
	// small: many links may have one message waiting. A frame that is longer has a block of its own.
	blockBytes      = 64 << 10
	smallBlockBytes = 4 << 10
	// frameBytes is what a frame costs in a queue besides its bytes, in the sum that is bounded.
	frameBytes = 8
)

// A queue is what waits for a link: whole frames, oldest first. It holds nothing while it is empty.
// Who uses it has its lock.
type queue struct {
	head, tail *block
	bytes      int // of all frames, with frameBytes for each
	msgs       int
}

// A block holds frames one after the other.
type block struct {
	next  *block
	buf   []byte  // len: as far as it is filled
	from  int     // what lies before it has been taken
	sizes []int32 // of the frames from from on
	first int     // in sizes
}

var (
	blocks      = sync.Pool{New: func() any { return &block{buf: make([]byte, 0, blockBytes)} }}
	smallBlocks = sync.Pool{New: func() any { return &block{buf: make([]byte, 0, smallBlockBytes)} }}
)

// room returns the end of the queue, where a frame of at most n bytes may be appended; added takes
// it.
func (q *queue) room(n int) []byte {
	t := q.tail
	if t == nil || cap(t.buf)-len(t.buf) < n {
		switch {
		case n > blockBytes:
			t = &block{buf: make([]byte, 0, n)}
		case q.tail == nil && n <= smallBlockBytes:
			t = smallBlocks.Get().(*block)
		default:
			t = blocks.Get().(*block)
		}
		if q.tail == nil {
			q.head = t
		} else {
			q.tail.next = t
		}
		q.tail = t
	}
	return t.buf
}

// added takes what room has returned, with a frame appended.
func (q *queue) added(b []byte) {
	t := q.tail
	size := len(b) - len(t.buf)
	t.buf = b
	t.sizes = append(t.sizes, int32(size))
	q.bytes += size + frameBytes
	q.msgs++
}

// peek returns the oldest frames, as many as lie together and are no longer than most, and at least
// one if atLeastOne is set. None: they are longer, or there are none.
func (q *queue) peek(most int, atLeastOne bool) (frames []byte, msgs int) {
	h := q.head
	if h == nil {
		return nil, 0
	}
	if left := len(h.buf) - h.from; left <= most { // mostly all of them
		return h.buf[h.from:], len(h.sizes) - h.first
	}
	size := 0
	for _, n := range h.sizes[h.first:] {
		if size+int(n) > most && !(atLeastOne && msgs == 0) {
			break
		}
		size += int(n)
		msgs++
	}
	return h.buf[h.from : h.from+size], msgs
}

// took removes the oldest frames, which lie together: what peek has returned.
func (q *queue) took(size, msgs int) {
	h := q.head
	h.from += size
	h.first += msgs
	q.bytes -= size + msgs*frameBytes
	q.msgs -= msgs
	if h.from == len(h.buf) {
		q.head = h.next
		if q.head == nil {
			q.tail = nil
		}
		h.free()
	}
}

// drop removes the oldest frame.
func (q *queue) drop() {
	if q.head != nil {
		q.took(int(q.head.sizes[q.head.first]), 1)
	}
}

// clear gives everything back and returns how much it was.
func (q *queue) clear() (msgs int) {
	msgs = q.msgs
	for h := q.head; h != nil; {
		next := h.next
		h.free()
		h = next
	}
	*q = queue{}
	return msgs
}

func (b *block) free() {
	size := cap(b.buf)
	*b = block{buf: b.buf[:0], sizes: b.sizes[:0]}
	switch size {
	case blockBytes:
		blocks.Put(b)
	case smallBlockBytes:
		smallBlocks.Put(b)
	}
}
