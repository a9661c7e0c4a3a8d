package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A Server speaks the NATS client protocol on any number of listeners.
type Server struct {
	// Set when made, never written again.
	id       string
	broker   *broker.Broker
	engine   *engine.Engine
	log      *slog.Logger
	start    time.Time
	slowdown *auth.Slowdown // of logins; may be shared
	global   *broker.Account
	events   Events // nil: nobody wants to know

	turnstile *engine.Turnstile // of connections; may be shared

	globalJSON []byte            // the global account's name
	nonceKey   [sha256.Size]byte // see appendNonce

	// Anyone's.
	settings atomic.Pointer[settings] // replaced by Reload, as a whole
	lame     atomic.Bool              // INFO says so
	total    atomic.Uint64            // connections accepted
	slow     atomic.Uint64            // slow consumers closed
	stale    atomic.Uint64            // stale connections closed

	refusals lineLimit // of clients that were refused, or had to be closed
	denials  lineLimit // of what clients may not do
	removals lineLimit // of subscriptions that a change took away

	abouts  abouts
	graves  graveyard
	changes atomic.Uint64 // reloads, and accounts that have changed

	mu       sync.Mutex
	stopped  bool              // no more listeners; under mu
	doors    map[*door]bool    // under mu
	sessions []*session        // those that are in an account in front; under mu
	joined   int               // how many those are; under mu
	past     traffic           // of connections that are gone; under mu
	empty    chan struct{}     // closed when the last session is gone; nil unless somebody waits; under mu
	reasons  map[string]uint64 // how connections ended, by word; under mu
	members  map[string]int64  // connections by account; under mu

	reloading sync.Mutex            // one Reload at a time; above mu
	unseen    map[*session]struct{} // sessions that Reload waits for; nil: it does not; under mu
	seen      chan struct{}         // closed when unseen is empty; under mu
}

// traffic is what went through connections.
type traffic struct {
	inMsgs, inBytes, outMsgs, outBytes uint64
}

// A door is one listener.
type door struct {
	// Set before it is listened on, never written again.
	server  *Server
	host    string
	port    int
	address []byte        // host and port as in INFO
	closed  chan struct{} // Serve is to end
	gone    chan struct{} // closed by Serve when the listener is

	once sync.Once // of closed
}

// New makes a server. Every Loop.Local of e must be a lane of b, flushed by e's TurnEnd.
func New(o Options, b *broker.Broker, e *engine.Engine, d *auth.Directory, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	set, err := newSettings(o, d)
	if err != nil {
		return nil, err
	}
	s := &Server{
		id: set.ID, broker: b, engine: e, log: log, start: time.Now(), global: b.Account(broker.GlobalAccount),
		doors: make(map[*door]bool), reasons: make(map[string]uint64), members: make(map[string]int64), events: o.Events,
		slowdown: cmp.Or(o.Slowdown, new(auth.Slowdown)), turnstile: cmp.Or(o.Turnstile, new(engine.Turnstile)),
	}
	rand.Read(s.nonceKey[:])
	s.globalJSON = appendJSON(nil, broker.GlobalAccount)
	s.install(set)
	return s, nil
}

// install makes set the settings.
func (s *Server) install(set *settings) {
	if set.MaxPayload > largePayload {
		s.log.Warn("max_payload is large: one message takes this much memory at each subscriber that is slow to read it",
			"max_payload", set.MaxPayload, "advised", largePayload)
	}
	if before := s.settings.Swap(set); s.engine != nil && (before == nil || before.directory != set.directory) {
		set.directory.OnChange(s.accountChanged)
	}
}

// ID is the server's id.
func (s *Server) ID() string { return s.id }

// Name is the server's name.
func (s *Server) Name() string { return s.settings.Load().ServerName }

// Serve accepts clients on ln until ctx is over or the server is shut down. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	wait, err := s.Open(ln)
	if err != nil {
		return err
	}
	return wait(ctx)
}

