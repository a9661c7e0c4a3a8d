package broker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
)

// sharedSink counts, and may be delivered to by many.
type sharedSink struct {
	quiet
	n atomic.Int64
	f func(m *Msg)
}

func (s *sharedSink) Deliver(m *Msg, sub *Sub) bool {
	if !sub.Take() {
		return false
	}
	s.n.Add(1)
	if s.f != nil {
		s.f(m)
	}
	return true
}

// TestConfigureLosesNothingThatStaysAllowed publishes, asks and subscribes while the accounts change all
// the time but for one import and one service: of these every message arrives, once.
func TestConfigureLosesNothingThatStaysAllowed(t *testing.T) {
	const publishers, messages = 3, 400
	b := New(Options{})
	configure := func(i int) {
		a := offers("A", auth.Export{Subject: "svc"})
		imports := []auth.Import{stream("A", "ev.>", "in.ev.>"), service("A", "svc", "svc")}
		if i%2 == 0 {
			imports = append(imports, stream("A", "more.>", "in.more.>"), service("C", "svc2", "svc2"))
			a.Mappings = []auth.Mapping{{Source: "x", Destinations: []auth.Destination{to("y", 50)}}}
		}
		list := []*auth.Account{a, account("B", imports...)}
		if i%3 == 0 {
			list = append(list, account("C", stream("A", "ev.*", "c.*")))
		}
		b.Configure(list)
		if i%5 == 0 {
			b.ConfigureAccount(account("C", stream("B", "in.>", "c.>"), service("A", "svc", "c")))
		}
	}
	configure(0)
	subscriber := &sharedSink{}
	p := b.Account("B").Attach(nil, subscriber, Traits{})
	mustSubscribe(t, p, "in.>", "", "1")
	answers := make(chan string, publishers*messages)
	svc := &sharedSink{f: func(m *Msg) { answers <- string(m.Reply) }}
	mustSubscribe(t, b.Account("A").Attach(nil, svc, Traits{}), "svc", "q", "1")

	var group, publishing sync.WaitGroup
	var stop atomic.Bool
	inbox := &sharedSink{}
	for range publishers {
		publishing.Add(1)
		go func() {
			defer publishing.Done()
			l := b.NewLane()
			defer l.Close()
			a, asker := b.Account("A").Attach(nil, quiet{}, Traits{}), b.Account("B").Attach(nil, inbox, Traits{})
			mustSubscribe(t, asker, "inbox", "one", "1")
			for i := range messages {
				a.Publish(l, &Msg{Subject: []byte("ev.x")})
				a.Publish(l, &Msg{Subject: []byte("x")})
				if n, _ := asker.Publish(l, &Msg{Subject: []byte("svc"), Reply: []byte("inbox")}); n != 1 {
					t.Errorf("a request reached %d", n)
				}
				if i%10 == 0 {
					l.Flush()
				}
			}
		}()
	}
	group.Add(3)
	go func() {
		defer group.Done()
		for i := 0; !stop.Load(); i++ {
			configure(i)
		}
	}()
	go func() { // subscriptions of importers come and go
		defer group.Done()
		for i := 0; !stop.Load(); i++ {
			p := b.Account([]string{"B", "C"}[i%2]).Attach(nil, quiet{}, Traits{})
			s := mustSubscribe(t, p, "in.ev.*", "", fmt.Sprint(i))
			mustSubscribe(t, p, "c.>", "q", "queue")
			p.Unsubscribe(s, uint64(i%3))
			p.Reauthorize(nil)
			b.Accounts()
			p.Detach()
		}
	}()
	go func() { // the service
		defer group.Done()
		l := b.NewLane()
		defer l.Close()
		a := b.Account("A").Attach(nil, quiet{}, Traits{})
		for range publishers * messages {
			a.Publish(l, &Msg{Subject: []byte(<-answers), Payload: []byte("a")})
		}
	}()
	publishing.Wait()
	stop.Store(true)
	group.Wait()
	if n := subscriber.n.Load(); n != publishers*messages {
		t.Errorf("%d messages came through the import, want %d", n, publishers*messages)
	}
	if n := inbox.n.Load(); n != publishers*messages {
		t.Errorf("%d answers came, want %d", n, publishers*messages)
	}
	b.Configure(nil)
	if n := b.owed.Load(); n != 0 {
		t.Errorf("%d bytes are still on the books", n)
	}
	for _, a := range b.all() {
		if n := len(a.shadows) + len(a.casts); n != 0 {
			t.Errorf("%s has %d shadows", a.name, n)
		}
	}
}
