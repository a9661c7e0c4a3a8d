package peers

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// flatten lists what an event says, key by key. Of what differs from run to run only that it is there counts.
func flatten(path string, value any, into []string) []string {
	object, ok := value.(map[string]any)
	if !ok {
		switch path[strings.LastIndexByte(path, '.')+1:] {
		case "id", "timestamp", "start", "stop", "rtt", "num_subscriptions", "ver":
			value = fmt.Sprintf("%T", value)
		}
		return append(into, fmt.Sprintf("%s=%v", path[1:], value))
	}
	for key, one := range object {
		if path != "" || key != "server" {
			into = flatten(path+"."+key, one, into)
		}
	}
	return into
}

// Whoever listens on the system account hears of a leaf that comes, goes or is refused what a stock server says of
// it, and nothing else: users of the leafnodes block are counted, and not told of by name.
func TestEventsOfLeavesAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	const accounts = `accounts { A { users: [ { user: edge, password: p } ] }, SYS { users: [ { user: sys, password: p } ] } }
system_account: SYS`
	for _, own := range []bool{false, true} {
		heard := map[process.Kind][2][]string{}
		for _, kind := range []process.Kind{process.Reference, process.Edgebus} {
			// Who is late to log in would be refused, and come again.
			hub := layout{kind: kind, hub: true, name: "hub", config: accounts, block: "authorization { timeout: 10 }"}
			if own {
				hub.block = "authorization { timeout: 10, users: [ { user: edge, password: p, account: A } ] }"
			}
			// Both are listened to before anybody is at the address between them.
			between := address(process.FreePort(t))
			at := fmt.Sprintf("nats-leaf://edge:%%s@%s", between)
			hub.block += fmt.Sprintf("\nadvertise: %q", between)
			h := hub.start(t)
			leaf := layout{kind: kind, name: "leaf", config: strings.ReplaceAll(accounts, "A {", "L {"), block: `reconnect: "50ms"`,
				remotes: []string{remote(fmt.Sprintf(at, "p"), "account: L")}}.start(t)
			atLeaf, atHub := listenTo(t, leaf), listenTo(t, h)
			ln, err := net.Listen("tcp", between)
			if err != nil {
				t.Fatal(err)
			}
			newLineAt(t, ln, h.leafs, weather{})
			near := atLeaf.take(t, "L", "SERVER.CONNS", "CONNECT")
			// In $SYS.ACCOUNT.A both say four things of a leaf that comes and goes, or three.
			comes := []string{"SERVER.CONNS"}
			if !own {
				comes = append(comes, "CONNECT")
			}
			far := atHub.take(t, "A", comes...)
			h.awaitLinks(t, 1)
			leaf.Stop()
			far = append(far, atHub.take(t, "A", "SERVER.CONNS", "DISCONNECT")...)
			bad := layout{kind: kind, name: "bad", config: strings.ReplaceAll(accounts, "A {", "L {"), remotes: []string{remote(fmt.Sprintf(at, "no"), "account: L")}}.start(t)
			far = append(far, atHub.take(t, "", "CLIENT.AUTH.ERR")...)
			bad.Kill()
			slices.Sort(far)
			heard[kind] = [2][]string{near, far}
		}
		for i, side := range []string{"leaf", "hub"} {
			want, got := heard[process.Reference][i], heard[process.Edgebus][i]
			for _, text := range want {
				if !slices.Contains(got, text) {
					t.Errorf("own users %v: at the %s the reference alone says\n%s", own, side, text)
				}
			}
			for _, text := range got {
				if !slices.Contains(want, text) {
					t.Errorf("own users %v: at the %s edgebus alone says\n%s", own, side, text)
				}
			}
		}
	}
}

// An ear is somebody on the system account.
type ear struct{ subs []*nats.Subscription }

func listenTo(t *testing.T, n *node) *ear {
	t.Helper()
	nc := n.client(t, nats.UserInfo("sys", "p"))
	e := &ear{[]*nats.Subscription{subscribe(t, nc, "$SYS.ACCOUNT.*.>"), subscribe(t, nc, "$SYS.SERVER.*.CLIENT.AUTH.ERR")}}
	flush(t, nc)
	return e
}

