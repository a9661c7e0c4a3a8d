package monitor

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// get asks as the client of net/http does, which knows how HTTP is spoken.
func get(t *testing.T, s *Server, path string, edits ...func(*http.Request)) (code int, body string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+serve(t, s)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range edits {
		edit(r)
	}
	return do(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r)
}

func do(t *testing.T, client *http.Client, r *http.Request) (code int, body string, header http.Header) {
	t.Helper()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = 10 * time.Second
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

// serve listens until the test ends.
func serve(t *testing.T, s *Server) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		shutdown(t, s)
		if n := len(s.slots); n != 0 {
			t.Errorf("%d places are still taken", n)
		}
	})
	return ln.Addr().String()
}

func shutdown(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func fake(o Options) *Server {
	var asked any
	return New(o, fakePages(&asked))
}

// dial is a client that can say what it likes.
func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads one answer as net/http understands it.
func hear(t *testing.T, r *bufio.Reader, method string) (answer *http.Response, body string) {
	t.Helper()
	answer, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// Byte for byte what nats-server 2.15.2 sends, but for the date.
func TestAnswersLookAsThoseOfNatsServer(t *testing.T) {
	address := serve(t, fake(Options{}))
	const header = "Access-Control-Allow-Origin: *\r\nContent-Type: application/json\r\nDate: Fri, 02 Jan 2026 12:00:00 GMT\r\nContent-Length: 15\r\n"
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":  "HTTP/1.1 200 OK\r\n" + header + "Connection: close\r\n\r\n{\"status\":\"ok\"}",
		"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": "HTTP/1.1 200 OK\r\n" + header + "Connection: close\r\n\r\n",
		"GET http://x/health%7a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": "HTTP/1.1 200 OK\r\n" + header +
			"Connection: close\r\n\r\n{\"status\":\"ok\"}",
	} {
		c := dial(t, address)
		say(t, c, request)
		text, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		from := bytes.Index(text, []byte("Date: ")) + len("Date: ")
		date := string(text[from : from+len(timeFormat)])
		if at, err := time.Parse(http.TimeFormat, date); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%q is dated %q: %v", request, date, err)
		}
		if got := strings.Replace(string(text), date, noon.Format(timeFormat), 1); got != want {
			t.Errorf("%q:\n got %q\nwant %q", request, got, want)
		}
	}
}

func TestPathsAreRedirectedToWhatTheyMean(t *testing.T) {
	c := dial(t, serve(t, fake(Options{})))
	r := bufio.NewReader(c)
	for path, want := range map[string]string{
		"//healthz": "/healthz", "/a/../healthz?x=1": "/healthz?x=1", "/varz/../": "/", "/varz/./x//": "/varz/x/", "http://a": "",
		"//evil.example/%2e%2e/x": "/evil.example/%2e%2e/x", `//\evil.example`: "/%5Cevil.example", `//x?"><script>`: `/x?"><script>`,
	} {
		say(t, c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		answer, body := hear(t, r, "GET")
		code := http.StatusTemporaryRedirect
		if want == "" {
			code = http.StatusOK
		}
		if answer.StatusCode != code || answer.Header.Get("Location") != want || strings.Contains(body, "<script") {
			t.Errorf("%s: %d to %q, want %q; %q", path, answer.StatusCode, answer.Header.Get("Location"), want, body)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := fake(Options{})
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"} {
		code, _, header := get(t, s, "/varz", func(r *http.Request) { r.Method = method })
		if code != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, allowed %q", method, code, header.Get("Allow"))
		}
	}
	if n := s.Requests()["/varz"]; n != 0 {
		t.Errorf("%d were counted", n)
	}
}

func TestConnectionIsKept(t *testing.T) {
	s := fake(Options{})
	address := serve(t, s)
	var dialed atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
		dialed.Add(1)
		return new(net.Dialer).DialContext(ctx, network, at)
	}}
	defer transport.CloseIdleConnections()
	for range 5 {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, _ := http.NewRequest(method, "http://"+address+"/varz", nil)
			if code, _, _ := do(t, &http.Client{Transport: transport}, r); code != http.StatusOK {
				t.Fatal(code)
			}
		}
	}
	if n := dialed.Load(); n != 1 {
		t.Errorf("dialed %d times", n)
	}
}

