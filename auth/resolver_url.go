package auth

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Asking an account server is one GET of HTTP/1.1, on a connection of its own. What package net/http
// would cost is in docs/adr/0009-no-net-http.md.

const (
	// maxRedirects bounds how often the account server may point elsewhere, within one timeout.
	maxRedirects = 5

	// maxAnswerLine and maxAnswerLines bound the header of an answer, maxInterim how many answers may
	// come before the one that counts.
	maxAnswerLine  = 4 << 10
	maxAnswerLines = 64
	maxInterim     = 5

	// maxAnswerBytes bounds all that is read for one GET; the framing of chunks is in it.
	maxAnswerBytes = 2 * maxAccountJWT
)

// A urlResolver asks an account server.
type urlResolver struct {
	base    string
	tls     *tls.Config // nil: with the system's authorities
	timeout time.Duration
	context context.Context // ends with close
	cancel  context.CancelFunc
}

func newURLResolver(o *OperatorOptions) *urlResolver {
	r := &urlResolver{base: strings.TrimSuffix(o.Resolver.URL, "/") + "/", tls: o.ResolverTLS, timeout: o.Resolver.Timeout}
	r.context, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *urlResolver) close() { r.cancel() }

// fetch asks. No error shows the URL, which may hold a password.
func (r *urlResolver) fetch(account string) (string, error) {
	ctx, cancel := context.WithTimeout(r.context, r.timeout)
	defer cancel()
	at, err := url.Parse(r.base + account)
	if err != nil {
		return "", errors.New("fetch: the resolver's URL is not valid")
	}
	for range maxRedirects + 1 {
		a, err := r.get(ctx, at)
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err() // says more than what it did to the connection
			}
			return "", fmt.Errorf("fetch from the account server: %w", err)
		}
		switch a.code {
		case 200:
			return string(a.body), nil
		case 404:
			return "", errNoAccount
		case 301, 302, 303, 307, 308:
			if at, err = a.elsewhere(at); err != nil {
				return "", fmt.Errorf("fetch: the account server %w", err)
			}
		default:
			return "", fmt.Errorf("fetch: the account server says %q", cut(a.status))
		}
	}
	return "", fmt.Errorf("fetch: the account server points elsewhere more than %d times", maxRedirects)
}

// isAway reports whether an account server did not answer at all: it is not there, or silent.
func isAway(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*net.OpError))
}

// inheritPatience is how long an account server is asked for what was loaded before a reload.
const inheritPatience = 5 * time.Second

// A hurriedResolver asks until it is late, or until nobody answers. One goroutine uses it.
type hurriedResolver struct {
	resolver
	until time.Time
	away  error // why nobody is asked any more
}

func (r *hurriedResolver) fetch(account string) (token string, err error) {
	if r.away == nil && time.Now().After(r.until) {
		r.away = errors.New("fetch: the account server takes too long")
	}
	if r.away != nil {
		return "", r.away
	}
	token, err = r.resolver.fetch(account)
	if isAway(err) {
		r.away = err
	}
	return token, err
}

// A urlAnswer is what an account server says.
type urlAnswer struct {
	code     int
	status   string // the code and the words behind it
	location string
	body     []byte // if code is 200

	// How the body ends.
	chunked bool
	length  int64 // -1: not said
}

// elsewhere is where a redirect leads, which must be no less private. A password is for the server it
// was given for.
func (a *urlAnswer) elsewhere(from *url.URL) (*url.URL, error) {
	to, err := from.Parse(a.location)
	switch {
	case err != nil || a.location == "" || to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return nil, errors.New("points to something that is not a URL")
	case from.Scheme == "https" && to.Scheme != "https":
		return nil, errors.New("points from https to http")
	case to.User == nil && to.Scheme == from.Scheme && to.Host == from.Host:
		to.User = from.User
	}
	return to, nil
}

// get asks once.
func (r *urlResolver) get(ctx context.Context, at *url.URL) (*urlAnswer, error) {
	request, err := urlRequest(at)
	if err != nil {
		return nil, err
	}
	conn, err := r.dial(ctx, at)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return readURLAnswer(bufio.NewReaderSize(io.LimitReader(conn, maxAnswerBytes), maxAnswerLine))
}

func (r *urlResolver) dial(ctx context.Context, at *url.URL) (net.Conn, error) {
	port := at.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[at.Scheme]
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(at.Hostname(), port))
	if err != nil || at.Scheme == "http" {
		return conn, err
	}
	config := &tls.Config{}
	if r.tls != nil {
		config = r.tls.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = at.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// urlRequest refuses what would not stay on its line: a redirect may have brought it.
func urlRequest(at *url.URL) ([]byte, error) {
	host := at.Host
	if from, to := strings.IndexByte(host, '%'), strings.IndexByte(host, ']'); from >= 0 && from < to {
		host = host[:from] + host[to:] // which of our interfaces leads there is no business of the server
	}
	for _, s := range []string{at.RequestURI(), host} {
		for i := range len(s) {
			if s[i] <= ' ' || s[i] >= 0x7f {
				return nil, errors.New("the URL has characters that must be encoded")
			}
		}
	}
	text := "GET " + at.RequestURI() + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: edgebus\r\nConnection: close\r\n"
	if at.User != nil {
		password, _ := at.User.Password()
		text += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(at.User.Username()+":"+password)) + "\r\n"
	}
	return []byte(text + "\r\n"), nil
}

