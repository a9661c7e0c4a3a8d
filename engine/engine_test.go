package engine

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of these tests. It is long: emulated, beside others, megabytes of TLS take a while.
const patience = time.Minute

// TestMain fails when a goroutine is left over.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(patience); code == 0 && runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left over:\n%s\n", buf[:runtime.Stack(buf, true)])
			code = 1
			break
		}
		runtime.Gosched()
	}
	os.Exit(code)
}

// talk is a session made of functions.
type talk struct {
	c      *Conn
	data   func(t *talk, l *Loop, in []byte) (int, error)
	due    func(t *talk, l *Loop)
	closed chan error
}

func (t *talk) Data(l *Loop, in []byte) (int, error) { return t.data(t, l, in) }
func (t *talk) Due(l *Loop, _ int64) {
	if t.due != nil {
		t.due(t, l)
	}
}
func (t *talk) Closed(reason error) { t.closed <- reason }

func (t *talk) say(s string) {
	if t.c.Begin(len(s)) {
		t.c.Write([]byte(s))
		t.c.End()
		t.c.Flush(false)
	}
}

// drivers runs f for a socket on a loop and for one that the stream driver has.
func drivers(t *testing.T, f func(t *testing.T, h *house)) {
	for _, name := range []string{"loop", "stream"} {
		t.Run(name, func(t *testing.T) {
			h := &house{t: t, stream: name == "stream"}
			f(t, h)
		})
	}
}

// A house is an engine with one listener, and what a test needs to talk to it.
type house struct {
	t      testing.TB
	stream bool
	e      *Engine
	addr   string
	talks  chan *talk
}

// hidden keeps the engine from recognising a socket.
type hidden struct{ net.Listener }
type hiddenConn struct{ net.Conn }

func (h hiddenConn) NetConn() net.Conn { return h.Conn }

func (h hidden) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return hiddenConn{c}, nil
}

func (h *house) open(o Options, make func(c *Conn) *talk) {
	h.t.Helper()
	h.talks = talkChan()
	h.openWith(o, func(c *Conn) Session {
		t := make(c)
		t.c = c
		t.closed = newReasons()
		h.talks <- t
		return t
	})
}

func (h *house) openWith(o Options, open Open) {
	h.t.Helper()
	e, err := New(o)
	if err != nil {
		h.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	if h.stream {
		ln = hidden{ln}
	}
	h.e = e
	d, err := e.Listen(ln, open)
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = d.Addr().String()
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			h.t.Error(err)
		}
	})
}

// needLoops skips a test of what only loops do.
func (h *house) needLoops() {
	if len(h.e.loops) == 0 {
		h.t.Skip("no loops on this system")
	}
}

func talkChan() chan *talk   { return make(chan *talk, 1024) }
func newReasons() chan error { return make(chan error, 2) }

func (h *house) dial() net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	h.t.Cleanup(func() { c.Close() })
	return c
}

func echo(t *talk, _ *Loop, in []byte) (int, error) {
	t.say(string(in))
	return len(in), nil
}

func TestEveryByteComesBack(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
		c := h.dial()
		want := make([]byte, 3<<20)
		rand.Read(want)
		go func() { c.Write(want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("other bytes came back")
		}
		c.Close()
		if err := <-(<-h.talks).closed; !errors.Is(err, ErrPeerClosed) {
			t.Fatalf("closed with %v", err)
		}
	})
}

func TestOpenMaySpeakFirst(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(c *Conn) *talk {
			tk := &talk{c: c, data: echo}
			tk.say("hello\n")
			return tk
		})
		got := make([]byte, 6)
		if _, err := io.ReadFull(h.dial(), got); err != nil || string(got) != "hello\n" {
			t.Fatalf("%q %v", got, err)
		}
	})
}

// Messages are "length:bytes", the length in eight digits; the session uses Need.
func lengths(t *talk, _ *Loop, in []byte) (int, error) {
	used := 0
	for len(in)-used >= 9 {
		var n int
		if _, err := fmt.Sscanf(string(in[used:used+8]), "%d", &n); err != nil {
			return used, err
		}
		if len(in)-used < 9+n {
			t.c.Need(9 + n)
			return used, nil
		}
		t.say(fmt.Sprintf("%08d;", n))
		used += 9 + n
	}
	return used, nil
}

func TestNeedGathersLongMessages(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		calls := 0
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) { calls++; return lengths(t, l, in) }}
		})
		c := h.dial()
		sizes := []int{0, 1, 700, 5000, 70_000, 131_072, 3_000_000, 12, 65_000, 200_000}
		go func() {
			for _, n := range sizes {
				fmt.Fprintf(c, "%08d:%s", n, strings.Repeat("x", n))
			}
		}()
		for _, n := range sizes {
			got := make([]byte, 9)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != fmt.Sprintf("%08d;", n) {
				t.Fatalf("%q %v, want %d", got, err, n)
			}
		}
		c.Close()
		<-(<-h.talks).closed
		if got := h.e.partial.Load(); got != 0 {
			t.Errorf("%d bytes of half messages counted when there are none", got)
		}
	})
}

