package server

import (
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

func TestOneAddressHasSoManyConnections(t *testing.T) {
	shared := new(engine.Turnstile)
	r := start(t, Options{MaxConnectionsPerAddress: 2, Turnstile: shared}, auth.Options{}, broker.Options{})
	a, b := r.connect(quiet), r.connect(quiet)
	for range 3 { // who is refused gives no place back
		r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	}
	if n := len(r.server.all()); n != 2 {
		t.Errorf("%d are in", n)
	}
	a.conn.Close()
	eventually(t, "a's place is free", func() bool { return len(r.server.all()) == 1 })
	// Another door of the process may have taken it meanwhile.
	from := r.server.all()[0].conn.RemoteAddr().Addr()
	if counted, err := shared.Enter(from, engine.TurnstileLimits{PerAddress: 2}, engine.Now()); !counted || err != nil {
		t.Fatal(counted, err)
	}
	r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	shared.Leave(from)
	r.connect(quiet)

	// Those that are there when the limit is set, or lowered, stay, and count for nothing if nobody counted them.
	set := func(most int) {
		t.Helper()
		d, err := auth.New(auth.Options{})
		if err == nil {
			err = r.server.Reload(Options{MaxConnectionsPerAddress: most}, d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	c := r.connect(quiet)
	set(1)
	r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	for _, one := range []*client{b, c} {
		one.send("PING\r\n")
		one.expect("PONG\r\n")
	}
	c.conn.Close()
	eventually(t, "c is gone", func() bool { return len(r.server.all()) == 2 })
	r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	eventually(t, "six are counted as one too many", func() bool { return r.server.Status().Closed["Maximum Connections Exceeded"] == 6 })
}

// A refused one comes out of the list for max_connections too, and a place that was counted is given back.
func TestAFullServerCountsNobodyIn(t *testing.T) {
	r := start(t, Options{MaxConnections: 1, MaxConnectionsPerAddress: 2}, auth.Options{}, broker.Options{})
	a := r.connect(quiet)
	for range 5 {
		r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	}
	a.conn.Close()
	eventually(t, "a's place is free", func() bool { return len(r.server.all()) == 0 })
	r.connect(quiet)
}

func TestACrowdIsLetInAtARate(t *testing.T) {
	const most = 20
	r := start(t, Options{ConnectionRateLimit: most}, auth.Options{}, broker.Options{})
	began := engine.Now()
	in, refused := 0, 0
	for range 3 * most {
		c := r.dial()
		c.send(quiet + "PING\r\n")
		switch line, _ := c.in.ReadString('\n'); line {
		case "PONG\r\n":
			in++
		case "-ERR 'Connection throttling is active. Please try again later.'\r\n":
			refused++
		default:
			t.Fatalf("%q", line)
		}
	}
	seconds := int((engine.Now()-began)/int64(time.Second)) + 2 // that it has touched
	if in == 0 || refused == 0 || in > seconds*most/2 {
		t.Errorf("%d let in and %d refused within %d seconds of %d, half of them for one address", in, refused, seconds, most)
	}
	// Clients try again, and get in.
	eventually(t, "the next one is let in", func() bool {
		c := r.dial()
		c.send(quiet + "PING\r\n")
		line, _ := c.in.ReadString('\n')
		return line == "PONG\r\n"
	})
}
