package engine

import "time"

const (
	// writeMax bounds the bytes of one system call, and so how long out.mu is held.
	writeMax = 256 << 10
	// writeRounds bounds the calls of one Flush, each under a hold of its own; what is left then is
	// the owner's.
	writeRounds = 4
	// ownerRounds bounds those that the owner makes in a turn.
	ownerRounds = 16
	// restFrom is how much has to wait for a connection for it to be behind.
	restFrom = 2 << 20
	// restMin and restMax: how long publishers to a connection that is behind are told to rest,
	// where it begins to be behind and at MaxPending. docs/adr/0006 has the reasons.
	restMin = 5 * time.Millisecond
	restMax = 10 * time.Millisecond
	// RoomMax is the most that may be asked of Room.
	RoomMax = chunkMiddle
	// writeDirect is the size from which Write hands its bytes to the kernel without a copy.
	writeDirect = 32 << 10
)

// Begin locks the output for size bytes. False: nothing is locked and nothing may be appended,
// because the connection is closed, or because size would take it past MaxPending; then it is
// closed as a slow consumer. Anyone.
func (c *Conn) Begin(size int) bool {
	o := &c.out
	o.mu.Lock()
	full := o.bytes+size > c.engine.options.MaxPending
	over := o.waiting && c.engine.overTotal(size)
	if o.reason == nil && !full && !over {
		return true
	}
	first := o.reason == nil
	switch {
	case !first:
	case full:
		o.reason = ErrSlowConsumer
	default:
		o.reason = ErrPendingTotal
		c.dropOut() // now: what has been asked for goes to others before its owner gets to it
	}
	o.mu.Unlock()
	if first {
		c.Post(nil)
	}
	return false
}

// Room returns a slice of length 0 and capacity n or more at the end of the output; n is at most
// RoomMax. What is appended to it counts once it is handed to Put. Under Begin.
func (c *Conn) Room(n int) []byte {
	t := c.out.tail
	if t == nil || len(t.buf)-t.w < n {
		t = c.grow(n)
	}
	return t.buf[t.w:t.w]
}

// Put takes b, which is Room's slice with bytes appended. Under Begin.
func (c *Conn) Put(b []byte) {
	c.out.tail.w += len(b)
	c.out.bytes += len(b)
}

// Write appends a copy of p; if p is large and nothing stands in the way it goes out at once,
// and without a copy. Under Begin.
func (c *Conn) Write(p []byte) {
	o := &c.out
	if len(p) >= writeDirect && o.stream == nil && c.layer == nil {
		p = p[c.writeThrough(p):]
		if len(p) > 0 && o.waiting && c.engine.overTotal(len(p)) {
			c.broken(ErrPendingTotal) // the rest of one large message to hundreds is more than all may have
			c.dropOut()
			return
		}
	}
	for len(p) > 0 {
		t := o.tail
		if t == nil || t.w == len(t.buf) {
			t = c.grow(min(len(p), chunkLarge))
		}
		n := copy(t.buf[t.w:], p)
		t.w += n
		o.bytes += n
		p = p[n:]
	}
}

// End unlocks the output. Under Begin.
func (c *Conn) End() {
	if c.out.waiting {
		c.account() // at once: one fan-out may hand a message to thousands that wait
	}
	c.out.mu.Unlock()
}

// Pending returns the bytes that wait to be written; of a closed connection those that never were.
func (c *Conn) Pending() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.bytes + c.out.lost
}

// grow adds a chunk for n bytes or more, in the size above that of the last one.
func (c *Conn) grow(n int) *chunk {
	o := &c.out
	if t := o.tail; t != nil {
		if t.class == 0 {
			n = max(n, chunkMiddle)
		} else {
			n = max(n, chunkLarge)
		}
	}
	k := takeChunk(n)
	if o.tail == nil {
		o.head = k
	} else {
		o.tail.next = k
	}
	o.tail = k
	return k
}

