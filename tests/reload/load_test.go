//go:build linux

package reload

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The parts that clients play. Users come and go and permissions change with every reload:
//
//	steady    is always allowed what it does, though its list of permissions changes each time
//	flipping  may subscribe to flip.> before every second reload, and not after it
//	muted     may publish pubflip before every second reload, and not after it
//	passing   exists before every second reload
const (
	steadyUsers = 10
	flippers    = 20
	publishers  = 10
	passers     = 5
)

// loadConfig is the configuration after so many reloads.
func loadConfig(reload int) string {
	var users strings.Builder
	for i := range steadyUsers {
		fmt.Fprintf(&users, `{user: steady%d, password: p, permissions: {publish: ["load.>", "flip.>", "more.%d.>"], subscribe: ["load.>", "pubflip", "more.%d.>"]}}`+"\n", i, reload, reload)
	}
	flip, mute := `"flip.>", `, `"pubflip", `
	if forbids(reload) {
		flip, mute = "", ""
	} else {
		for i := range passers {
			fmt.Fprintf(&users, "{user: passing%d, password: p}\n", i)
		}
	}
	fmt.Fprintf(&users, "{user: flipping, password: p, permissions: {subscribe: [%s \"load.>\"]}}\n", flip)
	fmt.Fprintf(&users, "{user: muted, password: p, permissions: {publish: [%s \"other\"]}}\n", mute)
	for i := range 50 {
		fmt.Fprintf(&users, "{user: filler%d, password: p%d, permissions: {publish: \"a.%d.>\"}}\n", i, reload, reload)
	}
	return "max_failed_logins: -1\nauthorization { users: [\n" + users.String() + "] }"
}

// forbids reports whether the configuration after so many reloads is one of those that take away.
func forbids(reload int) bool { return reload%2 == 1 }

// A counted subject is one whose messages are numbered from 1, by one publisher.
type counted struct {
	sent     atomic.Int64 // the highest number that may be on its way
	received atomic.Int64 // the highest that has come
	count    atomic.Int64 // how many have come

	// Under mu. A forbidden span holds the numbers above from, up to to; to is 0 while it lasts.
	mu    sync.Mutex
	spans []span
	phase int64 // from here on, none may be missing as long as any come
}

type span struct{ from, to int64 }

// forbid begins a span: what is sent from now on must not arrive.
func (c *counted) forbid() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, span{from: c.sent.Load()})
	c.phase = math.MaxInt64
}

// allow ends the span: what has been sent by now, and is not there, must not arrive any more.
func (c *counted) allow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans[len(c.spans)-1].to = c.sent.Load()
}

// resume says that all that is sent from now on must arrive, until the next reload that forbids it.
func (c *counted) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = c.sent.Load()
}

// take notes an arrival. It says whether the number is forbidden, and how many are missing since the
// last one although nothing has changed between the two.
func (c *counted) take(n int64) (forbidden bool, lost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, each := range c.spans {
		forbidden = forbidden || n > each.from && (each.to == 0 || n <= each.to)
	}
	last := c.received.Swap(n)
	c.count.Add(1)
	if last >= c.phase {
		lost = n - last - 1
	}
	return forbidden, lost
}

func TestReloadUnderLoad(t *testing.T) {
	connections, rate, reloads := pick(2000, 300), pick(20_000, 3000), pick(100, 10)
	s := start(t, loadConfig(0))
	l := &load{server: s, steady: make([]counted, connections-flippers-publishers-passers-1), flip: make([]counted, flippers)}
	l.join(connections)
	l.run(rate)
	var took, slowest time.Duration
	for n := 1; n <= reloads; n++ {
		seen, own := l.change(n)
		took, slowest = took+own, max(slowest, own)
		if seen > 5*time.Second {
			t.Errorf("reload %d took %v", n, seen)
		}
		<-time.After(50 * time.Millisecond) // what is to happen between two reloads
	}
	l.stop()
	l.check(reloads)
	t.Logf("%d connections, %d messages, %d reloads: %v each by the server's clock, at most %v",
		connections, l.published.Load(), reloads, (took / time.Duration(reloads)).Round(time.Microsecond), slowest)
}

