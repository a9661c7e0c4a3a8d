package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// version is set by the linker.
var version = "dev"

// A command is one row of the table: what help lists, and how to build the rest when it is
// the one that runs. Serving builds none of them.
type command struct {
	name      string
	aliases   []string
	arguments string
	summary   string
	build     func(p *program) *tool
}

func commands() []command {
	return []command{
		{"serve", nil, "", "run the bus; the same as no subcommand", serveCommand},
		{"pub", []string{"publish"}, "SUBJECT [BODY]", "publish messages", pubCommand},
		{"sub", []string{"subscribe"}, "SUBJECT...", "print messages as they come", subCommand},
		{"request", []string{"req"}, "SUBJECT [BODY]", "publish a question and print the answers", requestCommand},
		{"reply", nil, "SUBJECT [BODY]", "answer questions", replyCommand},
		{"bench", nil, "[SUBJECT]", "measure throughput and latency of a bus", benchCommand},
		{"up", nil, "", "start a first server: configuration, password, hub", upCommand},
		{"down", nil, "", "stop what up has started", downCommand},
		{"upgrade", nil, "[FILE]", "have another program take a running server's place", upgradeCommand},
		{"device", nil, "add|list|revoke", "say which devices may connect", deviceCommand},
		{"check", nil, "", "check a configuration file, or whether a bus answers", checkCommand},
		{"doctor", nil, "", "look at a server from all sides and say what to do", doctorCommand},
		{"why", nil, "SUBJECT", "say where a message would go, and why it does not", whyCommand},
		{"top", nil, "", "show who is connected and how much each sends", topCommand},
		{"traffic", nil, "SUBJECT", "show what is published, how often and how large", trafficCommand},
		{"passwd", nil, "", "make the bcrypt hash of a password for a configuration file", passwdCommand},
		{"completion", nil, "SHELL", "print what bash, zsh or fish needs to complete command lines", completionCommand},
		{"man", nil, "", "print the manual page", manCommand},
		{"version", nil, "", "print the version", versionCommand},
	}
}

func isCommand(name string) bool {
	return slices.ContainsFunc(commands(), func(row command) bool {
		return row.name == name || slices.Contains(row.aliases, name)
	})
}

// A program is one run of the command line.
type program struct {
	name           string // argv[0] without folder: prefix of errors, as operators know it
	stdin          *os.File
	stdout, stderr io.Writer
	service        *supervisor // nil: that of this machine
	serves         bool        // it is a server from here on
}

// exitError is an error with an exit code of its own. A nil error prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

const (
	exitFailed = 1
	exitUsage  = 2
	// lastWord is how long a server's last words may take.
	lastWord = 2 * time.Second
)

// usageError is for command lines that make no sense.
func usageError(format string, values ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, values...)}
}

func main() {
	p := &program{name: baseName(os.Args[0]), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(os.Args[1:]))
}

func baseName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), ".exe")
}

// run runs one command line and returns the exit code.
func (p *program) run(args []string) int {
	err := p.dispatch(args)
	if err == nil {
		return 0
	}
	code := exitFailed
	if exit := new(exitError); errors.As(err, &exit) {
		code, err = exit.code, exit.err
	}
	if err != nil {
		p.complain(p.lines(err))
	}
	return code
}

// complain writes to standard error. A server ends and starts anew however little that is read.
func (p *program) complain(text string) {
	done := aside(func() { io.WriteString(p.stderr, text) })
	if !p.serves {
		<-done
		return
	}
	await(done, lastWord)
}

func (p *program) dispatch(args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return p.execute(serveCommand(p), nil, args)
	}
	if args[0] == "help" {
		if len(args) > 1 {
			return p.dispatch([]string{args[1], "--help"})
		}
		io.WriteString(p.stdout, p.usage())
		return nil
	}
	for _, row := range commands() {
		if row.name == args[0] || slices.Contains(row.aliases, args[0]) {
			return p.execute(row.build(p), &row, args[1:])
		}
	}
	hint := didYouMean(args[0], commandNames(), "%q")
	if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
		hint = "; a configuration file is given with -c"
	}
	return usageError("unrecognized command: %q%s; try \"%s help\"", args[0], hint, p.name)
}

// execute parses args for one command and runs it. row is nil when there is no subcommand.
func (p *program) execute(cmd *tool, row *command, args []string) error {
	if wantsHelp(cmd.Flags, args) {
		help := p.usage
		if row != nil && row.name != "serve" {
			help = func() string { return p.commandUsage(row, cmd) }
		}
		io.WriteString(p.stdout, help())
		return nil
	}
	hint := p.name + " --help"
	if row != nil {
		hint = p.name + " " + row.name + " --help"
	}
	ordered, err := flagsFirst(cmd.Flags, args)
	if err != nil {
		return usageError("%w; try %q", err, hint)
	}
	c, err := cmd.read(ordered)
	if err != nil {
		return usageError("%w; try %q", err, hint)
	}
	return cmd.Action(c)
}