// readURLAnswer reads all of an answer, but a body only if there is something to have.
func readURLAnswer(r *bufio.Reader) (*urlAnswer, error) {
	for range maxInterim {
		a, err := readURLHead(r)
		if err != nil {
			return nil, err
		}
		switch {
		case a.code == 101:
			return nil, errors.New("the answer is about another protocol")
		case a.code < 200:
			continue
		case a.code != 200:
			return a, nil
		case a.chunked:
			a.body, err = readChunks(r)
		case a.length >= 0:
			a.body, err = readLength(r, a.length)
		default:
			a.body, err = readRest(r)
		}
		return a, err
	}
	return nil, errors.New("the answer never comes to the point")
}

func readURLHead(r *bufio.Reader) (*urlAnswer, error) {
	line, err := readURLLine(r, false)
	if err != nil {
		return nil, err
	}
	a := &urlAnswer{length: -1}
	version, status, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(status, " ")
	a.status = status
	a.code, err = strconv.Atoi(code)
	if err != nil || len(code) != 3 || a.code < 100 || version != "HTTP/1.1" && version != "HTTP/1.0" {
		return nil, errors.New("the answer is not HTTP/1.1")
	}
	for range maxAnswerLines {
		line, err := readURLLine(r, false)
		if err != nil {
			return nil, err
		}
		if line == "" {
			if a.chunked && (a.length >= 0 || version == "HTTP/1.0") {
				return nil, errors.New("the answer ends in two ways") // RFC 9112 §6.3: somebody may be lying
			}
			return a, nil
		}
		if err := a.header(line); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the answer has too many headers")
}

func (a *urlAnswer) header(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isHeaderName(name) {
		return errors.New("the answer has a malformed header")
	}
	value = strings.Trim(value, " \t")
	switch strings.ToLower(name) {
	case "location":
		a.location = value
	case "content-encoding":
		if !strings.EqualFold(value, "identity") {
			return fmt.Errorf("the answer is encoded as %q, which was not asked for", cut(value))
		}
	case "transfer-encoding":
		if a.chunked || !strings.EqualFold(value, "chunked") {
			return fmt.Errorf("the answer is transferred as %q: only chunked is known", cut(value))
		}
		a.chunked = true
	case "content-length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || a.length >= 0 && a.length != int64(n) {
			return errors.New("the answer has a malformed length")
		}
		a.length = int64(n)
	}
	return nil
}

// isHeaderName: RFC 9110 §5.6.2.
func isHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || 'z' < c|0x20) && (c < '0' || '9' < c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// readURLLine reads a line without its end. A single LF is one as well (RFC 9112 §2.2), but not in
// strict places.
func readURLLine(r *bufio.Reader, strict bool) (string, error) {
	text, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", errors.New("the answer has a line that is too long")
	case errors.Is(err, io.EOF):
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	line, whole := strings.CutSuffix(string(text[:len(text)-1]), "\r")
	if strict && !whole {
		return "", errors.New("the answer has a line that does not end with CR LF")
	}
	for i := range len(line) {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return "", errors.New("the answer has control characters in its header")
		}
	}
	return line, nil
}

// errTooLong: an account JWT is never so long.
var errTooLong = fmt.Errorf("the answer is longer than %d bytes", maxAccountJWT)

func readLength(r io.Reader, length int64) ([]byte, error) {
	if length > maxAccountJWT {
		return nil, errTooLong
	}
	// Not ReadFull: memory is for what has come, not for what is promised.
	body, err := io.ReadAll(io.LimitReader(r, length))
	if err == nil && int64(len(body)) < length {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

// readRest reads until the other side closes.
func readRest(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxAccountJWT+1))
	if err == nil && len(body) > maxAccountJWT {
		err = errTooLong
	}
	return body, err
}

// readChunks: RFC 9112 §7.1. The trailer, of which we need nothing, is left where it is.
func readChunks(r *bufio.Reader) (body []byte, err error) {
	for {
		line, err := readURLLine(r, true)
		if err != nil {
			return nil, err
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseUint(strings.Trim(digits, " \t"), 16, 32)
		switch {
		case err != nil:
			return nil, errors.New("the answer has a malformed chunk")
		case size == 0:
			return body, nil
		case size > uint64(maxAccountJWT-len(body)):
			return nil, errTooLong
		}
		chunk, err := readLength(r, int64(size))
		if err != nil {
			return nil, err
		}
		body = append(body, chunk...)
		if line, err = readURLLine(r, true); err != nil {
			return nil, err
		}
		if line != "" {
			return nil, errors.New("the answer has a malformed chunk")
		}
	}
}
