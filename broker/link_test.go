package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// far attaches a link with a sink that notes the groups it was chosen for.
func far(b *Broker) (*Peer, *linkSink) {
	s := new(linkSink)
	return b.Account("").Attach(nil, s, Traits{Remote: true}), s
}

// linkSink notes "subject queues" of each call.
type linkSink struct {
	got    []string
	refuse bool
}

func (s *linkSink) Deliver(m *Msg, _ *Sub) bool {
	if s.refuse {
		return false
	}
	s.got = append(s.got, strings.TrimSpace(fmt.Sprintf("%s %s", m.Subject, strings.Join(m.Queues, ","))))
	return true
}

func (s *linkSink) Wake(bool) time.Duration { return 0 }

func (s *linkSink) take() []string {
	got := s.got
	s.got = nil
	return got
}

func TestLinkIsCalledOnceForEverythingItWants(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	link, sink := far(b)
	for _, s := range [][2]string{{"a.b", ""}, {"a.*", ""}, {"a.b", "q"}, {"a.>", "q"}, {"a.b", "r"}, {"only", "q"}, {"p.b", ""}, {"p.*", ""}} {
		mustSubscribe(t, link, s[0], s[1], s[0]+" "+s[1])
	}
	for range 3 {
		if n := mustPublish(t, pub, l, "a.b", "x"); n != 1 {
			t.Fatalf("delivered %d, want one call", n)
		}
		got := sink.take()
		if len(got) != 1 || got[0] != "a.b q,r" && got[0] != "a.b r,q" {
			t.Fatalf("called with %q", got)
		}
		mustPublish(t, pub, l, "a.c", "x")
		mustPublish(t, pub, l, "only", "x")
		mustPublish(t, pub, l, "p.b", "x")
		if got := sink.take(); !slices.Equal(got, []string{"a.c q", "only q", "p.b"}) {
			t.Fatalf("called with %q", got)
		}
	}
}

func TestLocalMembersComeBeforeRemoteOnes(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	link, linkSink := far(b)
	mustSubscribe(t, link, "a", "q", "1").SetWeight(1000)
	p, sink := attach(b, Traits{})
	local := mustSubscribe(t, p, "a", "q", "1")
	for range 20 {
		mustPublish(t, pub, l, "a", "x")
	}
	if near, away := len(sink.take()), len(linkSink.take()); near != 20 || away != 0 {
		t.Errorf("near %d, away %d; want 20 and 0", near, away)
	}
	sink.refuse = true
	if n := mustPublish(t, pub, l, "a", "x"); n != 1 || len(linkSink.take()) != 1 {
		t.Errorf("delivered %d; the link should have taken what the local member refused", n)
	}
	p.Unsubscribe(local, 0)
	if n := mustPublish(t, pub, l, "a", "x"); n != 1 || !slices.Equal(linkSink.take(), []string{"a q"}) {
		t.Errorf("delivered %d; the link alone should have it", n)
	}
}

func TestRemoteMembersShareByWeight(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	var sinks []*linkSink
	for _, weight := range []int32{6, 3, 1} {
		link, s := far(b)
		mustSubscribe(t, link, "a", "q", "1").SetWeight(weight)
		sinks = append(sinks, s)
	}
	const rounds = 10000
	for range rounds {
		if n := mustPublish(t, pub, l, "a", "x"); n != 1 {
			t.Fatalf("delivered %d, want 1", n)
		}
	}
	for i, share := range []int{6000, 3000, 1000} {
		// 300 is more than six standard deviations of the largest.
		if n := len(sinks[i].take()); n < share-300 || n > share+300 {
			t.Errorf("link %d got %d, want about %d", i, n, share)
		}
	}
}

func TestRefusingLinkPassesItsGroupsOn(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	first, firstSink := far(b)
	second, secondSink := far(b)
	for _, link := range []*Peer{first, second} {
		mustSubscribe(t, link, "a", "q", "q")
		mustSubscribe(t, link, "a", "r", "r")
	}
	firstSink.refuse = true
	lost := 0
	for range 100 {
		mustPublish(t, pub, l, "a", "x")
		groups := 0
		for _, call := range secondSink.take() {
			groups += len(strings.Split(strings.TrimPrefix(call, "a "), ","))
		}
		lost += 2 - groups
		if groups == 0 {
			t.Fatal("the willing link got nothing")
		}
	}
	// Where the willing link had been called first, for one group, the other group is lost: a
	// second call for the same message would deliver twice behind it.
	if got := drops(b)["slow_peer"]; got != uint64(lost) {
		t.Errorf("%d lost, %d counted", lost, got)
	}
	if lost > 60 {
		t.Errorf("%d of 200 lost", lost)
	}
	secondSink.refuse = true
	before := drops(b)["slow_peer"]
	if n := mustPublish(t, pub, l, "a", "x"); n != 0 || drops(b)["slow_peer"] != before+2 {
		t.Errorf("delivered %d, lost %d more; want 0 and 2", n, drops(b)["slow_peer"]-before)
	}
}

