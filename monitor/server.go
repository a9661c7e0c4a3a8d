package monitor

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"
)

// Options of the pages. The zero value is everybody, unencrypted, at /.
type Options struct {
	// BasePath stands in front of every path. Default: nothing.
	BasePath string

	// Authorize decides about a user and a password of HTTP's basic authentication, and where they come
	// from. It may take its time, as password hashes do; as many may ask at a time as there are
	// connections. Nil: everybody may look.
	Authorize func(from netip.Addr, user, password string) bool

	// TLS encrypts. Nil: it is not encrypted. Passwords of Authorize can then be read on the way.
	TLS *tls.Config

	// Logger gets what goes wrong with connections. Nil: nobody.
	Logger *slog.Logger
}

// A Server serves pages on listeners.
type Server struct {
	// Set by New, never written again.
	pages    Pages
	options  Options
	base     string             // of all paths: "/" or "/base"
	handlers map[string]handler // by whole path
	working  chan struct{}      // has a place for each page that may be made at a time
	listing  chan struct{}      // the same, of those that list subscriptions
	slots    chan struct{}      // has a place for each connection
	done     chan struct{}      // closed by the first Shutdown

	running sync.WaitGroup // visitors

	mu        sync.Mutex
	requests  map[string]uint64         // by path; under mu
	listeners map[net.Listener]struct{} // one for each Serve; under mu
	visitors  map[*visitor]struct{}     // at most as many as slots has places; under mu
	closing   bool                      // under mu
}

// New makes a server of pages. Serve gives it something to listen on.
func New(o Options, p Pages) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TLS != nil {
		o.TLS = onlyHTTP1(o.TLS)
	}
	s := &Server{
		pages: p, options: o, base: "/", requests: make(map[string]uint64),
		working: make(chan struct{}, maxWorking), listing: make(chan struct{}, maxListing), slots: make(chan struct{}, maxConnections),
		done: make(chan struct{}), listeners: make(map[net.Listener]struct{}), visitors: make(map[*visitor]struct{}),
	}
	if o.BasePath != "" {
		s.base = path.Join("/", o.BasePath)
	}
	s.handlers = s.paths()
	return s
}

// Serve answers on ln until ctx is over or Shutdown is called. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.running.Add(1) // Shutdown waits for this as well
	defer s.running.Done()
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	err := s.accept(ctx, ln)
	s.mu.Lock()
	delete(s.listeners, ln)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("monitor: serve on %v: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown ends all Serves, and lets pages that are on their way arrive until ctx is over.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		close(s.done)
	}
	for ln := range s.listeners {
		ln.Close()
	}
	for v := range s.visitors {
		if !v.busy {
			v.conn.SetReadDeadline(longAgo)
		}
	}
	s.mu.Unlock()
	all := make(chan struct{})
	go func() {
		s.running.Wait()
		close(all)
	}()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for v := range s.visitors {
		// Not Close: that of TLS may wait for its last word to be taken.
		v.conn.SetDeadline(longAgo)
	}
	s.mu.Unlock()
	return ctx.Err()
}

// longAgo is a deadline that makes reads and writes return.
var longAgo = time.Unix(1, 0)

// Requests counts the requests so far, by path.
func (s *Server) Requests() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

// count counts one request. The paths are those of the pages, never a stranger's.
func (s *Server) count(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[at]++
}

// at is the whole path of a page.
func (s *Server) at(page string) string { return path.Join(s.base, page) }

// respond lets in who may look, and not too many at a time.
func (s *Server) respond(from netip.Addr, r *request) (a *answer) {
	switch {
	case r.expect:
		return refuse(statusExpectationFailed, "this is not known here: only pages can be had\n")
	case !r.pageMethod():
		return refuse(statusMethodNotAllowed, "only GET and HEAD\n", "Allow: GET, HEAD")
	}
	if allow := s.options.Authorize; allow != nil {
		// Before there is a place for its page: strangers must not take those.
		if user, password := r.basic(); !allow(from, user, password) {
			return refuse(statusUnauthorized, "unauthorized\n", `WWW-Authenticate: Basic realm="monitoring", charset="UTF-8"`)
		}
	}
	patience := time.NewTimer(workPatience)
	defer patience.Stop()
	if r.lists() {
		// Before there is a place for its page: who waits for this takes nothing from other pages.
		if !takeTurn(s.listing, patience) {
			return tooMany()
		}
		defer func() {
			if a != nil && len(a.body) > maxWaiting {
				a.sent = func() { <-s.listing }
				return
			}
			<-s.listing
		}()
	}
	if !takeTurn(s.working, patience) {
		return tooMany()
	}
	defer func() { <-s.working }()
	if clean := cleanPath(r.target.EscapedPath()); clean != r.target.EscapedPath() {
		return redirect(clean, r.target.RawQuery)
	}
	if handle, ok := s.handlers[r.target.Path]; ok {
		return handle(r)
	}
	return refuse(statusNotFound, "404 page not found\n")
}

// takeTurn waits for a place. False: patience is over.
func takeTurn(places chan<- struct{}, patience *time.Timer) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-patience.C:
		return false
	}
}

func tooMany() *answer {
	return refuse(statusUnavailable, "too many pages are being made at a time\n")
}

// cleanPath is the path without "//", "." and "..". A slash at the end stays.
func cleanPath(at string) string {
	clean := path.Clean("/" + at)
	if strings.HasSuffix(at, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// redirect sends a browser to the same page, written as it should be.
func redirect(at, query string) *answer {
	if query != "" {
		at += "?" + query
	}
	body := "<a href=\"" + html.EscapeString(at) + "\">" + statusText[statusTemporaryRedirect] + "</a>.\n\n"
	return &answer{code: statusTemporaryRedirect, kind: typeHTML, more: []string{"Location: " + at}, body: []byte(body)}
}
