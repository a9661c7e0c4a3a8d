package leafnode

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/edgebus-io/edgebus/broker"
)

// toldLink is a link without a line: what it tells its other side is written down.
type toldLink struct {
	member
	lines    []string         // "+ subject queue weight" and "- subject queue"
	believed map[string]int32 // by "subject queue", what the other side knows
	posted   int              // times it was notified
}

func (*toldLink) Deliver(*broker.Msg, *broker.Sub) bool { return true }
func (*toldLink) Wake(bool) time.Duration               { return 0 }

// joinLink makes a link join.
func joinLink(t testing.TB, j *joint, origin uint32, change func(*toldLink)) *toldLink {
	t.Helper()
	k := &toldLink{believed: map[string]int32{}}
	k.notify = func() { k.posted++ }
	change(k)
	k.peer = j.account.Attach(nil, k, broker.Traits{Remote: true, Up: k.hub, Origin: origin})
	if err := j.join(&k.member); err != nil {
		t.Fatal(err)
	}
	return k
}

func asSpoke(*toldLink)      {}
func asHub(k *toldLink)      { k.hub = true }
func asIsolated(k *toldLink) { k.isolated = true }

// hear tells the other side all there is.
func (k *toldLink) hear() { k.hearSome(1 << 30) }

// hearSome has room for so many changes.
func (k *toldLink) hearSome(room int) {
	k.drain(func(subject, queue string, weight int32) bool {
		if room--; room < 0 {
			return false
		}
		line := fmt.Sprintf("+ %s %s %d", subject, queue, weight)
		if weight == 0 {
			line = "- " + subject + " " + queue
			delete(k.believed, subject+" "+queue)
		} else {
			k.believed[subject+" "+queue] = weight
		}
		if !isLDS(subject) {
			k.lines = append(k.lines, line)
		}
		return true
	})
}

// take returns what the other side was told since the last time, but for loop subjects.
func (k *toldLink) take() []string {
	k.hear()
	got := k.lines
	k.lines = nil
	return got
}

// wants checks what the other side is told now.
func (k *toldLink) wants(t *testing.T, lines ...string) {
	t.Helper()
	if got := k.take(); !slices.Equal(got, lines) {
		t.Errorf("told %q, want %q", got, lines)
	}
}

// close is the end of a link, in the order that connections use.
func (k *toldLink) close() {
	k.joint.leave(&k.member)
	k.peer.Detach()
}

// taker is the sink of somebody here.
type taker struct{}

func (taker) Deliver(_ *broker.Msg, s *broker.Sub) bool { return s.Take() }
func (taker) Wake(bool) time.Duration                   { return 0 }

func localPeer(a *broker.Account) *broker.Peer { return a.Attach(nil, taker{}, broker.Traits{}) }

func mustSubscribe(t testing.TB, p *broker.Peer, subject, queue string, weight int32) *broker.Sub {
	t.Helper()
	s, err := p.Subscribe(subject, queue, "")
	if err != nil {
		t.Fatalf("subscribe %q %q: %v", subject, queue, err)
	}
	if weight > 1 {
		s.SetWeight(weight)
	}
	return s
}

func newTestJoint() *joint { return newJoint(broker.New(broker.Options{}).Account("")) }

func TestFirstAndLastAreTold(t *testing.T) {
	j := newTestJoint()
	k := joinLink(t, j, 0, asHub)
	p, q := localPeer(j.account), localPeer(j.account)
	one := mustSubscribe(t, p, "a.b", "", 0)
	k.wants(t, "+ a.b  1")
	two := mustSubscribe(t, q, "a.b", "", 0)
	p.Unsubscribe(one, 0)
	k.wants(t)
	q.Unsubscribe(two, 0)
	k.wants(t, "- a.b ")
	one, two = mustSubscribe(t, p, "w", "g", 0), mustSubscribe(t, q, "w", "g", 0)
	k.wants(t, "+ w g 2")
	mustSubscribe(t, q, "w", "", 0)
	k.wants(t, "+ w  1")
	p.Unsubscribe(one, 0)
	k.wants(t, "+ w g 1")
	q.Unsubscribe(two, 0)
	k.wants(t, "- w g")
	q.Detach()
	k.wants(t, "- w ")
}

