package monitor

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"time"
)

// HTTP/1.1 for pages: GET and HEAD, kept connections, nothing else. What package net/http
// would cost is in docs/adr/0009-no-net-http.md.

// The codes of RFC 9110 §15 that are in use here.
const (
	statusOK                  = 200
	statusTemporaryRedirect   = 307
	statusBadRequest          = 400
	statusUnauthorized        = 401
	statusNotFound            = 404
	statusMethodNotAllowed    = 405
	statusURITooLong          = 414
	statusExpectationFailed   = 417
	statusHeaderTooLarge      = 431
	statusInternalServerError = 500
	statusNotImplemented      = 501
	statusUnavailable         = 503
	statusVersionNotSupported = 505
)

var statusText = map[int]string{
	statusOK: "OK", statusTemporaryRedirect: "Temporary Redirect", statusBadRequest: "Bad Request",
	statusUnauthorized: "Unauthorized", statusNotFound: "Not Found", statusMethodNotAllowed: "Method Not Allowed",
	statusURITooLong: "URI Too Long", statusExpectationFailed: "Expectation Failed",
	statusHeaderTooLarge: "Request Header Fields Too Large", statusInternalServerError: "Internal Server Error",
	statusNotImplemented: "Not Implemented", statusUnavailable: "Service Unavailable",
	statusVersionNotSupported: "HTTP Version Not Supported",
}

// timeFormat is that of all dates in HTTP, RFC 9110 §5.6.7.
const timeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// Content types.
const (
	typeJSON = "application/json"
	typeText = "text/plain; charset=utf-8"
	typeHTML = "text/html; charset=utf-8"
)

// An answer is what a request is answered with.
type answer struct {
	code int
	kind string   // content type
	more []string // headers, as "Name: value"
	body []byte
	sent func() // nil: nobody waits for that
}

// send makes an answer with the header that dashboards in browsers need.
func send(code int, text []byte) *answer {
	return &answer{code: code, kind: typeJSON, more: []string{"Access-Control-Allow-Origin: *"}, body: text}
}

// refuse makes an answer for people. What was asked for may be in text, so that no browser may guess
// that it is something to carry out.
func refuse(code int, text string, more ...string) *answer {
	return &answer{code: code, kind: typeText, more: append(more, "X-Content-Type-Options: nosniff"), body: []byte(text)}
}

