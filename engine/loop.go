package engine

import "sync"

// maxSoon is how many connections a loop writes for others in one turn.
const maxSoon = 256

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
	full  bool // any of the above
	wake  func()
}

func (b *inbox) put(p post) {
	b.mu.Lock()
	b.posts = append(b.posts, p)
	b.full = true
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) putSoon(c *Conn) {
	b.mu.Lock()
	b.soon = append(b.soon, c)
	b.full = true
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) putStop() {
	b.mu.Lock()
	b.stop, b.full = true, true
	b.mu.Unlock()
	b.wake()
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