// Whatever pieces it comes in, and however many at a time.
func TestPipelinedRequestsAreAnsweredInTurn(t *testing.T) {
	address := serve(t, fake(Options{}))
	const text = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n\r\nHEAD /varz HTTP/1.1\r\nHost: a\r\n\r\nGET /nope HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" +
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /raftz HTTP/1.0\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, step := range []int{1, 7, len(text)} {
		c := dial(t, address)
		go func() {
			for rest := text; rest != ""; {
				n := min(step, len(rest))
				io.WriteString(c, rest[:n])
				rest = rest[n:]
			}
		}()
		r := bufio.NewReader(c)
		for i, want := range []struct {
			method, kept string
			code         int
			close        bool
		}{{"GET", "", 200, false}, {"HEAD", "", 200, false}, {"GET", "keep-alive", 404, false}, {"POST", "", 405, false}, {"GET", "close", 404, true}} {
			answer, _ := hear(t, r, want.method)
			if answer.StatusCode != want.code || answer.Close != want.close || !want.close && answer.Header.Get("Connection") != want.kept {
				t.Errorf("cut every %d, %d: %d, close %v, %q", step, i, answer.StatusCode, answer.Close, answer.Header.Get("Connection"))
			}
		}
		if rest, _ := io.ReadAll(r); len(rest) != 0 {
			t.Errorf("cut every %d: then %q", step, rest)
		}
	}
}

// The one request after which the connection is closed is answered.
func TestRequestsOfAConnectionAreBounded(t *testing.T) {
	address := serve(t, fake(Options{}))
	c := dial(t, address)
	go io.WriteString(c, strings.Repeat("GET /raftz HTTP/1.1\r\nHost: a\r\n\r\n", maxRequests+1))
	r := bufio.NewReader(c)
	for i := range maxRequests {
		if answer, _ := hear(t, r, "GET"); answer.Close != (i == maxRequests-1) {
			t.Fatalf("request %d: close %v", i, answer.Close)
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last one: %v", err)
	}
}

// What cannot be understood is answered once, whatever follows.
func TestRequestsThatAreNotClearCloseTheConnection(t *testing.T) {
	address := serve(t, fake(Options{}))
	const next = "GET /varz HTTP/1.1\r\nHost: a\r\n\r\n"
	for request, code := range map[string]int{
		"GET /varz HTTP/1.1\r\n\r\n":                                                                                  400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n":                                                            400,
		"GET /varz HTTP/1.1\r\nHost: a b\r\n\r\n":                                                                     400,
		"GET /varz HTTP/1.1\nHost: a\n\n":                                                                             400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX: y\n\r\n":                                                                 400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX: y\rz: a\r\n\r\n":                                                         400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n":                                                              400,
		"GET /varz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n":                                                            400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n":                                                                  400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n":                                                            400,
		"GET  /varz HTTP/1.1\r\nHost: a\r\n\r\n":                                                                      400,
		"GET /varz HTTP/1.1 \r\nHost: a\r\n\r\n":                                                                      400,
		"GET /varz\r\n\r\n":                                                                                           400,
		"GET varz HTTP/1.1\r\nHost: a\r\n\r\n":                                                                        400,
		"GET * HTTP/1.1\r\nHost: a\r\n\r\n":                                                                           400,
		"GET ftp://a/varz HTTP/1.1\r\nHost: a\r\n\r\n":                                                                400,
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n":                                                                        400,
		"GET /varz HTTP/2.0\r\nHost: a\r\n\r\n":                                                                       505,
		"GET /varz HTTP/1.1x\r\nHost: a\r\n\r\n":                                                                      400,
		"\r\n\r\nGET /varz HTTP/1.1\r\nHost: a\r\n\r\n":                                                               400,
		"\x16\x03\x01\x00\xff\x01\x00\r\n\r\n":                                                                        400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n":                                                 400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" + next:                     400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 35\r\n\r\n" + next:                                       400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next:   400,
		"GET /varz HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next:          400,
		"GET /varz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + next:                                 501,
		"GET /varz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":  501,
		"GET /varz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next:                         200,
		"GET /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + next:                                          200,
		"POST /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + next:                                         405,
		"GET /varz HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n" + next:                                                417,
		"GET /varz HTTP/1.1\r\nHost: a\r\nAuthorization: Basic a\r\nauthorization: Basic b\r\n\r\n":                   400,
		"GET /" + strings.Repeat("x", maxLineBytes) + " HTTP/1.1\r\nHost: a\r\n\r\n":                                  414,
		"GET /varz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxLineBytes):                                    431,
		"GET /varz HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", maxHeaderLines) + "\r\n":                     431,
		"GET /varz HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 9):               431,
		"GET /varz HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 7) + "\r\n" + "": 200,
	} {
		c := dial(t, address)
		say(t, c, request)
		r := bufio.NewReader(c)
		answer, body := hear(t, r, "GET")
		if answer.StatusCode != code {
			t.Errorf("%.90q: %d %q, want %d", request, answer.StatusCode, body, code)
		}
		if answer.Close {
			if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
				t.Errorf("%.90q: then %q, %v", request, rest, err)
			}
		} else if code != 200 {
			t.Errorf("%.90q: the connection is kept", request)
		}
	}
}

