package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// replies are the reply subjects that one peer has been handed and may answer on, as its
// permissions allow responses.
type replies struct {
	// Set when made.
	limits auth.Responses
	all    *answers

	mu     sync.Mutex
	grants map[string]grant // under mu; at most maxReplies
	bytes  int64            // what they take; under mu; at most maxReplyBytes
	closed bool             // under mu
}

type grant struct {
	left  int       // answers; negative: any number
	until time.Time // zero: for ever
}

// answers are the replies of all peers of a broker, which share a bound.
type answers struct {
	bytes atomic.Int64
	swept atomic.Int64 // when all were last looked through, in Unix seconds

	mu    sync.Mutex
	peers map[*replies]struct{} // under mu, above the locks of the replies
}

func (b *Broker) newReplies(limits auth.Responses) *replies {
	r := &replies{limits: limits, all: &b.answers, grants: make(map[string]grant)}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	if r.all.peers == nil {
		r.all.peers = make(map[*replies]struct{})
	}
	r.all.peers[r] = struct{}{}
	return r
}

// close forgets everything. r may be nil.
func (r *replies) close() {
	if r == nil {
		return
	}
	r.all.mu.Lock()
	delete(r.all.peers, r)
	r.all.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.grants = true, nil
	r.all.bytes.Add(-r.bytes)
	r.bytes = 0
}

// allow notes a reply subject that is about to be delivered.
func (r *replies) allow(subject []byte) {
	g := grant{left: r.limits.Max}
	now := time.Now()
	if r.limits.Expires > 0 {
		g.until = now.Add(r.limits.Expires)
	}
	size := int64(len(subject)) + replyBytes
	r.all.sweep(size, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	old, again := r.grants[string(subject)]
	if again && old.left > 0 && !old.isOver(now) {
		// As nats-server: a message that comes twice counts as answered once, by a look whether it may be
		// answered already.
		old.left--
		r.grants[string(subject)] = old
		return
	}
	if !again {
		r.makeRoomLocked(size, now)
		r.bytes += size
		r.all.bytes.Add(size)
	}
	r.grants[string(subject)] = g
}

// use reports whether an answer on subject is allowed, and counts it.
func (r *replies) use(subject []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.grants[string(subject)]
	if !ok {
		return false
	}
	if g.left == 0 || g.isOver(time.Now()) {
		r.dropLocked(string(subject))
		return false
	}
	if g.left > 0 {
		g.left--
		if g.left == 0 {
			r.dropLocked(string(subject))
			return true
		}
		r.grants[string(subject)] = g
	}
	return true
}

func (g grant) isOver(now time.Time) bool { return !g.until.IsZero() && now.After(g.until) }

func (r *replies) dropLocked(subject string) {
	delete(r.grants, subject)
	size := int64(len(subject)) + replyBytes
	r.bytes -= size
	r.all.bytes.Add(-size)
}

// makeRoomLocked sees to it that size more is within the bounds: everything that has expired goes,
// and if that is not enough, a part of the rest, whichever the map offers. Someone with thousands of
// open requests has long stopped answering them. While all peers together are at their bound, each
// keeps what it was handed last.
func (r *replies) makeRoomLocked(size int64, now time.Time) {
	over := func() bool { return r.all.bytes.Load()+size > allReplyBytes }
	if len(r.grants) < maxReplies && r.bytes+size <= maxReplyBytes && !over() {
		return
	}
	r.pruneLocked(now)
	grants, bytes := maxReplies*3/4, int64(maxReplyBytes*3/4)
	if over() {
		bytes = min(bytes, r.bytes/2)
	}
	for subject := range r.grants {
		if len(r.grants) <= grants && r.bytes+size <= bytes {
			return
		}
		r.dropLocked(subject)
	}
}

// pruneLocked drops what has expired.
func (r *replies) pruneLocked(now time.Time) {
	for subject, g := range r.grants {
		if g.isOver(now) {
			r.dropLocked(subject)
		}
	}
}

// sweep drops, once a second at most, what has expired anywhere, if size more is over the bound of
// all: peers that are handed no requests any more would hold it for ever.
func (a *answers) sweep(size int64, now time.Time) {
	last := a.swept.Load()
	if a.bytes.Load()+size <= allReplyBytes || now.Unix() == last || !a.swept.CompareAndSwap(last, now.Unix()) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.peers {
		r.mu.Lock()
		r.pruneLocked(now)
		r.mu.Unlock()
	}
}