// head is the status line and the headers. HTTP/1.0 is answered in kind, as nats-server does.
func (a *answer) head(now time.Time, minor int, last, keepAlive bool) []byte {
	b := append(make([]byte, 0, 256), "HTTP/1."...)
	b = append(strconv.AppendInt(b, int64(minor), 10), ' ')
	b = append(strconv.AppendInt(b, int64(a.code), 10), ' ')
	b = append(append(b, statusText[a.code]...), "\r\n"...)
	for _, line := range a.more {
		b = append(append(b, line...), "\r\n"...)
	}
	b = append(append(append(b, "Content-Type: "...), a.kind...), "\r\nDate: "...)
	b = append(now.UTC().AppendFormat(b, timeFormat), "\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(a.body)), 10), "\r\n"...)
	switch {
	case last:
		b = append(b, "Connection: close\r\n"...)
	case keepAlive:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// A visitor is one connection. Its goroutine alone uses it, but for what is under the server's lock.
type visitor struct {
	server *Server
	conn   net.Conn // TLS, if there is
	input  []byte   // read and not yet used, at most maxHeaderBytes
	asked  int      // requests so far

	// Under server.mu.
	busy    bool      // a whole request is there and is being answered
	since   time.Time // when it was last waited for
	begun   bool      // it has been waited for before
	leaving bool      // it has to make room
}

// serve answers requests until one side has enough.
func (v *visitor) serve() {
	defer v.conn.Close()
	defer func() {
		// A page with a mistake costs its connection, not the server that is being watched.
		if caught := recover(); caught != nil {
			v.server.options.Logger.Error("A page has failed", "remote", v.conn.RemoteAddr(), "error", caught, "stack", string(debug.Stack()))
		}
	}()
	if err := v.handshake(); err != nil {
		v.server.options.Logger.Debug("A visitor of the pages has left", "remote", v.conn.RemoteAddr(), "error", err)
		return
	}
	for v.next() {
	}
}

// handshake is for TLS; plain connections have none.
func (v *visitor) handshake() error {
	conn, ok := v.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if !v.wait(readHeaderTimeout) {
		return errShutdown
	}
	conn.SetWriteDeadline(time.Now().Add(readHeaderTimeout))
	err := conn.Handshake()
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil && slices.Contains(plainStarts, string(plain.RecordHeader[:])) {
		plain.Conn.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"))
	}
	return err
}

// plainStarts are how plain HTTP looks to TLS, which reads five bytes.
var plainStarts = []string{"GET /", "HEAD "}

// next answers one request, and reports whether there may be another one.
func (v *visitor) next() bool {
	size, err := v.readHead()
	if err != nil {
		var mistake *badRequest
		if errors.As(err, &mistake) {
			v.refuse(mistake)
		}
		return false
	}
	r, mistake := parseRequest(v.input[:size])
	v.input = v.input[:copy(v.input, v.input[size:])]
	if mistake != nil {
		v.refuse(mistake)
		return false
	}
	v.asked++
	v.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	a := v.server.respond(v.address(), r)
	last := r.close || r.expect || v.asked == maxRequests || v.server.full() || v.server.stopping()
	err = v.write(a, r, last)
	if err == nil && last && (r.body || len(v.input) > 0) {
		v.linger()
	}
	return err == nil && !last
}

// address is where the visitor comes from; the zero value where the network has no addresses.
func (v *visitor) address() netip.Addr {
	tcp, _ := v.conn.RemoteAddr().(*net.TCPAddr)
	return tcp.AddrPort().Addr() // nil has one too
}

func (v *visitor) refuse(mistake *badRequest) {
	v.server.options.Logger.Debug("A request for a page was not understood", "remote", v.conn.RemoteAddr(), "error", mistake)
	v.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	a := refuse(mistake.code, mistake.Error())
	if v.write(a, &request{method: "GET", minor: 1}, true) == nil {
		v.linger()
	}
}

func (v *visitor) write(a *answer, r *request, last bool) error {
	if a.sent != nil {
		defer a.sent()
	}
	parts := net.Buffers{a.head(time.Now(), r.minor, last, r.minor == 0)}
	if r.method != "HEAD" && len(a.body) > 0 {
		parts = append(parts, a.body)
	}
	_, err := parts.WriteTo(v.conn)
	return err
}

// readHead reads until input begins with a whole head, and returns its size. The connection is busy
// from then on.
func (v *visitor) readHead() (size int, err error) {
	timeout := readHeaderTimeout
	if v.asked > 0 && len(v.input) == 0 {
		timeout = idleTimeout
	}
	if !v.wait(timeout) {
		return 0, errShutdown
	}
	scanned, blank := 0, true
	for {
		if blank && len(v.input) >= 2 {
			// One empty line in front is forgiven, RFC 9112 §2.2: old clients send it after a request.
			if string(v.input[:2]) == "\r\n" {
				v.input = v.input[:copy(v.input, v.input[2:])]
			}
			blank = false
		}
		if !blank {
			size, mistake := headEnd(v.input, scanned)
			if mistake != nil {
				return 0, mistake
			}
			if size > 0 {
				v.setBusy()
				return size, nil
			}
			scanned = len(v.input)
		}
		first := len(v.input) == 0
		if v.input, err = readMore(v.conn, v.input); err != nil {
			return 0, err
		}
		if first && timeout == idleTimeout && !v.wait(readHeaderTimeout) {
			return 0, errShutdown
		}
	}
}

// readMore appends what comes, in a slice that grows no further than a head may be long.
func readMore(conn net.Conn, input []byte) ([]byte, error) {
	if len(input) == cap(input) {
		input = slices.Grow(input, min(max(firstInput, len(input)), maxHeaderBytes-len(input)))
	}
	n, err := conn.Read(input[len(input):min(cap(input), maxHeaderBytes)])
	if n > 0 {
		err = nil // the next call tells
	}
	return input[:len(input)+n], err
}

// linger lets the answer arrive. Closing with input unread would have the system reset the connection,
// and the other side might throw away what it has not read yet.
func (v *visitor) linger() {
	half, ok := v.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || !v.wait(lingerTimeout) {
		return
	}
	for rest := make([]byte, firstInput); ; {
		if _, err := v.conn.Read(rest); err != nil {
			return
		}
	}
}

// wait begins a time in which the visitor has to do something. False: the server is closing.
func (v *visitor) wait(timeout time.Duration) bool {
	s := v.server
	s.mu.Lock()
	defer s.mu.Unlock()
	v.busy = false
	if v.begun {
		v.since = time.Now()
	}
	v.begun = true // the first wait began when it was welcomed, whenever its goroutine got to run
	if s.closing || v.leaving {
		return false
	}
	v.conn.SetReadDeadline(v.since.Add(timeout))
	return true
}

func (v *visitor) setBusy() {
	v.server.mu.Lock()
	v.busy = true
	v.server.mu.Unlock()
}

// accept gives each connection of ln a goroutine, until the server closes or ln is closed for good.
func (s *Server) accept(ctx context.Context, ln net.Listener) error {
	var pause time.Duration
	for {
		if !s.takePlace(ctx) {
			return nil
		}
		conn, err := ln.Accept()
		if err == nil && s.welcome(conn) {
			pause = 0
			continue
		}
		<-s.slots
		switch {
		case err == nil, ctx.Err() != nil, s.stopping():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		// No more file descriptors, say: those of others come free again.
		if pause == 0 {
			s.options.Logger.Warn("Pages accept no connections for now", "error", err)
		}
		pause = min(max(firstPause, 2*pause), maxPause)
		if !s.sleep(ctx, pause) {
			return nil
		}
	}
}

// full reports whether nobody else can come in. Who has its answer leaves then.
func (s *Server) full() bool { return len(s.slots) == cap(s.slots) }

// takePlace waits for a place for one more visitor. False: it is time to end.
func (s *Server) takePlace(ctx context.Context) bool {
	for {
		if s.full() {
			s.makeRoom()
		}
		again := time.NewTimer(leastPatience)
		select {
		case s.slots <- struct{}{}:
			again.Stop()
			return true
		case <-s.done:
			again.Stop()
			return false
		case <-ctx.Done():
			again.Stop()
			return false
		case <-again.C:
		}
	}
}

// makeRoom ends the visitor that has been waited for longest, or strangers who ask for nothing could
// keep out those who do.
func (s *Server) makeRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idlest *visitor
	now := time.Now()
	for v := range s.visitors {
		if v.leaving {
			return // its place is as good as free
		}
		if !v.busy && now.Sub(v.since) >= leastPatience && (idlest == nil || v.since.Before(idlest.since)) {
			idlest = v
		}
	}
	if idlest != nil {
		idlest.leaving = true
		idlest.conn.SetReadDeadline(longAgo)
	}
}

// sleep waits. False: it is time to end.
func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.done:
	}
	return false
}

// welcome starts a visitor's goroutine, which gives the place in slots back. Shutdown waits for it.
func (s *Server) welcome(conn net.Conn) bool {
	if s.options.TLS != nil {
		conn = tls.Server(conn, s.options.TLS)
	}
	v := &visitor{server: s, conn: conn, since: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		conn.Close()
		return false
	}
	s.visitors[v] = struct{}{}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		v.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.visitors, v)
		<-s.slots // never waits: the place is this one's
	}()
	return true
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// onlyHTTP1 has TLS agree on HTTP/1.1, whatever the configuration is for besides.
func onlyHTTP1(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			chosen = chosen.Clone()
			chosen.NextProtos = []string{"http/1.1"}
			return chosen, nil
		}
	}
	return c
}
