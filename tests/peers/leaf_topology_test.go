//go:build linux

package peers

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A listener is a client that has subscribed to a subject, and what is found there.
type listener struct {
	who string
	nc  *nats.Conn
	sub *nats.Subscription
}

func listen(t *testing.T, n *node, subject string) *listener {
	t.Helper()
	nc := n.client(t)
	return &listener{n.name, nc, subscribe(t, nc, subject)}
}

// everyoneOnce publishes at each and expects one copy at each: none lost on the way, none twice.
func everyoneOnce(t *testing.T, subject string, listeners ...*listener) {
	t.Helper()
	for _, from := range listeners {
		for _, to := range listeners {
			if from != to {
				reach(t, from.nc, to.nc)
			}
		}
	}
	for i, from := range listeners {
		publish(t, from.nc, subject, fmt.Sprint(i))
		for _, to := range listeners {
			expect(t, to.sub, subject, fmt.Sprint(i))
		}
	}
	for _, from := range listeners {
		for _, to := range listeners {
			if from != to {
				reach(t, from.nc, to.nc)
			}
		}
	}
	for _, to := range listeners {
		expectNothing(t, to.sub, to.nc)
	}
}

func TestLeavesOfOneHubReachEachOtherOnce(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		hub, one := p.link(t)
		two := layout{kind: p.leaf, remotes: []string{remote(hub.leafs)}}.start(t)
		everyoneOnce(t, "all", listen(t, hub, "all"), listen(t, one, "all"), listen(t, two, "all"))

		// A job from one leaf for a group at the other passes the hub.
		job := queue(t, two.client(t), "jobs", "workers")
		from := one.client(t)
		process.Eventually(t, patience, "the job is taken", func() bool {
			publish(t, from, "jobs", "1")
			_, err := job.NextMsg(100 * time.Millisecond)
			return err == nil
		})
	})
}

func TestLeafOfALeafIsReachedThroughBoth(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		hub := layout{kind: p.hub, hub: true}.start(t)
		middle := layout{kind: p.leaf, hub: true, remotes: []string{remote(hub.leafs)}}.start(t)
		end := layout{kind: p.hub, remotes: []string{remote(middle.leafs)}}.start(t)
		h, m, e := listen(t, hub, "all"), listen(t, middle, "all"), listen(t, end, "all")
		everyoneOnce(t, "all", h, m, e)

		e.sub.Unsubscribe()
		m.sub.Unsubscribe()
		h.sub.Unsubscribe()
		service, err := e.nc.Subscribe("service", func(m *nats.Msg) { m.Respond([]byte("from the end")) })
		if err != nil {
			t.Fatal(err)
		}
		flush(t, e.nc)
		reach(t, h.nc, e.nc)
		if m, err := h.nc.Request("service", nil, patience); err != nil || string(m.Data) != "from the end" {
			t.Fatalf("%v %v", m, err)
		}
		service.Unsubscribe()
		flush(t, e.nc)
		reach(t, h.nc, e.nc)
		_, err = h.nc.Request("service", nil, patience)
		expectError(t, err, nats.ErrNoResponders)

		// What was wanted behind a link that has ended is wanted no more.
		subscribe(t, e.nc, "behind")
		reach(t, h.nc, e.nc)
		end.Kill()
		process.Eventually(t, patience, "the hub knows of nothing behind", func() bool { return len(hub.interest(t, "behind")) == 0 })
	})
}

func TestLeafOfTwoHubsKeepsThemApart(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		a, b := layout{kind: p.hub, hub: true}.start(t), layout{kind: p.hub, hub: true}.start(t)
		leaf := layout{kind: p.leaf, remotes: []string{remote(a.leafs), remote(b.leafs)}}.start(t)
		ca, cb, cl := a.client(t), b.client(t), leaf.client(t)
		for _, hub := range []*nats.Conn{ca, cb} {
			agree(t, hub, cl)
		}
		atA, atB := subscribe(t, ca, "to.hubs"), subscribe(t, cb, "to.hubs")
		agree(t, ca, cl)
		agree(t, cb, cl)
		publish(t, cl, "to.hubs", "1")
		expect(t, atA, "to.hubs", "1")
		expect(t, atB, "to.hubs", "1")
		// A hub is not told what another one wants.
		only := subscribe(t, ca, "only.a")
		agree(t, ca, cl)
		agree(t, cb, cl)
		_, err := cb.Request("only.a", nil, patience)
		expectError(t, err, nats.ErrNoResponders)
		expectNothing(t, only, ca)
		expectNothing(t, atA, ca)
	})
}

