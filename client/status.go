package client

import "context"

// A watcher is somebody who wants to know of every change of the status.
type watcher struct {
	changes chan Status // written and closed with Conn.mu held
	stop    func() bool
}

// maxStatusChanges wait for one watcher. With more the oldest is let go: the newest is what counts.
const maxStatusChanges = 16

// StatusChanges returns a channel with the status as it is now and every change from then on. It
// is closed behind Closed, and when ctx ends.
func (c *Conn) StatusChanges(ctx context.Context) <-chan Status {
	w := &watcher{changes: make(chan Status, maxStatusChanges)}
	c.mu.Lock()
	defer c.mu.Unlock()
	w.changes <- c.status
	if c.status == Closed {
		close(w.changes)
		return w.changes
	}
	c.watchers = append(c.watchers, w)
	w.stop = context.AfterFunc(ctx, func() { c.unwatch(w) })
	return w.changes
}

func (c *Conn) unwatch(w *watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.watchers {
		if other == w {
			c.watchers = append(c.watchers[:i:i], c.watchers[i+1:]...)
			close(w.changes)
			return
		}
	}
}

// setStatusLocked is the one way to another status.
func (c *Conn) setStatusLocked(s Status) {
	c.status = s
	if c.outbox != nil {
		c.outbox.line(s == Connected)
		if s == Closed {
			c.outbox.close()
		}
	}
	for _, w := range c.watchers {
		select {
		case w.changes <- s:
		default:
			// We are the only writer: a reader may have made room meanwhile, nobody can have taken it.
			select {
			case <-w.changes:
			default:
			}
			w.changes <- s
		}
		if s == Closed {
			w.stop()
			close(w.changes)
		}
	}
	if s == Closed {
		c.watchers = nil
	}
}