func TestSubscriptionsThatEndByThemselvesAreTold(t *testing.T) {
	b := broker.New(broker.Options{})
	j := newJoint(b.Account(""))
	k := joinLink(t, j, 0, asHub)
	p := localPeer(j.account)
	p.Unsubscribe(mustSubscribe(t, p, "once", "", 0), 1)
	k.wants(t, "+ once  1")
	lane := b.NewLane()
	defer lane.Close()
	p.Publish(lane, &broker.Msg{Subject: []byte("once")})
	k.wants(t, "- once ")
}

// TestWhoIsToldWhat is the table of who hears of whose interest.
func TestWhoIsToldWhat(t *testing.T) {
	toIsolatedHub := func(k *toldLink) { k.hub, k.isolated = true, true }
	for _, c := range []struct {
		name           string
		from, to       func(*toldLink) // from nil is a client here
		fromAs, toAs   uint32          // origins
		ordinary, loop bool
	}{
		{"client to spoke", nil, asSpoke, 0, 0, true, true},
		{"client to hub", nil, asHub, 0, 0, true, true},
		{"client to isolated spoke", nil, asIsolated, 0, 0, true, true},
		{"client to isolated hub", nil, toIsolatedHub, 0, 0, true, true},
		{"spoke to spoke", asSpoke, asSpoke, 0, 0, true, true},
		{"spoke to hub", asSpoke, asHub, 0, 0, true, true},
		{"hub to spoke", asHub, asSpoke, 0, 0, true, true},
		{"hub to hub", asHub, asHub, 0, 0, false, true},
		{"spoke to isolated spoke", asSpoke, asIsolated, 0, 0, false, false},
		{"spoke to isolated hub", asSpoke, toIsolatedHub, 0, 0, false, false},
		{"isolated spoke to spoke", asIsolated, asSpoke, 0, 0, true, true},
		{"spoke to spoke of its cluster", asSpoke, asSpoke, 7, 7, false, false},
		{"spoke to spoke of another cluster", asSpoke, asSpoke, 7, 8, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newTestJoint()
			to := joinLink(t, j, c.toAs, c.to)
			from, weight := localPeer(j.account), int32(1)
			var link *toldLink
			if c.from != nil {
				link, weight = joinLink(t, j, c.fromAs, c.from), 3
				from = link.peer
			}
			for _, subject := range []string{"s", "$LDS.foreign"} {
				mustSubscribe(t, from, subject, "", 0)
			}
			mustSubscribe(t, from, "s", "q", weight)
			to.hear()
			want := map[string]int32{j.loop + " ": 1}
			if c.ordinary {
				want["s "], want["s q"] = 1, weight
			}
			if c.loop {
				want["$LDS.foreign "] = 1
			}
			if !maps.Equal(to.believed, want) {
				t.Errorf("believes %v, want %v", to.believed, want)
			}
			if link != nil {
				if link.hear(); !maps.Equal(link.believed, map[string]int32{j.loop + " ": 1}) {
					t.Errorf("its own came back: %v", link.believed)
				}
			}
			from.Detach()
			to.hear()
			if !maps.Equal(to.believed, map[string]int32{j.loop + " ": 1}) {
				t.Errorf("believes %v when it has gone", to.believed)
			}
		})
	}
}

func TestWeightsLeaveOutTheLinkItself(t *testing.T) {
	j := newTestJoint()
	one, two, three := joinLink(t, j, 1, asSpoke), joinLink(t, j, 2, asSpoke), joinLink(t, j, 3, asHub)
	p := localPeer(j.account)
	mustSubscribe(t, p, "m", "qq", 0)
	mustSubscribe(t, p, "m", "qq", 0)
	far := mustSubscribe(t, two.peer, "m", "qq", 3)
	mustSubscribe(t, three.peer, "m", "qq", 5)
	one.wants(t, "+ m qq 10")
	two.wants(t, "+ m qq 7")
	three.wants(t, "+ m qq 5")
	far.SetWeight(4)
	one.wants(t, "+ m qq 11")
	two.wants(t)
	three.wants(t, "+ m qq 6")
	p.Detach()
	one.wants(t, "+ m qq 9")
	two.wants(t, "+ m qq 5")
	three.wants(t, "+ m qq 4")
	two.close()
	one.wants(t, "+ m qq 5")
	three.wants(t, "- m qq")
}

