package engine

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestGateLetsFewComputeAtOnce(t *testing.T) {
	var crowds []int
	g := newGate(func(n int) { crowds = append(crowds, n) })
	g.most = 2
	var computing, under, most, mostUnder atomic.Int32
	note := func(n *atomic.Int32, high *atomic.Int32, d int32) {
		now := n.Add(d)
		for h := high.Load(); now > h && !high.CompareAndSwap(h, now); h = high.Load() {
		}
	}
	var all sync.WaitGroup
	for range 3 * maxHandshakes {
		all.Add(1)
		g.begin(func() {
			defer all.Done()
			note(&under, &mostUnder, 1)
			note(&computing, &most, 1)
			for range 3 {
				computing.Add(-1)
				g.pause()
				g.resume()
				note(&computing, &most, 1)
			}
			computing.Add(-1)
			under.Add(-1)
			g.end()
		})
	}
	all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if most.Load() > 2 || mostUnder.Load() > maxHandshakes {
		t.Errorf("%d computed at once, %d were under way", most.Load(), mostUnder.Load())
	}
	if g.computing != 0 || g.under != 0 || g.back != nil || g.fresh != nil {
		t.Errorf("left over: %d computing, %d under way, %d and %d waiting", g.computing, g.under, len(g.back), len(g.fresh))
	}
	sum := 0
	for _, n := range crowds {
		sum += n
	}
	if len(crowds) < 2 || crowds[0] != 1 || sum != 0 {
		t.Errorf("crowds: %v", crowds)
	}
}

// What is under way gets done before others begin, or a burst would end with everybody's time over
// and nobody let in.
func TestGateLetsThoseGoOnFirst(t *testing.T) {
	g := newGate(func(int) {})
	g.most = 1
	order := make(chan string, 3)
	paused, proceed, busy, free := make(chan bool), make(chan bool), make(chan bool), make(chan bool)
	g.begin(func() {
		g.pause()
		paused <- true
		<-proceed
		g.resume()
		order <- "first"
		g.end()
	})
	<-paused
	g.begin(func() { busy <- true; <-free; g.end() })
	<-busy
	g.begin(func() { order <- "late"; g.end() })
	close(proceed)
	for waits := false; !waits; {
		g.mu.Lock()
		waits = len(g.back) == 1
		g.mu.Unlock()
	}
	close(free)
	if a, b := <-order, <-order; a != "first" || b != "late" {
		t.Errorf("%s before %s", a, b)
	}
}
