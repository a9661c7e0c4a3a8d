//go:build unix

package leafnode

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An attempt that waits for somebody to write would be the last one.
func TestCredentialsAreNotWaitedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := readSecret("credentials", name)
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
}
