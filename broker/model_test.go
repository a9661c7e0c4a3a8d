package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// modelSub is a subscription as the naive model knows it.
type modelSub struct {
	sub     *Sub
	account int
	peer    int
	left    int // messages it may still have; -1 is any number
}

// modelPeer is a peer with its sink.
type modelPeer struct {
	*Peer
	sink    *fakeSink
	account int
	noEcho  bool
	perms   *auth.Permissions
}

// TestPublishAgreesWithALoopOverAllSubscriptions does random things in three accounts through two
// lanes, and compares each publication with a loop that asks every subscription.
func TestPublishAgreesWithALoopOverAllSubscriptions(t *testing.T) {
	rounds := 30000
	if testing.Short() {
		rounds = 3000
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			m := newModel(t, rand.New(rand.NewPCG(seed, 1)), Options{CacheSlots: 64, CacheResults: 200})
			for range rounds {
				m.step()
			}
		})
	}
}

type model struct {
	t      *testing.T
	random *rand.Rand
	broker *Broker
	lanes  []*Lane
	peers  []*modelPeer
	subs   []*modelSub
	tags   int
}

func newModel(t *testing.T, random *rand.Rand, o Options) *model {
	m := &model{t: t, random: random, broker: New(o)}
	m.lanes = []*Lane{m.broker.NewLane(), m.broker.NewLane()}
	for i := range 12 {
		m.addPeer(i % 3)
	}
	return m
}

func (m *model) addPeer(account int) *modelPeer {
	p := &modelPeer{sink: new(fakeSink), account: account, noEcho: m.random.IntN(3) == 0}
	var id *auth.Identity
	if m.random.IntN(4) == 0 {
		id = mustPermit(m.t, auth.PermissionOptions{Publish: deny("a.b.c"), Subscribe: deny("a.x")})
		p.perms = id.Perms
	}
	p.Peer = m.broker.Account(fmt.Sprint("A", account)).Attach(id, p.sink, Traits{NoEcho: p.noEcho})
	m.peers = append(m.peers, p)
	return p
}

// text makes a subject from few words, so that matches are frequent.
func (m *model) text(wild bool) string {
	words := []string{"a", "b", "c", "x", "_INBOX"}
	if wild {
		words = append(words, "*", "*")
	}
	var tokens []string
	for range 1 + m.random.IntN(3) {
		tokens = append(tokens, words[m.random.IntN(len(words))])
	}
	if wild && m.random.IntN(4) == 0 {
		tokens = append(tokens, ">")
	}
	return strings.Join(tokens, ".")
}

func (m *model) step() {
	switch n := m.random.IntN(100); {
	case n < 12:
		m.subscribe()
	case n < 22 && len(m.subs) > 0:
		m.unsubscribe()
	case n < 23:
		m.detach()
	default:
		m.publish()
	}
}

func (m *model) subscribe() {
	i := m.random.IntN(len(m.peers))
	m.tags++
	filter, queue := m.text(true), ""
	if m.random.IntN(3) == 0 {
		queue = []string{"q", "r"}[m.random.IntN(2)]
	}
	p := m.peers[i]
	s, err := p.Subscribe(filter, queue, fmt.Sprint(m.tags))
	if ok, _ := p.perms.MaySubscribe(filter, queue); ok != (err == nil) {
		m.t.Fatalf("subscribe %q: %v, want allowed %v", filter, err, ok)
	}
	if err == nil {
		m.subs = append(m.subs, &modelSub{sub: s, account: p.account, peer: i, left: -1})
	}
}

func (m *model) unsubscribe() {
	i := m.random.IntN(len(m.subs))
	s := m.subs[i]
	more := m.random.IntN(3)
	if more > 0 && s.left < 0 {
		s.left = more
		s.sub.Peer().Unsubscribe(s.sub, s.sub.Delivered()+uint64(more))
		return
	}
	s.sub.Peer().Unsubscribe(s.sub, 0)
	m.subs = slices.Delete(m.subs, i, i+1)
}

