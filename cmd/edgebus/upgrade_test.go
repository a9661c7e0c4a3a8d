//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// A field is a server that can be told to give its place up.
type field struct {
	*process
	config, socket, pid, url string
}

func startField(t *testing.T, more string, env ...string) *field {
	t.Helper()
	f := &field{socket: socketPath(t)}
	f.pid = filepath.Join(filepath.Dir(f.socket), "pid")
	f.config = file(t, "field.conf", fmt.Sprintf("listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\ncontrol_socket: %q\npid_file: %q\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"\n%s", f.socket, f.pid, more))
	f.process = start(t, edgebusBinary, "", env, "-c", f.config).until("Server is ready")
	// Registered after start's own, so that it comes first: the process counts as running while anybody
	// has its standard error.
	t.Cleanup(func() {
		if status, err := f.status(); err == nil && status.PID != f.cmd.Process.Pid {
			syscall.Kill(status.PID, syscall.SIGKILL)
		}
	})
	status, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	f.url = status.Clients[0]
	return f
}

func (f *field) status() (status daemon.Status, err error) {
	answer, err := daemon.Control(context.Background(), f.socket, "status", nil) // that of a test is over in its cleanup
	if err == nil {
		err = json.Unmarshal(answer, &status)
	}
	return status, err
}

func TestUpgradeHandsOverEverything(t *testing.T) {
	t.Parallel()
	f := startField(t, "")
	first := f.cmd.Process.Pid
	before, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "-s", f.url).until("Subscribing on a")
	step{name: "upgrade", args: []string{"upgrade", edgebusBinary, "-c", f.config}, stdout: `v1\.2\.3 \(process \d+\) serves now in place of v1\.2\.3, whose 1 clients are told to come back\n`}.run(t, "")
	after, err := f.status()
	if err != nil || after.PID == first || after.Clients[0] != before.Clients[0] || after.Monitoring[0] != before.Monitoring[0] {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	if content, err := os.ReadFile(f.pid); err != nil || string(content) != strconv.Itoa(after.PID) {
		t.Errorf("the pid file has %q, want %d: %v", content, after.PID, err)
	}
	f.until(`(?m)^\[` + strconv.Itoa(first) + `\].*Server Exiting`)
	sub.until("Connected to .* again")
	step{name: "the new one delivers", args: []string{"pub", "a", "hello", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
	sub.until("hello")
	if content, err := os.ReadFile(f.pid); err != nil || string(content) != strconv.Itoa(after.PID) {
		t.Errorf("the old server has taken the pid file with it: %q, %v", content, err)
	}
	// Who has published is gone when the server has noticed.
	for deadline := time.Now().Add(patience); ; <-time.After(2 * time.Millisecond) {
		var page struct{ Connections int }
		answer, err := http.Get(after.Monitoring[0] + "/varz")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&page)
		answer.Body.Close()
		if page.Connections == 1 {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d clients are there, want the one that listens: %v", page.Connections, err)
		}
	}
	// And once more, by the program's own word: what it was handed it can hand on.
	step{name: "again", args: []string{"upgrade", "--control", f.socket, "--json"}, stdout: `\{"pid":\d+,"version":"v1\.2\.3","before":"v1\.2\.3","clients":1\}` + "\n"}.run(t, "")
	step{name: "stop", args: []string{"--signal", "term=" + f.pid}}.run(t, "")
	if r := f.wait(); r.code != 0 {
		t.Error(r)
	}
	if _, err := os.Lstat(f.socket); err == nil {
		t.Error("the control socket is left behind")
	}
}

// Whatever the new program is, the old server goes on as if nothing had been, and says what was wrong.
func TestUpgradeThatFailsChangesNothing(t *testing.T) {
	f := startField(t, "")
	before, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	text := file(t, "program", "no program\n")
	if err := os.Chmod(text, 0o755); err != nil {
		t.Fatal(err)
	}
	falseProgram, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []step{
		{name: "nothing there", args: []string{"upgrade", "/nonexistent/edgebus"}, code: 1, stderr: "edgebus: .*no such file.*"},
		{name: "a folder", args: []string{"upgrade", filepath.Dir(text)}, code: 1, stderr: "edgebus: .* is no program\n"},
		{name: "no program", args: []string{"upgrade", text}, code: 1, stderr: "edgebus: the server refuses: .*program cannot be started: exec format error; the running server goes on\n"},
		{name: "another program", args: []string{"upgrade", falseProgram}, code: 1, stderr: "edgebus: the server refuses: the new program has ended before it was ready \\(exit status 1\\).*; the running server goes on\n"},
		{name: "two programs", args: []string{"upgrade", "a", "b"}, code: 2, stderr: "edgebus: upgrade takes one program.*"},
	} {
		s.args = append(s.args, "--control", f.socket)
		s.run(t, "")
	}
	if err := os.WriteFile(f.config, append(good, "foo_bar: 1\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	step{name: "bad configuration", args: []string{"upgrade", "--control", f.socket}, code: 1, stderr: "edgebus: the server refuses: the new program does not start: .*foo_bar.*the running server goes on\n"}.run(t, "")
	step{name: "bad configuration, which it reads itself", args: []string{"upgrade", "-c", f.config}, code: 1, stderr: `edgebus: \S+:\d+:1: unknown field "foo_bar"; the running server goes on` + "\n"}.run(t, "")
	if err := os.WriteFile(f.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := f.status()
	if err != nil || after.PID != before.PID || after.Clients[0] != before.Clients[0] {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	if content, err := os.ReadFile(f.pid); err != nil || string(content) != strconv.Itoa(before.PID) {
		t.Errorf("the pid file has %q: %v", content, err)
	}
	step{name: "it still serves", args: []string{"pub", "a", "b", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
	step{name: "it still can", args: []string{"upgrade", "--control", f.socket}, stdout: ".*serves now in place of.*"}.run(t, "")
}

// A program that dies when it has been given everything leaves nothing that the old server lacks.
func TestUpgradeThatFailsAtTheEndIsUndone(t *testing.T) {
	f := startField(t, "")
	program := file(t, "program", fmt.Sprintf("#!/bin/sh\nfd=$((2 + LISTEN_FDS))\neval \"echo ready v9 >&$fd; read -r go <&$fd\"\nrm %s\necho 1 > %s\nexit 3\n", f.socket, f.pid))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		step{name: "upgrade", args: []string{"upgrade", program, "--control", f.socket}, code: 1, stderr: ".*has ended before it was ready \\(exit status 3\\).*the running server goes on\n"}.run(t, "")
		if status, err := f.status(); err != nil || status.PID != f.cmd.Process.Pid {
			t.Fatalf("the control socket has %+v, %v", status, err)
		}
		if content, err := os.ReadFile(f.pid); err != nil || string(content) != strconv.Itoa(f.cmd.Process.Pid) {
			t.Errorf("the pid file has %q: %v", content, err)
		}
	}
	step{name: "stop", args: []string{"--signal", "term=" + f.pid}}.run(t, "")
	if r := f.wait(); r.code != 0 {
		t.Error(r)
	}
	if _, err := os.Lstat(f.socket); err == nil {
		t.Error("the control socket is left behind")
	}
}

// The service belongs to the new process from when it is ready, and the old one has nothing to say any more.
func TestSupervisorFollowsAnUpgrade(t *testing.T) {
	t.Parallel()
	notify := filepath.Join(filepath.Dir(socketPath(t)), "n")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	hear := func() string {
		heard.SetReadDeadline(time.Now().Add(patience))
		in := make([]byte, 1024)
		n, err := heard.Read(in)
		if err != nil {
			t.Fatal(err)
		}
		return string(in[:n])
	}
	f := startField(t, "", "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=200000")
	expect := func(wants ...string) {
		t.Helper()
		for _, want := range wants {
			said := hear()
			for said == "WATCHDOG=1" {
				said = hear()
			}
			if !strings.HasPrefix(said, want) {
				t.Fatalf("the supervisor hears %q, want %q", said, want)
			}
		}
	}
	expect("READY=1", "STATUS=Serving on 127.0.0.1:")
	step{name: "upgrade", args: []string{"upgrade", "-c", f.config}, stdout: ".*serves now.*"}.run(t, "")
	status, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("MAINPID=%d", status.PID), "READY=1", "STATUS=Serving on 127.0.0.1:")
	f.until(`(?m)^\[` + strconv.Itoa(f.cmd.Process.Pid) + `\].*Server Exiting`)
	for range 3 { // they are the new one's: the old one has ended
		if said := hear(); said != "WATCHDOG=1" {
			t.Errorf("after the upgrade the supervisor hears %q", said)
		}
	}
	step{name: "stop", args: []string{"--signal", "term=" + f.pid}}.run(t, "")
	expect("STOPPING=1")
	f.wait()
}

// A server that is told to stop does not wait for a program that never gets ready.
func TestStopEndsAnUpgradeThatHangs(t *testing.T) {
	f := startField(t, "")
	folder := t.TempDir()
	hangs, here := filepath.Join(folder, "program"), filepath.Join(folder, "here")
	if err := os.WriteFile(hangs, fmt.Appendf(nil, "#!/bin/sh\necho $$ > %s.new; mv %[1]s.new %[1]s; exec sleep 1000\n", here), 0o755); err != nil {
		t.Fatal(err)
	}
	upgrade := start(t, edgebusBinary, "", nil, "upgrade", hangs, "-c", f.config)
	var pid int
	for deadline := time.Now().Add(patience); pid == 0; <-time.After(2 * time.Millisecond) {
		if text, err := os.ReadFile(here); err == nil {
			if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the program is not started")
		}
	}
	step{name: "another one", args: []string{"upgrade", "-c", f.config}, code: 1, stderr: ".*another upgrade is under way\n"}.run(t, "")
	f.cmd.Process.Signal(syscall.SIGTERM)
	if r := f.wait(); r.code != 0 || !strings.Contains(r.stderr, "Server Exiting..") {
		t.Error(r)
	}
	if r := upgrade.wait(); r.code != exitFailed || !strings.Contains(r.stderr, "the server stops") || strings.Contains(r.stderr, "goes on") {
		t.Error(r)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		syscall.Kill(pid, syscall.SIGKILL)
		t.Error("the program is left behind")
	}
}

// Leaves find the new server where the old one was, and the hub has it in the old one's place.
func TestLinksFollowAnUpgrade(t *testing.T) {
	t.Parallel()
	hub := startField(t, "server_name: hub\nleafnodes { listen: \"127.0.0.1:-1\" }\n")
	above, err := hub.status()
	if err != nil {
		t.Fatal(err)
	}
	f := startField(t, fmt.Sprintf("server_name: field\nleafnodes { listen: \"127.0.0.1:-1\", reconnect: 1, remotes: [ { url: %q } ] }\n", above.Leafnodes[0]))
	before, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	step{name: "upgrade", args: []string{"upgrade", "-c", f.config}, stdout: ".*serves now.*"}.run(t, "")
	f.until(`(?m)^\[` + strconv.Itoa(f.cmd.Process.Pid) + `\].*Server Exiting`)
	after, err := f.status()
	if err != nil || len(after.Leafnodes) != 1 || after.Leafnodes[0] != before.Leafnodes[0] {
		t.Errorf("leaves joined at %v, and now at %v: %v", before.Leafnodes, after.Leafnodes, err)
	}
	sub := start(t, edgebusBinary, "", nil, "sub", "up", "-s", hub.url).until("Subscribing on up")
	// The link comes about in its own time, and so does the interest of who has just subscribed.
	for deadline := time.Now().Add(patience); !strings.Contains(sub.stdout.String(), "hello"); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing goes up:\n%s", f.stderr)
		}
		step{name: "pub", args: []string{"pub", "up", "hello", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
	}
}

// BenchmarkDoorsOpen is the time from the start of the program to its word that it is ready, with 10,000
// users configured.
func BenchmarkDoorsOpen(b *testing.B) {
	folder, err := os.MkdirTemp("", "eb")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(folder)
	var text strings.Builder
	text.WriteString("listen: \"127.0.0.1:-1\"\nauthorization { users = [\n")
	for i := range 10000 {
		fmt.Fprintf(&text, "  { user: \"user%d\", password: \"$2a$11$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%02d\" }\n", i, i%100)
	}
	text.WriteString("] }\n")
	config, notify := filepath.Join(folder, "users.conf"), filepath.Join(folder, "n")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	defer heard.Close()
	in := make([]byte, 1024)
	var used time.Duration
	for b.Loop() {
		server := exec.Command(edgebusBinary, "-c", config)
		server.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
		if err := server.Start(); err != nil {
			b.Fatal(err)
		}
		heard.SetReadDeadline(time.Now().Add(patience))
		n, err := heard.Read(in)
		b.StopTimer()
		server.Process.Kill()
		server.Wait()
		used += server.ProcessState.UserTime() + server.ProcessState.SystemTime()
		if err != nil || string(in[:n]) != "READY=1" {
			b.Fatalf("%q, %v", in[:n], err)
		}
		heard.SetReadDeadline(time.Now().Add(time.Millisecond))
		for err == nil {
			_, err = heard.Read(in)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// The supervisor's way: sockets from three on, and who they are for.
func TestSocketActivation(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	notify := filepath.Join(filepath.Dir(socketPath(t)), "n")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	server := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, edgebusBinary, "-p", "4222")
	server.ExtraFiles = []*os.File{socket}
	server.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=clients", "NOTIFY_SOCKET="+notify)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	heard.SetReadDeadline(time.Now().Add(patience))
	in := make([]byte, 1024)
	if n, err := heard.Read(in); err != nil || string(in[:n]) != "READY=1" {
		t.Fatalf("%q, %v", in[:n], err)
	}
	step{name: "it serves there", args: []string{"pub", "a", "b", "-s", "nats://" + ln.Addr().String()}, stderr: ".*Published.*"}.run(t, "")
	server.Process.Signal(syscall.SIGTERM)
	if state, err := server.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("%v, %v", state, err)
	}
	// The supervisor has it still: whoever comes meanwhile waits for the next server.
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("the server has closed a socket that is not its own: %v", err)
	}
	conn.Close()
}
