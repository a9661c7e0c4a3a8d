package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPublishOnTheWire(t *testing.T) {
	cases := []struct {
		name string
		msg  Msg
		wire []string
		err  error
	}{
		{"plain", Msg{Subject: "a.b", Data: []byte("hi")}, []string{"PUB a.b 2", "hi"}, nil},
		{"empty", Msg{Subject: "a"}, []string{"PUB a 0", ""}, nil},
		{"reply", Msg{Subject: "a", Reply: "r.1", Data: []byte("x")}, []string{"PUB a r.1 1", "x"}, nil},
		{"headers", Msg{Subject: "a", Header: Header{"K": {"v"}}, Data: []byte("x")}, []string{"HPUB a 18 19", "NATS/1.0", "K: v", "", "x"}, nil},
		{"headers and reply", Msg{Subject: "a", Reply: "r", Header: Header{"K": {"v"}}}, []string{"HPUB a r 18 18", "NATS/1.0", "K: v", "", ""}, nil},
		{"wildcard is literal", Msg{Subject: "a.*"}, []string{"PUB a.* 0", ""}, nil},
		{"no subject", Msg{}, nil, ErrSubject},
		{"blank", Msg{Subject: "a b"}, nil, ErrSubject},
		{"smuggled line", Msg{Subject: "a 0\r\n\r\nPUB b"}, nil, ErrSubject},
		{"smuggled in reply", Msg{Subject: "a", Reply: "b\r\n"}, nil, ErrSubject},
		{"empty token", Msg{Subject: "a..b"}, nil, ErrSubject},
		{"leading dot", Msg{Subject: ".a"}, nil, ErrSubject},
		{"trailing dot", Msg{Subject: "a."}, nil, ErrSubject},
		{"too large", Msg{Subject: "a", Data: make([]byte, 1025)}, nil, ErrMaxPayload},
		{"header counts", Msg{Subject: "a", Header: Header{"K": {"v"}}, Data: make([]byte, 1010)}, nil, ErrMaxPayload},
	}
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		for _, c := range cases {
			if err := conn.PublishMsg(&c.msg); !errors.Is(err, c.err) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.err)
			}
			p.expect(c.wire...)
		}
		if s := conn.Stats(); s.OutMsgs != 6 || s.OutBytes != 2+1+19+18 {
			t.Errorf("counted %+v", s)
		}
	})
}

func TestNoHeadersWhereTheServerHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		go func() {
			if said := (<-n.peers).hello(`{"max_payload":1024}`); !strings.Contains(said, `"headers":false,"no_responders":false`) {
				t.Error(said)
			}
		}()
		conn := must(Connect(t.Context(), "one", Dialer(n.dial)))
		defer conn.Close()
		if err := conn.PublishMsg(&Msg{Subject: "a", Header: Header{"K": {"v"}}}); !errors.Is(err, ErrNoHeaders) {
			t.Error(err)
		}
	})
}

func TestSubscribeOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		a := must(conn.Subscribe("a.*", func(*Msg) {}))
		must(conn.QueueSubscribe("b.>", "workers", func(*Msg) {}))
		c := must(conn.SubscribeChan(">", "", make(chan *Msg, 1)))
		p.expect("SUB a.* 1", "SUB b.> workers 2", "SUB > 3")
		if err := a.AutoUnsubscribe(5); err != nil {
			t.Error(err)
		}
		if err := c.Unsubscribe(); err != nil {
			t.Error(err)
		}
		p.expect("UNSUB 1 5", "UNSUB 3")
		<-c.Done()
		if err := c.Unsubscribe(); !errors.Is(err, ErrSubscriptionClosed) {
			t.Errorf("second Unsubscribe: %v", err)
		}
		for _, bad := range []string{"", "a..b", "a b", ">.a", "a.>.b", "a."} {
			if _, err := conn.SubscribeSync(bad, ""); !errors.Is(err, ErrSubject) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if _, err := conn.SubscribeSync("a", "two words"); !errors.Is(err, ErrQueueName) {
			t.Error(err)
		}
		if _, err := conn.QueueSubscribe("a", "", func(*Msg) {}); !errors.Is(err, ErrQueueName) {
			t.Error(err)
		}
	})
}

// Over a real socket whose other end reads and throws away.
func TestPublishDoesNotAllocate(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	// Its socket counts among those of the process until it has seen the end.
	var served sync.WaitGroup
	defer served.Wait()
	defer listener.Close()
	served.Go(func() {
		if c, err := listener.Accept(); err == nil {
			answerPings(c)
		}
	})
	conn := must(Connect(t.Context(), listener.Addr().String()))
	defer conn.Close()
	body := make([]byte, 16)
	publish := func() {
		if err := conn.Publish("sensors.boiler.temp", body); err != nil {
			t.Fatal(err)
		}
	}
	for range 100000 {
		publish() // both buffers have their size now
	}
	if n := testing.AllocsPerRun(10000, publish); n != 0 {
		t.Errorf("%v allocations a publish", n)
	}
}

