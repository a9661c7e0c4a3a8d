package subject

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Transform makes other subjects out of those that match its source. It is read-only
// once made and may be shared.
//
// A token of the destination is taken as it stands, or is one of these, where n counts the
// wildcards "*" of the source from 1 on:
//
//	$n  {{wildcard(n)}}              the token behind wildcard n
//	{{partition(buckets,n,…)}}       a number below buckets, by the tokens; by the whole subject if no n is given
//	{{split(n,separator)}}           the token, with a dot for each run of separators
//	{{splitFromLeft(n,size)}}        the token, with a dot after size bytes, or before the last size bytes
//	{{splitFromRight(n,size)}}
//	{{sliceFromLeft(n,size)}}        the token, with a dot every size bytes, counted from its start or its end
//	{{sliceFromRight(n,size)}}
//	{{left(n,size)}} {{right(n,size)}}  the first or last size bytes of the token
//	{{random(buckets)}}              a number below buckets
//
// Where the source ends with ">", so does the destination. All results are those of
// nats-server, so that both put a subject into the same partition.
type Transform struct {
	source, destination string
	parts               []part
	tail                int // the source token from which on all are appended; -1 without ">"
}

// A part makes one token of the result, or several.
type part struct {
	do     function
	text   string // the token for doLiteral, the separator for doSplit
	tokens []int  // positions in the source
	number int32  // size or buckets
}

// NewTransform returns the transform from source to destination. An empty source stands
// for ">".
func NewTransform(source, destination string) (*Transform, error) {
	if source == "" {
		source = ">"
	}
	stars, sourceTail, err := shape(source)
	if err != nil {
		return nil, err
	}
	destinationStars, destinationTail, err := shape(destination)
	switch {
	case err != nil:
		return nil, err
	case len(destinationStars) > 0:
		return nil, fmt.Errorf("subject: mapping destination %.64q: \"*\" cannot stand there, $1 or {{wildcard(1)}} can", destination)
	case sourceTail != destinationTail:
		return nil, fmt.Errorf("subject: mapping %.64q to %.64q: \">\" has to end both or neither", source, destination)
	}
	t := &Transform{source: source, destination: destination, tail: -1}
	tokens := strings.Split(destination, ".")
	if destinationTail {
		t.tail = Tokens(source) - 1
		tokens = tokens[:len(tokens)-1]
	}
	literal := len(stars) == 0 && !sourceTail
	for _, token := range tokens {
		p, err := parsePart(token)
		if err == nil {
			err = p.resolve(stars, literal)
		}
		if err != nil {
			return nil, fmt.Errorf("subject: mapping destination %.64q: %w", token, err)
		}
		t.parts = append(t.parts, p)
	}
	return t, nil
}

// shape returns the positions of the "*" in s, and whether it ends with ">".
func shape(s string) (stars []int, tail bool, err error) {
	for i, token := range strings.Split(s, ".") {
		if token == "" || tail {
			return nil, false, fmt.Errorf("subject: mapping %.64q: not a valid subject", s)
		}
		if isStar(token) {
			stars = append(stars, i)
		}
		tail = isTail(token)
	}
	return stars, tail, nil
}

// Source and Destination return what the transform was made of.
func (t *Transform) Source() string      { return t.source }
func (t *Transform) Destination() string { return t.destination }

// Append appends what subject becomes. ok is false, and nothing appended, if the source
// does not match it or it is not a literal. What comes out need not be Valid: splitting may
// leave a token empty.
func (t *Transform) Append(dst, subject []byte) (out []byte, ok bool) {
	if t.source == ">" && t.destination == ">" {
		return append(dst, subject...), true
	}
	if !ValidLiteral(subject) || !Matches(t.source, subject) {
		return dst, false
	}
	return t.AppendMatched(dst, subject), true
}

// offset returns where token number n of subject begins.
func offset(subject []byte, n int) (at int) {
	for ; n > 0; n-- {
		at += bytes.IndexByte(subject[at:], '.') + 1
	}
	return at
}

