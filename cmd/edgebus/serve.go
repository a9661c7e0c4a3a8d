package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/daemon"
)

// natsServerName is the program name under which we behave as nats-server does where that
// differs.
const natsServerName = "nats-server"

func serveCommand(p *program) *tool {
	flags := []option{
		&stringFlag{Name: "addr", Aliases: []string{"a", "net"}},
		&intFlag{Name: "port", Aliases: []string{"p"}},
		&stringFlag{Name: "name", Aliases: []string{"n", "server_name"}},
		&stringFlag{Name: "pid", Aliases: []string{"P"}},
		&stringFlag{Name: "ports_file_dir"},
		&stringFlag{Name: "config", Aliases: []string{"c"}},
		&boolFlag{Name: "t"},
		&stringFlag{Name: "log", Aliases: []string{"l"}},
		&boolFlag{Name: "logtime", Aliases: []string{"T"}, Value: true},
		&boolFlag{Name: "logtime_utc"},
		&boolFlag{Name: "syslog", Aliases: []string{"s"}},
		&stringFlag{Name: "remote_syslog", Aliases: []string{"r"}},
		&int64Flag{Name: "log_size_limit"},
		&intFlag{Name: "max_traced_msg_len"},
		&boolFlag{Name: "debug", Aliases: []string{"D"}},
		&boolFlag{Name: "trace", Aliases: []string{"V"}},
		&boolFlag{Name: "VV"}, &boolFlag{Name: "DV"}, &boolFlag{Name: "DVV"},
		&stringFlag{Name: "user"}, &stringFlag{Name: "pass"}, &stringFlag{Name: "auth"},
		&intFlag{Name: "http_port", Aliases: []string{"m"}}, &intFlag{Name: "https_port", Aliases: []string{"ms"}},
		&boolFlag{Name: "tls"}, &stringFlag{Name: "tlscert"}, &stringFlag{Name: "tlskey"},
		&boolFlag{Name: "tlsverify"}, &stringFlag{Name: "tlscacert"}, &boolFlag{Name: "help_tls"},
		&boolFlag{Name: "version", Aliases: []string{"v"}},
		&stringFlag{Name: "signal", Aliases: []string{"sl"}, Words: []string{"ldm", "quit", "reload", "reopen", "stop", "term"}},
	}
	for _, row := range absent {
		if row.value {
			flags = append(flags, &stringFlag{Name: row.name, Aliases: row.aliases})
		} else {
			flags = append(flags, &boolFlag{Name: row.name, Aliases: row.aliases})
		}
	}
	return &tool{Name: "serve", Flags: flags, Action: p.serve}
}

// absent are the options of nats-server that are not there. Those that protect or promise
// something are refused, as the same keys of a configuration file are: a server must not run
// without what it was asked for. The others are warned of.
var absent = []struct {
	name    string
	aliases []string
	value   bool
	refused bool
	text    string
}{
	{"jetstream", []string{"js"}, false, true, "streams that keep messages are not built yet; leave the option out, and messages are delivered to who listens and not kept"},
	{"store_dir", []string{"sd"}, true, false, "there is no JetStream yet that would keep anything in it"},
	{"routes", nil, true, false, noCluster}, {"cluster", nil, true, false, noCluster},
	{"cluster_name", nil, true, false, noCluster}, {"cluster_listen", nil, true, false, noCluster},
	{"cluster_advertise", nil, true, false, noCluster}, {"connect_retries", nil, true, false, noCluster},
	{"no_advertise", nil, false, false, noCluster}, {"client_advertise", nil, true, false, "only members of clusters tell clients of addresses"},
	{"profile", nil, true, false, "there is no profiling port; use the tools of the system"},
}

const (
	noCluster = "edgebus is no member of clusters, it joins them as a leaf"
)

func (p *program) serve(c *invocation) error {
	if c.Bool("version") {
		fmt.Fprintln(p.stdout, p.versionLine())
		return nil
	}
	switch arg := c.Arg(0); {
	case arg == "version" || arg == "help":
		return p.dispatch([]string{arg}) // nats-server takes them behind options as well
	case arg == "true" || arg == "false":
		return usageError("unrecognized command: %q; the value of a switch stands behind a =, as in -logtime=%s", arg, arg)
	case isCommand(arg):
		return usageError("unrecognized command: %q; a command comes before its options: \"%s %s ...\"", arg, p.name, arg)
	case arg != "":
		return usageError("unrecognized command: %q; a configuration file is given with -c; try \"%s help\"", arg, p.name)
	}
	if c.Bool("help_tls") {
		fmt.Fprint(p.stdout, helpTLS())
		return nil
	}
	if c.IsSet("signal") {
		return sendSignal(c.String("signal"))
	}
	warnings, err := checkAbsent(c)
	if err != nil {
		return err
	}
	path := c.String("config")
	if c.Bool("t") {
		if path == "" {
			return errors.New("must specify [-c, --config] option to check configuration file syntax")
		}
		loaded, err := daemon.Load(path, override(c))
		if err != nil {
			return err
		}
		defer loaded.Close()
		return p.reportFile(p.stderr, path, loaded, false)
	}
	p.becomeServer()
	inheritance, err := daemon.Inherit()
	if err != nil {
		return err
	}
	err = p.serveWith(inheritance, path, c, warnings)
	inheritance.Failed(err)
	return err
}

