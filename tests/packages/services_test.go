//go:build linux

package packages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

const unit = "packaging/edgebus.service"

// runnable is the unit with a program that is here: systemd-analyze looks for it.
func runnable(t *testing.T) string {
	t.Helper()
	need(t, "systemd-analyze")
	path := filepath.Join(t.TempDir(), "edgebus.service")
	content := strings.ReplaceAll(text(t, unit), "/usr/bin/edgebus", process.Binary(t, process.Edgebus))
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnitIsRight(t *testing.T) {
	t.Parallel()
	if out := output(t, nil, "systemd-analyze", "verify", "--man=no", runnable(t)); strings.Contains(out, "edgebus.service") {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
}

// The exposure is at most 2.0 of 10: what systemd itself calls OK is up to 4.
func TestUnitIsClosed(t *testing.T) {
	t.Parallel()
	out := output(t, nil, "systemd-analyze", "security", "--offline=true", "--threshold=20", runnable(t))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
}

// settings gives the values of a key of the unit.
func settings(t *testing.T, key string) (values []string) {
	t.Helper()
	for _, match := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(text(t, unit), -1) {
		values = append(values, match[1])
	}
	return values
}

// What the default configuration names is what the unit lets the server read and write.
func TestUnitAndConfigurationAreInStep(t *testing.T) {
	t.Parallel()
	configuration := text(t, "packaging/edgebus.conf")
	for key, path := range map[string]string{"RuntimeDirectory": "/run/edgebus/control.sock", "LogsDirectory": "/var/log/edgebus/edgebus.log"} {
		if !strings.Contains(configuration, `"`+path+`"`) || strings.Join(settings(t, key), " ") != "edgebus" {
			t.Errorf("%s is %q, and the configuration should name %s", key, settings(t, key), path)
		}
	}
	if start := settings(t, "ExecStart"); len(start) != 1 || start[0] != "/usr/bin/edgebus -c /etc/edgebus/edgebus.conf" {
		t.Errorf("ExecStart=%q", start)
	}
}

// Every way to start the service uses the same program, configuration, user and folders.
func TestServiceScriptsAgree(t *testing.T) {
	t.Parallel()
	for _, name := range []string{unit, "packaging/openrc/edgebus.initd", "packaging/openwrt/edgebus.init"} {
		for _, word := range []string{"/usr/bin/edgebus", "/etc/edgebus/edgebus.conf", "edgebus", "65536", "check -c", "HUP|reload="} {
			if !regexp.MustCompile(word).MatchString(text(t, name)) {
				t.Errorf("%s has no %s", name, word)
			}
		}
	}
	for _, name := range []string{"openrc/edgebus.initd", "openrc/edgebus.confd", "openwrt/edgebus.init", "install.sh", "debian/preinst", "debian/postinst", "debian/prerm", "debian/postrm"} {
		output(t, nil, "sh", "-n", filepath.Join("packaging", filepath.FromSlash(name)))
	}
}

// The container gets files that are in the repository or come from scripts/cross-compile.sh.
func TestContainerCopiesWhatIsThere(t *testing.T) {
	t.Parallel()
	dockerfile := text(t, "packaging/Dockerfile")
	targets := crossTargets(t)
	for _, match := range regexp.MustCompile(`linux-[a-z0-9]+`).FindAllString(dockerfile, -1) {
		if !targets[match] {
			t.Errorf("%s is no target of scripts/cross-compile.sh", match)
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^COPY (.*) \S+$`).FindAllStringSubmatch(dockerfile, -1) {
		for file := range strings.FieldsSeq(match[1]) {
			if file == "dist/edgebus-${TARGET}" {
				continue
			}
			if _, err := os.Stat(filepath.Join(process.Root(), file)); err != nil {
				t.Errorf("COPY: %v", err)
			}
		}
	}
}

// crossTargets are those that scripts/cross-compile.sh knows.
func crossTargets(t *testing.T) map[string]bool {
	t.Helper()
	targets := map[string]bool{}
	for target := range strings.FieldsSeq(output(t, nil, "scripts/cross-compile.sh", "--list")) {
		targets[target] = true
	}
	return targets
}
