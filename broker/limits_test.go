package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

func TestTheLeastSubscriptionLimitCounts(t *testing.T) {
	for _, c := range []struct{ broker, account, user, want int }{
		{0, 0, 0, 5}, {3, 0, 0, 3}, {0, 2, 0, 2}, {0, 0, 4, 4}, {3, 2, 4, 2}, {2, 3, 4, 2}, {4, 3, 1, 1},
		{0, -1, 0, 0}, {0, 0, -1, 0},
	} {
		w := newWorld(t, &auth.Account{Name: "A", Limits: auth.AccountLimits{MaxSubscriptions: int64(c.account)}})
		w.b.Reload(Options{MaxSubscriptions: c.broker})
		id := &auth.Identity{Limits: auth.UserLimits{MaxSubscriptions: int64(c.user)}}
		for _, name := range []string{"A1", "A2"} { // each connection has the account's for itself
			p := w.at(name, id, Traits{})
			n := 0
			for i := range 5 {
				if _, err := p.Subscribe(fmt.Sprint("s", i), "", ""); err == nil {
					n++
				} else if !errors.Is(err, ErrMaxSubscriptions) {
					t.Fatal(err)
				}
			}
			if n != c.want {
				t.Errorf("%+v: %d subscriptions, want %d", c, n, c.want)
			}
		}
	}
}

func TestOurOwnPeersAreBoundByNothingAndNotCounted(t *testing.T) {
	b := New(Options{MaxSubscriptions: 1, MaxTokens: 2})
	b.Configure([]*auth.Account{{Name: "SYS", Limits: auth.AccountLimits{MaxSubscriptions: -1}}})
	a := b.Account("SYS")
	p := a.Attach(nil, new(countSink), Traits{Own: true})
	for i := range 3 {
		mustSubscribe(t, p, "$SYS.REQ.ACCOUNT.*.INFO", "", fmt.Sprint(i))
	}
	if _, err := a.Attach(nil, new(countSink), Traits{}).Subscribe("a", "", ""); !errors.Is(err, ErrMaxSubscriptions) {
		t.Errorf("a client of the same account: %v", err)
	}
	if s := a.Snapshot(); s.Peers != 1 || s.Subscriptions != 3 {
		t.Errorf("%d peers with %d subscriptions, want the client and three", s.Peers, s.Subscriptions)
	}
	p.Detach()
	if s := a.Snapshot(); s.Peers != 1 || s.Subscriptions != 0 {
		t.Errorf("%d peers with %d subscriptions when ours has gone", s.Peers, s.Subscriptions)
	}
}

func TestOpenRequestsAreBounded(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	w.sub("B", ">", "")
	w.pub("B", "s", "in.first", "q")
	first := w.sink["A"].reply
	long := strings.Repeat("x", 4000)
	for i := range 1000 {
		w.pub("B", "s", fmt.Sprint("in.", i, long), "q")
	}
	if n := w.b.owed.Load(); n > maxAskedBytes || n < maxAskedBytes/2 {
		t.Errorf("%d bytes are on the books, at most %d may be", n, maxAskedBytes)
	}
	w.sink["B"].got = nil
	w.pub("A", first, "", "late")
	w.want("B")
	w.pub("A", w.sink["A"].reply, "", "x")
	if len(w.sink["B"].got) != 1 {
		t.Error("the youngest request is not answered")
	}
	w.peer["B"].Detach()
	if n := w.b.owed.Load(); n != 0 {
		t.Errorf("%d bytes are on the books after the requester has gone", n)
	}
}

func TestAllOpenRequestsAreBoundedTogether(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	long := strings.Repeat("x", 60000)
	refused := 0
	for i := range 1200 {
		if w.pub(fmt.Sprint("B", i), "s", long, "q") == 0 {
			refused++
		}
	}
	if n := w.b.owed.Load(); n > 2*allOwedBytes+100000 || refused == 0 {
		t.Errorf("%d bytes are on the books, %d requests refused", n, refused)
	}
}

