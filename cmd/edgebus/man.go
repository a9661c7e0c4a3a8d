package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

func manCommand(p *program) *tool {
	return &tool{
		Name: "man",
		Description: `Prints the manual page edgebus(1), in the language of man:

    edgebus man | man -l -
    edgebus man > /usr/share/man/man1/edgebus.1`,
		Action: p.man,
	}
}

func (p *program) man(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("man takes no arguments; \"%s help %s\" tells of one command", p.name, c.Arg(0))
	}
	page := manPage(p.manualRows())
	_, err := io.WriteString(p.stdout, page)
	return err
}

// A roff writes a page with the macros of man(7).
type roff struct{ strings.Builder }

func (r *roff) macro(name, text string) { fmt.Fprintf(r, ".%s %s\n", name, text) }

// quoted is one argument of a macro.
func quoted(text string) string {
	return `"` + strings.ReplaceAll(roffText(text), `"`, `\(dq`) + `"`
}

// roffText keeps text from being taken for requests, and dashes and accents for typography: what stands here
// is copied into shells.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "`", `\(ga`, "'", `\(aq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func (r *roff) line(text string) { r.WriteString(roffText(text) + "\n") }

// prose writes a description: paragraphs with empty lines between them, and as they are those further in.
func (r *roff) prose(text string) {
	asIs := false
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "    ")
		switch {
		case indented && !asIs:
			r.WriteString(".RS 4\n.nf\n")
		case !indented && asIs:
			r.WriteString(".fi\n.RE\n")
		}
		asIs = indented
		if line == "" {
			r.WriteString(".PP\n")
			continue
		}
		r.line(strings.TrimPrefix(line, "    "))
	}
	if asIs {
		r.WriteString(".fi\n.RE\n")
	}
}

// option is one option with its text.
func (r *roff) option(o *optionRow) {
	names := make([]string, len(o.names))
	for i, name := range o.names {
		names[i] = `\fB` + roffText(name) + `\fR`
	}
	head := strings.Join(names, ", ")
	if o.value != "" {
		head += ` \fI` + roffText(o.value) + `\fR`
	}
	fmt.Fprintf(r, ".TP\n%s\n", head)
	r.line(o.text)
}

// manPage is all of it.
func manPage(rows []manualRow) string {
	r := new(roff)
	r.WriteString(`.\" Printed by "edgebus man".` + "\n")
	fmt.Fprintf(r, ".TH EDGEBUS 1 \"\" %s \"User Commands\"\n.nh\n.ad l\n", quoted("edgebus "+version)) // words are not to be parted: they are typed
	r.macro("SH", "NAME")
	r.line("edgebus - message bus for edge gateways, and its tools")
	r.macro("SH", "SYNOPSIS")
	r.WriteString("\\fBedgebus\\fR [\\fIoptions\\fR]\n.br\n\\fBedgebus\\fR \\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n")
	r.macro("SH", "DESCRIPTION")
	r.prose(manDescription)
	r.macro("SH", "COMMANDS")
	for i := range rows {
		row := &rows[i]
		head := `\fB` + roffText(row.name) + `\fR`
		if row.arguments != "" {
			head += ` \fI` + roffText(row.arguments) + `\fR`
		}
		fmt.Fprintf(r, ".TP\n%s\n", head)
		r.line(upperFirst(row.summary) + ".")
	}
	var shared []optionRow
	for i := range rows {
		if rows[i].name == serveName {
			r.macro("SH", "OPTIONS OF THE SERVER")
			r.optionGroups(rows[i].options)
		}
	}
	r.macro("SH", "THE COMMANDS ONE BY ONE")
	for i := range rows {
		if rows[i].name != serveName {
			shared = r.oneCommand(&rows[i], shared)
		}
	}
	if len(shared) > 0 {
		r.macro("SH", "CONNECTION OPTIONS")
		r.line("Of the commands that connect to a bus.")
		for i := range shared {
			r.option(&shared[i])
		}
	}
	r.environment(rows)
	for _, section := range manSections {
		r.macro("SH", section.title)
		r.prose(section.text)
	}
	return r.String()
}

// optionGroups writes options under the headings of the page of help.
func (r *roff) optionGroups(options []optionRow) {
	group := ""
	for i := range options {
		if o := &options[i]; o.group != group {
			group = o.group
			r.macro("SS", quoted(group))
		}
		r.option(&options[i])
	}
}

// oneCommand writes what a command does and which options it has of its own; those of the connection, which
// many have, are returned.
func (r *roff) oneCommand(row *manualRow, shared []optionRow) []optionRow {
	head := "edgebus " + row.name
	if len(row.options) > 0 {
		head += " [options]"
	}
	if row.arguments != "" {
		head += " " + row.arguments
	}
	r.macro("SS", quoted(head))
	r.prose(row.cmd.Description)
	if len(row.aliases) > 0 {
		r.WriteString(".PP\n")
		r.line("Also called " + strings.Join(row.aliases, ", ") + ".")
	}
	var connects []optionRow
	for i := range row.options {
		if row.options[i].group == connectionOptions {
			connects = append(connects, row.options[i])
			continue
		}
		r.option(&row.options[i])
	}
	if len(connects) > 0 {
		r.WriteString(".PP\n")
		r.line("It has the CONNECTION OPTIONS below as well.")
		return connects
	}
	return shared
}

// environment lists the variables that options are taken from.
func (r *roff) environment(rows []manualRow) {
	options := make(map[string]string)
	var names []string
	for i := range rows {
		for _, o := range rows[i].options {
			for _, name := range o.env {
				if options[name] == "" {
					names = append(names, name)
					options[name] = o.names[len(o.names)-1]
				}
			}
		}
	}
	slices.Sort(names)
	r.macro("SH", "ENVIRONMENT")
	for _, name := range names {
		fmt.Fprintf(r, ".TP\n\\fB%s\\fR\n", roffText(name))
		r.line("Taken for " + options[name] + " where that is not given.")
	}
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

const manDescription = `edgebus is a message bus for edge gateways: devices, services and tools of a site publish to it and subscribe
at it with any NATS client, and over leaf links it joins a hub, a nats-server that nobody has changed.

Without a command it serves. Without a configuration it listens on 127.0.0.1:4222 only; a first server that
other machines reach, with a password, is started by "edgebus up".

Options may stand anywhere behind the command and be written with one dash or two.`

var manSections = []struct{ title, text string }{
	{"SIGNALS", `INT and TERM stop the server in order, and a second one, a moment later, at once. HUP has it read its
configuration again: all of it, or nothing if a line is wrong. USR1 has it open its log file anew, and USR2 has
it ask its clients to go elsewhere before it ends.`},
	{"EXIT STATUS", `0: done. 1: it could not be done. 2: the command line makes no sense.

Of doctor 1 is warnings and 2 is errors; of why 1 is that nobody gets the message, and 2 that it could not be asked.`},
	{"FILES", `/etc/edgebus, or .config/edgebus in the home of users other than root, is where "edgebus up" keeps its
configuration, edgebus.conf, with devices.conf and uplink.conf beside it.`},
}
