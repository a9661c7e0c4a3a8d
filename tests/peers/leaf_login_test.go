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

// An entrance is one way for a leaf to prove who it is.
type entrance struct {
	name     string
	keep     func(p pair) bool
	hub      string // its configuration
	block    string // that of its leafnodes block
	closed   string // the configuration under which the same leaf is refused
	shut     string // and the block
	right    func(where string) string
	account  string                                 // of the hub, that the leaf is then in; what its clients are there
	client   func(n *node, t *testing.T) *nats.Conn // in that account
	refusals []string                               // what the leaf says then: one of these
}

// unauthorized is how a leaf says that it was refused: a nats-server's words, and an edgebus's.
var unauthorized = []string{"Authorization Violation", "Authentication Failure"}

// modern keeps to servers that know what 2.9 does not.
func modern(p pair) bool { return !p.old() }

// entrances makes keys anew for each test.
func entrances(t *testing.T) []entrance {
	named := func(user string) func(n *node, t *testing.T) *nats.Conn {
		return func(n *node, t *testing.T) *nats.Conn { return n.client(t, nats.UserInfo(user, user)) }
	}
	anyone := func(n *node, t *testing.T) *nats.Conn { return n.client(t) }
	withUser := func(user string) func(string) string {
		return func(where string) string { return remote("nats-leaf://" + user + "@" + where) }
	}
	const accounts = "accounts { A { users: [{user: a, password: a}, {user: l, password: %s}] }, B { users: [{user: b, password: b}] } }"
	u, other := userKey(), userKey()
	withKey := func(key string) func(string) string {
		return func(where string) string { return remote(where, fmt.Sprintf("nkey: %q", key)) }
	}
	const keyed = "accounts { A { users: [{user: a, password: a}, {nkey: %s}] } }"

	r := newRealm()
	system, shop := r.account("SYS"), r.account("SHOP")
	system.claims.Limits.Conn, shop.claims.Limits.LeafNodeConn = -1, 5
	trust := r.trust(system) + r.preload()
	leaf, client := shop.user("leaf", nil), shop.user("client", nil)
	clientFile := client.creds(t)
	shop.claims.Limits.LeafNodeConn = 0
	shop.claims.Revoke(leaf.public())
	distrust := r.trust(system) + r.preload()
	withCreds := func(file string) func(string) string {
		return func(where string) string { return remote(where, fmt.Sprintf("credentials: %q", file)) }
	}

	return []entrance{
		{name: "user of an account", hub: fmt.Sprintf(accounts, "right"), closed: fmt.Sprintf(accounts, "changed"),
			right: withUser("l:right"), account: "A", client: named("a")},
		{name: "user of the block, bound to an account", hub: fmt.Sprintf(accounts, "x"), closed: fmt.Sprintf(accounts, "x"),
			block: `authorization { users: [{user: edge, password: right, account: B}] }`,
			shut:  `authorization { users: [{user: edge, password: changed, account: B}] }`,
			right: withUser("edge:right"), account: "B", client: named("b")},
		{name: "the block's single user", block: `authorization { user: edge, password: right }`,
			shut: `authorization { user: edge, password: changed }`, right: withUser("edge:right"), client: anyone},
		{name: "token", keep: modern, hub: "authorization { token: secret }", closed: "authorization { token: changed }",
			right: withUser("secret"), client: func(n *node, t *testing.T) *nats.Conn { return n.client(t, nats.Token("secret")) }},
		{name: "key", keep: modern, hub: fmt.Sprintf(keyed, u.public()), closed: fmt.Sprintf(keyed, other.public()),
			right: withKey(u.seed()), account: "A", client: named("a")},
		// A nats-server takes but the seed itself.
		{name: "key in a file", keep: func(p pair) bool { return p.leaf == process.Edgebus }, hub: fmt.Sprintf(keyed, u.public()),
			closed: fmt.Sprintf(keyed, other.public()), right: withKey(write(t, "seed.nk", u.seed())), account: "A", client: named("a")},
		{name: "creds", hub: trust, closed: distrust, right: withCreds(leaf.creds(t)), account: shop.public(),
			client: func(n *node, t *testing.T) *nats.Conn { return n.client(t, nats.UserCredentials(clientFile)) }},
	}
}

func TestLeafEntersByEachKindOfCredential(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		for _, e := range entrances(t) {
			if e.keep != nil && !e.keep(p) {
				continue
			}
			t.Run(e.name, func(t *testing.T) {
				hub := layout{kind: p.hub, hub: true, config: e.hub, block: e.block}.start(t)
				leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{e.right(hub.leafs)}}.start(t)
				agree(t, e.client(hub, t), leaf.client(t))
				if links := hub.links(t); links.Count != 1 || e.account != "" && links.Leafs[0].Account != e.account {
					t.Errorf("the hub has %+v, want one in account %s", links, e.account)
				}
			})
		}
	})
}

