package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCloseWaitsForDataToReturn(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		in, gate := make(chan struct{}), make(chan struct{})
		var returned atomic.Bool
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, b []byte) (int, error) {
				close(in)
				<-gate
				returned.Store(true)
				return len(b), nil
			}}
		})
		c := h.dial()
		c.Write([]byte("x"))
		tk := <-h.talks
		<-in
		why := errors.New("why")
		tk.c.Close(why)
		select {
		case <-tk.closed:
			t.Fatal("closed while Data runs")
		default:
		}
		close(gate)
		if err := <-tk.closed; err != why || !returned.Load() {
			t.Fatalf("closed with %v, Data returned %v", err, returned.Load())
		}
	})
}

// Everything that anyone may do to a connection, at once, while it is closed from three sides.
func TestClosedIsCalledOnceWhateverGoesOn(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{Loops: 2, MaxPending: 1 << 20}, func(c *Conn) *talk {
			c.WakeAt(Now() + int64(time.Millisecond))
			return &talk{data: echo, due: func(t *talk, l *Loop) {
				t.c.Rest(time.Millisecond)
				t.c.WakeAt(l.Now() + int64(time.Millisecond))
			}}
		})
		why := errors.New("why")
		for range 40 {
			c := h.dial()
			tk := <-h.talks
			var all sync.WaitGroup
			all.Go(func() { c.Write(make([]byte, 100_000)) })
			all.Go(func() { io.Copy(io.Discard, c) })
			for i := range 3 {
				all.Go(func() {
					for n := range 50 {
						tk.c.Post(func(*Loop) { tk.c.Away(func() {}, func(*Loop) {}) })
						if tk.c.Begin(5000) {
							tk.c.Write(make([]byte, 5000))
							tk.c.End()
						}
						tk.c.Flush(n%2 == 0)
					}
					if i == 0 {
						c.Close()
					} else {
						tk.c.Close(why)
					}
				})
			}
			all.Wait()
			<-tk.closed
			tk.c.Flush(false)
			tk.c.Post(func(*Loop) { t.Error("posted to a closed connection") })
			select {
			case <-tk.closed:
				t.Fatal("Closed was called again")
			default:
			}
		}
		if h.e.pending.Load() != 0 || h.e.partial.Load() != 0 || h.e.behind.size.Load() != 0 {
			t.Errorf("counted when all are gone: pending %d, partial %d", h.e.pending.Load(), h.e.partial.Load())
		}
	})
}

func TestPeerThatIsGoneBeforeTheGreeting(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(c *Conn) *talk {
			tk := &talk{c: c, data: echo}
			tk.say(string(make([]byte, 1<<20)))
			return tk
		})
		for range 30 {
			c := h.dial()
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		for range 30 {
			select {
			case tk := <-h.talks:
				<-tk.closed
			case <-time.After(10 * time.Second):
				t.Fatal("a connection was never opened")
			}
		}
		if n := h.e.pending.Load(); n != 0 {
			t.Errorf("%d bytes still counted", n)
		}
	})
}

func TestShutdownDoesNotWaitForLingeringSockets(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		const lingers = time.Second // lingerTime, or streamLast
		took := lingers
		for range 3 { // a busy machine may take its time as well
			h := &house{t: t, stream: h.stream}
			h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
			h.dial() // never reads the end
			tk := <-h.talks
			tk.say("last")
			tk.c.Close(errors.New("why"))
			<-tk.closed
			begin := time.Now()
			if err := h.e.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			took = min(took, time.Since(begin))
		}
		if took > lingers/2 {
			t.Errorf("it took %v", took)
		}
	})
}

// A socket that is closed with input unread is reset, and the peer may never get to read the last line.
func TestTheLastLineReachesAPeerThatIsSending(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		why := errors.New("why")
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, b []byte) (int, error) {
				t.say("-ERR 'enough'\r\n")
				return len(b), why
			}}
		})
		for range 20 {
			c := h.dial()
			sent := make(chan error)
			go func() {
				_, err := c.Write(make([]byte, 2<<20))
				sent <- err
			}()
			tk := <-h.talks
			if err := <-tk.closed; err != why {
				t.Fatalf("closed with %v", err)
			}
			if err := <-sent; err != nil {
				t.Fatalf("sending: %v", err)
			}
			if got, err := io.ReadAll(c); err != nil || string(got) != "-ERR 'enough'\r\n" {
				t.Fatalf("the peer read %q, %v", got, err)
			}
			c.Close()
		}
	})
}

// Connections that come while the engine is shut down are closed, one way or the other.
func TestAdoptDuringShutdownLeavesNothingOpen(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		for range 20 {
			e, err := New(Options{Loops: 2})
			if err != nil {
				t.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 8 {
				ours, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if h.stream {
					theirs = hiddenConn{theirs}
				}
				all.Go(func() {
					e.Adopt(theirs, func(c *Conn) Session { return &talk{c: c, data: echo, closed: newReasons()} })
					ours.SetReadDeadline(time.Now().Add(10 * time.Second))
					if _, err := ours.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
						t.Error("left open:", err)
					} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
						t.Error("left open:", err)
					}
					ours.Close()
				})
			}
			if err := e.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			all.Wait()
			ln.Close()
		}
	})
}