func TestQueuesInwardChooseTheGroups(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, sink := attach(b, Traits{})
	mustSubscribe(t, p, "a", "", "0")
	mustSubscribe(t, p, "a", "q", "1")
	mustSubscribe(t, p, "a", "r", "2")
	link, _ := far(b)
	local, _ := attach(b, Traits{})
	for _, c := range []struct {
		from   *Peer
		queues []string
		want   []string
	}{
		{link, nil, []string{"a >a"}},
		{link, []string{"q"}, []string{"a >a", "a >a q"}},
		{link, []string{"r", "unknown", "q"}, []string{"a >a", "a >a q", "a >a r"}},
		{local, nil, []string{"a >a", "a >a q", "a >a r"}},
		{local, []string{"r"}, []string{"a >a", "a >a r"}},
	} {
		m := &Msg{Subject: []byte("a"), Queues: c.queues}
		n, err := c.from.Publish(l, m)
		got := sink.take()
		slices.Sort(got)
		if !slices.Equal(got, c.want) || n != len(c.want) || err != nil {
			t.Errorf("queues %q: got %q, want %q", c.queues, got, c.want)
		}
		if !slices.Equal(m.Queues, c.queues) {
			t.Errorf("the message has queues %q afterwards, had %q", m.Queues, c.queues)
		}
	}
}

func TestMsgIsAsBeforeAfterACallOfLinks(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	link, sink := far(b)
	mustSubscribe(t, link, "a", "", "1")
	mustSubscribe(t, link, "a", "q", "2")
	mustSubscribe(t, link, "a", "r", "3")
	m := &Msg{Subject: []byte("a")}
	for range 3 { // a session uses one Msg again and again
		if n, err := pub.Publish(l, m); n != 1 || err != nil || m.Queues != nil {
			t.Fatalf("delivered %d %v, queues are %q", n, err, m.Queues)
		}
		if got := sink.take(); len(got) != 1 || len(got[0]) != len("a q,r") {
			t.Fatalf("called with %q", got)
		}
	}
}

func TestLinkIsNeverHandedItsOwn(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	one, oneSink := far(b)
	two, twoSink := far(b)
	for _, link := range []*Peer{one, two} {
		mustSubscribe(t, link, "a", "", "1")
		mustSubscribe(t, link, "a", "q", "2")
	}
	for range 20 {
		one.Publish(l, &Msg{Subject: []byte("a"), Queues: []string{"q"}})
	}
	if own, other := oneSink.take(), twoSink.take(); len(own) != 0 || len(other) != 20 || other[0] != "a q" {
		t.Errorf("own %d, other %d %q", len(own), len(other), other)
	}
}

// fakeLink joins two brokers as a leaf connection does: it watches one side's interest, subscribes
// to it on the other, and publishes what comes there.
type fakeLink struct {
	mu    sync.Mutex
	queue []func() // what is still to be done, in order
}

// linkEnd is the link's peer on one side. What is delivered to it goes to the other end.
type linkEnd struct {
	link  *fakeLink
	peer  *Peer
	lane  *Lane
	other *linkEnd
}

func (e *linkEnd) Deliver(m *Msg, _ *Sub) bool {
	frame := &Msg{Subject: slices.Clone(m.Subject), Reply: slices.Clone(m.Reply),
		Payload: slices.Clone(m.Payload), Queues: slices.Clone(m.Queues)}
	e.link.do(func() { e.other.peer.Publish(e.other.lane, frame) })
	return true
}

func (e *linkEnd) Wake(bool) time.Duration { return 0 }

func (k *fakeLink) do(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue = append(k.queue, f)
}

