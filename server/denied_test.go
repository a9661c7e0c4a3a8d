package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// logged waits for a line of the log that holds all of what.
func (r *rig) logged(what ...string) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("a line of the log with %q", what), func() bool {
		for line := range strings.Lines(r.logs.String()) {
			n := 0
			for _, one := range what {
				if strings.Contains(line, one) {
					n++
				}
			}
			if n == len(what) {
				return true
			}
		}
		return false
	})
}

func TestWhatClientsMayNotDoIsLogged(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{MaxSubscriptions: 1, MaxTokens: 4})
	c := r.connect(`CONNECT {"verbose":false,"headers":true,"user":"some","pass":"pw","name":"pump"}` + "\r\n")
	who := "client=" + c.conn.LocalAddr().String()
	c.send("PUB no 1\r\nx\r\nSUB no q 7\r\nSUB ok.a.b.c.d 8\r\nSUB r 1\r\nSUB r 2\r\n")
	r.logged("level=ERROR", `msg="Publish Violation"`, who, "user=some", "name=pump", "subject=no", "cid=", `remedy="edgebus why SUBJECT --from USER `)
	r.logged("level=ERROR", `msg="Subscription Violation"`, who, "user=some", "subject=no", "queue=q", "sid=7", `remedy="widen subscribe `)
	r.logged("level=ERROR", `msg="Subscription Violation Too Many Tokens"`, "sid=8", `remedy="raise max_sub_tokens,`)
	r.logged("level=ERROR", `msg="maximum subscriptions exceeded"`, "user=some", "sid=2", `remedy="raise max_subscriptions,`)
	c.send("PUB ok.x _R_.y 1\r\nx\r\n")
	r.logged("level=ERROR", `msg="Publish Violation"`, "reply=_R_.y", `remedy="such subjects are the servers' own: `)
}

// One client that is refused everything neither fills the log nor hides another one.
func TestLinesAboutOneClientAreFew(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	const connect = `CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\n"
	noisy, quiet := r.connect(connect), r.connect(connect)
	noisy.send(strings.Repeat("PUB no 0\r\n\r\n", 10*maxDenialLines) + "PING\r\n")
	for line := ""; line != "PONG\r\n"; line, _ = noisy.in.ReadString('\n') {
	}
	quiet.send("SUB no 5\r\n")
	r.logged("Subscription Violation", "sid=5", "more_like_this=")
	if n := strings.Count(r.logs.String(), "Publish Violation"); n == 0 || n > maxDenialLines {
		t.Errorf("%d lines", n)
	}
}

func TestReloadLogsWhatItTakesAway(t *testing.T) {
	r := start(t, Options{}, listed(pair("a", "pw")), broker.Options{})
	c := r.connect(asA)
	c.send("SUB x.1 1\r\nSUB x.2 q 2\r\nSUB y 3\r\nPING\r\n")
	c.expect("PONG\r\n")
	u := pair("a", "pw")
	u.Permissions = &auth.PermissionOptions{Subscribe: &auth.SubjectOptions{Allow: []string{"y"}}}
	r.reload(Options{}, listed(u))
	r.logged("level=INFO", "no longer authorized", "user=a", "count=2", "x.1", "x.2")
	if strings.Contains(r.logs.String(), "More clients") {
		t.Error("there are no more")
	}
}

func TestLeftOutLinesAreCounted(t *testing.T) {
	var l lineLimit
	written, left := 0, 0
	for range 10 {
		if write, more := l.may(1, 4); write {
			written, left = written+1, left+more
		}
	}
	if write, more := l.may(2, 4); !write || more != 8 || written != 2 || left != 0 {
		t.Errorf("%d lines of the first, %d left out; of another: %v, %d left out", written, left, write, more)
	}
	l.may(1, 4)
	if n := l.rest(); n != 1 {
		t.Errorf("%d at the end", n)
	}
}

// What the log advises fits what the configuration asks for.
func TestRefusalsNameTheRightRemedy(t *testing.T) {
	_, key := keyPair(t)
	nkey := listed(auth.User{NKey: key})
	types := listed(auth.User{User: "a", Password: "pw", Types: []string{auth.MQTT}})
	for _, c := range []struct {
		name    string
		a       auth.Options
		connect string
		want    string
	}{
		{"users", listed(pair("a", "pw")), `{}`, "no credentials: give it a user and password, or set no_auth_user"},
		{"a single user", auth.Options{User: "a", Password: "pw"}, `{}`, "no credentials: give it a user and password\""},
		{"token", auth.Options{Token: "t"}, `{}`, "no credentials: give it a token"},
		{"wrong token", auth.Options{Token: "t"}, `{"auth_token":"x"}`, "wrong user, password or token"},
		{"type", types, `{"user":"a","pass":"pw"}`, "allowed_connection_types"},
		{"JWT", listed(pair("a", "pw")), `{"jwt":"eyJ","sig":"x"}`, "without operator"},
		{"nkey, nothing", nkey, `{}`, "no credentials: give it an nkey"},
		{"nkey, another", nkey, `{"nkey":"UB","sig":"x"}`, "nkey UB is not one of the users"},
		{"nkey, no signature", nkey, `{"nkey":"` + key + `"}`, "signature of nkey " + key},
		{"certificate", auth.Options{Users: []auth.User{{User: "CN=a"}}, VerifyAndMap: true}, `{}`, "shows no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, Options{}, c.a, broker.Options{})
			r.t = t
			w := r.dial()
			w.send("CONNECT " + c.connect + "\r\n")
			w.expectClosed(violationLine)
			r.logged("remedy=", c.want)
		})
	}
}
