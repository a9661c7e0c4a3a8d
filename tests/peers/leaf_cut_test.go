//go:build linux

package peers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A crowd subscribes and unsubscribes on one connection, at random, below a prefix.
type crowd struct {
	prefix string
	nc     *nats.Conn
	random *rand.Rand

	// Shared by its goroutine and the test, under mu.
	mu   sync.Mutex
	subs map[string]*nats.Subscription // by subject, or "subject queue"
	held bool                          // it changes nothing
}

// crowdNames is how many subjects a crowd chooses from.
const crowdNames = 400

func newCrowd(t *testing.T, nc *nats.Conn, prefix string, seed uint64) *crowd {
	t.Helper()
	c := &crowd{prefix: prefix, nc: nc, random: rand.New(rand.NewPCG(seed, 1)), subs: map[string]*nats.Subscription{}}
	for range crowdNames / 2 {
		c.change()
	}
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				c.change()
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		wg.Wait()
	})
	return c
}

func (c *crowd) change() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		return
	}
	subject := fmt.Sprintf("%s.%d", c.prefix, c.random.IntN(crowdNames))
	queue := []string{"", "", "workers"}[c.random.IntN(3)]
	if c.random.IntN(4) == 0 {
		subject += ".*"
	}
	name := strings.TrimSpace(subject + " " + queue)
	if sub := c.subs[name]; sub != nil {
		sub.Unsubscribe()
		delete(c.subs, name)
		return
	}
	// Nobody takes the messages: there are none.
	if sub, err := c.nc.QueueSubscribeSync(subject, queue); err == nil {
		c.subs[name] = sub
	}
}

// hold stops the changes, or lets them go on, and gives what is wanted now, as node.interest does.
func (c *crowd) hold(held bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = held
	var all []string
	for name := range c.subs {
		subject, _, _ := strings.Cut(name, " ")
		all = append(all, subject)
	}
	slices.Sort(all)
	return all
}

// After every cut both sides know in short what the other wants: nothing is missing and nothing is left
// over, although clients subscribe and unsubscribe all the time.
func TestBothSidesAgreeAfterEveryCut(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		cuts, compared := inForm(15, 1000), inForm(5, 200)
		if p.leaf == process.Old {
			cuts, compared = inForm(4, 100), inForm(2, 20) // it takes a second for each
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		hub, leaf, between := p.linkThrough(t, weather{})
		h, l := hub.client(t), leaf.client(t)
		agree(t, h, l)
		atLeaf, atHub := newCrowd(t, l, "up", seed), newCrowd(t, h, "down", seed+1)
		random := rand.New(rand.NewPCG(seed, 3))
		for i := range cuts {
			cut := between.last()
			ways := []func(){
				cut.reset,
				cut.finish,
				func() { cut.cutAfter(up, random.IntN(100), cut.reset) },
				func() { cut.cutAfter(down, random.IntN(100), cut.finish) },
			}
			ways[i%len(ways)]()
			newLink := func() bool { return between.last() != cut && hub.links(t).Count == 1 }
			process.Eventually(t, 2*patience, "a new link", newLink)
			if i%(cuts/compared) != 0 {
				continue
			}
			atLeaf.hold(true)
			atHub.hold(true)
			if p.hub == process.Old {
				// 2.9.10 forgets what changes while it takes stock for a new leaf: an UNSUB 2 ms after CONNECT was
				// followed by an LS+ for the same subject, and no LS-. So it takes stock once more, of what rests.
				cut = between.last()
				cut.reset()
				process.Eventually(t, 2*patience, "a link of a hub at rest", newLink)
			}
			compare(t, i, hub, "up.", atLeaf.hold(true))
			compare(t, i, leaf, "down.", atHub.hold(true))
			atLeaf.hold(false)
			atHub.hold(false)
		}
		t.Logf("%d links", len(between.tries()))
	})
}

// compare waits until a node knows just what is wanted behind its link: two seconds, more where the
// machine is busy with other tests.
func compare(t *testing.T, cut int, n *node, prefix string, want []string) {
	t.Helper()
	var missing, stale []string
	for deadline := time.Now().Add(inForm(6*time.Second, 2*time.Second)); ; {
		got := n.interest(t, prefix)
		missing, stale = without(want, got), without(got, want)
		if len(missing)+len(stale) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after cut %d %s lacks %q and has kept %q", cut, n.name, missing, stale)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// without is what a sorted list has more of than another.
func without(list, other []string) []string {
	var more []string
	for _, each := range list {
		for len(other) > 0 && other[0] < each {
			other = other[1:]
		}
		if len(other) > 0 && other[0] == each {
			other = other[1:]
			continue
		}
		more = append(more, each)
	}
	return more
}

// However much of the handshake has passed before the line is cut, the next one succeeds.
func TestLinkIsMadeAlthoughItsHandshakesWereCut(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		lengths := []int{0, 1, 5, 40, 200, 390, 420, 500, 700, 900, 1100}
		if p.leaf == process.Old {
			lengths = []int{0, 200, 700}
		}
		hub, between := layout{kind: p.hub}.startBehind(t, weather{})
		between.set(func(l *line) {
			l.doom = func(try int) (way, int) {
				if n := len(lengths); try < 2*n {
					return bothWays[try%2], lengths[try/2]
				}
				return up, -1
			}
		})
		leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(between.addr)}}.start(t)
		agree(t, hub.client(t), leaf.client(t))
		if n := len(between.tries()); n < len(lengths) {
			t.Errorf("only %d attempts", n)
		}
		hub.awaitLinks(t, 1)
	})
}

