package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A Kind is a server that we can run.
type Kind string

const (
	Edgebus   Kind = "edgebus"
	Reference Kind = "nats-server"
)

// Both are the kinds that must behave alike.
var Both = []Kind{Edgebus, Reference}

// ReferenceVersion is the nats-server that tests compare with.
const ReferenceVersion = "v2.15.2"

var build struct {
	once sync.Once
	path string
	dir  string
	err  error
}

// Main is for TestMain: it runs the tests and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
	os.Exit(code)
}

// Raced reports whether edgebus is built with the race detector: EDGEBUS_RACE is set. It takes
// more memory then, and a race found is in its log and a failure.
func Raced() bool { return os.Getenv("EDGEBUS_RACE") != "" }

// Binary gives the path of a kind's program. EDGEBUS_BINARY and NATS_SERVER_BINARY, where
// set, say which program to take.
func Binary(t testing.TB, kind Kind) string {
	t.Helper()
	if kind == Reference {
		path, err := findReference()
		if err != nil {
			Absent(t, "nats-server "+ReferenceVersion, err.Error())
		}
		return path
	}
	if path := os.Getenv("EDGEBUS_BINARY"); path != "" {
		return path
	}
	build.once.Do(buildEdgebus)
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// Absent ends a test whose peer is not there: a failure where CI is set, else a skip that
// says how to get it.
func Absent(t testing.TB, what, why string) {
	t.Helper()
	message := fmt.Sprintf("NO %s: %s; tests/peers/install.sh brings it", what, why)
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
	t.Skip(message)
}

func buildEdgebus() {
	if build.dir, build.err = os.MkdirTemp("", "edgebus-test-"); build.err != nil {
		return
	}
	build.path = filepath.Join(build.dir, "edgebus")
	// As it is released: what tests measure is then what people run.
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", build.path, "./cmd/edgebus")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if Raced() {
		cmd = exec.Command("go", "build", "-race", "-o", build.path, "./cmd/edgebus")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		build.err = fmt.Errorf("go build ./cmd/edgebus: %w\n%s", err, out)
	}
}

// Root is the folder of the main module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Cache is where install.sh puts peers.
func Cache() string { return filepath.Join(Root(), "tests", ".cache") }

var findReference = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("NATS_SERVER_BINARY"); path != "" {
		return path, nil
	}
	places := []string{filepath.Join(Cache(), "nats-server")}
	if path, err := exec.LookPath("nats-server"); err == nil {
		places = append(places, path)
	}
	if out, err := exec.Command("go", "env", "GOPATH").Output(); err == nil {
		places = append(places, filepath.Join(strings.TrimSpace(string(out)), "bin", "nats-server"))
	}
	for _, path := range places {
		out, err := exec.Command(path, "-v").Output()
		if err == nil && strings.TrimSpace(string(out)) == "nats-server: "+ReferenceVersion {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %q is that version", places)
})
