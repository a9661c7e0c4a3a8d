package monitor

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
)

// A request is the head of one HTTP/1 request. There is no more to it: pages are asked for with GET and
// HEAD, and nobody reads a body here.
type request struct {
	method string
	target *url.URL // nil where the method has no page anyway
	minor  int      // of HTTP/1.x

	authorization string // the header, as it came
	close         bool   // no other request will be read
	body          bool   // something follows that is no request
	expect        bool   // wants to be told whether to go on with something we do not know

	// What must not differ between two headers of the same name, nor with one another.
	hosts         int
	authorized    int
	length        string
	transferCoded string
	keepAlive     bool
}

// A badRequest is a stranger's mistake. No other request is read after it: who cannot be understood
// once may mean anything by the next byte.
type badRequest struct {
	code int
	text string // "" if the code says it all
}

func (b *badRequest) Error() string {
	text := strconv.Itoa(b.code) + " " + statusText[b.code]
	if b.text != "" {
		text += ": " + b.text
	}
	return text
}

func bad(text string) *badRequest { return &badRequest{statusBadRequest, text} }

// headEnd finds the empty line that ends a head, in text of which scanned bytes have been looked at. It
// returns how much belongs to the head, or 0 if that is not known yet. A mistake is told as soon as it
// can be seen, so that nobody waits for the rest of it.
//
// A line ends with CR LF. RFC 9112 §2.2 allows a server to take a single LF as well; a proxy that does
// not would see other requests than we do.
func headEnd(text []byte, scanned int) (int, *badRequest) {
	start := bytes.LastIndexByte(text[:scanned], '\n') + 1
	for {
		end := bytes.IndexByte(text[start:], '\n')
		switch {
		case end < 0 && len(text)-start > maxLineBytes, end > maxLineBytes:
			if start == 0 {
				return 0, &badRequest{code: statusURITooLong}
			}
			return 0, &badRequest{code: statusHeaderTooLarge}
		case end < 0 && len(text) >= maxHeaderBytes:
			return 0, &badRequest{code: statusHeaderTooLarge}
		case end < 0:
			return 0, nil
		case end == 0 || text[start+end-1] != '\r':
			return 0, bad("a line does not end with CR LF")
		case start+end+1 > maxHeaderBytes:
			return 0, &badRequest{code: statusHeaderTooLarge}
		case end == 1 && start > 0:
			return start + 2, nil
		case end == 1:
			return 0, bad("")
		}
		start += end + 1
	}
}

// parseRequest reads a whole head, as long as headEnd said. The request borrows nothing of it.
func parseRequest(head []byte) (*request, *badRequest) {
	first, rest, _ := strings.Cut(string(head), "\r\n")
	r, err := parseRequestLine(first)
	if err != nil {
		return nil, err
	}
	for count := 0; ; count++ {
		line, after, _ := strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		if count == maxHeaderLines {
			return nil, &badRequest{code: statusHeaderTooLarge}
		}
		if err := r.header(line); err != nil {
			return nil, err
		}
		rest = after
	}
	return r, r.frame()
}

// parseRequestLine reads "GET /varz?x=y HTTP/1.1".
func parseRequestLine(line string) (*request, *badRequest) {
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || !isToken(method) || !isVisible(target) {
		return nil, bad("malformed request line")
	}
	number, ok := strings.CutPrefix(version, "HTTP/")
	if !ok || len(number) != 3 || !isDigit(number[0]) || number[1] != '.' || !isDigit(number[2]) {
		return nil, bad("malformed HTTP version")
	}
	if number[0] != '1' {
		return nil, &badRequest{statusVersionNotSupported, "unsupported protocol version"}
	}
	r := &request{method: method, minor: min(1, int(number[2]-'0'))}
	if !r.pageMethod() {
		return r, nil // CONNECT and OPTIONS have targets of their own
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || target[0] != '/' && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return nil, bad("malformed request target") // err would repeat what may be a password
	}
	if u.Path == "" {
		u.Path = "/" // of "http://host"
	}
	r.target = u
	return r, nil
}

func (r *request) pageMethod() bool { return r.method == "GET" || r.method == "HEAD" }

// header reads one line. What is not known is passed over, but it must look like a header.
func (r *request) header(line string) *badRequest {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return bad("invalid header name") // as a line that goes on the one before, RFC 9112 §5.2
	}
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if value[i] < ' ' && value[i] != '\t' || value[i] == 0x7f {
			return bad("invalid header value")
		}
	}
	switch strings.ToLower(name) {
	case "host":
		if r.hosts++; r.hosts > 1 {
			return bad("too many Host headers")
		}
		if !isHost(value) {
			return bad("malformed Host header")
		}
	case "connection":
		for option := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.Trim(option, " \t")) {
			case "close":
				r.close = true
			case "keep-alive":
				r.keepAlive = true
			}
		}
	case "content-length":
		for i := range len(value) {
			if !isDigit(value[i]) {
				return bad("malformed Content-Length")
			}
		}
		if value == "" || r.length != "" && r.length != value {
			return bad("malformed Content-Length")
		}
		r.length = value
	case "transfer-encoding":
		if r.transferCoded != "" || !strings.EqualFold(value, "chunked") {
			return &badRequest{statusNotImplemented, "unsupported transfer encoding"}
		}
		r.transferCoded = value
	case "expect":
		r.expect = r.expect || !strings.EqualFold(value, "100-continue")
	case "authorization":
		if r.authorized++; r.authorized > 1 {
			return bad("too many Authorization headers")
		}
		r.authorization = value
	}
	return nil
}

// frame says where the request ends, which nobody may see otherwise than we do (RFC 9112 §6, §11.2).
func (r *request) frame() *badRequest {
	switch {
	case r.minor > 0 && r.hosts == 0:
		return bad("missing required Host header")
	case r.transferCoded != "" && (r.length != "" || r.minor == 0):
		return bad("Transfer-Encoding has no place here")
	}
	r.body = r.transferCoded != "" || strings.Trim(r.length, "0") != ""
	r.close = r.close || r.body || r.minor == 0 && !r.keepAlive
	return nil
}

// basic reads the user and the password of basic authentication (RFC 7617).
func (r *request) basic() (user, password string) {
	scheme, encoded, _ := strings.Cut(r.authorization, " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", ""
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", ""
	}
	user, password, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", ""
	}
	return user, password
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isToken: RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isVisible lets bytes above ASCII pass: some tools do not encode what their users type.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// isHost: RFC 3986 §3.2.2, with a port. It may be empty.
func isHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && strings.IndexByte("!$%&'()*+,-.:;=[]_~", c) < 0 {
			return false
		}
	}
	return true
}
