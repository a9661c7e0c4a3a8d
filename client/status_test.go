package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusComesByChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		ctx, cancel := context.WithCancel(t.Context())
		all, some := conn.StatusChanges(t.Context()), conn.StatusChanges(ctx)
		cancel()
		synctest.Wait()
		p.conn.Close()
		n.next(plainInfo)
		synctest.Wait()
		conn.Close()
		var got []Status
		for s := range all {
			got = append(got, s)
		}
		if want := []Status{Connected, Reconnecting, Connected, Closed}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		got = nil
		for s := range some {
			got = append(got, s)
		}
		if !slices.Equal(got, []Status{Connected}) {
			t.Errorf("after its context: %v", got)
		}
		if s, open := <-conn.StatusChanges(t.Context()); s != Closed || !open {
			t.Errorf("of a closed connection: %v %t", s, open)
		}
	})
}

// A watcher that does not read keeps nobody waiting, and finds the newest.
func TestStatusForgetsTheOldestForASlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		changes := conn.StatusChanges(t.Context())
		for range maxStatusChanges {
			p.conn.Close()
			p = n.next(plainInfo)
		}
		synctest.Wait()
		conn.Close()
		count, last := 0, Connected
		for last = range changes {
			count++
		}
		if count != maxStatusChanges || last != Closed {
			t.Errorf("%d changes, the last %v", count, last)
		}
	})
}

func TestSlowSubscriptionLosesWhatItsPolicySays(t *testing.T) {
	for policy, want := range map[Policy]string{DropNewest: "0 1 2", DropOldest: "7 8 9"} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			slow := make(chan error, 10)
			conn, p := connect(t, n, OnError(func(_ *Conn, _ *Subscription, err error) { slow <- err }))
			defer conn.Close()
			sub := must(conn.SubscribeSync("a", "", Limit(3, 1000), WhenFull(policy)))
			p.expect("SUB a 1")
			for i := range 10 {
				p.send(fmt.Sprintf("MSG a 1 1\r\n%d\r\n", i))
			}
			synctest.Wait()
			got := ""
			for range 3 {
				got += " " + string(must(sub.NextMsg(t.Context())).Data)
			}
			if got[1:] != want || sub.Dropped() != 7 || conn.Stats().Dropped != 7 {
				t.Errorf("policy %d: left%s, dropped %d and %d", policy, got, sub.Dropped(), conn.Stats().Dropped)
			}
			if err := <-slow; !errors.Is(err, ErrSlowConsumer) || len(slow) != 0 {
				t.Errorf("policy %d: told %v and %d more", policy, err, len(slow))
			}
		})
	}
}

func TestSubscriptionsKnowTwoPolicies(t *testing.T) {
	for _, option := range []SubOption{WhenFull(Block), WhenFull(KeepLast), Limit(0, 1), Limit(1, 0)} {
		if option(new(Subscription)) == nil {
			t.Error("taken")
		}
	}
}

func TestRepliesEndAsAsked(t *testing.T) {
	cases := []struct {
		name  string
		until Replies
		takes time.Duration
		count int
	}{
		{"enough", Replies{Max: 2}, 0, 2},
		{"gap", Replies{Gap: time.Second}, time.Second, 3},
		{"empty", Replies{UntilEmpty: true}, 0, 2},
		{"deadline", Replies{}, time.Minute, 3},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connect(t, n, InboxPrefix("in"))
			defer conn.Close()
			go func() {
				sub, pub := p.line(), p.line()
				var inbox string
				var sid, size int
				fmt.Sscanf(sub, "SUB %s %d", &inbox, &sid)
				var subject, reply string
				fmt.Sscanf(pub, "PUB %s %s %d", &subject, &reply, &size)
				p.line()
				if reply != inbox {
					t.Errorf("%s: asked with %q for answers at %q", c.name, reply, inbox)
				}
				for _, data := range []string{"a", "b", ""} {
					// Who has had enough may be gone before the last.
					fmt.Fprintf(p.conn, "MSG %s %d %d\r\n%s\r\n", inbox, sid, len(data), data)
				}
				p.lines.WriteTo(discard{})
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began, count := time.Now(), 0
			for _, err := range conn.RequestMany(ctx, &Msg{Subject: "who"}, c.until) {
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				count++
			}
			if took := time.Since(began); took != c.takes || count != c.count {
				t.Errorf("%s: %d answers in %v", c.name, count, took)
			}
		})
	}
}

// Calls that come together cost one PING.
func TestPublishSyncSharesReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		conn.Publish("first", nil)
		synctest.Wait() // the writer stands in Write: nobody reads the pipe
		ended := make(chan error, 3)
		for range 3 {
			go func() { ended <- conn.PublishSync(t.Context(), "a", nil) }()
		}
		synctest.Wait()
		p.expect("PUB first 0", "", "PUB a 0", "", "PUB a 0", "", "PUB a 0", "", "PING")
		p.send("PONG\r\n")
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		go func() { ended <- conn.PublishSync(t.Context(), "b", nil) }()
		p.expect("PUB b 0", "", "PING")
		p.conn.Close()
		if err := <-ended; !errors.Is(err, ErrDisconnected) {
			t.Errorf("over a break: %v", err)
		}
		n.next(plainInfo)
	})
}
