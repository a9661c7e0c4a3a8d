//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// addDevice makes a device of a server that runs.
func addDevice(t *testing.T, u *upRun, name string, more ...string) (secret newSecret) {
	t.Helper()
	r := run(t, "", append([]string{"device", "add", name, "--dir", u.dir, "--json"}, more...)...)
	if err := json.Unmarshal([]byte(r.stdout), &secret); err != nil || r.code != 0 || !secret.Applied {
		t.Fatalf("%v: %v", err, r)
	}
	return secret
}

// connectAs connects without coming back once it is cut; closed is closed with the connection.
func connectAs(t *testing.T, url string, who ...client.Option) (conn *client.Conn, closed <-chan struct{}) {
	t.Helper()
	gone := make(chan struct{})
	options := append(who, client.NoReconnect(), client.OnClose(func(*client.Conn) { close(gone) }))
	conn, err := client.Connect(t.Context(), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, gone
}

func TestDeviceComesInWithinASecondAndMayDoWhatItWasAllowed(t *testing.T) {
	u := firstUp(t)
	quickest := time.Hour
	for i := 10; i > 0 && quickest > time.Second; i-- { // a machine that does something else may be slow now and then
		began := time.Now()
		addDevice(t, u, fmt.Sprintf("first%d", i))
		quickest = min(quickest, time.Since(began))
	}
	if quickest > time.Second {
		t.Errorf("took %v", quickest)
	}
	s := addDevice(t, u, "s1", "--allow", "plant.{name}.>", "--allow", "alarm.{name}")
	for _, subject := range []string{"plant.s1.heat", "alarm.s1"} {
		step{name: subject, args: []string{"pub", "-s", s.URL, subject, "x"}, stderr: ".*Published.*"}.run(t, "")
	}
	for _, subject := range []string{"plant.s2.heat", "hello", "_INBOX_s2.x"} {
		step{name: subject, args: []string{"pub", "-s", s.URL, subject, "x"}, code: 1, stderr: ".*[Pp]ermission.*"}.run(t, "")
	}
}

func TestDevicesAskAndAnswerWithoutHearingOthers(t *testing.T) {
	u := firstUp(t)
	s := addDevice(t, u, "valve-1", "--allow", "valve.{name}")
	admin, _ := connectAs(t, u.url, client.UserPassword("admin", u.password))
	device, _ := connectAs(t, u.url, client.UserPassword(s.User, s.Password), client.InboxPrefix(s.Inbox))
	for _, pair := range [][2]*client.Conn{{admin, device}, {device, admin}} {
		asks, answers := pair[0], pair[1]
		sub, err := answers.Subscribe("valve.valve-1", func(m *client.Msg) { m.Respond([]byte("open")) })
		if err != nil {
			t.Fatal(err)
		}
		if err := answers.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		reply, err := asks.Request(ctx, "valve.valve-1", nil)
		cancel()
		if err != nil || string(reply.Data) != "open" {
			t.Errorf("%v, %v", reply, err)
		}
		sub.Unsubscribe()
	}
	refused := make(chan error, 1)
	spy, _ := connectAs(t, u.url, client.UserPassword(s.User, s.Password), client.OnError(func(_ *client.Conn, _ *client.Subscription, err error) { refused <- err }))
	if _, err := spy.Subscribe("_INBOX.>", func(*client.Msg) {}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-refused:
	case <-time.After(patience):
		t.Error("a device may listen to the answers that others get")
	}
}

func TestRevokedDeviceIsCutAndStaysOut(t *testing.T) {
	u := firstUp(t)
	password, nkey := addDevice(t, u, "s1"), addDevice(t, u, "s2", "--nkey")
	kept := addDevice(t, u, "s3")
	seed := file(t, "seed", nkey.Seed)
	_, closed1 := connectAs(t, u.url, client.UserPassword(password.User, password.Password))
	_, closed2 := connectAs(t, u.url, client.NKey(seed))
	other, _ := connectAs(t, u.url, client.UserPassword(kept.User, kept.Password))
	for name, closed := range map[string]<-chan struct{}{"s1": closed1, "s2": closed2} {
		step{name: name, args: []string{"device", "revoke", name, "--dir", u.dir}, stdout: name + " is revoked, its connections are closed\n"}.run(t, "")
		select {
		case <-closed:
		case <-time.After(patience):
			t.Errorf("%s is still connected", name)
		}
	}
	if err := other.Flush(t.Context()); err != nil {
		t.Errorf("the device that was not revoked: %v", err)
	}
	for _, who := range []client.Option{client.UserPassword(password.User, password.Password), client.NKey(seed)} {
		if _, err := client.Connect(t.Context(), u.url, who); !errors.Is(err, client.ErrAuthorization) {
			t.Errorf("a revoked device comes in: %v", err)
		}
	}
	step{name: "list", args: []string{"device", "list", "--dir", u.dir}, stdout: `admin +password \S+  >\ns3 +password \S+  sensors\.s3\.>\n`}.run(t, "")
}

func TestDeviceSecretIsShownOnceAndKeptNowhere(t *testing.T) {
	u := firstUp(t)
	r := run(t, "", "device", "add", "s1", "--dir", u.dir, "--qr")
	password := found(t, `password +([A-Z2-7]{26})\n`, r.stdout)
	picture, err := qrCode(found(t, `url +(\S+)\n`, r.stdout))
	if err != nil || !strings.HasSuffix(r.stdout, "\n"+picture) {
		t.Errorf("%v: no code of the address in\n%s", err, r.stdout)
	}
	seed := addDevice(t, u, "s2", "--nkey").Seed
	list := run(t, "", "device", "list", "--dir", u.dir, "--json").stdout
	for _, secret := range []string{password, seed} {
		if strings.Contains(folder(t, u.dir)+list+u.stderr.String(), secret) {
			t.Error("a secret is in the files, the list or the log")
		}
	}
	step{name: "again", args: []string{"device", "add", "s1", "--dir", u.dir}, code: 1, stderr: ".*s1 is there already.*"}.run(t, "")
}

func TestDeviceThatCannotBeMadeChangesNothing(t *testing.T) {
	u := firstUp(t)
	before := folder(t, u.dir)
	for _, s := range []step{
		{name: "subject", args: []string{"add", "s1", "--allow", "a..b"}, code: 2, stderr: ".*a\\.\\.b.*"},
		{name: "a blank", args: []string{"add", "s1", "--allow", "a.{name}", "--allow", "foo bar"}, code: 2, stderr: `edgebus: --allow: "foo bar" is not a valid subject` + "\n"},
		{name: "placeholder", args: []string{"add", "s1", "--allow", "a.{nam}.>"}, code: 2, stderr: ".*\\{nam\\} stands for nothing.*"},
		{name: "name", args: []string{"add", "a.b"}, code: 2, stderr: ".*no name for a device.*"},
		{name: "wildcard", args: []string{"add", ">"}, code: 2, stderr: ".*no name for a device.*"},
		{name: "both", args: []string{"add", "s1", "--nkey", "--password"}, code: 2, stderr: ".*has one of them\n"},
		{name: "no name", args: []string{"add"}, code: 2, stderr: ".*device add takes one name.*"},
		{name: "nobody", args: []string{"revoke", "s1"}, code: 1, stderr: ".*there is no device s1.*"},
		{name: "administrator", args: []string{"revoke", "admin"}, code: 1, stderr: ".*--new-password.*"},
		{name: "nothing", code: 2, stderr: ".*add NAME, list or revoke NAME.*"},
	} {
		s.args = append([]string{"device", "--dir", u.dir}, s.args...)
		s.run(t, "")
	}
	if after := folder(t, u.dir); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	s := site{u.dir}
	text, err := os.ReadFile(s.config())
	if err != nil {
		t.Fatal(err)
	}
	s.rewrite(t, string(text)+"foo_bar: 1\n")
	before = folder(t, u.dir)
	step{name: "a server that does not take it up", args: []string{"device", "add", "s1", "--dir", u.dir}, code: 1, stderr: ".*foo_bar.*"}.run(t, "")
	if after := folder(t, u.dir); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	step{name: "no site", args: []string{"device", "list", "--dir", siteDir(t)}, code: 1, stderr: ".*\"edgebus up\" writes one.*"}.run(t, "")
}

func TestDeviceIsKeptForTheNextStart(t *testing.T) {
	u := firstUp(t)
	step{name: "down", args: []string{"down", "--dir", u.dir}, stdout: "edgebus is down\n"}.run(t, "")
	u.wait()
	r := run(t, "", "device", "add", "s1", "--dir", u.dir)
	if r.code != 0 || !strings.Contains(r.stdout, "No server is running") {
		t.Fatal(r)
	}
	again := startUp(t, u.dir)
	connectAs(t, again.url, client.UserPassword("s1", found(t, `password +([A-Z2-7]{26})\n`, r.stdout)))
}

func TestDevicesFileIsReadBackAsItWasWritten(t *testing.T) {
	list := []deviceEntry{newDevice("admin", nil), newDevice("a-1", []string{"x.{name}.>", "y.*"}), newDevice("b", []string{"z"})}
	list[0].user.User, list[0].user.Password = "admin", "$2a$04$abc"
	list[2].user.NKey = "UABC"
	text, err := devicesText(list)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "devices.conf")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := readDevices(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := devicesText(back)
	if err != nil || string(again) != string(text) || len(back) != len(list) {
		t.Errorf("%v\n%s\nis read as\n%s", err, text, again)
	}
	for _, foreign := range []string{"  { user: me, password: x }\n", "  # me, added 2026-01-01\n  {\"user\":\"me\",\"types\":[]},\n", "# a remark\n"} {
		if err := os.WriteFile(path, append(text, foreign...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readDevices(path); err == nil || !strings.Contains(err.Error(), "would be lost") {
			t.Errorf("%q: %v", foreign, err)
		}
	}
}

// A device may not listen at everybody's inbox. Who asks as one is told so at once, and how it works.
func TestRequestOfADeviceNamesItsInboxPrefix(t *testing.T) {
	u := firstUp(t)
	s := addDevice(t, u, "valve-1", "--allow", "valve.{name}")
	start(t, edgebusBinary, "", nil, "reply", "-s", u.url, "--user", "admin", "--password", u.password, "valve.valve-1", "open").until("Listening on")
	hint := `edgebus: the server says: Permissions Violation for Subscription to "_INBOX\.[^\n]*; answers could not come in: say with --inbox-prefix [^\n]*: --inbox-prefix %s\)\n`
	for _, who := range []struct {
		name, own string
		args      []string
	}{
		{"its options", "_INBOX_valve-1", []string{"-s", u.url, "--user", s.User, "--password", s.Password}},
		{"the URL", "_INBOX_valve-1", []string{"-s", s.URL}},
	} {
		ask := append([]string{"request", "valve.valve-1", "?", "--timeout", patience.String()}, who.args...)
		began := time.Now()
		step{name: who.name, args: ask, code: exitFailed, stderr: ".*" + fmt.Sprintf(hint, who.own)}.run(t, "")
		if took := time.Since(began); took > patience/2 {
			t.Errorf("%s: told after %v", who.name, took)
		}
		step{name: who.name + ", as told", args: append(ask, "--inbox-prefix", who.own, "--raw"), stdout: "open\n"}.run(t, "")
	}
	step{name: "a question that it may not ask", args: []string{"request", "pump.1", "?", "-s", s.URL, "--inbox-prefix", s.Inbox, "--raw"}, code: exitFailed, stderr: `edgebus: the server says: Permissions Violation for Publish to "pump.1"\n`}.run(t, "")
}
