//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	steps := []step{
		{name: "version", args: []string{"-v"}, stdout: "edgebus: v1.2.3\n"},
		{name: "long version", args: []string{"--version"}, stdout: "edgebus: v1.2.3\n"},
		{name: "version command", args: []string{"version"}, stdout: "edgebus: v1.2.3\n"},
		{name: "version behind options", args: []string{"-D", "version"}, stdout: "edgebus: v1.2.3\n"},
		{name: "built with", args: []string{"version", "--long"}, stdout: "edgebus: v1.2.3\ngo1.*/.*\n"},
		{name: "unknown command", args: []string{"xyz"}, code: 2, stderr: `edgebus: unrecognized command: "xyz"; try "edgebus help"` + "\n"},
		{name: "unknown command behind options", args: []string{"-D", "xyz"}, code: 2, stderr: `edgebus: unrecognized command: "xyz".*`},
		{name: "unknown option", args: []string{"--nosuch"}, code: 2, stderr: `edgebus: flag provided but not defined: -nosuch; try "edgebus --help"` + "\n"},
		{name: "unknown option of a command", args: []string{"pub", "--nosuch", "a"}, code: 2, stderr: `edgebus: flag provided but not defined: -nosuch; try "edgebus pub --help"` + "\n"},
		{name: "bad value", args: []string{"-p", "many"}, code: 2, stderr: `edgebus: -p wants a number and got "many"; try "edgebus --help"` + "\n"},
		{name: "bad switch", args: []string{"-logtime=maybe"}, code: 2, stderr: `edgebus: --logtime wants true or false behind a =.*"maybe".*`},
		{name: "value of a switch", args: []string{"-logtime", "false"}, code: 2, stderr: `edgebus: unrecognized command: "false"; .*-logtime=false` + "\n"},
		{name: "no value", args: []string{"-p", "4222", "-a"}, code: 2, stderr: `edgebus: -a needs a value behind it; try "edgebus --help"` + "\n"},
		{name: "command behind options", args: []string{"-D", "pub", "a"}, code: 2, stderr: `edgebus: unrecognized command: "pub"; a command comes before its options: "edgebus pub ..."` + "\n"},
		{name: "file without -c", args: []string{"-D", "a.conf"}, code: 2, stderr: `edgebus: unrecognized command: "a.conf"; a configuration file is given with -c; .*`},
		{name: "a file for a command", args: []string{file(t, "a.conf", "")}, code: 2, stderr: `edgebus: unrecognized command: "\S+a.conf"; a configuration file is given with -c; try "edgebus help"` + "\n"},
		{name: "name with a blank", args: []string{"-n", "a b"}, code: 1, stderr: `edgebus: server_name "a b" has a blank in it.*`},
		{name: "port in the address", args: []string{"-a", "127.0.0.1:4222", "-p", "-1"}, code: 1, stderr: `edgebus: host takes an address without a port: use listen: "127.0.0.1:4222", or -p beside -a` + "\n"},
		{name: "bad port", args: []string{"-p", "70000"}, code: 1, stderr: `edgebus: port 70000 is not between 1 and 65535.*`},
		{name: "streams", args: []string{"-js"}, code: 1, stderr: "edgebus: --jetstream: .*not built yet.*"},
		{name: "TLS", args: []string{"--tls"}, code: 1, stderr: "edgebus: .*cert_file.*"},
		{name: "TLS certificate", args: []string{"-tlscert", "x"}, code: 1, stderr: "edgebus: .*cert_file \"x\" has no key_file.*"},
		{name: "no file", args: []string{"-c", "nofile"}, code: 1, stderr: "edgebus: .*nofile.*no such file.*"},
		{name: "test of nothing", args: []string{"-t"}, code: 1, stderr: "edgebus: must specify \\[-c, --config\\] option to check configuration file syntax\n"},
		{name: "signal to nobody", args: []string{"-sl", "stop"}, code: 2, stderr: "edgebus: --signal stop needs the process.*"},
		{name: "unknown signal", args: []string{"--signal", "jump=1"}, code: 2, stderr: `edgebus: unknown signal "jump".*`},
	}
	for _, s := range steps {
		s.run(t, "")
	}
}