// Open is the first part of Serve: when it returns, clients are accepted and Address is known. wait is the
// rest, and has to be called. With an error ln is closed already.
func (s *Server) Open(ln net.Listener) (wait func(ctx context.Context) error, err error) {
	d := &door{server: s, closed: make(chan struct{}), gone: make(chan struct{})}
	d.host, d.port = addressOf(ln.Addr(), s.settings.Load().AdvertiseHost)
	d.address = strconv.AppendInt(append(appendJSON([]byte(`,"host":`), d.host), `,"port":`...), int64(d.port), 10)
	d.address = append(d.address, ',')

	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		ln.Close()
		return nil, ErrStopped
	}
	s.doors[d] = true
	s.mu.Unlock()

	listener, err := s.engine.Listen(ln, d.open)
	if err != nil {
		d.leave()
		ln.Close()
		return nil, fmt.Errorf("server: listen on %v: %w", ln.Addr(), err)
	}
	return func(ctx context.Context) error {
		defer d.leave()
		select {
		case <-ctx.Done():
		case <-d.closed:
		}
		if err := listener.Close(); err != nil {
			return fmt.Errorf("server: close listener %v: %w", ln.Addr(), err)
		}
		return nil
	}, nil
}

// leave ends a door for good.
func (d *door) leave() {
	d.server.mu.Lock()
	delete(d.server.doors, d)
	d.server.mu.Unlock()
	close(d.gone)
}

// close ends Serve.
func (d *door) close() { d.once.Do(func() { close(d.closed) }) }

// welcome lets a new session in, or says why not.
func (s *Server) welcome(c *session, set *settings, now int64) *closing {
	s.total.Add(1)
	from := c.conn.RemoteAddr().Addr()
	counted, err := s.turnstile.Enter(from, engine.TurnstileLimits{PerAddress: set.MaxConnectionsPerAddress, PerSecond: set.ConnectionRateLimit}, now)
	switch {
	case err == engine.ErrAddressFull:
		return errAddressFull
	case err != nil:
		return errTooMany
	case s.enter(c, set.MaxConnections):
		c.set(isCounted, counted)
		return nil
	case counted:
		s.turnstile.Leave(from)
	}
	return errMaxConnections
}

// enter puts a new session into the list. False: there are as many as there may be.
func (s *Server) enter(c *session, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= limit || len(s.sessions) == math.MaxInt32 {
		return false
	}
	c.place = int32(len(s.sessions))
	s.sessions = append(s.sessions, c)
	return true
}

// crowd is how many sessions there are.
func (s *Server) crowd() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// left takes a session that is over out of the list, and accounts for it.
func (s *Server) left(c *session, why *closing) {
	if why == closedSlow || why == closedDeadline {
		s.slow.Add(1)
		if c.peer != nil {
			c.peer.Account().NoteSlow()
		}
	}
	s.logClosed(c, why)
	if c.is(isCounted) {
		s.turnstile.Leave(c.conn.RemoteAddr().Addr())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons[why.reason]++
	if c.is(isRefused) {
		return
	}
	s.partLocked(c)
	s.noteSeenLocked(c)
	last := len(s.sessions) - 1
	s.moveLocked(c, last)
	s.sessions[last] = nil
	s.sessions = s.sessions[:last]
	s.past.inMsgs += c.inMsgs
	s.past.inBytes += c.inBytes
	// Nobody can begin output any more, so these have no other writer.
	s.past.outMsgs += c.outMsgs
	s.past.outBytes += c.outBytes
	if last == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// moveLocked has c change places with another one in the list.
func (s *Server) moveLocked(c *session, to int) {
	other := s.sessions[to]
	s.sessions[c.place], s.sessions[to] = other, c
	other.place, c.place = c.place, int32(to)
}

// youngestFirst is a copy of the list of sessions, those that came last in front: when there are too
// many, they go.
func (s *Server) youngestFirst() []*session {
	all := s.all()
	sortYoungestFirst(all)
	return all
}

func sortYoungestFirst(all []*session) {
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(b.conn.ID(), a.conn.ID()) })
}

// all is a copy of the list of sessions.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*session(nil), s.sessions...)
}

// logClosed writes one line about a client that was refused or had to be closed, with what to do
// about it; they may be many, so only some of them. Other ends are for debugging.
func (s *Server) logClosed(c *session, why *closing) {
	level, left := slog.LevelDebug, 0
	if why.remedy != "" {
		var write bool
		if write, left = s.refusals.may(c.conn.ID(), maxRefusalLines); write {
			level = slog.LevelWarn
		}
	}
	if !s.log.Enabled(context.Background(), level) {
		return
	}
	attrs := slices.Insert(c.whoIs(), 2, slog.String("reason", why.reason))
	message := "client closed"
	if why.remedy != "" {
		message = "client refused"
		attrs = append(attrs, slog.String("remedy", why.remedy))
	}
	c.logLine(level, message, attrs, left)
}
