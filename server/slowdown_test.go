package server

import (
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/broker"
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
