package subject

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Imports. What one account offers another takes under names of its own, so both ways must be known:
// forward for messages, back for the filters of those who want them.

var errReversible = errors.New("an import takes only $1 or {{wildcard(1)}}, and every wildcard of the source")

// NewReversible returns the transform from source to destination and the one that undoes it. A "*" in
// destination is the next wildcard of source, as if $1, $2 … stood there; other functions than
// wildcard cannot be undone and are refused, and so is a wildcard that is left out. Where source has
// no wildcard, neither transform has one.
func NewReversible(source, destination string) (forward, back *Transform, err error) {
	destination = numbered(destination)
	if forward, err = NewTransform(source, destination); err != nil {
		return nil, nil, err
	}
	var places []string // in back, of each wildcard of source
	stars, _, _ := shape(forward.source)
	places = make([]string, len(stars))
	var filter []string
	seen := 0
	for i := range forward.parts {
		p := &forward.parts[i]
		switch p.do {
		case doLiteral:
			filter = append(filter, p.text)
			continue
		case doWildcard:
		default:
			return nil, nil, fmt.Errorf("subject: import %.64q: %w", destination, errReversible)
		}
		seen++
		filter = append(filter, "*")
		for k, at := range stars {
			if at == p.tokens[0] && places[k] == "" {
				places[k] = "$" + strconv.Itoa(seen)
			}
		}
	}
	if forward.tail >= 0 {
		filter = append(filter, ">")
	}
	tokens := strings.Split(forward.source, ".")
	for k, at := range stars {
		if places[k] == "" {
			return nil, nil, fmt.Errorf("subject: import %.64q: %w", destination, errReversible)
		}
		tokens[at] = places[k]
	}
	back, err = NewTransform(strings.Join(filter, "."), strings.Join(tokens, "."))
	return forward, back, err
}

// numbered writes $1, $2 … for the "*" of a destination.
func numbered(destination string) string {
	tokens := strings.Split(destination, ".")
	n := 0
	for i := range tokens {
		if isStar(tokens[i]) {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
}

// AppendMatched is Append for a subject that is known to match the source. It may be a filter that
// lies within the source, whose wildcards are then tokens like others.
func (t *Transform) AppendMatched(dst, subject []byte) []byte {
	for i := range t.parts {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = t.parts[i].append(dst, subject)
	}
	if t.tail >= 0 {
		if len(t.parts) > 0 {
			dst = append(dst, '.')
		}
		dst = append(dst, subject[offset(subject, t.tail):]...)
	}
	return dst
}

// Intersect returns the filter that matches what both match. ok is false if no subject is matched by
// both.
func Intersect(a, b string) (both string, ok bool) {
	if Subset(b, a) {
		return a, true
	}
	var out []byte
	for moreA, moreB := true, true; ; {
		restA, restB := a, b
		var x, y string
		x, a, moreA = cut(a)
		y, b, moreB = cut(b)
		switch {
		case isTail(x):
			return string(append(out, restB...)), true
		case isTail(y):
			return string(append(out, restA...)), true
		case isStar(x):
			out = append(out, y...)
		case isStar(y), x == y:
			out = append(out, x...)
		default:
			return "", false
		}
		if !moreA || !moreB {
			return string(out), moreA == moreB
		}
		out = append(out, '.')
	}
}
