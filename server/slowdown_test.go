package server

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

func from(address, password string) *auth.Credentials {
	return &auth.Credentials{User: "u", Password: password, Remote: netip.MustParseAddr(address)}
}

func TestFailedLoginsSlowTheirAddressDown(t *testing.T) {
	var s slowdown
	const most = 5
	now := int64(1)
	wait := func(c *auth.Credentials) time.Duration {
		w, ok := s.begin(c, most, now)
		if !ok {
			t.Fatal("refused")
		}
		if w > 0 {
			s.end(c.Remote)
		}
		return w
	}
	s.succeeded(from("10.0.0.1", "right"), most)
	for i := range 40 {
		want := time.Duration(0)
		if i >= most {
			want = min(slowMost, time.Duration(i-most+1)*slowStep)
		}
		if got := wait(from("10.0.0.1", "guess")); got != want {
			t.Fatalf("after %d failures: %v, want %v", i, got, want)
		}
		s.failed(from("10.0.0.1", "guess"), most, now)
		now += int64(time.Second)
	}
	if got := wait(from("10.0.0.1", "right")); got != 0 {
		t.Errorf("who has come in before waits %v", got)
	}
	if got := wait(from("10.0.0.2", "guess")); got != 0 {
		t.Errorf("another address waits %v", got)
	}
	now += int64(time.Minute)
	if got := wait(from("10.0.0.1", "guess")); got != 0 {
		t.Errorf("a minute later it waits %v", got)
	}
	if got, ok := s.begin(from("10.0.0.1", "guess"), -1, now); got != 0 || !ok {
		t.Errorf("switched off it waits %v", got)
	}
}

func TestOneIPv6NetworkIsOneAddress(t *testing.T) {
	var s slowdown
	for i := range 10 {
		s.failed(from(fmt.Sprintf("2001:db8::%d", i+1), "x"), 5, 1)
	}
	if w, _ := s.begin(from("2001:db8::ffff", "x"), 5, 2); w == 0 {
		t.Error("its neighbour does not wait")
	}
	if w, _ := s.begin(from("2001:db8:0:1::1", "x"), 5, 2); w != 0 {
		t.Error("another network waits")
	}
}

func TestSlowdownIsBounded(t *testing.T) {
	var s slowdown
	for i := range 10 {
		s.failed(from("10.0.0.1", "x"), 5, int64(i+1))
	}
	for i := range 4 * maxAddresses {
		s.failed(from(fmt.Sprintf("10.1.%d.%d", i/256, i%256), "x"), 5, 20)
	}
	if n := len(s.all); n > maxAddresses {
		t.Errorf("%d addresses", n)
	}
	waiting := 0
	for range 2 * maxWaiting {
		s.failed(from("10.0.0.9", "x"), 5, 30)
		if w, ok := s.begin(from("10.0.0.9", "x"), 5, 30); ok && w > 0 {
			waiting++
		}
	}
	if waiting != maxWaiting {
		t.Errorf("%d wait", waiting)
	}
}

func TestGuessingIsSlow(t *testing.T) {
	o := users(t)
	o.Timeout = 200 * time.Millisecond // shorter than the wait: that is not the client's fault
	r := start(t, Options{MaxFailedLogins: 1}, o, broker.Options{})
	known := r.connect(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\n")
	for range 4 {
		r.dial().send(`CONNECT {"user":"plain","pass":"x"}` + "\r\n")
		eventually(t, "it waits no longer", func() bool { return len(r.server.Clients(Query{})) == 1 })
	}
	begun := time.Now()
	guesses := r.dial()
	guesses.send(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\nPING\r\n")
	again := r.dial()
	again.send(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\nPING\r\n")
	again.expect("PONG\r\n")
	quick := time.Since(begun)
	guesses.expect("PONG\r\n")
	if slow := time.Since(begun); slow < 4*slowStep || quick > slow {
		t.Errorf("a stranger waited %v, an old friend %v", slow, quick)
	}
	guesses.send("SUB a 1\r\nPUB a 0\r\n\r\n")
	guesses.expect("MSG a 1 0\r\n\r\n")
	known.send("PING\r\n")
	known.expect("PONG\r\n")
}
