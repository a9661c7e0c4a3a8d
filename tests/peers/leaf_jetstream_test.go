//go:build linux

package peers

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// streaming is the lines of a nats-server with JetStream of a domain.
func streaming(t *testing.T, domain string) string {
	return fmt.Sprintf("jetstream { store_dir: %q, domain: %s, max_memory_store: 10MB, max_file_store: 10MB }", t.TempDir(), domain)
}

// The JetStream of the other side is reached by its domain and by nothing else, whichever side it is on.
func TestJetStreamIsReachedAcrossALeafLinkByItsDomain(t *testing.T) {
	keep := func(p pair) bool { return !p.old() && (p.hub != process.Edgebus || p.leaf != process.Edgebus) }
	onPairsAtOnce(t, keep, func(t *testing.T, p pair) {
		up, below := layout{kind: p.hub, hub: true}, layout{kind: p.leaf}
		if p.hub == process.Reference {
			up.config = streaming(t, "far")
		} else {
			below.config = streaming(t, "far")
		}
		hub := up.start(t)
		below.remotes = []string{remote(hub.leafs)}
		leaf := below.start(t)
		far, near := hub.client(t), leaf.client(t)
		if up.config == "" {
			far, near = near, far
		}
		agree(t, far, near)

		if _, err := near.Request("$JS.API.INFO", nil, patience); err != nats.ErrNoResponders {
			t.Errorf("JetStream with no domain is answered across the link: %v", err)
		}
		js := must(near.JetStream(nats.Domain("far"), nats.MaxWait(patience)))
		info, err := js.AddStream(&nats.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Storage: nats.MemoryStorage})
		if err != nil || info.Config.Name != "ORDERS" {
			t.Fatalf("%+v %v", info, err)
		}
		reach(t, near, far) // that the stream's subjects are wanted is known by now
		for i := range 3 {
			ack, err := js.Publish(fmt.Sprintf("orders.%d", i), []byte("text"), nats.AckWait(patience))
			if err != nil || ack.Sequence != uint64(i+1) || ack.Domain != "far" {
				t.Fatalf("%+v %v", ack, err)
			}
		}
		pullAcross(t, js)
		pushAcross(t, js)
		keysAcross(t, js)
	})
}

func pullAcross(t *testing.T, js nats.JetStreamContext) {
	t.Helper()
	sub, err := js.PullSubscribe("orders.>", "puller")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		messages, err := sub.Fetch(1, nats.MaxWait(patience))
		if err != nil || len(messages) != 1 || messages[0].Subject != fmt.Sprintf("orders.%d", i) {
			t.Fatalf("pull %d: %v %v", i, messages, err)
		}
		if err := messages[0].AckSync(nats.AckWait(patience)); err != nil {
			t.Fatalf("ack %d: %v", i, err)
		}
	}
	info, err := sub.ConsumerInfo()
	if err != nil || info.AckFloor.Stream != 3 {
		t.Fatalf("acknowledged up to %+v, %v", info, err)
	}
}

// A push consumer's message comes on a subject that it is delivered to, and has its own besides.
func pushAcross(t *testing.T, js nats.JetStreamContext) {
	t.Helper()
	sub, err := js.SubscribeSync("orders.>", nats.DeliverAll(), nats.AckExplicit())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m := expect(t, sub, fmt.Sprintf("orders.%d", i), "text")
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != uint64(i+1) {
			t.Fatalf("%+v %v", meta, err)
		}
		if err := m.AckSync(nats.AckWait(patience)); err != nil {
			t.Fatalf("ack %d: %v", i, err)
		}
	}
}

func keysAcross(t *testing.T, js nats.JetStreamContext) {
	t.Helper()
	bucket, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "settings", Storage: nats.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put("colour", []byte("blue")); err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get("colour")
	if err != nil || string(entry.Value()) != "blue" {
		t.Fatalf("%v %v", entry, err)
	}
}
