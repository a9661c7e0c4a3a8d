package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A scan is a light reading of one file, before the real parser gets it. It follows blocks,
// strings and comments just closely enough to find includes, and to see what the parser would
// pass over in silence.
type scan struct {
	file string
	text string

	pos       int
	line      int
	lineStart int
	blocks    []scanBlock

	includes []include
	problems []Problem // errors: the parser would drop or change what is written here
	warnings []Problem
	open     *Problem // what the end of the file leaves open; the parser has the last word on it
}

// An include is one include directive.
type include struct {
	target string
	place  Place
}

// A scanBlock is one open map or list.
type scanBlock struct {
	list  bool
	place Place
	keys  map[string]Place // what a map has had so far
}

// newScan refuses text that is none: the parser takes a zero byte for the end of the file, and
// all that follows it would be ignored without a word.
func newScan(file, text string) (*scan, *Problem) {
	for i, r := range text {
		var what string
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			what = "is not UTF-8: this is no text file, or it was saved in another encoding"
		case r == '\uFEFF':
			what = "is a byte order mark: save the file as UTF-8 without one"
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			what = "is a control character: this is no text file"
		default:
			continue
		}
		place := placeOf(file, text, i)
		return nil, &Problem{place, fmt.Sprintf("the byte 0x%02x here %s", text[i], what)}
	}
	return &scan{file: file, text: text, line: 1}, nil
}

// placeOf turns an offset into line and column.
func placeOf(file, text string, at int) Place {
	before := text[:at]
	return Place{File: file, Line: 1 + strings.Count(before, "\n"), Column: at - strings.LastIndexByte(before, '\n')}
}

func (s *scan) place() Place { return Place{s.file, s.line, s.pos - s.lineStart + 1} }

// run reads the whole file.
func (s *scan) run() {
	s.blocks = append(s.blocks, scanBlock{keys: map[string]Place{}})
	var around []Place // JSON style: braces around the whole file, no block of their own
	for s.skipSpace() {
		block := &s.blocks[len(s.blocks)-1]
		switch c := s.text[s.pos]; {
		case c == '}' || c == ']':
			s.pos++
			if len(s.blocks) > 1 {
				s.blocks = s.blocks[:len(s.blocks)-1]
			} else if len(around) > 0 {
				around = around[:len(around)-1]
			}
		case c == ',' || c == ';':
			s.pos++
		case block.list:
			s.value()
		case len(s.blocks) == 1 && c == '{':
			around = append(around, s.place())
			s.pos++
		default:
			s.entry(block)
		}
	}
	const unclosed = "this block or list is never closed: the file is cut off, or a closing brace is missing"
	if len(around) > 0 {
		s.problems = append(s.problems, Problem{around[0], unclosed})
	}
	if len(s.blocks) > 1 && s.open == nil {
		s.open = &Problem{s.blocks[len(s.blocks)-1].place, unclosed}
	}
	// A file that ends with an opening quote is the one cut that the parser does not notice.
	if s.open != nil && (strings.HasSuffix(s.text, `"`) || strings.HasSuffix(s.text, "'")) {
		s.problems = append(s.problems, *s.open)
	}
}

// entry reads a key and its value, or an include.
func (s *scan) entry(block *scanBlock) {
	place := s.place()
	// Inside a block the parser passes over a lone slash, and takes what follows for the key's
	// first letter, whatever it is.
	slash := len(s.blocks) > 1 && s.text[s.pos] == '/'
	if slash {
		s.pos++
	}
	key, quoted := s.key(slash)
	if next, _ := utf8.DecodeRuneInString(s.text[s.pos:]); !quoted && strings.EqualFold(key, "include") && unicode.IsSpace(next) {
		s.skipBlanks()
		target, _ := s.word("\r\n;} \t")
		s.includes = append(s.includes, include{target, place})
		return
	}
	if first, twice := block.keys[key]; twice && key != "" {
		s.warnings = append(s.warnings, Problem{place, fmt.Sprintf("%q is given twice in one block (first in line %d): only the last one counts", cutText(key), first.Line)})
	}
	block.keys[key] = place
	// A value may stand on a later line than its key inside a block, and after a separator.
	if !s.skipSpace() {
		return
	}
	if c := s.text[s.pos]; c == '=' || c == ':' {
		s.pos++
		s.skipBlanks()
	}
	if s.pos < len(s.text) {
		s.value()
	}
}

