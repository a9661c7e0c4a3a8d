package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// from is a job of a connection from an address.
func from(address string, work func()) *job {
	c := &Conn{remote: netip.AddrPortFrom(netip.MustParseAddr(address), 1)}
	return &job{conn: c, do: func() bool { work(); return true }}
}

// A bench is a pool with one worker, which is busy until letGo is called, and the order in which the rest is done.
type bench struct {
	*workers
	t     *testing.T
	busy  chan struct{}
	order []string // the worker's until end has returned
}

func newBench(t *testing.T, room int) *bench {
	b := &bench{workers: newWorkers(1, room, func(int) {}), t: t, busy: make(chan struct{})}
	started := make(chan struct{})
	if !b.run(from("10.9.9.9", func() { close(started); <-b.busy })) {
		t.Fatal("no room")
	}
	<-started
	return b
}

// wait queues n jobs of an address, or as many as there is room for, and returns them.
func (b *bench) wait(n int, address string, yields func() bool) (all []*job) {
	b.t.Helper()
	for range n {
		j := from(address, func() { b.order = append(b.order, address) })
		if j.yields = yields; !b.run(j) {
			break
		}
		all = append(all, j)
	}
	return all
}

// end lets the worker go on, and is the order in which things were done: "a a b" as "2a b".
func (b *bench) end() string {
	close(b.busy)
	b.stop()
	if q := b.queue; q.length != 0 || len(q.sources)+len(q.owners)+q.turns[first].Len()+q.turns[yielding].Len() != 0 {
		b.t.Errorf("left over: %d jobs, %d sources, %d connections", q.length, len(q.sources), len(q.owners))
	}
	var text []string
	for i := 0; i < len(b.order); {
		n := 1
		for i+n < len(b.order) && b.order[i+n] == b.order[i] {
			n++
		}
		name := b.order[i][strings.LastIndexAny(b.order[i], ".:")+1:]
		if i += n; n > 1 {
			name = fmt.Sprint(n, "*", name)
		}
		text = append(text, name)
	}
	return strings.Join(text, " ")
}

func yes() bool { return true }

func TestSourcesTakeTurnsAtTheWorkers(t *testing.T) {
	b := newBench(t, 4096)
	b.wait(60, "10.0.0.1", nil)
	b.wait(1, "10.0.0.2", nil)
	b.wait(3, "2001:db8::3", nil)
	b.wait(1, "2001:db8::ffff:3", nil) // the same
	if got, want := b.end(), "1 2 3 1 3 1 3 1 3 56*1"; got != want {
		t.Errorf("done: %s, want %s", got, want)
	}
}

// Who comes while another source has everything waits for what is under way.
func TestTheFirstOfANewSourceIsNext(t *testing.T) {
	b := newBench(t, 4096)
	b.wait(60, "10.9.9.9", nil) // of which one is under way
	b.wait(2, "10.0.0.1", nil)
	if got, want := b.end(), "1 9 1 59*9"; got != want {
		t.Errorf("done: %s, want %s", got, want)
	}
}

// Who guesses gets little while anybody else waits, and all there is when nobody does.
func TestWhatYieldsIsPassedOver(t *testing.T) {
	b := newBench(t, 4096)
	guesses := false
	b.wait(20, "10.0.0.1", func() bool { return guesses }) // which shows when they wait already
	guesses = true
	b.wait(10, "10.0.0.2", nil)
	b.wait(10, "10.0.0.3", nil)
	if got, want := b.end(), "2 3 2 3 2 3 2 1 3 2 3 2 3 2 3 1 2 3 2 3 2 3 18*1"; got != want {
		t.Errorf("done: %s, want %s", got, want)
	}
}

// An old friend is looked at, although a thousand jobs from its address are before it that yield.
func TestWhatYieldsTakesNoTurn(t *testing.T) {
	b := newBench(t, 4096)
	b.wait(1000, "10.0.0.1", yes)
	b.wait(1, "10.0.0.1", nil)
	b.wait(3, "10.0.0.2", nil)
	if got, want := b.end(), "1 3*2 1000*1"; got != want {
		t.Errorf("done: %s, want %s", got, want)
	}
}

// Nor does what a client has left behind that has lost patience and tries again.
func TestWorkOfWhoHasLeftTakesNoTurn(t *testing.T) {
	for _, yields := range []func() bool{nil, yes} {
		b := newBench(t, 4096)
		for range 20 {
			left := from("10.0.0.1", nil)
			left.yields, left.do = yields, func() bool { return false }
			b.run(left)
		}
		b.wait(1, "10.0.0.1", yields)
		b.wait(4, "10.0.0.2", yields)
		if got, want := b.end(), "1 4*2"; got != want {
			t.Errorf("done: %s, want %s", got, want)
		}
	}
}

func TestASourceTakesHalfOfTheRoomThatIsLeft(t *testing.T) {
	b := newBench(t, 64)
	var got []int
	for i := range 8 {
		got = append(got, len(b.wait(100, fmt.Sprintf("10.0.0.%d", i+1), nil)))
	}
	if want := []int{32, 16, 8, 4, 2, 1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("the sources got %v of 64 places, want %v", got, want)
	}
	b.end()
}

func TestWhoIsClosedGivesItsPlaceUp(t *testing.T) {
	b := newBench(t, 2)
	gone := b.wait(2, "10.0.0.1", nil)
	if len(gone) != 1 {
		t.Fatalf("%d of 2 places", len(gone))
	}
	b.drop(gone[0].conn)
	b.drop(gone[0].conn) // nothing is left of it
	if b.queue.length != 0 || len(b.queue.sources) != 0 {
		t.Errorf("%d jobs and %d sources are left", b.queue.length, len(b.queue.sources))
	}
	b.wait(1, "10.0.0.2", nil)
	if got := b.end(); got != "2" {
		t.Errorf("done: %s", got)
	}
}

// Many at once, of whom some leave at any moment: what was taken in and not given up is done once.
func TestEveryJobIsDoneOnce(t *testing.T) {
	w := newWorkers(3, 256, func(int) {})
	var mu sync.Mutex
	done, stays := make(map[*job]int), make(map[*job]bool)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 500 {
				j := from(fmt.Sprintf("10.0.0.%d", (i+n)%5), nil)
				j.do = func() bool {
					mu.Lock()
					defer mu.Unlock()
					done[j]++
					return n%4 > 0
				}
				if n%3 == 0 {
					j.yields = func() bool { return n%2 == 0 }
				}
				taken := w.run(j)
				if n%7 == 0 {
					w.drop(j.conn)
				}
				mu.Lock()
				stays[j] = taken && n%7 > 0
				mu.Unlock()
			}
		})
	}
	all.Wait()
	w.stop()
	for j, stays := range stays {
		if n := done[j]; n > 1 || stays && n == 0 {
			t.Fatalf("done %d times", n)
		}
	}
	if w.queue.length != 0 || len(w.queue.sources)+len(w.queue.owners) != 0 || w.running != 0 {
		t.Errorf("left over: %d jobs, %d sources, %d running", w.queue.length, len(w.queue.sources), w.running)
	}
}
