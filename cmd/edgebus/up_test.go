//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// siteDir is a folder with a path short enough for a socket.
func siteDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "site")
}

// An upRun is a server that up runs in a folder of its own.
type upRun struct {
	*process
	dir, url, password string
}

func startUp(t *testing.T, dir string, more ...string) *upRun {
	t.Helper()
	args := append([]string{"up", "--foreground", "--dir", dir}, more...)
	u := &upRun{process: start(t, edgebusBinary, "", nil, args...).until("device add sensor-1"), dir: dir}
	u.url = found(t, `reached at +(nats://127\.0\.0\.1:\d+)\n`, u.stdout.String())
	u.password = found(t, `password +(.+)\n`, u.stdout.String())
	return u
}

// firstUp is startUp on a machine that has nothing yet.
func firstUp(t *testing.T, more ...string) *upRun {
	t.Helper()
	return startUp(t, siteDir(t), append([]string{"-a", "127.0.0.1", "-p", "-1", "-m", "-1"}, more...)...)
}

func found(t *testing.T, pattern, text string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %q in\n%s", pattern, text)
	}
	return match[1]
}

func TestUpLetsInWhoHasThePasswordAndNobodyElse(t *testing.T) {
	u := firstUp(t)
	step{name: "with it", args: []string{"pub", "-s", u.url, "--user", "admin", "--password", u.password, "hello", "world"}, stderr: ".*Published.*"}.run(t, "")
	step{name: "without", args: []string{"pub", "-s", u.url, "hello", "world"}, code: 1, stderr: ".*authorization violation.*"}.run(t, "")
	files, err := filepath.Glob(filepath.Join(u.dir, "*.conf"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || info.Mode() != 0o600 || strings.Contains(string(text), u.password) {
			t.Errorf("%s: mode %v, %v, %v, or the password is in it", path, info.Mode(), err, statErr)
		}
	}
	if strings.Contains(u.stderr.String(), u.password) {
		t.Error("the password is in the log")
	}
}

func TestUpTwiceChangesNothing(t *testing.T) {
	u := firstUp(t)
	before := folder(t, u.dir)
	step{name: "up again", args: []string{"up", "--dir", u.dir}, stdout: `.*edgebus is up \(process \d+\).*` + regexp.QuoteMeta(u.url) + `.*was shown when it was made.*`}.run(t, "")
	if after := folder(t, u.dir); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	step{name: "another port", args: []string{"up", "--dir", u.dir, "-p", "5000"}, code: 2, stderr: ".*change that line there\n"}.run(t, "")
	// The same with a start in between.
	step{name: "down", args: []string{"down", "--dir", u.dir}, stdout: "edgebus is down\n"}.run(t, "")
	if r := u.wait(); r.code != 0 {
		t.Error(r)
	}
	again := startUp(t, u.dir)
	if after := folder(t, u.dir); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	step{name: "the old password", args: []string{"pub", "-s", again.url, "--user", "admin", "--password", u.password, "a", "b"}, stderr: ".*Published.*"}.run(t, "")
	step{name: "another password", args: []string{"up", "--dir", u.dir, "--new-password"}, stdout: ".*password     [A-Z2-7]{26}\n.*"}.run(t, "")
	step{name: "the old password", args: []string{"pub", "-s", again.url, "--user", "admin", "--password", u.password, "a", "b"}, code: 1, stderr: ".*authorization violation.*"}.run(t, "")
}

// folder is all files' text.
func folder(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(path + "\n" + string(text))
	}
	return b.String()
}