func TestLeafAccountsAreJoinedWithTheirOwnHubs(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		const accounts = "accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }"
		hub := layout{kind: p.hub, hub: true, config: accounts}.start(t)
		other := layout{kind: p.hub, hub: true}.start(t)
		leaf := layout{kind: p.leaf, config: accounts, remotes: []string{
			remote("nats-leaf://a:a@"+hub.leafs, "account: A"),
			remote("nats-leaf://b:b@"+hub.leafs, "account: B"),
			remote(other.leafs, "account: B"),
		}}.start(t)
		as := func(n *node, user string) *nats.Conn { return n.client(t, nats.UserInfo(user, user)) }
		hubA, hubB, leafA, leafB, others := as(hub, "a"), as(hub, "b"), as(leaf, "a"), as(leaf, "b"), other.client(t)
		agree(t, hubA, leafA)
		agree(t, hubB, leafB)
		agree(t, others, leafB)
		wrong := []*nats.Subscription{subscribe(t, hubB, "x"), subscribe(t, others, "x")}
		right := subscribe(t, hubA, "x")
		agree(t, hubB, leafB)
		agree(t, others, leafB)
		agree(t, hubA, leafA)
		publish(t, leafA, "x", "1")
		expect(t, right, "x", "1")
		publish(t, leafB, "x", "2")
		for _, sub := range wrong {
			expect(t, sub, "x", "2")
		}
		agree(t, hubA, leafA)
		expectNothing(t, right, hubA)
	})
}

// On a remote with `hub` the roles are changed: it is told what other hubs want.
func TestLeafThatIsTheHubOfItsRemotePassesOnWhatAnotherHubWants(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		above, below := layout{kind: p.hub, hub: true}.start(t), layout{kind: p.hub, hub: true}.start(t)
		leaf := layout{kind: p.leaf, remotes: []string{remote(above.leafs), remote(below.leafs, "hub: true")}}.start(t)
		everyoneOnce(t, "all", listen(t, above, "all"), listen(t, leaf, "all"), listen(t, below, "all"))
	})
}

func TestIsolatedLeavesDoNotLearnWhatOthersWant(t *testing.T) {
	onPairsAtOnce(t, func(p pair) bool { return !p.old() }, func(t *testing.T, p pair) {
		for _, each := range []struct{ name, block, remote string }{
			{"by the hub", "isolate_leafnode_interest: true", ""},
			{"by the leaf's request", "", "request_isolation: true"},
		} {
			hub := layout{kind: p.hub, hub: true, block: each.block}.start(t)
			one := layout{kind: p.leaf, remotes: []string{remote(hub.leafs, each.remote)}}.start(t)
			two := layout{kind: p.leaf, remotes: []string{remote(hub.leafs, each.remote)}}.start(t)
			h, a, b := hub.client(t), one.client(t), two.client(t)
			agree(t, h, a)
			agree(t, h, b)
			subscribe(t, a, "of.one")
			atHub, atOne := subscribe(t, h, "of.hub"), subscribe(t, a, "of.hub")
			agree(t, h, a)
			agree(t, h, b)
			if _, err := b.Request("of.one", nil, patience); err != nats.ErrNoResponders {
				t.Errorf("isolated %s: one leaf asks on what only the other wants: %v", each.name, err)
			}
			publish(t, b, "of.hub", "1") // goes to the hub for its own client, and on from there
			expect(t, atHub, "of.hub", "1")
			expect(t, atOne, "of.hub", "1")
		}
	})
}

// A ring of links is cut somewhere, whoever finds it, and stays cut: nobody hammers. What remains is a
// chain, on which everything arrives once.
func ringOfLeavesIsCut(t *testing.T) {
	atOnce(t, map[string]func(t *testing.T){
		"two":   func(t *testing.T) { sideBySide(t, nil, func(t *testing.T, p pair) { ring(t, p, 2) }) },
		"three": func(t *testing.T) { sideBySide(t, nil, func(t *testing.T, p pair) { ring(t, p, 3) }) },
	})
}