// A leaf that is refused goes on trying, and is in soon after the hub is put right.
func TestRefusedLeafEntersOnceTheHubIsPutRight(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		es := entrances(t)
		tests := map[string]func(t *testing.T){}
		for _, e := range es {
			if e.keep != nil && !e.keep(p) {
				continue
			}
			tests[e.name] = func(t *testing.T) {
				hub, between := layout{kind: p.hub, config: e.closed, block: e.shut + "\n"}.startBehind(t, weather{})
				leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{e.right(between.addr)}}.start(t)
				leaf.awaitLog(t, unauthorized...)
				process.Eventually(t, patience, "it tries again", func() bool { return len(between.tries()) > 1 })
				if n := hub.links(t).Count; n != 0 {
					t.Errorf("%d links", n)
				}
				hub.restart(func(l *layout) {
					l.config = e.hub
					l.block = strings.Replace(l.block, e.shut+"\n", e.block+"\n", 1)
				})
				agree(t, e.client(hub, t), leaf.client(t))
			}
		}
		atOnce(t, tests)
	})
}

// Permissions of the hub's user bind the leaf: what they do not allow stays on its side, and the link is
// not lost by it, whatever clients of the leaf do.
func TestLeafKeepsToThePermissionsOfItsUser(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		const permissions = `accounts { A { users: [{user: a, password: a}, {user: l, password: l, permissions: {
			publish: ["up.>", "_INBOX.>", "reach.>"], subscribe: {allow: ["down.>", "_INBOX.>", "reach.>"], deny: ["down.secret"]}}}] } }`
		hub, between := layout{kind: p.hub, config: permissions}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, remotes: []string{remote("nats-leaf://l:l@" + between.addr)}}.start(t)
		h, l := hub.client(t, nats.UserInfo("a", "a")), leaf.client(t)
		agree(t, h, l)
		dialled := len(between.tries())
		all, secret, wide, other := subscribe(t, l, "down.*"), subscribe(t, l, "down.secret"), subscribe(t, l, ">"), subscribe(t, l, "elsewhere")
		everything := subscribe(t, h, "*.>")
		agree(t, h, l)
		for _, subject := range []string{"down.secret", "elsewhere", "up.from.hub"} {
			publish(t, h, subject, "no")
		}
		publish(t, h, "down.a", "yes")
		expect(t, all, "down.a", "yes")
		agree(t, h, l)
		for _, sub := range []*nats.Subscription{secret, other, all} {
			expectNothing(t, sub, l)
		}
		drain(t, wide, "down.a")
		drain(t, everything, "down.a", "down.secret", "up.from.hub")
		publish(t, l, "elsewhere.too", "no")
		publish(t, l, "down.up", "no")
		publish(t, l, "up.a", "yes")
		agree(t, h, l)
		drain(t, everything, "up.a")
		if n := len(between.tries()) - dialled; n != 0 {
			t.Errorf("the link was made anew %d times", n)
		}
	})
}

func TestDeniedImportsAndExportsStayOnTheirSide(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		hub, between := layout{kind: p.hub}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, remotes: []string{
			remote(between.addr, `deny_imports: ["in.no", "in.wild.>"]`, `deny_exports: "ex.no"`)}}.start(t)
		h, l := hub.client(t), leaf.client(t)
		subscribe(t, l, "in.no")
		subscribe(t, l, "in.wild.*")
		here, there := subscribe(t, l, "in.>"), subscribe(t, h, "ex.>")
		agree(t, h, l)
		dialled := len(between.tries())
		for _, subject := range []string{"in.no", "in.wild.a", "in.ok"} {
			publish(t, h, subject, "")
		}
		for _, subject := range []string{"ex.no", "ex.ok"} {
			publish(t, l, subject, "")
		}
		agree(t, h, l)
		drain(t, here, "in.ok")
		drain(t, there, "ex.ok")
		if n := len(between.tries()) - dialled; n != 0 {
			t.Errorf("the link was made anew %d times", n)
		}
	})
}

// drain takes what has come, apart from the test's own traffic, and expects just these subjects.
func drain(t *testing.T, sub *nats.Subscription, want ...string) {
	t.Helper()
	n, _, err := sub.Pending()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range n {
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(m.Subject, "reach.") && !strings.HasPrefix(m.Subject, "_INBOX.") && !strings.HasPrefix(m.Subject, "$SYS.") {
			got = append(got, m.Subject)
		}
	}
	slices.Sort(got) // what came from two sides has no order
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("on %s came %q, want %q", sub.Subject, got, want)
	}
}

func leafOlderThanTheHubWantsIsRefused(t *testing.T) {
	sideBySide(t, nil, func(t *testing.T, p pair) {
		hub, between := layout{kind: p.hub, block: `min_version: "99.0.0"`}.startBehind(t, weather{})
		leaf := layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(between.addr)}}.start(t)
		leaf.awaitLog(t, "minimum version", "Minimum Version Required")
		if p.leaf == process.Old {
			return // it does not wait any longer than usual
		}
		since := time.Now()
		process.Eventually(t, patience, "it stays away for 4 s", func() bool {
			tries := between.tries()
			return time.Since(tries[len(tries)-1]) > 4*time.Second
		})
		if n := len(between.tries()); n > 3 {
			t.Errorf("%d attempts in %v", n, time.Since(since))
		}
		if n := hub.links(t).Count; n != 0 {
			t.Errorf("%d links", n)
		}
	})
}
