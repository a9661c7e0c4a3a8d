package broker

import (
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// replies are the reply subjects that one peer has been handed and may answer on, as its
// permissions allow responses.
type replies struct {
	// Set when made.
	limits auth.Responses

	mu     sync.Mutex
	grants map[string]grant // under mu; at most maxReplies
}

type grant struct {
	left  int       // answers; negative: any number
	until time.Time // zero: for ever
}

func newReplies(limits auth.Responses) *replies {
	return &replies{limits: limits, grants: make(map[string]grant)}
}

// allow notes a reply subject that is about to be delivered.
func (r *replies) allow(subject []byte) {
	g := grant{left: r.limits.Max}
	now := time.Now()
	if r.limits.Expires > 0 {
		g.until = now.Add(r.limits.Expires)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.grants) >= maxReplies {
		r.pruneLocked(now)
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
	if !g.until.IsZero() && time.Now().After(g.until) {
		delete(r.grants, string(subject))
		return false
	}
	if g.left > 0 {
		g.left--
		if g.left == 0 {
			delete(r.grants, string(subject))
			return true
		}
		r.grants[string(subject)] = g
	}
	return true
}

// pruneLocked makes room: everything that has expired goes, and if that is not enough, a quarter
// of the rest, whichever the map offers. Someone with thousands of open requests has long stopped
// answering them.
func (r *replies) pruneLocked(now time.Time) {
	for subject, g := range r.grants {
		if !g.until.IsZero() && now.After(g.until) {
			delete(r.grants, subject)
		}
	}
	for subject := range r.grants {
		if len(r.grants) <= maxReplies*3/4 {
			return
		}
		delete(r.grants, subject)
	}
}
