package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/edgebus-io/edgebus/daemon"
)

// handleSignals obeys signals until stop is called, which waits for the goroutine to end.
func handleSignals(d *daemon.Daemon) (stop func()) {
	arrived := make(chan os.Signal, 8)
	done := make(chan struct{})
	signal.Notify(arrived, append(otherSignals(), os.Interrupt, syscall.SIGTERM)...)
	go func() {
		defer close(done)
		obeySignals(d, arrived)
	}()
	return func() {
		signal.Stop(arrived)
		close(arrived)
		<-done
	}
}

// obeySignals runs until arrived is closed. What comes while the daemon starts is obeyed when
// it has, but for the word to stop.
func obeySignals(d *daemon.Daemon, arrived <-chan os.Signal) {
	var held []os.Signal
	ready, stopping := d.Ready(), false
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
			case s == os.Interrupt || s == syscall.SIGTERM:
				if stopping {
					// Whoever asks twice does not want to wait for clients.
					os.Exit(exitFailed)
				}
				stopping = true
				d.Stop()
			case ready == nil:
				obey(d, s)
			case !slices.Contains(held, s):
				held = append(held, s)
			}
		}
	}
}