func TestHelpNamesEveryCommandAndOption(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"serve", "--help"}, {"help", "serve"}, {"-p", "1", "-h"}} {
		r := run(t, "", args...)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%q: %v", args, r)
		}
		for _, row := range commands() {
			if !strings.Contains(r.stdout, "\n    "+row.name+" ") {
				t.Errorf("%q does not name %s", args, row.name)
			}
		}
		for _, option := range []string{"--addr", "--port", "--config", "-DVV", "--user", "--pass", "--auth", "--pid", "--logtime_utc", "--signal", "--log_size_limit", "--max_traced_msg_len",
			"--http_port", "--https_port", "--tls", "--tlscert", "--tlskey", "--tlsverify", "--tlscacert", "--help_tls"} {
			if !strings.Contains(r.stdout, option) {
				t.Errorf("%q does not name %s", args, option)
			}
		}
	}
	p := &program{name: "edgebus"}
	for _, row := range commands() {
		if row.name == "serve" {
			continue
		}
		r := run(t, "", row.name, "--help")
		if r.code != 0 || !strings.Contains(r.stdout, "Usage: edgebus "+row.name) {
			t.Errorf("%s: %v", row.name, r)
		}
		for _, f := range row.build(p).Flags {
			if name := f.about().Name; strings.Contains(r.stdout, "--"+name+" ") != (flagUsage(f) != "" && !f.about().Hidden) {
				t.Errorf("%s --help and --%s do not agree", row.name, name)
			}
		}
	}
}

func TestConfigurationIsTestedWithoutServing(t *testing.T) {
	good := file(t, "good.conf", "port: 4333\n")
	bad := file(t, "bad.conf", "port: 4333\nfoo_bar: 1\n")
	warned := file(t, "warned.conf", "cluster { port: 6222 }\n")
	both := file(t, "both.conf", "cluster { port: 6222 }\nfoo_bar: 1\n")
	open := file(t, "open.conf", "\nhost: 0.0.0.0\n")
	whole := file(t, "whole.conf", "cluster { port: 6222 }\nping_max: 1000\n")
	steps := []step{
		{name: "good", args: []string{"-t", "-c", good}, stderr: `edgebus: configuration file \S*good.conf is valid \(sha256:[0-9a-f]{64}\)` + "\n"},
		{name: "bad", args: []string{"-t", "-c", bad}, code: 1, stderr: `edgebus: \S*bad.conf:2:1: .*foo_bar.*`},
		{name: "bad is not served", args: []string{"-config", bad}, code: 1, stderr: `edgebus: \S*bad.conf:2:1: .*foo_bar.*`},
		{name: "warning", args: []string{"-c", warned, "-t"}, stderr: `edgebus: warning: \S*warned.conf:1:1: .*leaf.*edgebus: configuration file \S* is valid \(sha256:[0-9a-f]{64}\)` + "\n"},
		{name: "warning beside an error", args: []string{"-c", both, "-t"}, code: 1, stderr: `edgebus: \S*both.conf:1:1: warning: "cluster" .*edgebus: \S*both.conf:2:1: .*foo_bar.*`},
		{name: "warning beside an error of the whole", args: []string{"-c", whole, "-t"}, code: 1, stderr: `edgebus: \S*whole.conf:1:1: warning: "cluster" .*edgebus: \S*whole.conf:2:1: ping_max 1000.*`},
		{name: "password without a user", args: []string{"--pass", "x"}, code: 1, stderr: "edgebus: a password without a user.*--user.*"},
		{name: "command line counts", args: []string{"-c", good, "-t", "-p", "99999"}, code: 1, stderr: "edgebus: .*port 99999.*"},
		{name: "check good", args: []string{"check", "-c", good}, stdout: `edgebus: configuration file \S*good.conf is valid \(sha256:\S*\)` + "\n"},
		{name: "check bad", args: []string{"check", "-c", bad}, code: 1, stderr: `edgebus: \S*bad.conf:2:1: .*foo_bar.*`},
		{name: "check warning", args: []string{"check", "-c", warned}, stdout: "edgebus: warning: .*is valid.*"},
		{name: "check strictly", args: []string{"check", "-c", warned, "--strict"}, code: 1, stdout: "edgebus: warning: .*", stderr: ".*has warnings.*"},
		{name: "check what is open", args: []string{"check", "-c", open, "--strict"}, code: 1, stdout: `edgebus: warning: \S*open.conf:2:1: anybody who reaches 0.0.0.0 may.*`, stderr: ".*has warnings.*"},
		{name: "what is open is valid", args: []string{"-t", "-c", open}, stderr: `edgebus: configuration file \S* is valid \(\S*\)` + "\n"},
		{name: "check nothing", args: []string{"check"}, code: 2, stderr: "edgebus: nothing to check; .*"},
	}
	for _, s := range steps {
		s.run(t, "")
	}
}

func TestServerStopsInOrder(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGUSR2} {
		pid := filepath.Join(t.TempDir(), "pid")
		b := startBus(t, "-P", pid)
		if content, err := os.ReadFile(pid); err != nil || string(content) != strconv.Itoa(b.cmd.Process.Pid) {
			t.Errorf("pid file: %q %v", content, err)
		}
		b.cmd.Process.Signal(s)
		if r := b.wait(); r.code != 0 || !strings.Contains(r.stderr, "Server Exiting..") {
			t.Errorf("%v: %v", s, r)
		}
		if _, err := os.Stat(pid); err == nil {
			t.Errorf("%v: the pid file is still there", s)
		}
	}
}

