package broker

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// atomicSink counts, as a connection does under its output lock.
type atomicSink struct {
	mu  sync.Mutex
	n   atomic.Int64
	sub func(m *Msg, s *Sub) // called under mu, may be nil
}

func (c *atomicSink) Deliver(m *Msg, sub *Sub) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sub.Take() {
		return false
	}
	if c.sub != nil {
		c.sub(m, sub)
	}
	c.n.Add(1)
	return true
}

func (c *atomicSink) Wake(bool) time.Duration { return 0 }

// publishers runs f on its own lane in several goroutines and waits for them.
func publishers(b *Broker, n int, f func(l *Lane, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			l := b.NewLane()
			defer l.Close()
			f(l, i)
		})
	}
	wg.Wait()
}

func TestAutoUnsubscribeIsExactAcrossLanes(t *testing.T) {
	for round := range 300 {
		b := New(Options{})
		sink := new(atomicSink)
		p := b.Account("").Attach(nil, sink, Traits{})
		s := mustSubscribe(t, p, "a.*", "", "1")
		const most = 20
		early := round%2 == 0
		var limit sync.WaitGroup
		if early {
			p.Unsubscribe(s, most)
		} else {
			limit.Go(func() { p.Unsubscribe(s, most) }) // in the midst of it
		}
		publishers(b, 3, func(l *Lane, i int) {
			pub := b.Account("").Attach(nil, new(atomicSink), Traits{})
			for range most {
				pub.Publish(l, &Msg{Subject: []byte("a.b")})
			}
		})
		limit.Wait()
		n := sink.n.Load()
		if early && n != most {
			t.Fatalf("got %d, want %d", n, most)
		}
		// A limit that came late found that more had been taken.
		if n < most || uint64(n) != s.Delivered() || !s.Closed() || p.account.index.Len() != 0 {
			t.Fatalf("got %d, counted %d, closed %v", n, s.Delivered(), s.Closed())
		}
	}
}

func TestReturnedSubscribeIsSeenByTheNextPublish(t *testing.T) {
	b := New(Options{CacheSlots: 64})
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	publishers(b, 4, func(l *Lane, i int) {
		sink := new(atomicSink)
		p := b.Account("").Attach(nil, sink, Traits{})
		pub := b.Account("").Attach(nil, new(atomicSink), Traits{})
		for k := range rounds {
			subject := fmt.Sprintf("w%d.%d", i, k%3)
			filter := []string{subject, fmt.Sprintf("w%d.*", i), fmt.Sprintf("*.%d", k%3)}[k%3]
			s, err := p.Subscribe(filter, "", "1")
			if err != nil {
				t.Error(err)
				return
			}
			before := s.Delivered() // others may publish what "*.n" matches
			pub.Publish(l, &Msg{Subject: []byte(subject)})
			if s.Delivered() == before {
				t.Errorf("lane %d: %q had been subscribed to when %q was published", i, filter, subject)
				return
			}
			p.Unsubscribe(s, 0)
			sink.mu.Lock() // another lane may be in the middle of its last Deliver
			after := s.Delivered()
			sink.mu.Unlock()
			pub.Publish(l, &Msg{Subject: []byte(subject)})
			if s.Delivered() != after {
				t.Errorf("lane %d: %q got a message after it was removed", i, filter)
				return
			}
		}
	})
}

func TestDetachWhileOthersPublish(t *testing.T) {
	b := New(Options{})
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		publishers(b, 2, func(l *Lane, i int) {
			pub := b.Account("").Attach(nil, new(atomicSink), Traits{})
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				pub.Publish(l, &Msg{Subject: []byte("a." + strconv.Itoa(k%5)), Reply: []byte("r")})
				if k%16 == 0 {
					l.Flush()
				}
			}
		})
	})
	for range 200 {
		sink := new(atomicSink)
		p := b.Account("").Attach(nil, sink, Traits{})
		for k := range 2 * fewSubs {
			mustSubscribe(t, p, "a."+strconv.Itoa(k%5), []string{"", "q"}[k%2], strconv.Itoa(k))
		}
		p.Detach()
		p.Detach()
		after := sink.n.Load()
		if p.account.index.Len() != 0 || len(p.subs) != 0 {
			t.Fatalf("%d are left in the index", p.account.index.Len())
		}
		if sink.n.Load() != after {
			t.Fatal("a removed subscription took a message")
		}
	}
	close(stop)
	done.Wait()
	if n := b.Account("").Snapshot().Peers; n != 2 {
		t.Errorf("%d peers are left, want the two publishers", n)
	}
}

