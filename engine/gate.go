package engine

import (
	"container/list"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// maxHandshakes bounds the handshakes that are under way. Each takes some 40 KB and a descriptor;
// what waits to begin takes only what the peer has sent.
const maxHandshakes = 512

// fairShare is how many of them one source may keep while somebody waits who has none.
const fairShare = maxHandshakes / 8

// A gate lets few handshakes compute at once: two thousand devices that come back at the same moment
// must leave processors to those that are connected. Who waits for its peer is not counted, and who
// comes back from that goes before those who have not begun: what is under way gets done.
//
// Strangers can begin handshakes by the thousand and finish none. So sources take turns, those first
// that have nothing under way, and where there is no place for such a one the source that has the most
// gives up what has waited longest for its peer.
type gate struct {
	// Set when made, never written again.
	most  int       // that compute at once
	crowd func(int) // told of 1 when there begins to be a queue, -1 when all are done

	mu        sync.Mutex
	computing int
	underWay  int // begun and not ended, at most maxHandshakes
	crowded   bool
	back      []chan struct{}
	sources   map[netip.Addr]*source // those that have something here
	newcomers []*source              // those with something to begin that had nothing under way
	others    []*source              // with something to begin
}

// A source is where handshakes come from. All of it is the gate's, under its mu.
type source struct {
	address  netip.Addr
	underWay int
	fresh    []func(*source)
	waiting  list.List // of *gated: what waits for its peer, what has waited longest in front
}

// sourceOf is what counts as one source: of IPv6 whoever has one address has 64 bits of them.
func sourceOf(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a.Unmap()
}

// newGate makes one for half of the processors.
func newGate(crowd func(int)) *gate {
	return &gate{most: max(1, runtime.NumCPU()/2), crowd: crowd, sources: make(map[netip.Addr]*source)}
}

// begin runs f on a goroutine of its own when its turn has come. f ends with end.
func (g *gate) begin(from netip.Addr, f func(*source)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from = sourceOf(from)
	s := g.sources[from]
	if s == nil {
		s = &source{address: from}
		g.sources[from] = s
	}
	if s.fresh = append(s.fresh, f); len(s.fresh) == 1 {
		g.queue(s)
		if s.underWay == 0 && g.underWay == maxHandshakes {
			g.makeRoom()
		}
	}
	g.next()
	if len(g.newcomers)+len(g.others) > 0 && !g.crowded {
		g.crowded = true
		g.crowd(1)
	}
}

// queue has s wait for its turn. Under mu.
func (g *gate) queue(s *source) {
	if s.underWay == 0 {
		g.newcomers = append(g.newcomers, s)
	} else {
		g.others = append(g.others, s)
	}
}

// makeRoom ends what has waited longest of whoever has far too much. Under mu.
func (g *gate) makeRoom() {
	var most *source
	for _, s := range g.sources {
		if s.underWay > fairShare && s.waiting.Len() > 0 && (most == nil || s.underWay > most.underWay) {
			most = s
		}
	}
	if most != nil {
		oldest := most.waiting.Front().Value.(*gated)
		most.waiting.Remove(oldest.waits)
		oldest.waits = nil
		oldest.SetDeadline(time.Now()) // its Read returns, and the handshake has failed
	}
}

// wait is begin for a goroutine that is there already.
func (g *gate) wait(from netip.Addr) *source {
	turn := make(chan *source, 1)
	g.begin(from, func(s *source) { turn <- s })
	return <-turn
}

// pause lets others compute, while d waits for its peer.
func (g *gate) pause(d *gated) {
	g.mu.Lock()
	d.waits = d.source.waiting.PushBack(d)
	g.computing--
	g.next()
	g.mu.Unlock()
}

// resume ends pause.
func (g *gate) resume(d *gated) {
	g.mu.Lock()
	if d.waits != nil {
		d.source.waiting.Remove(d.waits)
		d.waits = nil
	}
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
func (g *gate) end(s *source) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.computing--
	g.underWay--
	if s.underWay--; s.underWay == 0 && len(s.fresh) == 0 {
		delete(g.sources, s.address)
	}
	g.next()
	if g.underWay == 0 && g.crowded {
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
		case g.underWay == maxHandshakes:
			return
		case len(g.newcomers) > 0:
			s := g.newcomers[0]
			g.newcomers = rest(g.newcomers)
			g.start(s)
		case len(g.others) > 0:
			s := g.others[0]
			g.others = rest(g.others)
			g.start(s)
		default:
			return
		}
		g.computing++
	}
}

// start begins what s has waited with longest. Under mu.
func (g *gate) start(s *source) {
	g.underWay++
	s.underWay++
	go s.fresh[0](s)
	if s.fresh = rest(s.fresh); len(s.fresh) > 0 {
		g.queue(s)
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
	source   *source
	waits    *list.Element // in source.waiting, under gate.mu; nil: it is not there
	prefix   []byte        // read already
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
	d.gate.pause(d)
	n, err := d.Conn.Read(b)
	before := time.Now()
	d.gate.resume(d)
	d.deadline = d.deadline.Add(time.Since(before))
	d.Conn.SetDeadline(d.deadline)
	return n, err
}
