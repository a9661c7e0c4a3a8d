package leafnode

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// headers is a block of 24 bytes.
const headers = "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"

// packings runs f without compression and with it.
func packings(t *testing.T, f func(t *testing.T, packed bool)) {
	for _, packed := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "s2"}[packed], func(t *testing.T) { f(t, packed) })
	}
}

// TestEachShapeOfAMessageLeaves has the shapes of 6.2 in the protocol's description.
func TestEachShapeOfAMessageLeaves(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		w := joinAsLeaf(t, s, leafConnect, packed)
		w.say("LS+ sp.one\r\nLS+ sp.q grp 3\r\nLS+ sp.q two 1\r\nLS+ sp.*\r\n")
		w.sync()
		c := s.newClient("")
		c.publish("sp.one", "", "", "hello")
		c.publish("sp.one", "rep.ly", "", "hello")
		c.publish("sp.one", "", headers, "hello")
		c.publish("sp.one", "rep.ly", headers, "")
		w.wants("LMSG sp.one 5\nhello", "LMSG sp.one rep.ly 5\nhello",
			"HMSG sp.one 24 29\n"+headers+"hello", "HMSG sp.one rep.ly 24 24\n"+headers)
		w.say("LS- sp.q two\r\nLS- sp.*\r\n")
		w.sync()
		c.publish("sp.q", "", "", "q1")
		c.publish("sp.q", "rep.ly", "", "q2")
		c.publish("sp.q", "", headers, "q3")
		c.publish("sp.q", "rep.ly", headers, "q4")
		w.wants("LMSG sp.q | grp 2\nq1", "LMSG sp.q + rep.ly grp 2\nq2",
			"HMSG sp.q | grp 24 26\n"+headers+"q3", "HMSG sp.q + rep.ly grp 24 26\n"+headers+"q4")
	})
}

func TestALeafWithoutHeadersGetsNone(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, strings.Replace(leafConnect, `"headers":true,`, "", 1), false)
	w.say("LS+ a\r\n")
	w.sync()
	s.newClient("").publish("a", "r", headers, "hello")
	w.wants("LMSG a r 5\nhello")
}

// TestEachShapeOfAMessageComesIn has the same the other way round.
func TestEachShapeOfAMessageComesIn(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		plain, member := s.newClient(""), s.newClient("")
		plain.subscribe("foo.bar", "")
		member.subscribe("work.*", "qg")
		w := joinAsLeaf(t, s, leafConnect, packed)
		w.say("LMSG foo.bar 2\r\nhi\r\nLMSG foo.bar my.reply 2\r\nhi\r\nHMSG foo.bar 24 26\r\n" + headers + "hi\r\n" +
			"HMSG foo.bar my.reply 24 26\r\n" + headers + "hi\r\n")
		block := fmt.Sprintf(" %q", headers)
		plain.wants("foo.bar: hi", "foo.bar my.reply: hi", "foo.bar"+block+": hi", "foo.bar my.reply"+block+": hi")
		w.say("LMSG work.1 2\r\nno\r\nLMSG work.1 | nope 2\r\nno\r\nLMSG work.1 | qg 2\r\nhi\r\nLMSG work.1 + my.reply other qg 2\r\nhi\r\n" +
			"HMSG work.1 | qg 24 26\r\n" + headers + "hi\r\nHMSG work.1 + my.reply qg 24 26\r\n" + headers + "hi\r\n")
		member.wants("work.1: hi", "work.1 my.reply: hi", "work.1"+block+": hi", "work.1 my.reply"+block+": hi")
		w.say("LMSG a..b 2\r\nno\r\nlmsg foo.bar 0\r\n\r\n+OK\r\n")
		plain.wants("foo.bar: ")
		w.sync()
		plain.hasNothing()
		member.hasNothing()
	})
}

