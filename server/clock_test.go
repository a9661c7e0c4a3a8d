package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A client's credentials end when the clock says so, and not while it is wrong in the other direction,
// whatever it said when the client came.
func TestAClientStaysUntilItsCredentialsEndHoweverTheClockIsSet(t *testing.T) {
	r := start(t, Options{PingInterval: 50 * time.Millisecond, PingMax: 100}, auth.Options{}, broker.Options{})
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(now time.Time) {
		r.update(func(set *settings) { set.clock = func() time.Time { return now } })
	}
	at(time.Unix(5, 0))
	c := r.dial()
	c.send(quiet + "PING\r\n")
	for line := ""; line != "PONG\r\n"; { // a PING may come first on a slow machine
		var err error
		if line, err = c.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	s := r.server.all()[0]
	noted := make(chan *closing)
	s.conn.Post(func(*engine.Loop) {
		id, about := *s.about.identity, *s.about
		id.Expires = expires
		about.identity = &id
		s.about = &about
		noted <- s.heed(r.server.settings.Load())
	})
	if why := <-noted; why != nil {
		t.Fatal(why)
	}
	for _, now := range []time.Time{time.Unix(9, 0), expires.Add(-time.Hour), time.Unix(1, 0), expires.AddDate(-9, 0, 0)} {
		at(now)
		for range 2 { // each is looked at when a PING is due
			c.expect("PING\r\n")
		}
	}
	at(expires)
	rest, _ := io.ReadAll(c.in)
	if !strings.HasSuffix(string(rest), "-ERR 'User Authentication Expired'\r\n") {
		t.Errorf("got %q", rest)
	}
}

func TestAHandshakeThatTheClockSpoiledSaysSo(t *testing.T) {
	const text = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 1970-01-01T00:00:05Z is before 2026-11-23T00:00:00Z"
	err := fmt.Errorf("%w: %s", engine.ErrHandshake, text)
	if got := handshakeRemedy(err, time.Unix(5, 0)); !strings.HasPrefix(got, "clock not set: this machine's clock says 1970") {
		t.Error(got)
	}
	if got := handshakeRemedy(err, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); !strings.Contains(got, "look at the clocks") {
		t.Error(got)
	}
}
