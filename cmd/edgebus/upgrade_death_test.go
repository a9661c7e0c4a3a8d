//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// visit connects and asks for a sign of life. A server that has died may have the connection still: that is an
// error, but none of connecting.
func visit(url string) (refused, failed error) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "nats://"), patience)
	if err != nil {
		return err, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false}\r\nPING\r\n"); err != nil {
		return nil, err
	}
	var said strings.Builder
	for in := make([]byte, 1024); !strings.Contains(said.String(), "PONG\r\n"); {
		n, err := conn.Read(in)
		said.Write(in[:n])
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// serves waits until the server of a process has the control socket, and everything else with it.
func (f *field) serves(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		status, err := f.status()
		if err == nil && status.PID == pid {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not serve: %+v, %v\n%s", pid, status, err, f.stderr)
		}
	}
}

func (f *field) pidFile(t *testing.T, want int) {
	t.Helper()
	if content, err := os.ReadFile(f.pid); err != nil || string(content) != strconv.Itoa(want) {
		t.Errorf("the pid file has %q, want %d: %v", content, want, err)
	}
}

// upgraded hands over to the same program, and returns the new process.
func (f *field) upgraded(t *testing.T) (pid int) {
	t.Helper()
	step{name: "upgrade", args: []string{"upgrade", "--control", f.socket}, stdout: ".*serves now.*"}.run(t, "")
	status, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	return status.PID
}

// A program that ends as soon as it has everything has cost nobody anything.
func TestUpgradeToAProgramThatDiesAtOnceIsUndone(t *testing.T) { // not parallel: what was just written is started
	f := startField(t, "")
	first := f.cmd.Process.Pid
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "-s", f.url).until("Subscribing on a")
	program := file(t, "program", fmt.Sprintf("#!/bin/sh\nfd=$((2 + LISTEN_FDS))\neval \"echo ready v9 >&$fd; read -r go <&$fd\"\nrm %s\necho 1 > %s\neval \"echo taken >&$fd\"\nexit 3\n", f.socket, f.pid))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		step{name: "upgrade", args: []string{"upgrade", program, "--control", f.socket}, code: 1, stderr: ".*has ended as soon as it had taken over \\(exit status 3\\).*the running server goes on\n"}.run(t, "")
		f.serves(t, first)
		f.pidFile(t, first)
		step{name: "it serves", args: []string{"pub", "a", "hello", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
		sub.until("hello")
	}
	if strings.Contains(sub.stderr.String(), "isconnected") {
		t.Errorf("a client was disconnected:\n%s", sub.stderr)
	}
	if f.upgraded(t) == first {
		t.Error("after that nobody can take over")
	}
}

// The new program is the last one that listens when the server before dies as soon as it has started it.
func TestServerThatDiesDuringAnUpgradeLeavesTheNewOne(t *testing.T) { // not parallel: what was just written is started
	f := startField(t, "")
	first := f.cmd.Process.Pid
	// Its own start comes when it has another parent.
	program := file(t, "program", fmt.Sprintf("#!/bin/sh\nkill -9 $EDGEBUS_UPGRADE_FROM\nwhile kill -0 $EDGEBUS_UPGRADE_FROM 2>/dev/null; do sleep 0.01; done\nexec %s \"$@\"\n", edgebusBinary))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "upgrade", program, "--control", f.socket) // hears nothing any more
	for deadline := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		status, err := f.status()
		if err == nil && status.PID != first && status.Clients[0] == f.url {
			f.pidFile(t, status.PID)
			f.until(`has died, and this one takes its place all the same process=` + strconv.Itoa(first))
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, %v\n%s", status, err, f.stderr)
		}
	}
	step{name: "it serves", args: []string{"pub", "a", "hello", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
}

// Sockets are another process's as long as the one lives that hands them on: a program that starts an edgebus
// instead of becoming one does not take over.
func TestServerThatIsNotTheHeirLeavesTheSocketsAlone(t *testing.T) { // not parallel: what was just written is started
	f := startField(t, "")
	program := file(t, "program", fmt.Sprintf("#!/bin/sh\n%s \"$@\"\nexit 7\n", edgebusBinary))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	step{name: "upgrade", args: []string{"upgrade", program, "--control", f.socket}, code: 1, stderr: ".*the running server goes on\n"}.run(t, "")
	f.serves(t, f.cmd.Process.Pid)
	step{name: "it serves", args: []string{"pub", "a", "hello", "-s", f.url}, stderr: ".*Published.*"}.run(t, "")
}

// Later a server that dies has clients and links of its own, and they find the one before it.
func TestServerComesBackIfTheNewOneDies(t *testing.T) {
	t.Parallel()
	hub := startField(t, "server_name: hub\nleafnodes { listen: \"127.0.0.1:-1\" }\n")
	above, err := hub.status()
	if err != nil {
		t.Fatal(err)
	}
	f := startField(t, fmt.Sprintf("server_name: field\nleafnodes { listen: \"127.0.0.1:-1\", reconnect: 1, remotes: [ { url: %q } ] }\n", above.Leafnodes[0]))
	first := f.cmd.Process.Pid
	before, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "-s", f.url).until("Subscribing on a")
	second := f.upgraded(t)
	sub.until("Connected to .* again") // it has gone over
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for back := false; !back; {
		refused, failed := visit(f.url)
		if refused != nil {
			t.Fatalf("a client was refused: %v", refused)
		}
		back = failed == nil
	}
	f.serves(t, first)
	f.pidFile(t, first)
	f.until(`(?m)^\[` + strconv.Itoa(first) + `\].*the new server has died, and this one comes back.*signal: killed`)
	after, err := f.status()
	if err != nil || after.Clients[0] != before.Clients[0] || after.Leafnodes[0] != before.Leafnodes[0] || after.Monitoring[0] != before.Monitoring[0] {
		t.Errorf("before %+v, after %+v, %v", before, after, err)
	}
	if answer, err := http.Get(before.Monitoring[0] + "/healthz"); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("its pages: %v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
	arrives(t, f, sub, "a", f.url)
	arrives(t, f, start(t, edgebusBinary, "", nil, "sub", "up", "-s", hub.url).until("Subscribing on up"), "up", f.url)

	// It can be replaced still, and ends then.
	third := f.upgraded(t)
	f.until(`(?m)^\[` + strconv.Itoa(first) + `\].*Server Exiting`)
	f.serves(t, third)
	step{name: "stop", args: []string{"--signal", "term=" + f.pid}}.run(t, "")
	if r := f.wait(); r.code != 0 {
		t.Error(r)
	}
}

// arrives publishes until who subscribes has it: links and clients come about in their own time.
func arrives(t *testing.T, f *field, sub *process, subject, url string) {
	t.Helper()
	body := "again-" + subject
	for deadline := time.Now().Add(patience); !strings.Contains(sub.stdout.String(), body); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing arrives at %s:\n%s", subject, f.stderr)
		}
		step{name: "pub", args: []string{"pub", subject, body, "-s", url}, stderr: ".*Published.*"}.run(t, "")
	}
}