// A load is the clients of TestReloadUnderLoad and what they have seen.
type load struct {
	*server
	clients  []*client // all that must never be closed
	flipping []*client
	passing  []*client
	muted    *client
	senders  []*client

	steady []counted // load.N: one subscriber each, who is always allowed
	flip   []counted // flip.N: one subscriber each, who is allowed by turns
	mute   counted   // pubflip: one publisher, who is allowed by turns

	published atomic.Int64
	forbidden atomic.Int64 // messages that should not have arrived
	lost      atomic.Int64 // messages that should have
	end       chan bool
	ended     sync.WaitGroup
}

// see is called by readers for each message.
func (l *load) see(subject, payload []byte) {
	n, err := strconv.ParseInt(string(payload), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("%q on %q", payload, subject))
	}
	c := &l.mute
	if kind, number, ok := bytes.Cut(subject, []byte(".")); ok {
		i, _ := strconv.Atoi(string(number))
		if c = &l.steady[0]; string(kind) == "flip" {
			c = &l.flip[i]
		} else {
			c = &l.steady[i]
		}
	}
	forbidden, lost := c.take(n)
	if forbidden {
		l.forbidden.Add(1)
	}
	l.lost.Add(lost)
}

func (l *load) join(connections int) {
	l.t.Helper()
	steady := gather(l.server, len(l.steady), func(i int) (*client, error) {
		c, err := join(l.server, "steady"+strconv.Itoa(i%steadyUsers), "p", l.see)
		if err != nil {
			return nil, err
		}
		c.send("SUB load.%d 1\r\n", i)
		if i == 0 {
			c.send("SUB pubflip 2\r\n")
		}
		return c, c.settle()
	})
	l.flipping = gather(l.server, flippers, func(i int) (*client, error) { return join(l.server, "flipping", "p", l.see) })
	l.senders = gather(l.server, publishers, func(i int) (*client, error) {
		return join(l.server, "steady"+strconv.Itoa(i%steadyUsers), "p", l.see)
	})
	l.muted = gather(l.server, 1, func(int) (*client, error) { return join(l.server, "muted", "p", l.see) })[0]
	l.clients = slices.Concat(steady, l.flipping, l.senders, []*client{l.muted})
	l.come()
	l.listen()
	if n := len(l.clients) + len(l.passing); n != connections {
		l.t.Fatalf("%d connections", n)
	}
}

// come lets the passing in.
func (l *load) come() {
	l.t.Helper()
	l.passing = gather(l.server, passers, func(i int) (*client, error) { return join(l.server, "passing"+strconv.Itoa(i), "p", l.see) })
}

// listen subscribes those who may.
func (l *load) listen() {
	l.t.Helper()
	for i, c := range l.flipping {
		c.send("SUB flip.%d 1\r\n", i)
	}
	for _, c := range l.flipping {
		if err := c.settle(); err != nil {
			l.t.Fatal(err)
		}
	}
}

// run publishes rate messages a second, until stop.
func (l *load) run(rate int) {
	l.end = make(chan bool)
	const tick = 10 * time.Millisecond
	each := rate / publishers / int(time.Second/tick)
	for p, c := range l.senders {
		l.ended.Go(func() { l.send(p, c, each, tick) })
	}
	l.ended.Go(func() { l.repeat(tick, func() { l.publish(l.muted, &l.mute, "pubflip") }) })
}

func (l *load) repeat(tick time.Duration, f func()) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-l.end:
			return
		case <-ticker.C:
			f()
		}
	}
}