func TestWhatCameAndWentIsNotTold(t *testing.T) {
	j := newTestJoint()
	k := joinLink(t, j, 0, asHub)
	k.hear()
	before := k.posted
	p := localPeer(j.account)
	s := mustSubscribe(t, p, "brief", "", 0)
	if k.posted != before+1 || k.pending() != 1 {
		t.Errorf("posted %d times, %d pending", k.posted-before, k.pending())
	}
	mustSubscribe(t, p, "stays", "", 0)
	p.Unsubscribe(s, 0)
	if k.posted != before+1 || k.pending() != 1 {
		t.Errorf("posted %d times, %d pending", k.posted-before, k.pending())
	}
	k.wants(t, "+ stays  1")
	w := mustSubscribe(t, p, "w", "q", 0)
	k.wants(t, "+ w q 1")
	extra := mustSubscribe(t, p, "w", "q", 0)
	p.Unsubscribe(extra, 0)
	k.wants(t)
	p.Unsubscribe(w, 0)
	mustSubscribe(t, p, "w", "q", 0)
	k.wants(t)
	if n := k.pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
}

func TestALinkWithoutRoomGoesOnWhereItStood(t *testing.T) {
	j := newTestJoint()
	k := joinLink(t, j, 0, asHub)
	k.hear()
	p := localPeer(j.account)
	subs := make([]*broker.Sub, 5)
	for i := range subs {
		subs[i] = mustSubscribe(t, p, strconv.Itoa(i), "", 0)
	}
	k.hearSome(2)
	if want := []string{"+ 0  1", "+ 1  1"}; !slices.Equal(k.lines, want) || k.pending() != 3 {
		t.Fatalf("told %q, %d pending", k.lines, k.pending())
	}
	k.hearSome(0)
	k.lines = nil
	// What has been told comes last, what has not keeps its place: who changes all the time holds
	// nobody up.
	p.Unsubscribe(subs[0], 0)
	p.Unsubscribe(subs[2], 0)
	subs[2] = mustSubscribe(t, p, "2", "", 0)
	k.wants(t, "+ 3  1", "+ 4  1", "- 0 ", "+ 2  1")
}

func TestEachLinkThatJoinsIsToldEverything(t *testing.T) {
	j := newTestJoint()
	p := localPeer(j.account)
	for i := range 1000 {
		mustSubscribe(t, p, "early."+strconv.Itoa(i), "", 0)
	}
	first := joinLink(t, j, 1, asSpoke)
	mustSubscribe(t, first.peer, "mine", "", 0)
	first.hear()
	second := joinLink(t, j, 2, asHub)
	if second.hear(); len(first.believed) != 1001 || len(second.believed) != 1002 || second.believed["mine "] != 1 {
		t.Errorf("they believe in %d and %d subjects, want 1001 and 1002", len(first.believed), len(second.believed))
	}
	if first.told() != 1001 || second.told() != 1002 {
		t.Errorf("counted %d and %d as told", first.told(), second.told())
	}
	first.close()
	second.close()
	again := joinLink(t, j, 1, asSpoke)
	if again.hear(); len(again.believed) != 1001 {
		t.Errorf("after all have gone, one that comes back believes in %d subjects, want 1001", len(again.believed))
	}
}