func tokenAt(subject []byte, n int) []byte {
	token, _, _ := cut(subject[offset(subject, n):])
	return token
}

func (p *part) append(dst, subject []byte) []byte {
	switch p.do {
	case doLiteral:
		return append(dst, p.text...)
	case doRandom:
		if p.number == 0 {
			return append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(rand.Int32()%p.number), 10)
	case doPartition:
		return strconv.AppendUint(dst, uint64(p.bucket(subject)), 10)
	}
	token := tokenAt(subject, p.tokens[0])
	size := int(p.number)
	if p.do == doSplit {
		return appendSplit(dst, token, p.text)
	}
	if p.do == doWildcard || size <= 0 || size >= len(token) {
		return append(dst, token...)
	}
	switch p.do {
	case doLeft:
		return append(dst, token[:size]...)
	case doRight:
		return append(dst, token[len(token)-size:]...)
	case doSplitFromLeft:
		return appendSlices(dst, token, size, len(token))
	case doSplitFromRight:
		return appendSlices(dst, token, len(token)-size, len(token))
	case doSliceFromLeft:
		return appendSlices(dst, token, size, size)
	default: // doSliceFromRight
		first := len(token) % size
		if first == 0 {
			first = size
		}
		return appendSlices(dst, token, first, size)
	}
}

// appendSlices appends the first bytes of token, and then size and size until it is used up.
func appendSlices(dst, token []byte, first, size int) []byte {
	dst, token = append(dst, token[:first]...), token[first:]
	for len(token) > 0 {
		n := min(size, len(token))
		dst = append(append(dst, '.'), token[:n]...)
		token = token[n:]
	}
	return dst
}

// appendSplit appends the pieces of token with dots between them and empty ones left out.
// Two separators or more at the very start make a dot, as they do in nats-server.
func appendSplit(dst, token []byte, separator string) []byte {
	piece, rest, more := cutPiece(token, separator)
	dst = append(dst, piece...)
	dotDue := len(piece) > 0
	for more {
		piece, rest, more = cutPiece(rest, separator)
		if len(piece) > 0 && dotDue {
			dst = append(dst, '.')
		}
		dst = append(dst, piece...)
		dotDue = true
	}
	return dst
}

// cutPiece takes what is before the next separator; an empty separator stands behind
// every character.
func cutPiece(token []byte, separator string) (piece, rest []byte, more bool) {
	if separator == "" {
		_, n := utf8.DecodeRune(token)
		return token[:n], token[n:], n < len(token)
	}
	for i := 0; i+len(separator) <= len(token); i++ {
		if string(token[i:i+len(separator)]) == separator {
			return token[:i], token[i+len(separator):], true
		}
	}
	return token, nil, false
}

// bucket is FNV-1a of the tokens, one straight after the other, or of the whole subject.
func (p *part) bucket(subject []byte) uint32 {
	if p.number == 0 {
		return 0
	}
	hash := uint32(2166136261)
	add := func(text []byte) {
		for _, b := range text {
			hash = (hash ^ uint32(b)) * 16777619
		}
	}
	if len(p.tokens) == 0 {
		add(subject)
	}
	for _, n := range p.tokens {
		add(tokenAt(subject, n))
	}
	return hash % uint32(p.number)
}

// resolve turns numbers of wildcards into positions in the source.
func (p *part) resolve(stars []int, literalSource bool) error {
	if literalSource {
		switch p.do {
		case doLiteral, doRandom:
		case doPartition:
			p.tokens = nil
		default:
			return fmt.Errorf("the source has no wildcards")
		}
		return nil
	}
	p.tokens = slices.Clone(p.tokens)
	for i, n := range p.tokens {
		switch {
		case n > len(stars):
			return fmt.Errorf("wildcard %d of %d", n, len(stars))
		case n < 1:
			p.tokens[i] = 0 // nats-server takes the first token then
		default:
			p.tokens[i] = stars[n-1]
		}
	}
	return nil
}
