//go:build unix

package main

import (
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// An upgradedUp is an up in the foreground whose server has been upgraded; serving is the process that serves.
type upgradedUp struct {
	*upRun
	serving int
}

func startUpgraded(t *testing.T) *upgradedUp {
	t.Helper()
	f := &upgradedUp{upRun: firstUp(t)}
	// Registered after start's own, so that it comes first: the process counts as running while anybody has
	// its standard error.
	t.Cleanup(func() {
		if f.serving != 0 {
			syscall.Kill(f.serving, syscall.SIGKILL)
		}
	})
	f.upgrade()
	return f
}

// waits has it say that it waits for the new server.
func (f *upgradedUp) waits() *upgradedUp {
	f.t.Helper()
	f.until(`process ` + strconv.Itoa(f.serving) + ` is the server now, and this one waits for it`)
	return f
}

// upgrade has the server give its place to another process.
func (f *upgradedUp) upgrade() {
	f.t.Helper()
	step{name: "upgrade", args: []string{"upgrade", edgebusBinary, "--dir", f.dir}, stdout: ".* serves now in place of .*"}.run(f.t, "")
	status, err := site{f.dir}.status(f.t.Context())
	if err != nil || status.PID == f.serving || status.PID == f.cmd.Process.Pid {
		f.t.Fatalf("%+v, %v", status, err)
	}
	f.serving = status.PID
}

// ends waits for both to be gone.
func (f *upgradedUp) ends() result {
	f.t.Helper()
	r := f.wait()
	if _, err := (site{f.dir}).status(f.t.Context()); err == nil {
		f.t.Errorf("the server goes on: %v", r)
	}
	f.serving = 0
	return r
}

func TestUpInTheForegroundStaysAfterAnUpgradeAndHandsSignalsOn(t *testing.T) {
	t.Parallel()
	f := startUpgraded(t).waits()
	select {
	case <-f.ended:
		t.Fatalf("it has not stayed: %v", f.wait())
	default:
	}
	f.cmd.Process.Signal(syscall.SIGHUP)
	f.until(`(?m)^\[` + strconv.Itoa(f.serving) + `\].*Reloaded`)
	f.cmd.Process.Signal(syscall.SIGTERM)
	if r := f.ends(); r.code != 0 {
		t.Error(r)
	}
}

func TestUpInTheForegroundEndsAsTheNewServerDoes(t *testing.T) {
	t.Parallel()
	f := startUpgraded(t).waits()
	syscall.Kill(f.serving, syscall.SIGKILL)
	if r := f.ends(); r.code != exitFailed || !matches(`.*edgebus: process \d+, which served in this one's place, has ended: signal: killed\n`, r.stderr) {
		t.Error(r)
	}
}

// The second heir is the first one's child, and becomes ours when that one has ended.
func TestUpInTheForegroundFollowsASecondUpgrade(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NO way here to wait for the child of a child")
	}
	t.Parallel()
	f := startUpgraded(t).waits()
	first := f.serving
	f.upgrade()
	for deadline := time.Now().Add(patience); syscall.Kill(first, 0) == nil; <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first heir does not end")
		}
	}
	f.cmd.Process.Signal(syscall.SIGINT)
	if r := f.ends(); r.code != 0 {
		t.Error(r)
	}
}

func TestDownEndsWhatAnUpInTheForegroundFollows(t *testing.T) {
	t.Parallel()
	f := startUpgraded(t).waits()
	step{name: "down", args: []string{"down", "--dir", f.dir}, stdout: "edgebus is down\n"}.run(t, "")
	if r := f.ends(); r.code != 0 {
		t.Error(r)
	}
}

// Who ends up while its clients are still being told to come back means all of it.
func TestSignalDuringAnUpgradeEndsBothServers(t *testing.T) {
	f := startUpgraded(t)
	f.cmd.Process.Signal(syscall.SIGTERM)
	if r := f.ends(); r.code != 0 {
		t.Error(r)
	}
}