func TestTwoSignalsAtOnceAreOne(t *testing.T) {
	b := startBus(t)
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.cmd.Process.Signal(syscall.SIGTERM)
	r := b.wait()
	if r.code != 0 || !strings.Contains(r.stderr, `[INF] Trapped "terminated" signal`) || !strings.Contains(r.stderr, "Server Exiting..") {
		t.Error(r)
	}
}

func TestSignalOptionReachesTheServer(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	b := startBus(t, "-P", pid)
	if r := run(t, "", "--signal", "term="+pid); r.code != 0 {
		t.Error(r)
	}
	if r := b.wait(); r.code != 0 {
		t.Error(r)
	}
	step{name: "nobody there", args: []string{"-sl", "reload=" + pid}, code: 1, stderr: "edgebus: reading the pid file: .*"}.run(t, "")
}

func TestLameDuckWithClientsEndsAtOnceOnASecondWord(t *testing.T) {
	b := startBus(t)
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "-s", b.url).until("Subscribing on a")
	b.cmd.Process.Signal(syscall.SIGUSR2)
	b.until("lame duck")
	for { // it says so, and closes them then
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "nats://"))
		if err != nil {
			break
		}
		conn.Close()
		select {
		case <-b.ended:
			t.Fatal(b.wait())
		case <-time.After(2 * time.Millisecond):
		}
	}
	step{name: "doors are closed", args: []string{"pub", "a", "x", "-s", b.url, "--timeout", "1s"}, code: 1, stderr: "edgebus: .*connection refused; is the bus running there\\?.*"}.run(t, "")
	b.cmd.Process.Signal(os.Interrupt)
	if r := b.wait(); r.code != 0 {
		t.Error(r)
	}
	sub.until("Disconnected")
	sub.cmd.Process.Signal(os.Interrupt)
	if r := sub.wait(); r.code != 0 {
		t.Error(r)
	}
}

func TestLogFileIsReopened(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	b := startBus(t, "-l", log, "-T=false", "-DV")
	if err := os.Rename(log, log+".old"); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGUSR1)
	for {
		if content, _ := os.ReadFile(log); strings.Contains(string(content), "reopened") {
			break
		}
		select {
		case <-b.ended:
			t.Fatal(b.wait())
		default:
		}
	}
	b.cmd.Process.Signal(os.Interrupt)
	if r := b.wait(); r.code != 0 {
		t.Error(r)
	}
	old, _ := os.ReadFile(log + ".old")
	if !matches(`\[\d+\] \[INF\] Starting edgebus\n.*v1\.2\.3.*Server is ready\n.*`, string(old)) || !strings.Contains(string(old), "[DBG]") {
		t.Errorf("log without time, with debug:\n%s", old)
	}
}

