//go:build linux

package peers

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// thin is a link as gateways in the field have it: 50 kbit/s, and 600 ms for there and back.
var thin = weather{delay: 300 * time.Millisecond, rate: 50_000 / 8, buffer: 16 << 10}

// A backlog on a thin link takes its time, and does not cost the link: whoever asks the edgebus that sends
// it whether it lives is answered in time. Between two nats-servers the answer waits behind the backlog, so
// they get a line that is less thin.
func thinLinkDeliversItsBacklog(t *testing.T) {
	sideBySide(t, nil, func(t *testing.T, p pair) {
		const size = 1000
		messages, w := inForm(130, 2000), thin
		if p.hub != process.Edgebus && p.leaf != process.Edgebus {
			messages, w = 130, weather{delay: 50 * time.Millisecond, rate: 40_000}
		}
		asking := inForm("ping_interval: \"5s\"\nping_max: 2", "")
		hub, between := layout{kind: p.hub, config: asking}.startBehind(t, w)
		leaf := layout{kind: p.leaf, config: asking, remotes: []string{remote(between.addr)}}.start(t)
		from, to := leaf.client(t), hub.client(t)
		if p.leaf != process.Edgebus {
			from, to = to, from
		}
		sub := subscribe(t, to, "readings")
		reach(t, from, to)
		first := len(between.tries())
		for i := range messages {
			data := make([]byte, size)
			rand.Read(data) // nothing to compress
			binary.BigEndian.PutUint32(data, uint32(i))
			if err := from.Publish("readings", data); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, from)
		began, atMost := time.Now(), 2*time.Duration(messages*size)*time.Second/time.Duration(w.rate)
		for i := range messages {
			m, err := sub.NextMsg(max(time.Second, atMost-time.Since(began)))
			if err != nil {
				t.Fatalf("message %d after %v: %v", i, time.Since(began), err)
			}
			if n := binary.BigEndian.Uint32(m.Data); n != uint32(i) {
				t.Fatalf("message %d where %d is due", n, i)
			}
		}
		t.Logf("%d bytes in %v", messages*size, time.Since(began).Round(time.Millisecond))
		if long() && w == thin {
			<-time.After(time.Until(began.Add(10 * time.Minute)))
		}
		if n := len(between.tries()); n != first {
			t.Errorf("the link was made %d times", n)
		}
	})
}

// What is wanted goes ahead of messages: an edgebus tells it at once, however much waits.
func interestOvertakesABacklog(t *testing.T) {
	sideBySide(t, func(p pair) bool { return p.leaf == process.Edgebus }, func(t *testing.T, p pair) {
		hub, between := layout{kind: p.hub}.startBehind(t, thin)
		leaf := layout{kind: p.leaf, remotes: []string{remote(between.addr)}}.start(t)
		h, l := hub.client(t), leaf.client(t)
		subscribe(t, h, "readings")
		reach(t, l, h)
		for range 400 {
			data := make([]byte, 1000)
			rand.Read(data)
			if err := l.Publish("readings", data); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, l)
		subscribe(t, l, "late.wish")
		// 400 KB take more than a minute. What was on its way already, at most a window, goes first.
		process.Eventually(t, 25*time.Second, "the hub knows", func() bool { return len(hub.interest(t, "late.")) == 1 })
	})
}

// pings make a stock server find a dead link in seconds, and deadAfter an edgebus.
const pings = "ping_interval: \"1s\"\nping_max: 2"

func deadAfter(kind process.Kind, text string) string {
	if kind == process.Edgebus {
		return "dead_after: " + text + "\n"
	}
	return ""
}

