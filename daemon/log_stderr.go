package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// stderrQueue bounds, in bytes, the lines that wait for whoever reads standard error; beyond it they are
	// counted and lost, for a log must not stop what it tells of. It is held only while it is needed.
	stderrQueue = 256 << 10
	// stderrFarewell bounds how long the last lines may take at the end.
	stderrFarewell = 2 * time.Second
)

// A plainOutput writes lines to standard error. That may be a pipe which nobody empties, so whoever logs
// only puts the line in a queue. A goroutine writes as long as there is something in it, and ends then.
type plainOutput struct {
	// Set by newPlainOutput, never written again.
	w      io.Writer
	queues bool                  // w may block
	note   func(lost int) []byte // a line that says how many are missing

	mu      sync.Mutex
	waiting []byte        // whole lines
	lost    int           // lines behind those that wait; while there are any, no other waits, and the order is kept
	idle    chan struct{} // closed when the writing goroutine ends; nil: there is none

	// The writing goroutine's; mu hands them from one to the next.
	spare   []byte // the buffer that waiting was before
	missing int    // lines, in front of the next
}

// newPlainOutput makes one for w. What is no file of the system, as in tests, has nobody who could keep a
// line waiting, and takes each at once.
func newPlainOutput(w io.Writer, note func(lost int) []byte) *plainOutput {
	_, isFile := w.(*os.File)
	return &plainOutput{w: w, queues: isFile, note: note}
}

func (p *plainOutput) writeLine(_ slog.Level, line []byte) { p.Write(line) }

// Write puts a copy of the line in the queue, for the other outputs too, which complain here. There is nowhere
// left to say that it failed.
func (p *plainOutput) Write(line []byte) (int, error) {
	p.mu.Lock()
	if !p.queues {
		defer p.mu.Unlock()
		return p.w.Write(line)
	}
	if p.lost > 0 || len(p.waiting) > 0 && len(p.waiting)+len(line) > stderrQueue {
		p.lost++
	} else {
		p.waiting = append(p.waiting, line...)
	}
	yield := p.lost > 0 || len(p.waiting) > stderrQueue/2 // or a burst would be lost that the reader has time for
	if p.idle == nil {
		p.idle = make(chan struct{})
		go p.run(p.idle)
		yield = true // the line is out now if it can be: a crash that follows has no time for it
	}
	p.mu.Unlock()
	if yield {
		runtime.Gosched()
	}
	return len(line), nil
}

// run writes until nothing waits.
func (p *plainOutput) run(idle chan struct{}) {
	defer close(idle)
	for {
		p.mu.Lock()
		lines, lost := p.waiting, p.lost
		if len(lines) == 0 && lost == 0 {
			p.idle = nil
			p.mu.Unlock()
			return
		}
		p.waiting, p.spare, p.lost = p.spare[:0], nil, 0
		p.mu.Unlock()
		for line := range bytes.Lines(lines) { // each by itself: another process may write to the same pipe
			if !p.flows() || !p.put(line) {
				p.missing++
			}
		}
		if p.missing += lost; lost > 0 {
			p.flows()
		}
		if cap(lines) <= maxKeptLine {
			p.spare = lines
		}
	}
}

// flows says how many lines are missing, if any are. False: that cannot be said either.
func (p *plainOutput) flows() bool {
	if p.missing == 0 {
		return true
	}
	flows := p.put(p.note(p.missing))
	if flows {
		p.missing = 0
	}
	return flows
}

func (p *plainOutput) put(line []byte) bool {
	_, err := p.w.Write(line)
	return err == nil
}

// flush returns when nothing waits, or after a while.
func (p *plainOutput) flush(patience time.Duration) {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	if idle == nil {
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-idle:
	case <-late.C:
	}
}

func (p *plainOutput) reopen() error { return nil }
func (p *plainOutput) close()        {} // whoever logs from now on may need it

// lostLine is what stands where lines are missing.
func (l *Log) lostLine(lost int) []byte {
	format := lineFormat{pid: l.pid, time: true}
	if s := l.state.Load(); s != nil {
		format = s.format
		format.bare = false
	}
	return format.append(nil, slog.LevelWarn, l.now(), "Log lines were lost: whoever reads standard error was away or did not read", []slog.Attr{slog.Int("lines", lost)})
}