func TestBasicAuthenticationIsRead(t *testing.T) {
	for header, want := range map[string][2]string{
		"Basic dTpw": {"u", "p"}, "bAsIc dTpwOnE=": {"u", "p:q"}, "Basic Og==": {}, "Basic dQ==": {}, "Basic !": {}, "Bearer dTpw": {}, "": {}, "Basic": {},
	} {
		if user, password := (&request{authorization: header}).basic(); [2]string{user, password} != want {
			t.Errorf("%q: %q %q", header, user, password)
		}
	}
}

func TestServesAndEnds(t *testing.T) {
	s := fake(Options{})
	address := serve(t, s)
	r, err := http.Get("http://" + address + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r.Body); err != nil || !strings.Contains(string(text), `"server_id": "N"`) {
		t.Errorf("%q %v", text, err)
	}
	r.Body.Close()
	idle := dial(t, address)
	say(t, idle, "GET /raftz HTTP/1.1\r\nHost: a\r\n\r\n")
	hear(t, bufio.NewReader(idle), "GET")
	half := dial(t, address)
	say(t, half, "GET /raftz HTTP/1.1\r\nHo")
	before := time.Now()
	shutdown(t, s)
	if took := time.Since(before); took > readHeaderTimeout/2 {
		t.Errorf("idle connections kept it for %v", took)
	}
	for _, c := range []net.Conn{idle, half} {
		if text, err := io.ReadAll(c); len(text) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q %v", text, err)
		}
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it still listens")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); err != nil {
		t.Errorf("after Shutdown: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its listener: %v", err)
	}
}

// slowPages answer /varz when they are told to.
func slowPages() (s *Server, made chan struct{}, finish chan struct{}) {
	var asked any
	pages := fakePages(&asked)
	made, finish = make(chan struct{}, 10), make(chan struct{})
	pages.Varz = func() *Varz {
		made <- struct{}{}
		<-finish
		return &Varz{}
	}
	return New(Options{}, pages), made, finish
}

func TestPagesUnderWayFinishBeforeTheEnd(t *testing.T) {
	s, made, finish := slowPages()
	c := dial(t, serve(t, s))
	say(t, c, "GET /varz HTTP/1.1\r\nHost: a\r\n\r\nGET /varz HTTP/1.1\r\nHost: a\r\n\r\n")
	<-made
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		shutdown(t, s)
	}()
	<-s.done
	close(finish)
	r := bufio.NewReader(c)
	if answer, _ := hear(t, r, "GET"); answer.StatusCode != http.StatusOK || !answer.Close {
		t.Errorf("%d, close %v", answer.StatusCode, answer.Close)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("then: %v", err)
	}
	<-ended
}

