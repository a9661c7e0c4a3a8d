package server

import (
	"unicode/utf16"
	"unicode/utf8"
)

// A connectRequest is what one CONNECT says. Fields that it does not name, or names with null,
// keep what they held: a second CONNECT of a connection amends the first. Text is kept as bytes
// that point into the line, or into scratch where it had to be decoded; it lives as long as both.
type connectRequest struct {
	verbose, pedantic, echo, headers, noResponders bool

	newAccount bool
	protocol   int64

	user, password, token           []byte
	nkey, signature, jwt            []byte
	name, lang, version, account    []byte
	hasUser, hasPassword, hasSecret bool // credentials of some kind were given

	scratch []byte
}

// maxNesting bounds how deep values of unknown keys may be nested in each other.
const maxNesting = 64

// jsonReader reads the JSON of a CONNECT. encoding/json would allocate a dozen times for each
// connection that arrives, and a gateway that restarts sees all of its devices at once. It accepts
// what encoding/json accepts into the reference server's struct, and a test holds it to that.
type jsonReader struct {
	in  []byte
	at  int
	bad bool
}

// parse reads in; false means that it is not JSON or that a known key has the wrong type.
func (c *connectRequest) parse(in []byte) bool {
	r := jsonReader{in: in}
	c.scratch = c.scratch[:0]
	r.blanks()
	if r.literal("null") {
		r.blanks()
		return r.at == len(in)
	}
	if !r.take('{') {
		return false
	}
	r.blanks()
	for first := true; !r.take('}'); first = false {
		if !first {
			if !r.take(',') {
				return false
			}
			r.blanks()
		}
		key := r.text(&c.scratch)
		r.blanks()
		if !r.take(':') {
			return false
		}
		r.blanks()
		c.field(&r, key)
		r.blanks()
		if r.bad {
			return false
		}
	}
	r.blanks()
	return r.at == len(in)
}

// field reads the value of one key. Keys are matched without regard to case, as encoding/json does.
func (c *connectRequest) field(r *jsonReader, key []byte) {
	var folded [len("remote_account")]byte
	name := folded[:0]
	if len(key) <= len(folded) {
		for _, b := range key {
			if 'A' <= b && b <= 'Z' {
				b |= 0x20
			}
			name = append(name, b)
		}
	}
	switch string(name) {
	case "verbose":
		r.boolean(&c.verbose)
	case "pedantic":
		r.boolean(&c.pedantic)
	case "echo":
		r.boolean(&c.echo)
	case "headers":
		r.boolean(&c.headers)
	case "no_responders":
		r.boolean(&c.noResponders)
	case "new_account":
		r.boolean(&c.newAccount)
	case "tls_required":
		var ignored bool
		r.boolean(&ignored)
	case "protocol":
		r.integer(&c.protocol)
	case "user":
		c.hasUser = r.textOrNull(&c.user, &c.scratch) || c.hasUser
	case "pass":
		c.hasPassword = r.textOrNull(&c.password, &c.scratch) || c.hasPassword
	case "auth_token":
		c.hasSecret = r.textOrNull(&c.token, &c.scratch) || c.hasSecret
	case "nkey":
		c.hasSecret = r.textOrNull(&c.nkey, &c.scratch) || c.hasSecret
	case "sig":
		r.textOrNull(&c.signature, &c.scratch)
	case "jwt":
		c.hasSecret = r.textOrNull(&c.jwt, &c.scratch) || c.hasSecret
	case "name":
		r.textOrNull(&c.name, &c.scratch)
	case "lang":
		r.textOrNull(&c.lang, &c.scratch)
	case "version":
		r.textOrNull(&c.version, &c.scratch)
	case "account":
		r.textOrNull(&c.account, &c.scratch)
	case "remote_account", "proxy_sig":
		var ignored []byte
		r.textOrNull(&ignored, &c.scratch)
	case "import", "export":
		// Between servers only. A client has no business here, but the type must be right.
		if r.at < len(r.in) && r.in[r.at] != '{' && r.in[r.at] != 'n' {
			r.bad = true
		}
		r.skip(0)
	default:
		r.skip(0)
	}
}

