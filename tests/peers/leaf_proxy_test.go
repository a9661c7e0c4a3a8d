//go:build linux

package peers

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A way is one of the two directions of a line.
type way int

const (
	up   way = iota // from who dials, the leaf
	down            // to him
)

var bothWays = []way{up, down}

// A weather is what becomes of the bytes of both ways.
type weather struct {
	delay  time.Duration // of each byte, one way
	rate   int           // bytes in a second; 0: any number
	buffer int           // bytes on the way at most; 0: lineBuffer
}

// lineBuffer is what a line takes before it makes the sender wait.
const lineBuffer = 256 << 10

// A line is a TCP proxy that does to a link what bad networks do. It outlives the links through it.
type line struct {
	addr   string
	target string
	ln     net.Listener
	wg     sync.WaitGroup

	// Anyone's, under mu.
	mu      sync.Mutex
	weather weather
	refuses bool                     // who dials is reset
	swallow bool                     // who dials hears nothing
	doom    func(try int) (way, int) // nil, or which way and after how many bytes a link is cut; -1: never
	dialled []time.Time              // when
	links   []*through               // that have been made, ended ones too
	carried [2]int64                 // bytes
	tapped  [2]bytes.Buffer
	taps    bool
	closed  bool
}

// newLine is a line to an address.
func newLine(t *testing.T, target string, w weather) *line {
	t.Helper()
	return newLineAt(t, process.ListenFree(t), target, w)
}

// newLineAt takes who comes to a listener, which it closes.
func newLineAt(t *testing.T, ln net.Listener, target string, w weather) *line {
	t.Helper()
	l := &line{addr: ln.Addr().String(), target: target, ln: ln, weather: w}
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		ln.Close()
		l.reset()
		l.wg.Wait()
	})
	return l
}

// set changes the line for what comes.
func (l *line) set(change func(l *line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *line) accept() {
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.take(conn.(*net.TCPConn))
	}
}

func (l *line) take(near *net.TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialled = append(l.dialled, time.Now())
	if l.refuses || l.closed {
		near.SetLinger(0)
		near.Close()
		return
	}
	link := &through{line: l, weather: l.weather, ends: [2]*net.TCPConn{up: near}, gone: make(chan struct{})}
	link.moved.L = &link.mu
	link.allowed, link.cutting = [2]int{-1, -1}, link.reset
	if l.doom != nil {
		w, n := l.doom(len(l.dialled) - 1)
		link.allowed[w] = n
	}
	l.links = append(l.links, link)
	if l.swallow {
		return // closed with the line, or by reset
	}
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		near.SetLinger(0)
		near.Close()
		return
	}
	link.ends[down] = far.(*net.TCPConn)
	for _, w := range bothWays {
		link.carry(w)
	}
}

// tries is how often somebody has dialled, and when.
func (l *line) tries() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time{}, l.dialled...)
}

// last is the newest link, nil while there was none.
func (l *line) last() *through {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.links) == 0 {
		return nil
	}
	return l.links[len(l.links)-1]
}

func (l *line) all() []*through {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*through{}, l.links...)
}

// reset cuts all links with RST.
func (l *line) reset() {
	for _, link := range l.all() {
		link.reset()
	}
}

// bytes is what has been carried one way.
func (l *line) bytes(w way) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried[w]
}

// tap keeps what is carried from now on; text is what was.
func (l *line) tap() { l.set(func(l *line) { l.taps = true }) }

func (l *line) text(w way) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tapped[w].String()
}

func (l *line) count(w way, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carried[w] += int64(len(text))
	if l.taps {
		l.tapped[w].Write(text)
	}
}

// A through is one connection through a line.
type through struct {
	line    *line
	weather weather
	ends    [2]*net.TCPConn // by the way that begins there

	gone    chan struct{} // closed by reset, once
	writing [2]sync.Mutex // one chunk after the other

	// Anyone's, under mu.
	mu      sync.Mutex
	moved   sync.Cond // silent or over has changed
	silent  bool      // bytes stop where they are
	over    bool
	allowed [2]int // bytes that may still pass before the link is cut; -1: any number
	cutting func() // how it is cut then
}

// A parcel is bytes on their way.
type parcel struct {
	text []byte
	due  time.Time
	end  error // the last one: how the sender has ended
}

// carry moves one way's bytes from one end to the other.
func (c *through) carry(w way) {
	from, to := c.ends[w], c.ends[1-w]
	chunk, buffer := 32<<10, c.weather.buffer
	if buffer == 0 {
		buffer = lineBuffer
	}
	if c.weather.rate > 0 {
		chunk = max(64, c.weather.rate/20)
		from.SetReadBuffer(buffer)
		to.SetWriteBuffer(4 << 10)
	}
	parcels := make(chan parcel, max(1, buffer/chunk))
	c.line.wg.Go(func() {
		defer close(parcels)
		free := time.Now() // when the last byte has left the narrow place
		for {
			text := make([]byte, chunk)
			n, err := from.Read(text)
			if now := time.Now(); free.Before(now) {
				free = now
			}
			if c.weather.rate > 0 {
				free = free.Add(time.Duration(n) * time.Second / time.Duration(c.weather.rate))
			}
			parcels <- parcel{text: text[:n], due: free.Add(c.weather.delay), end: err}
			if err != nil {
				return
			}
		}
	})
	c.line.wg.Go(func() {
		defer func() {
			for range parcels {
			}
		}()
		for each := range parcels {
			if wait := time.Until(each.due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-c.gone:
				}
			}
			if !c.write(w, to, each.text) {
				return
			}
			switch {
			case each.end == nil:
			case errors.Is(each.end, io.EOF):
				to.CloseWrite()
			default:
				c.reset()
			}
		}
	})
}

// write passes bytes on, unless the link is stalled or to be cut on the way.
func (c *through) write(w way, to *net.TCPConn, text []byte) bool {
	c.writing[w].Lock()
	defer c.writing[w].Unlock()
	c.mu.Lock()
	for c.silent && !c.over {
		c.moved.Wait()
	}
	var cut func()
	if left := c.allowed[w]; left >= 0 {
		if left <= len(text) {
			text, cut = text[:left], c.cutting
		}
		c.allowed[w] = left - len(text)
	}
	c.mu.Unlock()
	c.line.count(w, text)
	_, err := to.Write(text)
	if cut != nil {
		cut()
		return false
	}
	return err == nil
}

// reset ends the link with RST at both ends.
func (c *through) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.gone)
		c.moved.Broadcast()
	}
	for _, end := range c.ends {
		if end != nil {
			end.SetLinger(0)
			end.Close()
		}
	}
}

// finish ends it with FIN at both ends.
func (c *through) finish() {
	for _, end := range c.ends {
		end.CloseWrite()
	}
}

// stall stops all bytes, both ways, or lets them go again. Neither end is told.
func (c *through) stall(silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = silent
	c.moved.Broadcast()
}

// cutAfter cuts the link when n more bytes have passed one way.
func (c *through) cutAfter(w way, n int, how func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed[w], c.cutting = n, how
}

// inject puts bytes among those of a way.
func (c *through) inject(w way, text []byte) {
	c.writing[w].Lock()
	defer c.writing[w].Unlock()
	c.ends[1-w].SetWriteDeadline(time.Now().Add(patience))
	c.ends[1-w].Write(text)
	c.ends[1-w].SetWriteDeadline(time.Time{})
}
