package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func doctorCommand(p *program) *tool {
	return &tool{
		Name: "doctor",
		Description: `Looks at a server from all sides: its configuration (-c), the clock, certificates, disks and limits of this
machine, the server that runs, whether it lets you in (--user and so on), its monitoring pages and each hub
that it is to join. What is wrong comes first, each with a sentence of what to do.

Exit code 0: all is well that was looked at; 1: there are warnings; 2: something is wrong. What was skipped, such as
a login for which no options were given, is said and counts for nothing.`,
		Flags: monitorFlags(clientFlags(
			&boolFlag{Name: "json", Usage: "print JSON"},
			&boolFlag{Name: "no-hubs", Usage: "do not try to join hubs that no running server tells about"},
		)...),
		Action: p.doctor,
	}
}

// A severity is how bad a finding is, and the exit code that it asks for.
type severity int

const (
	wasSkipped severity = iota - 1 // nothing is known of it, which is no fault of the server's
	isWell
	isWarning
	isError
)

var severityNames = [...]string{"skipped", "ok", "warning", "error"}

func (s severity) String() string { return severityNames[s-wasSkipped] }

// MarshalText implements encoding.TextMarshaler.
func (s severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A finding is one thing that was looked at. About is one of a few words: clock, configuration,
// certificate, disk, port, login, server, memory, files, pages, hub.
type finding struct {
	Severity severity `json:"severity"`
	About    string   `json:"about"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

// An examination is one run of the doctor. What it learns of the machine comes through fields, so that
// tests can have another machine.
type examination struct {
	c      *invocation
	path   string         // of the configuration; empty: none
	loaded *daemon.Loaded // nil: no configuration, or one that cannot be used

	now   func() time.Time
	space func(folder string) (diskState, error)
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	root  string // where proc is

	answers  bool   // the server has greeted us
	id       string // by its greeting
	wantAuth bool   // and asks for credentials or TLS
	told     bool   // its pages have said how it is with the hubs
	findings []finding
}

func newExamination(c *invocation) (*examination, error) {
	path, err := configPath(c, "server", "monitor")
	return &examination{c: c, path: path, now: time.Now, space: diskSpace, dial: new(net.Dialer).DialContext, root: "/"}, err
}

func (e *examination) add(s severity, about, remedy, format string, values ...any) {
	e.findings = append(e.findings, finding{s, about, fmt.Sprintf(format, values...), remedy})
}

// doctorPatience bounds the whole run, whatever does not answer.
const doctorPatience = time.Minute

func (p *program) doctor(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("doctor takes no arguments; a configuration file is given with -c")
	}
	if c.Duration("timeout") <= 0 {
		return usageError("--timeout must be above zero")
	}
	ctx, stop := withInterrupt()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	e, err := newExamination(c)
	if err != nil {
		return &exitError{int(isError), err}
	}
	if err := e.examine(ctx); err != nil {
		return err
	}
	worst, err := e.print(p.stdout, c.Bool("json"))
	if err == nil && worst != isWell {
		err = &exitError{code: int(worst)}
	}
	return err
}

// examine looks at everything, what is the cause of most first: certificates that are not valid yet
// come from a clock that is wrong, and a server that does not run from a mistake in its file.
func (e *examination) examine(ctx context.Context) error {
	e.clock()
	e.configuration()
	if e.loaded != nil {
		defer e.loaded.Close()
	}
	e.certificates()
	e.disks()
	if err := e.server(ctx); err != nil {
		return err
	}
	e.pages(ctx)
	e.descriptors()
	e.hubs(ctx)
	slices.SortStableFunc(e.findings, func(a, b finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return nil
}

// leastTime is one that no machine with a working clock has.
var leastTime = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

func (e *examination) clock() {
	now := e.now().UTC()
	if now.Before(leastTime) {
		e.add(isError, "clock", "set it, or have NTP set it before the server starts: until then certificates and credentials are not valid",
			"this machine's clock says %s UTC, which cannot be", now.Format("2006-01-02 15:04"))
		return
	}
	e.add(isWell, "clock", "", "%s UTC", now.Format("2006-01-02 15:04"))
}

func (e *examination) configuration() {
	if e.path == "" {
		return
	}
	var err error
	if e.loaded, err = daemon.Load(e.path, nil); err != nil {
		for line := range strings.Lines(err.Error()) {
			line = strings.TrimSpace(line)
			if place, text, ok := strings.Cut(line, ": warning: "); ok {
				e.add(isWarning, "configuration", "change this line, or leave it if it is meant", "%s: %s", place, text)
				continue
			}
			remedy := "mend this line: the server does not start with it, and a running one does not take it up"
			if refused, todo, ok := strings.Cut(line, " may not be read by this user: "); ok {
				line, remedy = refused+" may not be read by this user", todo
			}
			if missing, todo, ok := strings.Cut(line, ": add the first device"); ok {
				line, remedy = missing, "add the first device"+todo
			}
			e.add(isError, "configuration", remedy, "%s", line)
		}
		return
	}
	warnings := 0
	for _, warning := range slices.Concat(e.loaded.Warnings, e.loaded.Exposures()) {
		if strings.Contains(warning.Text, "the certificate ") {
			continue // certificates says it, with what is in the file
		}
		warnings++
		e.add(isWarning, "configuration", "change this line, or leave it if it is meant", "%s", warning)
	}
	if warnings == 0 {
		e.add(isWell, "configuration", "", "%s is valid", e.path)
	}
}

// print writes what was found and returns the worst of it.
func (e *examination) print(w io.Writer, asJSON bool) (worst severity, err error) {
	var counts [len(severityNames)]int
	count := func(s severity) int { return counts[s-wasSkipped] }
	for _, f := range e.findings {
		worst = max(worst, f.Severity)
		counts[f.Severity-wasSkipped]++
	}
	if asJSON {
		return worst, json.NewEncoder(w).Encode(struct {
			Worst    severity  `json:"worst"`
			Errors   int       `json:"errors"`
			Warnings int       `json:"warnings"`
			Skipped  int       `json:"skipped"`
			Findings []finding `json:"findings"`
		}{worst, count(isError), count(isWarning), count(wasSkipped), e.findings})
	}
	var b strings.Builder
	for _, f := range e.findings {
		fmt.Fprintf(&b, "%s: %s: %s\n", f.Severity, f.About, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  %s\n", f.Remedy)
		}
	}
	fmt.Fprintf(&b, "%s, %s, %d well", plural(count(isError), "error"), plural(count(isWarning), "warning"), count(isWell))
	if n := count(wasSkipped); n > 0 {
		fmt.Fprintf(&b, ", %d skipped", n)
	}
	b.WriteByte('\n')
	_, err = io.WriteString(w, b.String())
	return worst, err
}
