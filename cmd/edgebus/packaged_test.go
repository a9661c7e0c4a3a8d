//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgebus-io/edgebus/client"
)

const includesDevices = "authorization {\n  include \"devices.conf\"\n}\n"

// aPackage is a folder as a package leaves it: a configuration whose socket is elsewhere.
func aPackage(t *testing.T, more string) (s site, socket string) {
	t.Helper()
	socket = socketPath(t)
	s = site{t.TempDir()}
	s.rewrite(t, fmt.Sprintf("listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\ncontrol_socket: %q\n", socket)+more)
	return s, socket
}

func (s site) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.config(), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestSocketIsTheOneOfTheConfiguration(t *testing.T) {
	s, socket := aPackage(t, "no_such_key: 1\n")
	if got := s.socket(); got != socket {
		t.Errorf("%s, want %s, whatever else is wrong", got, socket)
	}
	for _, text := range []string{"port: -1\n", "control_socket: \"/x\"\nhttp: {", "control_socket: 5\n"} {
		s.rewrite(t, text)
		if got := s.socket(); got != s.ownSocket() {
			t.Errorf("%q: %s, want %s", text, got, s.ownSocket())
		}
	}
	if got := (site{"/nowhere"}).socket(); got != "/nowhere/control.sock" {
		t.Errorf("without a configuration: %s", got)
	}
}

// The way of the package's configuration: a server that anybody on the machine may use, the include, a device.
func TestFirstDeviceOfAPackagedServerCountsAtOnce(t *testing.T) {
	s, _ := aPackage(t, "")
	bus := start(t, edgebusBinary, "", nil, "-c", s.config()).until("Server is ready")
	before := folder(t, s.dir)
	for _, action := range []string{"add s-1", "list", "revoke s-1"} {
		args := append([]string{"device", "--dir", s.dir}, strings.Fields(action)...)
		step{name: action, args: args, code: 1, stderr: `.*does not read devices\.conf.*` + `authorization \{\n.*include "devices\.conf"\n.*\}\n.*everybody needs a password.*`}.run(t, "")
	}
	if after := folder(t, s.dir); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	s.rewrite(t, before[strings.Index(before, "\n")+1:]+includesDevices)
	step{name: "empty list", args: []string{"device", "list", "--dir", s.dir}}.run(t, "")
	secret := asJSON[newSecret](t, 0, "device", "add", "s-1", "--dir", s.dir)
	if !secret.Applied || secret.URL == "" || secret.Restart {
		t.Fatalf("%+v\n%s", secret, bus.stderr.String())
	}
	step{name: "the device", args: []string{"pub", "-s", secret.URL, "sensors.s-1.x", "y"}, stderr: ".*Published.*"}.run(t, "")
	_, address, _ := strings.Cut(secret.URL, "@")
	if _, err := client.Connect(t.Context(), "nats://"+address); !errors.Is(err, client.ErrAuthorization) {
		t.Errorf("without a password: %v", err)
	}
	step{name: "the last one", args: []string{"device", "revoke", "s-1", "--dir", s.dir}, code: 1, stderr: ".*s-1 is the only one.*"}.run(t, "")
	asJSON[newSecret](t, 0, "device", "add", "s-2", "--dir", s.dir)
	step{name: "one of two", args: []string{"device", "revoke", "s-1", "--dir", s.dir}, stdout: ".*its connections are closed\n"}.run(t, "")
	for _, args := range [][]string{{"why", "a"}, {"doctor"}, {"down", "--purge"}} {
		r := run(t, "", append(args, "--dir", s.dir)...)
		if strings.Contains(r.stderr, "no server") || strings.Contains(r.stdout, "no server") {
			t.Errorf("%s does not find the server: %v", args[0], r)
		}
	}
}

// A server that was started without authorization goes on listening on this machine only.
func TestFirstDeviceSaysThatTheServerWantsARestart(t *testing.T) {
	socket := socketPath(t)
	s, text := site{t.TempDir()}, fmt.Sprintf("port: -1\ncontrol_socket: %q\n", socket)
	s.rewrite(t, text)
	start(t, edgebusBinary, "", nil, "-c", s.config()).until("Server is ready")
	s.rewrite(t, text+includesDevices)
	step{name: "add", args: []string{"device", "add", "s-1", "--dir", s.dir}, stdout: ".*this machine only.*restart it.*"}.run(t, "")
}