func TestCommandLineWinsOverTheFileAlsoAfterReload(t *testing.T) {
	conf := file(t, "a.conf", "listen: \"127.0.0.1:1\"\nauthorization { user: ann, password: one }\ndebug: true\n")
	b := startBus(t, "-c", conf, "-D=false")
	login := func(user, password string) result {
		return run(t, "", "pub", "a", "x", "-s", b.url, "--user", user, "--password", password)
	}
	if r := login("ann", "one"); r.code != 0 {
		t.Error(r)
	}
	if r := login("ann", "two"); r.code != 1 || !strings.Contains(r.stderr, "authorization violation") || !strings.Contains(r.stderr, "wrong user or password for \"ann\"") {
		t.Error(r)
	}
	if err := os.WriteFile(conf, []byte("listen: \"127.0.0.1:1\"\nauthorization { user: ann, password: two }\ndebug: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGHUP)
	b.until("Reloaded")
	if r := login("ann", "two"); r.code != 0 {
		t.Error(r)
	}
	if strings.Contains(b.stderr.String(), "[DBG]") {
		t.Error("-D=false did not win")
	}
	// A mistake changes nothing and is told.
	os.WriteFile(conf, []byte("nonsense: 1\ndebug: maybe\n"), 0o600)
	b.cmd.Process.Signal(syscall.SIGHUP)
	b.until(`\[ERR\] reload: nothing has changed: \S+:1:1: .*nonsense.*\n.*\[ERR\] \S+:2:1: debug: `)
	if r := login("ann", "two"); r.code != 0 {
		t.Error(r)
	}
}

func TestSingleUserAndTokenOnTheCommandLine(t *testing.T) {
	user := startBus(t, "-user", "ann", "-pass", "secret")
	token := startBus(t, "--auth", "s3cr3t")
	steps := []struct {
		url string
		step
	}{
		{user.url, step{name: "flags", args: []string{"pub", "a", "x", "--user", "ann", "--password", "secret"}, stderr: ".*Published 1 bytes to \"a\"\n"}},
		{user.url, step{name: "environment", args: []string{"pub", "a", "x"}, env: []string{"NATS_USER=ann", "NATS_PASSWORD=secret"}, stderr: ".*Published.*"}},
		{user.url, step{name: "address", args: []string{"pub", "a", "x", "-s", strings.Replace(user.url, "//", "//ann:secret@", 1)}, stderr: ".*Published.*"}},
		{user.url, step{name: "nobody", args: []string{"pub", "a", "x"}, code: 1, stderr: "edgebus: client: connect to .*: authorization violation: .*; nothing was said of who we are: say --user and --password .*\n"}},
		{token.url, step{name: "token", args: []string{"pub", "a", "x", "--token", "s3cr3t"}, stderr: ".*Published.*"}},
		{token.url, step{name: "token in environment", args: []string{"pub", "a", "x"}, env: []string{"NATS_TOKEN=s3cr3t"}, stderr: ".*Published.*"}},
		{token.url, step{name: "token as user", args: []string{"pub", "a", "x"}, env: []string{"NATS_USER=s3cr3t"}, stderr: ".*Published.*"}},
		{token.url, step{name: "credentials file", args: []string{"pub", "a", "x"}, env: []string{"NATS_CREDS=x.creds"}, code: 1, stderr: "edgebus: .*x.creds.*"}},
		{"", step{name: "context", args: []string{"pub", "a", "x"}, env: []string{"NATS_CONTEXT=prod"}, code: 2, stderr: "edgebus: contexts of the nats tool.*--server.*"}},
	}
	for _, s := range steps {
		s.run(t, s.url)
	}
}

func TestOptionsWithoutEffectAreWarnedOf(t *testing.T) {
	b := startBus(t, "--cluster", "nats://127.0.0.1:6222", "-routes", "nats://127.0.0.1:6223")
	b.until("Server is ready") // its log comes here in its own time
	for _, want := range []string{"[WRN] --cluster has no effect", "[WRN] --routes has no effect"} {
		if log := b.stderr.String(); !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
}

func TestUnderTheNameOfNATSServer(t *testing.T) {
	link := filepath.Join(t.TempDir(), "nats-server")
	if err := os.Symlink(edgebusBinary, link); err != nil {
		t.Fatal(err)
	}
	if r := start(t, link, "", nil, "-v").wait(); r.code != 0 || r.stdout != "nats-server: v1.2.3\n" {
		t.Error(r)
	}
	if r := start(t, link, "", nil, "xyz").wait(); !strings.HasPrefix(r.stderr, `nats-server: unrecognized command: "xyz"`) {
		t.Error(r)
	}
	// The ports file carries the name that whoever waits for it looks for.
	b := startBusAs(t, link)
	step{name: "pub", args: []string{"pub", "a", "x"}, stderr: ".*Published.*"}.run(t, b.url)
}

func TestPortInUseSaysWhatToTry(t *testing.T) {
	b := startBus(t)
	port := b.url[strings.LastIndexByte(b.url, ':')+1:]
	step{name: "second server", args: []string{"-a", "127.0.0.1", "-p", port}, code: 1, stderr: ".*address already in use.*choose a port with -p.*"}.run(t, "")
	log := filepath.Join(t.TempDir(), "log")
	step{name: "second server with a log", args: []string{"-a", "127.0.0.1", "-p", port, "-l", log}, code: 1, stderr: "edgebus: listen tcp .*address already in use.*"}.run(t, "")
	if text, _ := os.ReadFile(log); !strings.Contains(string(text), "[FTL] listen tcp ") {
		t.Errorf("the log does not say why the server ended:\n%s", text)
	}
}

// ownPort is a free port of those that the system gives to nobody, so that it is free again while its server is away.
func ownPort(t *testing.T) string {
	t.Helper()
	const first, count = 10_000, 10_000 // below those of tests/process
	for i := range count {
		port := strconv.Itoa(first + (os.Getpid()+i)%count)
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

func TestSubscriberSaysOnceThatTheBusIsAway(t *testing.T) {
	port := ownPort(t)
	b := startBus(t, "-p", port)
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "-s", b.url, "--count", "1").until("Subscribing on a")
	b.cmd.Process.Signal(os.Interrupt)
	b.wait()
	sub.until("connection refused")
	startBus(t, "-a", "127.0.0.1", "-p", port)
	sub.until("Connected to .* again")
	if n := strings.Count(sub.stderr.String(), "connection refused"); n != 1 {
		t.Errorf("said %d times:\n%s", n, sub.stderr.String())
	}
}