// A new server that is told to stop has not died: the one before it ends as well.
func TestServerThatIsToldToStopStaysAway(t *testing.T) {
	t.Parallel()
	f := startField(t, "server_name: stopped\n")
	f.upgraded(t)
	step{name: "stop", args: []string{"--signal", "term=" + f.pid}}.run(t, "")
	if r := f.wait(); r.code != 0 || strings.Contains(r.stderr, "comes back") {
		t.Error(r)
	}
	// Its port may be another test's by now.
	if conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "nats://")); err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		greeting := make([]byte, 4096)
		if n, err := conn.Read(greeting); err == nil && strings.Contains(string(greeting[:n]), `"stopped"`) {
			t.Errorf("somebody serves still: %s", greeting[:n])
		}
	}
}

// Of three servers the first has nothing to come back for once the second has given its place up.
func TestServerDoesNotComeBackBeforeAnother(t *testing.T) {
	t.Parallel()
	f := startField(t, "")
	first := f.cmd.Process.Pid
	second := f.upgraded(t)
	third := f.upgraded(t)
	if second == third {
		t.Fatal("nobody has taken over")
	}
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended := regexp.MustCompile(`(?m)^\[` + strconv.Itoa(first) + `\].*Server Exiting`)
	for deadline := time.Now().Add(patience); !ended.MatchString(f.stderr.String()); <-time.After(5 * time.Millisecond) {
		if text := f.stderr.String(); strings.Contains(text, "comes back") || time.Now().After(deadline) {
			t.Fatalf("the first server does not end:\n%s", text)
		}
	}
	f.serves(t, third)
	if refused, failed := visit(f.url); refused != nil || failed != nil {
		t.Error(refused, failed)
	}
}

// A supervisor that knows nothing of the new process would start a third one in the old one's place.
func TestUpgradeIsRefusedUnderASupervisorThatStartsAnew(t *testing.T) { // not parallel: what was just written is started
	if runtime.GOOS != "linux" {
		t.Skip("who has started a process is read from /proc")
	}
	socket := socketPath(t)
	pid := filepath.Join(filepath.Dir(socket), "pid")
	config := file(t, "field.conf", fmt.Sprintf("listen: \"127.0.0.1:-1\"\ncontrol_socket: %q\npid_file: %q\n", socket, pid))
	supervisor := file(t, "runsv", "#!/bin/sh\n\"$@\"\nexit $?\n")
	if err := os.Chmod(supervisor, 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, supervisor, "", nil, edgebusBinary, "-c", config).until("Server is ready")
	t.Cleanup(func() { run(t, "", "--signal", "term="+pid) }) // before the supervisor: it holds the output
	step{name: "upgrade", args: []string{"upgrade", "--control", socket}, code: 1, stderr: ".*started by runsv, which would start another one.*restart the service\n"}.run(t, "")
	step{name: "stop", args: []string{"--signal", "term=" + pid}}.run(t, "")
	p.wait()
}
