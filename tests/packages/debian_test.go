//go:build linux

package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

var architectures = []string{"amd64", "arm64", "armhf", "armel"}

// need ends a test whose tool is not there: a failure where CI is set, else a skip said aloud.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	message := fmt.Sprintf("NO %s: Debian's package %s has it", tool, map[string]string{"dpkg-deb": "dpkg", "systemd-analyze": "systemd"}[tool])
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), message)
	t.Skip(message)
}

// output runs a program of the repository's root.
func output(t *testing.T, environment []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = process.Root()
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// build makes packages, without names all of them, around stand-ins for the programs, which take minutes to
// compile: the one of this machine is real. It returns the folder of the packages.
func build(t *testing.T, names ...string) string {
	t.Helper()
	need(t, "dpkg-deb")
	programs, dist := t.TempDir(), t.TempDir()
	if err := os.Symlink(process.Binary(t, process.Edgebus), filepath.Join(programs, "edgebus")); err != nil {
		t.Fatal(err)
	}
	for _, each := range architectures {
		if err := os.WriteFile(filepath.Join(programs, "edgebus-"+each), []byte("#!/bin/sh\necho "+each+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output(t, []string{"BINARIES=" + programs, "DIST=" + dist, "VERSION=v1.2.3", "COMPRESSION=none"}, "scripts/package.sh", names...)
	return filepath.Join(dist, "packages")
}

// A line of dpkg-deb --contents: mode, owner, size, date, hour, name.
var entry = regexp.MustCompile(`^(\S+) (\S+) +\d+ \S+ \S+ \./(\S*)`)

func TestPackagesHaveWhatTheyShould(t *testing.T) {
	t.Parallel()
	folder := build(t)
	want := map[string]string{ // name to mode
		"etc/edgebus/edgebus.conf":                         "-rw-r--r--",
		"lib/systemd/system/edgebus.service":               "-rw-r--r--",
		"usr/bin/edgebus":                                  "-rwxr-xr-x",
		"usr/share/bash-completion/completions/edgebus":    "-rw-r--r--",
		"usr/share/doc/edgebus/CHANGELOG.md.gz":            "-rw-r--r--",
		"usr/share/doc/edgebus/changelog.gz":               "-rw-r--r--",
		"usr/share/doc/edgebus/copyright":                  "-rw-r--r--",
		"usr/share/fish/vendor_completions.d/edgebus.fish": "-rw-r--r--",
		"usr/share/lintian/overrides/edgebus":              "-rw-r--r--",
		"usr/share/man/man1/edgebus.1.gz":                  "-rw-r--r--",
		"usr/share/zsh/vendor-completions/_edgebus":        "-rw-r--r--",
		"usr/share/doc/edgebus/examples/edgebus.conf":      "-rw-r--r--",
	}
	samples, _ := filepath.Glob(filepath.Join(process.Root(), "configs", "*.conf"))
	for _, sample := range samples {
		want["usr/share/doc/edgebus/examples/"+filepath.Base(sample)] = "-rw-r--r--"
	}
	for _, architecture := range architectures {
		file := filepath.Join(folder, "edgebus_1.2.3_"+architecture+".deb")
		found := map[string]string{}
		for line := range strings.Lines(output(t, nil, "dpkg-deb", "--contents", file)) {
			match := entry.FindStringSubmatch(line)
			switch {
			case match == nil:
				t.Fatalf("not a line that we know: %q", line)
			case match[2] != "root/root":
				t.Errorf("%s: %s belongs to %s", architecture, match[3], match[2])
			case match[1][0] == 'd' && match[1] != "drwxr-xr-x":
				t.Errorf("%s: folder %s is %s", architecture, match[3], match[1])
			case match[1][0] != 'd':
				found[match[3]] = match[1]
			}
		}
		for name, mode := range want {
			if found[name] != mode {
				t.Errorf("%s: %s has mode %q, want %q", architecture, name, found[name], mode)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: %d files, want %d: %v", architecture, len(found), len(want), found)
		}
		fields := output(t, nil, "dpkg-deb", "--field", file)
		for _, field := range []string{"Package: edgebus", "Version: 1.2.3", "Architecture: " + architecture, "Depends: adduser"} {
			if !slices.Contains(strings.Split(fields, "\n"), field) {
				t.Errorf("%s: no %q in\n%s", architecture, field, fields)
			}
		}
		inside := t.TempDir()
		output(t, nil, "dpkg-deb", "--raw-extract", file, inside)
		if got := output(t, nil, "sh", filepath.Join(inside, "usr/bin/edgebus")); got != architecture+"\n" {
			t.Errorf("%s has the program of %s", architecture, got)
		}
		if conffiles, err := os.ReadFile(filepath.Join(inside, "DEBIAN/conffiles")); string(conffiles) != "/etc/edgebus/edgebus.conf\n" {
			t.Errorf("%s: conffiles %q, %v", architecture, conffiles, err)
		}
		for _, script := range []string{"preinst", "postinst", "prerm", "postrm"} {
			output(t, nil, "sh", "-n", filepath.Join(inside, "DEBIAN", script))
		}
	}
	output(t, nil, "sh", "-c", `cd "$0" && sha256sum --check --strict --quiet SHA256SUMS && [ "$(wc -l <SHA256SUMS)" = 4 ]`, folder)
}

func TestSameCommitMakesTheSamePackages(t *testing.T) {
	t.Parallel()
	var sums []string
	for range 2 {
		content, err := os.ReadFile(filepath.Join(build(t, "armel"), "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(content))
	}
	if sums[0] != sums[1] {
		t.Errorf("first\n%s\nthen\n%s", sums[0], sums[1])
	}
}

// dpkg upgrades to what is newer: versions have to sort as they were made.
func TestDebianVersionsSort(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb")
	inOrder := []struct{ version, debian string }{
		{"dev-0abc123", "0~git20201113120000.0abc123"},
		{"v0.9.0", "0.9.0"},
		{"v1.0.0-rc.1", "1.0.0~rc.1"},
		{"v1.0.0-rc.1-3-gabc123", "1.0.0~rc.1+3.gabc123"},
		{"v1.0.0-rc.2", "1.0.0~rc.2"},
		{"v1.0.0", "1.0.0"},
		{"v1.0.0-4-gabcdef", "1.0.0+4.gabcdef"},
		{"v1.0.0-11-g012345-dirty", "1.0.0+11.g012345+dirty"},
		{"v1.0.1", "1.0.1"},
	}
	before := ""
	for _, row := range inOrder {
		got := strings.TrimSpace(output(t, []string{"SOURCE_DATE_EPOCH=1605268800"}, "scripts/package.sh", "--debian-version", row.version))
		if got != row.debian {
			t.Errorf("%s is %q, want %q", row.version, got, row.debian)
		}
		if before != "" && exec.Command("dpkg", "--compare-versions", before, "lt", got).Run() != nil {
			t.Errorf("dpkg does not sort %s below %s", before, got)
		}
		before = got
	}
}

func TestUnknownArchitectureIsRefused(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb")
	cmd := exec.Command("scripts/package.sh", "sparc")
	cmd.Dir = process.Root()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `unknown architecture "sparc"; one of: amd64 arm64 armhf armel`) {
		t.Errorf("%v: %s", err, out)
	}
}

// What a package brings is a release's own program: the same bytes, and none that is tested nowhere else.
func TestPackagesHaveProgramsOfReleases(t *testing.T) {
	t.Parallel()
	script := text(t, "scripts/package.sh")
	if strings.Contains(script, "go build") {
		t.Error("scripts/package.sh builds by a line of its own, and not by scripts/cross-compile.sh")
	}
	known := crossTargets(t)
	for _, match := range regexp.MustCompile(`target=(linux-arm\w+)`).FindAllStringSubmatch(script, -1) {
		if !known[match[1]] {
			t.Errorf("%s is no target of scripts/cross-compile.sh", match[1])
		}
	}
}
