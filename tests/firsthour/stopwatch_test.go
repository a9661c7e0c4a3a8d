//go:build linux

package firsthour

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// patience is for a busy machine, which builds slowly.
const patience = 3 * time.Minute

// A running is a program that goes on while the test does other things.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	mu    sync.Mutex
	text  bytes.Buffer
	ended chan struct{}
}

// Write takes both outputs.
func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *running) printed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// begin starts a program in a process group, which is ended with the test.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = r, r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(r.ended) }()
	t.Cleanup(func() { r.signal(syscall.SIGKILL); <-r.ended })
	return r
}

func (r *running) signal(s syscall.Signal) { syscall.Kill(-r.cmd.Process.Pid, s) }

// until waits for a text and returns what its groups matched.
func (r *running) until(pattern string) []string {
	r.t.Helper()
	expr := regexp.MustCompile(pattern)
	var match []string
	process.Eventually(r.t, patience, pattern, func() bool {
		select {
		case <-r.ended:
			r.t.Fatalf("it has ended without %q:\n%s", pattern, r.printed())
		default:
		}
		match = expr.FindStringSubmatch(r.printed())
		return match != nil
	})
	return match
}

// end asks it to stop and waits until it has.
func (r *running) end() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("it does not stop")
	}
}

// must runs a command of the way there.
func must(t *testing.T, dir string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	// The source may be another user's, as in a container: git wants to be told that it may read it.
	cmd.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, output)
	}
}

// cloneAndBuild is what somebody does who has found the repository. What is committed is what they get.
func cloneAndBuild(t *testing.T, folder string) (clone string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(process.Root(), ".git")); err != nil {
		leaveOut(t, "the source is no git repository that could be cloned")
	}
	clone = filepath.Join(folder, "edgebus")
	if err := process.LookAtSources(); err != nil {
		t.Fatal(err)
	}
	must(t, folder, "git", "clone", "--quiet", process.Root(), clone)
	must(t, clone, "make", "-s", "build")
	return clone
}

func TestTwoCommandsFromBuildToFirstMessageFromAnotherMachine(t *testing.T) {
	gateway, sensor := twoMachines(t)
	folder := t.TempDir()
	began := time.Now()
	clone := cloneAndBuild(t, folder)
	built := time.Now()
	site, err := os.MkdirTemp("", "eb") // a path short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(site) })

	// The first command. Without systemd it is "edgebus up" alone.
	up := gateway.command(t.Context(), filepath.Join(clone, "build", "edgebus"), "up", "--foreground")
	up.Env = append(up.Env, "EDGEBUS_DIR="+site)
	server := begin(t, up)
	line := server.until(`\n +(\S+/build/edgebus pub -s nats://` + gatewayAddress + `:4222 --user (\S+) --password (\S+) (hello) (world))\n`)
	login, password := line[2], line[3]
	if len(password) < 20 {
		t.Errorf("a password of %d letters", len(password))
	}
	judge := begin(t, gateway.command(t.Context(), filepath.Join(clone, "build", "edgebus"), "sub", "--user", login, "--password", password, "--count", "1", "hello"))
	judge.until("Subscribing on hello")

	// The second, copied from what the first has printed.
	if output, err := sensor.shell(line[1]); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	select {
	case <-judge.ended:
	case <-time.After(patience):
		t.Fatalf("the message has not arrived:\n%s", judge.printed())
	}
	if got := judge.printed(); !strings.Contains(got, "[#1] Received on \"hello\"\nworld\n") {
		t.Errorf("arrived: %q", got)
	}
	t.Logf("clone and build %v, from there to the first message %v", built.Sub(began).Round(time.Millisecond), time.Since(built).Round(time.Millisecond))

	t.Run("OnlyThePortWithThePasswordIsOpen", func(t *testing.T) {
		if open, want := gateway.open(), []string{"tcp any:4222", "tcp loopback:8222"}; !slices.Equal(open, want) {
			t.Errorf("open: %q, want %q", open, want)
		}
		if info, err := os.Stat(filepath.Join(site, "control.sock")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the control socket: %v, %v", info, err)
		}
		program := filepath.Join(clone, "build", "edgebus")
		for what, args := range map[string]string{
			"without a password": "pub -s nats://" + gatewayAddress + " hello world",
			"a wrong one":        "pub -s nats://" + gatewayAddress + " --user " + login + " --password wrong hello world",
			"to listen":          "sub -s nats://" + gatewayAddress + " '>'",
			"a token":            "pub -s nats://" + gatewayAddress + " --token " + password + " hello world",
		} {
			if output, err := sensor.shell(program + " " + args); err == nil || !strings.Contains(output, "authorization violation") {
				t.Errorf("%s: %v: %s", what, err, output)
			}
		}
		if output, err := sensor.shell(program + " top --count 1 --monitor http://" + gatewayAddress + ":8222"); err == nil || !strings.Contains(output, "connection refused") {
			t.Errorf("the pages from outside: %v: %s", err, output)
		}
	})
	server.end()

	t.Run("MakeRunIsForThisMachineAlone", func(t *testing.T) {
		plain := gateway.command(t.Context(), "make", "-C", clone, "run")
		server := begin(t, plain)
		server.until("Server is ready")
		if open, want := gateway.open(), []string{"tcp loopback:4222"}; !slices.Equal(open, want) {
			t.Errorf("open: %q, want %q", open, want)
		}
		if !strings.Contains(server.printed(), "Only this machine can connect") {
			t.Errorf("it does not say so:\n%s", server.printed())
		}
		server.end()
	})
}
