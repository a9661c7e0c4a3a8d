//go:build linux

package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// A bus is what the benchmarks need of an SDK; they judge ours beside nats.go in one run:
//
//	go test -run '^$' -bench SDK -benchmem .
type bus struct {
	publish   func(subject string, data []byte) error
	subscribe func(subject string, heard func()) error
	answer    func(subject string) error
	request   func(subject string, data []byte) error
	flush     func() error
	end       func()
}

func ourBus(t testing.TB, url string) bus {
	conn, err := client.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	return bus{
		publish: conn.Publish,
		subscribe: func(s string, heard func()) error {
			_, err := conn.Subscribe(s, func(*client.Msg) { heard() })
			return err
		},
		answer: func(s string) error {
			_, err := conn.Subscribe(s, func(m *client.Msg) { m.Respond(m.Data) })
			return err
		},
		request: func(s string, data []byte) error { _, err := conn.Request(ctx, s, data); return err },
		flush:   func() error { return conn.Flush(ctx) },
		end:     func() { cancel(); conn.Close(); <-conn.Done() },
	}
}

func theirBus(t testing.TB, url string) bus {
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	return bus{
		publish:   nc.Publish,
		subscribe: func(s string, heard func()) error { _, err := nc.Subscribe(s, func(*nats.Msg) { heard() }); return err },
		answer: func(s string) error {
			_, err := nc.Subscribe(s, func(m *nats.Msg) { m.Respond(m.Data) })
			return err
		},
		request: func(s string, data []byte) error { _, err := nc.Request(s, data, time.Minute); return err },
		flush:   func() error { return nc.FlushTimeout(time.Minute) },
		end:     nc.Close,
	}
}

var sdks = []struct {
	name string
	open func(testing.TB, string) bus
}{{"edgebus", ourBus}, {"nats.go", theirBus}}

func check(b testing.TB, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkSDKPublish(b *testing.B) {
	s := process.Start(b, process.Options{Kind: process.Edgebus})
	for _, kind := range sdks {
		b.Run(kind.name, func(b *testing.B) {
			c := kind.open(b, s.URL())
			defer c.end()
			data := make([]byte, 128)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				check(b, c.publish("sensors.boiler.temp", data))
			}
			check(b, c.flush())
		})
	}
}

func BenchmarkSDKSubscribe(b *testing.B) {
	s := process.Start(b, process.Options{Kind: process.Edgebus})
	block := bytes.Repeat([]byte("PUB sensors.boiler.temp 128\r\n"+fmt.Sprintf("%0128d", 0)+"\r\n"), 100)
	for _, kind := range sdks {
		b.Run(kind.name, func(b *testing.B) {
			c := kind.open(b, s.URL())
			defer c.end()
			blocks := (b.N + 99) / 100
			heard, all := 0, make(chan struct{})
			check(b, c.subscribe("sensors.>", func() {
				if heard++; heard == blocks*100 {
					close(all)
				}
			}))
			check(b, c.flush())
			source, err := net.Dial("tcp", s.Addr())
			check(b, err)
			defer source.Close()
			source.Write([]byte("CONNECT {\"verbose\":false}\r\n"))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range blocks {
				source.Write(block)
				if i%100 == 99 {
					check(b, c.flush()) // no subscriber of the two is to be slow
				}
			}
			<-all
		})
	}
}

func BenchmarkSDKRequest(b *testing.B) {
	s := process.Start(b, process.Options{Kind: process.Edgebus})
	for _, kind := range sdks {
		b.Run(kind.name, func(b *testing.B) {
			answers, asks := kind.open(b, s.URL()), kind.open(b, s.URL())
			defer answers.end()
			defer asks.end()
			check(b, answers.answer("echo"))
			check(b, answers.flush())
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				check(b, asks.request("echo", []byte("x")))
			}
		})
	}
}

// idleConnections is how many connections of each SDK are weighed.
const idleConnections = 200

// weigh returns what one idle connection with a subscription adds to the heap and the stacks.
func weigh(t *testing.T, open func(testing.TB, string) bus, url string) int {
	first := open(t, url) // what the first of its kind costs once
	defer first.end()
	check(t, first.flush())
	before := inUse()
	var all []bus
	for range idleConnections {
		c := open(t, url)
		all = append(all, c)
		check(t, c.subscribe("commands", func() {}))
		check(t, c.publish("hello", []byte("x")))
		check(t, c.flush())
	}
	after := inUse()
	for _, c := range all {
		c.end()
	}
	return (after - before) / idleConnections
}

func inUse() int {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

func TestSDKConnectionTakesHalfTheMemory(t *testing.T) {
	s := process.Start(t, process.Options{Kind: process.Edgebus})
	ours, theirs := weigh(t, ourBus, s.URL()), weigh(t, theirBus, s.URL())
	t.Logf("an idle connection takes %d bytes, one of nats.go %d", ours, theirs)
	if 2*ours > theirs {
		t.Errorf("an idle connection takes %d bytes, one of nats.go %d: at most half is promised", ours, theirs)
	}
}