// ring makes each node solicit the one before.
func ring(t *testing.T, p pair, size int) {
	kinds := []process.Kind{p.hub, p.leaf, p.leaf}
	var places []int
	var lines []*line
	for range size {
		places = append(places, process.FreePort(t))
		lines = append(lines, newLine(t, address(places[len(places)-1]), weather{}))
	}
	// The first dials the last, which closes the ring: not before all others are linked. Two that dial each
	// other at one moment would both give up, and wait for 30 s.
	closing := lines[size-1]
	closing.set(func(l *line) { l.refuses = true })
	var nodes []*node
	for i := range size {
		before := lines[(i+size-1)%size]
		nodes = append(nodes, layout{
			kind: kinds[i], hub: true, port: places[i],
			block: fmt.Sprintf("advertise: %q", lines[i].addr), remotes: []string{remote(before.addr)},
		}.start(t))
	}
	for _, n := range nodes[1:] {
		process.Eventually(t, 2*patience, n.name+" is linked", func() bool { return n.links(t).Count > 0 })
	}
	closing.set(func(l *line) { l.refuses = false })
	started := 0
	for _, l := range lines {
		started += len(l.tries())
	}
	process.Eventually(t, 2*patience, "somebody says that there is a loop", func() bool {
		for _, n := range nodes {
			if n.Logged("Loop detected") || n.Logged("Loop Detected") {
				return true
			}
		}
		return false
	})
	quiet := func() int {
		sum := -started
		for _, l := range lines {
			sum += len(l.tries())
		}
		return sum
	}
	// Whoever was cut waits for 30 s; a second link may be cut after the first.
	before, since := quiet(), time.Now()
	process.Eventually(t, patience, "nobody dials for 3 s", func() bool {
		if n := quiet(); n != before {
			before, since = n, time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	if before > 6*size {
		t.Errorf("%d links were made", before)
	}
	links := 0
	for _, n := range nodes {
		links += n.links(t).Count
	}
	if links >= 2*size {
		t.Errorf("%d ends of links are left of %d: the ring is whole", links, 2*size)
	}
	if size == 2 {
		everyoneOnce(t, "all", listen(t, nodes[0], "all"), listen(t, nodes[1], "all"))
	}
}

// Two gateways that bear one name push each other out at the hub. An edgebus says in words what is wrong.
func TestSecondLeafOfTheSameNameIsNoticed(t *testing.T) {
	onPairsAtOnce(t, func(p pair) bool { return !p.old() }, func(t *testing.T, p pair) {
		hub := layout{kind: p.hub, hub: true}.start(t)
		one := layout{kind: p.leaf, name: "twin", remotes: []string{remote(hub.leafs)}}.start(t)
		hub.awaitLinks(t, 1)
		two := layout{kind: p.leaf, name: "twin", remotes: []string{remote(hub.leafs)}}.start(t)
		hub.awaitLog(t, "uplicate")
		process.Eventually(t, patience, "one of the two says it", func() bool { return one.Logged("uplicate") || two.Logged("uplicate") })
		if p.leaf == process.Edgebus && !one.Logged("server_name") && !two.Logged("server_name") {
			t.Error("neither names server_name as what to change")
		}
	})
}

// A hub that is a leaf itself has a cluster's name for its links: its server's.
func leafThatBearsTheHubsNameStaysAway(t *testing.T) {
	sideBySide(t, nil, func(t *testing.T, p pair) {
		nowhere := newLine(t, "", weather{})
		nowhere.set(func(l *line) { l.swallow = true })
		hub, between := layout{kind: p.hub, name: "same", remotes: []string{remote(nowhere.addr)}}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, name: "same", remotes: []string{remote(between.addr)}}.start(t)
		leaf.awaitLog(t, "same cluster name", "Cluster Names Identical")
		tries, since := 0, time.Now()
		process.Eventually(t, patience, "nobody dials for 4 s", func() bool {
			if n := len(between.tries()); n != tries {
				tries, since = n, time.Now()
			}
			return time.Since(since) > 4*time.Second
		})
		if n := hub.links(t).Count; n != 0 || tries > 2 {
			t.Errorf("%d links after %d attempts", n, tries)
		}
	})
}
