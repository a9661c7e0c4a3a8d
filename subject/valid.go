package subject

// Text is what a subject may be held in.
type Text interface{ ~string | ~[]byte }

// Valid reports whether messages published to s can reach anybody: it is not empty, and
// none of its tokens is. Wildcards in a published subject are ordinary tokens.
func Valid[S Text](s S) bool {
	before := byte('.')
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && before == '.' {
			return false
		}
		before = s[i]
	}
	return before != '.'
}

// ValidFilter reports whether s may be subscribed to: Valid, without white space, and with
// the token ">" nowhere but at the end.
func ValidFilter[S Text](s S) bool {
	for rest, more := s, true; more; {
		var token S
		token, rest, more = cut(rest)
		if len(token) == 0 || more && isTail(token) {
			return false
		}
		for i := 0; i < len(token); i++ {
			switch token[i] {
			case ' ', '\t', '\n', '\r', '\f':
				return false
			}
		}
	}
	return true
}

// ValidLiteral reports whether s is Valid and has no wildcard token. Pedantic clients may
// publish to nothing else.
func ValidLiteral[S Text](s S) bool { return Valid(s) && !HasWildcard(s) }

// HasWildcard reports whether one of the tokens of s is "*" or ">".
func HasWildcard[S Text](s S) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] == '*' || s[i] == '>') && (i == 0 || s[i-1] == '.') && (i+1 == len(s) || s[i+1] == '.') {
			return true
		}
	}
	return false
}

// Tokens returns the number of tokens of s.
func Tokens[S Text](s S) int {
	n := 1
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			n++
		}
	}
	return n
}