func (r *jsonReader) blanks() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// take consumes b if it comes next, and reports whether it did.
func (r *jsonReader) take(b byte) bool {
	if r.at < len(r.in) && r.in[r.at] == b {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) literal(word string) bool {
	if len(r.in)-r.at >= len(word) && string(r.in[r.at:r.at+len(word)]) == word {
		r.at += len(word)
		return true
	}
	return false
}

func (r *jsonReader) boolean(into *bool) {
	switch {
	case r.literal("true"):
		*into = true
	case r.literal("false"):
		*into = false
	case r.literal("null"):
	default:
		r.bad = true
	}
}

// integer refuses fractions, exponents and what does not fit.
func (r *jsonReader) integer(into *int64) {
	if r.literal("null") {
		return
	}
	from := r.at
	if r.number(); r.bad {
		return
	}
	digits := r.in[from:r.at]
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	const maxDigits = 18 // always fits; the protocol number has one
	if len(digits) > maxDigits {
		r.bad = true
		return
	}
	n := int64(0)
	for _, d := range digits {
		if d < '0' || d > '9' {
			r.bad = true
			return
		}
		n = n*10 + int64(d-'0')
	}
	if negative {
		n = -n
	}
	*into = n
}

// number steps over one number of JSON's grammar.
func (r *jsonReader) number() {
	r.take('-')
	switch {
	case r.take('0'):
	case r.digits() == 0:
		r.bad = true
		return
	}
	if r.take('.') && r.digits() == 0 {
		r.bad = true
		return
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		if r.digits() == 0 {
			r.bad = true
		}
	}
}

func (r *jsonReader) digits() (n int) {
	for r.at < len(r.in) && '0' <= r.in[r.at] && r.in[r.at] <= '9' {
		r.at++
		n++
	}
	return n
}

// textOrNull reports whether there was text.
func (r *jsonReader) textOrNull(into, scratch *[]byte) bool {
	if r.literal("null") {
		return false
	}
	text := r.text(scratch)
	if r.bad {
		return false
	}
	*into = text
	return true
}

// text reads a string. Plain ones are a slice of the input; those with escapes or bytes that are
// not UTF-8 are decoded at the end of scratch.
func (r *jsonReader) text(scratch *[]byte) []byte {
	if !r.take('"') {
		r.bad = true
		return nil
	}
	from := r.at
	for r.at < len(r.in) {
		switch b := r.in[r.at]; {
		case b == '"':
			r.at++
			return r.in[from : r.at-1 : r.at-1]
		case b == '\\' || b >= utf8.RuneSelf:
			return r.decode(from, scratch)
		case b < ' ':
			r.bad = true
			return nil
		}
		r.at++
	}
	r.bad = true
	return nil
}

// decode goes on with a string that began at from and has something to decode at r.at.
func (r *jsonReader) decode(from int, scratch *[]byte) []byte {
	start := len(*scratch)
	out := append(*scratch, r.in[from:r.at]...)
	for r.at < len(r.in) {
		b := r.in[r.at]
		switch {
		case b == '"':
			r.at++
			*scratch = out
			return out[start:len(out):len(out)]
		case b < ' ':
			r.bad = true
			return nil
		case b == '\\':
			r.at++
			if out = r.escape(out); r.bad {
				return nil
			}
		case b < utf8.RuneSelf:
			out = append(out, b)
			r.at++
		default:
			// Bytes that are not UTF-8 become U+FFFD each, so that pages of JSON made from them later are valid.
			c, n := utf8.DecodeRune(r.in[r.at:])
			out = utf8.AppendRune(out, c)
			r.at += n
		}
	}
	r.bad = true
	return nil
}

// escape reads what follows a backslash.
func (r *jsonReader) escape(out []byte) []byte {
	if r.at == len(r.in) {
		r.bad = true
		return out
	}
	b := r.in[r.at]
	r.at++
	switch b {
	case '"', '\\', '/':
		return append(out, b)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		c := r.hex4()
		if utf16.IsSurrogate(c) {
			// Half a pair that its other half does not follow is U+FFFD; what follows it counts for itself.
			pair, at := rune(utf8.RuneError), r.at
			if !r.bad && r.literal(`\u`) {
				pair = utf16.DecodeRune(c, r.hex4())
			}
			if pair == utf8.RuneError && !r.bad {
				r.at = at
			}
			c = pair
		}
		return utf8.AppendRune(out, c)
	}
	r.bad = true
	return out
}

func (r *jsonReader) hex4() (c rune) {
	if len(r.in)-r.at < 4 {
		r.bad = true
		return 0
	}
	for _, b := range r.in[r.at : r.at+4] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			b = b | 0x20 - 'a' + 10
		default:
			r.bad = true
			return 0
		}
		c = c<<4 | rune(b)
	}
	r.at += 4
	return c
}

// skip steps over any value.
func (r *jsonReader) skip(depth int) {
	if depth > maxNesting || r.at == len(r.in) {
		r.bad = true
		return
	}
	switch b := r.in[r.at]; b {
	case '"':
		r.skipText()
	case '{', '[':
		r.at++
		r.skipList(b == '{', b+2, depth) // '}' and ']' stand two behind their openers
	case 't', 'f', 'n':
		if !r.literal("true") && !r.literal("false") && !r.literal("null") {
			r.bad = true
		}
	default:
		r.number()
	}
}

func (r *jsonReader) skipText() {
	var scratch []byte
	r.text(&scratch)
}

// skipList steps over the elements of an object or array and its closing bracket.
func (r *jsonReader) skipList(object bool, closing byte, depth int) {
	r.blanks()
	for first := true; !r.bad && !r.take(closing); first = false {
		if !first {
			if !r.take(',') {
				r.bad = true
				return
			}
			r.blanks()
		}
		if object {
			r.skipText()
			r.blanks()
			if !r.take(':') {
				r.bad = true
				return
			}
			r.blanks()
		}
		r.skip(depth + 1)
		r.blanks()
	}
}
