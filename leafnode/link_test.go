package leafnode

import (
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

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

// TestAMillionOperationsInAFewBytes are not carried out in one turn: others on the loop have theirs.
func TestAMillionOperationsInAFewBytes(t *testing.T) {
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
	quickest := time.Hour // of a busy machine some turn takes long for other reasons
	k.onLoop(func(l *engine.Loop) {
		k.decoder = decoder{}
		for len(stream) > 0 && turns < 10 {
			begin := time.Now()
			used, err := k.Data(l, stream)
			if err != nil {
				t.Error(err)
				return
			}
			quickest = min(quickest, time.Since(begin))
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
	if quickest > 500*time.Millisecond {
		t.Errorf("each turn took %v and more", quickest)
	}
}

// chunkOf is one chunk with all of data.
func chunkOf(data []byte) []byte {
	body := s2.EncodeBest(nil, data)
	chunk := make([]byte, chunkHead+chunkSum, chunkHead+chunkSum+len(body))
	putHead(chunk, chunkCompressed, len(body), sumOf(data))
	return append(chunk, body...)
}

func TestGarbageEndsOnlyTheLink(t *testing.T) {
	for name, c := range map[string]struct{ text, remedy string }{
		"unknown operation": {"HELLO\r\n", "does not keep to the leaf protocol"},
		"payload too long":  {"LMSG a 1\r\nxyz\r\n", "does not keep to the leaf protocol"},
		"queue, no weight":  {"LS+ a b\r\n", "does not keep to the leaf protocol"},
		"sizes":             {"HMSG a 9 3\r\nabc\r\n", "does not keep to the leaf protocol"},
		"too large":         {"LMSG a 99999999\r\n", "max_payload"},
		"endless line":      {"LS+ " + strings.Repeat("x", 200_000), "max_control_line"},
	} {
		t.Run(name, func(t *testing.T) {
			packings(t, func(t *testing.T, packed bool) {
				s := newSite(t, "site", nil)
				w := joinAsLeaf(t, s, leafConnect, packed)
				s.links(1)
				w.try(c.text)
				w.ended()
				s.links(0)
				eventually(t, "the log says "+c.remedy, func() bool { return strings.Contains(s.log.String(), c.remedy) })
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
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which empties pools
	packings(t, func(t *testing.T, packed bool) {
		s := newSite(t, "site", nil)
		k := ownLink(t, s, packed)
		// The other side takes everything, and allocates nothing for it, which would count.
		var reading sync.WaitGroup
		reading.Go(func() { io.Copy(io.Discard, k.w.conn) })
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
	// As above: whoever took each line by itself would allocate, whenever it got its turn.
	var reading sync.WaitGroup
	reading.Go(func() { io.Copy(io.Discard, k.w.conn) })
	defer reading.Wait()
	defer k.w.conn.Close()
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
