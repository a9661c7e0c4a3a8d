package subject

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A function is what makes a token of a mapping's destination.
type function uint8

const (
	doLiteral function = iota
	doWildcard
	doPartition
	doSplitFromLeft
	doSplitFromRight
	doSliceFromLeft
	doSliceFromRight
	doRight
	doLeft
	doSplit
	doRandom
)

// functions are tried in this order. The first letter of each word may be in either case.
var functions = [...]struct {
	name string
	do   function
}{
	{"wildcard", doWildcard},
	{"partition", doPartition},
	{"splitFromLeft", doSplitFromLeft},
	{"splitFromRight", doSplitFromRight},
	{"sliceFromLeft", doSliceFromLeft},
	{"sliceFromRight", doSliceFromRight},
	{"right", doRight},
	{"left", doLeft},
	{"split", doSplit},
	{"random", doRandom},
}

var (
	errFew      = errors.New("too few arguments")
	errMany     = errors.New("too many arguments")
	errArgument = errors.New("an argument is not valid")
	errUnknown  = errors.New("not a function that is known")
)

// parsePart reads one token of a destination. Its tokens are still numbers of wildcards.
func parsePart(token string) (part, error) {
	asItIs := part{do: doLiteral, text: token}
	if len(token) > 1 && token[0] == '$' {
		// Subjects like $SYS and $JS begin so too.
		if n, err := strconv.Atoi(token[1:]); err == nil {
			return part{do: doWildcard, tokens: []int{n}}, nil
		}
		return asItIs, nil
	}
	if len(token) <= len("{{}}") || !strings.HasPrefix(token, "{{") || !strings.HasSuffix(token, "}}") {
		return asItIs, nil
	}
	for _, f := range functions {
		if arguments, ok := findCall(token, f.name); ok {
			return parseCall(f.do, arguments)
		}
	}
	return part{}, errUnknown
}

const callSpace = " \t\n\f\r"

// findCall returns the arguments of the first {{name(…)}} in token. There may be white
// space around name and behind the closing bracket.
func findCall(token, name string) (arguments []string, ok bool) {
	for i := 0; i+len("{{") < len(token); i++ {
		rest, ok := strings.CutPrefix(token[i:], "{{")
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, callSpace)
		if !hasName(rest, name) {
			continue
		}
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest[len(name):], callSpace), "("); !ok {
			continue
		}
		for end := strings.LastIndexByte(rest, ')'); end >= 0; end = strings.LastIndexByte(rest[:end], ')') {
			if strings.HasPrefix(strings.TrimLeft(rest[end+1:], callSpace), "}}") {
				arguments = strings.Split(rest[:end], ",")
				for k := range arguments[1:] {
					arguments[k+1] = strings.TrimLeft(arguments[k+1], callSpace)
				}
				return arguments, true
			}
		}
	}
	return nil, false
}

// hasName reports whether s begins with name, whose words may begin in either case.
func hasName(s, name string) bool {
	if len(s) < len(name) {
		return false
	}
	for i := range len(name) {
		either := i == 0 || name[i] < 'a' // the first letter of a word
		if s[i] != name[i] && (!either || s[i]|0x20 != name[i]|0x20) {
			return false
		}
	}
	return true
}

func parseCall(do function, arguments []string) (p part, err error) {
	p.do = do
	switch do {
	case doWildcard:
		if len(arguments) > 1 {
			return p, errMany
		}
		if arguments[0] == "" {
			return p, errFew
		}
		p.tokens, err = numbers(arguments)
		return p, err
	case doPartition:
		if p.tokens, err = numbers(arguments[1:]); err == nil {
			p.number, err = buckets(arguments[0])
		}
		return p, err
	case doRandom:
		if len(arguments) > 1 {
			return p, errMany
		}
		p.number, err = buckets(arguments[0])
		return p, err
	}
	if len(arguments) < 2 {
		return p, errFew
	}
	if len(arguments) > 2 {
		return p, errMany
	}
	if p.tokens, err = numbers(arguments[:1]); err != nil {
		return p, err
	}
	if do == doSplit {
		if p.text = arguments[1]; strings.ContainsAny(p.text, " .") {
			return p, errArgument
		}
		return p, nil
	}
	size, err := strconv.ParseInt(strings.Trim(arguments[1], " "), 10, 32)
	if err != nil {
		return p, fmt.Errorf("size %.64q: %w", arguments[1], errArgument)
	}
	p.number = int32(size)
	return p, nil
}

func numbers(arguments []string) (all []int, err error) {
	for _, a := range arguments {
		n, err := strconv.Atoi(strings.Trim(a, " "))
		if err != nil {
			return nil, fmt.Errorf("wildcard %.64q: %w", a, errArgument)
		}
		all = append(all, n)
	}
	return all, nil
}

func buckets(argument string) (int32, error) {
	n, err := strconv.ParseInt(strings.Trim(argument, " "), 10, 64)
	if err != nil || n > math.MaxInt32 {
		return 0, fmt.Errorf("number %.64q: %w", argument, errArgument)
	}
	return int32(n), nil
}
