package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

const (
	// sameWord is how close together two signals to stop are one: supervisors and container runtimes
	// signal a process and its group, and a terminal's Ctrl-C may come along with theirs.
	sameWord = 200 * time.Millisecond
	// logMoment is how long what is logged of a signal may keep it from being obeyed.
	logMoment = 100 * time.Millisecond
	// lastErrand is how long the end waits for what a signal has asked for before.
	lastErrand = 2 * time.Second
)

// handleSignals obeys signals until stop is called, which waits for the goroutine to end. taken, which may be
// nil, is offered each of them first, and takes those that are for somebody else.
func handleSignals(d *daemon.Daemon, taken func(os.Signal) bool) (stop func()) {
	arrived := make(chan os.Signal, 8)
	done := make(chan struct{})
	signal.Notify(arrived, append(otherSignals(), os.Interrupt, syscall.SIGTERM)...)
	go func() {
		defer close(done)
		obeySignals(d, arrived, taken)
	}()
	return func() {
		signal.Stop(arrived)
		close(arrived)
		<-done
	}
}

// obeySignals runs until arrived is closed. The word to stop is obeyed at once. What else is asked for is done
// beside this, one after the other, and not before the daemon has started: it may take its time, as a reload
// does whose account server is away.
func obeySignals(d *daemon.Daemon, arrived <-chan os.Signal, taken func(os.Signal) bool) {
	ready := d.Ready()
	var waiting []os.Signal  // each kind once: what comes after the first is not done with it yet
	var errand chan struct{} // closed when it is done; nil: there is none
	var stopping time.Time   // zero: nobody has asked yet
	for {
		if ready == nil && errand == nil && len(waiting) > 0 {
			s := waiting[0]
			waiting = waiting[1:]
			errand = aside(func() { obey(d, s) })
		}
		select {
		case <-ready:
			ready = nil
		case <-errand:
			errand = nil
		case s, open := <-arrived:
			switch {
			case !open:
				if errand != nil {
					await(errand, lastErrand)
				}
				return
			case taken != nil && taken(s):
			case s == os.Interrupt || s == syscall.SIGTERM:
				switch {
				case stopping.IsZero():
					stopping = time.Now()
					await(aside(func() { d.Logger().Info(fmt.Sprintf("Trapped %q signal", s)) }), logMoment)
					d.Stop()
				case time.Since(stopping) >= sameWord:
					// Whoever asks twice does not want to wait for clients.
					await(aside(func() {
						d.Logger().Warn(fmt.Sprintf("Trapped %q signal again: ending at once", s))
						d.FlushLog()
					}), logMoment)
					os.Exit(exitFailed)
				}
			case !slices.Contains(waiting, s):
				waiting = append(waiting, s)
			}
		}
	}
}

// aside does something on a goroutine of its own.
func aside(do func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	return done
}

// await waits until something is done, and no longer than patience.
func await(done <-chan struct{}, patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}
