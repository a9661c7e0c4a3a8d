package server

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// sessionOf finds the session of a client.
func (r *rig) sessionOf(c *client) *session {
	r.t.Helper()
	for _, s := range r.server.all() {
		if s.conn.RemoteAddr().String() == c.conn.LocalAddr().String() {
			return s
		}
	}
	r.t.Fatal("no such session")
	return nil
}

// onOwner runs f where the input of s is handled, and waits for it.
func (s *session) onOwner(f func(l *engine.Loop)) {
	done := make(chan struct{})
	s.conn.Post(func(l *engine.Loop) {
		defer close(done)
		f(l)
	})
	select {
	case <-done:
	case <-time.After(patience):
		panic("posted to a session that is closed")
	}
}

// Two publishers on two loops, one subscriber that wants so many: it gets exactly those, and its sid
// is free again.
func TestAutoUnsubscribeIsExactAcrossLoops(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	sub := r.connect(quiet)
	pubs := []*client{r.connect(quiet), r.connect(quiet)}
	const most = 100
	for round := range 20 {
		sub.send(fmt.Sprintf("SUB a 1\r\nUNSUB 1 %d\r\nPING\r\n", most))
		sub.expect("PONG\r\n")
		var both sync.WaitGroup
		for _, p := range pubs {
			both.Go(func() { io.WriteString(p.conn, strings.Repeat("PUB a 1\r\nx\r\n", most)+"PING\r\n") })
		}
		both.Wait()
		for _, p := range pubs {
			p.expect("PONG\r\n")
		}
		sub.send("PING\r\n")
		sub.expect(strings.Repeat("MSG a 1 1\r\nx\r\n", most) + "PONG\r\n")
		if n := r.broker.Account("").Snapshot().Subscriptions; n != 0 {
			t.Fatalf("round %d: %d subscriptions are left", round, n)
		}
	}
	if a, b := r.sessionOf(pubs[0]), r.sessionOf(pubs[1]); a.loopOf() == b.loopOf() {
		t.Error("both publishers were on one loop: the test shows nothing")
	}
}

// loopOf tells loops apart.
func (s *session) loopOf() (at *engine.Loop) {
	s.onOwner(func(l *engine.Loop) { at = l })
	return at
}

// A feeds B while B feeds A, neither reads until both are told to rest, and all of it arrives.
func TestSlowCircleDoesNotLock(t *testing.T) {
	const maxPending, each = 16 << 20, 64 << 10
	const messages = 40 << 20 / each
	r := startOn(t, engine.Options{MaxPending: maxPending, PendingTotal: 4 * maxPending}, Options{}, auth.Options{}, broker.Options{})
	names := []string{"a", "b"}
	var clients []*client
	for _, own := range names {
		c := r.connect(quiet)
		c.conn.SetDeadline(time.Now().Add(6 * patience))
		c.send("SUB " + own + " 1\r\nPING\r\n")
		c.expect("PONG\r\n")
		clients = append(clients, c)
	}
	payload := strings.Repeat("x", each)
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for range messages {
				if _, err := fmt.Fprintf(c.conn, "PUB %s %d\r\n%s\r\n", names[1-i], each, payload); err != nil {
					t.Error("publishing:", err)
					return
				}
			}
		})
	}
	for _, c := range clients {
		s := r.sessionOf(c)
		eventually(t, "it is so far behind that its publisher rests", func() bool { return s.conn.Pending() >= maxPending/4*3 })
	}
	for i, c := range clients {
		all.Go(func() {
			want := fmt.Sprintf("MSG %s 1 %d\r\n", names[i], each)
			for n := 0; n < messages; {
				line, err := c.in.ReadString('\n')
				if line == linePing {
					continue
				}
				if err != nil || line != want {
					t.Errorf("message %d: %.30q %v", n, line, err)
					return
				}
				c.in.Discard(each + 2)
				n++
			}
		})
	}
	all.Wait()
}