func TestNothingIsLeftWhenAllHaveGone(t *testing.T) {
	j := newTestJoint()
	p := localPeer(j.account)
	for range 3 {
		one, two := joinLink(t, j, 1, asSpoke), joinLink(t, j, 2, asSpoke)
		mustSubscribe(t, p, "local", "", 0)
		mustSubscribe(t, one.peer, "a", "", 0)
		mustSubscribe(t, two.peer, "a", "q", 2)
		one.hear()
		one.close()
		two.wants(t, "+ local  1")
		two.close()
		one.drain(func(string, string, int32) bool {
			t.Error("told after it has left")
			return true
		})
		j.leave(&one.member) // twice does no harm
		if n := len(j.plain) + len(j.groups); n != 2 || len(j.slots) != 0 {
			t.Errorf("%d wishes and %d sources are left; want those of the loop and of somebody here", n, len(j.slots))
		}
		p.Detach()
		p = localPeer(j.account)
	}
	last := joinLink(t, j, 1, asHub)
	j.close()
	mustSubscribe(t, p, "heard", "", 0)
	last.wants(t, "+ heard  1") // it is not the end while a link is there
	last.close()
	for range 2 {
		j.close()
		mustSubscribe(t, p, "unheard", "", 0)
		if j.log != nil || j.plain != nil || j.groups != nil || j.sources != nil || j.slots != nil || j.stop != nil {
			t.Error("something is left")
		}
	}
	if n := j.account.Snapshot().Subscriptions; n != 3 {
		t.Errorf("the account has %d subscriptions, want 3", n)
	}
	joinLink(t, j, 1, asHub).hearQuietly()
}

func TestWhatAPeerBringsIsToldOnceItHasJoined(t *testing.T) {
	j := newTestJoint()
	hubOne, leaf := joinLink(t, j, 1, asHub), joinLink(t, j, 2, asSpoke)
	early := &toldLink{believed: map[string]int32{}}
	early.peer = j.account.Attach(nil, early, broker.Traits{Remote: true})
	early.hub, early.notify = true, func() {}
	mustSubscribe(t, early.peer, "far", "", 0)
	hubOne.wants(t)
	leaf.wants(t)
	if err := j.join(&early.member); err != nil {
		t.Fatal(err)
	}
	hubOne.wants(t) // it is a hub's
	leaf.wants(t, "+ far  1")
	early.wants(t)
	early.close()
	leaf.wants(t, "- far ")
}

func TestOnlyWhatTheFilterAllowsIsTold(t *testing.T) {
	j := newTestJoint()
	p := localPeer(j.account)
	mustSubscribe(t, p, "yes", "", 0)
	no := mustSubscribe(t, p, "no", "", 0)
	mustSubscribe(t, p, "no", "q", 0)
	only := func(allowed ...string) func(string, string) bool {
		return func(subject, queue string) bool { return isLDS(subject) || slices.Contains(allowed, subject+queue) }
	}
	k := joinLink(t, j, 0, func(k *toldLink) { k.filter = only("yes", "noq") })
	if k.hear(); len(k.believed) != 3 || k.believed["yes "] != 1 || k.believed["no q"] != 1 {
		t.Errorf("believes %v", k.believed)
	}
	k.lines = nil
	p.Unsubscribe(no, 0)
	k.wants(t)
	mustSubscribe(t, p, "no", "", 0)
	k.wants(t)
	k.setFilter(only("no", "noq"))
	k.wants(t, "- yes ", "+ no  1")
	k.setFilter(nil)
	k.wants(t, "+ yes  1")
}

