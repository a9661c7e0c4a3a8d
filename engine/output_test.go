package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Several goroutines write to one connection whose reader stops and goes, so that the kernel takes
// no more again and again: nothing is lost, doubled or torn, and each writer's order is kept.
func TestManyWritersToOneSlowReader(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{Loops: 2}, func(*Conn) *talk { return &talk{data: echo} })
		c := h.dial()
		c.(*net.TCPConn).SetReadBuffer(256 << 10)
		tk := <-h.talks
		const writers, each = 4, 400
		var done sync.WaitGroup
		for w := range writers {
			done.Go(func() {
				for n := range each {
					size := 8 + (n*n*37)%20_000
					if n%50 == 0 {
						size = writeDirect + n
					}
					b := make([]byte, size)
					binary.LittleEndian.PutUint32(b, uint32(size))
					b[4] = byte(w)
					binary.LittleEndian.PutUint16(b[5:], uint16(n))
					if !tk.c.Begin(size) {
						t.Error("closed")
						return
					}
					tk.c.Put(append(tk.c.Room(8), b[:8]...))
					tk.c.Write(b[8:])
					tk.c.End()
					tk.c.Flush(n%3 == 0)
				}
			})
		}
		in := bufio.NewReaderSize(c, 4<<10)
		next := make([]int, writers)
		head := make([]byte, 8)
		for i := range writers * each {
			if i%97 == 0 { // until it is behind, or there is nothing to be behind with
				for end := Now() + int64(5*time.Millisecond); tk.c.Pending() < 64<<10 && Now() < end; {
					time.Sleep(100 * time.Microsecond)
				}
			}
			if _, err := io.ReadFull(in, head); err != nil {
				t.Fatal(err)
			}
			w, n := int(head[4]), int(binary.LittleEndian.Uint16(head[5:]))
			if w >= writers || n != next[w] {
				t.Fatalf("writer %d: message %d, want %d", w, n, next)
			}
			next[w]++
			if _, err := in.Discard(int(binary.LittleEndian.Uint32(head)) - 8); err != nil {
				t.Fatal(err)
			}
		}
		done.Wait()
		c.Close()
		<-tk.closed
		if n := h.e.pending.Load(); n != 0 || h.e.behind.size.Load() != 0 {
			t.Errorf("%d bytes still counted, %d still behind", n, h.e.behind.size.Load())
		}
	})
}

func TestOneHoldOfTheOutputIsOneBoundedWrite(t *testing.T) {
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	h.needLoops()
	c := h.dial()
	go io.Copy(io.Discard, c)
	out := (<-h.talks).c
	const size = 4 << 20
	out.Begin(size)
	for range size / 4096 {
		out.Write(make([]byte, 4096))
	}
	before := out.out.bytes
	out.write(false)
	if took := before - out.out.bytes; took <= 0 || took > writeMax+chunkLarge {
		t.Errorf("one hold wrote %d bytes, at most %d", took, writeMax+chunkLarge)
	}
	out.End()
	out.Flush(false)
}

func TestRestGrowsToTheBound(t *testing.T) {
	for _, r := range []struct {
		bound, bytes int
		want         time.Duration
	}{
		{64 << 20, 0, 0}, {64 << 20, restFrom - 1, 0}, {64 << 20, restFrom, restMin}, {64 << 20, 33 << 20, (restMin + restMax) / 2}, {64 << 20, 64 << 20, restMax},
		{1 << 20, 1<<19 - 1, 0}, {1 << 20, 1 << 19, restMin}, {1 << 20, 3 << 18, (restMin + restMax) / 2}, {1 << 20, 1 << 20, restMax},
	} {
		c := &Conn{engine: &Engine{options: Options{MaxPending: r.bound}}}
		if got := c.restFor(r.bytes); got != r.want {
			t.Errorf("%d of %d bytes: rest %v, want %v", r.bytes, r.bound, got, r.want)
		}
	}
}

