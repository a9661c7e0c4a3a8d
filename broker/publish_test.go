package broker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestPublishReachesWhoeverMatches(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	one, oneSink := attach(b, Traits{})
	two, twoSink := attach(b, Traits{})
	mustSubscribe(t, one, "a.*", "", "1")
	mustSubscribe(t, one, "a.>", "", "2")
	mustSubscribe(t, two, "a.b", "", "1")
	for _, c := range []struct {
		subject  string
		one, two []string
	}{
		{"a.b", []string{"a.b x>a.*", "a.b x>a.>"}, []string{"a.b x>a.b"}},
		{"a.b.c", []string{"a.b.c x>a.>"}, nil},
		{"a", nil, nil},
		{"a..b", nil, nil}, // an empty token matches nothing
		{"a.", nil, nil},
		{"", nil, nil},
		{"a.*", []string{"a.* x>a.*", "a.* x>a.>"}, nil}, // a wildcard published is a word like others
	} {
		for range 3 { // a miss, the sighting that makes a slot, a hit
			n := mustPublish(t, pub, l, c.subject, "x")
			got := oneSink.take()
			slices.Sort(got)
			if !slices.Equal(got, c.one) || !slices.Equal(twoSink.take(), c.two) || n != len(c.one)+len(c.two) {
				t.Errorf("publish %q: %d copies, first peer got %q, want %q and %q", c.subject, n, got, c.one, c.two)
			}
		}
	}
}

func TestRouteMatchesInPlaceOfSubject(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	sub, sink := attach(b, Traits{})
	mustSubscribe(t, sub, "deliver.here", "", "1")
	for range 3 {
		n, err := pub.Publish(l, &Msg{Subject: []byte("orders.1"), Route: []byte("deliver.here"), Payload: []byte("x")})
		if n != 1 || err != nil {
			t.Fatalf("delivered %d %v, want 1", n, err)
		}
		if got := sink.take(); !slices.Equal(got, []string{"orders.1 x>deliver.here"}) {
			t.Fatalf("got %q", got)
		}
	}
	if n := mustPublish(t, pub, l, "orders.1", "x"); n != 0 {
		t.Fatalf("the subject alone went to %d", n)
	}
}

func TestEchoIsWithheldOnRequest(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, sink := attach(b, Traits{NoEcho: true})
	mustSubscribe(t, p, "a", "", "1")
	mustSubscribe(t, p, "a", "q", "2")
	other, otherSink := attach(b, Traits{})
	for range 3 {
		if n := mustPublish(t, p, l, "a", "x"); n != 0 || len(sink.take()) != 0 {
			t.Fatalf("%d copies of its own message", n)
		}
	}
	if d := drops(b)["no_interest"]; d != 3 {
		t.Fatalf("no_interest is %d, want 3", d)
	}
	mustSubscribe(t, other, "a", "q", "1")
	for range 20 { // the group has another member, which must always be the one
		if n := mustPublish(t, p, l, "a", "x"); n != 1 {
			t.Fatalf("delivered %d, want 1", n)
		}
	}
	if got := otherSink.take(); len(got) != 20 {
		t.Fatalf("the other member got %d, want 20", len(got))
	}
	if n := mustPublish(t, other, l, "a", "x"); n != 2 {
		t.Fatalf("another's message: delivered %d, want 2", n)
	}
	p.SetNoEcho(false)
	sink.take()
	if n := mustPublish(t, p, l, "a", "x"); n != 2 {
		t.Fatalf("with echo: delivered %d, want 2", n)
	}
}

func TestEqualOriginIsNeverHandedOver(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	a1, _ := attach(b, Traits{Origin: 7})
	a2, a2Sink := attach(b, Traits{Origin: 7})
	other, otherSink := attach(b, Traits{Origin: 8})
	none, noneSink := attach(b, Traits{})
	for i, p := range []*Peer{a2, other, none} {
		mustSubscribe(t, p, "x", "", strconv.Itoa(i))
	}
	mustSubscribe(t, a2, "g", "q", "g")
	if n := mustPublish(t, a1, l, "x", ""); n != 2 || len(a2Sink.take()) != 0 ||
		len(otherSink.take()) != 1 || len(noneSink.take()) != 1 {
		t.Errorf("delivered %d, want 2 and none to the equal origin", n)
	}
	if n := mustPublish(t, a1, l, "g", ""); n != 0 {
		t.Errorf("a queue member of equal origin was handed the message")
	}
	if n := mustPublish(t, none, l, "x", ""); n != 3 {
		t.Errorf("from nowhere in particular: delivered %d, want 3", n)
	}
}