func TestAnswersStayWhileSomebodyElseWaits(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	w.sub("B1", "in", "")
	w.sub("B2", "in", "")
	w.pub("B1", "s", "in", "q")
	w.peer["B1"].Detach()
	w.pub("A", w.sink["A"].reply, "", "a")
	w.want("B2", "in a >in")
}

func TestAnswersComeTooLate(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s", Threshold: time.Hour, Response: auth.Stream}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	w.sub("B", "in", "")
	w.pub("B", "s", "in", "q")
	books := w.b.Account("A").owed.Load()
	age := func(by time.Duration) {
		for _, d := range books.debts {
			d.last = d.last.Add(-by)
		}
		books.swept = books.swept.Add(-by)
	}
	for range 3 { // each answer gives another hour
		age(50 * time.Minute)
		w.pub("A", w.sink["A"].reply, "", "a")
		w.want("B", "in a >in")
	}
	age(61 * time.Minute)
	w.pub("A", w.sink["A"].reply, "", "late")
	w.want("B")
	if s := w.b.Account("A").Snapshot(); s.OpenRequests != 0 || s.Drops["expired"] != 1 {
		t.Errorf("%d open, %v", s.OpenRequests, s.Drops)
	}
}

func TestAccountsCountTheirTraffic(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s"), stream("A", "ev.>", "ev.>")))
	w.sub("A", ">", "")
	w.sub("B", "ev.*", "")
	w.at("B1", nil, Traits{Remote: true})
	w.pub("A", "ev.x", "", "12345")
	w.pub("B", "s", "", "123")
	w.l.Flush()
	list := w.b.Accounts()
	a, b := list[0], list[1]
	header := uint64(len("NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":5}\r\n\r\n"))
	if a.InMsgs != 1 || a.InBytes != 5 || a.OutMsgs != 3 || a.OutBytes != 2*5+3+header {
		t.Errorf("the exporter has %+v", a)
	}
	if b.InMsgs != 1 || b.InBytes != 3 || b.OutMsgs != 0 || b.Peers != 2 || b.Links != 1 || b.Subscriptions != 2 {
		t.Errorf("the importer has %+v", b)
	}
	w.l.Close()
	if again := w.b.Account("A").Snapshot(); again.OutBytes != a.OutBytes {
		t.Errorf("after the lane is closed: %+v", again)
	}
}

// TestTrafficIsCountedExactly goes over the edge of every field of what is packed.
func TestTrafficIsCountedExactly(t *testing.T) {
	for _, c := range []struct{ subs, size, flushes, burst int }{
		{1, 1, 3, 1}, {0, 0, 1 << msgsBits, 3}, {3, 1, 1<<msgsBits/3 + 1, 1}, {0, 1 << bytesBits, 2, 1}, {0, 1<<bytesBits - 1, 5, 1},
		{5, 1 << (bytesBits - 2), 3, 3}, {1, 100, 20, 1000},
	} {
		b := New(Options{})
		a := b.Account("")
		subscribers(t, b, c.subs, "a", "")
		p := a.Attach(nil, new(countSink), Traits{})
		other := b.Account("B").Attach(nil, new(countSink), Traits{})
		l := b.NewLane()
		m, short := &Msg{Subject: []byte("a"), Payload: make([]byte, c.size)}, &Msg{Subject: []byte("a")}
		msgs := uint64(0)
		check := func(when string) {
			s, bytes := a.Snapshot(), msgs*uint64(c.size)
			if s.InMsgs != msgs || s.InBytes != bytes || s.OutMsgs != msgs*uint64(c.subs) || s.OutBytes != bytes*uint64(c.subs) {
				t.Fatalf("%+v: %d messages, and counted are %+v %s", c, msgs, s, when)
			}
		}
		for range c.flushes {
			for range c.burst {
				p.Publish(l, m)
				msgs++
			}
			other.Publish(l, short)
			l.Flush()
			check("after a flush")
		}
		l.Close()
		check("when the lane is closed")
		if n := b.Account("B").Snapshot().InMsgs; n != uint64(c.flushes) {
			t.Errorf("%+v: %d messages in the other account, want %d", c, n, c.flushes)
		}
	}
}