func TestUpSaysHowTheHubIs(t *testing.T) {
	u := firstUp(t, "--hub", nobodyThere)
	if text := u.stdout.String(); !matches(`.*hub +nats-leaf://`+nobodyThere+` is down: .*connection refused\n +\S.*`, text) {
		t.Error(text)
	}
	// Another hub comes in while it runs.
	conf := file(t, "hub.conf", "leafnodes { listen: \"127.0.0.1:-1\" }\n")
	hub := start(t, edgebusBinary, "", nil, "-c", conf, "-a", "127.0.0.1", "-p", "-1").until("Server is ready")
	port := found(t, `[Ll]eaf.*127\.0\.0\.1:(\d+)`, hub.stderr.String())
	step{name: "another hub", args: []string{"up", "--dir", u.dir, "--hub", "nats-leaf://127.0.0.1:" + port}, stdout: ".*hub +nats-leaf://127.0.0.1:" + port + " is joined\n.*"}.run(t, "")
	before := folder(t, u.dir)
	step{name: "no hub", args: []string{"up", "--dir", u.dir, "--hub", "gopher://x"}, code: 1, stderr: ".*gopher.*"}.run(t, "")
	step{name: "no credentials", args: []string{"up", "--dir", u.dir, "--hub", "x", "--creds", "/nofile"}, code: 1, stderr: ".*--creds: .*nofile.*"}.run(t, "")
	if after := folder(t, u.dir); after != before {
		t.Errorf("what was refused is in the files:\n%s", after)
	}
}

// startHub is a hub that takes leaves, by a password if there is one.
func startHub(t *testing.T, password string) (address string) {
	t.Helper()
	block := "leafnodes { listen: \"127.0.0.1:-1\" }\n"
	if password != "" {
		block = "leafnodes { listen: \"127.0.0.1:-1\", authorization { user: edge, password: " + password + " } }\n"
	}
	hub := start(t, edgebusBinary, "", nil, "-c", file(t, "hub.conf", block), "-a", "127.0.0.1", "-p", "-1").until("Server is ready")
	return "127.0.0.1:" + found(t, `[Ll]eaf.*127\.0\.0\.1:(\d+)`, hub.stderr.String())
}

// A slip in an address must not cut a site off.
func TestUpKeepsAHubUntilAnotherCanBeJoined(t *testing.T) {
	good, strict := startHub(t, ""), startHub(t, "right")
	u := firstUp(t)
	step{name: "first hub", args: []string{"up", "--dir", u.dir, "--hub", good}, stdout: ".*hub +nats-leaf://" + good + " is joined\n.*"}.run(t, "")
	before := folder(t, u.dir)
	kept := `; the hub is still nats-leaf://` + good + `; --force takes the new one all the same\n`
	for _, s := range []step{
		{name: "nobody there", args: []string{"--hub", "127.0.0.1:1"}, stderr: `edgebus: nats-leaf://127\.0\.0\.1:1 cannot be joined: [^\n]*connection refused[^\n]*` + kept},
		{name: "a refusal", args: []string{"--hub", "nats-leaf://edge:wrong@" + strict}, stderr: `edgebus: nats-leaf://` + strict + ` cannot be joined: Authentication Failure[^\n]*` + kept},
		{name: "a client port", args: []string{"--hub", strings.TrimPrefix(u.url, "nats://")}, stderr: `edgebus: [^\n]* cannot be joined: [^\n]*` + kept},
	} {
		s.code, s.args = exitFailed, append([]string{"up", "--dir", u.dir}, s.args...)
		s.run(t, "")
		if after := folder(t, u.dir); after != before {
			t.Errorf("%s: what was refused is in the files:\n%s", s.name, after)
		}
	}
	step{name: "still joined", args: []string{"up", "--dir", u.dir}, stdout: ".*hub +nats-leaf://" + good + " is joined\n.*"}.run(t, "")
	step{name: "another that lets us in", args: []string{"up", "--dir", u.dir, "--hub", "nats-leaf://edge:right@" + strict}, stdout: ".*hub +nats-leaf://" + strict + " is joined\n.*"}.run(t, "")
	for range 2 { // the second time it is the one that is there, which is not tried
		step{name: "forced", args: []string{"up", "--dir", u.dir, "--hub", "127.0.0.1:1", "--force"}, stdout: `.*hub +nats-leaf://127\.0\.0\.1:1 is down: .*`}.run(t, "")
	}
	step{name: "the same again", args: []string{"up", "--dir", u.dir, "--hub", "127.0.0.1:1"}, stdout: `.*hub +nats-leaf://127\.0\.0\.1:1 is down: .*`}.run(t, "")
	step{name: "nothing to force", args: []string{"up", "--dir", u.dir, "--force"}, code: exitUsage, stderr: "edgebus: --force goes with --hub\n"}.run(t, "")
}

func TestUpLeavesNothingWhereItCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, s := range []step{
		{name: "port in use", args: []string{"-p", port}, code: 1, stderr: ".*address already in use.*choose other ports with -p and -m.*"},
		{name: "hub", args: []string{"-p", "-1", "--hub", "gopher://x"}, code: 1, stderr: ".*gopher.*"},
		{name: "user", args: []string{"-p", "-1", "--user", "a b"}, code: 2, stderr: ".*\"a b\" is no name.*"},
		{name: "address", args: []string{"-p", "-1", "-a", "here"}, code: 2, stderr: ".*--addr wants.*"},
		{name: "creds alone", args: []string{"-p", "-1", "--creds", "x"}, code: 2, stderr: ".*--creds goes with --hub.*"},
	} {
		dir := siteDir(t)
		s.args = append([]string{"up", "--foreground", "--dir", dir, "-m", "-1", "-a", "127.0.0.1"}, s.args...)
		s.run(t, "")
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s: %s is there, %v", s.name, dir, err)
		}
	}
}

func TestDownStopsAndPurgesWhatUpWrote(t *testing.T) {
	u := firstUp(t)
	own := filepath.Join(u.dir, "own.txt")
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	step{name: "purge", args: []string{"down", "--purge", "--dir", u.dir}, stdout: "edgebus is down\nremoved what up has written to .*\n"}.run(t, "")
	if r := u.wait(); r.code != 0 {
		t.Error(r)
	}
	if left, err := os.ReadDir(u.dir); err != nil || len(left) != 1 || left[0].Name() != "own.txt" {
		t.Errorf("left: %v, %v", left, err)
	}
	step{name: "again", args: []string{"down", "--purge", "--dir", u.dir}, stdout: "there is no .*, so nothing is up\n"}.run(t, "")
}

