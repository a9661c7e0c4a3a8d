package config

import "strings"

// A Kind says what becomes of a known key that no field of the target takes.
type Kind uint8

const (
	// WithoutEffect keys are accepted with a warning: leaving them out of account changes
	// nothing that the operator relies on for protection.
	WithoutEffect Kind = iota
	// Refused keys protect or promise something that this program does not do: it must not
	// start as if it did.
	Refused
)

// A Class is the fate of one key that no field of the target takes.
type Class struct {
	Kind Kind
	// Text says what the key would have done and what to do instead.
	Text string
	// Off reports whether a value asks for nothing (false, an empty block); then nothing is said.
	// Nil: every value asks for something.
	Off func(value any) bool
}

// SwitchedOff is an Off for keys that are switches or addresses: false, 0, "", "off", "disabled"
// and an empty list ask for nothing. An empty block does: `jetstream {}` switches it on.
func SwitchedOff(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case bool:
		return !v
	case int64:
		return v == 0
	case string:
		switch strings.ToLower(v) {
		case "", "off", "false", "disable", "disabled", "none", "no":
			return true
		}
	case []any:
		return len(v) == 0
	}
	return false
}

// Empty is SwitchedOff, and an empty block asks for nothing either.
func Empty(value any) bool {
	if block, ok := value.(map[string]any); ok {
		return len(block) == 0
	}
	return SwitchedOff(value)
}

// Nearest finds the known name that a wrong one was probably meant to be; empty: none is near.
func Nearest(wrong string, known []string) string {
	letters := min(max(2, len(wrong)/4), 3) // beyond that, a hint would be a guess, and some keys open doors
	if len(wrong) <= 4 {
		letters = 1
	}
	best, bestDistance := "", letters+1
	for _, name := range known {
		switch d := distance(wrong, name, bestDistance+1); {
		case d < bestDistance, d == bestDistance && best != "" && name < best:
			best, bestDistance = name, d
		}
	}
	return best
}

// maxComparedName bounds the work of a comparison; no key of ours is longer.
const maxComparedName = 64

// distance counts the letters to insert, drop, change or swap with a neighbour to get from a to
// b; it returns at least limit when the names are too different to be worth counting.
func distance(a, b string, limit int) int {
	if len(a) > maxComparedName || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var before, above, row [maxComparedName + 1]int
	if len(b) > maxComparedName {
		return limit
	}
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
