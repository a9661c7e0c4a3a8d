//go:build linux

package packages

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

const installer = "packaging/install.sh"

// install runs the script as on a machine that uname calls so.
func install(t *testing.T, system, machine string, args ...string) (string, error) {
	t.Helper()
	tools := t.TempDir()
	uname := fmt.Sprintf("#!/bin/sh\ncase $1 in -m) echo %s ;; -s) echo %s ;; esac\n", machine, system)
	if err := os.WriteFile(filepath.Join(tools, "uname"), []byte(uname), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{filepath.Join(process.Root(), installer)}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestInstallerPicksTheBuildForTheBoard(t *testing.T) {
	t.Parallel()
	known := crossTargets(t)
	for _, row := range []struct{ system, machine, target string }{
		{"Linux", "x86_64", "linux-amd64"},
		{"Linux", "i686", "linux-386"},
		{"Linux", "aarch64", "linux-arm64"},
		{"Linux", "armv6l", "linux-armv6"}, // Raspberry Pi 1 and Zero
		{"Linux", "armv7l", "linux-armv7"},
		{"Linux", "armv8l", "linux-armv7"}, // 32-bit processes on a 64-bit kernel
		{"Linux", "riscv64", "linux-riscv64"},
		{"Linux", "mips", "linux-mipsle"}, // uname says mips for both; the machine of this test is little-endian
		{"Darwin", "arm64", "darwin-arm64"},
		{"Darwin", "x86_64", "darwin-amd64"},
		{"FreeBSD", "amd64", "freebsd-amd64"},
		{"Linux", "armv5tel", "linux-armv5"}, // Kirkwood boards, which have no floating point
		{"Linux", "armv4tl", ""},
		{"Linux", "s390x", ""},
		{"SunOS", "i86pc", ""},
	} {
		out, err := install(t, row.system, row.machine, "--print-target")
		if row.target == "" {
			if err == nil || !strings.HasPrefix(out, "install: there is no build") {
				t.Errorf("%s %s: %q, %v; want a refusal", row.system, row.machine, out, err)
			}
			continue
		}
		if strings.TrimSpace(out) != row.target || err != nil {
			t.Errorf("%s %s: %q, %v; want %s", row.system, row.machine, out, err, row.target)
		}
		if !known[row.target] {
			t.Errorf("%s is no target of scripts/cross-compile.sh", row.target)
		}
	}
}

// release lays out a folder of builds, which are scripts that say what they are, with their sums.
func release(t *testing.T, version string) string {
	t.Helper()
	folder := t.TempDir()
	var sums strings.Builder
	for _, target := range []string{"linux-armv6", "linux-amd64"} {
		content := fmt.Sprintf("#!/bin/sh\necho edgebus %s %s\n", version, target)
		write(t, filepath.Join(folder, "edgebus-"+target), content)
		fmt.Fprintf(&sums, "%x  edgebus-%s\n", sha256.Sum256([]byte(content)), target)
	}
	write(t, filepath.Join(folder, "SHA256SUMS"), sums.String())
	return folder
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// installed is what the installed program says, and that there is nothing beside it.
func installed(t *testing.T, prefix string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(prefix, "bin"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("bin has %v, %v", entries, err)
	}
	return strings.TrimSpace(output(t, nil, filepath.Join(prefix, "bin", "edgebus"), "version"))
}

func TestInstallerInstallsAndUpgrades(t *testing.T) {
	t.Parallel()
	prefix := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if out, err := install(t, "Linux", "armv6l", "--from", release(t, version), "--prefix", prefix); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got, want := installed(t, prefix), "edgebus "+version+" linux-armv6"; got != want {
			t.Errorf("installed is %q, want %q", got, want)
		}
	}
}

func TestInstallerFetches(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		need(t, "wget")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(release(t, "v1"))))
	defer server.Close()
	prefix := t.TempDir()
	if out, err := install(t, "Linux", "x86_64", "--from", server.URL, "--prefix", prefix); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := installed(t, prefix); got != "edgebus v1 linux-amd64" {
		t.Errorf("installed is %q", got)
	}
	if out, err := install(t, "Linux", "riscv64", "--from", server.URL, "--prefix", prefix); err == nil || !strings.Contains(out, "cannot get edgebus-linux-riscv64") {
		t.Errorf("a build that is not there: %v, %s", err, out)
	}
}

// Whatever is wrong with a build, the program that is there stays.
func TestInstallerRefusesAndChangesNothing(t *testing.T) {
	t.Parallel()
	const build = "edgebus-linux-amd64"
	for name, row := range map[string]struct {
		spoil func(folder string)
		says  string
	}{
		"another content": {func(folder string) { write(t, filepath.Join(folder, build), "#!/bin/sh\necho stranger\n") }, "and should have"},
		"cut short":       {func(folder string) { write(t, filepath.Join(folder, build), "") }, "and should have"},
		"no sum":          {func(folder string) { write(t, filepath.Join(folder, "SHA256SUMS"), "") }, "has no sum for " + build},
		"no sums":         {func(folder string) { os.Remove(filepath.Join(folder, "SHA256SUMS")) }, "cannot get SHA256SUMS"},
		"no build":        {func(folder string) { os.Remove(filepath.Join(folder, build)) }, "cannot get " + build},
		"does not run": {func(folder string) {
			const broken = "#!/bin/sh\necho wrong kind of machine\nexit 1\n"
			write(t, filepath.Join(folder, build), broken)
			write(t, filepath.Join(folder, "SHA256SUMS"), fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(broken)), build))
		}, "does not run here (it says: wrong kind of machine)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := t.TempDir()
			if out, err := install(t, "Linux", "x86_64", "--from", release(t, "v1"), "--prefix", prefix); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			folder := release(t, "v2")
			row.spoil(folder)
			out, err := install(t, "Linux", "x86_64", "--from", folder, "--prefix", prefix)
			if err == nil || !strings.Contains(out, row.says) {
				t.Errorf("%v: %q, want %q", err, out, row.says)
			}
			if got := installed(t, prefix); got != "edgebus v1 linux-amd64" {
				t.Errorf("installed is %q after a refusal", got)
			}
		})
	}
}

// Sums that came another way are those that count.
func TestInstallerTakesOtherSums(t *testing.T) {
	t.Parallel()
	good, bad := release(t, "v1"), release(t, "v2")
	prefix := t.TempDir()
	out, err := install(t, "Linux", "x86_64", "--from", bad, "--sums", filepath.Join(good, "SHA256SUMS"), "--prefix", prefix)
	if err == nil || !strings.Contains(out, "and should have") {
		t.Errorf("a build is taken against the sums given: %v, %s", err, out)
	}
	if out, err := install(t, "Linux", "x86_64", "--from", good, "--sums", filepath.Join(good, "SHA256SUMS"), "--prefix", prefix); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
