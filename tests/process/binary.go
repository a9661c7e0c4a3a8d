package process

import (
	"errors"
	"fmt"
	"io/fs"
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
	Old       Kind = "nats-server-2.9" // what Debian has, and many hubs still run
)

// Both are the kinds that must behave alike.
var Both = []Kind{Edgebus, Reference}

// ReferenceVersion is the nats-server that tests compare with.
const ReferenceVersion = "v2.15.2"

// OldVersion is the nats-server that Old is.
const OldVersion = "v2.9.10"

var build struct {
	once sync.Once
	path string
	err  error
}

// built are the folders of what was built here, one for each kind that a test has asked for.
var built struct {
	mu      sync.Mutex
	folders []string
}

func buildFolder() (string, error) {
	folder, err := os.MkdirTemp("", "edgebus-test-")
	if err == nil {
		built.mu.Lock()
		defer built.mu.Unlock()
		built.folders = append(built.folders, folder)
	}
	return folder, err
}

// Main is for TestMain: it runs the tests and removes what was built for them.
func Main(m *testing.M) {
	code := m.Run()
	for _, folder := range built.folders {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// Raced reports whether edgebus is built with the race detector: EDGEBUS_RACE is set. It takes
// more memory then, and a race found is in its log and a failure.
func Raced() bool { return os.Getenv("EDGEBUS_RACE") != "" }

// Binary gives the path of a kind's program. EDGEBUS_BINARY, NATS_SERVER_BINARY and
// NATS_SERVER_OLD_BINARY, where set, say which program to take.
func Binary(t testing.TB, kind Kind) string {
	t.Helper()
	switch kind {
	case Reference:
		return reference(t, ReferenceVersion, findReference)
	case Old:
		return reference(t, OldVersion, findOld)
	case EdgebusARM:
		return emulated(t)
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

func reference(t testing.TB, version string, find func() (string, error)) string {
	t.Helper()
	path, err := find()
	if err != nil {
		Absent(t, "nats-server "+version, err.Error())
	}
	return path
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
	var folder string
	if folder, build.err = buildFolder(); build.err != nil {
		return
	}
	if build.err = LookAtSources(); build.err != nil {
		return
	}
	build.path = filepath.Join(folder, "edgebus")
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

// LookAtSources asks for every file that the server and its packages are made of. What a program that a test starts
// reads, a compiler say, is unknown to go test: it would take a result from its cache though the server has changed. Of
// files that the test itself has looked at, inside its module, it knows (go help test). Tests of other modules want -count=1.
func LookAtSources() error {
	return filepath.WalkDir(Root(), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // whoever edits it writes it anew
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			if !strings.HasSuffix(path, "_test.go") {
				_, _ = os.Stat(path)
			}
			return nil
		}
		switch entry.Name() {
		case ".git", "build", "dist", "docs", "examples", "tests", "testdata":
			return filepath.SkipDir
		}
		return nil
	})
}

// Root is the folder of the main module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Cache is where install.sh puts peers.
func Cache() string { return filepath.Join(Root(), "tests", ".cache") }

var (
	findReference = sync.OnceValues(func() (string, error) {
		return find(ReferenceVersion, "NATS_SERVER_BINARY", Cache())
	})
	findOld = sync.OnceValues(func() (string, error) {
		return find(OldVersion, "NATS_SERVER_OLD_BINARY", filepath.Join(Cache(), OldVersion))
	})
)

// find looks for a nats-server of the version: where the environment says, in the folder of install.sh,
// anywhere on the path, and where go install puts programs.
func find(version, variable, cache string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	places := []string{filepath.Join(cache, "nats-server")}
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		places = append(places, filepath.Join(folder, "nats-server"))
	}
	if out, err := exec.Command("go", "env", "GOPATH").Output(); err == nil {
		places = append(places, filepath.Join(strings.TrimSpace(string(out)), "bin", "nats-server"))
	}
	for _, path := range places {
		out, err := exec.Command(path, "-v").Output()
		if err == nil && strings.TrimSpace(string(out)) == "nats-server: "+version {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %q is that version", places)
}
