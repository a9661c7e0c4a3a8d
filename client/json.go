package client

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// INFO and CONNECT are the only JSON that a client needs, flat objects both. encoding/json would do,
// and would be a twentieth of every program with this package. A fuzz test holds this to it.

// read takes the members that we know out of INFO. Those that are not there stay as they were; of
// others only the form is looked at.
func (i *serverInfo) read(text []byte) error {
	r := jsonReader{text: text}
	if err := r.object(i.member); err != nil {
		return err
	}
	if r.space(); r.at != len(r.text) {
		return r.unlike("the end")
	}
	return nil
}

func (i *serverInfo) member(r *jsonReader, name string) error {
	switch name {
	case "server_id":
		return r.string(&i.ServerID)
	case "server_name":
		return r.string(&i.ServerName)
	case "version":
		return r.string(&i.Version)
	case "nonce":
		return r.string(&i.Nonce)
	case "headers":
		return r.bool(&i.Headers)
	case "tls_required":
		return r.bool(&i.TLSRequired)
	case "tls_available":
		return r.bool(&i.TLSOffered)
	case "ldm":
		return r.bool(&i.LameDuck)
	case "max_payload":
		return number(r, func(s string) (err error) { i.MaxPayload, err = strconv.Atoi(s); return err })
	case "client_id":
		return number(r, func(s string) (err error) { i.ClientID, err = strconv.ParseUint(s, 10, 64); return err })
	case "connect_urls":
		return r.strings(&i.ConnectURLs)
	}
	return r.skip(0)
}

// appendTo appends CONNECT. Texts that are empty are left out.
func (o *connectOptions) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for _, m := range [...]struct {
		name  string
		value string
	}{
		{"user", o.User}, {"pass", o.Password}, {"auth_token", o.Token},
		{"jwt", o.JWT}, {"nkey", o.NKey}, {"sig", o.Signature}, {"name", o.Name},
	} {
		if m.value != "" {
			dst = append(appendString(append(appendString(dst, m.name), ':'), m.value), ',')
		}
	}
	for _, m := range [...]struct {
		name  string
		value bool
	}{
		{"verbose", o.Verbose}, {"pedantic", o.Pedantic}, {"tls_required", o.TLSRequired},
		{"echo", o.Echo}, {"headers", o.Headers}, {"no_responders", o.NoResponders},
	} {
		dst = append(strconv.AppendBool(append(appendString(dst, m.name), ':'), m.value), ',')
	}
	dst = append(appendString(append(dst, `"lang":`...), o.Lang), ',')
	dst = append(appendString(append(dst, `"version":`...), o.Version), ',')
	return append(strconv.AppendInt(append(dst, `"protocol":`...), int64(o.Protocol), 10), '}')
}

// appendString appends s in quotes. Bytes that are no UTF-8 become U+FFFD: a server would not take
// them as JSON.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}

// A jsonReader goes over one JSON text, RFC 8259.
type jsonReader struct {
	text []byte
	at   int
}

// maxNesting is how deep in one another the values may be that we pass over. INFO has two levels.
const maxNesting = 64

func (r *jsonReader) unlike(want string) error {
	return fmt.Errorf("byte %d is not %s", r.at, want)
}