func TestPagesThatDoNotFinishAreCutOff(t *testing.T) {
	s, made, finish := slowPages()
	c := dial(t, serve(t, s))
	say(t, c, "GET /varz HTTP/1.1\r\nHost: a\r\n\r\n")
	<-made
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(finish)
}

func TestPageWithAMistakeCostsItsConnection(t *testing.T) {
	var asked any
	pages := fakePages(&asked)
	pages.Varz = func() *Varz { panic("a mistake") }
	s := New(Options{}, pages)
	address := serve(t, s)
	for range 2 * maxWorking {
		c := dial(t, address)
		say(t, c, "GET /varz HTTP/1.1\r\nHost: a\r\n\r\n")
		if text, err := io.ReadAll(c); len(text) != 0 || err != nil {
			t.Errorf("%q %v", text, err)
		}
	}
	if code, _, _ := get(t, s, "/healthz"); code != http.StatusOK {
		t.Error(code)
	}
}

// Strangers do not take more connections than there are places.
func TestConnectionsAreBounded(t *testing.T) {
	s, made, finish := slowPages()
	s.slots = make(chan struct{}, 1)
	address := serve(t, s)
	const request = "GET /varz HTTP/1.1\r\nHost: a\r\n\r\n"
	first, second := dial(t, address), dial(t, address)
	say(t, first, request)
	<-made
	say(t, second, request)
	second.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := second.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a second one was answered: %v", err)
	}
	second.SetReadDeadline(time.Now().Add(10 * time.Second))
	close(finish)
	hear(t, bufio.NewReader(first), "GET")
	<-made
	hear(t, bufio.NewReader(second), "GET")
}

// settle waits until so many visitors are in and the next one's place is taken, so that s is full or not
// for good.
func settle(s *Server, visitors int) {
	for in := -1; in != visitors; runtime.Gosched() {
		s.mu.Lock()
		if in = len(s.visitors); len(s.slots) != in+1 {
			in = -1
		}
		s.mu.Unlock()
	}
}

// Nor do those who ask for nothing keep out those who do: the one that has been silent longest goes.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	s := fake(Options{})
	s.slots = make(chan struct{}, 4) // one of them for whoever comes next
	address := serve(t, s)
	const request = "GET /raftz HTTP/1.1\r\nHost: a\r\n\r\n"
	oldest, kept := dial(t, address), dial(t, address)
	say(t, kept, request)
	r := bufio.NewReader(kept)
	if answer, _ := hear(t, r, "GET"); answer.Close {
		t.Fatal("it is not kept")
	}
	for range 2 {
		c := dial(t, address)
		settle(s, 3)
		say(t, c, request)
		if answer, _ := hear(t, bufio.NewReader(c), "GET"); !answer.Close {
			t.Error("the last place is kept by one that has its answer")
		}
		c.Close()
		settle(s, 2)
	}
	for range 2 {
		dial(t, address) // silent as well
	}
	oldest.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := oldest.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d %v", n, err)
	}
	say(t, kept, request)
	hear(t, r, "GET")
}

// A listener that fails for a while, as without file descriptors, is asked again.
type failingListener struct {
	net.Listener
	left int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestListenerThatFailsIsAskedAgain(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fake(Options{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(t.Context(), &failingListener{inner, 3}) }()
	c := dial(t, inner.Addr().String())
	say(t, c, "GET /raftz HTTP/1.1\r\nHost: a\r\n\r\n")
	hear(t, bufio.NewReader(c), "GET")
	inner.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), inner.Addr().String()) {
		t.Errorf("a listener that was closed by others: %v", err)
	}
	shutdown(t, s)
}

