package leafnode

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// modelPeer is somebody in the model: a link, or somebody here.
type modelPeer struct {
	peer *broker.Peer
	link *toldLink // nil for somebody here
	subs []*modelSub
}

// modelSub is one subscription, as a naive mind keeps it.
type modelSub struct {
	sub            *broker.Sub
	subject, queue string
	weight         int32
}

// expectedBy is what a link's other side should believe, worked out from nothing but all subscriptions.
func expectedBy(j *joint, to *modelPeer, all []*modelPeer) map[string]int32 {
	want := map[string]int32{j.loop + " ": 1}
	for _, from := range all {
		for _, s := range from.subs {
			if from.link != nil {
				lds := strings.HasPrefix(s.subject, "$LDS.")
				sameOrigin := from.peer.Origin() != 0 && from.peer.Origin() == to.peer.Origin()
				upOnly := from.link.member.hub && to.link.member.hub && !lds
				if from == to || to.link.isolated || sameOrigin || upOnly {
					continue
				}
			}
			if f := to.link.filter; f != nil && !f(s.subject, s.queue) {
				continue
			}
			key := s.subject + " " + s.queue
			if s.queue == "" {
				want[key] = 1
			} else {
				want[key] += s.weight
			}
		}
	}
	return want
}

// someOnly refuses a third of all subjects.
func someOnly(subject, _ string) bool { return len(subject)%3 != 0 || isLDS(subject) }

func TestInterestAgreesWithALoopOverAllSubscriptions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 5))
	j := newTestJoint()
	var all []*modelPeer
	steps := 20000
	if testing.Short() || raceEnabled {
		steps = 2000
	}
	for step := range steps {
		switch n := r.IntN(100); {
		case n < 2 && len(all) < 40:
			all = append(all, newModelPeer(t, j, r))
		case n < 3 && len(all) > 4:
			i := r.IntN(len(all))
			all[i].end(r)
			all = append(all[:i], all[i+1:]...)
		case len(all) == 0:
		case n < 50:
			all[r.IntN(len(all))].subscribe(t, r)
		case n < 85:
			all[r.IntN(len(all))].change(r)
		case n < 97:
			if k := all[r.IntN(len(all))].link; k != nil {
				k.hearSome(r.IntN(20))
			}
		case n == 97:
			if k := all[r.IntN(len(all))].link; k != nil {
				k.setFilter([]func(string, string) bool{nil, someOnly}[r.IntN(2)])
			}
		default:
			compareLinks(t, j, all)
		}
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
	}
	compareLinks(t, j, all)
	for _, p := range all {
		p.end(r)
	}
	if n := len(j.plain) + len(j.groups); n != 1 || len(j.slots) != 0 {
		t.Errorf("seed %d: %d wishes and %d sources are left, want the loop's wish", seed, n, len(j.slots))
	}
}

func newModelPeer(t *testing.T, j *joint, r *rand.Rand) *modelPeer {
	if r.IntN(3) == 0 {
		return &modelPeer{peer: localPeer(j.account)}
	}
	k := joinLink(t, j, uint32(r.IntN(8)), func(k *toldLink) {
		k.hub, k.isolated = r.IntN(3) == 0, r.IntN(4) == 0
		if r.IntN(4) == 0 {
			k.filter = someOnly
		}
	})
	return &modelPeer{peer: k.peer, link: k}
}

func (p *modelPeer) subscribe(t *testing.T, r *rand.Rand) {
	s := &modelSub{subject: fmt.Sprintf("%s%d", []string{"a.", "long.", "$LDS."}[r.IntN(3)], r.IntN(12)), weight: 1}
	if !isLDS(s.subject) {
		s.queue = []string{"", "", "q", "r"}[r.IntN(4)]
	}
	for _, old := range p.subs {
		if p.link != nil && old.subject == s.subject && old.queue == s.queue {
			return // a link has one at most
		}
	}
	if p.link != nil && s.queue != "" {
		s.weight = 1 + r.Int32N(5)
	}
	s.sub = mustSubscribe(t, p.peer, s.subject, s.queue, s.weight)
	p.subs = append(p.subs, s)
}