func TestListThatIsNotIncludedIsNotChanged(t *testing.T) {
	s, _ := aPackage(t, "")
	text, err := devicesText([]deviceEntry{})
	if err == nil {
		err = os.WriteFile(s.devices(), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	step{name: "add", args: []string{"device", "add", "s-1", "--dir", s.dir}, code: 1, stderr: ".*does not read devices.conf.*"}.run(t, "")
	if is := string(mustRead(t, s.devices())); is != string(text) {
		t.Errorf("the list is\n%s", is)
	}
	// One that was not there is taken away again, if what else is in the configuration keeps it from being used.
	s.rewrite(t, includesDevices+"no_such_key: 1\n")
	if err := os.Remove(s.devices()); err != nil {
		t.Fatal(err)
	}
	step{name: "a mistake", args: []string{"device", "add", "s-1", "--dir", s.dir}, code: 1, stderr: ".*no_such_key.*"}.run(t, "")
	if _, err := os.Lstat(s.devices()); !os.IsNotExist(err) {
		t.Errorf("devices.conf: %v", err)
	}
}

// owned gives owner, group and mode of a file.
func owned(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %v", stat.Uid, stat.Gid, info.Mode())
}

func TestSecretFilesKeepOwnerGroupAndMode(t *testing.T) {
	s := site{t.TempDir()}
	me, root := fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid()), os.Geteuid() == 0
	for _, row := range []struct {
		config  fs.FileMode // 0: none
		want    string      // of a new file
		service string      // the same, if the configuration is a service's and root writes
	}{
		{0, "-rw-------", ""},
		{0o600, "-rw-------", "-rw-------"},
		{0o640, "-rw-r-----", "-rw-r-----"},
		{0o666, "-rw-r-----", "-rw-r-----"},
	} {
		os.Remove(s.config())
		os.Remove(s.devices())
		want := me + " " + row.want
		if !root {
			want = me + " -rw-------"
		}
		if row.config != 0 {
			s.rewrite(t, "")
			if err := os.Chmod(s.config(), row.config); err != nil {
				t.Fatal(err)
			}
			if root {
				want = "0:4711 " + row.service
				if err := os.Chown(s.config(), 0, 4711); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := writeSecret(s.devices(), []byte("a")); err != nil {
			t.Fatal(err)
		}
		if got := owned(t, s.devices()); got != want {
			t.Errorf("new beside mode %v: %s, want %s", row.config, got, want)
		}
	}
	// What is there stays as somebody has set it.
	if err := os.Chmod(s.devices(), 0o444); err != nil {
		t.Fatal(err)
	}
	if root {
		if err := os.Chown(s.devices(), 4712, 4713); err != nil {
			t.Fatal(err)
		}
	}
	before := owned(t, s.devices())
	if err := writeSecret(s.devices(), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if got := owned(t, s.devices()); got != before || string(mustRead(t, s.devices())) != "b" {
		t.Errorf("replaced: %s, was %s", got, before)
	}
}

// inProcess runs a command with a systemd of the test's.
func inProcess(v *supervisor, args ...string) result {
	var out, problems strings.Builder
	p := &program{name: "edgebus", stdin: os.Stdin, stdout: &out, stderr: &problems, service: v}
	return result{p.run(args), out.String(), problems.String()}
}

func TestUpHidesNoPackagedService(t *testing.T) {
	v := &supervisor{folder: t.TempDir(), packaged: []string{t.TempDir()}, run: func(_ context.Context, args ...string) error {
		return fmt.Errorf("systemctl %q was run", args)
	}}
	dir := siteDir(t)
	unit := filepath.Join(v.packaged[0], unitName)
	if err := os.WriteFile(unit, []byte("[Unit]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := inProcess(v, "up", "--dir", dir, "-p", "-1", "-m", "-1")
	if r.code != 1 || !matches(".*systemctl enable --now edgebus.*edgebus device add NAME.*", r.stderr) || !strings.Contains(r.stderr, unit) {
		t.Error(r)
	}
	// Nor one that an administrator has written.
	if err := os.Rename(unit, v.unit()); err != nil {
		t.Fatal(err)
	}
	if r := inProcess(v, "up", "--dir", dir, "-p", "-1", "-m", "-1"); r.code != 1 || !strings.Contains(r.stderr, errOtherUnit.Error()) {
		t.Error(r)
	}
	if isThere(dir) || isThere(unit) {
		t.Error("something was written")
	}
}

func TestUpAndDownLeaveAPackagedConfigurationAlone(t *testing.T) {
	s, _ := aPackage(t, includesDevices)
	if err := errors.Join(writeSecret(s.devices(), []byte(devicesHead+"]\n")), writeSecret(s.uplink(), nil)); err != nil {
		t.Fatal(err)
	}
	before := folder(t, s.dir)
	none := &supervisor{folder: t.TempDir()}
	for _, command := range []string{"up", "up --foreground", "up --hub a", "down", "down --purge"} {
		r := inProcess(none, append(strings.Fields(command), "--dir", s.dir)...)
		if r.code != 1 || !strings.Contains(r.stderr, `was not written by "edgebus up"`) {
			t.Errorf("%s: %v", command, r)
		}
	}
	if after := folder(t, s.dir); after != before || isThere(s.lockFile()) {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}

func TestDoctorSaysHowAServiceIsStarted(t *testing.T) {
	s := site{t.TempDir()}
	s.rewrite(t, fmt.Sprintf("listen: %q\n", nobodyThere))
	root := t.TempDir()
	units := filepath.Join(root, packagedUnits[1])
	for _, path := range []string{units, filepath.Join(root, "run/systemd/system")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	alter := func(e *examination) { e.root = root }
	text, _ := diagnose(t, alter, "-c", s.config())
	names(t, text, "^error: server: no server runs", "start it: edgebus -c")
	if err := os.WriteFile(filepath.Join(units, unitName), []byte("ExecStart=/usr/bin/edgebus -c "+s.config()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _ = diagnose(t, alter, "-c", s.config())
	names(t, text, "^error: server: no server runs", "start it: systemctl start edgebus")
	s.rewrite(t, includesDevices)
	text, _ = diagnose(t, alter, "-c", s.config())
	names(t, text, "^error: configuration: .*devices.conf", "edgebus device add NAME")
}
