package broker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// TestImportsAgreeWithALoopOverAllAccounts makes random accounts with imports, mappings and
// subscriptions, changes them as it goes, and compares each publication with a model that has no index,
// no shadows and no cache.
func TestImportsAgreeWithALoopOverAllAccounts(t *testing.T) {
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			m := newCrossModel(t, rand.New(rand.NewPCG(seed, 7)))
			for range rounds {
				m.step()
			}
			if m.crossed < rounds/50 {
				t.Errorf("only %d messages came to another account", m.crossed)
			}
		})
	}
}

type crossSub struct {
	sub     *Sub
	sink    *wireSink
	peer    *Peer
	account int
	filter  string
	queue   string
	tag     string
}

type crossModel struct {
	t        *testing.T
	random   *rand.Rand
	broker   *Broker
	lanes    []*Lane
	accounts []*auth.Account
	peers    []*Peer // three of each account
	sinks    []*wireSink
	subs     []*crossSub
	tags     int
	crossed  int
}

const crossAccounts = 5

func newCrossModel(t *testing.T, random *rand.Rand) *crossModel {
	m := &crossModel{t: t, random: random, broker: New(Options{CacheSlots: 64, CacheResults: 400})}
	m.lanes = []*Lane{m.broker.NewLane(), m.broker.NewLane()}
	for i := range crossAccounts {
		m.accounts = append(m.accounts, &auth.Account{Name: fmt.Sprint(i)})
	}
	for i := range 3 * crossAccounts {
		s := &wireSink{}
		var id *auth.Identity
		if i%3 == 2 {
			id = mustPermit(t, auth.PermissionOptions{Subscribe: deny("a.b", "p.a.>")})
		}
		m.sinks = append(m.sinks, s)
		m.peers = append(m.peers, m.broker.Account(fmt.Sprint(i/3)).Attach(id, s, Traits{}))
	}
	m.configure()
	return m
}

func (m *crossModel) pick(list ...string) string { return list[m.random.IntN(len(list))] }

