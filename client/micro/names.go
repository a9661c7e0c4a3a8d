package micro

import "strings"

// validName: the name of a service or endpoint is one token of a subject, of a narrow alphabet.
func validName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool { return !alphanumeric(r) && r != '_' }) < 0
}

// alphanumeric with dashes: the alphabet of identifiers in versions.
func alphanumeric(r rune) bool {
	return digit(r) || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-'
}

func digit(r rune) bool { return r >= '0' && r <= '9' }

// validVersion follows semver.org 2.0.0: three numbers, identifiers of a release to come after a
// dash, identifiers of the build after a plus. A regular expression would say it in one line and
// cost every sensor's program 300 KB.
func validVersion(version string) bool {
	version, build, isBuilt := strings.Cut(version, "+")
	core, release, isEarly := strings.Cut(version, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 {
		return false
	}
	for _, n := range numbers {
		if !numeric(n) || leadingZero(n) {
			return false
		}
	}
	if isEarly {
		for each := range strings.SplitSeq(release, ".") {
			if !identifier(each) || numeric(each) && leadingZero(each) {
				return false
			}
		}
	}
	if isBuilt {
		for each := range strings.SplitSeq(build, ".") {
			if !identifier(each) {
				return false
			}
		}
	}
	return true
}

func numeric(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !digit(r) }) < 0
}

func leadingZero(s string) bool { return len(s) > 1 && s[0] == '0' }

func identifier(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !alphanumeric(r) }) < 0
}
