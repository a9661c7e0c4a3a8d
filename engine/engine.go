package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how an Engine runs. The zero value of a field means its default.
type Options struct {
	// Loops is the number of readiness loops. Default: GOMAXPROCS.
	Loops int
	// MaxPending bounds the output in bytes that waits for one connection: at the bound it is
	// closed. Default 64 MiB.
	MaxPending int
	// PendingTotal bounds that of all connections together, in bytes: above it the fullest is
	// closed. Default 256 MiB.
	PendingTotal int64
	// PartialTotal bounds in bytes what all connections together hold of messages that have not
	// arrived whole. At the bound input waits, and after WriteDeadline the oldest are closed.
	// Default 64 MiB.
	PartialTotal int64
	// WriteDeadline is how long a connection that is behind may make no progress. Default 10 s.
	WriteDeadline time.Duration
	// Workers bounds the goroutines that compute for Conn.Away at once. Default: half of the
	// processors, so that a thousand logins leave the others to who is connected.
	Workers int
	// WorkerQueue bounds what waits for them. One address gets half of what is free of it. Default 4,096.
	WorkerQueue int
	// Local makes what Loop.Local returns, once for each loop and for each place in the stream
	// driver's pool.
	Local func() any
	// TurnEnd is called with it after a loop has served every ready connection once, and after
	// each Data of the stream driver.
	TurnEnd func(local any)
	// TuneProcs lets the engine set GOMAXPROCS to the number of loops, and one more while any
	// connection of the stream driver is open.
	TuneProcs bool
	// Logger is told of what no session could be told. Default: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) fill() {
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 64 << 20
	}
	if o.PendingTotal <= 0 {
		o.PendingTotal = 256 << 20
	}
	if o.PartialTotal <= 0 {
		o.PartialTotal = 64 << 20
	}
	if o.WriteDeadline <= 0 {
		o.WriteDeadline = 10 * time.Second
	}
	if o.Workers <= 0 {
		o.Workers = max(1, runtime.NumCPU()/2)
	}
	if o.WorkerQueue <= 0 {
		o.WorkerQueue = 4096
	}
	if o.Local == nil {
		o.Local = func() any { return nil }
	}
	if o.TurnEnd == nil {
		o.TurnEnd = func(any) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
}

// An Engine drives connections. Make it with New, end it with Shutdown.
type Engine struct {
	// Set by New, never written again.
	options Options
	loops   []*Loop // none on a system without epoll
	places  chan *Loop
	done    chan struct{} // closed by Shutdown
	workers *workers
	gate    *gate // of handshakes

	// Anyone's.
	lastID  atomic.Uint64
	pending atomic.Int64 // output that waits for connections that are behind
	partial atomic.Int64 // bytes of chunks that hold half messages
	starved atomic.Bool  // somebody was refused room for one since it was last looked at
	behind  crowd        // connections whose kernel takes no more
	filling crowd        // connections that were refused room for a half message, or hold a large one
	closing atomic.Bool
	probes  probes
	wg      sync.WaitGroup // loops, readers, writers, doors

	doors struct {
		mu  sync.Mutex
		all map[*Listener]struct{}
	}
	streams struct { // for tune
		mu   sync.Mutex
		open int
	}
	readers struct { // connections of the stream driver
		mu  sync.Mutex
		all map[*Conn]struct{}
	}
}

var started = time.Now()

// Now is the time on the engine's scale: monotonic nanoseconds since the process started, never 0.
func Now() int64 { return int64(time.Since(started)) + 1 }

// New makes an engine and starts its loops.
func New(o Options) (*Engine, error) {
	o.fill()
	e := &Engine{options: o, done: make(chan struct{})}
	e.workers = newWorkers(o.Workers, o.WorkerQueue, e.tune)
	e.gate = newGate(e.tune)
	e.doors.all = make(map[*Listener]struct{})
	e.readers.all = make(map[*Conn]struct{})
	places := 2 * runtime.NumCPU()
	e.places = make(chan *Loop, places)
	for range places {
		e.places <- &Loop{engine: e} // Local is made at first use
	}
	if err := e.startLoops(); err != nil {
		return nil, err
	}
	if o.TuneProcs {
		runtime.GOMAXPROCS(o.Loops)
	}
	return e, nil
}

// Adopt takes over a connection that somebody else dialled or accepted. A TCP or Unix socket goes
// to a loop where there are loops, anything else to the stream driver; nc is not to be used any
// more either way. open is called by the new owner.
func (e *Engine) Adopt(nc net.Conn, open Open) error {
	if e.closing.Load() {
		nc.Close()
		return ErrShutdown
	}
	if taken, err := e.adoptSocket(nc, open); taken || err != nil {
		return err
	}
	c := e.newConn(addrOf(nc.RemoteAddr()))
	c.fd = -1
	if !e.startStream(c, e.newStream(c, nc), open) {
		nc.Close()
		return ErrShutdown
	}
	return nil
}