// change takes a subscription away, or gives it another weight.
func (p *modelPeer) change(r *rand.Rand) {
	if len(p.subs) == 0 {
		return
	}
	i := r.IntN(len(p.subs))
	s := p.subs[i]
	if p.link != nil && s.queue != "" && r.IntN(2) == 0 {
		s.weight = 1 + r.Int32N(5)
		s.sub.SetWeight(s.weight)
		return
	}
	p.peer.Unsubscribe(s.sub, 0)
	p.subs = append(p.subs[:i], p.subs[i+1:]...)
}

// end takes p away, in one order or the other.
func (p *modelPeer) end(r *rand.Rand) {
	switch {
	case p.link == nil:
		p.peer.Detach()
	case r.IntN(2) == 0:
		p.peer.Detach()
		p.link.joint.leave(&p.link.member)
	default:
		p.link.close()
	}
}

// compareLinks has every link hear all, and checks it, what is counted and what holds inside.
func compareLinks(t *testing.T, j *joint, all []*modelPeer) {
	t.Helper()
	for _, p := range all {
		if p.link == nil {
			continue
		}
		p.link.hear()
		if want := expectedBy(j, p, all); !maps.Equal(p.link.believed, want) {
			t.Errorf("believes %v\nwant     %v", p.link.believed, want)
		}
		noted := map[string]int32{}
		j.told(&p.link.member, func(subject, queue string, weight int32) { noted[subject+" "+queue] = weight })
		if !maps.Equal(noted, p.link.believed) || p.link.told() != len(noted) || p.link.pending() != 0 {
			t.Errorf("noted as told %v, counted %d, pending %d; told was %v", noted, p.link.told(), p.link.pending(), p.link.believed)
		}
	}
	live := 0
	for at, w := range j.log {
		if w == nil {
			continue
		}
		live++
		if int(w.at) != at || w.isOver() {
			t.Errorf("%q stands at %d, says %d, over: %v", w.subject, at, w.at, w.isOver())
		}
		for _, m := range j.members {
			if w.has(m.slot, wishMarked) && at < m.next {
				t.Errorf("%q is marked behind the link's back", w.subject)
			}
		}
	}
	if live != len(j.plain)+len(j.groups) || live != len(j.log)-j.gaps {
		t.Errorf("%d in the log, %d known, %d gaps of %d", live, len(j.plain)+len(j.groups), j.gaps, len(j.log))
	}
}

// TestInterestUnderFire subscribes on many goroutines while links come, listen and go.
func TestInterestUnderFire(t *testing.T) {
	j := newTestJoint()
	steady := make([]*toldLink, 3)
	for i := range steady {
		steady[i] = joinLink(t, j, uint32(i+1), []func(*toldLink){asHub, asSpoke, asIsolated}[i])
	}
	all := make([]*modelPeer, 6)
	var done atomic.Bool
	var busy, others sync.WaitGroup
	for i := range all {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		p := &modelPeer{peer: localPeer(j.account)}
		if i < len(steady) {
			p = &modelPeer{peer: steady[i].peer, link: steady[i]}
		}
		all[i] = p
		busy.Go(func() {
			for range 3000 {
				if r.IntN(2) == 0 && len(p.subs) < 50 {
					p.subscribe(t, r)
				} else {
					p.change(r)
				}
			}
		})
	}
	for _, k := range steady {
		others.Go(func() {
			for !done.Load() {
				k.hearSome(3)
			}
		})
	}
	others.Go(func() {
		for !done.Load() {
			k := joinLink(t, j, 77, asSpoke)
			k.hearSome(50)
			s := mustSubscribe(t, k.peer, "passing", "", 0)
			k.peer.Unsubscribe(s, 0)
			k.close()
		}
	})
	busy.Wait()
	done.Store(true)
	others.Wait()
	compareLinks(t, j, all)
}

// importingAccounts makes account A export, and B import: a stream as in.>, and a service as svc.
func importingAccounts(t *testing.T) (a, b *broker.Account, lane *broker.Lane) {
	t.Helper()
	core := broker.New(broker.Options{})
	core.Configure([]*auth.Account{
		{Name: "A", Exports: []auth.Export{{Subject: ">"}, {Subject: "calc", Service: true}}},
		{Name: "B", Imports: []auth.Import{
			{From: "A", Subject: "ev.>", To: "in.ev.>"}, {From: "A", Subject: "$LDS.>", To: "$LDS.>"},
			{From: "A", Subject: "calc", To: "svc", Service: true},
		}},
	})
	lane = core.NewLane()
	t.Cleanup(lane.Close)
	return core.Account("A"), core.Account("B"), lane
}