func TestQueueNameAloneIsTheGroup(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	var sinks []*fakeSink
	for i, filter := range []string{"foo.*", "foo.bar", "foo.>"} {
		p, s := attach(b, Traits{})
		mustSubscribe(t, p, filter, "q", strconv.Itoa(i))
		sinks = append(sinks, s)
	}
	p, otherGroup := attach(b, Traits{})
	mustSubscribe(t, p, "foo.bar", "r", "1")
	const rounds = 600
	for range rounds {
		if n := mustPublish(t, pub, l, "foo.bar", "x"); n != 2 {
			t.Fatalf("delivered %d, want one for each of two groups", n)
		}
	}
	for i, s := range sinks {
		// Each expects 200; 100 is more than eight standard deviations away.
		if n := len(s.take()); n < 100 {
			t.Errorf("member %d got %d of %d", i, n, rounds)
		}
	}
	if n := len(otherGroup.take()); n != rounds {
		t.Errorf("the other group got %d, want %d", n, rounds)
	}
}

func TestRefusingMemberPassesOn(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	p1, s1 := attach(b, Traits{})
	p2, s2 := attach(b, Traits{})
	mustSubscribe(t, p1, "a", "q", "1")
	mustSubscribe(t, p2, "a", "q", "1")
	s1.refuse = true
	for range 50 {
		if n := mustPublish(t, pub, l, "a", "x"); n != 1 {
			t.Fatal("lost, though another member was there")
		}
	}
	if n := len(s2.take()); n != 50 {
		t.Errorf("the willing one got %d, want 50", n)
	}
	if d := drops(b); d["slow_peer"] != 0 {
		t.Errorf("counted as lost: %v", d)
	}
	s2.refuse = true
	if n := mustPublish(t, pub, l, "a", "x"); n != 0 {
		t.Errorf("delivered %d to members that refuse", n)
	}
	if d := drops(b); d["slow_peer"] != 1 || d["no_interest"] != 0 {
		t.Errorf("drops %v, want one slow_peer", d)
	}
}

func drops(b *Broker) map[string]uint64 { return b.Account("").Snapshot().Drops }

func TestEachLossIsCountedUnderItsReason(t *testing.T) {
	for why := NoInterest; why < reasons; why++ {
		t.Run(why.String(), func(t *testing.T) {
			b := New(Options{})
			l := b.NewLane()
			pub, _ := attach(b, Traits{})
			sub, sink := attach(b, Traits{})
			sink.refuse = true
			switch why {
			case NoInterest:
			case SlowPeer:
				mustSubscribe(t, sub, "a", "", "1")
			case Closing:
				mustSubscribe(t, sub, "a", "", "1")
				sub.closed.Store(true) // as in the midst of Detach
			default:
				mustSubscribe(t, sub, "a", "", "1")
				sink.why = why
			}
			for range 3 {
				mustPublish(t, pub, l, "a", "x")
			}
			b.Account("").Drop(why, 2)
			for name, n := range drops(b) {
				if want := map[bool]uint64{true: 5}[name == why.String()]; n != want {
					t.Errorf("%s is %d, want %d", name, n, want)
				}
			}
			l.Close()
			if n := drops(b)[why.String()]; n != 5 {
				t.Errorf("after the lane is closed %d, want 5", n)
			}
		})
	}
}

func TestAutoUnsubscribeEndsAtTheCount(t *testing.T) {
	for _, c := range []struct {
		before int // messages before UNSUB
		max    uint64
		want   int // messages in all
	}{
		{0, 1, 1}, {0, 3, 3}, {2, 3, 3}, {3, 3, 3}, {5, 3, 5}, {0, 1 << 40, 10},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			b := New(Options{})
			l := b.NewLane()
			pub, _ := attach(b, Traits{})
			p, sink := attach(b, Traits{})
			s := mustSubscribe(t, p, "a", "", "1")
			for range c.before {
				mustPublish(t, pub, l, "a", "x")
			}
			p.Unsubscribe(s, c.max)
			if want := c.max % (1 << 32); s.Max() != want {
				t.Errorf("Max is %d, want %d", s.Max(), want)
			}
			if reached := uint64(c.before) >= c.max; s.Closed() != reached {
				t.Errorf("closed at once is %v, want %v", s.Closed(), reached)
			}
			for range 10 - c.before {
				mustPublish(t, pub, l, "a", "x")
			}
			if n := len(sink.take()); n != c.want || s.Delivered() != uint64(c.want) {
				t.Errorf("got %d, Delivered %d, want %d", n, s.Delivered(), c.want)
			}
			gone := p.Find("1") == nil && p.account.index.Len() == 0 && len(p.subs) == 0
			if want := c.want < 10; gone != want {
				t.Errorf("gone is %v, want %v", gone, want)
			}
		})
	}
}