// serveWith is the server in this process, with what whoever has started it has left to it.
func (p *program) serveWith(inheritance *daemon.Inheritance, path string, c *invocation, warnings []string) error {
	loaded, err := daemon.Load(path, override(c))
	if err != nil {
		return err
	}
	loaded.Options.Version = version
	loaded.Options.NATSServerDefaults = p.name == natsServerName
	d, err := daemon.FromLoaded(loaded)
	if err != nil {
		return err
	}
	d.Inherits(inheritance)
	for _, warning := range warnings {
		d.Logger().Warn(warning)
	}
	stop := handleSignals(d, nil)
	defer stop()
	return d.Run(context.Background())
}

// becomeServer makes this run one that nobody may be watching: nobody who is to read what it writes, and does
// not or is gone, ends it or keeps it from ending.
func (p *program) becomeServer() {
	outliveReaders()
	p.serves = true
}

// checkAbsent looks for options that are not there.
func checkAbsent(c *invocation) (warnings []string, err error) {
	for _, row := range absent {
		given := !row.value && c.Bool(row.name)
		if row.value {
			// "-m 0" asks for nothing.
			given = c.IsSet(row.name) && !slices.Contains([]string{"", "0"}, c.String(row.name))
		}
		switch {
		case !given:
		case row.refused:
			return nil, fmt.Errorf("--%s: %s", row.name, row.text)
		default:
			warnings = append(warnings, fmt.Sprintf("--%s has no effect: %s", row.name, row.text))
		}
	}
	return warnings, nil
}

// override is what the command line changes in what the file says. Reloading applies it again.
func override(c *invocation) func(*daemon.Options) {
	return func(o *daemon.Options) {
		if c.IsSet("addr") {
			o.Host, o.Listen.Host = c.String("addr"), ""
		}
		if c.IsSet("port") {
			o.Port, o.Listen.Port = c.Int("port"), 0
		}
		// A port here overrules the other one of the file as well: there are pages at one port only.
		if c.IsSet("http_port") {
			o.Monitor.HTTP.Port, o.Monitor.HTTPPort, o.Monitor.HTTPS.Port, o.Monitor.HTTPSPort = c.Int("http_port"), 0, 0, 0
		}
		if c.IsSet("https_port") {
			o.Monitor.HTTPS.Port, o.Monitor.HTTPSPort, o.Monitor.HTTP.Port, o.Monitor.HTTPPort = c.Int("https_port"), 0, 0, 0
		}
		setString(c, "name", &o.Server.ServerName)
		setString(c, "pid", &o.PidFile)
		setString(c, "ports_file_dir", &o.PortsFileDir)
		setString(c, "log", &o.Log.File)
		setString(c, "remote_syslog", &o.Log.RemoteSyslog)
		setBool(c, "syslog", &o.Log.Syslog)
		setBool(c, "logtime_utc", &o.Log.TimeUTC)
		setBool(c, "debug", &o.Log.Debug)
		setBool(c, "trace", &o.Log.Trace)
		if c.IsSet("logtime") {
			on := c.Bool("logtime")
			o.Log.Time = &on
		}
		if c.IsSet("log_size_limit") {
			o.Log.FileSizeLimit = c.Int64("log_size_limit")
		}
		if c.IsSet("max_traced_msg_len") {
			o.Server.MaxTracedMsgLen = c.Int("max_traced_msg_len")
		}
		if c.Bool("DV") || c.Bool("DVV") {
			o.Log.Debug, o.Log.Trace = true, true
		}
		if c.Bool("VV") {
			o.Log.Trace = true
		}
		setString(c, "user", &o.Auth.User)
		setString(c, "pass", &o.Auth.Password)
		setString(c, "auth", &o.Auth.Token)
		overrideTLS(c, o)
	}
}

func setString(c *invocation, name string, field *string) {
	if c.IsSet(name) {
		*field = c.String(name)
	}
}

func setBool(c *invocation, name string, field *bool) {
	if c.IsSet(name) {
		*field = c.Bool(name)
	}
}

// reportFile says of a configuration that could be loaded that it is valid, and what to beware of. Warnings are no
// failure, since the server starts with them and scripts ask -t whether it would, unless strict says so.
func (p *program) reportFile(w io.Writer, path string, loaded *daemon.Loaded, strict bool) error {
	for _, warning := range loaded.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", p.name, warning)
	}
	if len(loaded.Warnings) > 0 && strict {
		return fmt.Errorf("configuration file %s has warnings; the server would start with it", path)
	}
	fmt.Fprintf(w, "%s: configuration file %s is valid (%s)\n", p.name, path, loaded.Digest)
	return nil
}

// lines gives each line of an error text the program's name, so that each can be found.
func (p *program) lines(err error) string {
	var b strings.Builder
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(&b, "%s: %s\n", p.name, strings.TrimSuffix(line, "\n"))
	}
	return b.String()
}
