//go:build linux

package peers

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// counted is what a gateway has counted of messages that did not get where they should, over all its lives.
type counted struct {
	past, now map[string]int
	rss       int64 // the most of any life
}

// read asks the gateway, which must be able to answer.
func (n *counted) read(t *testing.T, g *node) {
	t.Helper()
	var accounts struct {
		List []struct {
			Name    string
			Dropped map[string]int `json:"dropped_msgs"`
		} `json:"account_statz"`
	}
	g.page(t, "/accstatz?unused=1", &accounts)
	var links struct {
		Unconfirmed int `json:"lost_unconfirmed_msgs"`
	}
	g.page(t, "/leafz", &links)
	n.now = map[string]int{"unconfirmed": links.Unconfirmed}
	for _, each := range accounts.List {
		if each.Name == "PLANT" { // the account of the link, and of nobody but the flows by it
			for why, count := range each.Dropped {
				n.now[why] = count
			}
		}
	}
	n.rss = max(n.rss, g.PeakRSS())
}

// life ends one life: the next one counts from the beginning.
func (n *counted) life() {
	if n.past == nil {
		n.past = map[string]int{}
	}
	for why, count := range n.now {
		n.past[why] += count
	}
	n.now = nil
}

// all is the sum, by reason.
func (n *counted) all() (total int, reasons map[string]int) {
	n.life()
	for _, count := range n.past {
		total += count
	}
	return total, n.past
}

// A plague is the pests of a run.
type plague struct {
	pests
	wg sync.WaitGroup
}

func (c *chaos) newPlague(ctx context.Context) *plague {
	return &plague{pests: pests{ctx: ctx, random: func(number uint64) *rand.Rand { return rand.New(rand.NewPCG(c.trouble.seed, number)) }}}
}

func (p *plague) begin(c *chaos) {
	doors := func(n *node) []string {
		return []string{n.Addr(), n.Addr(), n.leafs, strings.TrimPrefix(n.pages, "http://")}
	}
	site := nats.UserInfo("site", "s")
	flooder := c.theirs(c.enduring.Addr(), "site", "s")
	p.wg.Go(func() { p.throwGarbage(200, doors(c.enduring)...) })
	p.wg.Go(func() { p.throwGarbage(201, doors(c.mortal)...) })
	for i := range 3 {
		p.wg.Go(func() { p.readSlowly(210+uint64(i), c.enduring) })
	}
	p.wg.Go(func() { p.flood(220, flooder) })
	p.wg.Go(func() { p.comeAndGo(230, c.enduring, site) })
	p.wg.Go(func() { p.comeAndGo(231, c.mortal, site) })
}

