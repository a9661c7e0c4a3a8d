package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

func TestSessionIsSmall(t *testing.T) {
	// 112 is a size class of the allocator.
	if n := unsafe.Sizeof(session{}); n > 112 {
		t.Errorf("a session takes %d bytes, more than 112", n)
	}
}

// A bench drives sessions on a loop's own goroutine, with real connections whose other ends are
// read in the background.
type bench struct {
	r    *rig
	pub  *session
	loop *engine.Loop
}

// onLoop runs f where the publisher's input is handled, and waits for it.
func (b *bench) onLoop(f func(l *engine.Loop)) {
	done := make(chan struct{})
	b.pub.conn.Post(func(l *engine.Loop) {
		defer close(done)
		f(l)
	})
	<-done
}

func newBench(t testing.TB, subs int, sub string, connect string) *bench {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for i := range subs {
		c := r.connect(quiet)
		c.send(fmt.Sprintf(sub+"\r\nPING\r\n", i+1))
		c.expect("PONG\r\n")
		c.conn.SetDeadline(time.Time{})
		go io.Copy(io.Discard, c.conn)
	}
	before := r.server.all()
	p := r.connect(connect)
	p.conn.SetDeadline(time.Time{})
	go io.Copy(io.Discard, p.conn)
	all := r.server.all()
	return &bench{r: r, pub: all[len(before)]}
}

// feed gives in to the publisher's session until it is used up, and flushes as the engine would.
func (b *bench) feed(t testing.TB, l *engine.Loop, in []byte) {
	for len(in) > 0 {
		n, err := b.pub.Data(l, in)
		if err != nil || n == 0 {
			t.Errorf("Data: %d, %v", n, err)
			return
		}
		in = in[n:]
	}
	l.Local().(*broker.Lane).Flush()
}

func TestPublishAllocatesNothing(t *testing.T) {
	const loud = "CONNECT {\"verbose\":false}\r\nPING\r\nCONNECT {\"verbose\":true,\"pedantic\":true}\r\n"
	for _, c := range []struct {
		name, sub, connect, in string
		subs                   int
		reply                  bool // a new reply subject each time
	}{
		{"to one", "SUB a.b %d", quiet, "PUB a.b 16\r\n0123456789abcdef\r\n", 1, false},
		{"to a hundred", "SUB a.b %d", quiet, "PUB a.b 16\r\n0123456789abcdef\r\n", 100, false},
		{"to one of a queue of a hundred", "SUB a.b q %d", quiet, "PUB a.b 16\r\n0123456789abcdef\r\n", 100, false},
		{"with headers", "SUB a.b %d", quiet, "HPUB a.b 12 28\r\nNATS/1.0\r\n\r\n0123456789abcdef\r\n", 1, false},
		{"long", "SUB a.b %d", quiet, "PUB a.b 5000\r\n" + strings.Repeat("x", 5000) + "\r\n", 1, false},
		{"to nobody", "SUB no %d", quiet, "PUB a.b 16\r\n0123456789abcdef\r\n", 1, false},
		{"pedantic and verbose", "SUB a.b %d", loud, "PUB a.b 16\r\n0123456789abcdef\r\n", 1, false},
		{"with a new reply subject", "SUB a.b %d", quiet, "PUB a.b _INBOX.000000 2\r\nhi\r\n", 1, true},
		{"PING and PONG", "SUB a.b %d", quiet, "PING\r\nPONG\r\n", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.subs, c.sub, c.connect)
			in := []byte(c.in)
			at, serial := bytes.Index(in, []byte("000000")), 100000
			var allocated float64
			b.onLoop(func(l *engine.Loop) {
				once := func() {
					if c.reply {
						serial++
						strconv.AppendInt(in[at:at], int64(serial), 10)
					}
					b.feed(t, l, in)
				}
				for range 200 {
					once()
				}
				allocated = testing.AllocsPerRun(500, once)
			})
			if raceEnabled {
				return // sync.Pool drops at random under the race detector
			}
			if allocated >= 1 {
				t.Errorf("%v allocations a message", allocated)
			}
		})
	}
}

// benchmark publishes in batches as a read would bring them.
func benchmark(b *testing.B, subs int, sub, connect, line string, size int) {
	f := newBench(b, subs, sub, connect)
	one := fmt.Appendf(nil, line+"\r\n%s\r\n", size, strings.Repeat("x", size))
	batch := max(1, (64<<10)/len(one))
	in := bytes.Repeat(one, batch)
	b.ReportAllocs()
	b.ResetTimer()
	f.onLoop(func(l *engine.Loop) {
		for n := 0; n < b.N; n += batch {
			f.feed(b, l, in[:min(batch, b.N-n)*len(one)])
		}
	})
}

func BenchmarkPubToNobody(b *testing.B) {
	benchmark(b, 0, "", quiet, "PUB plant.line0000.temp %d", 128)
}
func BenchmarkPubToOne16(b *testing.B) {
	benchmark(b, 1, "SUB plant.line0000.temp %d", quiet, "PUB plant.line0000.temp %d", 16)
}
func BenchmarkPubToOne(b *testing.B) {
	benchmark(b, 1, "SUB plant.line0000.temp %d", quiet, "PUB plant.line0000.temp %d", 128)
}
func BenchmarkPubToHundred(b *testing.B) {
	benchmark(b, 100, "SUB plant.line0000.temp %d", quiet, "PUB plant.line0000.temp %d", 128)
}

// BenchmarkDeliver is the adapter's own share: the line rendered into the output, nothing written.
func BenchmarkDeliver(b *testing.B) {
	f := newBench(b, 1, "SUB plant.line0000.temp %d", quiet)
	var sub *broker.Sub
	var to *session
	f.onLoop(func(*engine.Loop) {
		to = f.pub
		var err error
		if sub, err = to.peer.Subscribe("plant.line0000.temp", "", "1"); err != nil {
			b.Error(err)
		}
	})
	m := &broker.Msg{Subject: []byte("plant.line0000.temp"), Payload: make([]byte, 16)}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		if !to.Deliver(m, sub) {
			b.Fatal("refused")
		}
		if n%1024 == 0 {
			to.Wake(false)
			for to.conn.Pending() > 1<<20 {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	r := start(b, Options{}, auth.Options{}, broker.Options{})
	hello := []byte(`CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"name":"","lang":"go","version":"1.45.0","protocol":1,"echo":true,"headers":true,"no_responders":true}` + "\r\nPING\r\n")
	b.ReportAllocs()
	buf := make([]byte, 4096)
	for range b.N {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Fatal(err)
		}
		c.Write(hello)
		for got := 0; !bytes.Contains(buf[:got], []byte("PONG\r\n")); {
			n, err := c.Read(buf[got:])
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
		c.Close()
	}
}

// Many goroutines connect, subscribe, publish and go at once, while others look and one shuts down.
func TestEverythingAtOnce(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range 20 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					return
				}
				conn.SetDeadline(time.Now().Add(patience))
				fmt.Fprintf(conn, "CONNECT {\"verbose\":false}\r\nSUB a.%d 1\r\nSUB a.* q 2\r\nUNSUB 1 3\r\nPUB a.%d 2\r\nhi\r\nPUB a.1 2\r\nhi\r\nCONNECT {}\r\nSUB a.* 1\r\nPING\r\n", i, j)
				buf := make([]byte, 512)
				conn.Read(buf)
				conn.Close()
			}
		}()
	}
	for range 20 {
		r.server.Snapshot()
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
