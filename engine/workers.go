package engine

import "sync"

// maxWaiting bounds the workers that wait for something else than a processor.
const maxWaiting = 256

// workers runs what must not run on a loop, on a bounded number of goroutines that end when there
// is nothing to do.
type workers struct {
	// Set when made, never written again.
	most  int       // that compute at once
	crowd func(int) // told of 1 when there begins to be a queue, -1 when all is done

	mu      sync.Mutex
	queue   *queue
	running int
	waiting int // of those running
	crowded bool
	stopped bool
	wg      sync.WaitGroup
}

func newWorkers(n, room int, crowd func(int)) *workers {
	return &workers{most: n, queue: newQueue(room), crowd: crowd}
}

// run queues j. False: there is no room for it, or the pool is stopped.
func (w *workers) run(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || !w.queue.put(j) {
		return false
	}
	w.startLocked()
	if w.queue.length > w.most && !w.crowded {
		w.crowded = true
		w.crowd(1)
	}
	return true
}

// drop takes out what waits for c.
func (w *workers) drop(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j := w.queue.owners[c]; j != nil {
		w.queue.remove(j)
	}
}

// startLocked starts a goroutine if one more may compute.
func (w *workers) startLocked() {
	if w.running-w.waiting < w.most && w.waiting <= maxWaiting {
		w.running++
		w.wg.Add(1)
		go w.work()
	}
}

func (w *workers) work() {
	defer w.wg.Done()
	var still *claimant // whose turn it still is, because what was taken last cost nothing
	rank := first
	w.mu.Lock()
	for w.queue.length > 0 && w.running-w.waiting <= w.most {
		j := w.queue.take(still, rank)
		still, rank = nil, j.rank
		w.mu.Unlock()
		yields := rank == first && j.yields != nil && j.yields()
		done := !yields && j.do()
		w.mu.Lock()
		switch {
		case done:
			w.queue.done(j)
		case yields:
			w.queue.yield(j)
			fallthrough
		default:
			still = j.from
		}
	}
	w.running--
	if w.running == 0 && w.crowded {
		w.crowded = false
		w.crowd(-1)
	}
	w.mu.Unlock()
}

// Waiting runs f, in which the work of a Conn.Away waits for something else than a processor: another
// service, a network. Others get their turn meanwhile. Anyone.
func (e *Engine) Waiting(f func()) {
	w := e.workers
	w.mu.Lock()
	w.waiting++
	if w.queue.length > 0 {
		w.startLocked()
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
	}()
	f()
}

// stop refuses new work and waits for the goroutines.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.wg.Wait()
}

// A presence says whether somebody still waits for what is done for a connection.
type presence int

const (
	present presence = iota
	ended            // the peer will send nothing more
	absent           // it is gone, or the connection is closed
)

// lastWords is what clients send behind their credentials without waiting for an answer: a PING. Who
// has ended with more than that, as a script does that publishes and hangs up, is served.
const lastWords = len("PING\r\n")

// away is what Away does beside the loops, when it is j's turn. False: there was nothing to do.
func (c *Conn) away(j *job, work func(), then func(l *Loop)) bool {
	switch c.presence() {
	case absent: // the owner knows, or is about to
		return false
	case ended:
		c.Post(func(*Loop) {
			anew := &job{conn: c, rank: j.rank, yields: j.yields, do: func() bool { c.do(work, then); return true }}
			if c.restLen()+c.unread() <= lastWords || !c.engine.workers.run(anew) {
				c.Close(ErrPeerClosed)
			}
		})
		return false
	}
	c.do(work, then)
	return true
}

// leaveQueue gives up the place where work of c waits, if any does. Owner only, when it is closed.
func (c *Conn) leaveQueue() {
	if c.held&heldAway != 0 {
		c.engine.workers.drop(c)
	}
}

// do does the work, and has the owner go on.
func (c *Conn) do(work func(), then func(l *Loop)) {
	work()
	c.Post(func(l *Loop) {
		c.release(heldAway) // first: then may hold it anew
		then(l)
	})
}
