package engine

import (
	"net/netip"
	"testing"
	"time"
)

func TestTurnstileCountsByAddress(t *testing.T) {
	var s Turnstile
	o := TurnstileLimits{PerAddress: 2}
	enter := func(text string, want error) {
		t.Helper()
		counted, err := s.Enter(netip.MustParseAddr(text), o, 1)
		if err != want || counted != (want == nil && o.PerAddress > 0) {
			t.Errorf("%s: %v %v, want %v", text, counted, err, want)
		}
	}
	enter("192.0.2.1", nil)
	enter("::ffff:192.0.2.1", nil) // the same
	enter("192.0.2.1", ErrAddressFull)
	enter("192.0.2.2", nil)
	enter("2001:db8::1", nil)
	enter("2001:db8::2:1", nil) // who has one address of a /64 has all
	enter("2001:db8::3", ErrAddressFull)
	enter("2001:db8:0:1::1", nil)
	s.Leave(netip.MustParseAddr("192.0.2.1"))
	enter("192.0.2.1", nil)
	enter("192.0.2.1", ErrAddressFull)

	o.PerAddress = 0 // switched off: nobody is counted, and those who were still leave
	enter("192.0.2.1", nil)
	for range 2 {
		s.Leave(netip.MustParseAddr("192.0.2.1"))
	}
	if n := len(s.inside); n != 3 {
		t.Errorf("%d addresses are known, want 3", n)
	}
	if counted, err := s.Enter(netip.Addr{}, TurnstileLimits{1, 1}, 1); counted || err != nil {
		t.Error("what has no address is counted")
	}
}

func TestTurnstileKeepsPlacesForOthers(t *testing.T) {
	var s Turnstile
	o := TurnstileLimits{PerSecond: 10}
	count := func(now int64, addresses ...string) (taken int) {
		for range 20 {
			for _, text := range addresses {
				if _, err := s.Enter(netip.MustParseAddr(text), o, now); err == nil {
					taken++
				} else if err != ErrTooMany {
					t.Fatal(err)
				}
			}
		}
		return taken
	}
	if n := count(1, "192.0.2.1"); n != 5 {
		t.Errorf("one address got %d of 10 places", n)
	}
	if n := count(2, "192.0.2.2", "192.0.2.3", "192.0.2.4"); n != 5 {
		t.Errorf("the others got %d", n)
	}
	if n := count(int64(time.Second)+1, "192.0.2.2", "192.0.2.3", "192.0.2.4"); n != 10 {
		t.Errorf("in the next second %d were taken", n)
	}
	if n := len(s.shares); n > 10 {
		t.Errorf("%d addresses are kept", n)
	}
	if n := count(int64(time.Second)-1, "192.0.2.5"); n != 0 {
		t.Errorf("%d were taken by a loop whose clock is behind", n)
	}
	o.PerSecond = 1
	if n := count(int64(9*time.Second), "192.0.2.2"); n != 1 {
		t.Errorf("%d of 1", n)
	}
	if len(s.inside) > 0 {
		t.Error("addresses are counted although nobody asked for that")
	}
}
