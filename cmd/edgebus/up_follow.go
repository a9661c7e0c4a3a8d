package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/edgebus-io/edgebus/daemon"
)

// After "edgebus upgrade" another process is the server. Whoever has started "up" in the foreground, a person
// or a script, holds on to this one: it stays until the server ends, hands signals on and ends as that one did.

// A follower is an up whose server may have given its place to another process, and that one to a third.
type follower struct {
	site site
	own  *daemon.Daemon

	alone   atomic.Bool                // our own server has ended
	stopped atomic.Bool                // somebody wants all of it to end
	later   atomic.Pointer[os.Process] // in the place of our heir; nil: that one serves
}

// pass hands a signal on to the process in our server's place, if there is one. It reports whether that is all
// there is to do: who ends us while our clients are still being told to come back ends both.
func (f *follower) pass(sig os.Signal) (done bool) {
	heir := f.own.Heir()
	if heir == nil {
		return false
	}
	ends := sig == os.Interrupt || sig == syscall.SIGTERM
	if ends {
		f.stopped.Store(true)
	}
	if later := f.later.Load(); later != nil {
		later.Signal(sig) // who has ended needs none
	} else {
		heir.Signal(sig)
	}
	return f.alone.Load() || !ends
}

// follow returns when nobody serves any more, with an error unless the last one has ended well.
func (f *follower) follow(heir *daemon.Heir) error {
	f.alone.Store(true)
	debug.FreeOSMemory() // of our own server; there may be little for two
	pid, state := heir.PID(), heir.Wait()
	for {
		status, err := f.site.status(context.Background())
		if err != nil || status.PID == pid {
			return endOf(pid, state)
		}
		// It has been upgraded in its turn, and left us its child.
		pid = status.PID
		process, err := os.FindProcess(pid)
		if err == nil {
			f.later.Store(process)
			if f.stopped.Load() {
				process.Signal(syscall.SIGTERM) // the one before may not have handed it on
			}
			state, err = process.Wait()
		}
		if err != nil {
			return fmt.Errorf("process %d is the server now, and none that could be waited for here: it goes on in the background, and \"edgebus down\" stops it", pid)
		}
	}
}

// endOf is how a server's end looks to who has started us.
func endOf(pid int, state *os.ProcessState) error {
	if state == nil || state.Success() {
		return nil
	}
	return &exitError{max(state.ExitCode(), exitFailed), fmt.Errorf("process %d, which served in this one's place, has ended: %v", pid, state)}
}
