package main

import (
	"fmt"
	"strings"
)

// Help is written by hand here: the library's templates would be parsed at each start, and
// operators know the page of nats-server.

func (p *program) usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nUsage: %s [options]             run the bus\n       %s COMMAND [options]     one of the tools below\n\nCommands:\n", p.name, p.name)
	for _, row := range commands() {
		fmt.Fprintf(&b, "    %-11s %-17s %s\n", row.name, row.arguments, row.summary)
	}
	fmt.Fprintf(&b, "\n\"%s help COMMAND\" tells more of one.\n", p.name)
	help := serveHelp
	if p.name == natsServerName {
		help = strings.Replace(help, ownAddress, natsServerAddress, 1)
	}
	b.WriteString(help)
	return b.String()
}

func (p *program) commandUsage(row *command, cmd *tool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nUsage: %s %s [options]", p.name, row.name)
	if row.arguments != "" {
		fmt.Fprintf(&b, " %s", row.arguments)
	}
	fmt.Fprintf(&b, "\n\n%s\n", strings.TrimSpace(cmd.Description))
	group := "\x00"
	for _, f := range cmd.Flags {
		about := f.about()
		if about.Hidden {
			continue
		}
		if about.Group != group {
			group = about.Group
			title := group
			if title == "" {
				title = "Options"
			}
			fmt.Fprintf(&b, "\n%s:\n", title)
		}
		b.WriteString(flagUsage(f))
	}
	return b.String() + "\n"
}

// flagUsage is one flag's line.
func flagUsage(f option) string {
	names, value, text := flagParts(f)
	left := strings.Join(names, ", ")
	if value != "" {
		left += " " + value
	}
	return fmt.Sprintf("    %-28s %s\n", left, text)
}

// flagParts are what there is to say of a flag: names, what value it takes, what it does, where else it may
// be set and what it is otherwise.
func flagParts(f option) (names []string, value, text string) {
	about := f.about()
	for _, name := range about.names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	text = about.Usage
	if f.takesValue() {
		value = "VALUE"
		// A word in backquotes names the value, as in the standard library's flag package.
		if _, rest, ok := strings.Cut(text, "`"); ok {
			if word, _, ok := strings.Cut(rest, "`"); ok {
				value, text = word, strings.ReplaceAll(text, "`", "")
			}
		}
	}
	var notes []string
	if len(about.EnvVars) > 0 {
		notes = append(notes, "$"+strings.Join(about.EnvVars, ", $"))
	}
	if s := f.defaultText(); s != "" {
		notes = append(notes, "default "+s)
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, "; ") + ")"
	}
	return names, value, text
}

// Where the server listens unless it is told depends on the name that it was started with.
const (
	ownAddress        = "(default: 127.0.0.1 without\n                                     authentication, 0.0.0.0 with it)"
	natsServerAddress = "(default: 0.0.0.0)"
)

// serveHelp follows the page of nats-server, line by line where there is a counterpart.
const serveHelp = `
Server Options:
    -a, --addr, --net <host>         Bind to host address ` + ownAddress + `
    -p, --port <port>                Use port for clients (default: 4222, -1: any free one)
    -n, --name
        --server_name <server_name>  Server name (default: auto)
    -P, --pid <file>                 File to store PID, removed at the end
    -m, --http_port <port>           Use port for http monitoring
    -ms,--https_port <port>          Use port for https monitoring
    -c, --config <file>              Configuration file
    -t                               Test configuration and exit: with 0 if the server would start with it,
                                     warnings or not, with 1 on errors ("check --strict": on warnings as well)
    -sl,--signal <signal>=<pid>      Send signal to a running server (ldm, stop, quit, term, reopen, reload)
                                     <pid> is a PID or the path to a PID file (e.g. /run/edgebus/edgebus.pid);
                                     it cannot be left out
        --ports_file_dir <dir>       Creates a ports file in the specified directory (<executable_name>_<pid>.ports).

Logging Options:
    -l, --log <file>                 File to redirect log output
    -T, --logtime                    Timestamp log entries (default: true)
        --logtime_utc                Timestamps in UTC instead of local timezone (default: false)
    -s, --syslog                     Log to syslog
    -r, --remote_syslog <addr>       Syslog server addr (udp://localhost:514)
    -D, --debug                      Enable debugging output
    -V, --trace                      Trace the raw protocol
    -VV                              The same as -V
    -DV                              Debug and trace
    -DVV                             The same as -DV
        --log_size_limit <limit>     Logfile size limit in bytes, 4096 at least (default: 10485760, -1: none)
        --max_traced_msg_len <len>   Maximum printable length for traced messages (default: unlimited)

Authorization Options:
        --user <user>                User required for connections
        --pass <password>            Password required for connections
        --auth <token>               Authorization token required for connections

TLS Options:
        --tls                        Enable TLS, do not verify clients
        --tlscert <file>             Server certificate file
        --tlskey <file>              Private key for server certificate
        --tlsverify                  Enable TLS, verify client certificates
        --tlscacert <file>           Client certificate CA for verification

Common Options:
    -h, --help                       Show this message
    -v, --version                    Show version
        --help_tls                   Show what the tls block of a configuration file takes

Signals: INT and TERM stop in order, a second one at once; USR2 lame duck; USR1 reopens the
log file; HUP reads the configuration file again.

Switches take a value behind a =, as in -logtime=false. Options win over the configuration file.

Not there yet: -js and -sd. Not ours: the options of clusters. Each says so when it is given.

`
