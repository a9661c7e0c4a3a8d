package leafnode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// What strangers, leaves and bad lines may cost.

func TestInterestOfAllOthersIsBounded(t *testing.T) {
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.MaxInterest = 10 })
	one := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"one"`), false)
	two := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"two"`), false)
	for i := range 9 {
		one.say(fmt.Sprintf("LS+ one.%d\r\n", i))
	}
	one.sync()
	two.say("LS+ two.1\r\nLS+ two.2\r\n")
	if got := two.until("-ERR"); got != "-ERR 'maximum subscriptions exceeded'" {
		t.Errorf("told %q", got)
	}
	two.say("LS- two.1\r\nLS+ two.2\r\n")
	two.sync()
	if n := s.newClient("").publish("two.2", "", "", "1"); n != 1 {
		t.Errorf("delivered %d after there was room", n)
	}
	one.conn.Close()
	eventually(t, "what a link has brought is no longer counted", func() bool { return s.n.interest.Load() == 1 })
}

// TestALeafWithManySubscriptionsGoes is for one whose removal takes a while.
func TestALeafWithManySubscriptionsGoes(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, true)
	var text strings.Builder
	for i := range 3 * manySubscriptions {
		fmt.Fprintf(&text, "LS+ a.%d\r\n", i)
	}
	w.say(text.String())
	w.sync()
	other := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"other"`), false)
	for range 3 * manySubscriptions {
		other.until("LS+ a.")
	}
	w.conn.Close()
	for range 3 * manySubscriptions {
		other.until("LS- a.")
	}
	s.links(1)
	eventually(t, "none of them counts", func() bool { return s.n.interest.Load() == 0 })
	s.close()
}

// TestHalfMessagesAreBounded has leaves that begin long messages and do not end them. Without compression
// the engine has a bound; with it the link keeps them itself.
func TestHalfMessagesAreBounded(t *testing.T) {
	const size = 1 << 20
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.MaxPending, o.PendingTotal = size, 2*size })
	payload := noise(size - 10)
	ended := make(chan int, 8)
	for i := range 8 {
		w := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, fmt.Sprintf(`"leaf%d"`, i)), true)
		w.quiet = true
		if err := w.try(fmt.Sprintf("LMSG a %d\r\n%s", size, payload)); err != nil {
			ended <- i // while it still sent
			continue
		}
		go func() {
			for {
				if _, err := w.next(); err != nil {
					ended <- i
					return
				}
			}
		}()
	}
	<-ended
	if n := s.n.carried.Load(); n > 4*size {
		t.Errorf("%d bytes of half messages", n)
	}
	// One that is closed for it does no harm to the others, and gives all back.
	s.n.mu.Lock()
	for k := range s.n.links {
		k.conn.Close(errShutdown)
	}
	s.n.mu.Unlock()
	s.links(0)
	eventually(t, "nothing counts", func() bool { return s.n.carried.Load() == 0 })
	c := s.newClient("")
	c.subscribe("a", "")
	w := joinAsLeaf(t, s, leafConnect, true)
	w.say(fmt.Sprintf("LMSG a %d\r\n%s%s\r\n", size, payload, "0123456789"))
	c.wants("a: " + payload + "0123456789")
}

// TestALargeChunkIsNotKeptBetweenTurns: a thousand links in the middle of a megabyte each would take one
// gigabyte.
func TestALargeChunkIsNotKeptBetweenTurns(t *testing.T) {
	s := newSite(t, "site", nil)
	c := s.newClient("")
	c.subscribe("a", "")
	k := ownLink(t, s, true)
	const messages = 60_000
	stream := append([]byte(streamIdentifier), chunkOf([]byte(strings.Repeat("LMSG a 1\r\n1\r\n", messages)))...)
	turns, raw := 0, uint64(0)
	k.onLoop(func(l *engine.Loop) {
		k.decoder = decoder{}
		defer func() { raw = k.decoder.raw }()
		for len(stream) > 0 {
			used, err := k.Data(l, stream)
			if err != nil {
				t.Error(err)
				return
			}
			stream = stream[used:]
			turns++
			if k.decoder.large != nil || k.decoder.small != nil {
				t.Error("scratch space is kept")
			}
		}
	})
	if turns < messages/maxEffort {
		t.Errorf("it took %d turns", turns)
	}
	for range messages {
		c.wants("a: 1")
	}
	c.hasNothing()
	if raw != uint64(13*messages) {
		t.Errorf("%d bytes count as unpacked, want %d", raw, 13*messages)
	}
}

func TestADamagedChunkEndsOnlyTheLink(t *testing.T) {
	good := chunkOf([]byte("LMSG a 1\r\n1\r\n"))
	for at := range good {
		s := newSite(t, "site", nil)
		w := joinAsLeaf(t, s, leafConnect, true)
		s.links(1)
		bad := append([]byte(streamIdentifier), good...)
		bad[len(streamIdentifier)+at] ^= 0x55
		w.conn.Write(append(bad, make([]byte, 1<<20)...))
		w.conn.Close()
		s.links(0)
		s.close()
		if at > 12 {
			break // the rest is the data's, which the codec's own tests know
		}
	}
}

// TestAfterCutsBothSidesAgree cuts the line again and again while interest changes at both ends, and then
// compares what each side has told with what the other has taken.
func TestAfterCutsBothSidesAgree(t *testing.T) {
	rounds := 100
	if testing.Short() || raceEnabled {
		rounds = 30
	}
	hub, leaf := pair(t, nil)
	stop := make(chan struct{})
	var churn sync.WaitGroup
	still := sync.OnceFunc(func() {
		close(stop)
		churn.Wait()
	})
	defer still() // or a failure here would be one of all tests that count allocations after this
	for i, s := range []*site{hub, leaf} {
		churn.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			c := s.newClient("")
			var subs []*broker.Sub
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if len(subs) > 200 || len(subs) > 0 && r.IntN(3) == 0 {
					at := r.IntN(len(subs))
					c.peer.Unsubscribe(subs[at], 0)
					subs = slices.Delete(subs, at, at+1)
				} else {
					queue := ""
					if r.IntN(3) == 0 {
						queue = fmt.Sprint("q", r.IntN(3))
					}
					sub, err := c.peer.Subscribe(fmt.Sprintf("s%d.%d", i, r.IntN(300)), queue, fmt.Sprint(n))
					if err != nil {
						t.Error(err)
						return
					}
					subs = append(subs, sub)
				}
				if n%100 == 0 {
					c.publish(fmt.Sprintf("s%d.%d", 1-i, r.IntN(300)), "", "", "x")
				}
				time.Sleep(10 * time.Microsecond) // or nothing else gets its turn
			}
		})
	}
	up := func() (k *link) {
		eventually(t, "a link is up", func() bool {
			all := leaf.n.all()
			// No link that has ended may be left on a list, or it would be the one that is cut next.
			if far := hub.n.all(); len(all) != 1 || !all[0].isUp() || len(far) != 1 || !far[0].isUp() {
				return false
			}
			k = all[0]
			return true
		})
		return k
	}
	for round := range rounds {
		before, s := up(), []*site{hub, leaf}[round%2]
		s.n.all()[0].conn.Close(errShutdown)
		eventually(t, "another link comes up", func() bool { return up() != before })
	}
	still()
	var differs string
	eventually(t, "both sides agree", func() bool {
		differs = compare(hub, leaf) + compare(leaf, hub)
		return differs == ""
	})
	if n := hub.n.interest.Load() + leaf.n.interest.Load(); n == 0 {
		t.Error("nobody wants anything: this has shown nothing")
	}
}

// compare says in what the other side of from's link differs from what from wants.
func compare(from, to *site) string {
	froms, tos := from.n.all(), to.n.all()
	if len(froms) != 1 || len(tos) != 1 || !froms[0].isUp() || !tos[0].isUp() {
		return "not up"
	}
	want, got := map[string]int32{}, map[string]int32{}
	for _, c := range []struct {
		k    *link
		into map[string]int32
	}{{froms[0], want}} {
		c.k.peer.Account().Watch(func(i broker.Interest) {
			if !i.Sub.Peer().Remote() {
				key := i.Subject + " " + i.Queue
				if c.into[key] += i.Delta; c.into[key] == 0 {
					delete(c.into, key)
				}
			}
		})()
	}
	for key, n := range want {
		if strings.HasSuffix(key, " ") && n > 1 {
			want[key] = 1
		}
	}
	tos[0].peer.Account().Watch(func(i broker.Interest) {
		if i.Sub.Peer() == tos[0].peer {
			got[i.Subject+" "+i.Queue] += i.Delta
		}
	})()
	if len(got) != len(want) {
		return fmt.Sprintf("%d subjects, want %d", len(got), len(want))
	}
	for key, n := range want {
		if got[key] != n {
			return fmt.Sprintf("%q has weight %d, want %d", key, got[key], n)
		}
	}
	return ""
}

// TestClustersAreForgottenWithTheirLinks: a leaf may call itself as it likes each time.
func TestClustersAreForgottenWithTheirLinks(t *testing.T) {
	s := newSite(t, "site", nil)
	known := func() int {
		s.n.mu.Lock()
		defer s.n.mu.Unlock()
		return len(s.n.origins)
	}
	var all []*wire
	for i := range 3 {
		all = append(all, joinAsLeaf(t, s, strings.NewReplacer(`"name":"leaf"`, fmt.Sprintf(`"name":"leaf%d"`, i),
			`"cluster":"leaf"`, fmt.Sprintf(`"cluster":"c%d"`, i/2)).Replace(leafConnect), false))
	}
	s.links(3)
	if n := known(); n != 2 {
		t.Errorf("%d clusters are known, want 2", n)
	}
	all[0].conn.Close()
	s.links(2)
	all[2].conn.Close()
	eventually(t, "one cluster is left", func() bool { return known() == 1 })
	all[1].conn.Close()
	eventually(t, "none is left", func() bool { return known() == 0 })
}