func TestTakeCountsOnlyWhatIsGiven(t *testing.T) {
	b := New(Options{})
	p, _ := attach(b, Traits{})
	s := mustSubscribe(t, p, "a", "", "1")
	for range 5 {
		s.Take()
	}
	s.max.Store(3) // as between the two halves of an Unsubscribe that came late
	if s.Take() || s.Take() || s.Delivered() != 5 || !s.Closed() {
		t.Errorf("Delivered %d, closed %v; want 5 and true", s.Delivered(), s.Closed())
	}
	long := mustSubscribe(t, p, "a", "", "2")
	long.taken.Store(1<<32 - 1)
	if !long.Take() || long.Delivered() != 1<<32 {
		t.Errorf("Delivered %d after 1<<32", long.Delivered())
	}
	p.Unsubscribe(long, 10)
	if !long.Closed() {
		t.Error("the upper half was forgotten")
	}
}

func TestTagOfASpentSubscriptionIsFree(t *testing.T) {
	for _, others := range []int{0, fewSubs + 3} { // found in a list, and in a map
		b := New(Options{})
		p, _ := attach(b, Traits{})
		for i := range others {
			mustSubscribe(t, p, "other", "", "other"+strconv.Itoa(i))
		}
		testTagOfASpentSubscription(t, p)
	}
}

func testTagOfASpentSubscription(t *testing.T, p *Peer) {
	old := mustSubscribe(t, p, "a", "", "1")
	if again, err := p.Subscribe("b", "", "1"); again != old || !errors.Is(err, ErrTagInUse) {
		t.Fatalf("a live tag: %v %v", again, err)
	}
	p.Unsubscribe(old, 1)
	old.Take() // the last message, of a Publish that has not come to its end yet
	if p.Find("1") != nil || p.FindBytes([]byte("1")) != nil {
		t.Fatal("a spent subscription was found")
	}
	fresh := mustSubscribe(t, p, "b", "", "1")
	p.Unsubscribe(old, 0)
	if p.Find("1") != fresh || p.FindBytes([]byte("1")) != fresh {
		t.Fatal("removing the old one took the new one along")
	}
}

func TestFindSurvivesManySubscriptions(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	subs := map[string]*Sub{}
	for i := range 100 {
		tag := strconv.Itoa(i)
		subs[tag] = mustSubscribe(t, p, "a."+tag, "", tag)
	}
	for i := 0; i < 100; i += 3 {
		tag := strconv.Itoa(i)
		p.Unsubscribe(subs[tag], 0)
		delete(subs, tag)
	}
	seen := 0
	p.Subs(func(s *Sub) {
		seen++
		if subs[s.Tag()] != s {
			t.Errorf("Subs shows %q, which is gone", s.Tag())
		}
	})
	for tag, s := range subs {
		if p.Find(tag) != s || p.FindBytes([]byte(tag)) != s {
			t.Errorf("%q is not found", tag)
		}
		if own := p.OwnInterest(l, []byte("a."+tag)); own != s {
			t.Errorf("own interest in a.%s is %v", tag, own)
		}
	}
	if p.Find("0") != nil || p.Find("") != nil || seen != len(subs) || p.OwnInterest(l, []byte("a.0")) != nil {
		t.Errorf("saw %d of %d, or one that is gone", seen, len(subs))
	}
}

func TestOwnInterestIsPlainAndOwn(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	other, _ := attach(b, Traits{})
	mustSubscribe(t, other, "r.x", "", "1")
	mustSubscribe(t, p, "r.x", "q", "1")
	if p.OwnInterest(l, []byte("r.x")) != nil {
		t.Error("a queue subscription or another peer's counted")
	}
	want := mustSubscribe(t, p, "r.*", "", "2")
	if p.OwnInterest(l, []byte("r.x")) != want || p.OwnInterest(l, []byte("r")) != nil {
		t.Error("the wildcard was not found, or too much was")
	}
}

