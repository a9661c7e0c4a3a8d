package engine

import "sync"

// workers runs what must not run on a loop, on a bounded number of goroutines that end when there
// is nothing to do.
type workers struct {
	max   int
	queue chan func()

	mu      sync.Mutex
	running int
	stopped bool
	wg      sync.WaitGroup
}

func newWorkers(n, queue int) *workers { return &workers{max: n, queue: make(chan func(), queue)} }

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
	if w.running < w.max {
		w.running++
		w.wg.Add(1)
		go w.work()
	}
	return true
}

func (w *workers) work() {
	defer w.wg.Done()
	for {
		select {
		case f := <-w.queue:
			f()
			continue
		default:
		}
		// Looked at again under the lock: run counts on a goroutine that it still sees.
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
	}
}

// stop refuses new work and waits for the goroutines.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.wg.Wait()
}
