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

	queue chan func() // who takes from it holds mu

	mu      sync.Mutex
	running int
	waiting int // of those running
	crowded bool
	stopped bool
	wg      sync.WaitGroup
}

func newWorkers(n, queue int, crowd func(int)) *workers {
	return &workers{most: n, queue: make(chan func(), queue), crowd: crowd}
}

// run queues f. False: the queue is full, or the pool is stopped.
func (w *workers) run(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return false
	}
	select {
	case w.queue <- f:
	default:
		return false
	}
	w.startLocked()
	if len(w.queue) > w.most && !w.crowded {
		w.crowded = true
		w.crowd(1)
	}
	return true
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
	for {
		w.mu.Lock()
		if len(w.queue) == 0 || w.running-w.waiting > w.most {
			w.running--
			if w.running == 0 && w.crowded {
				w.crowded = false
				w.crowd(-1)
			}
			w.mu.Unlock()
			return
		}
		f := <-w.queue
		w.mu.Unlock()
		f()
	}
}

// Waiting runs f, in which the work of a Conn.Away waits for something else than a processor: another
// service, a network. Others get their turn meanwhile. Anyone.
func (e *Engine) Waiting(f func()) {
	w := e.workers
	w.mu.Lock()
	w.waiting++
	if len(w.queue) > 0 {
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

// away is what Away does beside the loops.
func (c *Conn) away(work func(), then func(l *Loop)) {
	switch c.presence() {
	case absent: // the owner knows, or is about to
	case ended:
		c.Post(func(*Loop) {
			if c.restLen()+c.unread() <= lastWords || !c.engine.workers.run(func() { c.do(work, then) }) {
				c.Close(ErrPeerClosed)
			}
		})
	default:
		c.do(work, then)
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