func TestMoreLinksThanStatesInAWord(t *testing.T) {
	j := newTestJoint()
	links := make([]*toldLink, 3*statesInWord+1)
	for i := range links {
		links[i] = joinLink(t, j, uint32(i+1), asSpoke)
		links[i].take()
	}
	p := localPeer(j.account)
	last := links[len(links)-1]
	brief := mustSubscribe(t, p, "brief", "", 0)
	last.wants(t, "+ brief  1")
	p.Unsubscribe(brief, 0)
	last.wants(t, "- brief ")
	links[0].wants(t)
	plain, grouped := mustSubscribe(t, p, "s", "", 0), mustSubscribe(t, p, "s", "q", 0)
	for i, k := range links {
		if i%2 == 0 {
			mustSubscribe(t, k.peer, "s", "q", 2)
			mustSubscribe(t, k.peer, "s", "", 0)
		}
	}
	for i, k := range links {
		weight := 1 + 2*(len(links)/2+1)
		if i%2 == 0 {
			weight -= 2
		}
		k.wants(t, "+ s  1", "+ s q "+strconv.Itoa(weight))
	}
	p.Unsubscribe(plain, 0)
	p.Unsubscribe(grouped, 0)
	for i, k := range links {
		if i > 1 {
			k.close()
		}
	}
	links[0].wants(t, "- s q", "- s ")
	links[1].wants(t, "+ s q 2")
	links[0].close()
	links[1].wants(t, "- s ", "- s q")
	if n := len(j.plain) + len(j.groups); n != 1 {
		t.Errorf("%d wishes are left, want the loop subject", n)
	}
}

func TestTheLogStaysShort(t *testing.T) {
	j := newTestJoint()
	quick, slow := joinLink(t, j, 1, asHub), joinLink(t, j, 2, asSpoke)
	p := localPeer(j.account)
	mustSubscribe(t, p, "steady", "", 0)
	for i := range 10000 {
		s := mustSubscribe(t, p, "inbox."+strconv.Itoa(i), "", 0)
		quick.hear()
		p.Unsubscribe(s, 0)
		if len(j.log) > 2*fewGaps+8 {
			t.Fatalf("the log has %d places for %d wishes", len(j.log), len(j.plain))
		}
	}
	quick.hear()
	if n := len(j.plain) + len(j.groups); n != 2 || slow.pending() != 2 {
		t.Errorf("%d wishes are left, %d pending; want 2 and 2", n, slow.pending())
	}
	slow.wants(t, "+ steady  1")
}

func TestAWishIsSmall(t *testing.T) {
	const most = 150
	if size := unsafe.Sizeof(wish{}); size > 64 {
		t.Errorf("a wish takes %d bytes, want at most 64", size)
	}
	const n = 20000
	j := newTestJoint()
	p := localPeer(j.account)
	for i := range n {
		mustSubscribe(t, p, "plant.line."+strconv.Itoa(i), "", 0)
	}
	for _, links := range []int{1, 8, 32} {
		before := heapBytes()
		for i := range links {
			joinLink(t, j, uint32(i+1), asHub).hearQuietly()
		}
		if each := float64(heapBytes()-before) / n; each > most {
			t.Errorf("%d links: %.0f bytes a subject, want at most %d", links, each, most)
		} else {
			t.Logf("%d links: %.0f bytes a subject", links, each)
		}
		for len(j.members) != 0 {
			m := j.members[0]
			j.leave(m)
			m.peer.Detach()
		}
		j.close()
	}
}

// hearQuietly hears all and notes nothing.
func (k *toldLink) hearQuietly() { k.drain(func(string, string, int32) bool { return true }) }

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkJoin is a link that comes to an account with 20,000 subjects, for the first time or again.
func BenchmarkJoin(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			j := newTestJoint()
			p := localPeer(j.account)
			for i := range 20000 {
				mustSubscribe(b, p, "plant.line."+strconv.Itoa(i), "", 0)
			}
			b.ReportAllocs()
			for b.Loop() {
				k := joinLink(b, j, 1, asHub)
				k.hearQuietly()
				k.close()
				if !again {
					j.close()
				}
			}
		})
	}
}

// BenchmarkInbox is what subscribing and unsubscribing costs more because of a link.
func BenchmarkInbox(b *testing.B) {
	for _, links := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("links=%d", links), func(b *testing.B) {
			j := newTestJoint()
			for i := range links {
				joinLink(b, j, uint32(i+1), asSpoke).hearQuietly()
			}
			p := localPeer(j.account)
			b.ReportAllocs()
			for b.Loop() {
				p.Unsubscribe(mustSubscribe(b, p, "_INBOX.aaaa.*", "", 0), 0)
			}
		})
	}
}
