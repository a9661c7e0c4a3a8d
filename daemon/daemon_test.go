package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// A running is a daemon under test.
type running struct {
	*Daemon
	out    *page
	cancel context.CancelFunc
	ended  chan error
}

// mustRun starts a daemon on a free port and waits until it serves.
func mustRun(t *testing.T, o Options) *running {
	t.Helper()
	return mustRunWith(t, o, func(*Daemon) {})
}

// mustRunWith is mustRun of a daemon that is prepared before it runs.
func mustRunWith(t *testing.T, o Options, prepare func(*Daemon)) *running {
	t.Helper()
	if o.Port == 0 {
		o.Port = randomPort
	}
	r := &running{out: new(page), ended: make(chan error, 1)}
	o.Log.Stderr = r.out
	var err error
	if r.Daemon, err = New(o); err != nil {
		t.Fatal(err)
	}
	prepare(r.Daemon)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	select {
	case <-r.Ready():
	case err := <-r.ended:
		t.Fatalf("Run: %v\n%s", err, r.out)
	case <-time.After(patience):
		t.Fatalf("not ready:\n%s", r.out)
	}
	t.Cleanup(cancel)
	return r
}

// mustEnd waits for the end of Run.
func (r *running) mustEnd(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		t.Fatalf("Run does not end:\n%s", r.out)
	}
}

// A client is a connection that speaks lines.
type client struct {
	net.Conn
	in   *bufio.Reader
	info map[string]any
}

func mustConnect(t *testing.T, r *running, connect string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Addr().(*net.TCPAddr).Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{Conn: conn, in: bufio.NewReader(conn)}
	rest, ok := strings.CutPrefix(c.line(t), "INFO ")
	if !ok || json.Unmarshal([]byte(rest), &c.info) != nil {
		t.Fatalf("no INFO but %q", rest)
	}
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false%s}\r\nPING\r\n", connect)
	return c
}

// line is what comes next, without PINGs.
func (c *client) line(t *testing.T) string {
	t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	if line == "PING\r\n" { // the server's own, when a test takes its time
		return c.line(t)
	}
	return strings.TrimSpace(line)
}

// lameDuck reads up to the INFO that tells of it; there may be others before.
func (c *client) lameDuck(t *testing.T) {
	t.Helper()
	for {
		line := c.line(t)
		if !strings.HasPrefix(line, "INFO ") {
			t.Fatalf("no notice of lame duck but %q", line)
		}
		if strings.Contains(line, `"ldm":true`) {
			return
		}
	}
}

func TestRunServesAndStopsInOrder(t *testing.T) {
	before := runtime.NumGoroutine()
	folder := t.TempDir()
	r := mustRun(t, Options{PidFile: filepath.Join(folder, "pid"), PortsFileDir: folder, Version: "1.2.3"})
	pid, err := os.ReadFile(filepath.Join(folder, "pid"))
	if err != nil || string(pid) != strconv.Itoa(os.Getpid()) {
		t.Errorf("pid file: %q, %v", pid, err)
	}
	ports, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("edgebus_%d.ports", os.Getpid())))
	if want := fmt.Sprintf(`{"nats":["nats://%v"]}`, r.Addr()); err != nil || string(ports) != want {
		t.Errorf("ports file: %q, want %q, %v", ports, want, err)
	}
	if !r.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("listens on %v", r.Addr())
	}

	a, b := mustConnect(t, r, ""), mustConnect(t, r, "")
	if got := a.line(t) + b.line(t); got != "PONGPONG" {
		t.Fatalf("got %q", got)
	}
	fmt.Fprint(a, "SUB sensors.> 1\r\nPING\r\n")
	a.line(t)
	fmt.Fprint(b, "PUB sensors.x 2\r\nhi\r\n")
	if got := a.line(t) + " " + a.line(t); got != "MSG sensors.x 1 2 hi" {
		t.Errorf("got %q", got)
	}

	r.Stop()
	r.Stop()
	r.mustEnd(t)
	if got := a.line(t); got != "EOF" {
		t.Errorf("after the stop the client got %q", got)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := r.Reload(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Reload after the end: %v", err)
	}
	at := 0
	for _, want := range []string{"[INF] Starting edgebus", "[INF]   Version:  1.2.3", "Name:", "ID:", "[INF] Only this machine can connect",
		"[INF] Listening for client connections on 127.0.0.1:", "[INF] Server is ready", "[INF] Initiating Shutdown...", "[INF] Server Exiting.."} {
		i := strings.Index(r.out.String()[at:], want)
		if i < 0 {
			t.Fatalf("no %q, or out of order, in\n%s", want, r.out)
		}
		at += i
	}
	noneLeft(t, before)
}