// While the hub is away a leaf asks again and again, neither in a hurry nor ever less than it should; it
// is back with the next attempt.
func leafIsBackSoonAfterAnOutage(t *testing.T) {
	sideBySide(t, nil, func(t *testing.T, p pair) {
		outage := inForm(7*time.Second, 10*time.Minute)
		hub, between := layout{kind: p.hub}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, remotes: []string{remote(between.addr)}}.start(t)
		h, l := hub.client(t), leaf.client(t)
		agree(t, h, l)
		between.set(func(l *line) { l.refuses = true })
		began, first := time.Now(), len(between.tries())
		between.reset()
		<-time.After(outage)
		tries := between.tries()[first:]
		between.set(func(l *line) { l.refuses = false })
		pauses := []time.Duration{}
		for i, at := range tries {
			since := began
			if i > 0 {
				since = tries[i-1]
			}
			pauses = append(pauses, at.Sub(since).Round(time.Millisecond))
		}
		// A second, 50 % more or less, for a minute; then up to 30 s. A nats-server takes one to two seconds. Where
		// other tests run beside this one an attempt may come late.
		shortest, longest := 450*time.Millisecond, 2500*time.Millisecond
		late := inForm(2*longest, 0)
		hasty := 0 // a machine that stands still for a moment shows an attempt late, and the next one soon after it
		for i, pause := range pauses {
			if pause < shortest {
				hasty++
			}
			if tries[i].Sub(began) < time.Minute && pause > longest+late || pause > 47*time.Second {
				t.Errorf("pause %d of %v", i, pauses)
				break
			}
		}
		if hasty > 1+len(pauses)/100 {
			t.Errorf("%d of %v are short", hasty, pauses)
		}
		if len(tries) < int(min(outage, time.Minute)/(longest+late/2)) {
			t.Errorf("only %d attempts: %v", len(tries), pauses)
		}
		if p.leaf == process.Edgebus && long() && len(tries) > 160 {
			t.Errorf("%d attempts in %v", len(tries), outage)
		}
		limit := inForm(patience, 49*time.Second)
		process.Eventually(t, limit, "the link is back", func() bool { return hub.links(t).Count == 1 })
		agree(t, h, l)
	})
}

// With `reconnect` the pauses are what it says; after a refusal up to twice that.
func reconnectIsAFixedTime(t *testing.T) {
	sideBySide(t, func(p pair) bool { return p.leaf != process.Old }, func(t *testing.T, p pair) {
		hub, between := layout{kind: p.hub}.startBehind(t, weather{})
		between.set(func(l *line) { l.refuses = true })
		const every, early = 400 * time.Millisecond, 20 * time.Millisecond
		leaf := layout{kind: p.leaf, block: `reconnect: "400ms"`, remotes: []string{remote(between.addr)}}.start(t)
		process.Eventually(t, patience, "ten attempts", func() bool { return len(between.tries()) > 10 })
		tries := between.tries()
		// An attempt that a busy machine shows late makes the pause behind it short, and none before it.
		hasty := 0
		var pauses []time.Duration
		for i, at := range tries[1:] {
			pause := at.Sub(tries[i])
			if pauses = append(pauses, pause); pause < every-early && (i == 0 || pause+pauses[i-1] < 2*(every-early)) {
				hasty++
			}
		}
		if hasty > 1 {
			t.Errorf("%d of %v are short", hasty, pauses)
		}
		if mean := tries[len(tries)-1].Sub(tries[0]) / time.Duration(len(tries)-1); mean < every-2*early || mean > 2*every+every/2 {
			t.Errorf("%v from one attempt to the next", mean)
		}
		between.set(func(l *line) { l.refuses = false })
		agree(t, hub.client(t), leaf.client(t))
	})
}

// The next address is tried when one does not answer, and the first when the last has not.
func TestLeafTriesEachOfItsAddresses(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		one, two := layout{kind: p.hub, hub: true, block: "no_advertise: false"}.start(t), layout{kind: p.hub, hub: true}.start(t)
		dead := newLine(t, "", weather{})
		dead.set(func(l *line) { l.refuses = true })
		leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{fmt.Sprintf(
			"urls: [\"nats-leaf://%s\", \"nats-leaf://%s\", \"nats-leaf://%s\"]\n%s",
			dead.addr, one.leafs, two.leafs, sinceCompression(p.leaf, "no_randomize: true"))}}.start(t)
		l := leaf.client(t)
		process.Eventually(t, 2*patience, "a link", func() bool { return one.links(t).Count+two.links(t).Count == 1 })
		for range 2 {
			up, other := one, two
			if two.links(t).Count == 1 {
				up, other = two, one
			}
			agree(t, up.client(t), l)
			up.Kill()
			process.Eventually(t, 2*patience, "a link with the other", func() bool { return other.links(t).Count == 1 })
			agree(t, other.client(t), l)
			up.Again()
		}
	})
}
