package engine

import (
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestHalfOfTheProcessorsWork(t *testing.T) {
	var o Options
	o.fill()
	if want := max(1, runtime.NumCPU()/2); o.Workers != want {
		t.Errorf("%d workers, want %d", o.Workers, want)
	}
}

// TestFiveHundredAtOnceGetThrough: as many logins with passwords to be hashed, and a neighbour who is
// served meanwhile.
func TestFiveHundredAtOnceGetThrough(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		const logins = 500
		var computing, most atomic.Int32
		h.open(Options{Workers: 1}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				if in[0] == 'n' {
					t.say("n")
					return 1, nil
				}
				ok := t.c.Away(func() {
					most.Store(max(most.Load(), computing.Add(1)))
					time.Sleep(200 * time.Microsecond)
					computing.Add(-1)
				}, func(*Loop) { t.say("x") })
				if !ok {
					t.say("-")
				}
				return 1, nil
			}}
		})
		neighbour := h.dial()
		var all []net.Conn
		for range logins {
			c := h.dial()
			c.Write([]byte("x"))
			all = append(all, c)
		}
		one := make([]byte, 1)
		for i, c := range all {
			if _, err := io.ReadFull(c, one); err != nil || one[0] != 'x' {
				t.Fatalf("login %d: %q %v", i, one, err)
			}
			if i%50 != 0 {
				continue
			}
			neighbour.Write([]byte("n"))
			if _, err := io.ReadFull(neighbour, one); err != nil || one[0] != 'n' {
				t.Fatalf("the neighbour: %q %v", one, err)
			}
		}
		if n := most.Load(); n != 1 {
			t.Errorf("%d computed at once", n)
		}
	})
}

// TestWorkOfAPeerThatHasLeftIsNotDone: input is held while work waits, so that nobody has seen the end.
func TestWorkOfAPeerThatHasLeftIsNotDone(t *testing.T) {
	h := &house{t: t}
	gate := make(chan struct{})
	var mu sync.Mutex
	var ran []byte
	h.open(Options{Workers: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
			name := in[0]
			if name < 'a' {
				return len(in), nil // what came behind it
			}
			t.c.Away(func() {
				mu.Lock()
				ran = append(ran, name)
				mu.Unlock()
				<-gate
			}, func(*Loop) { t.say(string(name)) })
			t.say("?")
			return 1, nil
		}}
	})
	h.needLoops()
	come := func(words string) (net.Conn, *talk) {
		c := h.dial()
		io.WriteString(c, words)
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return c, <-h.talks
	}
	first, _ := come("a")
	stays, _ := come("bPING\r\n")
	left, leftTalk := come("cPING\r\n")
	reset, resetTalk := come("dPING\r\n")
	script, scriptTalk := come("ePUB a 1\r\nx\r\n")
	left.Close()
	reset.(*net.TCPConn).SetLinger(0)
	reset.Close()
	script.(*net.TCPConn).CloseWrite()
	for _, tk := range []*talk{leftTalk, resetTalk, scriptTalk} {
		for end := time.Now().Add(10 * time.Second); tk.c.presence() == present; {
			if time.Now().After(end) {
				t.Fatal("the kernel does not tell that the peer has left")
			}
			runtime.Gosched()
		}
	}
	close(gate)
	for name, c := range map[string]net.Conn{"a": first, "b": stays, "e": script} {
		got := make([]byte, 1)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != name {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for _, tk := range []*talk{leftTalk, resetTalk, scriptTalk} {
		<-tk.closed
	}
	h.e.workers.stop()
	if string(ran) != "abe" {
		t.Errorf("work was done for %q", ran)
	}
}

// Who has ended with more behind its login, as a script does, waits once more, and in the same place.
func TestAScriptYieldsAsOthersDo(t *testing.T) {
	h := &house{t: t}
	h.open(Options{Workers: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
			t.c.hold(heldAway) // as Away does
			t.say("?")
			return 1, nil
		}}
	})
	h.needLoops()
	c := h.dial()
	io.WriteString(c, "xPUB a 1\r\nx\r\n")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	tk, w := <-h.talks, h.e.workers
	c.(*net.TCPConn).CloseWrite()
	busy, free := make(chan bool), make(chan bool)
	w.run(from("10.0.0.1", func() { busy <- true; <-free }))
	<-busy
	for waits := false; !waits; runtime.Gosched() {
		if tk.c.presence() != ended {
			continue
		}
		if tk.c.away(&job{conn: tk.c, rank: yielding}, func() {}, func(*Loop) { tk.say("!") }) {
			t.Fatal("it was looked at before the rest had come")
		}
		for !waits {
			w.mu.Lock()
			if j := w.queue.owners[tk.c]; j != nil {
				if waits = true; j.rank != yielding {
					t.Error("it goes first")
				}
			}
			w.mu.Unlock()
			runtime.Gosched()
		}
	}
	close(free)
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestPresenceMayBeAskedWhileTheLoopCloses is for -race.
func TestPresenceMayBeAskedWhileTheLoopCloses(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{Workers: 2}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				t.c.Away(func() {}, func(*Loop) { t.say("x") })
				return len(in), nil
			}}
		})
		for range 100 {
			c := h.dial()
			c.Write([]byte("x"))
			c.Close()
			tk := <-h.talks
			for done := false; !done; {
				tk.c.presence()
				select {
				case <-tk.closed:
					done = true
				default:
				}
			}
		}
	})
}

func TestWhoWaitsLetsOthersWork(t *testing.T) {
	w := newWorkers(1, 16, func(int) {})
	e := &Engine{workers: w}
	release := make(chan struct{})
	var waited, worked sync.WaitGroup
	var computing, most atomic.Int32
	for range 4 {
		waited.Add(1)
		if !w.run(from("10.0.0.1", func() { e.Waiting(func() { waited.Done(); <-release }) })) {
			t.Fatal("no room")
		}
	}
	waited.Wait() // all four at once, though one may compute
	for range 8 {
		worked.Add(1)
		w.run(from("10.0.0.1", func() {
			defer worked.Done()
			most.Store(max(most.Load(), computing.Add(1)))
			runtime.Gosched()
			computing.Add(-1)
		}))
	}
	worked.Wait()
	close(release)
	w.stop()
	if most.Load() != 1 || w.running != 0 || w.waiting != 0 {
		t.Errorf("%d computed at once, %d are left running, %d waiting", most.Load(), w.running, w.waiting)
	}
}

func TestWaitingHasABound(t *testing.T) {
	w := newWorkers(1, 4*maxWaiting, func(int) {}) // one source gets half of it
	e := &Engine{workers: w}
	release := make(chan struct{})
	var waiting atomic.Int32
	for range 2 * maxWaiting {
		w.run(from("10.0.0.1", func() { e.Waiting(func() { waiting.Add(1); <-release }) }))
	}
	for end := time.Now().Add(10 * time.Second); waiting.Load() <= maxWaiting && time.Now().Before(end); {
		runtime.Gosched()
	}
	w.mu.Lock()
	running := w.running
	w.mu.Unlock()
	if running != maxWaiting+1 {
		t.Errorf("%d goroutines, want %d", running, maxWaiting+1)
	}
	close(release)
	w.stop()
	if n := waiting.Load(); n != 2*maxWaiting {
		t.Errorf("%d have been there", n)
	}
}
