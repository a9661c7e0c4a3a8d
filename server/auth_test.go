package server

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

const violationLine = "-ERR 'Authorization Violation'\r\n"

func mustHash(t *testing.T, password string) string {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// users are a plain and a hashed one, and one with permissions.
func users(t *testing.T) auth.Options {
	return auth.Options{Users: []auth.User{
		{User: "plain", Password: "pw"},
		{User: "hashed", Password: mustHash(t, "pw")},
		{User: "some", Password: "pw", Permissions: &auth.PermissionOptions{
			Publish:   &auth.SubjectOptions{Allow: []string{"ok.>", "r"}, Deny: []string{"ok.no"}},
			Subscribe: &auth.SubjectOptions{Allow: []string{"ok.>", "r", "w.>"}, Deny: []string{"w.x"}},
		}},
		{User: "answers", Password: "pw", Permissions: &auth.PermissionOptions{
			AllowResponses: &auth.ResponseOptions{Max: 1},
		}},
	}}
}

func TestAuthentication(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	for _, c := range []struct {
		name, send, want string
		closed           bool
	}{
		{"plain password", `CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\nPING\r\n", "PONG\r\n", false},
		{"hashed password", `CONNECT {"user":"hashed","pass":"pw"}` + "\r\nPING\r\nSUB a 1\r\n", "+OK\r\nPONG\r\n+OK\r\n", false},
		{"hashed password again", `CONNECT {"user":"hashed","pass":"pw"}` + "\r\nPING\r\n", "+OK\r\nPONG\r\n", false},
		{"wrong plain password", `CONNECT {"user":"plain","pass":"x"}` + "\r\nPING\r\n", violationLine, true},
		{"wrong hashed password", `CONNECT {"user":"hashed","pass":"x"}` + "\r\nPING\r\n", violationLine, true},
		{"unknown user", `CONNECT {"user":"nobody","pass":"x"}` + "\r\n", violationLine, true},
		{"no credentials", "CONNECT {}\r\n", violationLine, true},
		{"a password goes before the protocol", `CONNECT {"user":"plain","pass":"x","protocol":9}` + "\r\n", violationLine, true},
		{"checks behind a slow password", `CONNECT {"user":"hashed","pass":"pw","protocol":9}` + "\r\nPING\r\n", "-ERR 'invalid client protocol'\r\n", true},
		{"PING first", "PING\r\n", violationLine, true},
		{"one byte of a PUB", "P", violationLine, true},
		{"an empty line", "\r\n", violationLine, true},
		{"+OK first", "+OK\r\n", violationLine, true},
		{"what is not CONNECT after all", "CX", "-ERR 'Unknown Protocol Operation'\r\n", true},
		{"an endless CONNECT", "CONNECT {" + strings.Repeat("x", 4096), "-ERR 'maximum control line exceeded'\r\n", true},
		{"second CONNECT with a wrong password", `CONNECT {"user":"plain","pass":"pw"}` + "\r\n" + `CONNECT {"user":"plain","pass":"x"}` + "\r\n", "+OK\r\n" + violationLine, true},
		{"second CONNECT without credentials", `CONNECT {"user":"some","pass":"pw"}` + "\r\n" + `CONNECT {}` + "\r\nSUB no 1\r\n",
			"+OK\r\n+OK\r\n" + `-ERR 'Permissions Violation for Subscription to "no"'` + "\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := r.dial()
			s.t = t
			if s.info["auth_required"] != true {
				t.Error("INFO does not ask for credentials")
			}
			s.send(c.send)
			if c.closed {
				s.expectClosed(c.want)
				return
			}
			s.expect(c.want)
			s.send("PING\r\n")
			s.expect("PONG\r\n")
		})
	}
	eventually(t, "lines with remedies", func() bool { return strings.Contains(r.logs.String(), "remedy=") })
	if n := strings.Count(r.logs.String(), "level=WARN"); n > maxRefusalLines*3 {
		t.Errorf("%d lines about refused clients", n)
	}
}

func TestRefusalNamesTheUserAndNoSecret(t *testing.T) {
	long := strings.Repeat("u", 300)
	r := start(t, Options{}, auth.Options{User: "right", Password: "right-secret"}, broker.Options{})
	for _, user := range []string{"mallory", long} {
		r.dial().send(`CONNECT {"user":"` + user + `","pass":"wrong-secret"}` + "\r\n")
	}
	eventually(t, "a line for each", func() bool { return strings.Count(r.logs.String(), "remedy=") == 2 })
	text := r.logs.String()
	if !strings.Contains(text, "user=mallory") || !strings.Contains(text, "user="+long[:maxClaimed]+" ") {
		t.Errorf("the users are not named: %s", text)
	}
	if strings.Contains(text, "secret") {
		t.Errorf("a password is in the log: %s", text)
	}
}

func TestPermissionErrorsKeepTheConnection(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{MaxSubscriptions: 2, MaxTokens: 4})
	c := r.connect(`CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":"some","pass":"pw"}` + "\r\n")
	c.send(`CONNECT {"verbose":true}` + "\r\n")
	c.expect("+OK\r\n")
	for _, step := range [][2]string{
		{"PUB no 1\r\nx\r\n", `-ERR 'Permissions Violation for Publish to "no"'`},
		{"PUB ok.no 1\r\nx\r\n", `-ERR 'Permissions Violation for Publish to "ok.no"'`},
		{"PUB no _R_.x 1\r\nx\r\n", `-ERR 'Permissions Violation for Publish to "no"'`},
		{"PUB ok.x 1\r\nx\r\n", `+OK`},
		{"SUB no 1\r\n", `-ERR 'Permissions Violation for Subscription to "no"'`},
		{"SUB no q 1\r\n", `-ERR 'Permissions Violation for Subscription to "no" using queue "q"'`},
		{"SUB w.x 1\r\n", `-ERR 'Permissions Violation for Subscription to "w.x"'`},
		{"SUB ok.a.b.c.d 1\r\n", `-ERR 'Permissions Violation for Subscription to "ok.a.b.c.d", too many tokens'`},
		{"SUB w.* 1\r\n", `+OK`},
		{"SUB r 2\r\n", `+OK`},
		{"SUB ok.1 3\r\n", `-ERR 'maximum subscriptions exceeded'`},
		{"UNSUB 1\r\n", `+OK`},
		{"SUB ok.1 3\r\n", `+OK`},
	} {
		c.send(step[0])
		c.expect(step[1] + "\r\n")
	}
	c.send("PUB no r 0\r\n\r\nPING\r\n") // denied, so nobody answers for the missing
	c.expect(`-ERR 'Permissions Violation for Publish to "no"'` + "\r\nPONG\r\n")
}

func TestAllowedResponsesAreOKAsWell(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	asks := r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n")
	answers := r.connect(`CONNECT {"verbose":false,"user":"answers","pass":"pw"}` + "\r\n")
	answers.send(`CONNECT {"verbose":true}` + "\r\nSUB svc 1\r\n")
	answers.expect("+OK\r\n+OK\r\n")
	asks.send("SUB r 1\r\nPUB svc r 1\r\nx\r\n")
	answers.expect("MSG svc 1 r 1\r\nx\r\n")
	answers.send("PUB r 1\r\ny\r\nPUB r 1\r\nz\r\n")
	answers.expect("+OK\r\n" + `-ERR 'Permissions Violation for Publish to "r"'` + "\r\n")
	asks.expect("MSG r 1 1\r\ny\r\n")
}

func TestNoAuthUserMayBeginWithAnything(t *testing.T) {
	o := users(t)
	o.NoAuthUser = "some"
	r := start(t, Options{}, o, broker.Options{})
	c := r.dial()
	if c.info["auth_required"] != nil {
		t.Error("INFO asks for credentials that nobody needs")
	}
	c.send("SUB no 1\r\n")
	c.expect(`-ERR 'Permissions Violation for Subscription to "no"'` + "\r\n")
	c.send(`CONNECT {"user":"plain","pass":"pw","verbose":false}` + "\r\nSUB no 1\r\nPUB no 0\r\n\r\n")
	c.expect("MSG no 1 0\r\n\r\n")
	wrong := r.dial()
	wrong.send(`CONNECT {"user":"plain","pass":"x"}` + "\r\n")
	wrong.expectClosed(violationLine)
}

func TestAuthTimeoutIsSaid(t *testing.T) {
	o := users(t)
	o.Timeout = 2 * time.Second // in which a slow machine lets somebody in
	r := start(t, Options{}, o, broker.Options{})
	silent, half := r.dial(), r.dial()
	half.send("CONNECT {")
	in := r.dial()
	in.send(`CONNECT {"user":"hashed","pass":"pw"}` + "\r\n")
	silent.expectClosed("-ERR 'Authentication Timeout'\r\n")
	half.expectClosed("-ERR 'Authentication Timeout'\r\n")
	in.expect("+OK\r\n")
	in.send("PING\r\n")
	in.expect("PONG\r\n")
}

func TestReloadTakesWhatIsNoLongerAllowed(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	stays := r.connect(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\n")
	stays.send("SUB ok.a 1\r\nSUB ok.b q 2\r\nSUB r 3\r\nPING\r\n")
	stays.expect("PONG\r\n")
	goes := r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n")
	d, err := auth.New(auth.Options{Users: []auth.User{{User: "some", Password: "pw", Permissions: &auth.PermissionOptions{
		Subscribe: &auth.SubjectOptions{Allow: []string{"r"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.Reload(Options{}, d); err != nil {
		t.Fatal(err)
	}
	goes.expectClosed("")
	stays.expect(`-ERR 'Permissions Violation for Subscription to "ok.a" (sid "1")'` + "\r\n" +
		`-ERR 'Permissions Violation for Subscription to "ok.b" using queue "q" (sid "2")'` + "\r\n")
	stays.send("PUB ok.a 0\r\n\r\nPUB r 0\r\n\r\nPING\r\n")
	stays.expect("MSG r 3 0\r\n\r\nPONG\r\n")
}

// A password that is being checked while its user is taken out of the configuration opens nothing,
// and one whose user is allowed less by then opens no more than that.
func TestReloadWhileAPasswordIsChecked(t *testing.T) {
	hash := mustHash(t, "pw")
	before := auth.Options{Users: []auth.User{{User: "goes", Password: hash}, {User: "stays", Password: hash}}}
	after, err := auth.New(auth.Options{Users: []auth.User{{User: "stays", Password: hash, Permissions: &auth.PermissionOptions{
		Subscribe: &auth.SubjectOptions{Allow: []string{"r"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ user, want string }{
		{"goes", violationLine},
		{"stays", `-ERR 'Permissions Violation for Subscription to "a"'` + "\r\nPONG\r\n"},
	} {
		t.Run(c.user, func(t *testing.T) {
			r := startOn(t, engine.Options{Workers: 1}, Options{}, before, broker.Options{})
			// The only worker is busy until the configuration has changed.
			release := make(chan struct{})
			busy := r.sessionOf(r.dial())
			busy.onOwner(func(*engine.Loop) {
				if !busy.conn.Away(func() { <-release }, func(*engine.Loop) {}) {
					t.Error("no worker")
				}
			})
			w := r.dial()
			s := r.sessionOf(w)
			w.send(`CONNECT {"verbose":false,"user":"` + c.user + `","pass":"pw"}` + "\r\nSUB a 1\r\nPING\r\n")
			eventually(t, "the password waits to be checked", func() (away bool) {
				s.onOwner(func(*engine.Loop) { away = s.is(isAway) })
				return away
			})
			if err := r.server.Reload(Options{}, after); err != nil {
				t.Fatal(err)
			}
			close(release)
			if w.t = t; c.user == "goes" {
				w.expectClosed(c.want)
			} else {
				w.expect(c.want)
			}
		})
	}
}
