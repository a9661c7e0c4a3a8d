package peers

import (
	"bytes"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestMessageReachesEverySubscriber(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		a, b := connect(t, s), connect(t, s)
		one, two := subscribe(t, a, "news"), subscribe(t, b, "news")
		other := subscribe(t, b, "olds")
		publish(t, a, "news", "hello")
		expect(t, one, "news", "hello")
		expect(t, two, "news", "hello")
		expectNothing(t, other, a, b)
	})
}

func TestWildcards(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		nc := connect(t, s)
		star, arrow, both := subscribe(t, nc, "w.*.z"), subscribe(t, nc, "w.>"), subscribe(t, nc, "*.y.>")
		publish(t, nc, "w.y.z", "1")
		publish(t, nc, "w.y", "2")
		publish(t, nc, "w", "3")
		publish(t, nc, "v.y.z.z", "4")
		expect(t, star, "w.y.z", "1")
		expect(t, arrow, "w.y.z", "1")
		expect(t, arrow, "w.y", "2")
		expect(t, both, "w.y.z", "1")
		expect(t, both, "v.y.z.z", "4")
		for _, sub := range []*nats.Subscription{star, arrow, both} {
			expectNothing(t, sub, nc)
		}
	})
}

func TestQueueGroupDeliversOnce(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		const members, messages = 4, 1000
		var got [members]atomic.Int64
		seen := make([]atomic.Int64, messages)
		var conns []*nats.Conn
		for i := range members {
			nc := connect(t, s)
			conns = append(conns, nc)
			if _, err := nc.QueueSubscribe("jobs.*", "workers", func(m *nats.Msg) {
				n, _ := strconv.Atoi(string(m.Data))
				seen[n].Add(1)
				got[i].Add(1)
			}); err != nil {
				t.Fatal(err)
			}
			flush(t, nc)
		}
		plain := subscribe(t, conns[0], "jobs.>")
		pub := connect(t, s)
		for n := range messages {
			publish(t, pub, "jobs.x", strconv.Itoa(n))
		}
		flush(t, pub)
		process.Eventually(t, patience, "all jobs taken", func() bool {
			sum := int64(0)
			for i := range got {
				sum += got[i].Load()
			}
			return sum >= messages
		})
		for _, nc := range conns {
			flush(t, nc)
		}
		for n := range seen {
			if c := seen[n].Load(); c != 1 {
				t.Fatalf("job %d was done %d times", n, c)
			}
		}
		for i := range got {
			if c := got[i].Load(); c < messages/members/4 {
				t.Errorf("member %d got only %d of %d", i, c, messages)
			}
		}
		if n, _, _ := plain.Pending(); n != messages {
			t.Errorf("the plain subscriber got %d of %d", n, messages)
		}
	})
}

func TestRequestIsAnswered(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		server, client := connect(t, s), connect(t, s)
		if _, err := server.Subscribe("time", func(m *nats.Msg) { m.Respond(append([]byte("noon at "), m.Data...)) }); err != nil {
			t.Fatal(err)
		}
		flush(t, server)
		for i := range 100 {
			m, err := client.Request("time", fmt.Appendf(nil, "%d", i), patience)
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("noon at %d", i); string(m.Data) != want {
				t.Fatalf("got %q, want %q", m.Data, want)
			}
		}
	})
}

func TestOldStyleRequestIsAnswered(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		nc := connect(t, s, nats.UseOldRequestStyle())
		if _, err := nc.Subscribe("time", func(m *nats.Msg) { m.Respond([]byte("noon")) }); err != nil {
			t.Fatal(err)
		}
		m, err := nc.Request("time", nil, patience)
		if err != nil || string(m.Data) != "noon" {
			t.Fatalf("got %v, %v", m, err)
		}
		_, err = nc.Request("nobody", nil, patience)
		expectError(t, err, nats.ErrNoResponders)
	})
}

