package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestManualNamesEveryCommandAndOption(t *testing.T) {
	r := run(t, "", "man")
	if r.code != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	p := &program{name: "edgebus"}
	for _, row := range p.manualRows() {
		if !strings.Contains(r.stdout, ".TP\n\\fB"+roffText(row.name)+`\fR`) {
			t.Errorf("no command %s", row.name)
		}
		for _, o := range row.options {
			for _, name := range o.names {
				if !strings.Contains(r.stdout, `\fB`+roffText(name)+`\fR`) {
					t.Errorf("no %s of %s", name, row.name)
				}
			}
		}
	}
	step{name: "arguments", args: []string{"man", "pub"}, code: 2, stderr: `edgebus: man takes no arguments; "edgebus help pub" tells of one command` + "\n"}.run(t, "")
}

// What the server takes stands on a page that is written by hand, which completion and manual are made from.
func TestPageOfHelpHasEveryOptionOfTheServer(t *testing.T) {
	p := &program{name: "edgebus"}
	cmd := serveCommand(p)
	takes := make(map[string]bool)
	for _, row := range serveRows(cmd) {
		if row.group == "" || row.text == "" {
			t.Errorf("%q has no group or no text", row.names)
		}
		for _, name := range row.names {
			takes[strings.TrimLeft(name, "-")] = row.value != ""
		}
	}
	missing := make(map[string]bool)
	for _, row := range absent {
		missing[row.name] = true
	}
	for _, f := range cmd.Flags {
		if missing[f.about().Name] {
			continue
		}
		for _, name := range f.about().names() {
			if value, ok := takes[name]; !ok || value != f.takesValue() {
				t.Errorf("-%s: on the page: %v, with a value there: %v", name, ok, value)
			}
		}
	}
}

func TestManualIsTroff(t *testing.T) {
	page := file(t, "edgebus.1", run(t, "", "man").stdout)
	checked := false
	for _, check := range [][]string{{"mandoc", "-T", "lint", "-W", "warning"}, {"groff", "-man", "-Tutf8", "-ww", "-z"}} {
		path, err := exec.LookPath(check[0])
		if err != nil {
			continue
		}
		checked = true
		output, _ := exec.CommandContext(t.Context(), path, append(check[1:], page)...).CombinedOutput()
		for line := range strings.Lines(string(output)) {
			if !strings.Contains(line, "missing date") { // one of a build would make each build another one
				t.Errorf("%s: %s", check[0], line)
			}
		}
	}
	if !checked {
		t.Skip("NEITHER mandoc NOR groff here to look at the page")
	}
}

func TestMistypedWordsAreGuessed(t *testing.T) {
	for _, s := range []step{
		{name: "command", args: []string{"sbu", "a"}, code: 2, stderr: `edgebus: unrecognized command: "sbu" \(did you mean "sub"\?\); try "edgebus help"` + "\n"},
		{name: "alias", args: []string{"publsh", "a"}, code: 2, stderr: `edgebus: unrecognized command: "publsh" \(did you mean "publish"\?\).*`},
		{name: "behind options", args: []string{"-D", "sbu"}, code: 2, stderr: `edgebus: unrecognized command: "sbu".*`},
		{name: "option", args: []string{"pub", "a", "--cuont", "3"}, code: 2, stderr: `edgebus: flag provided but not defined: -cuont \(did you mean --count\?\); try "edgebus pub --help"` + "\n"},
		{name: "with a value", args: []string{"pub", "a", "--cuont=3"}, code: 2, stderr: `edgebus: flag provided but not defined: -cuont \(did you mean --count\?\); .*`},
		{name: "beginning", args: []string{"pub", "a", "--pass", "x"}, code: 2, stderr: `edgebus: flag provided but not defined: -pass \(did you mean --password\?\).*`},
		{name: "of the server", args: []string{"--prot", "4222"}, code: 2, stderr: `edgebus: flag provided but not defined: -prot \(did you mean --port\?\).*`},
		{name: "nothing near", args: []string{"pub", "--zebra"}, code: 2, stderr: `edgebus: flag provided but not defined: -zebra; try "edgebus pub --help"` + "\n"},
	} {
		s.run(t, "")
	}
}
