//go:build unix

package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// socketPath is a path short enough for a socket, which that of t.TempDir may not be.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestControlSocketIsItsOwnersAloneAndGoesWithTheServer(t *testing.T) {
	path := socketPath(t)
	r := mustRun(t, Options{ControlSocket: path})
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|controlMode {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	if _, err := Control(t.Context(), path, "stop", nil); err != nil {
		t.Fatal(err)
	}
	r.mustEnd(t)
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := Control(t.Context(), path, "stop", nil); !errors.Is(err, ErrNoServer) {
		t.Errorf("after the end: %v", err)
	}
}

// Whoever has connected and says nothing holds the end up for no longer than anybody else.
func TestServerDoesNotWaitForSilenceOnTheControlSocket(t *testing.T) {
	path := socketPath(t)
	r := mustRun(t, Options{ControlSocket: path})
	began := time.Now()
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// Connections are taken in turn: the first one has been when the second is answered.
	if _, err := Control(t.Context(), path, "stop", nil); err != nil {
		t.Fatal(err)
	}
	r.mustEnd(t)
	if took := time.Since(began); took >= controlPatience {
		t.Errorf("the end took %v", took)
	}
}

func TestControlAnswersOneLineWithOneLine(t *testing.T) {
	path := socketPath(t)
	mustRun(t, Options{ControlSocket: path})
	for _, row := range []struct{ in, want string }{
		{`{"op":"reload"}` + "\n", `{"ok":true}`},
		{`{"op":"jump"}` + "\n", `nothing of \"jump\"`},
		{"reload\n", `a command is a line such as`},
		{"\n", `a command is a line such as`},
		{strings.Repeat("x", controlLine), `at most 65536 bytes`},
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write([]byte(row.in)); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !json.Valid([]byte(line)) || !strings.Contains(line, row.want) {
			t.Errorf("%.20q is answered %q, error %v; want %q", row.in, line, err, row.want)
		}
		conn.Close()
	}
}

func TestControlTellsWhereTheServerIs(t *testing.T) {
	path := socketPath(t)
	r := mustRun(t, Options{ControlSocket: path, Host: "127.0.0.1", Monitor: MonitorOptions{HTTPPort: randomPort}})
	answer, err := Control(t.Context(), path, "status", nil)
	var status Status
	if err == nil {
		err = json.Unmarshal(answer, &status)
	}
	if err != nil || status.PID != os.Getpid() || len(status.Monitoring) != 1 || len(status.Clients) != 1 || status.Clients[0] != "nats://"+r.Addr().String() {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestControlReloadSaysWhatIsWrong(t *testing.T) {
	path := socketPath(t)
	file := filepath.Join(t.TempDir(), "a.conf")
	write := func(text string) {
		if err := os.WriteFile(file, []byte("port: -1\ncontrol_socket: \""+path+"\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	loaded, err := load(file, nil, testMemory)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, loaded.Options)
	write("debug: maybe\n")
	if _, err := Control(t.Context(), path, "reload", nil); !errors.Is(err, ErrControl) || !strings.Contains(err.Error(), "a.conf:3:1: debug") {
		t.Errorf("a mistake: %v", err)
	}
	write("control_socket: /elsewhere\n")
	if _, err := Control(t.Context(), path, "reload", nil); err == nil || !strings.Contains(err.Error(), ErrRestart.Error()) {
		t.Errorf("another socket: %v", err)
	}
}

func TestControlSocketOfAKilledServerIsReplaced(t *testing.T) {
	path := socketPath(t)
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	mustRun(t, Options{ControlSocket: path})
	if _, err := Control(t.Context(), path, "status", nil); err != nil {
		t.Error(err)
	}
}

func TestControlSocketIsTakenFromNobody(t *testing.T) {
	path := socketPath(t)
	mustRun(t, Options{ControlSocket: path})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ path, want string }{
		{path, "another server is running"}, {file, "is no socket"}, {filepath.Join(filepath.Dir(path), "none", "s"), "the folder must be there"},
	} {
		d, err := New(Options{ControlSocket: row.path, Port: randomPort, Log: LogOptions{Stderr: new(page)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.path, err)
		}
	}
	if text, err := os.ReadFile(file); string(text) != "kept" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := Control(t.Context(), path, "status", nil); err != nil {
		t.Errorf("the first server: %v", err)
	}
	if _, err := New(Options{ControlSocket: "/" + strings.Repeat("x", 100)}); err == nil || !strings.Contains(err.Error(), "choose a shorter one") {
		t.Errorf("a long path: %v", err)
	}
}
