package auth

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func urlResolverOf(t *testing.T, at string, secure *tls.Config) *urlResolver {
	t.Helper()
	r := newURLResolver(&OperatorOptions{Resolver: ResolverOptions{URL: at, Timeout: 10 * time.Second}, ResolverTLS: secure})
	t.Cleanup(r.close)
	return r
}

// withUser is a URL with a user and a password in it.
func withUser(t *testing.T, at string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("me", "sesame:1")
	return u.String()
}

// accountServer answers as a real server does, in each way that a body can end.
func accountServer(w http.ResponseWriter, r *http.Request) {
	long := strings.Repeat("0123456789abcdef", maxAccountJWT/16)
	switch strings.TrimPrefix(r.URL.Path, "/jwt/") {
	case "short":
		fmt.Fprint(w, "a JWT")
	case "empty":
	case "chunked":
		for range 3 {
			fmt.Fprint(w, "part ")
			w.(http.Flusher).Flush()
		}
	case "close":
		conn, buffer, _ := w.(http.Hijacker).Hijack()
		buffer.WriteString("HTTP/1.0 200\nX: y\n\nuntil the end")
		buffer.Flush()
		conn.Close()
	case "hints":
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "a JWT")
	case "longest":
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		fmt.Fprint(w, long)
	case "longest-chunked":
		fmt.Fprint(w, long)
	case "longer":
		w.Header().Set("Content-Length", fmt.Sprint(len(long)+1))
		fmt.Fprint(w, long+"x")
	case "longer-chunked":
		fmt.Fprint(w, long+"x")
	case "gzip":
		w.Header().Set("Content-Encoding", "gzip")
		g := gzip.NewWriter(w)
		g.Write([]byte("a JWT"))
		g.Close()
	case "cut":
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "short")
	case "error":
		http.Error(w, "sesame", http.StatusBadGateway)
	case "private":
		if user, password, _ := r.BasicAuth(); user != "me" || password != "sesame:1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "private")
	case "relative":
		http.Redirect(w, r, "private", http.StatusFound)
	case "absolute":
		http.Redirect(w, r, "http://"+r.Host+"/jwt/private", http.StatusPermanentRedirect)
	case "circle":
		http.Redirect(w, r, "circle", http.StatusMovedPermanently)
	case "far":
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	default:
		http.NotFound(w, r)
	}
}

func TestURLResolverReadsWhatServersSend(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(accountServer))
	defer server.Close()
	r := urlResolverOf(t, withUser(t, server.URL+"/jwt"), nil)
	long := strings.Repeat("0123456789abcdef", maxAccountJWT/16)
	for account, want := range map[string]string{
		"short": "a JWT", "empty": "", "chunked": "part part part ", "close": "until the end", "hints": "a JWT", "longest": long,
		"longest-chunked": long, "private": "private", "relative": "private", "absolute": "private",
	} {
		if got, err := r.fetch(account); err != nil || got != want {
			t.Errorf("%s: %.50q %v", account, got, err)
		}
	}
	for account, want := range map[string]string{
		"longer": "longer than 1048576 bytes", "longer-chunked": "longer than 1048576 bytes", "gzip": `encoded as "gzip"`, "cut": "unexpected EOF",
		"error": `says "502 Bad Gateway"`, "circle": "more than 5 times", "nobody": errNoAccount.Error(),
		"far?to=ftp://x/": "not a URL", "far?to=http:///": "not a URL", "far?to=//h%2520h/": "not a URL", "far?to=/a?b%20c": "must be encoded",
	} {
		if got, err := r.fetch(account); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %.50q %v", account, got, err)
		}
	}
}

// A password goes to no other server, and nothing from https to http.
func TestURLResolverRedirectsKeepSecrets(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(accountServer))
	defer plain.Close()
	other := httptest.NewTLSServer(http.HandlerFunc(accountServer))
	defer other.Close()
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	r := urlResolverOf(t, withUser(t, plain.URL), &tls.Config{RootCAs: roots})
	if got, err := r.fetch("jwt/far?to=" + other.URL + "/jwt/private"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("%q %v", got, err)
	}
	if got, err := r.fetch("jwt/far?to=" + other.URL + "/jwt/short"); err != nil || got != "a JWT" {
		t.Errorf("%q %v", got, err)
	}
	r = urlResolverOf(t, other.URL, &tls.Config{RootCAs: roots})
	if got, err := r.fetch("jwt/far?to=" + plain.URL + "/jwt/short"); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("%q %v", got, err)
	}
}

func TestURLResolverChecksCertificates(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(accountServer))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate()) // of 127.0.0.1 and example.com
	for name, c := range map[string]struct {
		config *tls.Config
		right  bool
	}{
		"the system's authorities": {nil, false},
		"its own":                  {&tls.Config{RootCAs: roots}, true},
		"another name it has":      {&tls.Config{RootCAs: roots, ServerName: "example.com"}, true},
		"a name it has not":        {&tls.Config{RootCAs: roots, ServerName: "example.org"}, false},
	} {
		got, err := urlResolverOf(t, server.URL+"/jwt", c.config).fetch("chunked")
		if (err == nil) != c.right || c.right && got != "part part part " {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// answerWith is an account server that says the same to everybody, and then waits or closes.
func answerWith(t *testing.T, text string, wait bool) (at string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, text)
			}
			if wait {
				io.Copy(io.Discard, c)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
	})
	return "http://" + ln.Addr().String()
}

func TestURLResolverRefusesMalformedAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "unexpected EOF",
		"HTTP/1.1 200 OK\r\n":               "unexpected EOF",
		"SSH-2.0-x\r\n\r\n":                 "not HTTP/1.1",
		"HTTP/2.0 200 OK\r\n\r\n":           "not HTTP/1.1",
		"HTTP/1.1 2000 OK\r\n\r\n":          "not HTTP/1.1",
		"HTTP/1.1 099 OK\r\n\r\n":           "not HTTP/1.1",
		"HTTP/1.1 +20 OK\r\n\r\n":           "not HTTP/1.1",
		"HTTP/1.1 200 \x1b[2J\r\n\r\n":      "control characters",
		"HTTP/1.1 200 OK\r\n\"X: y\r\n\r\n": "malformed header",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n":                                                  "CR LF",
		"HTTP/1.1 200 OK\r\nX\r\n\r\n":                                                                                            "malformed header",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n":                                                                                   "malformed header",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":                                                                           "malformed length",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab":                                                     "malformed length",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nab":                                                        "longer than",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                     "in two ways",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                                                          "in two ways",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n":                                                    "only chunked",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n":                                                          "malformed chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n":                                                         "malformed chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n":                                              "malformed chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\na":                                                      "longer than",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\na":                                                    "malformed chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na":                                                             "unexpected EOF",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n":                                                        "unexpected EOF",
		"HTTP/1.1 200 " + strings.Repeat("x", maxAnswerLine) + "\r\n\r\n":                                                         "too long",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxAnswerLines) + "\r\n":                                               "too many",
		strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim) + "HTTP/1.1 200 OK\r\n\r\n":                                   "never comes",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                                                                                "another protocol",
		"HTTP/1.1 302 Found\r\n\r\n":                                                                                              "not a URL",
		"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxAccountJWT+1):                                                          "longer than",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\na\r\n", 600): "unexpected EOF",
	} {
		if got, err := urlResolverOf(t, answerWith(t, text, false), nil).fetch("A"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.90q: %.20q %v, want %q", text, got, err, want)
		}
	}
}

func TestURLResolverDoesNotWaitForEver(t *testing.T) {
	for _, text := range []string{"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"} {
		r := urlResolverOf(t, answerWith(t, text, true), nil)
		r.timeout = 20 * time.Millisecond
		if _, err := r.fetch("A"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", text, err)
		}
		r.timeout = time.Minute
		ended := make(chan error, 1)
		go func() {
			_, err := r.fetch("A")
			ended <- err
		}()
		r.close()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%q: after close: %v", text, err)
		}
	}
	// It does not wait for a server to close, either, if the answer says where it ends.
	for _, text := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;x=y\r\nab\r\n0\r\n"} {
		if got, err := urlResolverOf(t, answerWith(t, text, true), nil).fetch("A"); err != nil || got != "ab" {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
}

func TestURLRequestStaysOnItsLines(t *testing.T) {
	for text, want := range map[string]string{
		"http://h/a b/ü?q=ü": "", "http://h?x": "GET /?x HTTP/1.1\r\nHost: h\r\n", "http://ü/": "", "http://h/a%20b#f": "GET /a%20b HTTP/1.1\r\nHost: h\r\n",
		"http://[fe80::1%25eth0]:80/": "GET / HTTP/1.1\r\nHost: [fe80::1]:80\r\n", "http://h//x": "GET //x HTTP/1.1\r\nHost: h\r\n",
	} {
		at, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := urlRequest(at)
		if (err != nil) != (want == "") || !strings.HasPrefix(string(got), want) || bytes.Count(got, []byte("\r\n\r\n")) != min(1, len(want)) {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}

// What is accepted here, net/http understands in the same way.
func FuzzURLAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", "HTTP/1.0 200\n\nrest", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n3 \r\ncde\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readURLAnswer(bufio.NewReaderSize(bytes.NewReader(text), maxAnswerLine))
		if err != nil || a.code != 200 {
			return
		}
		r := bufio.NewReader(bytes.NewReader(text))
		for {
			theirs, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("net/http says: %v", err)
			}
			if theirs.StatusCode < 200 {
				continue
			}
			// The trailer, which we do not read, may be wrong.
			body, err := io.ReadAll(theirs.Body)
			if theirs.StatusCode != a.code || !bytes.Equal(body, a.body) || err != nil && !a.chunked {
				t.Fatalf("net/http: %d %q %v, here: %+v", theirs.StatusCode, body, err, a)
			}
			return
		}
	})
}