// A link that has died without a word is noticed at both ends, while clients of the leaf publish as fast
// as they can: locally, and for the hub.
func silentLinkIsGivenUp(t *testing.T) {
	sideBySide(t, nil, func(t *testing.T, p pair) {
		config, dead, limit := inForm(pings, ""), inForm("3s", "28s"), inForm(12*time.Second, 32*time.Second)
		hub, between := layout{kind: p.hub, config: config, block: deadAfter(p.hub, dead)}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, config: config, block: deadAfter(p.leaf, dead) + quickly(p.leaf), remotes: []string{remote(between.addr)}}.start(t)
		if long() && (p.leaf != process.Edgebus || p.hub != process.Edgebus) {
			limit = 10 * time.Minute // a nats-server asks every 2 minutes, and takes it for lost after the third
		}
		h, l := hub.client(t), leaf.client(t)
		agree(t, h, l)
		load := loadOn(t, leaf, "load")
		wanted, err := h.Subscribe("load", func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		flush(t, h)
		agree(t, h, l)
		dialled := len(between.tries())
		between.last().stall(true)
		began := time.Now()
		process.Eventually(t, limit, "the leaf dials anew", func() bool { return len(between.tries()) > dialled })
		noticed := time.Since(began)
		before := load.received.Load()
		process.Eventually(t, patience, "local messages flow", func() bool { return load.received.Load() > before+100 })
		wanted.Unsubscribe()
		load.end()
		agree(t, h, l)
		t.Logf("noticed after %v, %d messages meanwhile", noticed.Round(time.Millisecond), load.received.Load())
		process.Eventually(t, limit, "the hub has but the new link", func() bool { return hub.links(t).Count == 1 })
	})
}

// A load is a client that publishes as fast as its server takes it, and one that receives.
type load struct {
	received atomic.Int64
	end      func()
}

func loadOn(t *testing.T, n *node, subject string) *load {
	t.Helper()
	in, out := n.client(t), n.client(t)
	ld := &load{}
	sub, err := in.Subscribe(subject, func(*nats.Msg) { ld.received.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	sub.SetPendingLimits(-1, -1)
	flush(t, in)
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		data := make([]byte, 100)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond): // the test's machine has others to serve
			}
			for range inForm(10, 100) {
				out.Publish(subject, data)
			}
			out.FlushTimeout(patience)
		}
	})
	ld.end = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	t.Cleanup(ld.end)
	return ld
}

// A dead line costs local clients nothing. What waits for it is bounded; at the bound an edgebus drops
// and goes on with the same link.
func TestDeadLineCostsLocalClientsNothing(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		const messages, size = 20_000, 1000
		bound := ""
		if p.leaf == process.Edgebus {
			bound = "max_pending: 2MB\ndead_after: 60s"
		}
		hub, between := layout{kind: p.hub}.startBehind(t, weather{buffer: 64 << 10})
		leaf := layout{kind: p.leaf, block: bound, remotes: []string{remote(between.addr)}}.start(t)
		h, l, other := hub.client(t), leaf.client(t), leaf.client(t)
		own, atHub := subscribe(t, other, "readings"), subscribe(t, h, "readings")
		own.SetPendingLimits(-1, -1)
		atHub.SetPendingLimits(-1, -1)
		marks := subscribe(t, h, "marks")
		agree(t, h, l)
		dialled := len(between.tries())
		memory := leaf.RSS()
		between.last().stall(true)
		began := time.Now()
		text := fmt.Sprintf("%*d", size, 0)
		for range messages {
			publish(t, l, "readings", text)
		}
		flush(t, l)
		for i := range messages {
			if _, err := own.NextMsg(patience); err != nil {
				t.Fatalf("local message %d: %v", i, err)
			}
		}
		t.Logf("%v for %d local messages; memory from %d to %d MiB", time.Since(began).Round(time.Millisecond), messages, memory>>20, leaf.PeakRSS()>>20)
		if p.leaf == process.Edgebus && leaf.PeakRSS() > memory+20<<20 && !process.Raced() {
			t.Errorf("memory went from %d to %d bytes", memory, leaf.PeakRSS())
		}
		between.last().stall(false)
		process.Eventually(t, patience, "what comes after reaches the hub", func() bool {
			publish(t, l, "marks", "mark")
			_, err := marks.NextMsg(200 * time.Millisecond)
			return err == nil
		})
		if n := len(between.tries()) - dialled; n != 0 {
			t.Errorf("the link was made anew %d times", n)
		}
		if n, _, _ := atHub.Pending(); p.leaf == process.Edgebus && (n == 0 || n >= messages) {
			t.Errorf("%d messages have reached the hub", n)
		}
	})
}
