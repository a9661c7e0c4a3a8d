package peers

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
	"github.com/nats-io/nats.go"
)

// A receipts page is what an edgebus knows of what is on its way.
type receipts struct {
	Leafs []struct {
		OutMsgs int64 `json:"out_msgs"`
		Link    struct {
			Announced        int
			Waiting          int    `json:"waiting_msgs"`
			Unconfirmed      int    `json:"unconfirmed_msgs"`
			UnconfirmedBytes int    `json:"unconfirmed_bytes"`
			ReceiptAge       string `json:"receipt_age"`
		}
	}
}

// What a receipt has come for has been processed at the hub: the messages are in its books, and with
// whoever wants them there. It is what later keeps messages until they have arrived.
func TestLeafReceiptMeansThatTheHubHasProcessedTheMessage(t *testing.T) {
	onPairs(t, func(p pair) bool { return p.leaf == process.Edgebus }, func(t *testing.T, p pair) {
		const messages = 2000
		hub, leaf := p.link(t)
		h, l := hub.client(t), leaf.client(t)
		sub := subscribe(t, h, "receipt.>")
		reach(t, l, h)
		for i := range messages {
			if err := l.Publish("receipt.x", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, l)
		var sent int64
		process.Eventually(t, patience, "everything is confirmed", func() bool {
			var page receipts
			leaf.page(t, "/leafz", &page)
			if len(page.Leafs) != 1 || page.Leafs[0].OutMsgs < messages || page.Leafs[0].Link.ReceiptAge == "" {
				return false
			}
			sent = page.Leafs[0].OutMsgs
			link := page.Leafs[0].Link
			return link.Waiting == 0 && link.Unconfirmed == 0 && link.UnconfirmedBytes == 0
		})
		// At once, without waiting for anything: a receipt is no promise.
		if got := hub.links(t).Leafs[0].InMsgs; got < sent {
			t.Errorf("%d messages are confirmed and the hub has %d", sent, got)
		}
		flush(t, h) // what the hub had for its client has gone out before this is answered
		if n, _, err := sub.Pending(); err != nil || n != messages {
			t.Errorf("the hub's client has %d of %d: %v", n, messages, err)
		}
	})
}

// Messages that nobody has confirmed when the link is cut are counted.
func TestLeafCountsWhatACutTookAlong(t *testing.T) {
	onPairs(t, func(p pair) bool { return p.leaf == process.Edgebus }, func(t *testing.T, p pair) {
		hub, leaf, between := p.linkThrough(t, weather{})
		h, l := hub.client(t), leaf.client(t)
		subscribe(t, h, "lost")
		reach(t, l, h)
		between.last().stall(true)
		const messages = 5
		for range messages {
			if err := l.Publish("lost", []byte("?")); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, l)
		between.last().reset()
		process.Eventually(t, patience, "the loss is counted", func() bool {
			var page struct {
				Waiting     int `json:"lost_waiting_msgs"`
				Unconfirmed int `json:"lost_unconfirmed_msgs"`
			}
			leaf.page(t, "/leafz", &page)
			return page.Waiting+page.Unconfirmed >= messages
		})
	})
}

// A link in the system account lets the hub's operator see the edge.
func TestSystemAccountsAreJoined(t *testing.T) {
	const accounts = `accounts { SYS { users: [ { user: sys, password: s } ] } }
system_account: SYS`
	onPairs(t, func(p pair) bool { return p.leaf == process.Edgebus || p.hub == process.Edgebus }, func(t *testing.T, p pair) {
		hub := layout{kind: p.hub, hub: true, config: accounts}.start(t)
		leaf := layout{kind: p.leaf, config: accounts, remotes: []string{remote("nats-leaf://sys:s@"+hub.leafs, "account: SYS")}}.start(t)
		h := hub.client(t, nats.UserInfo("sys", "s"))
		seen := map[string]int{}
		process.Eventually(t, 2*patience, "both servers answer a PING of all", func() bool {
			clear(seen)
			inbox := nats.NewInbox()
			sub, err := h.SubscribeSync(inbox)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Unsubscribe()
			if err := h.PublishRequest("$SYS.REQ.SERVER.PING", inbox, nil); err != nil {
				t.Fatal(err)
			}
			for {
				m, err := sub.NextMsg(300 * time.Millisecond)
				if err != nil {
					break
				}
				var answer struct{ Server struct{ Name string } }
				if err := json.Unmarshal(m.Data, &answer); err == nil {
					seen[answer.Server.Name]++
				}
			}
			return seen[hub.name] > 0 && seen[leaf.name] > 0
		})
		if len(seen) != 2 || seen[hub.name] != 1 || seen[leaf.name] != 1 {
			t.Errorf("answers: %v", seen)
		}
	})
}
