//go:build linux

package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// A bus is what the benchmarks need of an SDK; they judge ours beside nats.go in one run:
//
//	go test -run '^$' -bench SDK -benchmem .
//	EDGEBUS_LONG=1 go test -run SDKCosts -v .
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

// A job is what an SDK is judged by. ready returns a function that does it n times.
type job struct {
	name  string
	ready func(b testing.TB, open func(testing.TB, string) bus, s *process.Server) func(n int)
}

// place makes up a token for a subject: jobs of both SDKs stand ready at the same time.
func place() string { return fmt.Sprint("b", places.Add(1)) }

var places atomic.Int64

var jobs = []job{{"publish", publishing}, {"subscribe", hearing}, {"request", asking}}

func publishing(b testing.TB, open func(testing.TB, string) bus, s *process.Server) func(n int) {
	c := open(b, s.URL())
	b.Cleanup(c.end)
	data := make([]byte, 128)
	return func(n int) {
		for range n {
			check(b, c.publish("sensors.boiler.temp", data))
		}
		check(b, c.flush())
	}
}

func hearing(b testing.TB, open func(testing.TB, string) bus, s *process.Server) func(n int) {
	const many = 100 // that come in one block
	subject := "sensors." + place()
	block := bytes.Repeat(fmt.Appendf(nil, "PUB %s.temp 128\r\n%0128d\r\n", subject, 0), many)
	c := open(b, s.URL())
	b.Cleanup(c.end)
	var heard, goal atomic.Int64
	all := make(chan struct{}, 1)
	check(b, c.subscribe(subject+".>", func() {
		if heard.Add(1) == goal.Load() {
			all <- struct{}{}
		}
	}))
	check(b, c.flush())
	source, err := net.Dial("tcp", s.Addr())
	check(b, err)
	b.Cleanup(func() { source.Close() })
	source.Write([]byte("CONNECT {\"verbose\":false}\r\n"))
	return func(n int) {
		blocks := (n + many - 1) / many
		goal.Add(int64(blocks * many))
		for i := range blocks {
			source.Write(block)
			if i%100 == 99 {
				check(b, c.flush()) // no subscriber of the two is to be slow
			}
		}
		<-all
	}
}

func asking(b testing.TB, open func(testing.TB, string) bus, s *process.Server) func(n int) {
	answers, asks := open(b, s.URL()), open(b, s.URL())
	b.Cleanup(answers.end)
	b.Cleanup(asks.end)
	subject := "echo." + place()
	check(b, answers.answer(subject))
	check(b, answers.flush())
	return func(n int) {
		for range n {
			check(b, asks.request(subject, []byte("x")))
		}
	}
}

func BenchmarkSDK(b *testing.B) {
	s := process.Start(b, process.Options{Kind: process.Edgebus})
	for _, job := range jobs {
		for _, kind := range sdks {
			b.Run(job.name+"/"+kind.name, func(b *testing.B) {
				do := job.ready(b, kind.open, s)
				b.ReportAllocs()
				b.ResetTimer()
				before := spent()
				do(b.N)
				b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// spent is the processor time that this process has used, the server not counted: it says what an SDK
// costs whatever else runs on the machine.
func spent() time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// A cost is that of one operation.
type cost struct{ wall, cpu, bytes, allocs float64 }

// median takes the middle of each.
func median(all []cost) cost {
	middle := func(of func(cost) float64) float64 {
		var list []float64
		for _, c := range all {
			list = append(list, of(c))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return cost{middle(func(c cost) float64 { return c.wall }), middle(func(c cost) float64 { return c.cpu }),
		middle(func(c cost) float64 { return c.bytes }), middle(func(c cost) float64 { return c.allocs })}
}

// weighed does a job so many times and says what one took.
func weighed(do func(int), n int) cost {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := spent(), time.Now()
	do(n)
	wall := time.Since(began)
	cpu = spent() - cpu
	runtime.ReadMemStats(&after)
	each := float64(n)
	return cost{float64(wall) / each, float64(cpu) / each, float64(after.TotalAlloc-before.TotalAlloc) / each,
		float64(after.Mallocs-before.Mallocs) / each}
}

// The table of docs/sdk.md. EDGEBUS_LONG takes many rounds of it, one SDK by turns with the other, so
// that what else runs on the machine meets both; only then processor time says something.
func TestSDKCostsNoMoreThanTheOther(t *testing.T) {
	rounds, shorter := 1, 20
	long := os.Getenv("EDGEBUS_LONG") != ""
	if long {
		rounds, shorter = 31, 1
	}
	s := process.Start(t, process.Options{Kind: process.Edgebus})
	times := map[string]int{"publish": 200_000, "subscribe": 100_000, "request": 4_000}
	t.Logf("%-9s  %-7s  %9s  %12s  %6s  %6s", "", "", "ns", "processor ns", "bytes", "allocs")
	for _, job := range jobs {
		costs := map[string][]cost{}
		var dos []func(int)
		n := times[job.name] / shorter
		for _, kind := range sdks {
			do := job.ready(t, kind.open, s)
			do(n / 10) // buffers grow, code is paged in
			dos = append(dos, do)
		}
		for range rounds {
			for i, kind := range sdks {
				costs[kind.name] = append(costs[kind.name], weighed(dos[i], n))
			}
		}
		for _, kind := range sdks {
			c := median(costs[kind.name])
			t.Logf("%-9s  %-7s  %9.0f  %12.0f  %6.0f  %6.1f", job.name, kind.name, c.wall, c.cpu, c.bytes, c.allocs)
		}
		ours, theirs := median(costs["edgebus"]), median(costs["nats.go"])
		if ours.allocs > theirs.allocs+0.5 {
			t.Errorf("%s: %.1f allocations, nats.go %.1f", job.name, ours.allocs, theirs.allocs)
		}
		if long && ours.cpu > theirs.cpu*tolerance {
			t.Errorf("%s: %.0f ns of a processor, nats.go %.0f", job.name, ours.cpu, theirs.cpu)
		}
	}
}

// tolerance is for a machine that does other things as well.
const tolerance = 1.15

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
