package main

import (
	"regexp"
	"slices"
	"strings"
)

// What completion and the manual page know of the commands: the table of commands, the options of each, and
// for the server's own the page of help, which is written by hand.

// An optionRow is one option as it is typed and told of.
type optionRow struct {
	names []string // with their dashes, short ones first
	value string   // what it takes, such as FILE; empty: nothing
	text  string
	group string   // heading of the page of help
	words []string // what its value may be; empty: anything
	env   []string
}

// serveName is the row of the table whose options stand without a command as well.
const serveName = "serve"

// optionRows are the options of a command that help shows.
func optionRows(cmd *tool) []optionRow {
	if cmd.Name == serveName {
		return serveRows(cmd)
	}
	var rows []optionRow
	for _, f := range cmd.Flags {
		about := f.about()
		if about.Hidden {
			continue
		}
		names, value, text := flagParts(f)
		rows = append(rows, optionRow{names: names, value: value, text: text, group: about.Group, words: about.Words, env: about.EnvVars})
	}
	return rows
}

// helpLine is a line of serveHelp with an option: its names, its value, and what it does.
var helpLine = regexp.MustCompile(`^ {4,8}(-[^<]*?)(?: (<[^ ]+))?(?: {2,}(.*))?$`)

// serveRows reads the page of the server's options.
func serveRows(cmd *tool) []optionRow {
	var rows []optionRow
	group := ""
	for line := range strings.Lines(serveHelp) {
		line = strings.TrimRight(line, "\n")
		match := helpLine.FindStringSubmatch(line)
		switch {
		case match != nil:
			names := strings.FieldsFunc(match[1], func(r rune) bool { return r == ',' || r == ' ' })
			if n := len(rows); n > 0 && rows[n-1].text == "" { // its other names stand on this line
				names = append(rows[n-1].names, names...)
				rows = rows[:n-1]
			}
			rows = append(rows, optionRow{names: names, value: strings.NewReplacer("<", "", ">", "").Replace(match[2]), text: match[3], group: group, words: wordsOf(cmd, names)})
		case strings.HasSuffix(line, " Options:"):
			group = strings.TrimSuffix(line, ":")
		case strings.HasPrefix(line, strings.Repeat(" ", 30)) && len(rows) > 0:
			rows[len(rows)-1].text += " " + strings.TrimSpace(line)
		}
	}
	return rows
}

func wordsOf(cmd *tool, names []string) []string {
	for _, f := range cmd.Flags {
		if about := f.about(); slices.Contains(names, "--"+about.Name) {
			return about.Words
		}
	}
	return nil
}

// takesFile reports whether an option's value is the name of a file or folder.
func (r *optionRow) takesFile() bool {
	switch strings.ToUpper(r.value) {
	case "FILE", "FOLDER", "PATH", "DIR":
		return true
	}
	return false
}

// A manualRow is one command with all that there is to say of it.
type manualRow struct {
	command
	cmd     *tool
	options []optionRow
}

// takesFile reports whether a command's argument is the name of a file.
func (r *manualRow) takesFile() bool { return strings.Contains(r.arguments, "FILE") }

func (r *manualRow) names() []string { return append([]string{r.name}, r.aliases...) }

func (p *program) manualRows() []manualRow {
	var rows []manualRow
	for _, row := range commands() {
		cmd := row.build(p)
		rows = append(rows, manualRow{row, cmd, optionRows(cmd)})
	}
	return rows
}