// take waits for events about an account, in any order, and returns what they say. What is about others is
// passed over; empty: it is about no account.
func (e *ear) take(t *testing.T, account string, want ...string) (all []string) {
	t.Helper()
	sub, prefix := e.subs[0], "$SYS.ACCOUNT."+account+"."
	if account == "" {
		sub = e.subs[1]
	}
	for len(want) > 0 {
		m, err := sub.NextMsg(2 * patience)
		if err != nil {
			t.Fatalf("waiting for %q: %v; heard %q", want, err, all)
		}
		kind := strings.TrimPrefix(m.Subject, prefix)
		if account == "" {
			kind = strings.Join(strings.Split(m.Subject, ".")[3:], ".")
		} else if kind == m.Subject {
			continue
		}
		i := slices.Index(want, kind)
		if i < 0 {
			t.Fatalf("unexpected: %s %s", m.Subject, m.Data)
		}
		want = slices.Delete(want, i, i+1)
		var said any
		if err := json.Unmarshal(m.Data, &said); err != nil {
			t.Fatal(err)
		}
		text := flatten("", said, nil)
		slices.Sort(text)
		all = append(all, kind+"\n  "+strings.Join(text, "\n  "))
	}
	slices.Sort(all)
	return all
}

// What leaves have carried is part of what their account and the server have, and stands beside it by itself,
// after they have gone as well.
func TestPagesCountWhatLeavesCarryAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	type counts struct {
		Sent, Received struct {
			Msgs, Bytes int64
			Leafs       struct{ Msgs, Bytes int64 }
		}
		Conns, LeafNodes, Total int
	}
	type shown struct {
		account  counts
		in, only int64 // messages of everybody, and of clients
	}
	seen := map[process.Kind][2]shown{}
	for _, kind := range []process.Kind{process.Reference, process.Edgebus} {
		users := `accounts { A { users: [ { user: edge, password: p } ] } }`
		hub := layout{kind: kind, hub: true, config: users}.start(t)
		leaf := layout{kind: kind, remotes: []string{remote("nats-leaf://edge:p@" + hub.leafs)}}.start(t)
		far, near := hub.client(t, nats.UserInfo("edge", "p")), leaf.client(t)
		up, down := subscribe(t, far, "up"), subscribe(t, near, "down")
		process.Eventually(t, patience, "both know", func() bool {
			return len(hub.interest(t, "down")) == 1 && len(leaf.interest(t, "up")) == 1
		})
		for range 5 {
			publish(t, near, "up", "12345")
			expect(t, up, "up", "12345")
		}
		for range 3 {
			publish(t, far, "down", "1234567")
			expect(t, down, "down", "1234567")
		}
		look := func() (s shown) {
			var page struct {
				Accounts []struct {
					Acc string
					counts
					LeafCount  int `json:"leafnodes"`
					TotalConns int `json:"total_conns"`
				} `json:"account_statz"`
			}
			hub.page(t, "/accstatz", &page)
			for _, a := range page.Accounts {
				if a.Acc == "A" {
					s.account = a.counts
					s.account.LeafNodes, s.account.Total = a.LeafCount, a.TotalConns
				}
			}
			var varz struct {
				In   int64 `json:"in_msgs"`
				Only int64 `json:"in_client_msgs"`
			}
			hub.page(t, "/varz", &varz)
			s.in, s.only = varz.In, varz.Only
			return s
		}
		flush(t, far)
		before := look()
		leaf.Kill()
		hub.awaitLinks(t, 0)
		seen[kind] = [2]shown{before, look()}
	}
	want, got := seen[process.Reference], seen[process.Edgebus]
	if got != want {
		t.Errorf("with the leaf and without it\n%+v, want\n%+v", got, want)
	}
	if n := want[0].account.Received.Leafs.Msgs; n != 5 {
		t.Errorf("the reference counts %d of 5 messages: the test does not ask what it should", n)
	}
}
