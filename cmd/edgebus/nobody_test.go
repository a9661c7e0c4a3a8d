//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// asNobody runs a command line as a user to whom nothing of root's is open. Who is no root is one already.
func asNobody(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), edgebusBinary, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = &stdout, &stderr, cleanEnv(t), "/"
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Dir(edgebusBinary), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Skipf("nobody cannot run a program here: %v", err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// What may not be looked at is not taken for what is not there, and is said with what to do.
func TestFilesOfOthersAreNamedOnceAndSudoWithThem(t *testing.T) {
	closed, open := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{filepath.Dir(open): 0o755, open: 0o755, closed: 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(closed, 0o700) })
	conf := filepath.Join(open, "edgebus.conf")
	for _, path := range []string{conf, site{open}.devices()} {
		if err := os.WriteFile(path, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(open, 0o700) })
	const remedy = " may not be read by this user: try sudo, or change its owner or mode\n"
	mayNot := "edgebus: " + regexp.QuoteMeta(conf) + ": this file" + remedy
	for _, s := range []step{
		{name: "the server", args: []string{"-c", conf}, code: 1, stderr: mayNot},
		{name: "check", args: []string{"check", "-c", conf}, code: 1, stderr: mayNot},
		{name: "why", args: []string{"why", "-c", conf, "a"}, code: 2, stderr: mayNot},
		{name: "top", args: []string{"top", "-c", conf}, code: 1, stderr: mayNot},
		{name: "doctor", args: []string{"doctor", "-c", conf, "-s", "127.0.0.1:1"}, code: 2,
			stdout: `error: configuration: \S+: this file may not be read by this user` + "\n  try sudo, or change its owner or mode\n.*"},
		{name: "list", args: []string{"device", "list", "--dir", open}, code: 1, stderr: "edgebus: " + regexp.QuoteMeta(site{open}.devices()) + remedy},
		{name: "add", args: []string{"device", "add", "a", "--dir", open}, code: 1, stderr: "edgebus: " + regexp.QuoteMeta(open) + " may not be changed by this user: try sudo\n"},
		{name: "a folder", args: []string{"device", "list", "--dir", closed}, code: 1, stderr: "edgebus: " + regexp.QuoteMeta(site{closed}.config()) + remedy},
		{name: "down", args: []string{"down", "--dir", closed}, code: 1, stderr: "edgebus: " + regexp.QuoteMeta(site{closed}.config()) + remedy},
		{name: "down where nothing is", args: []string{"down", "--dir", filepath.Join(filepath.Dir(open), "none")}, stdout: "there is no .*, so nothing is up\n"},
	} {
		s.check(t, asNobody(t, s.args...))
	}
}

func TestListNeedsNoLock(t *testing.T) {
	s, _ := aPackage(t, includesDevices)
	if err := os.WriteFile(s.devices(), []byte(devicesHead+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, "", "device", "list", "--dir", s.dir); r.code != 0 {
		t.Error(r)
	}
	if _, err := os.Lstat(s.lockFile()); err == nil {
		t.Error("a lock file was made")
	}
}