func TestPingsWithoutEndCostOnePong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		conn.Publish("a", nil)
		synctest.Wait() // the writer stands in Write: nobody reads
		p.send(strings.Repeat("PING\r\n", 1000))
		conn.Publish("b", nil)
		p.expect("PUB a 0", "", "PONG", "PUB b 0", "")
		p.send("PING\r\n")
		p.expect("PONG")
	})
}

func TestMessagesArriveInOrderWhateverTheCut(t *testing.T) {
	const wire = "MSG a.x 1 3\r\none\r\nPING\r\nMSG a.y 1 r.1 3\r\ntwo\r\n" +
		"HMSG a.x 1 r.2 18 23\r\nNATS/1.0\r\nK: v\r\n\r\nthree\r\nMSG a.x 9 0\r\n\r\n"
	for cut := 1; cut < len(wire); cut += 7 {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t)
			conn, p := connect(t, n)
			defer conn.Close()
			got := make(chan *Msg, 3)
			must(conn.Subscribe("a.*", func(m *Msg) { got <- m }))
			p.expect("SUB a.* 1")
			go p.lines.WriteTo(discard{})
			for rest := wire; rest != ""; {
				n := min(cut, len(rest))
				p.send(rest[:n])
				rest = rest[n:]
			}
			for _, want := range []string{"a.x () [] one", "a.y (r.1) [] two", "a.x (r.2) [v] three"} {
				m := <-got
				if s := fmt.Sprintf("%s (%s) %v %s", m.Subject, m.Reply, m.Header["K"], m.Data); s != want {
					t.Errorf("cut every %d: got %q, want %q", cut, s, want)
				}
			}
			// The last one has no subscription; it is counted and nobody's.
			synctest.Wait()
			if s := conn.Stats(); s.InMsgs != 4 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

func TestLargeMessagesFitAndTheirBufferGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		sub := must(conn.SubscribeSync("a", ""))
		p.expect("SUB a 1")
		for _, size := range []int{1, 32 << 10, 5 << 20, 3} {
			body := strings.Repeat("x", size)
			p.send(fmt.Sprintf("MSG a 1 %d\r\n%s\r\n", size, body))
			m := must(sub.NextMsg(t.Context()))
			if string(m.Data) != body {
				t.Errorf("%d bytes came as %d", size, len(m.Data))
			}
		}
	})
}

func TestSlowSubscriptionDropsCountsAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		told := make(chan *Subscription, 9)
		conn, p := connect(t, n, SubscriptionQueue(4, 1<<20), OnError(func(_ *Conn, s *Subscription, err error) {
			if errors.Is(err, ErrSlowConsumer) {
				told <- s
			}
		}))
		defer conn.Close()
		slow := must(conn.SubscribeSync("a", ""))
		channel := make(chan *Msg, 2)
		narrow := must(conn.SubscribeChan("b", "", channel))
		other := must(conn.SubscribeSync("c", ""))
		p.expect("SUB a 1", "SUB b 2", "SUB c 3")
		for range 10 {
			p.send("MSG a 1 1\r\nx\r\nMSG b 2 1\r\ny\r\n")
		}
		p.send("MSG c 3 0\r\n\r\n")
		must(other.NextMsg(t.Context()))
		if messages, bytes := slow.Pending(); messages != 4 || bytes != 4 || slow.Dropped() != 6 {
			t.Errorf("queue: %d messages, %d bytes, %d dropped", messages, bytes, slow.Dropped())
		}
		if messages, _ := narrow.Pending(); messages != 2 || narrow.Dropped() != 8 || conn.Stats().Dropped != 14 {
			t.Errorf("channel: %d messages, %d dropped, %d in all", messages, narrow.Dropped(), conn.Stats().Dropped)
		}
		synctest.Wait()
		if len(told) != 2 {
			t.Errorf("told %d times", len(told))
		}
		// Once it has caught up, the next loss is news again.
		for range 4 {
			must(slow.NextMsg(t.Context()))
		}
		for range 5 {
			p.send("MSG a 1 1\r\nx\r\n")
		}
		synctest.Wait()
		if len(told) != 3 || slow.Dropped() != 7 {
			t.Errorf("told %d times, %d dropped", len(told), slow.Dropped())
		}
	})
}

func TestQueueIsBoundedInBytesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, SubscriptionQueue(100, 10))
		defer conn.Close()
		sub := must(conn.SubscribeSync("a", ""))
		p.expect("SUB a 1")
		p.send("MSG a 1 20\r\n01234567890123456789\r\nMSG a 1 1\r\nx\r\n")
		synctest.Wait()
		// One message always fits, or a large one could never be had.
		if messages, bytes := sub.Pending(); messages != 1 || bytes != 20 || sub.Dropped() != 1 {
			t.Errorf("%d messages, %d bytes, %d dropped", messages, bytes, sub.Dropped())
		}
	})
}

func TestAutoUnsubscribeEndsAfterMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		var got int
		called := must(conn.Subscribe("a", func(*Msg) { got++ }))
		pulled := must(conn.SubscribeSync("a", ""))
		p.expect("SUB a 1", "SUB a 2")
		called.AutoUnsubscribe(2)
		pulled.AutoUnsubscribe(2)
		p.expect("UNSUB 1 2", "UNSUB 2 2")
		p.send(strings.Repeat("MSG a 1 0\r\n\r\nMSG a 2 0\r\n\r\n", 3))
		<-called.Done()
		if got != 2 || called.Delivered() != 2 {
			t.Errorf("callback ran %d times, counted %d", got, called.Delivered())
		}
		must(pulled.NextMsg(t.Context()))
		must(pulled.NextMsg(t.Context()))
		if _, err := pulled.NextMsg(t.Context()); !errors.Is(err, ErrSubscriptionClosed) {
			t.Errorf("third: %v", err)
		}
		// A max that is reached already ends it at once.
		late := must(conn.SubscribeSync("b", ""))
		p.expect("SUB b 3")
		p.send("MSG b 3 0\r\n\r\nMSG b 3 0\r\n\r\n")
		synctest.Wait()
		if err := late.AutoUnsubscribe(1); err != nil {
			t.Error(err)
		}
		p.expect("UNSUB 3")
	})
}

func TestNextMsgOfManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		sub := must(conn.SubscribeSync("a", ""))
		p.expect("SUB a 1")
		results := make(chan error, 8)
		for range 8 {
			go func() { _, err := sub.NextMsg(t.Context()); results <- err }()
		}
		synctest.Wait()
		p.send(strings.Repeat("MSG a 1 0\r\n\r\n", 5))
		for range 5 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		sub.Unsubscribe()
		for range 3 {
			if err := <-results; !errors.Is(err, ErrSubscriptionClosed) {
				t.Error(err)
			}
		}
		p.expect("UNSUB 1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		other := must(conn.SubscribeSync("b", ""))
		if _, err := other.NextMsg(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		called := must(conn.Subscribe("b", func(*Msg) {}))
		if _, err := called.NextMsg(ctx); !errors.Is(err, ErrNotSync) {
			t.Error(err)
		}
	})
}

func TestDrainFinishesWhatIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		var done []string
		must(conn.Subscribe("a", func(m *Msg) {
			time.Sleep(time.Second)
			done = append(done, string(m.Data))
			conn.Publish("out", m.Data)
		}))
		pulled := must(conn.SubscribeSync("b", ""))
		p.expect("SUB a 1", "SUB b 2")
		p.send("MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG b 2 1\r\nb\r\n")
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- conn.Drain(t.Context()) }()
		p.expect("UNSUB 1", "UNSUB 2", "PING")
		if _, err := conn.Subscribe("c", func(*Msg) {}); !errors.Is(err, ErrDraining) {
			t.Errorf("Subscribe while draining: %v", err)
		}
		p.send("MSG a 1 1\r\n3\r\nPONG\r\n") // one was on its way
		p.expect("PUB out 1", "1", "PUB out 1", "2", "PUB out 1", "3", "PING")
		p.send("PONG\r\n")
		p.expect("(EOF)")
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if strings.Join(done, "") != "123" {
			t.Errorf("callback saw %v", done)
		}
		if m, err := pulled.NextMsg(t.Context()); err != nil || string(m.Data) != "b" {
			t.Errorf("what was left after Drain: %v %v", m, err)
		}
		<-conn.Done()
		if err := conn.Drain(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("second Drain: %v", err)
		}
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		go p.lines.WriteTo(discard{}) // a server that never answers
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		called := 0
		must(conn.Subscribe("a", func(*Msg) { called++; time.Sleep(3 * time.Second) }))
		p.send(strings.Repeat("MSG a 1 0\r\n\r\n", 9))
		if err := conn.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		<-conn.Done()
		if called != 1 {
			t.Errorf("the callback ran %d times, also after Drain gave up", called)
		}
	})
}

func TestDrainOfOneSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		defer conn.Close()
		var got int
		sub := must(conn.Subscribe("a", func(*Msg) { time.Sleep(time.Second); got++ }))
		p.expect("SUB a 1")
		p.send("MSG a 1 0\r\n\r\nMSG a 1 0\r\n\r\n")
		drained := make(chan error, 1)
		go func() { drained <- sub.Drain(t.Context()) }()
		p.expect("UNSUB 1", "PING")
		p.send("PONG\r\n")
		if err := <-drained; err != nil || got != 2 {
			t.Errorf("%v, callback ran %d times", err, got)
		}
		if conn.Status() != Connected {
			t.Error(conn.Status())
		}
	})
}