func TestNoResponders(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		nc := connect(t, s)
		began := time.Now()
		_, err := nc.Request("nobody", []byte("?"), patience)
		expectError(t, err, nats.ErrNoResponders)
		if took := time.Since(began); took > patience/2 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHeadersTravel(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		a, b := connect(t, s), connect(t, s)
		if !a.HeadersSupported() {
			t.Fatal("headers are not supported")
		}
		sub := subscribe(t, b, "h")
		m := nats.NewMsg("h")
		m.Header.Add("Unit", "°C")
		m.Header.Add("Path", "one")
		m.Header.Add("Path", "two")
		m.Data = []byte("21.5")
		m.Reply = "answers"
		if err := a.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		got := expect(t, sub, "h", "21.5")
		if got.Header.Get("Unit") != "°C" || fmt.Sprint(got.Header.Values("Path")) != "[one two]" || got.Reply != "answers" {
			t.Fatalf("got %v, reply %q", got.Header, got.Reply)
		}
		empty := nats.NewMsg("h")
		empty.Header.Set("Only", "header")
		if err := a.PublishMsg(empty); err != nil {
			t.Fatal(err)
		}
		if got := expect(t, sub, "h", ""); got.Header.Get("Only") != "header" {
			t.Fatalf("got %v", got.Header)
		}
	})
}

func TestEchoOff(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		deaf, other := connect(t, s, nats.NoEcho()), connect(t, s)
		own, others := subscribe(t, deaf, "x"), subscribe(t, other, "x")
		publish(t, deaf, "x", "1")
		expect(t, others, "x", "1")
		expectNothing(t, own, deaf)
		publish(t, other, "x", "2")
		expect(t, own, "x", "2")
		_, err := deaf.Request("x.y", nil, patience)
		expectError(t, err, nats.ErrNoResponders)
	})
}

func TestAutoUnsubscribe(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		nc := connect(t, s)
		sub := subscribe(t, nc, "x")
		if err := sub.AutoUnsubscribe(3); err != nil {
			t.Fatal(err)
		}
		after := subscribe(t, nc, "x")
		for i := range 10 {
			publish(t, nc, "x", strconv.Itoa(i))
		}
		for i := range 3 {
			expect(t, sub, "x", strconv.Itoa(i))
		}
		for i := range 10 {
			expect(t, after, "x", strconv.Itoa(i))
		}
		if _, err := sub.NextMsg(time.Second); err != nats.ErrMaxMessages && err != nats.ErrBadSubscription {
			t.Fatalf("after the last message: %v", err)
		}
		if err := after.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		_, err := nc.Request("x", nil, patience)
		expectError(t, err, nats.ErrNoResponders)
	})
}

func TestPayloadOfAnySize(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		a, b := connect(t, s), connect(t, s)
		sub := subscribe(t, b, "x")
		for _, size := range []int{0, 1, 511, 512, 513, 4095, 4096, 32 << 10, 64<<10 + 1, 1 << 20} {
			want := bytes.Repeat([]byte{byte(size), 0, '\r', '\n'}, size/4+1)[:size]
			if err := a.Publish("x", want); err != nil {
				t.Fatal(err)
			}
			m, err := sub.NextMsg(patience)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if !bytes.Equal(m.Data, want) {
				t.Fatalf("%d bytes came as %d others", size, len(m.Data))
			}
		}
	})
}

func TestOrderIsKept(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		const publishers, each = 3, 20_000
		in := connect(t, s)
		var next [publishers]int
		var wrong atomic.Int64
		done := make(chan bool, 1)
		left := publishers * each
		if _, err := in.Subscribe("o.*", func(m *nats.Msg) {
			who, n := int(m.Subject[2]-'0'), 0
			n, _ = strconv.Atoi(string(m.Data))
			if n != next[who] {
				wrong.Add(1)
			}
			next[who] = n + 1
			if left--; left == 0 {
				done <- true
			}
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, in)
		for who := range publishers {
			nc := connect(t, s)
			go func() {
				for n := range each {
					nc.Publish("o."+strconv.Itoa(who), strconv.AppendInt(nil, int64(n), 10))
				}
				nc.Flush()
			}()
		}
		receive(t, done, "end")
		if n := wrong.Load(); n > 0 {
			t.Fatalf("%d messages out of order", n)
		}
	})
}

func TestServicesAreFound(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		nc, client := connect(t, s), connect(t, s)
		service, err := micro.AddService(nc, micro.Config{
			Name: "adder", Version: "1.0.0",
			Endpoint: &micro.EndpointConfig{Subject: "add", Handler: micro.HandlerFunc(func(r micro.Request) { r.Respond([]byte("3")) })},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer service.Stop()
		flush(t, nc)
		if m, err := client.Request("add", []byte("1 2"), patience); err != nil || string(m.Data) != "3" {
			t.Fatalf("got %v, %v", m, err)
		}
		if m, err := client.Request("$SRV.PING.adder", nil, patience); err != nil || !bytes.Contains(m.Data, []byte(`"name":"adder"`)) {
			t.Fatalf("got %v, %v", m, err)
		}
	})
}
