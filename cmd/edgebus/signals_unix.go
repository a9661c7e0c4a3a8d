//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/edgebus-io/edgebus/daemon"
)

func otherSignals() []os.Signal {
	return []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
}

// outliveReaders keeps the process alive when whoever reads its standard output or error goes away: by default
// Go ends a program that writes to a closed pipe there, which is right for a command and not for a server. The
// signal goes to a channel that nobody reads, since one that is ignored would be so in what we start as well.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func obey(d *daemon.Daemon, s os.Signal) {
	var err error
	switch s {
	case syscall.SIGHUP:
		err = d.Reload()
	case syscall.SIGUSR1:
		err = d.ReopenLog()
	case syscall.SIGUSR2:
		err = d.LameDuck()
	}
	if err == nil {
		return
	}
	// A configuration file may have several mistakes: a line for each.
	for line := range strings.Lines(err.Error()) {
		d.Logger().Error(strings.TrimSuffix(line, "\n"))
	}
}

// sendSignal is --signal: COMMAND=PID, or COMMAND=FILE with a file that holds the pid.
func sendSignal(text string) error {
	name, target, _ := strings.Cut(text, "=")
	send, ok := map[string]syscall.Signal{
		"ldm": syscall.SIGUSR2, "stop": syscall.SIGKILL, "quit": syscall.SIGINT, "term": syscall.SIGTERM,
		"reopen": syscall.SIGUSR1, "reload": syscall.SIGHUP,
	}[name]
	if !ok {
		return usageError("unknown signal %q; one of ldm, stop, quit, term, reopen, reload", name)
	}
	if target == "" {
		return usageError("--signal %s needs the process: %s=PID or %s=PIDFILE", name, name, name)
	}
	digits := target
	if _, err := strconv.Atoi(target); err != nil {
		content, err := os.ReadFile(target)
		if err != nil {
			return fmt.Errorf("reading the pid file: %w", err)
		}
		digits = strings.TrimSpace(string(content))
	}
	pid, err := strconv.Atoi(digits)
	if err != nil || pid <= 0 {
		return fmt.Errorf("%q is no process number", digits)
	}
	if err := syscall.Kill(pid, send); err != nil {
		return fmt.Errorf("signalling process %d: %w", pid, err)
	}
	return nil
}
