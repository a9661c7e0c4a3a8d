package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
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
	id     string
	broker *broker.Broker
	engine *engine.Engine
	log    *slog.Logger
	start  time.Time
	global *broker.Account

	globalJSON []byte // its name

	// Anyone's.
	settings atomic.Pointer[settings] // replaced by Reload, as a whole
	lame     atomic.Bool              // INFO says so
	total    atomic.Uint64            // connections accepted
	refused  atomic.Uint64            // of those, refused or closed for a mistake
	slow     atomic.Uint64            // slow consumers closed
	stale    atomic.Uint64            // stale connections closed

	refusals struct {
		mu     sync.Mutex
		window int64 // when it began
		lines  int   // written in it
		left   int   // not written
	}

	abouts struct {
		mu     sync.Mutex
		shared map[aboutKey]*about
	}

	mu       sync.Mutex
	stopped  bool              // no more listeners; under mu
	doors    map[*door]bool    // under mu
	sessions []*session        // in no order; under mu
	past     traffic           // of connections that are gone; under mu
	empty    chan struct{}     // closed when the last session is gone; nil unless somebody waits; under mu
	reasons  map[string]uint64 // how connections ended, by word; under mu
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
	s := &Server{
		id: newID(), broker: b, engine: e, log: log, start: time.Now(), global: b.Account(broker.GlobalAccount),
		doors: make(map[*door]bool), reasons: make(map[string]uint64),
	}
	s.globalJSON = appendJSON(nil, broker.GlobalAccount)
	set, err := newSettings(s.id, o, d)
	if err != nil {
		return nil, err
	}
	s.install(set)
	return s, nil
}

// install makes set the settings.
func (s *Server) install(set *settings) {
	if set.MaxPayload > largePayload {
		s.log.Warn("max_payload is large: one message takes this much memory at each subscriber that is slow to read it",
			"max_payload", set.MaxPayload, "advised", largePayload)
	}
	s.settings.Store(set)
}

// ID is the server's id.
func (s *Server) ID() string { return s.id }

// Name is the server's name.
func (s *Server) Name() string { return s.settings.Load().ServerName }

// Serve accepts clients on ln until ctx is over or the server is shut down. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	d := &door{server: s, closed: make(chan struct{}), gone: make(chan struct{})}
	d.host, d.port = addressOf(ln.Addr(), s.settings.Load().AdvertiseHost)
	d.address = strconv.AppendInt(append(appendJSON([]byte(`,"host":`), d.host), `,"port":`...), int64(d.port), 10)
	d.address = append(d.address, ',')

	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		ln.Close()
		return ErrStopped
	}
	s.doors[d] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.doors, d)
		s.mu.Unlock()
		close(d.gone)
	}()

	listener, err := s.engine.Listen(ln, d.open)
	if err != nil {
		ln.Close()
		return fmt.Errorf("server: listen on %v: %w", ln.Addr(), err)
	}
	select {
	case <-ctx.Done():
	case <-d.closed:
	}
	if err := listener.Close(); err != nil {
		return fmt.Errorf("server: close listener %v: %w", ln.Addr(), err)
	}
	return nil
}

// close ends Serve.
func (d *door) close() { d.once.Do(func() { close(d.closed) }) }

// account finds the account of a name.
func (s *Server) account(name string) *broker.Account {
	if name == "" || name == broker.GlobalAccount {
		return s.global
	}
	return s.broker.Account(name)
}

// enter puts a new session into the list. False: there are as many as there may be.
func (s *Server) enter(c *session, limit int) bool {
	s.total.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= limit || len(s.sessions) == math.MaxInt32 {
		return false
	}
	c.place = int32(len(s.sessions))
	s.sessions = append(s.sessions, c)
	return true
}

// left takes a session that is over out of the list, and accounts for it.
func (s *Server) left(c *session, why *closing) {
	if why == closedSlow || why == closedDeadline {
		s.slow.Add(1)
	}
	s.logClosed(c, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons[why.reason]++
	if c.is(isRefused) {
		return
	}
	last := len(s.sessions) - 1
	moved := s.sessions[last]
	s.sessions[c.place] = moved
	moved.place = c.place
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
		s.refused.Add(1)
		var write bool
		if write, left = s.mayLogRefusal(); write {
			level = slog.LevelWarn
		}
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("client", c.conn.RemoteAddr().String()),
		slog.Uint64("cid", c.conn.ID()),
		slog.String("reason", why.reason),
	}
	if c.about != nil {
		if user := cmp.Or(c.about.identity.User, c.about.claimed); user != "" {
			attrs = append(attrs, slog.String("user", user))
		}
		if c.about.name != "" {
			attrs = append(attrs, slog.String("name", c.about.name))
		}
	}
	message := "client closed"
	if why.remedy != "" {
		message = "client refused"
		attrs = append(attrs, slog.String("remedy", why.remedy))
	}
	if left > 0 {
		attrs = append(attrs, slog.Int("more_like_this", left))
	}
	s.log.LogAttrs(ctx, level, message, attrs...)
}

// mayLogRefusal decides whether another line about a refused client is written now, and how many
// were not since the last one.
func (s *Server) mayLogRefusal() (write bool, left int) {
	r := &s.refusals
	now := engine.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now-r.window >= refusalWindow {
		r.window, r.lines = now, 0
	}
	if r.lines == maxRefusalLines {
		r.left++
		return false, 0
	}
	r.lines++
	left, r.left = r.left, 0
	return true, left
}

// An aboutKey is what makes clients without a name alike.
type aboutKey struct {
	lang, version string
	identity      *auth.Identity
}

// describe makes the about of a client. Those that give themselves no name share it with all of
// their kind. What CONNECT does not say is taken from old, if that is not nil.
func (s *Server) describe(c *connectRequest, old *about, id *auth.Identity) *about {
	if old != nil {
		c.name, c.lang, c.version = orOld(c.name, old.name), orOld(c.lang, old.lang), orOld(c.version, old.version)
	}
	s.abouts.mu.Lock()
	shared := s.abouts.shared[aboutKey{string(c.lang), string(c.version), id}]
	s.abouts.mu.Unlock()
	if shared == nil {
		shared = &about{lang: string(c.lang), version: string(c.version), identity: id}
		s.abouts.mu.Lock()
		if s.abouts.shared == nil || len(s.abouts.shared) >= maxAbouts {
			s.abouts.shared = make(map[aboutKey]*about)
		}
		s.abouts.shared[aboutKey{shared.lang, shared.version, id}] = shared
		s.abouts.mu.Unlock()
	}
	if len(c.name) == 0 {
		return shared
	}
	return &about{name: string(c.name), lang: shared.lang, version: shared.version, identity: id}
}

func orOld(said []byte, old string) []byte {
	if said == nil {
		return []byte(old)
	}
	return said
}
