package engine

import "sync"

// maxSoon is how many connections a loop writes for others in one turn.
const maxSoon = 256

// crowdLoop is the loop that writes to l's connections after a fan-out to a crowd: half of the loops
// do that, and the neighbours on the other half notice nothing. docs/adr/0007 has the figures.
func (e *Engine) crowdLoop(l *Loop) *Loop { return e.loops[l.id/2] }

// A Loop is one owner's working set. The loops proper run in loop_linux.go; the stream driver
// lends its readers one while they have input.
type Loop struct {
	// Set before it runs, never written again.
	engine *Engine
	id     int

	// The owner's.
	local  any
	now    int64
	wheel  wheel
	alarms alarms
	again  []*Conn
	spare  []*Conn
	soon   []*Conn
	posts  []post
	fed    int // calls of Data in this turn
	lulls  int // those that Lull was said of
	poller

	// Anyone's.
	inbox inbox
}

// Local returns what Options.Local made for this loop.
func (l *Loop) Local() any {
	if l.local == nil {
		l.local = l.engine.options.Local()
	}
	return l.local
}

// Now is the time at the beginning of the turn, on the scale of the function Now.
func (l *Loop) Now() int64 { return l.now }

// Lull says that what Data was just called with asks for nothing, such as the answer to a PING. A
// loop that has brought nothing else in a turn lets more of it gather. Owner only, within Data.
func (l *Loop) Lull() { l.lulls++ }

// Again asks for another call of c's Data with what it leaves now, after the other connections
// that are ready. Owner only.
func (l *Loop) Again(c *Conn) {
	if c.held&heldAgain == 0 {
		c.held |= heldAgain
		if c.loop == l {
			l.again = append(l.again, c)
		}
	}
}

// A post is something for the owner to do: run f, or look why c was closed.
type post struct {
	c *Conn
	f func(*Loop)
}

// An inbox is what other goroutines have for a loop.
type inbox struct {
	mu    sync.Mutex
	posts []post
	soon  []*Conn
	stop  bool
	full  bool   // any of the above
	over  bool   // the loop is gone; nothing is taken any more
	wake  func() // called under mu, which keeps the loop's descriptors open
}

// put reports false, and drops p, if the loop is gone.
func (b *inbox) put(p post) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false
	}
	b.posts = append(b.posts, p)
	b.full = true
	b.wake()
	return true
}

func (b *inbox) putSoon(c *Conn) {
	b.mu.Lock()
	if !b.over {
		b.soon = append(b.soon, c)
		b.full = true
		b.wake()
	}
	b.mu.Unlock()
}

func (b *inbox) putStop() {
	b.mu.Lock()
	if !b.over {
		b.stop, b.full = true, true
		b.wake()
	}
	b.mu.Unlock()
}

// nudge has the loop look around, if it waits.
func (b *inbox) nudge() {
	b.mu.Lock()
	if !b.over {
		b.wake()
	}
	b.mu.Unlock()
}

// end takes nothing more, and returns what is left.
func (b *inbox) end() []post {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.posts
}

// take empties the inbox into the slices given, which come back with what they had in front.
func (b *inbox) take(posts []post, soon []*Conn) (_ []post, _ []*Conn, stop bool) {
	b.mu.Lock()
	posts = append(posts, b.posts...)
	soon = append(soon, b.soon...)
	clear(b.posts)
	clear(b.soon)
	b.posts, b.soon, b.full = shorten(b.posts), shorten(b.soon), b.stop
	stop = b.stop
	b.mu.Unlock()
	return posts, soon, stop
}

// shorten empties s for its next use, and lets go of one that a burst has made large.
func shorten[T any](s []T) []T {
	if cap(s) > 1024 {
		return nil
	}
	return s[:0]
}
