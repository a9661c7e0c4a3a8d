package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Place is where something stands in a configuration. Line and Column count from 1; 0 means
// that only the file is known.
type Place struct {
	File         string
	Line, Column int
}

// String gives file:line:column, leaving out what is not known.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// A Problem is one thing to be said about one place of a configuration, error or warning.
type Problem struct {
	Place
	Text string
}

func (p Problem) Error() string { return p.String() }

func (p Problem) String() string {
	if p.File == "" {
		return p.Text
	}
	return p.Place.String() + ": " + p.Text
}

// Problems is the error of a configuration: everything that was found, in the order of the file.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// With adds warnings to what is wrong, in the order of the file and marked as such.
func (p Problems) With(warnings []Problem) Problems {
	all := slices.Clone(p)
	for _, warning := range warnings {
		all = append(all, Problem{warning.Place, "warning: " + warning.Text})
	}
	return sortProblems(all)
}

// sortProblems puts problems in the order in which a reader meets their places, and drops
// repetitions: a block that two variables refer to would report its mistakes twice.
func sortProblems(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(problems)
}

// cutText shortens a value from a file for a message.
func cutText(s string) string {
	const limit = 64
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