// text makes a subject of few words.
func (m *crossModel) text(wild bool) string {
	words := []string{"a", "b", "p"}
	if wild {
		words = append(words, "*")
	}
	var tokens []string
	for range 1 + m.random.IntN(3) {
		tokens = append(tokens, m.pick(words...))
	}
	if wild && m.random.IntN(3) == 0 {
		tokens[len(tokens)-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// configure makes one account anew. Services are imported from accounts behind it, so that none goes in
// a circle.
func (m *crossModel) configure() {
	i := m.random.IntN(crossAccounts)
	a := &auth.Account{Name: fmt.Sprint(i), Exports: []auth.Export{{Service: true, Subject: ">"}}}
	pairs := [][2]string{{"a.>", "p.a.>"}, {"a.*", "a.*"}, {"*.*", "$2.$1"}, {"a.b", "p"}, {">", "p.>"}, {"b.*.a", "p.$1"}, {"p", "b.a"}}
	for range m.random.IntN(3) {
		if from := m.random.IntN(crossAccounts); from != i {
			pair := pairs[m.random.IntN(len(pairs))]
			a.Imports = append(a.Imports, stream(fmt.Sprint(from), pair[0], pair[1]))
		}
	}
	if i+1 < crossAccounts && m.random.IntN(2) == 0 {
		pair := pairs[m.random.IntN(len(pairs))]
		a.Imports = append(a.Imports, service(fmt.Sprint(i+1+m.random.IntN(crossAccounts-i-1)), pair[0], pair[1]))
	}
	if m.random.IntN(3) == 0 {
		a.Mappings = append(a.Mappings, auth.Mapping{Source: m.pick("a.a", "b.*", "p.>"),
			Destinations: []auth.Destination{to(m.pick("a.b", "b.a"), 100)}})
		if d := &a.Mappings[0]; d.Source == "p.>" {
			d.Destinations[0].Subject = "a.>"
		}
	}
	m.accounts[i] = a
	if m.random.IntN(2) == 0 {
		m.broker.Configure(m.accounts)
	} else {
		m.broker.ConfigureAccount(a)
	}
}

func (m *crossModel) step() {
	switch n := m.random.IntN(100); {
	case n < 2:
		m.configure()
	case n < 10:
		m.subscribe()
	case n < 17 && len(m.subs) > 0:
		i := m.random.IntN(len(m.subs))
		m.subs[i].peer.Unsubscribe(m.subs[i].sub, 0)
		m.subs = slices.Delete(m.subs, i, i+1)
	default:
		m.publish()
	}
}

func (m *crossModel) subscribe() {
	i := m.random.IntN(len(m.peers))
	m.tags++
	s := &crossSub{sink: m.sinks[i], peer: m.peers[i], account: i / 3, filter: m.text(true), tag: fmt.Sprint(m.tags)}
	if m.random.IntN(3) == 0 {
		s.queue = m.pick("q", "r")
	}
	var err error
	if s.sub, err = s.peer.Subscribe(s.filter, s.queue, s.tag); err == nil {
		m.subs = append(m.subs, s)
	}
}

// expected is what the model says of one publication: lines that must come, and of each group one.
type expected struct {
	plain  map[string]int
	groups map[string][]string
	visits int // of accounts: each has groups of its own
}

func (m *crossModel) publish() {
	i := m.random.IntN(len(m.peers))
	text := m.text(false)
	e := expected{plain: map[string]int{}, groups: map[string][]string{}}
	m.expect(&e, i/3, text, 0)
	total := len(e.groups)
	for _, n := range e.plain {
		total += n
	}
	n, err := m.peers[i].Publish(m.lanes[m.random.IntN(2)], &Msg{Subject: []byte(text)})
	if err != nil || n != total {
		m.t.Fatalf("publish %s in %d: delivered %d, %v; want %d: %v", text, i/3, n, err, total, e)
	}
	got := map[string]int{}
	for _, s := range m.sinks {
		for _, line := range s.got {
			at := strings.LastIndexByte(line, '>')
			got[strings.Fields(line)[0]+" "+line[at:]]++
		}
		s.got = nil
	}
	if !e.serve(slices.Collect(maps.Values(e.groups)), got) {
		m.t.Fatalf("publish %s in %d: not one of each of %v; all: %v", text, i/3, e.groups, got)
	}
	for line, n := range got {
		if e.plain[line] != n {
			m.t.Fatalf("publish %s in %d: %q came %d times, want %d", text, i/3, line, n, e.plain[line])
		}
	}
}

// serve takes one line of each group off got, which are there besides the plain ones. A peer may be in
// groups of several accounts, so that it is not plain which of its lines is for which.
func (e *expected) serve(groups [][]string, got map[string]int) bool {
	if len(groups) == 0 {
		return true
	}
	for _, line := range groups[0] {
		if got[line] > e.plain[line] {
			got[line]--
			if e.serve(groups[1:], got) {
				return true
			}
			got[line]++
		}
	}
	return false
}

// expect adds what a message to an account leads to.
func (m *crossModel) expect(e *expected, account int, text string, hops int) {
	for _, mapping := range m.accounts[account].Mappings {
		if subject.Matches(mapping.Source, text) {
			t, _ := subject.NewTransform(mapping.Source, mapping.Destinations[0].Subject)
			out, _ := t.Append(nil, []byte(text))
			text = string(out)
			break
		}
	}
	e.visits++
	visit := e.visits
	m.expectSubs(e, account, account, text, visit)
	if hops == 0 {
		for i, a := range m.accounts {
			for _, im := range a.Imports {
				if !im.Service && im.From == fmt.Sprint(account) && subject.Matches(im.Subject, text) {
					m.expectSubs(e, i, account, through(im, text, false), visit)
				}
			}
		}
	}
	for _, im := range m.accounts[account].Imports {
		if im.Service && subject.Matches(arrival(im), text) {
			var to int
			fmt.Sscan(im.From, &to)
			m.crossed++
			m.expect(e, to, through(im, text, true), hops+1)
		}
	}
}

// expectSubs adds the subscriptions of an account that match text, which was published in another.
func (m *crossModel) expectSubs(e *expected, account, published int, text string, visit int) {
	for _, s := range m.subs {
		if s.account != account || !subject.Matches(s.filter, text) || s.peer.perms.Load().Denies([]byte(text), s.queue) {
			continue
		}
		if account != published {
			m.crossed++
		}
		line := text + " >" + s.tag
		if s.queue == "" {
			e.plain[line]++
		} else {
			group := fmt.Sprint(s.queue, " at ", visit)
			e.groups[group] = append(e.groups[group], line)
		}
	}
}

// arrival is the filter by which an import's importer knows it.
func arrival(im auth.Import) string {
	var tokens []string
	for _, token := range strings.Split(im.To, ".") {
		if token[0] == '$' {
			token = "*"
		}
		tokens = append(tokens, token)
	}
	return strings.Join(tokens, ".")
}

// through is a subject on the other side of an import, by hand for the pairs there are.
func through(im auth.Import, text string, back bool) string {
	from, to := im.Subject, im.To
	tokens := strings.Split(text, ".")
	switch {
	case from == "a.b", from == "p":
		if back {
			return from
		}
		return to
	case from == "a.*":
		return text
	case from == "*.*":
		return tokens[1] + "." + tokens[0]
	case from == "b.*.a":
		if back {
			return "b." + tokens[1] + ".a"
		}
		return "p." + tokens[1]
	case back:
		return strings.TrimPrefix(text, "p.")
	}
	return "p." + text
}
