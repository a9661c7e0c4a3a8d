package engine

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// maxHandshakes bounds the handshakes that are under way. Each takes some 40 KB and a descriptor;
// what waits to begin takes only what the peer has sent.
const maxHandshakes = 512

// A gate lets few handshakes compute at once: two thousand devices that come back at the same moment
// must leave processors to those that are connected. Who waits for its peer is not counted, and who
// comes back from that goes before those who have not begun: what is under way gets done.
type gate struct {
	// Set when made, never written again.
	most  int       // that compute at once
	crowd func(int) // told of 1 when there begins to be a queue, -1 when all are done

	mu        sync.Mutex
	computing int
	under     int // way
	crowded   bool
	back      []chan struct{}
	fresh     []func()
}

// newGate makes one for half of the processors.
func newGate(crowd func(int)) *gate { return &gate{most: max(1, runtime.NumCPU()/2), crowd: crowd} }

// begin runs f on a goroutine of its own when its turn has come. f ends with end.
func (g *gate) begin(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh = append(g.fresh, f)
	g.next()
	if len(g.fresh) > 0 && !g.crowded {
		g.crowded = true
		g.crowd(1)
	}
}

// wait is begin for a goroutine that is there already.
func (g *gate) wait() {
	turn := make(chan struct{})
	g.begin(func() { close(turn) })
	<-turn
}

// pause lets others compute, while the caller waits for its peer.
func (g *gate) pause() {
	g.mu.Lock()
	g.computing--
	g.next()
	g.mu.Unlock()
}

// resume ends pause.
func (g *gate) resume() {
	g.mu.Lock()
	if g.computing < g.most {
		g.computing++
		g.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	g.back = append(g.back, turn)
	g.mu.Unlock()
	<-turn
}

// end gives the place back.
func (g *gate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.computing--
	g.under--
	g.next()
	if g.under == 0 && g.crowded {
		g.crowded = false
		g.crowd(-1)
	}
}

// next hands out the places that are free. Under mu.
func (g *gate) next() {
	for g.computing < g.most {
		switch {
		case len(g.back) > 0:
			close(g.back[0])
			g.back = rest(g.back)
		case len(g.fresh) > 0 && g.under < maxHandshakes:
			g.under++
			go g.fresh[0]()
			g.fresh = rest(g.fresh)
		default:
			return
		}
		g.computing++
	}
}

// rest is s without its first, and no memory once it is empty.
func rest[T any](s []T) []T {
	clear(s[:1])
	if len(s) == 1 {
		return nil
	}
	return s[1:]
}

// A gated is a connection whose handshake goes through a gate. It has a deadline of its own, which
// moves on while the handshake waits for others'.
type gated struct {
	net.Conn
	gate     *gate
	prefix   []byte // read already
	deadline time.Time
	done     bool // the handshake is
}

func (d *gated) Read(b []byte) (int, error) {
	if len(d.prefix) > 0 {
		n := copy(b, d.prefix)
		if d.prefix = d.prefix[n:]; len(d.prefix) == 0 {
			d.prefix = nil
		}
		return n, nil
	}
	if d.done {
		return d.Conn.Read(b)
	}
	d.gate.pause()
	n, err := d.Conn.Read(b)
	before := time.Now()
	d.gate.resume()
	d.deadline = d.deadline.Add(time.Since(before))
	d.Conn.SetDeadline(d.deadline)
	return n, err
}