// noneLeft waits for goroutines to go.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r := mustRun(t, Options{})
	r.cancel()
	r.mustEnd(t)
}

func TestPortInUseIsSaidAndNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	r := mustRun(t, Options{})
	d, err := New(Options{Port: r.Addr().(*net.TCPAddr).Port, PidFile: filepath.Join(t.TempDir(), "pid"), Log: LogOptions{Stderr: r.out}})
	if err != nil {
		t.Fatal(err)
	}
	if err = d.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "choose a port with -p") {
		t.Errorf("got %v", err)
	}
	r.Stop()
	r.mustEnd(t)
	noneLeft(t, before)
}

func TestPidFileThatCannotBeWrittenStopsTheStart(t *testing.T) {
	before := runtime.NumGoroutine()
	d, err := New(Options{Port: randomPort, PidFile: filepath.Join(t.TempDir(), "no", "pid"), Log: LogOptions{Stderr: new(page)}})
	if err != nil {
		t.Fatal(err)
	}
	if err = d.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "pid_file") {
		t.Errorf("got %v", err)
	}
	noneLeft(t, before)
}

// A board whose disk is full, read-only or dead serves, and says what it lacks; what is wrong with the
// configuration ends the start.
func TestServerWithoutItsFilesIsBetterThanNone(t *testing.T) {
	for fault, remedy := range map[error]string{
		syscall.EROFS: "read-only", syscall.ENOSPC: "make room", syscall.EIO: "the disk fails",
		syscall.EACCES: "", syscall.ENOENT: "", syscall.ENOTDIR: "", errors.New("another server is running"): "",
	} {
		out := new(page)
		d, err := New(Options{Port: randomPort, Log: LogOptions{Stderr: out}})
		if err != nil {
			t.Fatal(err)
		}
		bad := fmt.Errorf("pid_file: %w", &fs.PathError{Op: "open", Path: "/run/x.pid", Err: fault})
		if err := d.orWithout(func() error { return bad })(); (err == nil) != (remedy != "") {
			t.Errorf("%v: %v", fault, err)
		}
		line := out.String()
		for _, text := range []string{"[ERR] This server runs without a part", "/run/x.pid", "remedy=", remedy, "restart the server"} {
			if strings.Contains(line, text) != (remedy != "") && text != "" {
				t.Errorf("%v: %q in %q", fault, text, line)
			}
		}
	}
	d, err := New(Options{Port: randomPort, Log: LogOptions{Stderr: new(page)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.orWithout(func() error { return nil })(); err != nil {
		t.Error(err)
	}
}

func TestAnothersPidFileStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	r := mustRun(t, Options{PidFile: path})
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	r.mustEnd(t)
	if content, err := os.ReadFile(path); err != nil || string(content) != "1" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestLameDuckTellsClientsAndEndsWhenTheyHaveLeft(t *testing.T) {
	r := mustRun(t, Options{})
	c := mustConnect(t, r, `,"protocol":1`)
	c.line(t)
	if err := r.LameDuck(); err != nil {
		t.Fatal(err)
	}
	c.lameDuck(t)
	c.Close()
	r.mustEnd(t)
}

func TestStopCutsLameDuckShort(t *testing.T) {
	r := mustRun(t, Options{})
	c := mustConnect(t, r, `,"protocol":1`)
	c.line(t)
	if err := r.LameDuck(); err != nil {
		t.Fatal(err)
	}
	c.lameDuck(t)
	r.Stop()
	r.mustEnd(t)
	if got := c.line(t); got != "EOF" {
		t.Errorf("got %q", got)
	}
}

// reloading starts a daemon with a file, whose text can then be changed.
func reloading(t *testing.T, text string) (r *running, change func(string) error) {
	t.Helper()
	path := mustWrite(t, text)
	loaded, err := Load(path, func(o *Options) { o.Port = randomPort; o.Host = "127.0.0.1" })
	if err != nil {
		t.Fatal(err)
	}
	r = mustRun(t, loaded.Options)
	return r, func(text string) error {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return r.Reload()
	}
}

func TestReloadChangesUsersLimitsAndLog(t *testing.T) {
	r, change := reloading(t, "authorization {user: a, password: b}")
	old := mustConnect(t, r, `,"user":"a","pass":"b"`)
	old.line(t)
	log := filepath.Join(t.TempDir(), "x.log")
	if err := change(fmt.Sprintf("max_payload: 2KB\ndebug: true\ntrace: true\ntrace_headers: true\nmax_traced_msg_len: 9\nlog_file: %q\nauthorization {user: c, password: d}", log)); err != nil {
		t.Fatal(err)
	}
	if got := old.line(t); strings.HasPrefix(got, "PONG") || strings.HasPrefix(got, "-ERR") {
		t.Errorf("the user that is gone got %q", got)
	}
	fresh := mustConnect(t, r, `,"user":"c","pass":"d"`)
	if got := fresh.line(t); got != "PONG" || fresh.info["max_payload"] != 2048.0 {
		t.Errorf("the new user got %q, INFO %v", got, fresh.info)
	}
	r.Stop()
	r.mustEnd(t)
	text, _ := os.ReadFile(log)
	for _, want := range []string{
		"[INF] Reloaded: authorization\n", "Reloaded: max_payload = 2048\n", "Reloaded: debug = true\n", "Reloaded: log_file = " + log + "\n",
		"Reloaded: max_traced_msg_len = 9\n", "Reloaded server configuration changes=7 took=", "[DBG]",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the log:\n%s", want, text)
		}
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	const good = "authorization {user: a, password: b}\n"
	for name, test := range map[string]struct {
		text string
		want string
	}{
		"syntax":          {"authorization {user: c", "never closed"},
		"unknown key":     {"authorization {user: c, password: d}\nprot: 1", `did you mean "port"?`},
		"refused key":     {"authorization {user: c, password: d}\nmqtt {port: 1}", "is refused"},
		"a user twice":    {"authorization {users: [{user: c, password: d}, {user: c, password: e}]}", "twice"},
		"no certificate":  {"authorization {user: c, password: d}\ntls {cert_file: x, key_file: y}", "no such file"},
		"import cycle":    {"accounts {A {exports: [{service: x}], imports: [{service: {account: B, subject: y}, to: x}]}, B {exports: [{service: y}], imports: [{service: {account: A, subject: x}, to: y}]}}", "cycle"},
		"needs a restart": {"authorization {user: c, password: d}\nmax_pending: 2MB\npid_file: /tmp/x", "x.conf:2:1: max_pending: 67108864 -> 2097152; "},
		"log file":        {"authorization {user: c, password: d}\nlog_file: /no/such/folder/x", "log_file"},
	} {
		t.Run(name, func(t *testing.T) {
			r, change := reloading(t, good)
			if err := change(test.text); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "nothing has changed") {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if got := mustConnect(t, r, `,"user":"a","pass":"b"`).line(t); got != "PONG" {
				t.Errorf("the old user got %q", got)
			}
			if err := change(good); err != nil {
				t.Errorf("the old file again: %v", err)
			}
		})
	}
}

// Without authorization the server would not have listened on all addresses by itself.
func TestReloadDoesNotOpenTheBus(t *testing.T) {
	path := mustWrite(t, "authorization {user: a, password: b}")
	loaded, err := Load(path, func(o *Options) { o.Port = randomPort })
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(loaded.Options)
	if err != nil {
		t.Fatal(err)
	}
	// As if it ran, without listening on addresses that others can reach.
	d.running, d.host = true, anyHost
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(); !errors.Is(err, ErrRestart) || !strings.Contains(err.Error(), "authorization") {
		t.Errorf("got %v", err)
	}
}

func TestReopenLogWithoutAFileIsHarmless(t *testing.T) {
	r := mustRun(t, Options{})
	if err := r.ReopenLog(); err != nil {
		t.Error(err)
	}
	if err := r.Reload(); err != nil {
		t.Error(err)
	}
}

func TestWarningsOfTheFileAreLogged(t *testing.T) {
	loaded, err := Load(mustWrite(t, "cluster {name: x}"), func(o *Options) { o.Port = randomPort; o.Host = "127.0.0.1" })
	if err != nil {
		t.Fatal(err)
	}
	var out page
	loaded.Options.Log.Stderr = &out
	d, err := FromLoaded(loaded)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(context.Background()) }()
	<-d.Ready()
	d.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), `[WRN] `+loaded.Options.ConfigFile+`:1:1: "cluster" has no effect here`) {
		t.Errorf("log:\n%s", out.String())
	}
}

func TestNoAuthUserIsWhoBringsNothing(t *testing.T) {
	r, _ := reloading(t, `authorization {users: [
		{user: guest, password: g, permissions: {publish: "open.>"}}
		{user: a, password: b}
	]}
	no_auth_user: guest`)
	guest := mustConnect(t, r, "")
	if got := guest.line(t); got != "PONG" {
		t.Fatalf("without credentials: %q", got)
	}
	fmt.Fprint(guest, "PUB closed.x 0\r\n\r\n")
	if got := guest.line(t); !strings.HasPrefix(got, "-ERR 'Permissions Violation for Publish to \"closed.x\"'") {
		t.Errorf("the guest may publish what it must not: %q", got)
	}
	if got := mustConnect(t, r, `,"user":"a","pass":"wrong"`).line(t); got != "-ERR 'Authorization Violation'" {
		t.Errorf("wrong credentials: %q", got)
	}
}
