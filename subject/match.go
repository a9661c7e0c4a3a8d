package subject

// cut takes the first token off s. more reports whether a dot followed it: "a." is the
// token "a" and then an empty one.
func cut[S Text](s S) (token, rest S, more bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			return s[:i], s[i+1:], true
		}
	}
	return s, s[len(s):], false
}

func isStar[S Text](token S) bool { return len(token) == 1 && token[0] == '*' }
func isTail[S Text](token S) bool { return len(token) == 1 && token[0] == '>' }

// Matches reports whether a message published to subject belongs to filter. Wildcards in
// subject are ordinary tokens: "a.*" as a subject is matched by "a.*" and not by "a.b".
func Matches[F, S Text](filter F, subject S) bool {
	return Valid(subject) && covers(filter, subject, false)
}

// Subset reports whether every subject that filter matches is matched by of as well.
func Subset[O, F Text](of O, filter F) bool { return covers(of, filter, true) }

// covers walks both texts token by token. With patterns, wildcards of inner stand for all
// they match; otherwise they are ordinary tokens.
func covers[O, I Text](outer O, inner I, patterns bool) bool {
	for moreOuter, moreInner := true, true; ; {
		var o O
		var i I
		o, outer, moreOuter = cut(outer)
		if isTail(o) && !moreOuter {
			return true
		}
		i, inner, moreInner = cut(inner)
		tail := patterns && isTail(i)
		switch {
		case isStar(o):
			if tail {
				return false
			}
		case patterns && (tail || isStar(i)), string(o) != string(i):
			return false
		}
		if !moreOuter || !moreInner {
			return moreOuter == moreInner
		}
	}
}

// Overlap reports whether some subject is matched by both filters.
func Overlap[A, B Text](a A, b B) bool {
	for moreA, moreB := true, true; ; {
		var x A
		var y B
		x, a, moreA = cut(a)
		y, b, moreB = cut(b)
		if isTail(x) || isTail(y) {
			return true
		}
		if !isStar(x) && !isStar(y) && string(x) != string(y) {
			return false
		}
		if !moreA || !moreB {
			return moreA == moreB
		}
	}
}
