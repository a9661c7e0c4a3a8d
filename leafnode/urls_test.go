package leafnode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestURLsOfHubsAreRead(t *testing.T) {
	for _, c := range []struct{ text, scheme, host, user string }{
		{"nats-leaf://hub.example.com:7422", "nats-leaf", "hub.example.com:7422", ""},
		{"nats-leaf://hub.example.com", "nats-leaf", "hub.example.com:7422", ""},
		{" nats://Hub.Example.com:4333 ", "nats", "hub.example.com:4333", ""},
		{"TLS://u:p@hub", "tls", "hub:7422", "u:p"},
		{"leafnode://hub", "leafnode", "hub:7422", ""},
		{"hub", "nats-leaf", "hub:7422", ""},
		{"hub:1", "nats-leaf", "hub:1", ""},
		{"u:p%40ss@10.0.0.1", "nats-leaf", "10.0.0.1:7422", "u:p%40ss"},
		{"token@hub", "nats-leaf", "hub:7422", "token"},
		{"nats-leaf://[fd00::1]", "nats-leaf", "[fd00::1]:7422", ""},
		{"[fd00::1]:99", "nats-leaf", "[fd00::1]:99", ""},
		{"nats-leaf://hub:7422/", "nats-leaf", "hub:7422", ""},
	} {
		u, err := parseURL(c.text, defaultPort)
		if err != nil || u.Scheme != c.scheme || u.Host != c.host || u.User.String() != c.user {
			t.Errorf("%q: %v, %v", c.text, u, err)
		}
	}
}

func TestBadURLsAreRefusedWithoutTheirSecrets(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"", errBadURL},
		{"nats-leaf://", errBadURL},
		{"nats-leaf://:7422", errBadURL},
		{"http://u:secret@hub", errBadURL},
		{"ws://u:secret@hub:8080", errWebSocket},
		{"wss://u:secret@hub", errWebSocket},
		{"nats-leaf://u:secret@hub:0", errBadURL},
		{"nats-leaf://u:secret@hub:70000", errBadURL},
		{"nats-leaf://u:secret@hub:http", errBadURL},
		{"nats-leaf://u:sec ret@hub", errBadURL},
		{"nats-leaf://u:secret%@hub", errBadURL},
		{"nats-leaf://u:secret#1@hub", errBadURL},
		{"nats-leaf://u:1/secret@hub", errBadURL},
		{"nats-leaf://u:1#secret@hub", errBadURL},
		{"nats-leaf://u:1?secret@hub", errBadURL},
		{"u:secret\x00@hub", errBadURL},
	} {
		u, err := parseURL(c.text, defaultPort)
		if !errors.Is(err, c.want) {
			t.Errorf("%q: %v, %v", c.text, u, err)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%q: the secret is told: %v", c.text, err)
		}
	}
	u, err := parseURL("nats-leaf://token:secret@hub", defaultPort)
	if err != nil || hideSecrets(u) != "nats-leaf://hub:7422" || hideSecrets(nil) != "" {
		t.Errorf("%q, %v", hideSecrets(u), err)
	}
}

func mustPool(t *testing.T, ignore bool, urls ...string) *pool {
	t.Helper()
	p, err := newPool(urls, true, ignore, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hosts are the next n of a pool.
func hosts(p *pool, n int) string {
	var list []string
	for range n {
		list = append(list, p.next().Hostname())
	}
	return strings.Join(list, " ")
}

func TestURLsAreTriedInTurn(t *testing.T) {
	p := mustPool(t, false, "a", "b", "nats-leaf://a:7422", "c")
	if got := hosts(p, 5); got != "a b c a b" {
		t.Fatalf("tried %s", got)
	}
	// What is learned goes first, from its own beginning, unless it is the same as before.
	p.learn([]string{"x:7422", "b:7422", "x:7422", "y"}, p.all()[1])
	if got := hosts(p, 7); got != "x y a b c x y" {
		t.Fatalf("tried %s", got)
	}
	p.learn([]string{"x:7422", "y:7422"}, p.all()[0])
	if got := hosts(p, 2); got != "a b" {
		t.Fatalf("after the same again: %s", got)
	}
	p.learn([]string{"z:1"}, p.all()[0])
	if got := hosts(p, 2); got != "z a" {
		t.Fatalf("after another one: %s", got)
	}
	p.learn(nil, p.all()[0])
	if got := hosts(p, 4); got != "a b c a" {
		t.Fatalf("after none: %s", got)
	}
	if _, err := newPool(nil, true, false, nil); !errors.Is(err, errBadURL) {
		t.Fatalf("no URL at all: %v", err)
	}
}

func TestURLsAreShuffledOnce(t *testing.T) {
	var urls []string
	for i := range 10 {
		urls = append(urls, fmt.Sprintf("h%d", i))
	}
	orders := map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		p, err := newPool(urls, false, false, r.Shuffle)
		if err != nil {
			t.Fatal(err)
		}
		order := hosts(p, 10)
		if again := hosts(p, 10); again != order {
			t.Fatalf("%s and then %s", order, again)
		}
		sorted := strings.Fields(order)
		slices.Sort(sorted)
		if !slices.Equal(sorted, urls) {
			t.Fatalf("tried %s", order)
		}
		orders[order] = true
	}
	if len(orders) < 15 {
		t.Fatalf("%d orders in 20 processes", len(orders))
	}
}

func TestWhatIsLearnedInheritsTheRest(t *testing.T) {
	p := mustPool(t, false, "tls://u:p@hub.example.com", "tls://v:q@10.9.9.9")
	p.learn([]string{"10.0.0.1:7422", "other.example.com:7422"}, p.all()[0])
	all := p.all()
	for i, want := range []string{"tls://u:p@10.0.0.1:7422", "tls://u:p@other.example.com:7422", "tls://u:p@hub.example.com:7422"} {
		if all[i].String() != want {
			t.Errorf("%v, want %s", all[i], want)
		}
	}
	for i, want := range []string{"hub.example.com", "other.example.com", "hub.example.com", "10.9.9.9"} {
		if got := p.serverName(all[i]); got != want {
			t.Errorf("%v must show a certificate for %s, want %s", all[i].Host, got, want)
		}
	}
	// An address that was learned may tell of others in turn.
	p.learn([]string{"10.0.0.2:7422", "10.0.0.1:7422"}, all[0])
	if got := p.serverName(p.all()[0]); got != "hub.example.com" {
		t.Errorf("at second hand: a certificate for %s", got)
	}
}

func TestAHubCannotTellTooMuch(t *testing.T) {
	p := mustPool(t, false, "hub")
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("h%d:7422", i))
	}
	p.learn(list, p.all()[0])
	if n := len(p.all()); n != maxLearned+1 {
		t.Fatalf("%d URLs", n)
	}
	p.learn([]string{
		"u:p@evil:1", "http://evil:1", "evil:1/x", "evil:99999", "", ":1", "e vil:1", "evil?x:1", "evil#x",
		strings.Repeat("x", 300) + ":1", "\r\nevil:1",
	}, p.all()[0])
	if got := hosts(p, 2); got != "hub hub" {
		t.Fatalf("%s", got)
	}
	p.learn([]string{"x"}, nil)
	q := mustPool(t, true, "hub")
	q.learn([]string{"x"}, q.all()[0])
	if got := hosts(p, 2) + hosts(q, 2); got != "hub hubhub hub" {
		t.Fatalf("%s", got)
	}
	var _ *url.URL = q.next()
}