// watch lets time pass, and shows every now and then how the gateway is that never ends.
func (c *chaos) watch(length time.Duration) {
	every := max(length/30, time.Second)
	for end := time.Now().Add(length); time.Now().Before(end) && !c.t.Failed(); {
		pause(c.ctx, min(every, time.Until(end)))
		if !c.enduring.Running() {
			c.t.Fatalf("the gateway that nobody killed has ended:\n%s", c.enduring.Log())
		}
		if length >= time.Minute {
			messages := 0
			for _, f := range c.flows {
				f.mu.Lock()
				messages += f.sent
				f.mu.Unlock()
			}
			c.t.Logf("%6.0f s: %5.1f MiB, at most %5.1f, %3d descriptors, %d messages", time.Since(c.trouble.began).Seconds(),
				mib(c.enduring.RSS()), mib(c.enduring.PeakRSS()), c.enduring.Descriptors(), messages)
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// verdict looks at what has become of all messages, and at memory.
func (c *chaos) verdict(bad *plague) {
	t := c.t
	c.trouble.tell()
	t.Logf("%d pieces of garbage, %d slow readers of which %d were cut off, %d messages for them, %d requests of short visits",
		bad.garbage.Load(), bad.slow.Load(), bad.slowClosed.Load(), bad.flooded.Load(), bad.asked.Load())
	c.ofEnduring.read(t, c.enduring)
	c.ofMortal.read(t, c.mortal)
	missing := map[*counted]int{}
	for _, f := range c.flows {
		n := f.audit(t)
		if f.counts != nil {
			missing[f.counts] += n
		}
	}
	for n, g := range map[*counted]*node{&c.ofEnduring: c.enduring, &c.ofMortal: c.mortal} {
		total, reasons := n.all()
		t.Logf("%s: %d messages missing at the hub, %d counted: %v", g.name, missing[n], total, reasons)
		if missing[n] > total {
			t.Errorf("%s has counted %d of %d messages that it has lost", g.name, total, missing[n])
		}
		t.Logf("%s: %.1f MiB at most", g.name, mib(n.rss))
		if n.rss > chaosMemory && !process.Raced() {
			t.Errorf("%s has used %d bytes of memory, more than %d", g.name, n.rss, chaosMemory)
		}
		for _, words := range []string{"panic", "fatal error", "DATA RACE"} {
			if g.Logged(words) {
				t.Errorf("%s has logged %q:\n%s", g.name, words, g.Log())
			}
		}
	}
	c.slowOnes(bad)
}

// slowOnes looks at how the gateway accounts for those that it has cut off: each is counted, and shown with
// the reason and with what it did not get.
func (c *chaos) slowOnes(bad *plague) {
	t := c.t
	var page struct {
		Slow int64 `json:"slow_consumers"`
	}
	c.enduring.page(t, "/varz", &page)
	var ended struct {
		List []struct {
			Name, Reason string
			Pending      int `json:"pending_bytes"`
		} `json:"connections"`
	}
	c.enduring.page(t, "/connz?state=closed&limit=10000", &ended)
	shown := 0
	for _, each := range ended.List {
		if strings.HasPrefix(each.Reason, "Slow Consumer") {
			if shown++; each.Name != "slow" || each.Pending == 0 {
				t.Errorf("a client was cut off as a slow one: %+v", each)
			}
		}
	}
	closed := bad.slowClosed.Load()
	t.Logf("%d slow readers saw that they were cut off, %d have been counted, the last %d ended connections show %d", closed, page.Slow, len(ended.List), shown)
	if page.Slow < closed || bad.asked.Load() == 0 || long() && shown == 0 {
		t.Errorf("that is not right, or shows nothing: %d visits answered", bad.asked.Load())
	}
}

// leftovers looks for descriptors and goroutines that nobody needs: the gateway that has seen everything must
// be like one that has just begun, once all clients are gone.
func (c *chaos) leftovers() {
	t := c.t
	for _, end := range c.clients {
		end()
	}
	c.atMortal.reset()
	c.atEnduring.reset()
	c.mortal.Kill()
	for _, each := range []*node{c.mortal, c.enduring} {
		each.SetConfig(each.text())
	}
	c.mortal.Again()
	c.enduring.Signal(syscall.SIGHUP)
	for _, each := range []*node{c.mortal, c.enduring} {
		each.awaitLinks(t, 1)
		process.Eventually(t, patience, each.name+" has no clients", func() bool {
			var page struct {
				Count int `json:"num_connections"`
			}
			each.page(t, "/connz", &page)
			return page.Count == 0
		})
	}
	http.DefaultClient.CloseIdleConnections()
	// Whoever looks is a descriptor and a goroutine as well, for a moment.
	process.Eventually(t, patience, "no more descriptors than at the beginning", func() bool {
		return c.enduring.Descriptors() <= c.mortal.Descriptors()
	})
	old, fresh := 0, 0
	for end := time.Now().Add(patience); time.Now().Before(end); pause(context.Background(), 10*time.Millisecond) {
		old, fresh = goroutines(t, c.enduring), goroutines(t, c.mortal)
		if old <= fresh && fresh > 0 {
			break
		}
	}
	for _, each := range []*node{c.mortal, c.enduring} {
		t.Logf("%s: %d descriptors, %.1f MiB", each.name, each.Descriptors(), mib(each.RSS()))
	}
	t.Logf("%d goroutines, and %d in a gateway that has just begun", old, fresh)
	if fresh == 0 || old > fresh {
		t.Errorf("%d goroutines, and %d in a gateway that has just begun", old, fresh)
	}
}

// goroutines counts those of edgebus, not the runtime's.
func goroutines(t *testing.T, n *node) (count int) {
	t.Helper()
	once := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := once.Get(n.pages + "/stacksz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(string(text), "\n\n") {
		if strings.Contains(stack, "edgebus-io/edgebus/") {
			count++
		}
	}
	return count
}
