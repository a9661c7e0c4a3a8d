package server

import (
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

// slowStep is how much longer auth.Slowdown makes each failed login wait.
const slowStep = 100 * time.Millisecond

func TestGuessingIsSlow(t *testing.T) {
	o := users(t)
	o.Timeout = 200 * time.Millisecond // shorter than the wait: that is not the client's fault
	r := start(t, Options{MaxFailedLogins: 1}, o, broker.Options{})
	known := r.connect(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\n")
	for range 4 {
		r.dial().send(`CONNECT {"user":"plain","pass":"x"}` + "\r\n")
		eventually(t, "it waits no longer", func() bool { return len(r.server.Clients(Query{})) == 1 })
	}
	begun := time.Now()
	guesses := r.dial()
	guesses.send(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\nPING\r\n")
	again := r.dial()
	again.send(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\nPING\r\n")
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