func TestUpStartsAgainAfterAKillAndPurgeLeavesNothing(t *testing.T) {
	u := firstUp(t)
	u.cmd.Process.Kill()
	u.wait()
	again := startUp(t, u.dir)
	step{name: "the password", args: []string{"pub", "-s", again.url, "--user", "admin", "--password", u.password, "a", "b"}, stderr: ".*Published.*"}.run(t, "")
	again.cmd.Process.Kill()
	again.wait()
	step{name: "purge", args: []string{"down", "--purge", "--dir", u.dir}, stdout: "no server is running\nremoved what up has written to .*\n"}.run(t, "")
	if _, err := os.Stat(u.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}

func TestUpAndDownLeaveConfigurationsOfOthersAlone(t *testing.T) {
	path := file(t, "edgebus.conf", "port: -1\n")
	for _, s := range []step{
		{name: "up", args: []string{"up", "--foreground"}, code: 1, stderr: ".*was not written by \"edgebus up\".*"},
		{name: "down", args: []string{"down", "--purge"}, code: 1, stderr: ".*was not written by \"edgebus up\".*"},
	} {
		s.args = append(s.args, "--dir", filepath.Dir(path))
		s.run(t, "")
		if text, err := os.ReadFile(path); string(text) != "port: -1\n" {
			t.Errorf("%s: %q, %v", s.name, text, err)
		}
	}
}

func TestUnitRunsTheSiteAndIsNobodyElses(t *testing.T) {
	var ran []string
	v := &supervisor{folder: t.TempDir(), run: func(_ context.Context, args ...string) error {
		ran = append(ran, strings.Join(args, " "))
		return nil
	}}
	s, other := site{"/etc/a 100%$b"}, site{"/etc/other"}
	if err := v.install(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(v.unit())
	if err != nil || !strings.Contains(string(text), ` -c "/etc/a 100%%$$b/edgebus.conf"`+"\n") || !strings.Contains(string(text), `ReadWritePaths="/etc/a 100%%$$b"`) {
		t.Errorf("%v\n%s", err, text)
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		if output, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", v.unit()).CombinedOutput(); err != nil || strings.Contains(string(output), unitName) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, output)
		}
	}
	if !v.owns(s) || v.owns(other) {
		t.Error("the unit is another site's")
	}
	if err := v.install(t.Context(), other); err == nil || !strings.Contains(err.Error(), "--foreground") {
		t.Errorf("over another site's unit: %v", err)
	}
	if err := v.stop(t.Context(), true); err != nil || v.owns(s) {
		t.Errorf("purged: %v", err)
	}
	want := "daemon-reload|enable --now edgebus.service|disable --now edgebus.service|daemon-reload"
	if got := strings.Join(ran, "|"); got != want {
		t.Errorf("systemctl %s, want %s", got, want)
	}
}

// A power cut soon after the first up leaves no empty unit, and if one is there it is taken for what is left of
// ours.
func TestUnitIsWrittenAsAWholeAndOverWhatAPowerCutHasLeft(t *testing.T) {
	s := site{"/etc/a"}
	for name, row := range map[string]struct {
		prepare func(unit string) error
		refused bool
	}{
		"nothing": {prepare: func(string) error { return nil }},
		"empty":   {prepare: func(unit string) error { return os.WriteFile(unit, nil, 0o644) }},
		"ours":    {prepare: func(unit string) error { return os.WriteFile(unit, []byte(unitText("/old", s)), 0o600) }},
		"masked":  {prepare: func(unit string) error { return os.Symlink("/dev/null", unit) }, refused: true},
		"other":   {prepare: func(unit string) error { return os.WriteFile(unit, []byte("[Unit]\n"), 0o644) }, refused: true},
	} {
		v := &supervisor{folder: t.TempDir()}
		v.run = func(_ context.Context, args ...string) error {
			if info, err := os.Stat(v.unit()); err != nil || !v.owns(s) || info.Mode().Perm() != 0o644 {
				t.Errorf("%s: at %q the unit is %v, %v", name, args, info, err)
			}
			return nil
		}
		if err := row.prepare(v.unit()); err != nil {
			t.Fatal(err)
		}
		before, _ := os.OpenFile(v.unit(), os.O_RDONLY, 0) // kept open: nobody gets its number
		if err := v.install(t.Context(), s); errors.Is(err, errOtherUnit) != row.refused {
			t.Errorf("%s: %v", name, err)
		}
		if before != nil && !row.refused {
			was, _ := before.Stat()
			if is, err := os.Stat(v.unit()); err != nil || os.SameFile(was, is) {
				t.Errorf("%s: the unit was written in place", name)
			}
		}
		before.Close()
		if files, err := os.ReadDir(v.folder); len(files) != 1 {
			t.Errorf("%s: left are %v, %v", name, files, err)
		}
	}
}

func TestAddressesOfOtherMachinesComeFirst(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"nats://127.0.0.1:1 nats://[::1]:1 nats://[fd00::2]:1 nats://192.0.2.2:1 nats://[fe80::1]:1", "nats://192.0.2.2:1 nats://[fd00::2]:1"},
		{"nats://[::1]:1 nats://127.0.0.1:1", "nats://[::1]:1 nats://127.0.0.1:1"},
		{"", ""},
	} {
		if got := strings.Join(fromOutside(strings.Fields(row.in)), " "); got != row.want {
			t.Errorf("%s: %s, want %s", row.in, got, row.want)
		}
	}
}

