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

// sameWord is how close together two signals to stop are one: supervisors and container runtimes
// signal a process and its group, and a terminal's Ctrl-C may come along with theirs.
const sameWord = 200 * time.Millisecond

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

// obeySignals runs until arrived is closed. What comes while the daemon starts is obeyed when
// it has, but for the word to stop.
func obeySignals(d *daemon.Daemon, arrived <-chan os.Signal, taken func(os.Signal) bool) {
	var held []os.Signal
	ready := d.Ready()
	var stopping time.Time // zero: nobody has asked yet
	for {
		select {
		case <-ready:
			ready = nil
			for _, s := range held {
				obey(d, s)
			}
		case s, open := <-arrived:
			switch {
			case !open:
				return
			case taken != nil && taken(s):
			case s == os.Interrupt || s == syscall.SIGTERM:
				switch {
				case stopping.IsZero():
					stopping = time.Now()
					d.Logger().Info(fmt.Sprintf("Trapped %q signal", s))
					d.Stop()
				case time.Since(stopping) >= sameWord:
					// Whoever asks twice does not want to wait for clients.
					d.Logger().Warn(fmt.Sprintf("Trapped %q signal again: ending at once", s))
					os.Exit(exitFailed)
				}
			case ready == nil:
				obey(d, s)
			case !slices.Contains(held, s):
				held = append(held, s)
			}
		}
	}
}