// key reads a key, which ends at white space or a separator, or at its closing quote.
// With anyFirst its first letter may be any at all.
func (s *scan) key(anyFirst bool) (string, bool) {
	if s.pos == len(s.text) {
		return "", false
	}
	if c := s.text[s.pos]; !anyFirst && (c == '"' || c == '\'') {
		return s.quoted(c, false), true
	}
	start := s.pos
	if anyFirst {
		s.advance()
	}
	for s.pos < len(s.text) {
		c, size := utf8.DecodeRuneInString(s.text[s.pos:])
		if unicode.IsSpace(c) || c == '=' || c == ':' {
			break
		}
		if s.pos > start && (c == '{' || c == '}' || c == ']') {
			break
		}
		s.pos += size
	}
	return s.text[start:s.pos], false
}

// value reads one value, or opens the block that it is.
func (s *scan) value() {
	switch c := s.text[s.pos]; {
	case c == '{' || c == '[':
		s.blocks = append(s.blocks, scanBlock{list: c == '[', place: s.place(), keys: map[string]Place{}})
		s.pos++
	case c == '(':
		s.rawBlock()
	default:
		place := s.place()
		if word, quoted := s.word(",;]}\r\n \t"); !quoted {
			s.number(word, place)
		}
	}
}

// word reads a quoted string, or bare text up to one of the ends.
func (s *scan) word(ends string) (string, bool) {
	if s.pos < len(s.text) && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
		return s.quoted(s.text[s.pos], s.text[s.pos] == '"'), true
	}
	start := s.pos
	for s.pos < len(s.text) && strings.IndexByte(ends, s.text[s.pos]) < 0 {
		s.pos++
		if s.text[s.pos-1] == '\'' { // ends bare text in this grammar
			return s.text[start : s.pos-1], false
		}
	}
	return s.text[start:s.pos], false
}

// quoted reads up to the closing quote.
func (s *scan) quoted(quote byte, escapes bool) string {
	place := s.place()
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == quote:
			s.pos++
			return s.text[start : s.pos-1]
		case c == '\\' && escapes && s.pos+1 < len(s.text):
			s.pos++
		}
		s.advance()
	}
	s.open = &Problem{place, "this quote is never closed"}
	return s.text[start:]
}

// rawBlock passes over a value in parentheses, which ends with a ")" alone on its line.
func (s *scan) rawBlock() {
	for s.pos < len(s.text) {
		s.advance()
		if rest := s.text[s.pos:]; strings.HasPrefix(rest, ")\n") || rest == ")" {
			if s.text[s.pos-1] == '\n' {
				s.pos++
				return
			}
		}
	}
}

// number refuses sizes that the parser would drop (1kbb) or wrap round (9000pb).
func (s *scan) number(word string, place Place) {
	digits := strings.TrimLeft(strings.TrimPrefix(word, "-"), "0123456789")
	number, suffix := word[:len(word)-len(digits)], strings.ToLower(digits)
	if suffix == "" || number == "" || number == "-" || strings.Trim(suffix[1:], "bi") != "" {
		return
	}
	if strings.IndexByte("kmgtpe", suffix[0]) < 0 {
		return
	}
	if _, ok := sizeOf(number, suffix); !ok {
		s.problems = append(s.problems, Problem{place, fmt.Sprintf("%q is no size: write a number and k, kb, m, mb, g, gb, t or tb, within 64 bits", cutText(word))})
	}
}

// sizeOf computes a number with a suffix as the parser does, but refuses what it would not.
func sizeOf(number, suffix string) (int64, bool) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, false
	}
	if suffix == "" || suffix == "b" {
		return n, true
	}
	base := int64(1000)
	switch suffix[1:] {
	case "":
	case "b", "i", "ib":
		base = 1024
	default:
		return 0, false
	}
	power := strings.IndexByte("kmgtpe", suffix[0])
	if power < 0 {
		return 0, false
	}
	for range power + 1 {
		if n > math.MaxInt64/base || n < math.MinInt64/base {
			return 0, false
		}
		n *= base
	}
	return n, true
}

// skipSpace passes over white space and comments and reports whether anything is left.
func (s *scan) skipSpace() bool {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case isBlank(c) || c == '\n' || c == '\r':
			s.advance()
		case c == '#' || strings.HasPrefix(s.text[s.pos:], "//"):
			for s.pos < len(s.text) && s.text[s.pos] != '\n' {
				s.pos++
			}
		default:
			return true
		}
	}
	return false
}

func (s *scan) skipBlanks() {
	for s.pos < len(s.text) && isBlank(s.text[s.pos]) {
		s.pos++
	}
}

// advance steps over one byte and counts lines.
func (s *scan) advance() {
	if s.text[s.pos] == '\n' {
		s.line++
		s.lineStart = s.pos + 1
	}
	s.pos++
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