// send publishes in turn to the subjects whose number leaves p, one sender's share.
func (l *load) send(p int, c *client, each int, tick time.Duration) {
	next, flip := p, p
	var out bytes.Buffer
	l.repeat(tick, func() {
		out.Reset()
		for range each {
			l.append(&out, &l.steady[next], "load."+strconv.Itoa(next))
			if next += publishers; next >= len(l.steady) {
				next = p
			}
		}
		l.append(&out, &l.flip[flip], "flip."+strconv.Itoa(flip))
		if flip += publishers; flip >= flippers {
			flip = p
		}
		c.conn.Write(out.Bytes())
	})
}

func (l *load) append(out *bytes.Buffer, c *counted, subject string) {
	text := strconv.FormatInt(c.sent.Add(1), 10)
	fmt.Fprintf(out, "PUB %s %d\r\n%s\r\n", subject, len(text), text)
	l.published.Add(1)
}

func (l *load) publish(c *client, to *counted, subject string) {
	var out bytes.Buffer
	l.append(&out, to, subject)
	c.conn.Write(out.Bytes())
}

// change reloads, and lets clients do what they may now.
func (l *load) change(n int) (seen, own time.Duration) {
	l.t.Helper()
	turning := append([]*counted{&l.mute}, pointers(l.flip)...)
	if !forbids(n) {
		for _, c := range turning {
			c.allow()
		}
		seen, own = l.reload(loadConfig(n))
		l.listen()
		l.come()
		for _, c := range turning {
			c.resume()
		}
		return seen, own
	}
	seen, own = l.reload(loadConfig(n))
	for _, c := range turning {
		c.forbid()
	}
	for _, c := range l.passing {
		select {
		case <-c.ended:
		case <-time.After(patience):
			l.t.Fatalf("%s is still there after reload %d", c.name, n)
		}
		if c.last != "" {
			l.t.Fatalf("%s is told %q", c.name, c.last)
		}
	}
	return seen, own
}

func pointers[T any](list []T) (all []*T) {
	for i := range list {
		all = append(all, &list[i])
	}
	return all
}

// stop ends the senders, and waits until what they have sent has arrived.
func (l *load) stop() {
	l.t.Helper()
	close(l.end)
	l.ended.Wait()
	for _, c := range slices.Concat(l.senders, l.clients) {
		if err := c.settle(); err != nil {
			l.t.Fatalf("%s: %v", c.name, err)
		}
	}
}

func (l *load) check(reloads int) {
	l.t.Helper()
	for _, c := range l.clients {
		if c.gone() {
			l.t.Errorf("%s has been closed: %q, %v", c.name, c.last, c.err)
		}
		failed, allowed := c.failed.Load(), int64(0)
		switch c.name {
		case "flipping":
			allowed = int64(reloads+1) / 2
			if failed != allowed {
				l.t.Errorf("%s has been told %d errors in %d reloads, the last %q", c.name, failed, reloads, c.last)
			}
		case "muted":
		default:
			if failed > 0 {
				l.t.Errorf("%s has been told %q", c.name, c.last)
			}
		}
	}
	for i := range l.steady {
		c := &l.steady[i]
		if sent, count := c.sent.Load(), c.count.Load(); sent != count || c.received.Load() != sent {
			l.t.Errorf("load.%d: %d sent, %d received", i, sent, count)
		}
	}
	for i := range l.flip {
		if c := &l.flip[i]; c.count.Load() == 0 || c.count.Load() == c.sent.Load() {
			l.t.Errorf("flip.%d: %d sent, %d received: that shows nothing", i, c.sent.Load(), c.count.Load())
		}
	}
	if c := &l.mute; c.count.Load() == 0 || c.count.Load() == c.sent.Load() {
		l.t.Errorf("pubflip: %d sent, %d received: that shows nothing", c.sent.Load(), c.count.Load())
	}
	if n := l.forbidden.Load(); n > 0 {
		l.t.Errorf("%d messages arrived although they were sent when the log had said that they are forbidden", n)
	}
	if n := l.lost.Load(); n > 0 {
		l.t.Errorf("%d messages of allowed subjects were lost or out of order", n)
	}
}