func TestSubscribeRefusals(t *testing.T) {
	b := New(Options{MaxSubscriptions: 2, MaxTokens: 3})
	p, _ := attach(b, Traits{})
	for _, c := range []struct {
		filter string
		want   error
	}{
		{"", ErrInvalidSubject}, {"a..b", ErrInvalidSubject}, {".a", ErrInvalidSubject}, {"a.", ErrInvalidSubject},
		{"a.>.b", ErrInvalidSubject}, {"a.b.c.d", ErrTooManyTokens}, {"a.*.>", nil}, {"foo*", nil}, {"f", ErrMaxSubscriptions},
	} {
		if _, err := p.Subscribe(c.filter, "", c.filter); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.filter, err, c.want)
		}
	}
	link, _ := attach(b, Traits{Remote: true})
	for _, filter := range []string{"a.b.c.d", "b", "c"} {
		mustSubscribe(t, link, filter, "", filter) // bounds are for clients
	}
	p.Unsubscribe(p.Find("foo*"), 0)
	mustSubscribe(t, p, "f", "", "f")
	b.Reload(Options{MaxSubscriptions: 3})
	mustSubscribe(t, p, "a.b.c.d", "", "d")
	p.Detach()
	if _, err := p.Subscribe("g", "", "g"); !errors.Is(err, ErrDetached) {
		t.Errorf("after Detach: %v", err)
	}
}

func TestFlushWakesEachSinkOnce(t *testing.T) {
	for _, lanes := range []int{1, touchLanes + 1} { // the last one has no bit of its own
		b := New(Options{})
		var l *Lane
		for range lanes {
			l = b.NewLane()
		}
		pub, pubSink := attach(b, Traits{})
		p, sink := attach(b, Traits{})
		mustSubscribe(t, p, "a", "", "1")
		mustSubscribe(t, p, ">", "", "2")
		for range 2 {
			mustPublish(t, pub, l, "a", "x")
			mustPublish(t, pub, l, "a", "x")
			l.Flush()
			l.Flush()
		}
		if sink.wakes != 2 || sink.soon != 0 || pubSink.wakes != 0 {
			t.Errorf("%d lanes: woken %d times (%d soon), publisher %d", lanes, sink.wakes, sink.soon, pubSink.wakes)
		}
	}
}

func TestFlushLeavesManyToTheirLoops(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	var sinks []*fakeSink
	for range maxWakes + 1 {
		p, s := attach(b, Traits{})
		mustSubscribe(t, p, "a", "", "1")
		sinks = append(sinks, s)
	}
	mustPublish(t, pub, l, "a", "x")
	l.Flush()
	for i, s := range sinks {
		if s.wakes != 1 || s.soon != 1 {
			t.Fatalf("sink %d woken %d times, %d soon", i, s.wakes, s.soon)
		}
	}
}

func TestSlowReaderRestsItsPublisher(t *testing.T) {
	const rest = 2 * time.Millisecond
	for _, c := range []struct {
		name   string
		traits Traits
		own    bool
		want   int
	}{
		{"publisher", Traits{}, false, 1},
		{"link", Traits{Remote: true}, false, 0},
		{"itself", Traits{}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(Options{})
			l := b.NewLane()
			pub, pubSink := attach(b, c.traits)
			p, sink := attach(b, Traits{})
			if c.own {
				p, sink = pub, pubSink
			}
			sink.rest = rest
			mustSubscribe(t, p, "a", "", "1")
			mustPublish(t, pub, l, "a", "x")
			l.Flush()
			if len(pubSink.rested) != c.want {
				t.Errorf("rested %v, want %d times", pubSink.rested, c.want)
			}
		})
	}
}

func TestLaneIsFullAfterAGreatDeal(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	mustSubscribe(t, p, "a", "", "1")
	m := &Msg{Subject: []byte("a"), Payload: make([]byte, fullBytes/2)}
	p.Publish(l, m)
	if l.Full() {
		t.Fatal("full at half")
	}
	p.Publish(l, m)
	if !l.Full() {
		t.Fatal("not full")
	}
	l.Flush()
	if l.Full() {
		t.Fatal("full after a flush")
	}
}

func TestLaneIdsAreUsedAgain(t *testing.T) {
	b := New(Options{})
	var lanes []*Lane
	for range touchLanes {
		lanes = append(lanes, b.NewLane())
	}
	bit := lanes[5].bit
	lanes[5].Close()
	if again := b.NewLane(); again.bit != bit {
		t.Errorf("the new lane has bit %x, want %x", again.bit, bit)
	}
	if late := b.NewLane(); late.bit != 0 {
		t.Errorf("one lane too many has bit %x", late.bit)
	}
}
