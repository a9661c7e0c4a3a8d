//go:build linux

package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// Each mode that may be configured works with each: what both sides make of it is agreed by each for what
// it sends, and messages arrive as they were.
func TestCompressionIsAgreedInEachMode(t *testing.T) {
	onPairs(t, modern, func(t *testing.T, p pair) {
		const auto = "{ mode: s2_auto, rtt_thresholds: [10ms, 50ms, 100ms] }"
		for _, each := range []struct {
			hub, leaf string
			packs     bool // repetition is taken out of what is sent
		}{
			{"", "", false}, {"s2_fast", "s2_better", true}, {"s2_best", "s2_fast", true}, {"accept", "accept", false},
			{"accept", "s2_better", true}, {"s2_fast", "accept", true}, {"off", "", false}, {"", "off", false},
			{auto, "s2_best", false}, {"on", "true", false}, {"disabled", "s2_fast", false},
		} {
			hub, between := layout{kind: p.hub, block: mode(each.hub)}.startBehind(t, weather{})
			leaf := layout{kind: p.leaf, remotes: []string{remote(between.addr, mode(each.leaf))}}.start(t)
			h, l := hub.client(t), leaf.client(t)
			for _, d := range bothDirections(h, l) {
				sub := subscribe(t, d.to, "text")
				agree(t, h, l)
				w := map[string]way{"up": up, "down": down}[d.name]
				before, sent := between.bytes(w), 0
				for i := range 300 {
					text := fmt.Sprintf("%d %s", i, strings.Repeat("the same words again ", i))
					publish(t, d.from, "text", text)
					sent += len(text)
				}
				for i := range 300 {
					expect(t, sub, "text", fmt.Sprintf("%d %s", i, strings.Repeat("the same words again ", i)))
				}
				carried := int(between.bytes(w) - before)
				if each.packs && carried > sent/3 {
					t.Errorf("%q with %q: %d bytes %s as %d", each.hub, each.leaf, sent, d.name, carried)
				}
				if off := each.hub == "off" || each.leaf == "off" || each.hub == "disabled"; off && carried < sent {
					t.Errorf("%q with %q: %d bytes %s as only %d", each.hub, each.leaf, sent, d.name, carried)
				}
				sub.Unsubscribe()
			}
			hub.Kill()
			leaf.Kill()
		}
	})
}

func mode(word string) string {
	if word == "" {
		return ""
	}
	return "compression: " + word + "\n"
}

// A gateway's 20,000 subscriptions reach the hub within 5 s of the link, and of every one after it; later where
// the machine is busy with other tests.
func TestHubLearnsOf20000SubscriptionsInTime(t *testing.T) {
	onPairs(t, nil, func(t *testing.T, p pair) {
		const count = 20_000
		hub, leaf, between := p.linkThrough(t, weather{})
		l := leaf.client(t)
		reach(t, hub.client(t), l)
		var want []string
		began := time.Now()
		for i := range count {
			subject := fmt.Sprintf("plant.line%d.machine%05d", i%40, i)
			if _, err := l.Subscribe(subject, func(*nats.Msg) {}); err != nil {
				t.Fatal(err)
			}
			want = append(want, subject)
		}
		flush(t, l)
		learnt := hub.awaitWishes(t, count, began)
		old := hub.links(t).Leafs[0].Port
		between.reset()
		began = time.Now()
		// The leaf may be back before the hub has seen that the old link is gone.
		process.Eventually(t, 2*patience, "a new link", func() bool {
			page := hub.links(t)
			return page.Count == 1 && page.Leafs[0].Port != old
		})
		again := hub.awaitWishes(t, count, began)
		t.Logf("%v, and %v after a cut", learnt, again)
		if limit := inForm(2*patience, 5*time.Second); learnt > limit || again > limit {
			t.Errorf("it took %v, and %v after a cut", learnt, again)
		}
		got := hub.interest(t, "plant.")
		if len(without(got, slices.Sorted(slices.Values(want))))+len(without(slices.Sorted(slices.Values(want)), got)) != 0 {
			t.Errorf("the hub knows %d", len(got))
		}
	})
}

// awaitWishes waits until a node's only link has told of so many subscriptions at least.
func (n *node) awaitWishes(t *testing.T, count int, since time.Time) time.Duration {
	t.Helper()
	process.Eventually(t, 2*patience, fmt.Sprintf("%s knows of %d subscriptions", n.name, count), func() bool {
		var page struct {
			Leafs []struct{ Subscriptions int }
		}
		n.page(t, "/leafz", &page)
		return len(page.Leafs) == 1 && page.Leafs[0].Subscriptions >= count
	})
	return time.Since(since).Round(time.Millisecond)
}

// Many gateways have one hub; all are there, each hears what is for all and what is for it alone, and all
// come back after the hub was away.
func TestManyLeavesShareOneHub(t *testing.T) {
	onPairs(t, nil, func(t *testing.T, p pair) {
		count := inForm(10, 200)
		if p.leaf != process.Edgebus {
			count = 10 // two hundred of these are too much for a small machine
		}
		hub := layout{kind: p.hub, hub: true}.start(t)
		h := hub.client(t, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		var all []*nats.Subscription
		for i := range count {
			leaf := layout{kind: p.leaf, name: fmt.Sprintf("gateway-%d", i), block: quickly(p.leaf), remotes: []string{remote(hub.leafs)}}.start(t)
			l := leaf.client(t)
			all = append(all, subscribe(t, l, "for.all"))
			subscribe(t, l, "echo.ignored")
			own := fmt.Sprintf("for.%d", i)
			if _, err := l.Subscribe(own, func(m *nats.Msg) { m.Respond([]byte(own)) }); err != nil {
				t.Fatal(err)
			}
			flush(t, l)
		}
		for range 2 {
			// By name, where a hub tells it: a busy stock one that timed one out counts it twice when it is back.
			process.Eventually(t, 2*patience, fmt.Sprintf("all %d are there", count), func() bool {
				return hub.links(t).Count == count || len(hub.leaves(t)) == count
			})
			for i := range count {
				process.Eventually(t, patience, "an answer of its own", func() bool {
					m, err := h.Request(fmt.Sprintf("for.%d", i), nil, 2*time.Second)
					return err == nil && string(m.Data) == fmt.Sprintf("for.%d", i)
				})
			}
			publish(t, h, "for.all", "once")
			for _, sub := range all {
				expect(t, sub, "for.all", "once")
			}
			hub.Kill()
			hub.Again()
		}
	})
}
