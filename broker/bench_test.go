package broker

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
)

func subscribers(b testing.TB, br *Broker, n int, filter, queue string) {
	for i := range n {
		p := br.Account("").Attach(nil, new(countSink), Traits{})
		mustSubscribe(b, p, filter, queue, strconv.Itoa(i))
	}
}

func benchmarkPublish(b *testing.B, n int) {
	br := New(Options{})
	l := br.NewLane()
	p := br.Account("").Attach(nil, new(countSink), Traits{})
	subscribers(b, br, n, "factory.line7.>", "")
	m := &Msg{Subject: []byte("factory.line7.temp"), Payload: make([]byte, 16)}
	b.ReportAllocs()
	for b.Loop() {
		got, _ := p.Publish(l, m)
		if got != n {
			b.Fatalf("delivered %d, want %d", got, n)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchmarkPublish(b, n) })
	}
	b.Run("flush", func(b *testing.B) {
		br := New(Options{})
		l := br.NewLane()
		p := br.Account("").Attach(nil, new(countSink), Traits{})
		subscribers(b, br, 1, "factory.line7.temp", "")
		m := &Msg{Subject: []byte("factory.line7.temp"), Payload: make([]byte, 16)}
		for b.Loop() {
			p.Publish(l, m)
			l.Flush()
		}
	})
	b.Run("queue", func(b *testing.B) {
		br := New(Options{})
		l := br.NewLane()
		p := br.Account("").Attach(nil, new(countSink), Traits{})
		subscribers(b, br, 10, "factory.line7.temp", "workers")
		m := &Msg{Subject: []byte("factory.line7.temp"), Payload: make([]byte, 16)}
		b.ReportAllocs()
		for b.Loop() {
			p.Publish(l, m)
		}
	})
	b.Run("subjects4000", func(b *testing.B) {
		br := New(Options{})
		l := br.NewLane()
		p := br.Account("").Attach(nil, new(countSink), Traits{})
		subscribers(b, br, 1, "factory.>", "")
		var subjects [4000][]byte
		for i := range subjects {
			subjects[i] = fmt.Appendf(nil, "factory.line%d.temp", i)
		}
		m := &Msg{Payload: make([]byte, 16)}
		for i := 0; b.Loop(); i++ {
			m.Subject = subjects[i%len(subjects)]
			p.Publish(l, m)
		}
	})
}

// BenchmarkMiss publishes to a subject that nobody publishes to twice.
func BenchmarkMiss(b *testing.B) {
	br := New(Options{})
	l := br.NewLane()
	p := br.Account("").Attach(nil, new(countSink), Traits{})
	subscribers(b, br, 1, "_INBOX.abcdefghijkl.*", "")
	for i := range 10000 {
		mustSubscribe(b, p, fmt.Sprintf("factory.line%d.temp", i), "", strconv.Itoa(i))
	}
	m := &Msg{Payload: make([]byte, 16)}
	var subject []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		subject = strconv.AppendInt(append(subject[:0], "_INBOX.abcdefghijkl."...), int64(i), 10)
		m.Subject = subject
		p.Publish(l, m)
	}
}

// BenchmarkChurn publishes to one subject while inboxes come and go.
func BenchmarkChurn(b *testing.B) {
	br := New(Options{})
	l := br.NewLane()
	p := br.Account("").Attach(nil, new(countSink), Traits{})
	subscribers(b, br, 1, "factory.line7.>", "")
	m := &Msg{Subject: []byte("factory.line7.temp"), Payload: make([]byte, 16)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := mustSubscribe(b, p, "_INBOX.abcdefghijkl", "", "1")
		p.Publish(l, m)
		p.Unsubscribe(s, 0)
	}
}

// BenchmarkImports publishes what another account imports, maps, or answers.
func BenchmarkImports(b *testing.B) {
	setup := func(b *testing.B) *world {
		return newWorld(b, &auth.Account{Name: "A", Exports: []auth.Export{{Service: true, Subject: "svc"}},
			Mappings: []auth.Mapping{{Source: "raw.*", Destinations: []auth.Destination{to("own.$1", 100)}}}},
			account("B", stream("A", "ev.>", "fromA.ev.>"), service("A", "svc", "svc")))
	}
	publish := func(b *testing.B, w *world, p *Peer, subject, reply string) {
		m := &Msg{Payload: make([]byte, 16), Reply: []byte(reply)}
		b.ReportAllocs()
		for b.Loop() {
			m.Subject = append(m.Subject[:0], subject...)
			if n, _ := p.Publish(w.l, m); n == 0 {
				b.Fatal("not delivered")
			}
		}
	}
	b.Run("stream", func(b *testing.B) {
		w := setup(b)
		mustSubscribe(b, w.b.Account("B").Attach(nil, new(countSink), Traits{}), "fromA.>", "", "1")
		publish(b, w, w.at("A", nil, Traits{}), "ev.x", "")
	})
	b.Run("mapping", func(b *testing.B) {
		w := setup(b)
		mustSubscribe(b, w.b.Account("A").Attach(nil, new(countSink), Traits{}), "own.>", "", "1")
		publish(b, w, w.at("A", nil, Traits{}), "raw.x", "")
	})
	b.Run("request", func(b *testing.B) {
		w := setup(b)
		mustSubscribe(b, w.b.Account("A").Attach(nil, new(countSink), Traits{}), "svc", "q", "1")
		publish(b, w, w.at("B", nil, Traits{}), "svc", "_INBOX.abcdefgh.1")
	})
}