func TestInterestOfImportersIsToldInTheExportersAccount(t *testing.T) {
	a, b, lane := importingAccounts(t)
	atA, atB := newJoint(a), newJoint(b)
	toA, toB := joinLink(t, atA, 1, asHub), joinLink(t, atB, 1, asSpoke)
	alone, below := joinLink(t, atA, 2, asIsolated), joinLink(t, atA, 3, asSpoke)
	toA.wants(t)
	toB.wants(t, "+ svc  1") // although nobody serves it
	p := localPeer(b)
	plain, grouped := mustSubscribe(t, p, "in.ev.x", "", 0), mustSubscribe(t, p, "in.>", "q", 0)
	toA.wants(t, "+ ev.x  1", "+ ev.> q 1")
	alone.wants(t, "+ ev.x  1", "+ ev.> q 1")
	toB.wants(t, "+ in.ev.x  1", "+ in.> q 1")
	p.Unsubscribe(plain, 0)
	p.Unsubscribe(grouped, 0)
	toA.wants(t, "- ev.x ", "- ev.> q")
	alone.take()
	toB.wants(t, "- in.ev.x ", "- in.> q")
	// So is that of the importer's links, weights included, even where their cluster has a link here.
	below.take()
	far := mustSubscribe(t, toB.peer, "in.ev.far", "q", 4)
	toA.wants(t, "+ ev.far q 4")
	alone.wants(t)
	toB.wants(t)
	far.SetWeight(2)
	toA.wants(t, "+ ev.far q 2")
	toB.close()
	toA.wants(t, "- ev.far q")
	below.take()
	// But what the importer's hub wants is told to no hub of ours: it could have it from there.
	above := joinLink(t, atB, 1, asHub)
	mustSubscribe(t, above.peer, "in.ev.far", "q", 4)
	toA.wants(t)
	below.wants(t, "+ ev.far q 4")
	above.close()
	below.wants(t, "- ev.far q")
	if n := len(atA.slots); n != 3 {
		t.Errorf("%d sources are known, want the three links", n)
	}
	// The importer's loop subject, and those it hears of, are no business of the exporter's links.
	for subject := range toA.believed {
		if isLDS(subject) && subject != atA.loop+" " {
			t.Errorf("the exporter's link was told %s", subject)
		}
	}
	// Answers to requests from the importer: known before the first request leaves.
	server := mustSubscribe(t, toA.peer, "calc", "", 0)
	asks := localPeer(b)
	if n, err := asks.Publish(lane, &broker.Msg{Subject: []byte("svc"), Reply: []byte("_INBOX.1")}); n != 1 || err != nil {
		t.Fatalf("the request was delivered %d times, %v", n, err)
	}
	toA.hear()
	if len(toA.lines) != 1 || !strings.HasPrefix(toA.lines[0], "+ _R_.") || !strings.HasSuffix(toA.lines[0], ".>  1") {
		t.Errorf("told %q, want interest in answers", toA.lines)
	}
	toA.peer.Unsubscribe(server, 0)
}

func TestInterestFollowsTheConfiguration(t *testing.T) {
	core := broker.New(broker.Options{})
	a, b := core.Account("A"), core.Account("B")
	toA, toB := joinLink(t, newJoint(a), 1, asHub), joinLink(t, newJoint(b), 1, asSpoke)
	mustSubscribe(t, localPeer(b), "ev.x", "", 0)
	toB.wants(t, "+ ev.x  1")
	toA.wants(t)
	stream := auth.Import{From: "A", Subject: "ev.>", To: "ev.>"}
	service := auth.Import{From: "A", Subject: "calc", To: "svc", Service: true}
	core.Configure([]*auth.Account{{Name: "A"}, {Name: "B", Imports: []auth.Import{stream, service}}})
	toA.wants(t, "+ ev.x  1")
	toB.wants(t, "+ svc  1")
	core.Configure([]*auth.Account{{Name: "A"}, {Name: "B", Imports: []auth.Import{service}}})
	toA.wants(t, "- ev.x ")
	toB.wants(t) // what stays is not told again
	core.Configure(nil)
	toB.wants(t, "- svc ")
}