func TestUpTellsProgramsAsJSON(t *testing.T) {
	dir := siteDir(t)
	p := start(t, edgebusBinary, "", nil, "up", "--foreground", "--json", "--dir", dir, "-a", "127.0.0.1", "-p", "-1", "-m", "-1").until(`\n}\n`)
	var first, second upResult
	if err := json.Unmarshal([]byte(p.stdout.String()), &first); err != nil || first.User != "admin" || len(first.Clients) != 1 || first.PID != p.cmd.Process.Pid {
		t.Fatalf("%v: %+v", err, first)
	}
	step{name: "the password", args: []string{"pub", "-s", first.Clients[0], "--user", "admin", "--password", first.Password, "a", "b"}, stderr: ".*Published.*"}.run(t, "")
	if second = asJSON[upResult](t, 0, "up", "--dir", dir); second.Password != "" || second.User != "admin" || second.PID != first.PID {
		t.Errorf("%+v", second)
	}
	asJSON[newSecret](t, 0, "device", "add", "s-1", "--dir", dir)
	if gone := asJSON[newSecret](t, 0, "device", "revoke", "s-1", "--dir", dir); gone.Name != "s-1" || !gone.Applied {
		t.Errorf("%+v", gone)
	}
}

// typist runs edgebus on a terminal, which the program script makes; what is written to it is typed.
func typist(t *testing.T, args ...string) (p *process, keys io.Writer) {
	t.Helper()
	script, err := exec.LookPath("script")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("NO script of util-linux here, which would make a terminal")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p = &process{t: t, stdout: new(lockedBuffer), stderr: new(lockedBuffer), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, script, "-qec", "exec "+edgebusBinary+" "+strings.Join(args, " "), os.DevNull)
	p.cmd.Env = append(cleanEnv(t), "SHELL=/bin/sh", "TERM=dumb") // script starts $SHELL
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	keys, err = p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		cancel()
		close(p.ended)
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended })
	return p, keys
}

func TestQuestionOfUpIsEndedByInterrupt(t *testing.T) {
	dir := siteDir(t)
	p, keys := typist(t, "up", "--foreground", "--dir", dir, "-a", "127.0.0.1", "-p", "-1", "-m", "-1")
	p.until("Hub to join")
	io.WriteString(keys, "\x03")
	if r := p.wait(); r.code == 0 {
		t.Error(r)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is there, %v", dir, err)
	}
}

func TestUpAsksForAHubOnATerminal(t *testing.T) {
	dir := siteDir(t)
	p, keys := typist(t, "up", "--foreground", "--dir", dir, "-a", "127.0.0.1", "-p", "-1", "-m", "-1")
	p.until("Hub to join")
	io.WriteString(keys, "127.0.0.1:1\n")
	p.until("its credentials")
	io.WriteString(keys, "\n")
	p.until(`hub +nats-leaf://127\.0\.0\.1:1 is down`)
	io.WriteString(keys, "\x03")
	if r := p.wait(); r.code != 0 {
		t.Error(r)
	}
}

func TestCommandsThatChangeASiteWaitForEachOther(t *testing.T) {
	u := firstUp(t)
	held, err := site{u.dir}.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiting := start(t, edgebusBinary, "", nil, "device", "add", "s-1", "--dir", u.dir)
	soon, cancel := context.WithTimeout(t.Context(), 2*askEvery)
	defer cancel()
	if _, err := (site{u.dir}).lock(soon); err == nil || !strings.Contains(err.Error(), "another command is changing") {
		t.Errorf("a second lock: %v", err)
	}
	select {
	case <-waiting.ended:
		t.Fatalf("it did not wait: %v", waiting.wait())
	default:
	}
	held()
	if r := waiting.wait(); r.code != 0 {
		t.Error(r)
	}
}

func TestPathOfASiteIsInWhatIsToBeTyped(t *testing.T) {
	u := firstUp(t)
	if !strings.Contains(u.stdout.String(), edgebusBinary+" device add sensor-1 --dir "+u.dir+`" lets`) {
		t.Error(u.stdout.String())
	}
	for in, want := range map[string]string{"/a/b-1.2": "/a/b-1.2", "/a b": "'/a b'", "it's": `'it'\''s'`, "": "''"} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
