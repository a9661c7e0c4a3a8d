package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxRepeat bounds "<n*text>", so that a slip of the finger does not fill the memory.
const maxRepeat = 64 << 20

// unescape turns the text of a step into bytes. open says that no line ending follows.
func unescape(text string, kept map[string]string) (wire []byte, open bool, err error) {
	p, open, err := segments(text)
	if err != nil {
		return nil, false, err
	}
	for _, part := range p {
		if !part.hole {
			wire = append(wire, part.bytes...)
			continue
		}
		value, ok := kept[part.name]
		if !ok && kept != nil {
			return nil, false, fmt.Errorf("nothing was captured as <%s>", part.name)
		}
		wire = append(wire, value...)
	}
	return wire, open, nil
}

// A segment is a run of bytes, or a hole that captures.
type segment struct {
	bytes []byte
	hole  bool
	name  string
}

func segments(text string) (parts []segment, open bool, err error) {
	var run []byte
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '\\':
			if i == len(text)-1 {
				open = true
				i++
				continue
			}
			b, used, err := escape(text[i:])
			if err != nil {
				return nil, false, err
			}
			run = append(run, b)
			i += used
		case '<':
			end := strings.IndexByte(text[i:], '>')
			if end < 0 {
				return nil, false, fmt.Errorf("%q: < without >; a plain < is \\x3c", text)
			}
			inner := text[i+1 : i+end]
			i += end + 1
			if count, what, ok := strings.Cut(inner, "*"); ok {
				again, err := repeat(count, what)
				if err != nil {
					return nil, false, err
				}
				run = append(run, again...)
				continue
			}
			if len(run) > 0 {
				parts = append(parts, segment{bytes: run})
				run = nil
			}
			parts = append(parts, segment{hole: true, name: inner})
		default:
			run = append(run, c)
			i++
		}
	}
	if len(run) > 0 {
		parts = append(parts, segment{bytes: run})
	}
	return parts, open, nil
}

func escape(s string) (b byte, used int, err error) {
	switch s[1] {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		if len(s) >= 4 {
			v, err := strconv.ParseUint(s[2:4], 16, 8)
			return byte(v), 4, err
		}
	}
	return 0, 0, fmt.Errorf("unknown escape at %q", s)
}

func repeat(count, what string) ([]byte, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n*len(what) > maxRepeat {
		return nil, fmt.Errorf("<%s*%s>: bad count", count, what)
	}
	inner, _, err := unescape(what, map[string]string{})
	return bytes.Repeat(inner, n), err
}

// A pattern decides whether a received line is the expected one.
type pattern struct {
	parts []segment
	info  map[string]any // of an INFO line
	loose bool           // other members may be there too
}

func compile(text string, kept map[string]string) (*pattern, error) {
	if rest, ok := strings.CutPrefix(text, "INFO "); ok && strings.HasPrefix(rest, "{") {
		return compileInfo(rest)
	}
	parts, open, err := segments(text)
	if err != nil {
		return nil, err
	}
	if open {
		return nil, fmt.Errorf("%q: an expected line always has its ending", text)
	}
	for i, p := range parts {
		if value, ok := kept[p.name]; p.hole && ok {
			parts[i] = segment{bytes: []byte(value)}
		}
	}
	return &pattern{parts: parts}, nil
}

func compileInfo(text string) (*pattern, error) {
	p := &pattern{info: map[string]any{}}
	inner, loose := strings.CutSuffix(text, "...}")
	p.loose = loose
	if loose {
		text = strings.TrimSuffix(strings.TrimSpace(inner), ",") + "}"
	}
	if err := json.Unmarshal([]byte(text), &p.info); err != nil {
		return nil, fmt.Errorf("INFO %s: %w", text, err)
	}
	return p, nil
}

// match reports whether line is as expected, and keeps what its holes captured.
func (p *pattern) match(line []byte, kept map[string]string) bool {
	if p.info != nil {
		return p.matchInfo(line)
	}
	caught := map[string]string{}
	if !matchParts(p.parts, line, caught) {
		return false
	}
	for name, value := range caught {
		if name != "" {
			kept[name] = value
		}
	}
	return true
}

func matchParts(parts []segment, line []byte, caught map[string]string) bool {
	if len(parts) == 0 {
		return len(line) == 0
	}
	if !parts[0].hole {
		rest, ok := bytes.CutPrefix(line, parts[0].bytes)
		return ok && matchParts(parts[1:], rest, caught)
	}
	name := parts[0].name
	if value, ok := caught[name]; ok && name != "" {
		rest, ok := bytes.CutPrefix(line, []byte(value))
		return ok && matchParts(parts[1:], rest, caught)
	}
	for n := 1; n <= len(line) && line[n-1] != ' '; n++ {
		caught[name] = string(line[:n])
		if matchParts(parts[1:], line[n:], caught) {
			return true
		}
	}
	delete(caught, name)
	return false
}

func (p *pattern) matchInfo(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return false
	}
	var got map[string]any
	if json.Unmarshal(rest, &got) != nil {
		return false
	}
	for name, want := range p.info {
		have, there := got[name]
		switch {
		case want == "(absent)":
			if there {
				return false
			}
		case want == "(any)":
			if !there {
				return false
			}
		case !there || !reflect.DeepEqual(have, want):
			return false
		}
		delete(got, name)
	}
	return p.loose || len(got) == 0
}

// show writes a received line as it would stand in a transcript.
func show(line []byte) string {
	if bytes.HasPrefix(line, []byte("INFO {")) {
		return "INFO {...}"
	}
	var b strings.Builder
	skip := 0
	for i, r := range string(line) {
		if skip > 0 {
			skip--
			continue
		}
		if n := run(line[i:]); n >= shownRun {
			fmt.Fprintf(&b, "<%d*%c>", n, r)
			skip = n - 1
			continue
		}
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '<' || r < ' ' || r == 0x7f || i == 0 && r == '(' || i == len(line)-1 && r == ' ':
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == utf8.RuneError && !bytes.HasPrefix(line[i:], []byte("\uFFFD")):
			fmt.Fprintf(&b, `\x%02x`, line[i])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shownRun is from how many equal letters on show counts them.
const shownRun = 64

// run counts how often the letter or digit at the head of b is repeated.
func run(b []byte) int {
	if c := b[0] | 0x20; (c < 'a' || c > 'z') && (b[0] < '0' || b[0] > '9') {
		return 1
	}
	return len(b) - len(bytes.TrimLeft(b, string(b[:1])))
}

// choose gives the part of an "a|b" block's text that is the i-th of n clients'.
func choose(text string, i, n int) string {
	words := strings.Split(text, " ")
	for w, word := range words {
		if parts := strings.Split(word, "|"); len(parts) == n {
			words[w] = parts[i]
		}
	}
	return strings.Join(words, " ")
}