func (e *Engine) newConn(remote netip.AddrPort) *Conn {
	c := &Conn{engine: e, id: e.lastID.Add(1), remote: remote}
	c.timerSlot = timerOff
	return c
}

// addrOf is the address and port of a, if it has any.
func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// Shutdown closes every listener and connection and waits until the last goroutine is gone, or ctx
// is over.
func (e *Engine) Shutdown(ctx context.Context) error {
	if !e.closing.Swap(true) {
		close(e.done)
	}
	e.doors.mu.Lock()
	var doors []*Listener
	for d := range e.doors.all {
		doors = append(doors, d)
	}
	e.doors.mu.Unlock()
	for _, d := range doors {
		d.Close()
	}
	for _, l := range e.loops {
		l.inbox.putStop()
	}
	e.readers.mu.Lock()
	var all []*Conn
	for c := range e.readers.all {
		all = append(all, c)
	}
	e.readers.mu.Unlock()
	for _, c := range all {
		c.Close(ErrShutdown)
	}
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		e.workers.stop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("engine: connections still open"), ctx.Err())
	}
}

// shed closes the connections that have the most waiting, and gives that back at once: their
// owners may be a turn away, and in the middle of a fan-out that fills the room again.
func (e *Engine) shed() {
	for e.pending.Load() > e.options.PendingTotal {
		e.behind.mu.Lock()
		worst, most := fullest(e.behind.all, nil, 0)
		e.behind.mu.Unlock()
		e.readers.mu.Lock()
		worst, _ = fullest(e.readers.all, worst, most)
		e.readers.mu.Unlock()
		if worst == nil {
			return
		}
		worst.Close(ErrPendingTotal)
		worst.out.mu.Lock()
		stream := worst.out.stream != nil
		if !stream {
			worst.dropOut()
		}
		worst.out.mu.Unlock()
		if stream {
			return // its writer has the bytes
		}
	}
}

// overTotal reports whether size more would take what waits well past PendingTotal. Up to there
// shed chooses whom to close; beyond, it has not kept pace.
func (e *Engine) overTotal(size int) bool {
	most := e.options.PendingTotal
	return e.pending.Load()+int64(size) > most+most/8
}

// fullest finds the one of all that has more waiting than worst has, which is most.
func fullest(all map[*Conn]struct{}, worst *Conn, most int64) (*Conn, int64) {
	for c := range all {
		if n := c.counted.Load(); n > most {
			worst, most = c, n
		}
	}
	return worst, most
}

// crowdGrain is how often, at the most, the crowds are looked through.
const crowdGrain = int64(time.Second)

// care closes connections that are behind and make no progress, and the oldest half messages
// while they are at their bound. Any loop calls it, once a turn; without loops a goroutine does.
func (e *Engine) care(now int64) {
	deadline := now - int64(e.options.WriteDeadline)
	if e.behind.due(now) {
		for _, c := range e.behind.list() {
			if c.progress.Load() < deadline {
				c.Close(ErrWriteDeadline)
			}
		}
	}
	if e.filling.due(now) && (e.starved.Swap(false) || e.partial.Load() > e.options.PartialTotal-e.options.PartialTotal/8) {
		all := e.filling.list()
		slices.SortFunc(all, func(a, b *Conn) int { return cmp.Compare(a.fillingSince.Load(), b.fillingSince.Load()) })
		// Half of them at a time, so that those who came last may find room and go on.
		for _, c := range all[:(len(all)+1)/2] {
			if since := c.fillingSince.Load(); since != 0 && since < deadline {
				c.Close(ErrPartialTotal)
			}
		}
	}
}

// nursing says whether care has anything to look at.
func (e *Engine) nursing() bool { return e.behind.size.Load()+e.filling.size.Load() > 0 }

// A crowd is a set of connections that somebody has to look after.
type crowd struct {
	size atomic.Int32
	last atomic.Int64 // when it was last looked through
	mu   sync.Mutex
	all  map[*Conn]struct{}
}

// nurse puts c into w, one of e's crowds, and sees to it that some loop looks after it.
func (e *Engine) nurse(w *crowd, c *Conn) {
	w.mu.Lock()
	if w.all == nil {
		w.all = make(map[*Conn]struct{})
	}
	first := len(w.all) == 0
	w.all[c] = struct{}{}
	w.size.Store(int32(len(w.all)))
	w.mu.Unlock()
	if first {
		e.rouse()
	}
}

func (w *crowd) remove(c *Conn) {
	if w.size.Load() == 0 {
		return
	}
	w.mu.Lock()
	delete(w.all, c)
	w.size.Store(int32(len(w.all)))
	w.mu.Unlock()
}

// due says whether it is time to look, to one caller each time.
func (w *crowd) due(now int64) bool {
	last := w.last.Load()
	return w.size.Load() > 0 && now-last >= crowdGrain && w.last.CompareAndSwap(last, now)
}

func (w *crowd) list() []*Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*Conn, 0, len(w.all))
	for c := range w.all {
		all = append(all, c)
	}
	return all
}