func TestHalfMessagesHaveABound(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{PartialTotal: 4 << 20, WriteDeadline: time.Second}, func(*Conn) *talk { return &talk{data: lengths} })
		const conns = 40
		var talks []*talk
		for range conns {
			c := h.dial()
			go func() { fmt.Fprintf(c, "%08d:%s", 1<<20, strings.Repeat("x", 1<<19)) }()
			talks = append(talks, <-h.talks)
		}
		closed := 0
		for _, tk := range talks {
			select {
			case err := <-tk.closed:
				if !errors.Is(err, ErrPartialTotal) {
					t.Fatal(err)
				}
				closed++
			case <-time.After(10 * time.Second):
			}
			if max := int64(6 << 20); h.e.partial.Load() > max {
				t.Fatalf("half messages hold %d bytes", h.e.partial.Load())
			}
			if h.e.partial.Load() <= 3<<20 && closed > 0 {
				break
			}
		}
		if closed == 0 {
			t.Fatal("nobody was closed at the bound")
		}
		// There is room again for somebody who sends all.
		c := h.dial()
		go fmt.Fprintf(c, "%08d:%s", 100_000, strings.Repeat("x", 100_000))
		got := make([]byte, 9)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReaderThatNeverReadsIsClosedAtMaxPending(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{MaxPending: 8 << 20}, func(*Conn) *talk { return &talk{data: echo} })
		h.dial()
		tk := <-h.talks
		rested := time.Duration(0)
		block := make([]byte, 16<<10)
		for tk.c.Begin(len(block)) {
			tk.c.Write(block)
			tk.c.End()
			rested = max(rested, tk.c.Flush(false))
		}
		if err := <-tk.closed; !errors.Is(err, ErrSlowConsumer) {
			t.Fatal(err)
		}
		if rested < restMin || rested > restMax {
			t.Errorf("publishers were told to rest for %v", rested)
		}
		if n := h.e.pending.Load(); n != 0 {
			t.Errorf("%d bytes still counted as pending", n)
		}
	})
}

func TestFullestIsClosedAtPendingTotal(t *testing.T) {
	t.Parallel()
	drivers(t, testFullestIsClosed)
}

func testFullestIsClosed(t *testing.T, h *house) {
	h.open(Options{PendingTotal: 16 << 20}, func(*Conn) *talk { return &talk{data: echo} })
	h.dial()
	one := <-h.talks
	h.dial()
	two := <-h.talks
	fill := func(tk *talk, bytes int) {
		for ; bytes > 0 && tk.c.Begin(64<<10); bytes -= 64 << 10 {
			tk.c.Write(make([]byte, 64<<10))
			tk.c.End()
			tk.c.Flush(false)
		}
	}
	fill(one, 8<<20)
	fill(two, 30<<20)
	if err := <-two.closed; !errors.Is(err, ErrPendingTotal) {
		t.Fatal(err)
	}
	select {
	case err := <-one.closed:
		t.Fatalf("the one with less was closed: %v", err)
	default:
	}
}

func TestWriteDeadlineClosesWhoTakesNothing(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{WriteDeadline: time.Second}, func(*Conn) *talk { return &talk{data: echo} })
		h.dial()
		tk := <-h.talks
		for range 200 {
			if !tk.c.Begin(64 << 10) {
				break
			}
			tk.c.Write(make([]byte, 64<<10))
			tk.c.End()
			tk.c.Flush(false)
		}
		if err := <-tk.closed; !errors.Is(err, ErrWriteDeadline) {
			t.Fatal(err)
		}
	})
}

func TestLastLineArrivesThoughInputIsUnread(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		t.Run(fmt.Sprintf("flushed %v", flushed), func(t *testing.T) { testLastLine(t, flushed) })
	}
}

func testLastLine(t *testing.T, flushed bool) {
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk {
		return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
			if t.c.Begin(6) {
				t.c.Write([]byte("-ERR\r\n"))
				t.c.End()
			}
			if flushed {
				t.c.Flush(false)
			}
			return 0, errors.New("protocol")
		}}
	})
	for range 20 {
		c := h.dial()
		c.Write(make([]byte, 300_000))
		got, err := io.ReadAll(c)
		if string(got) != "-ERR\r\n" || h.e.loops != nil && err != nil { // a reset may take it along
			t.Fatalf("%q %v", got, err)
		}
		c.Close()
	}
}

func TestTimersComeInOrder(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, h *house) {
		times := make(chan int64, 4)
		h.open(Options{}, func(c *Conn) *talk {
			asked := []time.Duration{10 * time.Millisecond, 1100 * time.Millisecond}
			base := Now()
			c.WakeAt(base + int64(time.Millisecond)) // replaced
			c.WakeAt(base + int64(asked[0]))
			n := 0
			return &talk{data: echo, due: func(t *talk, l *Loop) {
				times <- Now() - base - int64(asked[n])
				if n++; n < len(asked) {
					t.c.WakeAt(base + int64(asked[n]))
				}
			}}
		})
		h.dial()
		for range 2 {
			if late := time.Duration(<-times); late < 0 {
				t.Errorf("came %v early", -late)
			}
		}
	})
}