func TestOrderOfOnePublisherIsKept(t *testing.T) {
	b := New(Options{})
	var last [2]byte
	sink := &atomicSink{sub: func(m *Msg, _ *Sub) {
		who, n := m.Payload[0], m.Payload[1]
		if n != last[who]+1 {
			t.Errorf("publisher %d: %d after %d", who, n, last[who])
		}
		last[who] = n
	}}
	p := b.Account("").Attach(nil, sink, Traits{})
	mustSubscribe(t, p, "a.>", "", "1")
	publishers(b, 2, func(l *Lane, i int) {
		pub := b.Account("").Attach(nil, new(atomicSink), Traits{})
		for n := 1; n <= 250; n++ {
			pub.Publish(l, &Msg{Subject: []byte("a." + strconv.Itoa(n%7)), Payload: []byte{byte(i), byte(n)}})
		}
	})
	if last != [2]byte{250, 250} {
		t.Errorf("last were %v", last)
	}
}

func TestWatchLosesAndDoublesNothing(t *testing.T) {
	b := New(Options{})
	a := b.Account("")
	publishers(b, 3, func(_ *Lane, i int) {
		p := a.Attach(nil, new(atomicSink), Traits{})
		for k := range 400 {
			s := mustSubscribe(t, p, "a."+strconv.Itoa(k%7), []string{"", "q"}[k%2], strconv.Itoa(k))
			if k%3 == 0 {
				p.Unsubscribe(s, 0)
			}
			if k%10 != i {
				continue
			}
			// Watching begins in the midst of the others' changes.
			state := make(map[*Sub]int32)
			stop := a.Watch(func(change Interest) {
				state[change.Sub] += change.Delta
				if n := state[change.Sub]; n != 0 && n != 1 {
					t.Errorf("%q is there %d times", change.Subject, n)
				}
			})
			mustSubscribe(t, p, "b", "", "b"+strconv.Itoa(k))
			stop()
			a.mu.RLock()
			// stop has returned and others have gone on, so only what is our own can be compared.
			for _, s := range p.subs {
				if state[s] != 1 {
					t.Errorf("%q was not reported", s.Subject())
				}
			}
			a.mu.RUnlock()
			p.Unsubscribe(p.Find("b"+strconv.Itoa(k)), 0)
		}
	})
}

// TestCountsOnlyGrow reads while two lanes count, over many a fold.
func TestCountsOnlyGrow(t *testing.T) {
	b := New(Options{})
	a := b.Account("")
	subscribers(t, b, 1, "other", "")
	var done atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		var last AccountSnapshot
		for !done.Load() {
			s := a.Snapshot()
			if s.InMsgs < last.InMsgs || s.InBytes < last.InBytes || s.InBytes != 40*s.InMsgs {
				t.Errorf("%+v after %+v", s, last)
				return
			}
			last = s
		}
	})
	const each = 30000
	publishers(b, 2, func(l *Lane, _ int) {
		p := a.Attach(nil, new(atomicSink), Traits{})
		m := &Msg{Subject: []byte("a"), Payload: make([]byte, 40)}
		for range each {
			p.Publish(l, m)
			l.Flush()
		}
	})
	done.Store(true)
	reader.Wait()
	if n := a.Snapshot().InMsgs; n != 2*each {
		t.Errorf("%d messages are counted of %d", n, 2*each)
	}
}