// A fan-out leaves many connections to their loop, which writes them in portions and serves others
// in between.
func TestLoopWritesAFanOutInPortions(t *testing.T) {
	h := &house{t: t}
	var left []int // the loop's, until it is sent
	seen := make(chan []int, 1)
	const conns = 2*maxSoon + 100
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
			if in[0] != 'n' {
				return len(in), nil
			}
			left = append(left, len(l.soon))
			if len(l.soon) > 0 {
				l.Again(t.c)
				return 0, nil
			}
			seen <- left
			t.say("done")
			return 1, nil
		}}
	})
	h.needLoops()
	var all []*talk
	var peers []net.Conn
	for range conns {
		peers = append(peers, h.dial())
		all = append(all, <-h.talks)
	}
	neighbour := h.dial()
	tk := <-h.talks
	tk.c.Post(func(*Loop) { // the loop stands still meanwhile
		for _, to := range all {
			to.c.Begin(1)
			to.c.Write([]byte("x"))
			to.c.End()
			to.c.Flush(true)
		}
		neighbour.Write([]byte("n"))
	})
	if _, err := io.ReadFull(neighbour, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	want := []int{conns, conns - maxSoon, conns - 2*maxSoon, 0}
	if got := slices.Compact(<-seen); !slices.Equal(got, want) {
		t.Errorf("a neighbour saw %v connections wait in its turns, want %v", got, want)
	}
	for _, c := range peers {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// What a fan-out leaves is written by half of the loops: neighbours on the others notice nothing.
func TestHalfOfTheLoopsWriteForACrowd(t *testing.T) {
	h := &house{t: t}
	h.open(Options{Loops: 2}, func(*Conn) *talk { return &talk{data: echo} })
	h.needLoops()
	var all []*talk
	var peers []net.Conn
	for range 20 {
		peers = append(peers, h.dial())
		all = append(all, <-h.talks)
	}
	stand, stands := make(chan struct{}), make(chan struct{})
	h.e.loops[0].inbox.put(post{nil, func(*Loop) { close(stands); <-stand }})
	<-stands
	var of [2]int
	for _, to := range all {
		of[to.c.loop.id]++
		to.c.Begin(1)
		to.c.Write([]byte("x"))
		to.c.End()
		to.c.Flush(true)
	}
	waiting := func(l *Loop) int {
		l.inbox.mu.Lock()
		defer l.inbox.mu.Unlock()
		return len(l.inbox.soon)
	}
	if of[0] == 0 || of[1] == 0 {
		t.Fatalf("connections by loop: %v, want some on each", of)
	}
	if got := waiting(h.e.loops[0]); got != len(all) {
		t.Errorf("%d connections are left to the first loop, want all %d", got, len(all))
	}
	close(stand)
	for _, c := range peers {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// A closing connection of the stream driver does not live on its peer's reading a little.
func TestStreamEndsInTimeThoughItsPeerReadsALittle(t *testing.T) {
	t.Parallel()
	h := &house{t: t}
	h.open(Options{}, func(*Conn) *talk { return &talk{data: echo} })
	ours, theirs := net.Pipe()
	defer ours.Close()
	tk := &talk{data: echo, closed: newReasons()}
	opened := make(chan struct{})
	h.e.Adopt(theirs, func(c *Conn) Session { tk.c = c; close(opened); return tk })
	<-opened
	tk.c.Begin(16 << 20)
	for range 512 {
		tk.c.Write(make([]byte, 32<<10))
	}
	tk.c.End()
	tk.c.Flush(false)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		b := make([]byte, 4<<10) // a chunk takes a tenth of a second
		for tick := time.NewTicker(12 * time.Millisecond); ; <-tick.C {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := ours.Read(b); err != nil {
				return
			}
		}
	})
	begin := time.Now()
	last := errors.New("last")
	tk.c.Close(last)
	if err := <-tk.closed; err != last {
		t.Error(err)
	}
	if d := time.Since(begin); d > 10*streamLast { // reading all of it takes five times as long
		t.Errorf("closed after %v", d)
	}
	close(stop)
	reader.Wait()
}
