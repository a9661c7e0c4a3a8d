package testnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write(%q) = %d, %v", text, n, err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func TestBytesArriveInOrderBothWays(t *testing.T) {
	a, b := Pipe()
	mustWrite(t, a, "one ")
	mustWrite(t, a, "two")
	mustWrite(t, b, "back")
	mustRead(t, b, "one two")
	mustRead(t, a, "back")
	if a.LocalAddr().String() != b.RemoteAddr().String() || a.LocalAddr().String() == b.LocalAddr().String() {
		t.Errorf("addresses: %v-%v and %v-%v", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
}

func TestWriterKeepsItsSlice(t *testing.T) {
	a, b := Pipe()
	p := []byte("before")
	a.Write(p)
	copy(p, "after!")
	mustRead(t, b, "before")
}

func TestCloseLetsWrittenBytesArrive(t *testing.T) {
	a, b := Pipe()
	mustWrite(t, a, "last words")
	a.Close()
	mustRead(t, b, "last words")
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read after the end: %v, want EOF", err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write to a closed peer: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a closed end: %v", err)
	}
	if err := a.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

func TestCloseWakesItsOwnReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := Pipe()
		done := make(chan error)
		go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
		synctest.Wait()
		a.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestHalfCloseStillReads(t *testing.T) {
	a, b := Pipe()
	mustWrite(t, a, "question")
	a.CloseWrite()
	mustRead(t, b, "question")
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
	mustWrite(t, b, "answer")
	mustRead(t, a, "answer")
}

func TestFullWindowHoldsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		a.SetWindow(4)
		wrote := make(chan int, 1)
		go func() { n, _ := a.Write([]byte("0123456789")); wrote <- n }()
		synctest.Wait()
		if n := a.Pending(); n != 4 {
			t.Errorf("%d bytes on their way, want the window's 4", n)
		}
		select {
		case <-wrote:
			t.Fatal("the write ended before anyone read")
		default:
		}
		mustRead(t, b, "0123456789")
		if n := <-wrote; n != 10 {
			t.Errorf("wrote %d of 10", n)
		}
	})
}

func TestDelayHoldsBytesForThatLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		began := time.Now()
		a.SetDelay(300 * time.Millisecond)
		mustWrite(t, a, "late")
		a.SetDelay(0)
		mustWrite(t, a, "r") // does not overtake
		mustRead(t, b, "later")
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("arrived after %v", took)
		}
	})
}

func TestStallIsSilentUntilResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		a.Stall()
		mustWrite(t, a, "ping")
		b.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := b.Read(make([]byte, 8)); !IsTimeout(err) {
			t.Fatalf("read of a stalled line: %v, want a timeout", err)
		}
		b.SetReadDeadline(time.Time{})
		go func() { time.Sleep(time.Second); a.Resume() }()
		mustRead(t, b, "ping")
	})
}

func TestDeadlinesAreTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := Pipe()
		a.SetWindow(1)
		a.SetDeadline(time.Now().Add(5 * time.Second))
		began := time.Now()
		_, err := a.Read(make([]byte, 1))
		var netErr net.Error
		if !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("read: %v is no net.Error with Timeout", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("read timed out after %v", took)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write([]byte("xyz")); n != 1 || !IsTimeout(err) {
			t.Errorf("write = %d, %v; want the window's 1 byte and a timeout", n, err)
		}
	})
}

func TestADeadlineInThePastWakesAWaitingReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := Pipe()
		done := make(chan error)
		go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
		synctest.Wait()
		a.SetReadDeadline(time.Unix(1, 0))
		if err := <-done; !IsTimeout(err) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestChunksAreShortReads(t *testing.T) {
	a, b := Pipe()
	b.SetChunk(3)
	mustWrite(t, a, "12345678")
	var sizes []int
	for total := 0; total < 8; {
		n, err := b.Read(make([]byte, 100))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
		total += n
	}
	if len(sizes) != 3 || sizes[0] != 3 || sizes[2] != 2 {
		t.Errorf("reads of %v, want 3 3 2", sizes)
	}
}

func TestCutBreaksBothEndsAndLosesWhatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		mustWrite(t, a, "lost")
		failed := make(chan error)
		go func() { _, err := a.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		b.Cut()
		if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("waiting read: %v", err)
		}
		if n, err := b.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read = %d, %v", n, err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestCutAfterIsAShortWrite(t *testing.T) {
	a, b := Pipe()
	a.CutAfter(5)
	mustWrite(t, a, "abc")
	if n, err := a.Write([]byte("defg")); n != 2 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write over the cut = %d, %v; want 2 and a reset", n, err)
	}
	mustRead(t, b, "abcde")
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read after the cut: %v", err)
	}
}

func TestListenerAcceptsInOrder(t *testing.T) {
	l := Listen()
	var clients []*Conn
	for range 3 {
		c, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	for _, c := range clients {
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if s.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("accepted %v, want %v", s.RemoteAddr(), c.LocalAddr())
		}
		if s.LocalAddr().String() != l.Addr().String() {
			t.Errorf("accepted at %v, listening on %v", s.LocalAddr(), l.Addr())
		}
	}
}

func TestListenerRefuses(t *testing.T) {
	l := Listen()
	down := errors.New("network is down")
	l.Refuse(down)
	if _, err := l.Dial(); !errors.Is(err, down) {
		t.Errorf("dial: %v", err)
	}
	l.Refuse(nil)
	for range maxBacklog {
		if _, err := l.Dial(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial over the backlog: %v", err)
	}
	if c, err := l.DialContext(context.Background(), "tcp", "anywhere:1"); c != nil || err == nil {
		t.Errorf("DialContext = %v, %v", c, err)
	}
}

func TestListenerCloseEndsAcceptAndCutsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		accepted := make(chan error)
		go func() { _, err := l.Accept(); accepted <- err }()
		synctest.Wait()
		l.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}

		l = Listen()
		c, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read on a connection nobody accepted: %v", err)
		}
		if _, err := l.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
	})
}

func TestPrepareSetsFaultsBeforeUse(t *testing.T) {
	l := Listen()
	l.Prepare(func(server *Conn) { server.SetChunk(1) })
	c, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, c, "ab")
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Read(make([]byte, 10)); n != 1 {
		t.Errorf("read %d bytes, want 1", n)
	}
}

// Whatever the faults, what arrives is a prefix of what was written.
func TestWhatArrivesIsAPrefix(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 50 {
		a, b := Pipe()
		a.SetWindow(1 + random.IntN(100))
		b.SetChunk(random.IntN(20))
		wire := make([]byte, 2000)
		for i := range wire {
			wire[i] = byte(random.Uint32())
		}
		cutAt := int64(random.IntN(3000))
		a.CutAfter(cutAt)
		var steps []int
		for total := 0; total < len(wire); {
			steps = append(steps, min(1+random.IntN(300), len(wire)-total))
			total += steps[len(steps)-1]
		}
		var group sync.WaitGroup
		group.Go(func() {
			rest := wire
			for _, n := range steps {
				if _, err := a.Write(rest[:n]); err != nil {
					break
				}
				rest = rest[n:]
			}
			a.Close()
		})
		got, err := io.ReadAll(b)
		group.Wait()
		want := wire[:min(int(cutAt), len(wire))]
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d round %d: got %d bytes, want %d (%v)", seed, round, len(got), len(want), err)
		}
		if cut := cutAt <= int64(len(wire)); cut != errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("seed %d round %d: cut after %d of %d: %v", seed, round, cutAt, len(wire), err)
		}
	}
}
