//go:build unix

package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowReload makes a server reload, which lasts until what is returned is closed, and fails then.
func slowReload(t *testing.T) (b *bus, config string, reloading *os.File) {
	t.Helper()
	config = file(t, "slow.conf", "ping_max: 3\n")
	b = startBus(t, "-c", config)
	pipe := config + ".pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("operator: "+strconv.Quote(pipe)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		reloading, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0) // an error as long as nobody reads
		if err == nil {
			t.Cleanup(func() { reloading.Close() })
			return b, config, reloading
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestStopIsHeardDuringASlowReload(t *testing.T) {
	t.Parallel()
	b, _, _ := slowReload(t)
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.until(`Trapped "terminated" signal`)
	again := time.NewTicker(2 * sameWord) // what comes too soon is the same word
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; {
		b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.ended:
			if b.code != exitFailed || !strings.Contains(b.stderr.String(), "signal again: ending at once") {
				t.Error(b.wait())
			}
			return
		case <-again.C:
		}
		if time.Now().After(deadline) {
			t.Fatal("the second word is not heard")
		}
	}
}

// What is asked for during a reload is done after it: the file may have changed since it was read.
func TestReloadThatIsAskedForDuringAnotherComesAfterIt(t *testing.T) {
	t.Parallel()
	b, config, reloading := slowReload(t)
	next := file(t, "next.conf", "ping_max: 5\n")
	if err := os.Rename(next, config); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGHUP)
	reloading.Close()
	b.until("(?s)nothing has changed.*ping_max = 5")
}