// TestTheOriginalSubjectIsShown is 13.1: how a JetStream server delivers over a leaf link.
func TestTheOriginalSubjectIsShown(t *testing.T) {
	s := newSite(t, "site", nil)
	c := s.newClient("")
	c.subscribe("_INBOX.c", "")
	other := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"other"`), false)
	other.say("LS+ _INBOX.*\r\n")
	other.sync()
	w := joinAsLeaf(t, s, leafConnect, false)
	const ack = "$JS.ACK.ORD.C1.1.1.1.1795342767373885775.1"
	w.say("LMSG _INBOX.c " + ack + "@ord.1 5\r\nhello\r\n")
	c.wants("ord.1 " + ack + ": hello")
	if got, want := other.until("LMSG "), "LMSG _INBOX.c "+ack+"@ord.1 5\nhello"; got != want {
		t.Errorf("passed on as %q, want %q", got, want)
	}
}

// TestOperationsMayBeCutAnywhere sends the same operations in two pieces, for each place to cut, and byte
// by byte.
func TestOperationsMayBeCutAnywhere(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		c := s.newClient("")
		c.subscribe("foo.*", "q")
		c.subscribe("foo.bar", "")
		w := joinAsLeaf(t, s, leafConnect, packed)
		text := "LS+ x.y\r\nHMSG foo.bar + re.ply q 24 26\r\n" + headers + "hi\r\nLS- x.y\r\nLMSG foo.bar 4\r\n\r\n\r\n\r\nLMSG foo.x | q 1\r\n1\r\n"
		block := fmt.Sprintf(" %q", headers)
		want := []string{"foo.bar re.ply" + block + ": hi", "foo.bar re.ply" + block + ": hi", "foo.bar: \r\n\r\n", "foo.x: 1"}
		for at := range len(text) {
			w.say(text[:at])
			// Where there is no compression, only an answer between the two makes two reads of them.
			if at > 0 && !packed && (at < 9 || strings.HasSuffix(text[:at], "\n")) {
				eventually(t, "the first part is read", func() bool { return true })
			}
			w.say(text[at:])
			c.wants(want...)
		}
		for i := range len(text) {
			w.say(text[i : i+1])
		}
		c.wants(want...)
		w.sync()
		c.hasNothing()
	})
}

// TestDataMayBeCutAnywhere hands the pieces to the link itself, so that each is a call of its own: the
// engine's way of keeping what is not used is part of it.
func TestDataMayBeCutAnywhere(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		c := s.newClient("")
		c.subscribe("foo.*", "q")
		c.subscribe("foo.bar", "")
		block := fmt.Sprintf(" %q", headers)
		want := []string{"foo.bar re.ply" + block + ": hi", "foo.bar re.ply" + block + ": hi", "foo.bar: \r\n\r\n", "foo.x: 1"}
		k := ownLink(t, s, packed)
		stream := []byte("LS+ x.y\r\nHMSG foo.bar + re.ply q 24 26\r\n" + headers + "hi\r\nLS- x.y\r\nLMSG foo.bar 4\r\n\r\n\r\n\r\nLMSG foo.x | q 1\r\n1\r\n")
		if packed {
			// Chunks that end in the middle of operations.
			var e encoder
			var out []byte
			for at := 0; at < len(stream); at += 7 {
				out = e.append(out, stream[at:min(at+7, len(stream))], ModeFast)
			}
			stream = out
		}
		k.onLoop(func(l *engine.Loop) {
			for at := range len(stream) {
				k.decoder = decoder{}
				k.feed(l, stream[:at], stream[at:])
			}
			k.decoder = decoder{}
			var pieces [][]byte
			for i := range stream {
				pieces = append(pieces, stream[i:i+1])
			}
			k.feed(l, pieces...)
		})
		for range len(stream) + 1 {
			c.wants(want...)
		}
		c.hasNothing()
	})
}

// An owned is a link of a site that a test may call as its owner does.
type owned struct {
	*link
	t testing.TB
	w *wire
}

// ownLink is a leaf's link, whose other side says nothing but PONGs by itself.
func ownLink(t testing.TB, s *site, packed bool) *owned {
	t.Helper()
	w := joinAsLeaf(t, s, leafConnect, packed)
	s.links(1)
	return &owned{link: s.n.all()[0], t: t, w: w}
}

// onLoop runs f where Data runs.
func (o *owned) onLoop(f func(l *engine.Loop)) {
	o.t.Helper()
	done := make(chan struct{})
	o.conn.Post(func(l *engine.Loop) {
		defer close(done)
		f(l)
		l.Local().(*broker.Lane).Flush()
	})
	select {
	case <-done:
	case <-time.After(patience):
		o.t.Fatal("the loop does not come to it")
	}
}

// feed calls Data with pieces as the engine does.
func (o *owned) feed(l *engine.Loop, pieces ...[]byte) {
	var rest []byte
	for _, piece := range pieces {
		rest = append(rest, piece...)
		for len(rest) > 0 {
			used, err := o.Data(l, rest)
			if err != nil {
				o.t.Errorf("%v, at %q", err, rest)
				return
			}
			rest = rest[used:]
			if used == 0 {
				break
			}
		}
	}
	if len(rest) > 0 {
		o.t.Errorf("%q is left", rest)
	}
}

func TestInterestOfTheOtherSide(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		w := joinAsLeaf(t, s, leafConnect, packed)
		c := s.newClient("")
		w.say("LS+ a\r\nLS+ a\r\nLS+ b g 2\r\nLS+ b g 5\r\nLS- nothing\r\nLS- a g\r\n")
		w.sync()
		if n := s.links(1)[0].Subscriptions; n != 2 {
			t.Errorf("%d subscriptions, want 2", n)
		}
		if n := c.publish("a", "", "", "1"); n != 1 {
			t.Errorf("delivered %d, want 1", n)
		}
		w.say("LS- a\r\nLS- b g\r\n")
		w.sync()
		if n := c.publish("a", "", "", "2"); n != 0 {
			t.Errorf("delivered %d after LS-", n)
		}
		w.say("LS+ a..b\r\n")
		if got := w.until("-ERR"); got != "-ERR 'Invalid Subscription'" {
			t.Errorf("got %q", got)
		}
		w.sync() // it is still there
	})
}

// TestInterestIsToldBeforeMessages checks that a reply cannot overtake the interest that it needs.
func TestInterestIsToldBeforeMessages(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, false)
	w.say("LS+ svc\r\n")
	w.sync()
	c := s.newClient("")
	for i := range 100 {
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
		if total := int(shown.Dropped) + kept + shown.UnconfirmedMsgs; total != messages || s.drops("", broker.SlowPeer) != shown.Dropped {
			t.Errorf("%d in flight, %d wait, %d dropped, %d counted", shown.UnconfirmedMsgs, kept, shown.Dropped, s.drops("", broker.SlowPeer))
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

// messageOf is the next message.
func messageOf(w *wire) string {
	w.t.Helper()
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

func TestTheSameAgainOverAndOver(t *testing.T) {
	// PINGs in their thousands, packed into next to nothing, with messages between them: everybody
	// else on the loop has their turn meanwhile, and what is kept for the link stays small.
	s := newSite(t, "site", nil)
	k := ownLink(t, s, true)
	const chunks = 200
	bomb := []byte(strings.Repeat("LS- a\r\n", maxBlock/7))
	var stream []byte
	stream = append(stream, streamIdentifier...)
	chunk := chunkOf(bomb)
	for range chunks {
		stream = append(stream, chunk...)
	}
	turns := 0
	var longest time.Duration
	k.onLoop(func(l *engine.Loop) {
		k.decoder = decoder{}
		for len(stream) > 0 && turns < 10 {
			begin := time.Now()
			used, err := k.Data(l, stream)
			if err != nil {
				t.Error(err)
				return
			}
			longest = max(longest, time.Since(begin))
			stream = stream[used:]
			turns++
		}
		k.skip, k.carry = 0, nil
		k.decoder.release()
		k.decoder = decoder{}
	})
	if turns < 10 {
		t.Errorf("%d bytes that unpack to %d MiB took %d turns", chunks*len(chunk), chunks, turns)
	}
	if longest > 500*time.Millisecond {
		t.Errorf("one turn took %v", longest)
	}
}

// chunkOf is one chunk with all of data.
func chunkOf(data []byte) []byte {
	body := s2.EncodeBest(nil, data)
	chunk := make([]byte, chunkHead+chunkSum, chunkHead+chunkSum+len(body))
	putHead(chunk, chunkCompressed, len(body), sumOf(data))
	return append(chunk, body...)
}

func TestADeadPeerIsNoticed(t *testing.T) {
	s := newSite(t, "site", nil)
	s.hurry(func(set *settings) { set.DeadAfter = 400 * time.Millisecond })
	w := joinAsLeaf(t, s, leafConnect, false)
	w.quiet = true
	s.links(1)
	began := time.Now()
	ops := w.ended()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if last := ops[len(ops)-1]; last != "-ERR 'Stale Connection'" {
		t.Errorf("it ended with %q", ops)
	}
	s.links(0)
	if !s.log.has("the line is dead or blocked") {
		t.Error("the log does not say why")
	}
}

// TestAnyByteIsLife: a peer that is in the middle of a message that takes long cannot answer.
func TestAnyByteIsLife(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		const dead = 400 * time.Millisecond
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
		// In pieces, for three times as long as a silent one may live.
		const pieces = 60
		tick := time.NewTicker(3 * dead / pieces)
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

func TestGarbageEndsOnlyTheLink(t *testing.T) {
	for name, text := range map[string]string{
		"unknown operation": "HELLO\r\n",
		"payload too long":  "LMSG a 1\r\nxyz\r\n",
		"queue, no weight":  "LS+ a b\r\n",
		"sizes":             "HMSG a 9 3\r\nabc\r\n",
		"too large":         "LMSG a 99999999\r\n",
		"endless line":      "LS+ " + strings.Repeat("x", 200_000),
	} {
		t.Run(name, func(t *testing.T) {
			packings(t, func(t *testing.T, packed bool) {
				s := newSite(t, "site", nil)
				w := joinAsLeaf(t, s, leafConnect, packed)
				s.links(1)
				w.try(text)
				w.ended()
				s.links(0)
				joinAsLeaf(t, s, leafConnect, packed).sync()
			})
		})
	}
}

// TestNothingIsAllocatedForAMessage covers both directions, with compression and without.
func TestNothingIsAllocatedForAMessage(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		k := ownLink(t, s, packed)
		// The other side takes everything and answers.
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				if _, err := k.w.next(); err != nil {
					return
				}
			}
		})
		defer reading.Wait()
		defer k.w.conn.Close()
		far := s.n.all()[0].peer
		mustSubscribe(t, far, "out", "", 0)
		local := localPeer(s.b.Account(""))
		mustSubscribe(t, local, "in", "", 0)
		out := &broker.Msg{Subject: []byte("out"), Reply: []byte("r"), Payload: make([]byte, 100)}
		in := []byte(strings.Repeat("LMSG in reply 16\r\n0123456789abcdef\r\n", 50))
		stream := in
		if packed {
			var e encoder
			e.isBegun = true
			stream = e.append(nil, in, ModeFast)
		}
		k.onLoop(func(l *engine.Loop) {
			if n := testing.AllocsPerRun(200, func() {
				for range 10 {
					if !k.Deliver(out, nil) {
						t.Error("refused")
					}
				}
				k.Wake(false)
				// The window is not to close: a receipt comes at once.
				k.mu.Lock()
				for k.receipts.unanswered > 0 {
					k.receipts.pong(engine.Now())
				}
				k.mu.Unlock()
			}); n > 0.1 {
				t.Errorf("%v allocations for 10 messages out", n)
			}
			k.decoder.isBegun = true
			if n := testing.AllocsPerRun(200, func() {
				if used, err := k.Data(l, stream); err != nil || used != len(stream) {
					t.Errorf("used %d of %d, %v", used, len(stream), err)
				}
				l.Local().(*broker.Lane).Flush()
			}); n > 0.1 {
				t.Errorf("%v allocations for 50 messages in", n)
			}
		})
	})
}

func TestAMessageOnItsWayWithAnotherSubjectIsNotAllocatedFor(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	s := newSite(t, "site", nil)
	k := ownLink(t, s, false)
	go func() {
		for {
			if _, err := k.w.next(); err != nil {
				return
			}
		}
	}()
	m := &broker.Msg{Subject: []byte("ord.1"), Route: []byte("deliver"), Reply: []byte("$JS.ACK.ORD.C1.1.1.1.1795342767373885775.1")}
	k.onLoop(func(*engine.Loop) {
		if n := testing.AllocsPerRun(100, func() {
			k.Deliver(m, nil)
			k.Wake(false)
		}); n > 0.1 {
			t.Errorf("%v allocations", n)
		}
	})
}

var _ net.Conn = (*prefixed)(nil)
