package leafnode

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// TestInterestIsToldBeforeMessages checks that a reply cannot overtake the interest that it needs.
func TestInterestIsToldBeforeMessages(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, false)
	w.say("LS+ svc\r\n")
	w.sync()
	c := s.newClient("")
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		inbox := fmt.Sprintf("_INBOX.%d", i)
		sub := c.subscribe(inbox, "")
		c.publish("svc", inbox, "", "?")
		w.wants("LS+ "+inbox, "LMSG svc "+inbox+" 1\n?")
		w.say("LMSG " + inbox + " 1\r\n!\r\n")
		c.wants(inbox + ": !")
		c.peer.Unsubscribe(sub, 0)
		w.wants("LS- " + inbox)
	}
}

// TestNoMoreThanTheWindowIsInFlight has a peer that never answers a PING.
func TestNoMoreThanTheWindowIsInFlight(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("takes seconds")
	}
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.MaxPending = 1 << 20 })
		w := joinAsLeaf(t, s, leafConnect, packed)
		w.quiet = true
		w.say("LS+ a.>\r\n")
		w.sync()
		c := s.newClient("")
		const messages, size = 3000, 1000
		payload := noise(size)
		for i := range messages {
			c.publish(fmt.Sprintf("a.%d", i), "", "", payload)
		}
		shown := s.links(1)[0]
		if shown.UnconfirmedBytes > windowFirst || shown.UnconfirmedBytes < windowFirst-2*size {
			t.Errorf("%d bytes are in flight, want about %d", shown.UnconfirmedBytes, windowFirst)
		}
		kept := shown.WaitingMsgs
		if shown.WaitingBytes > 1<<20 || kept < 900 {
			t.Errorf("%d messages in %d bytes wait, want about 1 MiB", kept, shown.WaitingBytes)
		}
		if total := int(shown.Dropped) + kept + shown.UnconfirmedMsgs; total != messages {
			t.Errorf("%d in flight, %d wait, %d dropped", shown.UnconfirmedMsgs, kept, shown.Dropped)
		}
		if counted := s.drops("", broker.SlowPeer); counted > shown.Dropped || shown.Dropped-counted >= dropBatch {
			t.Errorf("the account has heard of %d of %d that were dropped", counted, shown.Dropped)
		}
		// What came in time goes first, and of the rest the newest are there.
		inFlight := shown.UnconfirmedMsgs
		w.quiet = false
		for i := range inFlight + kept {
			n := i
			if i >= inFlight {
				n = messages - kept + i - inFlight
			}
			op := messageOf(w)
			if want := fmt.Sprintf("LMSG a.%d ", n); !strings.HasPrefix(op, want) {
				t.Fatalf("message %d begins with %.20q, want %q", i, op, want)
			}
			if i == 0 {
				w.say(strings.Repeat("PONG\r\n", maxPings)) // those that it has not answered
			}
		}
		eventually(t, "all is confirmed", func() bool {
			w.say("PING\r\n")
			w.until("PONG")
			return s.links(1)[0].UnconfirmedBytes == 0
		})
	})
}

// Nothing waits on a link for longer than the other side takes to receive it, so a stop loses none.
func TestShutdownSendsWhatWaitsOnALink(t *testing.T) {
	s := newSite(t, "site", nil)
	s.hurry(func(set *settings) { set.drainFor = patience })
	w := joinAsLeaf(t, s, leafConnect, false)
	w.quiet = true // so that nothing is confirmed, and the window fills
	w.say("LS+ a\r\n")
	w.sync()
	c := s.newClient("")
	const messages = 300
	payload := noise(1000)
	for range messages {
		c.publish("a", "", "", payload)
	}
	if s.links(1)[0].WaitingMsgs == 0 {
		t.Fatal("nothing waits")
	}
	ended := make(chan error, 1)
	go func() { ended <- s.n.Shutdown(t.Context()) }()
	eventually(t, "it has begun to stop", func() bool {
		s.n.mu.Lock()
		defer s.n.mu.Unlock()
		return s.n.stopped
	})
	w.quiet = false
	w.say(strings.Repeat("PONG\r\n", maxPings)) // those that it has not answered
	got := 0
	for _, op := range w.ended() {
		if strings.HasPrefix(op, "LMSG a ") {
			got++
		}
	}
	if err := <-ended; err != nil || got != messages {
		t.Errorf("%d of %d messages came: %v", got, messages, err)
	}
}

// messageOf is the next message.
func messageOf(w *wire) string {
	w.t.Helper()
	w.patient()
	for {
		op, err := w.next()
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(op, "\n") {
			return op
		}
	}
}

// noise is what cannot be compressed.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return string(b)
}