func TestFullPoolRefusesAndDoesNotHold(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		gate, ran := make(chan struct{}), make(chan struct{}, 8)
		h.open(Options{Workers: 1, WorkerQueue: 1}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				if t.c.Away(func() { ran <- struct{}{}; <-gate }, func(*Loop) { t.say("back") }) {
					t.say("away")
				} else {
					t.say("full")
				}
				return len(in), nil
			}}
		})
		read := func(c net.Conn) string {
			got := make([]byte, 4)
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			return string(got)
		}
		one, two, three := h.dial(), h.dial(), h.dial()
		one.Write([]byte("x"))
		if got := read(one); got != "away" {
			t.Fatal(got)
		}
		<-ran
		two.Write([]byte("x"))
		if got := read(two); got != "away" {
			t.Fatal(got)
		}
		for range 2 { // input goes on after a refusal
			three.Write([]byte("x"))
			if got := read(three); got != "full" {
				t.Fatal(got)
			}
		}
		close(gate)
		if read(one) != "back" || read(two) != "back" {
			t.Fatal("not back")
		}
	})
}

// Somebody who leaves while its work waits costs nothing more.
func TestWorkOfAClosedConnectionIsNotDone(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		gate := make(chan struct{})
		var ran atomic.Int32
		h.open(Options{Workers: 1}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				t.c.Away(func() { ran.Add(1); <-gate }, func(*Loop) {})
				t.say("x")
				return len(in), nil
			}}
		})
		var talks []*talk
		for range 5 {
			c := h.dial()
			c.Write([]byte("x"))
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			talks = append(talks, <-h.talks)
		}
		for _, tk := range talks[1:] {
			tk.c.Close(errors.New("gone"))
			<-tk.closed
		}
		h.e.workers.mu.Lock()
		if n := h.e.workers.queue.length; n != 0 {
			t.Errorf("%d places are taken by who is gone", n)
		}
		h.e.workers.mu.Unlock()
		close(gate)
		h.e.workers.stop()
		if n := ran.Load(); n != 1 {
			t.Errorf("%d works were done, want the one of who is still there", n)
		}
	})
}

// What is posted while a connection moves to the stream driver runs where Data runs afterwards.
func TestPostsFollowAnUpgrade(t *testing.T) {
	in, gate := make(chan struct{}), make(chan struct{})
	h := &house{t: t}
	var old *Loop
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, l *Loop, b []byte) (int, error) {
			old = l
			close(in)
			<-gate
			t.data = echo
			l.Again(t.c)
			t.c.Rest(time.Millisecond)
			t.c.WakeAt(Now() + int64(time.Millisecond))
			t.c.Upgrade(func(nc net.Conn) (net.Conn, error) { return nc, nil })
			return 0, nil
		}}
	})
	h.needLoops()
	c := h.dial()
	c.Write([]byte("x"))
	tk := <-h.talks
	<-in
	const posts = 10
	ran := make(chan *Loop, posts)
	for range posts {
		tk.c.Post(func(l *Loop) { tk.c.held &= 0xff; ran <- l }) // held is the owner's: -race looks
	}
	close(gate)
	for range posts {
		if l := <-ran; l == old {
			t.Fatal("ran on the loop that does not own it any more")
		}
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestHandshakeIsDisturbedByCloseOnly(t *testing.T) {
	conf := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	drivers(t, func(t *testing.T, h *house) {
		begun := make(chan struct{}, 2)
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				t.data = echo
				t.c.Upgrade(func(nc net.Conn) (net.Conn, error) {
					begun <- struct{}{}
					s := tls.Server(nc, conf)
					return s, s.Handshake()
				})
				return len(in), nil
			}}
		})
		c := h.dial()
		c.Write([]byte("S"))
		tk := <-h.talks
		<-begun
		ran := make(chan struct{}, 1)
		tk.c.Post(func(*Loop) { ran <- struct{}{} })
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if _, err := s.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
			t.Fatal("a post broke the handshake:", err)
		}
		<-ran

		h.dial().Write([]byte("S")) // and says nothing more
		tk = <-h.talks
		<-begun
		tk.c.Close(errors.New("why"))
		<-tk.closed
	})
}

func TestStreamNeverOverlooksAClose(t *testing.T) {
	h := &house{t: t, stream: true}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	c := h.dial()
	for i := range 300 {
		ours, theirs := net.Pipe()
		tk := &talk{data: echo, closed: newReasons()}
		opened := make(chan struct{})
		h.e.Adopt(theirs, func(c *Conn) Session { tk.c = c; close(opened); return tk })
		<-opened
		for range i % 7 {
			runtime.Gosched()
		}
		tk.c.Close(errors.New("why"))
		select {
		case <-tk.closed:
		case <-time.After(10 * time.Second):
			t.Fatalf("round %d: the reader sleeps on", i)
		}
		ours.Close()
	}
	c.Close()
}

func TestProcessorsFollowTheStreams(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	e, err := New(Options{Loops: 1, TuneProcs: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(context.Background())
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors for one loop", n)
	}
	for round := range 10 {
		var all sync.WaitGroup
		stays, kept := net.Pipe()
		open := func(c *Conn) Session { return &talk{c: c, data: echo, closed: newReasons()} }
		for range 8 {
			all.Go(func() {
				ours, theirs := net.Pipe()
				e.Adopt(theirs, open)
				fmt.Fprint(ours, "x")
				io.ReadFull(ours, make([]byte, 1))
				ours.Close()
			})
		}
		e.Adopt(kept, open)
		all.Wait()
		wait := func(want, streams int) {
			for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
				e.streams.mu.Lock()
				open, have := e.streams.open, runtime.GOMAXPROCS(0)
				e.streams.mu.Unlock()
				if open == streams && have == want {
					return
				}
				if open == streams || time.Now().After(end) {
					t.Fatalf("round %d: %d streams, %d processors; want %d, %d", round, open, have, streams, want)
				}
			}
		}
		wait(2, 1)
		stays.Close()
		wait(1, 0)
	}
}
