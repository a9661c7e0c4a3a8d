package engine

import (
	"errors"
	"testing"
)

// What waits for its turn holds what it has sent: strangers must not fill the memory with it.
func TestWaitingHandshakesAreBoundedInBytes(t *testing.T) {
	h := &house{t: t}
	v := openVault(h, Options{PartialTotal: 128}, &Security{}, nil)
	if _, err := v.handshake(); err == nil {
		t.Error("a handshake was taken that is more than half of the bound")
	}
	if err := <-(<-v.all).closed; !errors.Is(err, ErrHandshake) {
		t.Errorf("closed with %v", err)
	}
	if n := v.e.partial.Load(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}