// TestPongDoesNotWaitForData is nats-server's issue 7615: a thin line where the answer to a PING came
// behind all that was to be sent.
func TestPongDoesNotWaitForData(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		w := joinAsLeaf(t, s, leafConnect, packed)
		w.quiet = true
		w.say("LS+ a\r\n")
		w.sync()
		c := s.newClient("")
		payload := noise(1000)
		for range 2000 {
			c.publish("a", "", "", payload)
		}
		w.say("PING\r\n")
		bytes := 0
		for {
			op, err := w.next()
			if err != nil {
				t.Fatal(err)
			}
			if op == "PONG" {
				break
			}
			bytes += len(op)
		}
		if bytes > windowFirst {
			t.Errorf("PONG came behind %d bytes", bytes)
		}
	})
}

// TestALongFrameBehindAShortOneDoesNotWait: it leaves once nothing is in flight, so that somebody has to
// ask for the receipt of what is, be that ever so little.
func TestALongFrameBehindAShortOneDoesNotWait(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, false)
	w.say("LS+ a\r\n")
	w.sync()
	s.hurry(func(set *settings) { set.DeadAfter = time.Hour }) // so that nobody looks after the link
	k := s.n.all()[0]
	k.conn.Post(func(*engine.Loop) { k.careAt = 0; k.arm() })
	c := s.newClient("")
	c.publish("a", "", "", "short")
	c.publish("a", "", "", strings.Repeat("x", 3*windowFirst))
	c.publish("a", "", "", "short again")
	w.wants("LMSG a 5\nshort")
	if got := messageOf(w); len(got) < 3*windowFirst {
		t.Errorf("got %.20q", got)
	}
	w.wants("LMSG a 11\nshort again")
}

// TestTheBoundOfAllLinksTogether has links that stand, none of which has reached its own.
func TestTheBoundOfAllLinksTogether(t *testing.T) {
	const most = 1 << 20
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.MaxPending, o.PendingTotal = most, most })
	for i := range 4 {
		w := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, fmt.Sprintf(`"leaf%d"`, i)), false)
		w.quiet = true
		w.say("LS+ a\r\n")
		w.sync()
	}
	c := s.newClient("")
	payload := noise(1000)
	for range 4000 {
		c.publish("a", "", "", payload)
	}
	waiting := 0
	for _, k := range s.links(4) {
		waiting += k.WaitingBytes
		if k.WaitingMsgs == 0 {
			t.Error("a link has nothing left")
		}
	}
	if waiting > most+most/8 {
		t.Errorf("%d bytes wait, want %d at most", waiting, most)
	}
	if d := s.n.waiting.Load() - int64(waiting); d > 4*countFrom || d < -4*countFrom {
		t.Errorf("%d bytes are counted where %d wait", s.n.waiting.Load(), waiting)
	}
	s.n.mu.Lock()
	for k := range s.n.links {
		k.conn.Close(errShutdown)
	}
	s.n.mu.Unlock()
	s.links(0)
	if n := s.n.waiting.Load(); n != 0 {
		t.Errorf("%d bytes are counted when all links are gone", n)
	}
}

func TestADeadPeerIsNoticed(t *testing.T) {
	s := newSite(t, "site", nil)
	s.hurry(func(set *settings) { set.DeadAfter = 400 * time.Millisecond })
	w := joinAsLeaf(t, s, leafConnect, false)
	w.quiet = true
	began := time.Now()
	ops := w.ended()
	if took := time.Since(began); took > defaultDeadAfter/2 {
		t.Errorf("it took %v", took)
	}
	if last := ops[len(ops)-1]; last != "-ERR 'Stale Connection'" {
		t.Errorf("it ended with %q", ops)
	}
	s.links(0)
	eventually(t, "the log says why", func() bool { return s.log.has("the line is dead or blocked") })
}

// TestAnyByteIsLife: a peer that is in the middle of a message that takes long cannot answer.
func TestAnyByteIsLife(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("takes seconds")
	}
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		const dead = time.Second
		s.hurry(func(set *settings) { set.DeadAfter = dead })
		c := s.newClient("")
		c.subscribe("a", "")
		w := joinAsLeaf(t, s, leafConnect, packed)
		w.quiet = true
		payload := noise(40_000)
		text := []byte(fmt.Sprintf("LMSG a %d\r\n%s\r\n", len(payload), payload))
		if packed {
			text = append([]byte(streamIdentifier), chunkOf(text)...)
		}
		// In pieces, for twice as long as a silent one may live.
		const pieces = 60
		tick := time.NewTicker(2 * dead / pieces)
		defer tick.Stop()
		for i := range pieces {
			<-tick.C
			if _, err := w.conn.Write(text[i*len(text)/pieces : (i+1)*len(text)/pieces]); err != nil {
				t.Fatalf("piece %d: %v", i, err)
			}
		}
		c.wants("a: " + payload)
	})
}