func selfSigned(t *testing.T) (own tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestTLSAgreesOnHTTP1(t *testing.T) {
	certificate, roots := selfSigned(t)
	inner := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}
	s := fake(Options{TLS: &tls.Config{
		NextProtos:         []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil },
	}})
	address := serve(t, s)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("https://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || r.ProtoMajor != 1 || r.TLS.NegotiatedProtocol != "http/1.1" || string(body) != `{"status":"ok"}` {
		t.Errorf("%s, %q, %q, %v", r.Proto, r.TLS.NegotiatedProtocol, body, err)
	}
	c := dial(t, address)
	say(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if text, _ := io.ReadAll(c); !strings.HasPrefix(string(text), "HTTP/1.0 400 ") {
		t.Errorf("plain HTTP is answered with %q", text)
	}
	silent := dial(t, address) // Shutdown does not wait for its handshake
	say(t, silent, "\x16")
}

// What is accepted here, net/http understands in the same way. It is no matter which mistakes it lets
// pass, only that nobody in front of us could see other requests than we do.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /varz?a=b%20c HTTP/1.1\r\nHost: a:80\r\n\r\n", "HEAD http://u:p@h/x HTTP/1.0\r\nConnection: keep-alive, x\r\nAuthorization: Basic dTpw\r\n\r\nrest",
		"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\nContent-Length: 007\r\n\r\n", "GET //a/%2f HTTP/1.1\r\nhost:\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /\xff?\xfe HTTP/1.9\r\nHost: [::1]\r\nExpect: 100-continue\r\nX:\ty \r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		text = text[:min(len(text), maxHeaderBytes)]
		size, mistake := headEnd(text, 0)
		cutSize, cutMistake, scanned := 0, (*badRequest)(nil), 0
		for cutSize == 0 && cutMistake == nil && scanned < len(text) {
			seen := text[:min(len(text), scanned+int(step)+1)]
			cutSize, cutMistake = headEnd(seen, scanned)
			scanned = len(seen)
		}
		if size != cutSize || fmt.Sprint(mistake) != fmt.Sprint(cutMistake) {
			t.Fatalf("whole: %d %v, cut every %d bytes: %d %v", size, mistake, int(step)+1, cutSize, cutMistake)
		}
		if mistake != nil || size == 0 {
			return
		}
		r, mistake := parseRequest(text[:size])
		if mistake != nil {
			if statusText[mistake.code] == "" {
				t.Fatalf("no words for %d", mistake.code)
			}
			return
		}
		if r.pageMethod() {
			compareWithNetHTTP(t, r, text[:size])
		}
	})
}

func compareWithNetHTTP(t *testing.T, r *request, head []byte) {
	rest := bufio.NewReader(bytes.NewReader(head))
	theirs, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatalf("net/http says: %v", err)
	}
	if rest.Buffered() != 0 {
		t.Fatalf("net/http leaves %d bytes", rest.Buffered())
	}
	body := theirs.ContentLength != 0 || theirs.TransferEncoding != nil
	if theirs.Method != r.method || body != r.body || theirs.Close && !r.close {
		t.Fatalf("net/http: %s, body %v, close %v; here: %+v", theirs.Method, body, theirs.Close, r)
	}
	if path := theirs.URL.Path; path != r.target.Path && (path != "" || r.target.Path != "/") || theirs.URL.RawQuery != r.target.RawQuery {
		t.Fatalf("net/http: %q, here %q", theirs.URL, r.target)
	}
	if user, password, ok := theirs.BasicAuth(); ok {
		if ourUser, ourPassword := r.basic(); ourUser != user || ourPassword != password {
			t.Fatalf("net/http: %q %q, here %q %q", user, password, ourUser, ourPassword)
		}
	}
	at := cleanPath(r.target.EscapedPath())
	if at != cleanPath(at) || strings.HasPrefix(at, "//") || strings.ContainsAny(at, "\\\r\n ") {
		t.Fatalf("%q is cleaned to %q", r.target.EscapedPath(), at)
	}
}
