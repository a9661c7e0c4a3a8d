//go:build linux

package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A stage is a machine on which a maintainer script runs: every tool that it calls is a stand-in that notes the
// call, and every place that it names lies in a folder of the test.
type stage struct {
	folder, tools, calls string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	folder := t.TempDir()
	s := &stage{folder: folder, tools: filepath.Join(folder, "tools"), calls: filepath.Join(folder, "calls")}
	for _, each := range []string{"tools", "run/systemd/system", "etc/edgebus", "var/lib/edgebus", "var/log/edgebus", "run/edgebus", "usr/sbin"} {
		if err := os.MkdirAll(filepath.Join(folder, each), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"adduser", "chown", "chmod", "dpkg-statoverride", "deb-systemd-helper", "deb-systemd-invoke", "systemctl", "edgebus"} {
		s.tool(t, tool, "")
	}
	return s
}

// tool has a stand-in do something more than note its call.
func (s *stage) tool(t *testing.T, name, does string) {
	t.Helper()
	// A program that another test starts meanwhile would have the file open, so that nobody could run it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	script := "#!/bin/sh\necho \"" + name + " $*\" >>'" + s.calls + "'\n" + does + "\n"
	if err := os.WriteFile(filepath.Join(s.tools, name), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
}

// run runs a script of the package, and returns what it has called and said.
func (s *stage) run(t *testing.T, script string, args ...string) (calls, said string) {
	t.Helper()
	content := text(t, "packaging/debian/"+script)
	for _, place := range []string{"/run/systemd/system", "/usr/sbin/policy-rc.d", "/etc/edgebus", "/var/lib/edgebus", "/var/log/edgebus", "/run/edgebus"} {
		content = strings.ReplaceAll(content, place, s.folder+place)
	}
	calls, said, err := s.play(content, append([]string{script}, args...)...)
	if err != nil {
		t.Errorf("%s %q: %v\n%s", script, args, err, said)
	}
	return calls, said
}

// play runs lines of shell; the first argument is what they are called.
func (s *stage) play(content string, args ...string) (calls, said string, err error) {
	os.Remove(s.calls)
	cmd := exec.Command("sh", append([]string{"-c", content}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+s.tools+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	noted, _ := os.ReadFile(s.calls)
	return string(noted), string(out), err
}

const (
	starts   = "deb-systemd-invoke start edgebus.service"
	restarts = "deb-systemd-invoke try-restart edgebus.service"
	stops    = "deb-systemd-invoke stop edgebus.service"
	upgrades = "edgebus upgrade -c"
)

// What becomes of a server that runs is decided by these calls, for each way that dpkg calls the scripts
// (Debian policy, 6.5 and 6.6).
func TestMaintainerScriptsTouchTheServiceOnlyWhereTheyShould(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb")
	const goesOn = `echo "edgebus: the server refuses: the new program does not start: x.conf:1:1: bad; the running server goes on" >&2; exit 1`
	const nobody = `case $1 in upgrade) echo "edgebus: no server is running" >&2; exit 1 ;; esac`
	const mistake = `echo "edgebus: x.conf:1:1: unknown field" >&2; exit 1`
	for name, row := range map[string]struct {
		script, args string
		edgebus      string // what "edgebus upgrade" does
		prepare      func(*stage, *testing.T)
		want, not    []string
		says         string
	}{
		"install":                        {script: "postinst", args: "configure", want: []string{starts}, not: []string{restarts, upgrades}},
		"upgrade":                        {script: "postinst", args: "configure 1.0", want: []string{upgrades}, not: []string{starts, restarts}},
		"upgrade that nobody can answer": {script: "postinst", args: "configure 1.0", edgebus: nobody, want: []string{upgrades, restarts}},
		// The server that runs is better than one that does not start.
		"upgrade to what does not start":     {script: "postinst", args: "configure 1.0", edgebus: goesOn, want: []string{upgrades}, not: []string{restarts}, says: "the server of the version before goes on"},
		"upgrade with a mistake in the file": {script: "postinst", args: "configure 1.0", edgebus: mistake, want: []string{upgrades}, not: []string{restarts}, says: "unknown field"},
		"upgrade of a stopped service": {script: "postinst", args: "configure 1.0", want: []string{restarts}, not: []string{upgrades}, // which does nothing then
			prepare: func(s *stage, t *testing.T) {
				s.tool(t, "systemctl", `case "$*" in *is-active*) exit 3 ;; esac`)
			}},
		"upgrade where a policy decides": {script: "postinst", args: "configure 1.0", want: []string{restarts}, not: []string{upgrades},
			prepare: func(s *stage, t *testing.T) {
				if err := os.WriteFile(s.folder+"/usr/sbin/policy-rc.d", nil, 0o700); err != nil {
					t.Fatal(err)
				}
			}},
		"an upgrade that fails":    {script: "postinst", args: "abort-upgrade 2.0", not: []string{starts, restarts, upgrades}},
		"a removal that fails":     {script: "postinst", args: "abort-remove", want: []string{starts}},
		"removal":                  {script: "prerm", args: "remove", want: []string{stops}},
		"before an upgrade":        {script: "prerm", args: "upgrade 2.0", not: []string{stops}},
		"an unpacking that failed": {script: "postrm", args: "abort-upgrade 1.0", not: []string{stops, "purge"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if row.edgebus != "" {
				s.tool(t, "edgebus", row.edgebus)
			}
			if row.prepare != nil {
				row.prepare(s, t)
			}
			calls, said := s.run(t, row.script, strings.Fields(row.args)...)
			for _, each := range row.want {
				if !strings.Contains(calls, each) {
					t.Errorf("no %q in\n%s", each, calls)
				}
			}
			for _, each := range row.not {
				if strings.Contains(calls, each) {
					t.Errorf("there is %q in\n%s", each, calls)
				}
			}
			if !strings.Contains(said, row.says) {
				t.Errorf("it says %q", said)
			}
		})
	}
}

// A package that was removed and not purged is configured like an upgrade, and its service has to be started:
// prerm has stopped it. An upgrade of one that somebody has stopped leaves it so.
func TestServiceOfAPackageThatWasRemovedIsStartedAgain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, preinst, between, postinst string // between: postrm, as after a failure
		starts                           bool
	}{
		{name: "first", preinst: "install", postinst: "configure", starts: true},
		{name: "after a removal", preinst: "install 1.0", postinst: "configure 1.0", starts: true},
		{name: "after an installation that failed", preinst: "install 1.0", between: "abort-install 1.0", postinst: "configure 1.0"},
		{name: "upgrade", preinst: "upgrade 1.0", postinst: "configure 1.0"},
	} {
		s := newStage(t)
		s.tool(t, "systemctl", `case "$*" in *is-active*) exit 3 ;; esac`)
		s.run(t, "preinst", strings.Fields(row.preinst)...)
		if row.between != "" {
			s.run(t, "postrm", strings.Fields(row.between)...)
		}
		for attempt, want := range []bool{row.starts, row.starts && !strings.Contains(row.postinst, " ")} {
			if calls, _ := s.run(t, "postinst", strings.Fields(row.postinst)...); strings.Contains(calls, starts) != want {
				t.Errorf("%s, postinst %d: want a start %v, and it calls\n%s", row.name, attempt+1, want, calls)
			}
		}
	}
}

// A purge leaves nothing of ours, what a power cut has left half written included, and everything that is not.
func TestPurgeLeavesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		s := newStage(t)
		folder := s.folder + "/etc/edgebus/"
		for _, name := range []string{"devices.conf", ".lock", ".devices.conf-2947329", "uplink.conf"} {
			write(t, folder+name, "")
		}
		if own {
			write(t, folder+"site.creds", "mine")
		}
		s.run(t, "postrm", "purge")
		entries, err := os.ReadDir(folder)
		switch {
		case own && (len(entries) != 1 || entries[0].Name() != "site.creds"):
			t.Errorf("left is %v, %v", entries, err)
		case !own && !os.IsNotExist(err):
			t.Errorf("left is %v, %v", entries, err)
		}
		for _, gone := range []string{"/var/lib/edgebus", "/var/log/edgebus", "/run/edgebus"} {
			if _, err := os.Stat(s.folder + gone); err == nil {
				t.Errorf("%s is left", gone)
			}
		}
	}
}
