package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func comingFrom(address, password string) *Credentials {
	return &Credentials{User: "u", Password: password, Remote: netip.MustParseAddr(address)}
}

func TestFailedLoginsSlowTheirAddressDown(t *testing.T) {
	var s Slowdown
	const most = 5
	now := int64(1)
	wait := func(c *Credentials) time.Duration {
		w, ok := s.Begin(c, most, now)
		if !ok {
			t.Fatal("refused")
		}
		if w > 0 {
			s.Waited(c.Remote)
		}
		if s.Yields(c, most, now) != (w > 0) {
			t.Errorf("yields %v, and waits %v", w == 0, w)
		}
		return w
	}
	s.Note(comingFrom("10.0.0.1", "right"), nil, most, now)
	for i := range 40 {
		want := time.Duration(0)
		if i >= most {
			want = min(slowMost, time.Duration(i-most+1)*slowStep)
		}
		if got := wait(comingFrom("10.0.0.1", "guess")); got != want {
			t.Fatalf("after %d failures: %v, want %v", i, got, want)
		}
		s.Note(comingFrom("10.0.0.1", "guess"), ErrCredentials, most, now)
		now += int64(time.Second)
	}
	if got := wait(comingFrom("10.0.0.1", "right")); got != 0 {
		t.Errorf("who has come in before waits %v", got)
	}
	if got := wait(comingFrom("10.0.0.2", "guess")); got != 0 {
		t.Errorf("another address waits %v", got)
	}
	sameElsewhere := comingFrom("10.0.0.1", "right")
	sameElsewhere.Type = LeafNode
	if got := wait(sameElsewhere); got == 0 {
		t.Error("what opens one door is no guess at another")
	}
	now += int64(time.Minute)
	if got := wait(comingFrom("10.0.0.1", "guess")); got != 0 {
		t.Errorf("a minute later it waits %v", got)
	}
	if got, ok := s.Begin(comingFrom("10.0.0.1", "guess"), -1, now); got != 0 || !ok {
		t.Errorf("switched off it waits %v", got)
	}
	if s.Yields(comingFrom("10.0.0.1", "guess"), -1, now) {
		t.Error("switched off it yields")
	}
}

func TestOneIPv6NetworkIsOneAddress(t *testing.T) {
	var s Slowdown
	for i := range 10 {
		s.Note(comingFrom(fmt.Sprintf("2001:db8::%d", i+1), "x"), ErrCredentials, 5, 1)
	}
	if w, _ := s.Begin(comingFrom("2001:db8::ffff", "x"), 5, 2); w == 0 {
		t.Error("its neighbour does not wait")
	}
	if w, _ := s.Begin(comingFrom("2001:db8:0:1::1", "x"), 5, 2); w != 0 {
		t.Error("another network waits")
	}
}

func TestIPv4InIPv6IsNotOneAddress(t *testing.T) {
	var s Slowdown
	for range 10 {
		s.Note(comingFrom("::ffff:10.0.0.1", "x"), ErrCredentials, 5, 1)
	}
	if w, _ := s.Begin(comingFrom("10.0.0.1", "x"), 5, 2); w == 0 {
		t.Error("written in another way it does not wait")
	}
	if w, _ := s.Begin(comingFrom("::ffff:10.0.0.2", "x"), 5, 2); w != 0 {
		t.Error("another address waits")
	}
}

func TestOnlyGuessesCount(t *testing.T) {
	for _, c := range []struct {
		err    error
		guess  bool
		detail string
	}{
		{ErrCredentials, true, ""},
		{refuse("nkey %s is not one of the users", "U"), true, "nkey U is not one of the users"},
		{refuse("%w: the service does not answer: %w", ErrNoAnswer, errors.New("why")), false, "there is nobody to ask: the service does not answer: why"},
		{refuse("the key: %w", errors.New("why")), false, "the key: why"},
		{ErrNoCredentials, false, ErrNoCredentials.Error()},
		{ErrExpired, false, ErrExpired.Error()},
		{ErrRevoked, false, ErrRevoked.Error()},
	} {
		var s Slowdown
		s.Note(comingFrom("10.0.0.1", "x"), c.err, 1, 1)
		if w, _ := s.Begin(comingFrom("10.0.0.1", "x"), 1, 1); w > 0 != c.guess {
			t.Errorf("%v: counts %v, want %v", c.err, w > 0, c.guess)
		}
		if got := Detail(c.err); got != c.detail {
			t.Errorf("%v: %q, want %q", c.err, got, c.detail)
		}
	}
	if IsGuess(nil) {
		t.Error("no error is a guess")
	}
}

func TestSlowdownIsBounded(t *testing.T) {
	var s Slowdown
	for i := range 10 {
		s.Note(comingFrom("10.0.0.1", "x"), ErrCredentials, 5, int64(i+1))
	}
	for i := range 4 * maxSlowed {
		s.Note(comingFrom(fmt.Sprintf("10.1.%d.%d", i/256, i%256), "x"), ErrCredentials, 5, 20)
	}
	if n := len(s.all); n > maxSlowed {
		t.Errorf("%d addresses", n)
	}
	waiting := 0
	for range 2 * maxWaiting {
		s.Note(comingFrom("10.0.0.9", "x"), ErrCredentials, 5, 30)
		if w, ok := s.Begin(comingFrom("10.0.0.9", "x"), 5, 30); ok && w > 0 {
			waiting++
		}
	}
	if waiting != maxWaiting {
		t.Errorf("%d wait", waiting)
	}
}