// Flush writes what is pending. With soon it leaves that to the loop that writes for crowds. rest is
// how long publishers to this connection should rest because it is behind, mostly 0. Anyone.
func (c *Conn) Flush(soon bool) (rest time.Duration) {
	o := &c.out
	o.mu.Lock()
	if o.head != nil && !o.waiting && o.reason == nil {
		switch {
		case o.stream != nil:
			o.stream.startWriter()
		case !soon:
			for round := 1; c.write(round == writeRounds); round++ {
				o.mu.Unlock() // others get their turn
				o.mu.Lock()
			}
		case !o.soon:
			o.soon = true
			c.engine.crowdLoop(c.loop).inbox.putSoon(c)
		default:
			rest = restMin // the loop has not come to it yet, and there is more already
		}
	}
	if o.waiting || o.stream != nil || o.soon || c.counted.Load() != 0 {
		c.account()
		rest = max(rest, c.restFor(o.bytes))
	}
	o.mu.Unlock()
	if c.engine.pending.Load() > c.engine.options.PendingTotal {
		c.engine.shed()
	}
	return rest
}

// restFor grades back pressure by how full the output is.
func (c *Conn) restFor(bytes int) time.Duration {
	bound := c.engine.options.MaxPending
	from := min(bound/2, restFrom)
	if bytes < from {
		return 0
	}
	return restMin + time.Duration(int64(restMax-restMin)*int64(bytes-from)/int64(max(1, bound-from)))
}

// write hands pending output to the kernel in one system call. What that leaves is the owner's if
// the kernel takes no more, or if it is the last call; else there should be another. Under out.mu;
// not for a stream.
func (c *Conn) write(last bool) (more bool) {
	o := &c.out
	if o.head == nil || o.waiting || o.reason != nil || o.stream != nil {
		return false // somebody else went on meanwhile
	}
	n, err := c.writeChunks(nil)
	c.taken(n)
	switch {
	case err != nil:
		c.broken(err)
	case o.head == nil:
	case n >= writeMax && !last:
		return true
	default:
		c.wait()
	}
	return false
}

// writeThrough hands what is pending and then p to the kernel, and returns how much of p it took.
func (c *Conn) writeThrough(p []byte) int {
	o := &c.out
	if o.bytes > writeDirect {
		c.write(true)
	}
	done := 0
	for done < len(p) && !o.waiting && o.reason == nil {
		part := p[done:min(len(p), done+writeMax)]
		before := o.bytes
		n, err := c.writeChunks(part)
		c.taken(min(n, before))
		if err != nil {
			c.broken(err)
			return len(p) // nothing will be sent any more
		}
		done += max(0, n-before)
		if n < before+len(part) {
			c.wait()
		}
	}
	return done
}

// taken forgets n bytes that the kernel has.
func (c *Conn) taken(n int) {
	o := &c.out
	o.bytes -= n
	for n > 0 || (o.head != nil && o.head.r == o.head.w) {
		k := o.head
		m := min(n, k.w-k.r)
		k.r += m
		n -= m
		if k.r == k.w {
			if o.head = k.next; o.head == nil {
				o.tail = nil
			}
			k.free()
		}
	}
}

// wait leaves the rest to the owner, for when the socket is writable again.
func (c *Conn) wait() {
	o := &c.out
	if !o.waiting {
		o.waiting = true
		c.progress.Store(Now())
		c.engine.nurse(&c.engine.behind, c)
		c.setMask()
	}
}

// writable goes on after wait. Owner only.
func (c *Conn) writable() {
	o := &c.out
	o.mu.Lock()
	o.waiting = false
	// As much as the kernel takes: a loop that reads from a hundred publishers a turn would never
	// get done what one call a turn leaves.
	for round := 1; c.write(round == ownerRounds); round++ {
		o.mu.Unlock()
		o.mu.Lock()
	}
	c.account()
	if !o.waiting {
		c.engine.behind.remove(c)
	}
	c.setMask()
	o.mu.Unlock()
}

// account brings Engine.pending up to date with what waits here.
func (c *Conn) account() {
	n := int64(c.out.bytes)
	if d := n - c.counted.Load(); d != 0 {
		c.counted.Store(n)
		c.engine.pending.Add(d)
	}
}

// broken notes that the socket failed. Under out.mu.
func (c *Conn) broken(err error) {
	if c.out.reason == nil {
		c.out.reason = err
		c.loop.inbox.put(post{c, nil})
	}
}

// dropOut gives all pending output back. Under out.mu.
func (c *Conn) dropOut() {
	o := &c.out
	freeChunks(o.head)
	o.lost += o.bytes
	o.head, o.tail, o.bytes = nil, nil, 0
	c.account()
	c.engine.behind.remove(c)
	o.waiting = false
}
