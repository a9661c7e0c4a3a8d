package engine

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// An idle connection is one Conn and a place in two tables; architecture.md names 1 KB for it with
// everything that stands on it.
func TestIdleConnectionIsSmall(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) == 8 && unsafe.Sizeof(Conn{}) > 256 {
		t.Errorf("a Conn takes %d bytes, more than its size class of 256", unsafe.Sizeof(Conn{}))
	}
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	before := runtime.NumGoroutine()
	const conns = 200
	for range conns {
		c := h.dial()
		c.Write([]byte("once"))
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		tk := <-h.talks
		idle := make(chan bool)
		tk.c.Post(func(*Loop) { idle <- tk.c.rest == nil && tk.c.out.head == nil })
		if !<-idle {
			t.Fatal("a silent connection holds a buffer")
		}
	}
	noMore(t, before)
}

// noMore fails when there are more goroutines than before, for good: a finalizer or a timer may have one for a
// moment.
func noMore(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(patience / 6); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines for connections that are silent", runtime.NumGoroutine()-before)
		}
	}
}

// Appending and writing allocate nothing once the pools are warm.
func TestOutputAllocatesNothing(t *testing.T) {
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	c := h.dial()
	go io.Copy(io.Discard, c)
	out := (<-h.talks).c
	small, long := make([]byte, 100), make([]byte, 50_000)
	n := testing.AllocsPerRun(2000, func() {
		for range 4 {
			out.Begin(200)
			out.Put(append(out.Room(100), small...))
			out.Write(small)
			out.End()
		}
		out.Flush(false)
		out.Begin(len(long))
		out.Write(long)
		out.End()
		for out.Flush(false); out.Pending() > 0; {
			runtime.Gosched() // to the reader
		}
	})
	if raceEnabled {
		t.Skip("under the race detector pools forget some of what they are given")
	}
	// A collection may empty the pools in between.
	if n >= 0.5 {
		t.Errorf("%v allocations a flush", n)
	}
}

// BenchmarkEcho is one small message to a session and back.
func BenchmarkEcho(b *testing.B) {
	h := &benchHouse{}
	c := h.open(b)
	buf := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

type benchHouse struct{}

func (benchHouse) open(b *testing.B) net.Conn {
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := e.Listen(ln, func(c *Conn) Session { return &talk{c: c, data: echo, closed: newReasons()} }); err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); e.Shutdown(context.Background()) })
	return c
}

// BenchmarkEchoOverTLS is the same with TLS, the client's part included.
func BenchmarkEchoOverTLS(b *testing.B) {
	v := openVault(&house{t: b}, Options{}, &Security{}, nil)
	c := v.secret()
	defer c.Close()
	buf := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}