func TestRestStopsInputAndNotOutput(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		got := make(chan string, 4)
		var begin int64 // of the rest; set before it is told that there is one
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				if string(in) == "rest" {
					begin = Now()
					t.c.Rest(50 * time.Millisecond)
				}
				got <- string(in)
				return len(in), nil
			}}
		})
		c := h.dial()
		fmt.Fprint(c, "rest")
		<-got
		fmt.Fprint(c, "after")
		(<-h.talks).say("out")
		if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "after" || Now()-begin < int64(40*time.Millisecond) {
			t.Fatalf("%q after %v", s, time.Duration(Now()-begin))
		}
	})
}

func TestAwayHoldsInputUntilItIsBack(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		gate := make(chan struct{})
		h.open(Options{}, func(*Conn) *talk {
			away := false
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				if in[0] == 'a' {
					away = true
					t.c.Away(func() { <-gate }, func(*Loop) { away = false; t.say("back ") })
					return 1, nil
				}
				if away {
					return 0, errors.New("input while away")
				}
				t.say(string(in))
				return len(in), nil
			}}
		})
		c := h.dial()
		fmt.Fprint(c, "a one")
		tk := <-h.talks
		tk.say("meanwhile ")
		got := make([]byte, len("meanwhile back  one two"))
		if _, err := io.ReadFull(c, got[:10]); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, " two")
		close(gate)
		if _, err := io.ReadFull(c, got[10:]); err != nil || string(got) != "meanwhile back  one two" {
			t.Fatalf("%q %v", got, err)
		}
	})
}

func TestAgainServesOthersFirst(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{Loops: 1}, func(*Conn) *talk {
			return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
				t.say(string(in[:1]))
				if len(in) > 1 {
					l.Again(t.c)
				}
				return 1, nil
			}}
		})
		c := h.dial()
		want := strings.Repeat("abcdefghij", 50)
		fmt.Fprint(c, want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Fatalf("%q %v", got, err)
		}
	})
}

func TestPostRunsWhereDataRuns(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
		c := h.dial()
		tk := <-h.talks
		for i := range 100 {
			tk.c.Post(func(*Loop) { tk.say(fmt.Sprintf("%02d", i)) })
		}
		got := make([]byte, 200)
		if _, err := io.ReadFull(c, got); err != nil || string(got[:6]) != "000102" || string(got[196:]) != "9899" {
			t.Fatalf("%q %v", got, err)
		}
	})
}

func TestUpgradeKeepsBytesThatCameAlong(t *testing.T) {
	conf := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(c *Conn) *talk {
			tk := &talk{c: c}
			tk.say("plain\n")
			tk.data = func(t *talk, _ *Loop, in []byte) (int, error) {
				t.data = echo
				t.c.Upgrade(func(nc net.Conn) (net.Conn, error) { return tls.Server(nc, conf), nil })
				return 0, nil // the ClientHello is the layer's
			}
			return tk
		})
		c := h.dial()
		if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		want := make([]byte, 200_000)
		rand.Read(want)
		go s.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal(err)
		}
		(<-h.talks).c.Post(func(*Loop) {})
		s.Close()
	})
}

func TestCloseTellsTheFirstReason(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
		c := h.dial()
		tk := <-h.talks
		first := errors.New("first")
		tk.c.Close(first)
		tk.c.Close(errors.New("second"))
		if err := <-tk.closed; err != first {
			t.Fatal(err)
		}
		if tk.c.Begin(1) {
			t.Fatal("output taken after the end")
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("still open")
		}
	})
}

func TestLargeWritesStayInOrder(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
		c := h.dial()
		tk := <-h.talks
		var want bytes.Buffer
		for i := range 60 {
			want.Write(bytes.Repeat([]byte{byte(i)}, i*i*100+1))
		}
		go func() {
			for b := bytes.NewBuffer(bytes.Clone(want.Bytes())); b.Len() > 0; {
				p := b.Next(1 + b.Len()/3)
				if !tk.c.Begin(len(p)) {
					return // closed, as the reader will say
				}
				tk.c.Put(append(tk.c.Room(1), p[0]))
				tk.c.Write(p[1:])
				tk.c.End()
				tk.c.Flush(len(p)%2 == 0)
			}
		}()
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatal("bytes out of order", err)
		}
	})
}

func TestPipeIsServedByTheStreamDriver(t *testing.T) {
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := h.e.Adopt(theirs, func(c *Conn) Session { return &talk{c: c, data: echo, closed: newReasons()} }); err != nil {
		t.Fatal(err)
	}
	go fmt.Fprint(ours, "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(ours, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q %v", got, err)
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
