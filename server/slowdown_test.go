package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// slowStep is how much longer auth.Slowdown makes each failed login wait.
const slowStep = 100 * time.Millisecond

// hasty says who it is before it has read what the server says, so that it is in time on a slow machine too.
func (r *rig) hasty(connect string) *client {
	r.t.Helper()
	c := r.raw()
	c.send(connect)
	c.info = c.readInfo()
	return c
}

func TestGuessingIsSlow(t *testing.T) {
	o := users(t)
	o.Timeout = 4*slowStep - time.Millisecond // shorter than the wait: that is not the client's fault
	r := start(t, Options{MaxFailedLogins: 1}, o, broker.Options{})
	known := r.hasty(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\nPING\r\n")
	known.expect("PONG\r\n")
	for range 4 {
		c := r.hasty(`CONNECT {"verbose":false,"user":"plain","pass":"x"}` + "\r\n")
		c.expectClosed(violationLine)
		eventually(t, "it waits no longer", func() bool { return len(r.server.Clients(Query{})) == 1 })
	}
	begun := time.Now()
	guesses := r.hasty(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\nPING\r\n")
	again := r.hasty(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\nPING\r\n")
	again.expect("PONG\r\n")
	quick := time.Since(begun)
	guesses.expect("PONG\r\n")
	if slow := time.Since(begun); slow < 4*slowStep || quick > slow {
		t.Errorf("a stranger waited %v, an old friend %v", slow, quick)
	}
	guesses.send("SUB a 1\r\nPUB a 0\r\n\r\n")
	guesses.expect("MSG a 1 0\r\n\r\n")
	known.send("PING\r\n")
	known.expect("PONG\r\n")
}

// waits sends a CONNECT whose password is to be hashed, and returns when that waits for its turn.
func (c *client) waits(r *rig, user, password string) {
	c.t.Helper()
	s := r.sessionOf(c)
	c.send(fmt.Sprintf(`CONNECT {"verbose":false,"user":%q,"pass":%q}`+"\r\nPING\r\n", user, password))
	eventually(c.t, "the password waits to be hashed", func() (away bool) {
		s.onOwner(func(*engine.Loop) { away = s.is(isAway) })
		return away
	})
}

// A stranger who tries forty passwords at once is not in front of everybody.
func TestGuessesAtOnceDoNotLockOthersOut(t *testing.T) {
	const guesses, others, most = 40, 6, 2
	o := auth.Options{Users: []auth.User{{User: "plain", Password: "pw"}, {User: "neighbour", Password: mustHash(t, "pw")}}}
	for i := range others {
		o.Users = append(o.Users, auth.User{User: fmt.Sprint("other", i), Password: mustHash(t, "pw")})
	}
	d := &diary{}
	r := startOn(t, engine.Options{Loops: 1, Workers: 1}, Options{Events: d, MaxFailedLogins: most}, o, broker.Options{})
	var all []*client
	for range others {
		all = append(all, r.dialFrom("127.0.0.2"))
	}
	release := r.occupy(r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n"))
	for range guesses {
		r.dial().waits(r, "neighbour", "guess")
	}
	neighbour := r.dial() // of the stranger; it has to let the others go first, and gets in
	neighbour.waits(r, "neighbour", "pw")
	for i, c := range all {
		c.waits(r, fmt.Sprint("other", i), "pw")
	}
	release()
	for _, c := range all {
		c.expect("PONG\r\n")
	}
	neighbour.expect("PONG\r\n")
	told := d.String()
	before := strings.Count(told[:strings.LastIndex(told, "in other")], "refused")
	if before > most+1 {
		t.Errorf("%d guesses were looked at before the last of the others:\n%s", before, told)
	}
	if first := strings.Count(told[:strings.Index(told, "in other")], "refused"); first > 0 {
		t.Errorf("%d guesses were looked at before the first of the others:\n%s", first, told)
	}
}

// Who closes its connection while a guess is being looked at has guessed nevertheless: its owner does nothing more
// about the login.
func TestGuessesCountThoughTheirClientIsGone(t *testing.T) {
	r := start(t, Options{MaxFailedLogins: 1}, users(t), broker.Options{})
	c := r.dial()
	s := r.sessionOf(c)
	guess := &auth.Credentials{Type: auth.Standard, User: "hashed", Password: "guess", Remote: s.conn.RemoteAddr().Addr()}
	s.onOwner(func(*engine.Loop) {
		if err := s.doConnect(s.door.server.settings.Load(), new(work), []byte(`{"user":"hashed","pass":"guess"}`)); err != nil {
			t.Error(err)
		}
		for end := time.Now().Add(patience); !r.server.slowdown.Yields(guess, 1, engine.Now()); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Error("it does not count")
				break
			}
		}
		s.end(errStale)
	})
	c.expectClosed("")
}