// PONGs may lie unread in a connection whose input rests.
func TestPingsDoNotAgeWhileInputRests(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	s := r.sessionOf(r.connect(quiet))
	set := s.door.server.settings.Load()
	interval := int64(set.PingInterval)
	s.onOwner(func(l *engine.Loop) {
		now := engine.Now()
		s.pingsOut, s.lastIn = uint8(set.PingMax), now-2*interval
		s.Rest(time.Millisecond)
		if !s.doDuePing(set, now) || int(s.pingsOut) != set.PingMax {
			t.Errorf("closed or aged while its input rests: %d PINGs out", s.pingsOut)
		}
		if s.pingAt < now+interval {
			t.Error("it is not looked at again")
		}
	})
	eventually(t, "the rest is over", func() (over bool) {
		s.onOwner(func(*engine.Loop) { over = !s.conn.Held(engine.Now()) })
		return over
	})
	s.onOwner(func(*engine.Loop) {
		if s.doDuePing(set, engine.Now()+2*interval) {
			t.Error("it does not age any more")
		}
	})
}

// slowUser is a user whose password takes a while to check.
const slowUser = `CONNECT {"user":"hashed","pass":"pw"}` + "\r\n"

// occupy keeps the only worker of the pool busy until the function it returns is called.
func (r *rig) occupy(by *client) (release func()) {
	gate, runs := make(chan struct{}), make(chan struct{})
	s := r.sessionOf(by)
	s.onOwner(func(*engine.Loop) {
		s.conn.Away(func() { close(runs); <-gate }, func(*engine.Loop) {})
	})
	<-runs
	return func() { close(gate) }
}