// run does what is queued until nothing is left.
func (k *fakeLink) run(t *testing.T) {
	for range 10000 {
		k.mu.Lock()
		if len(k.queue) == 0 {
			k.mu.Unlock()
			return
		}
		f := k.queue[0]
		k.queue = k.queue[1:]
		k.mu.Unlock()
		f()
	}
	t.Fatal("the link never comes to rest: a loop")
}

// watch keeps the other end's subscriptions in step with this end's interest.
func (e *linkEnd) watch(t *testing.T) {
	counts := map[[2]string]int32{}
	e.peer.Account().Watch(func(i Interest) {
		if i.Sub.Peer() == e.peer {
			return // its own
		}
		e.link.do(func() {
			key := [2]string{i.Subject, i.Queue}
			counts[key] += i.Delta
			tag := i.Subject + " " + i.Queue
			sub := e.other.peer.Find(tag)
			switch {
			case counts[key] == 0:
				e.other.peer.Unsubscribe(sub, 0)
			case sub == nil:
				mustSubscribe(t, e.other.peer, i.Subject, i.Queue, tag).SetWeight(counts[key])
			default:
				sub.SetWeight(counts[key])
			}
		})
	})
}

// join ties two brokers together.
func join(t *testing.T, one, two *Broker) *fakeLink {
	k := new(fakeLink)
	a, b := &linkEnd{link: k, lane: one.NewLane()}, &linkEnd{link: k, lane: two.NewLane()}
	a.other, b.other = b, a
	a.peer = one.Account("").Attach(nil, a, Traits{Remote: true, NoEcho: true})
	b.peer = two.Account("").Attach(nil, b, Traits{Remote: true, NoEcho: true})
	a.watch(t)
	b.watch(t)
	k.run(t)
	return k
}

func TestTwoBrokersJoinedByALink(t *testing.T) {
	here, there := New(Options{}), New(Options{})
	early, earlySink := attach(there, Traits{})
	mustSubscribe(t, early, "cmd.*", "", "1") // before the link is there
	k := join(t, here, there)
	pub, pubSink := attach(here, Traits{})
	l := here.NewLane()

	mustPublish(t, pub, l, "cmd.stop", "now")
	k.run(t)
	if got := earlySink.take(); !slices.Equal(got, []string{"cmd.stop now>cmd.*"}) {
		t.Errorf("over the link came %q", got)
	}
	// A request and its answer, each on its own side.
	mustSubscribe(t, pub, "_INBOX.1", "", "in")
	k.run(t)
	pub.Publish(l, &Msg{Subject: []byte("cmd.ask"), Reply: []byte("_INBOX.1")})
	k.run(t)
	if string(earlySink.lastMsg.Reply) != "_INBOX.1" {
		t.Fatalf("the reply subject came as %q", earlySink.lastMsg.Reply)
	}
	mustPublish(t, early, there.NewLane(), "_INBOX.1", "fine")
	k.run(t)
	if got := pubSink.take(); !slices.Equal(got, []string{"_INBOX.1 fine>_INBOX.1"}) {
		t.Errorf("the answer came as %q", got)
	}
	// A queue group with members on the other side only, then on both.
	worker, workerSink := attach(there, Traits{})
	mustSubscribe(t, worker, "job", "w", "1")
	mustSubscribe(t, worker, "job", "w", "2")
	k.run(t)
	for range 10 {
		mustPublish(t, pub, l, "job", "x")
	}
	k.run(t)
	if n := len(workerSink.take()); n != 10 {
		t.Errorf("the group on the other side got %d, want 10", n)
	}
	near, nearSink := attach(here, Traits{})
	mustSubscribe(t, near, "job", "w", "1")
	k.run(t)
	for range 10 {
		mustPublish(t, pub, l, "job", "x")
	}
	k.run(t)
	if a, b := len(nearSink.take()), len(workerSink.take()); a != 10 || b != 0 {
		t.Errorf("near %d, other side %d; want 10 and 0", a, b)
	}
	// When everybody has gone, nothing is left on either side.
	for _, p := range []*Peer{early, pub, worker, near} {
		p.Detach()
	}
	k.run(t)
	for _, b := range []*Broker{here, there} {
		if n := b.Account("").Snapshot().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	}
}

