package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// edgebusBinary is the program, built once for all tests of this folder.
var edgebusBinary string

func TestMain(m *testing.M) {
	// What whoever runs the tests has set for the commands is not for these.
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "EDGEBUS_") {
			os.Unsetenv(name)
		}
	}
	dir, err := os.MkdirTemp("", "edgebus-cmd-")
	if err != nil {
		panic(err)
	}
	edgebusBinary = filepath.Join(dir, "edgebus")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v1.2.3", "-o", edgebusBinary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

const patience = 20 * time.Second

// lifetime is how long a program that runs beside a test may: who waits for it waits no longer.
const lifetime = 3 * patience

// A result is what a finished program left.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// A process is a program that runs beside the test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *lockedBuffer
	stderr *lockedBuffer
	ended  chan struct{}
	code   int
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// cleanEnv is the environment of a program, whatever that of the test is.
func cleanEnv(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TZ=UTC"}
}

// nobodyThere is an address at which nobody listens, and nobody may begin to who is not root. A port that was
// free a moment ago may be another test's by now.
const nobodyThere = "127.0.0.1:1"

// start runs a program with a clean environment and env on top.
func start(t *testing.T, program, stdin string, env []string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	p := &process{t: t, cmd: exec.CommandContext(ctx, program, args...), stdout: new(lockedBuffer), stderr: new(lockedBuffer), ended: make(chan struct{})}
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Env = append(cleanEnv(t), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			p.code = exit.ExitCode()
		case err != nil:
			p.code = -2
		}
		cancel()
		close(p.ended)
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended })
	return p
}

func (p *process) wait() result {
	<-p.ended
	return result{p.code, p.stdout.String(), p.stderr.String()}
}

// until waits for a text in what the program has written.
func (p *process) until(pattern string) *process {
	p.t.Helper()
	expr := regexp.MustCompile(pattern)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if expr.MatchString(p.stderr.String()) || expr.MatchString(p.stdout.String()) {
			return p
		}
		select {
		case <-p.ended:
			p.t.Fatalf("ended without %q: %v", pattern, p.wait())
		default:
		}
	}
}

func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return start(t, edgebusBinary, stdin, nil, args...).wait()
}

// A step is one command line and what it must leave; the texts are patterns.
type step struct {
	name           string
	stdin          string
	args           []string
	env            []string
	code           int
	stdout, stderr string
}

func (s step) run(t *testing.T, server string) {
	t.Helper()
	env := s.env
	if server != "" {
		env = append([]string{"NATS_URL=" + server}, env...)
	}
	s.check(t, start(t, edgebusBinary, s.stdin, env, s.args...).wait())
}

func (s step) check(t *testing.T, r result) {
	t.Helper()
	if r.code != s.code || !matches(s.stdout, r.stdout) || !matches(s.stderr, r.stderr) {
		t.Errorf("%s: edgebus %q, want exit code %d, stdout %q, stderr %q, got %v", s.name, s.args, s.code, s.stdout, s.stderr, r)
	}
}

// matches compares a whole text; an empty pattern matches nothing but an empty text.
func matches(pattern, text string) bool {
	return regexp.MustCompile(`\A(?s:` + pattern + `)\z`).MatchString(text)
}

// A bus is a server of the same binary on a free port of this machine.
type bus struct {
	*process
	url string
}

func startBus(t *testing.T, args ...string) *bus {
	t.Helper()
	return startBusAs(t, edgebusBinary, args...)
}

func startBusAs(t *testing.T, program string, args ...string) *bus {
	t.Helper()
	dir := t.TempDir()
	p := start(t, program, "", nil, append([]string{"-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", dir}, args...)...)
	pattern := filepath.Join(dir, filepath.Base(program)+"_*.ports")
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if found, _ := filepath.Glob(pattern); len(found) == 1 {
			return &bus{p, readPorts(t, found[0])}
		}
		select {
		case <-p.ended:
			t.Fatalf("the bus ended: %v", p.wait())
		default:
		}
	}
}

func readPorts(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	var ports map[string][]string
	if err == nil {
		err = json.Unmarshal(content, &ports)
	}
	if err != nil || len(ports["nats"]) != 1 {
		t.Fatalf("%s: %s %v", path, content, err)
	}
	return ports["nats"][0]
}

// file writes a file and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