func TestAuthTimeoutStandsStillInTheQueue(t *testing.T) {
	o := users(t)
	o.Timeout = time.Second // for the one who says something at once, on a slow machine
	r := startOn(t, engine.Options{Workers: 1}, Options{}, o, broker.Options{})
	release := r.occupy(r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n"))
	waits, silent := r.dial(), r.dial()
	waits.send(slowUser)
	silent.expectClosed("-ERR 'Authentication Timeout'\r\n")
	s := r.sessionOf(waits)
	eventually(t, "its own time would be over, too", func() (over bool) {
		s.onOwner(func(*engine.Loop) { over = s.age(engine.Now()) > 2*o.Timeout && s.is(isAway) })
		return over
	})
	release()
	waits.expect("+OK\r\n")
}

func TestFullPoolIsSaid(t *testing.T) {
	r := startOn(t, engine.Options{Workers: 1, WorkerQueue: 1}, Options{}, users(t), broker.Options{})
	release := r.occupy(r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n"))
	waits := r.dial()
	waits.send(slowUser)
	s := r.sessionOf(waits)
	eventually(t, "it waits in the queue", func() (away bool) {
		s.onOwner(func(*engine.Loop) { away = s.is(isAway) })
		return away
	})
	late := r.dial()
	late.send(slowUser)
	late.expectClosed("-ERR '" + errBusy.wire + "'\r\n")
	release()
	waits.expect("+OK\r\n")
}

// The last line must not be lost to a reset, which a close with unread input is.
func TestRefusalArrivesThoughMuchIsUnread(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for range 20 {
		c := r.connect(quiet)
		io.WriteString(c.conn, "NONSENSE"+strings.Repeat("x", 1<<20)) // may fail: it is closed early
		c.expectClosed("-ERR 'Unknown Protocol Operation'\r\n")
	}
}

// Rows are made while both directions are busy on other loops: -race sees that each counter has one
// writer, and in the end nothing is missing.
func TestCountersAddUpUnderLoad(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	const messages, pubs = 2000, 3
	sub := r.connect(quiet)
	sub.send("SUB a 1\r\nPING\r\n")
	sub.expect("PONG\r\n")
	var all sync.WaitGroup
	for range pubs {
		p := r.connect(quiet)
		all.Go(func() { io.WriteString(p.conn, strings.Repeat("PUB a 4\r\nabcd\r\n", messages)) })
	}
	all.Go(func() {
		for range 30 {
			r.server.Snapshot()
			r.broker.Accounts()
		}
	})
	sub.expect(strings.Repeat("MSG a 1 4\r\nabcd\r\n", pubs*messages))
	all.Wait()
	p := r.server.Snapshot().(*Snapshot)
	if p.InMsgs != pubs*messages || p.OutMsgs != pubs*messages || p.InBytes != 4*pubs*messages || p.OutBytes != 4*pubs*messages {
		t.Errorf("in %d (%d bytes), out %d (%d bytes)", p.InMsgs, p.InBytes, p.OutMsgs, p.OutBytes)
	}
}

// One call of Data serves so many deliveries and no more; others get their turn before the rest.
func TestOneCallOfDataDeliversSoMany(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	c := r.connect(quiet)
	const line = "PUB a 1\r\nx\r\n"
	// The first two are matched, which counts as well; the lane remembers from then on.
	c.send("SUB a 1\r\n" + line + line + "PING\r\n")
	c.expect(strings.Repeat("MSG a 1 1\r\nx\r\n", 2) + "PONG\r\n")
	s := r.sessionOf(c)
	in := []byte(strings.Repeat(line, maxEffort+100))
	s.onOwner(func(l *engine.Loop) {
		for _, want := range []int{maxEffort, 100} {
			used, err := s.Data(l, in)
			if used != want*len(line) || err != nil {
				t.Errorf("one call used %d of %d messages, want %d; %v", used/len(line), len(in)/len(line), want, err)
			}
			in = in[used:]
		}
	})
	c.expect(strings.Repeat("MSG a 1 1\r\nx\r\n", maxEffort+100))
}

// One call of Data ends as well when much is looked through and nothing delivered: for somebody who
// does not want its own messages, and for somebody who has each message matched with many filters.
func TestOneCallOfDataLooksThroughSoMany(t *testing.T) {
	for _, c := range []struct{ name, subs, line string }{
		{"plain subscriptions of its own", repeated("SUB a %d\r\n", maxEffort/4), "PUB a 0\r\n\r\n"},
		{"members of a queue group of its own", repeated("SUB a q %d\r\n", maxEffort/4), "PUB a 0\r\n\r\n"},
		{"queue groups of its own", repeated("SUB a q%[1]d %[1]d\r\n", maxEffort/4), "PUB a 0\r\n\r\n"},
		{"filters that end otherwise", bushOfFilters(10), "PUB a.a.a.a.a.a.a.a.a.a.a.x 0\r\n\r\n"},
		{"where an answer is expected", bushOfFilters(10), "PUB none a.a.a.a.a.a.a.a.a.a.a.x 0\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, Options{}, auth.Options{}, broker.Options{})
			w := r.connect(`CONNECT {"verbose":false,"echo":false,"headers":true,"no_responders":true}` + "\r\n")
			w.send(c.subs + "PING\r\n")
			w.expect("PONG\r\n")
			s := r.sessionOf(w)
			const messages = 100
			in := []byte(strings.Repeat(c.line, messages))
			s.onOwner(func(l *engine.Loop) {
				used, err := s.Data(l, in)
				if n := used / len(c.line); n < 1 || n > messages/4 || err != nil {
					t.Errorf("one call carried out %d of %d messages; %v", n, messages, err)
				}
			})
			w.send("PING\r\n")
			w.expect("PONG\r\n")
		})
	}
}

// repeated is a line for each number below n.
func repeated(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// bushOfFilters subscribes to all filters of so many tokens, each "a" or "*", that go on with "*.z":
// a.a.a… has to be looked for in all of them.
func bushOfFilters(tokens int) string {
	var b strings.Builder
	for i := range 1 << tokens {
		b.WriteString("SUB ")
		for at := range tokens {
			b.WriteString([]string{"a.", "*."}[i>>at&1])
		}
		fmt.Fprintf(&b, "*.z %d\r\n", i)
	}
	return b.String()
}

// One PUB to more sinks than a flush wakes itself arrives everywhere, and a neighbour's round trip
// comes to its end meanwhile.
func TestLargeFanOutReachesAll(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	const sinks = 600
	var subs []*client
	for range sinks {
		c := r.connect(quiet)
		c.send("SUB wide 1\r\nPING\r\n")
		c.expect("PONG\r\n")
		subs = append(subs, c)
	}
	pub, neighbour := r.connect(quiet), r.connect(quiet)
	neighbour.send("SUB own 1\r\n")
	for range 20 {
		pub.send("PUB wide 2\r\nhi\r\n")
		neighbour.send("PUB own 2\r\nme\r\n")
		neighbour.expect("MSG own 1 2\r\nme\r\n")
	}
	for _, c := range subs {
		c.expect(strings.Repeat("MSG wide 1 2\r\nhi\r\n", 20))
	}
}
