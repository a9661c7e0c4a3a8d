package system

import "strings"

// covers reports whether every subject that narrow matches is matched by wide as well. A literal is
// a filter that matches itself.
func covers(wide, narrow string) bool {
	for {
		w, moreWide, wideGoesOn := strings.Cut(wide, ".")
		n, moreNarrow, narrowGoesOn := strings.Cut(narrow, ".")
		switch {
		case w == ">":
			return true
		case n == ">", w != "*" && w != n:
			return false
		case !wideGoesOn || !narrowGoesOn:
			return wideGoesOn == narrowGoesOn
		}
		wide, narrow = moreWide, moreNarrow
	}
}

// collide reports whether there is a subject that both filters match.
func collide(a, b string) bool {
	for {
		x, moreA, goesOnA := strings.Cut(a, ".")
		y, moreB, goesOnB := strings.Cut(b, ".")
		switch {
		case x == ">" || y == ">":
			return true
		case x != y && x != "*" && y != "*":
			return false
		case !goesOnA || !goesOnB:
			return goesOnA == goesOnB
		}
		a, b = moreA, moreB
	}
}

// literal reports whether a subject holds no wildcard.
func literal(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			return false
		}
	}
	return true
}

// token is the n-th token of a subject, counted from 0 on.
func token(subject string, n int) string {
	for range n {
		_, subject, _ = strings.Cut(subject, ".")
	}
	first, _, _ := strings.Cut(subject, ".")
	return first
}
