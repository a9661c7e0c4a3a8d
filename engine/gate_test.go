package engine

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
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
	for i := range 3 * maxHandshakes {
		all.Add(1)
		from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 7)})
		g.begin(from, func(s *source) {
			defer all.Done()
			d := &gated{source: s}
			note(&under, &mostUnder, 1)
			note(&computing, &most, 1)
			for range 3 {
				computing.Add(-1)
				g.pause(d)
				g.resume(d)
				note(&computing, &most, 1)
			}
			computing.Add(-1)
			under.Add(-1)
			g.end(s)
		})
	}
	all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if most.Load() > 2 || mostUnder.Load() > maxHandshakes {
		t.Errorf("%d computed at once, %d were under way", most.Load(), mostUnder.Load())
	}
	if g.computing != 0 || g.underWay != 0 || g.back != nil || g.newcomers != nil || g.others != nil || len(g.sources) != 0 {
		t.Errorf("left over: %d computing, %d under way, %d and %d waiting", g.computing, g.underWay, len(g.back), len(g.newcomers)+len(g.others))
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
	g.begin(netip.Addr{}, func(s *source) {
		d := &gated{source: s}
		g.pause(d)
		paused <- true
		<-proceed
		g.resume(d)
		order <- "first"
		g.end(s)
	})
	<-paused
	g.begin(netip.Addr{}, func(s *source) { busy <- true; <-free; g.end(s) })
	<-busy
	g.begin(netip.Addr{}, func(s *source) { order <- "late"; g.end(s) })
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

// A stranger who begins thousands of handshakes and finishes none must not keep others out.
func TestGateKeepsAPlaceForEverySource(t *testing.T) {
	g := newGate(func(int) {})
	g.most = 1
	stranger, friend := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	var all sync.WaitGroup
	var mu sync.Mutex
	var given []int // of the stranger's handshakes, which had to go before their time
	for i := range 3 * maxHandshakes {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() })
		all.Add(1)
		g.begin(stranger, func(s *source) {
			defer all.Done()
			defer g.end(s)
			d := &gated{Conn: ours, gate: g, source: s}
			_, err := d.Read(make([]byte, 1))
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				given = append(given, i)
			}
		})
	}
	full := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.sources[stranger].waiting.Len() == maxHandshakes
	}
	for !full() {
		runtime.Gosched()
	}
	<-begun(g, friend)
	mu.Lock()
	if len(given) != 1 || given[0] != 0 {
		t.Errorf("given up for one: %v, want the oldest", given)
	}
	mu.Unlock()
	for !full() {
		runtime.Gosched()
	}
	// Of the same source's nothing is given up for one more.
	more := begun(g, stranger)
	mu.Lock()
	if len(given) != 1 {
		t.Errorf("given up: %v", given)
	}
	mu.Unlock()
	for done := false; !done; {
		g.mu.Lock()
		s := g.sources[stranger]
		if done = s == nil; !done && s.waiting.Len() > 0 {
			s.waiting.Front().Value.(*gated).Close()
		}
		g.mu.Unlock()
		runtime.Gosched()
	}
	<-more
	all.Wait()
}

// begun is closed once a handshake from there has had its turn.
func begun(g *gate, from netip.Addr) chan struct{} {
	turn := make(chan struct{})
	g.begin(from, func(s *source) { close(turn); g.end(s) })
	return turn
}

func TestSourcesAreNetworksOfIPv6(t *testing.T) {
	for _, pair := range [][2]string{
		{"2001:db8::1", "2001:db8::ffff:2"}, {"::ffff:10.0.0.1", "10.0.0.1"}, {"10.0.0.1", "10.0.0.1"},
	} {
		if a, b := sourceOf(netip.MustParseAddr(pair[0])), sourceOf(netip.MustParseAddr(pair[1])); a != b {
			t.Errorf("%v is %v, %v is %v", pair[0], a, pair[1], b)
		}
	}
	if a, b := sourceOf(netip.MustParseAddr("10.0.0.1")), sourceOf(netip.MustParseAddr("10.0.0.2")); a == b {
		t.Error("two addresses are one source")
	}
}