func (m *model) detach() {
	i := m.random.IntN(len(m.peers))
	old := m.peers[i]
	old.Detach()
	m.subs = slices.DeleteFunc(m.subs, func(s *modelSub) bool { return s.peer == i })
	m.peers[i] = m.addPeer(old.account)
	m.peers = m.peers[:len(m.peers)-1]
}

func (m *model) publish() {
	p := m.peers[m.random.IntN(len(m.peers))]
	l := m.lanes[m.random.IntN(len(m.lanes))]
	text := m.text(false)
	n, err := p.Publish(l, &Msg{Subject: []byte(text), Payload: []byte("x")})
	if m.random.IntN(4) == 0 {
		l.Flush()
	}
	if want := p.perms.MayPublish([]byte(text)); want != (err == nil) {
		m.t.Fatalf("publish %q: %v, want allowed %v", text, err, want)
	}
	want := map[string]int{} // by peer, then what it sees
	queues := map[string][]string{}
	total := 0
	if err == nil {
		total = m.expect(p, text, want, queues)
	}
	got := map[string]int{}
	for i, to := range m.peers {
		for _, line := range to.sink.take() {
			got[fmt.Sprint(i, " ", line)]++
		}
	}
	for name, candidates := range queues {
		if !slices.ContainsFunc(candidates, func(c string) bool { return got[c] > 0 }) {
			m.t.Fatalf("publish %q: nobody of group %s got it, of %q; all: %v", text, name, candidates, got)
		}
		for _, c := range candidates { // exactly one: the first found is taken off
			if got[c] > 0 {
				got[c]--
				break
			}
		}
	}
	for line, count := range got {
		if want[line] != count {
			m.t.Fatalf("publish %q: %q came %d times, want %d; all: %v", text, line, count, want[line], got)
		}
	}
	for line, count := range want {
		if got[line] != count {
			m.t.Fatalf("publish %q: %q came %d times, want %d", text, line, got[line], count)
		}
	}
	if n != total {
		m.t.Fatalf("publish %q: delivered %d, want %d", text, n, total)
	}
	m.settle()
}

// expect is the naive loop.
func (m *model) expect(p *modelPeer, text string, plain map[string]int, queues map[string][]string) (total int) {
	for _, s := range m.subs {
		to := m.peers[s.peer]
		if s.account != p.account || to == p && p.noEcho || !subject.Matches(s.sub.Subject(), text) {
			continue
		}
		if to.perms.Denies([]byte(text), s.sub.Queue()) {
			continue
		}
		line := fmt.Sprintf("%d %s x>%s", s.peer, text, s.sub.Subject())
		if q := s.sub.Queue(); q != "" {
			queues[q] = append(queues[q], line+" "+q)
			continue
		}
		plain[line]++
		total++
	}
	return total + len(queues)
}

// settle forgets subscriptions that have had their last message.
func (m *model) settle() {
	m.subs = slices.DeleteFunc(m.subs, func(s *modelSub) bool {
		if s.sub.Closed() && s.left < 0 {
			m.t.Fatalf("%q is closed and had no limit", s.sub.Subject())
		}
		return s.sub.Closed()
	})
	live := 0
	for i := range 3 {
		a := m.broker.Account(fmt.Sprint("A", i))
		live += a.index.Len()
	}
	if live != len(m.subs) {
		m.t.Fatalf("the indexes hold %d, the model %d", live, len(m.subs))
	}
	for _, l := range m.lanes {
		held := 0
		for _, s := range l.cache.table {
			if s != nil {
				held += s.cost()
			}
		}
		if held != l.cache.held || len(l.cache.table) > 64 {
			m.t.Fatalf("a lane holds %d in %d places and believes %d", held, len(l.cache.table), l.cache.held)
		}
	}
}