func TestLinksAreChosenForWhatLinksBring(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	one, oneSink := far(b)
	two, twoSink := far(b)
	near, nearSink := attach(b, Traits{})
	mustSubscribe(t, one, "a", "q", "1").SetWeight(1000)
	mustSubscribe(t, two, "a", "q", "1")
	local := mustSubscribe(t, near, "a", "q", "1")
	bring := func(queues ...string) int {
		n, err := one.Publish(l, &Msg{Subject: []byte("a"), Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 20 {
		bring("q")
	}
	if n, away := len(nearSink.take()), len(twoSink.take()); n != 20 || away != 0 {
		t.Errorf("near %d, the other link %d; want 20 and 0", n, away)
	}
	if n := bring(); n != 0 || len(nearSink.take())+len(twoSink.take()) != 0 {
		t.Errorf("delivered %d without a list of groups", n)
	}
	near.Unsubscribe(local, 0)
	if n := bring("q"); n != 1 || !slices.Equal(twoSink.take(), []string{"a q"}) {
		t.Errorf("delivered %d, want one to the other link", n)
	}
	two.Detach()
	if n := bring("q"); n != 0 || len(oneSink.take()) != 0 {
		t.Errorf("delivered %d; a link got back what it brought", n)
	}
	if n := drops(b)["slow_peer"]; n != 0 {
		t.Errorf("%d count as lost", n)
	}
}

func TestRouteChoosesLinksAndTheirGroups(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	from, _ := far(b)
	plain, plainSink := far(b)
	grouped, groupedSink := far(b)
	shown, shownSink := far(b)
	near, nearSink := attach(b, Traits{})
	mustSubscribe(t, plain, "deliver.*", "", "1")
	mustSubscribe(t, grouped, "deliver.x", "q", "1")
	mustSubscribe(t, shown, "orders.>", "", "1")
	mustSubscribe(t, near, "deliver.x", "", "1")
	n, err := from.Publish(l, &Msg{Subject: []byte("orders.1"), Route: []byte("deliver.x"), Queues: []string{"q"}})
	if n != 3 || err != nil {
		t.Errorf("delivered %d, %v; want 3", n, err)
	}
	if got := plainSink.take(); !slices.Equal(got, []string{"orders.1"}) {
		t.Errorf("the link with plain interest got %q", got)
	}
	if got := groupedSink.take(); !slices.Equal(got, []string{"orders.1 q"}) {
		t.Errorf("the link with a group got %q", got)
	}
	if got := nearSink.take(); !slices.Equal(got, []string{"orders.1 >deliver.x"}) {
		t.Errorf("the subscriber here got %q", got)
	}
	if got := shownSink.take(); len(got) != 0 {
		t.Errorf("a link with interest in what is shown got %q", got)
	}
}

// TestWhatComesFromAboveDoesNotGoBackThroughAnImport is for two accounts, each with a link to the same
// server, which may import from one another there as well.
func TestWhatComesFromAboveDoesNotGoBackThroughAnImport(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "ev.>"), service("A", "svc", "s")))
	for _, c := range []struct {
		from, to bool // whether they lead up
		want     int
	}{{false, false, 2}, {false, true, 2}, {true, false, 2}, {true, true, 0}} {
		from := w.at("A", nil, Traits{Remote: true, Up: c.from, Origin: 1})
		to := w.at("B", nil, Traits{Remote: true, Up: c.to, Origin: 2})
		mustSubscribe(t, to, "ev.*", "", "1")
		mustSubscribe(t, to, "ev.q", "Q", "2")
		l := w.b.NewLane()
		n, _ := from.Publish(l, &Msg{Subject: []byte("ev.x")})
		again, _ := from.Publish(l, &Msg{Subject: []byte("ev.q"), Queues: []string{"Q"}})
		if n+again != c.want {
			t.Errorf("up %v to up %v: delivered %d, want %d", c.from, c.to, n+again, c.want)
		}
		served := mustSubscribe(t, from, "svc", "", "3")
		if n, _ := to.Publish(l, &Msg{Subject: []byte("s")}); n != c.want/2 {
			t.Errorf("up %v to up %v: %d requests arrived, want %d", c.to, c.from, n, c.want/2)
		}
		from.Unsubscribe(served, 0)
		here := w.b.Account("A").Attach(nil, new(countSink), Traits{})
		if n, _ := here.Publish(l, &Msg{Subject: []byte("ev.x")}); n != 1 {
			t.Errorf("from here %d were delivered, want 1", n)
		}
		here.Detach()
		from.Detach()
		to.Detach()
		l.Close()
	}
}
