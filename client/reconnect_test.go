package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReconnectRestoresSubscriptionsThenPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		back := make(chan struct{})
		conn, p := connect(t, n, OnReconnect(func(*Conn) { close(back) }), ReconnectBuffer(100))
		defer conn.Close()
		a := must(conn.SubscribeSync("a", ""))
		must(conn.SubscribeSync("b", "g"))
		c := must(conn.SubscribeSync("c", ""))
		a.AutoUnsubscribe(5)
		p.expect("SUB a 1", "SUB b g 2", "SUB c 3", "UNSUB 1 5")
		p.send("MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n")
		synctest.Wait()
		flushed := make(chan error, 1)
		go func() { flushed <- conn.Flush(t.Context()) }()
		p.expect("PING")
		p.conn.Close()
		if err := <-flushed; !errors.Is(err, ErrDisconnected) {
			t.Errorf("Flush under a break: %v", err)
		}

		// No line: changes are noted, publishes kept up to the bound, Flush waits.
		if conn.Status() != Reconnecting {
			t.Error(conn.Status())
		}
		must(conn.SubscribeSync("d", ""))
		c.Unsubscribe()
		if err := conn.Publish("x", []byte("kept")); err != nil {
			t.Error(err)
		}
		if err := conn.Publish("x", make([]byte, 100)); !errors.Is(err, ErrReconnectBuffer) {
			t.Errorf("beyond the bound: %v", err)
		}
		go func() { flushed <- conn.Flush(t.Context()) }()
		synctest.Wait()
		conn.Publish("y", nil)

		p = n.next(plainInfo)
		p.expect("SUB a 1", "UNSUB 1 3", "SUB b g 2", "SUB d 4", "PUB x 4", "kept", "PUB y 0", "", "PING")
		p.send("PONG\r\n")
		if err := <-flushed; err != nil {
			t.Errorf("Flush over a break: %v", err)
		}
		<-back
		if conn.Stats().Reconnects != 1 || conn.LastError() != nil {
			t.Errorf("%+v %v", conn.Stats(), conn.LastError())
		}
	})
}

// What the writer has not taken when the line breaks is published on the next; operations of
// the old line are not repeated.
func TestUnwrittenPublishesSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		conn.Publish("lost", nil)
		synctest.Wait() // the writer stands in Write: nobody reads the pipe
		must(conn.SubscribeSync("s", ""))
		conn.Publish("kept", []byte("1"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		conn.Flush(ctx) // leaves a PING
		conn.Publish("kept", []byte("2"))
		p.conn.Close()
		n.next(plainInfo).expect("SUB s 1", "PUB kept 1", "1", "PUB kept 1", "2")
	})
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		closed := make(chan struct{})
		var failures int
		conn, p := connectTo(t, n, "one,two", ReconnectWait(time.Second, 10*time.Second), MaxReconnects(8),
			OnError(func(_ *Conn, _ *Subscription, err error) { failures++ }), OnClose(func(*Conn) { close(closed) }))
		n.set("one:4222", true)
		n.set("two:4222", true)
		began := time.Now()
		p.conn.Close()
		<-closed
		// 1+2+4+8+10+10+10+10 seconds, each less up to a half.
		if took := time.Since(began); took < 27*time.Second || took > 55*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if failures != 16 {
			t.Errorf("told of %d failures of 16", failures)
		}
		// The one that broke is tried last.
		if want := []string{"one:4222", "two:4222", "one:4222"}; !slices.Equal(n.dialled()[:3], want) {
			t.Errorf("dialled %v", n.dialled()[:3])
		}
		<-conn.Done()
	})
}

func TestPausesGrowForAServerThatDropsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, ReconnectWait(time.Second, 8*time.Second))
		defer conn.Close()
		began := time.Now()
		for range 6 {
			p.conn.Close()
			p = n.next(plainInfo)
		}
		if took := time.Since(began); took < 15*time.Second {
			t.Errorf("six times within %v", took)
		}
	})
}

func TestAnnouncedServersAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		heard := make(chan []string, 3)
		conn, p := connect(t, n, OnServers(func(_ *Conn, list []string) { heard <- list }))
		defer conn.Close()
		p.send(`INFO {"max_payload":1024,"connect_urls":["one:4222","two:4222"]}` + "\r\n")
		if got := <-heard; !slices.Equal(got, []string{"two:4222"}) {
			t.Errorf("heard of %v", got)
		}
		p.conn.Close()
		if p = n.next(`{"connect_urls":["one:4222","two:4222"]}`); p.address != "two:4222" {
			t.Errorf("went to %s", p.address)
		}
		// One that is announced no more is forgotten once it is not in use.
		n.set("two:4222", true)
		p.send(`INFO {"connect_urls":["one:4222"]}` + "\r\n")
		p.conn.Close()
		p = n.next(`{"connect_urls":["one:4222"]}`)
		synctest.Wait()
		if list := conn.servers.list; len(list) != 1 || list[0].address != "one:4222" {
			t.Errorf("%d servers are left", len(list))
		}
	})
}

// Credentials in an address are for the cluster behind it, not for one of its members.
func TestAnnouncedServersAreToldTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connectTo(t, n, "nats://ann:secret@one")
		defer conn.Close()
		p.send(`INFO {"connect_urls":["two:4222"]}` + "\r\n")
		p.conn.Close()
		p = <-n.peers
		if said := p.hello(plainInfo); p.address != "two:4222" || !strings.Contains(said, `"user":"ann","pass":"secret"`) {
			t.Errorf("%s was told %s", p.address, said)
		}
	})
}

func TestLameDuckMovesToAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		why := make(chan error, 1)
		duck := make(chan struct{})
		conn, p := connectTo(t, n, "one,two", OnLameDuck(func(*Conn) { close(duck) }),
			OnDisconnect(func(_ *Conn, err error) { why <- err }))
		defer conn.Close()
		sub := must(conn.SubscribeSync("s", ""))
		p.expect("SUB s 1")
		conn.Publish("before", nil)
		p.expect("PUB before 0", "")
		p.send(`INFO {"max_payload":1024,"headers":true,"ldm":true}` + "\r\n")
		<-duck
		p.expect("PING") // the farewell: all before it is taken
		conn.Publish("after", nil)
		p.send("MSG s 1 1\r\nx\r\nPONG\r\n") // what comes before the PONG still counts
		p.expect("(EOF)")
		if err := <-why; !errors.Is(err, ErrLameDuck) {
			t.Error(err)
		}
		if m, err := sub.NextMsg(t.Context()); err != nil || string(m.Data) != "x" {
			t.Error(m, err)
		}
		if p = n.next(plainInfo); p.address != "two:4222" {
			t.Errorf("went to %s", p.address)
		}
		p.expect("SUB s 1", "PUB after 0", "")
	})
}

func TestLameDuckWithoutAnswerOrAlternative(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connectTo(t, n, "one,two")
			defer conn.Close()
			began := time.Now()
			p.send(`INFO {"ldm":true}` + "\r\n")
			p.expect("PING", "(EOF)")
			if took := time.Since(began); took > DefaultReconnectWait+farewellTimeout {
				t.Errorf("left after %v", took)
			}
			n.next(plainInfo)
		})
	})
	t.Run("unsaid publishes go along", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connectTo(t, n, "one,two")
			defer conn.Close()
			conn.Publish("lost", nil)
			synctest.Wait() // stands in Write: nobody reads
			p.send(`INFO {"ldm":true,"max_payload":9}` + "\r\n")
			conn.Publish("first", nil)
			time.Sleep(time.Second) // of the bubble: the farewell is queued now
			conn.Publish("second", nil)
			p.conn.Close()
			n.next(plainInfo).expect("PUB first 0", "", "PUB second 0", "")
		})
	})
	t.Run("nowhere to go", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connect(t, n)
			defer conn.Close()
			p.send(`INFO {"ldm":true,"max_payload":9}` + "\r\n")
			time.Sleep(time.Minute)
			if conn.Status() != Connected {
				t.Error(conn.Status())
			}
		})
	})
}

func TestPublisherWaitsForAWriterThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		body := make([]byte, 1000)
		published := make(chan int, 1)
		go func() {
			for i := range 1000 {
				if err := conn.Publish("a", body); err != nil {
					t.Error(err)
				}
				if i == 999 {
					published <- i
				}
			}
		}()
		synctest.Wait()
		conn.mu.Lock()
		waiting := len(conn.out)
		conn.mu.Unlock()
		if waiting < writeHigh || waiting > writeHigh+2000 {
			t.Errorf("%d bytes wait", waiting)
		}
		go p.lines.WriteTo(discard{})
		<-published
	})
}

func TestWriterThatStandsStillIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, _ := connect(t, n)
		defer conn.Close()
		began := time.Now()
		conn.Publish("a", []byte("x")) // nobody reads
		n.next(plainInfo)
		if took := time.Since(began); took < writeTimeout || took > writeTimeout+time.Second {
			t.Errorf("reconnected after %v", took)
		}
	})
}

// What an outage has left takes longer than the patience with a line that takes nothing, and than that
// with a server that says nothing.
func TestWriterThatIsSlowIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, Ping(5*time.Second, 1))
		defer conn.Close()
		const messages = 100
		for range messages {
			if err := conn.Publish("a", make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range messages {
			time.Sleep(time.Second) // of the bubble
			if operation, body := p.line(), p.line(); operation != "PUB a 1000" || len(body) != 1000 {
				t.Fatalf("the line broke after %v", time.Since(began))
			}
		}
		if took := time.Since(began); took < 3*writeTimeout || conn.Stats().Reconnects > 0 {
			t.Errorf("%d lines in %v: that shows nothing", conn.Stats().Reconnects+1, took)
		}
		go answer(p)
		if err := conn.Flush(t.Context()); err != nil {
			t.Errorf("the line broke: %v", err)
		}
	})
}

// answer is a server that says PONG and nothing else, until the client hangs up: which may be while it
// answers, at the end of a test.
func answer(p *peer) {
	for line := p.line(); line[0] != '('; line = p.line() {
		if line != "PING" {
			continue
		}
		if _, err := io.WriteString(p.conn, "PONG\r\n"); err != nil {
			return
		}
	}
}

// A program may ask on and on while the line is down: what nobody waits for any more is forgotten.
func TestFlushesOfAnOutageDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		n.set("one:4222", true)
		p.conn.Close()
		synctest.Wait()
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := conn.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := conn.PublishSync(ctx, "a", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		conn.mu.Lock()
		kept, waiting := string(conn.out), len(conn.receipts)+len(conn.later)
		conn.mu.Unlock()
		if kept != "PUB a 0\r\n\r\n" || waiting > 0 {
			t.Errorf("%q and %d who wait are kept", kept, waiting)
		}
		n.set("one:4222", false)
		n.next(plainInfo).expect("PUB a 0", "")
	})
}

func TestManyBreaksLoseNoSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, ReconnectWait(time.Millisecond, time.Millisecond))
		defer conn.Close()
		var want []string
		for i := range 30 {
			must(conn.SubscribeSync(fmt.Sprintf("s.%d", i), ""))
			want = append(want, fmt.Sprintf("SUB s.%d %d", i, i+1))
			p.conn.Close()
			p = n.next(plainInfo)
			var got []string
			for range want {
				got = append(got, p.line())
			}
			if !slices.Equal(got, want) {
				t.Fatalf("after break %d:\n%s", i, strings.Join(got, "\n"))
			}
		}
	})
}
