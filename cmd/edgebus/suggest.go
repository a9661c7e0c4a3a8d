package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/edgebus-io/edgebus/daemon"
)

// What a mistyped word was probably meant to be.

// suggestion finds the known word that is near a wrong one, or the only one that begins with it.
func suggestion(wrong string, known []string) string {
	if near := daemon.Nearest(wrong, known); near != "" {
		return near
	}
	var begin []string
	for _, word := range known {
		if len(wrong) > 1 && strings.HasPrefix(word, wrong) {
			begin = append(begin, word)
		}
	}
	if len(begin) == 1 {
		return begin[0]
	}
	return ""
}

// didYouMean goes behind a wrong word in an error; shown has a place for the right one.
func didYouMean(wrong string, known []string, shown string) string {
	if near := suggestion(wrong, known); near != "" {
		return " (did you mean " + fmt.Sprintf(shown, near) + "?)"
	}
	return ""
}

// commandNames are all words that may stand first.
func commandNames() []string {
	names := []string{"help"}
	for _, row := range commands() {
		names = append(append(names, row.name), row.aliases...)
	}
	return names
}

// unknownFlag adds a suggestion to the parser's error about a flag that the tool does not have. The error has
// no type to ask for.
func (t *tool) unknownFlag(err error) error {
	wrong, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return err
	}
	var known []string
	for _, f := range t.Flags {
		about := f.about()
		if about.Hidden {
			continue
		}
		for _, name := range about.names() {
			if len(name) > 1 {
				known = append(known, name)
			}
		}
	}
	return errors.New(err.Error() + didYouMean(wrong, known, "--%s"))
}