func (r *jsonReader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, 0 at the end.
func (r *jsonReader) peek() byte {
	r.space()
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

// took reports whether c is next, and goes behind it.
func (r *jsonReader) took(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.at++
	return true
}

// word reports whether w is next, and goes behind it.
func (r *jsonReader) word(w string) bool {
	r.space()
	if rest := r.text[r.at:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		return false
	}
	r.at += len(w)
	return true
}

// object calls member behind each name, to go over the value.
func (r *jsonReader) object(member func(r *jsonReader, name string) error) error {
	if !r.took('{') {
		return r.unlike("an object")
	}
	return r.list('}', func() error {
		name, err := r.quoted()
		if err != nil {
			return err
		}
		if !r.took(':') {
			return r.unlike("a colon")
		}
		return member(r, name)
	})
}

// list calls item for each, up to the end that is named.
func (r *jsonReader) list(end byte, item func() error) error {
	if r.took(end) {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if r.took(end) {
			return nil
		}
		if !r.took(',') {
			return r.unlike("a comma")
		}
	}
}

func (r *jsonReader) bool(to *bool) error {
	switch {
	case r.word("null"):
	case r.word("true"):
		*to = true
	case r.word("false"):
		*to = false
	default:
		return r.unlike("true or false")
	}
	return nil
}

func (r *jsonReader) string(to *string) (err error) {
	if r.word("null") {
		return nil
	}
	*to, err = r.quoted()
	return err
}

func (r *jsonReader) strings(to *[]string) error {
	*to = nil
	if r.word("null") {
		return nil
	}
	if !r.took('[') {
		return r.unlike("an array")
	}
	return r.list(']', func() error {
		var one string
		err := r.string(&one)
		*to = append(*to, one)
		return err
	})
}

// number reads a number and has it parsed, unless it is null.
func number(r *jsonReader, parse func(string) error) error {
	if r.word("null") {
		return nil
	}
	text, err := r.digits()
	if err != nil {
		return err
	}
	return parse(text)
}

// digits goes over a number, RFC 8259 section 6.
func (r *jsonReader) digits() (string, error) {
	r.space()
	from := r.at
	r.one("-")
	if !r.one("0") && !r.many() {
		return "", r.unlike("a number")
	}
	if r.one(".") && !r.many() {
		return "", r.unlike("a digit")
	}
	if r.one("eE") {
		r.one("+-")
		if !r.many() {
			return "", r.unlike("a digit")
		}
	}
	return string(r.text[from:r.at]), nil
}

// one goes over a byte out of a set.
func (r *jsonReader) one(set string) bool {
	for i := range len(set) {
		if r.at < len(r.text) && r.text[r.at] == set[i] {
			r.at++
			return true
		}
	}
	return false
}

// many goes over digits, one at least.
func (r *jsonReader) many() bool {
	from := r.at
	for r.one("0123456789") {
	}
	return r.at > from
}

// skip goes over any value.
func (r *jsonReader) skip(depth int) error {
	if depth > maxNesting {
		return r.unlike("flat enough")
	}
	var err error
	switch c := r.peek(); {
	case c == '{':
		err = r.object(func(r *jsonReader, _ string) error { return r.skip(depth + 1) })
	case c == '[':
		r.at++
		err = r.list(']', func() error { return r.skip(depth + 1) })
	case c == '"':
		_, err = r.quoted()
	case r.word("null") || r.word("true") || r.word("false"):
	default:
		_, err = r.digits()
	}
	return err
}

// quoted reads a string.
func (r *jsonReader) quoted() (string, error) {
	if !r.took('"') {
		return "", r.unlike("a string")
	}
	var value []byte
	for r.at < len(r.text) {
		c := r.text[r.at]
		switch {
		case c == '"':
			r.at++
			return string(value), nil
		case c < ' ':
			return "", r.unlike("allowed in a string")
		case c == '\\':
			r.at++
			one, ok := r.escape()
			if !ok {
				return "", r.unlike("an escape")
			}
			value = utf8.AppendRune(value, one)
		default:
			one, size := utf8.DecodeRune(r.text[r.at:])
			value = utf8.AppendRune(value, one) // U+FFFD for what is none
			r.at += size
		}
	}
	return "", r.unlike("the end of a string")
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (c rune, ok bool) {
	if r.at == len(r.text) {
		return 0, false
	}
	letter := r.text[r.at]
	r.at++
	switch letter {
	case '"', '\\', '/':
		return rune(letter), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		return r.unicode()
	}
	return 0, false
}

// unicode reads four hexadecimal digits, and the other half where they are one half of a pair. A
// half alone is U+FFFD.
func (r *jsonReader) unicode() (c rune, ok bool) {
	first, ok := r.hex(r.at)
	if !ok {
		return 0, false
	}
	r.at += 4
	if !utf16.IsSurrogate(first) {
		return first, true
	}
	if rest := r.text[r.at:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if second, ok := r.hex(r.at + 2); ok {
			if both := utf16.DecodeRune(first, second); both != utf8.RuneError {
				r.at += 6
				return both, true
			}
		}
	}
	return utf8.RuneError, true
}

func (r *jsonReader) hex(at int) (rune, bool) {
	if len(r.text) < at+4 {
		return 0, false
	}
	v, err := strconv.ParseUint(string(r.text[at:at+4]), 16, 32)
	return rune(v), err == nil
}
