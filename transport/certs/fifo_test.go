//go:build unix

package certs

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Handshakes read these files again: none may wait for somebody to write.
func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	o := newOffice(t)
	s := o.load(o.options())
	name := s.current.Load().files[0].name
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Refresh()
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("a FIFO: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err, _ := shake(s, o.client("bus.example")); err != nil {
		t.Errorf("what was there is not in use any more: %v", err)
	}
}
