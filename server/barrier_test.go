package server

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// block stops whoever handles the input of s until the function it returns is called.
func (s *session) block() (release func()) {
	gate, stopped := make(chan struct{}), make(chan struct{})
	s.conn.Post(func(*engine.Loop) { close(stopped); <-gate })
	<-stopped
	return func() { close(gate) }
}

// reloadBeside reloads on a goroutine of its own.
func (r *rig) reloadBeside(a auth.Options) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		r.reload(Options{}, a)
	}()
	eventually(r.t, "the new settings are there", func() bool { return r.server.settings.Load().directory.Lookup("new") != nil })
	return done
}

// over reports whether that has returned, after a while if it seems not to.
func over(done chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(50 * time.Millisecond):
		return false
	}
}

// adopt is connect for a client of the stream driver.
func (r *rig) adopt(connect string) *client {
	r.t.Helper()
	near, far := net.Pipe()
	r.t.Cleanup(func() { near.Close() })
	near.SetDeadline(time.Now().Add(patience))
	r.server.mu.Lock()
	var d *door
	for d = range r.server.doors {
	}
	r.server.mu.Unlock()
	if err := r.engine.Adopt(far, d.open); err != nil {
		r.t.Fatal(err)
	}
	c := newClient(r.t, near)
	if connect != "" {
		c.send(connect + "PING\r\n")
		c.expect("PONG\r\n")
	}
	return c
}

var (
	beforeReload = listed(pair("a", "pw"), pair("b", "pw"))
	afterReload  = listed(auth.User{User: "a", Password: "pw", Permissions: &auth.PermissionOptions{
		Subscribe: &auth.SubjectOptions{Deny: []string{"x"}},
	}}, pair("new", "pw"))
)

func TestReloadReturnsWhenAllHaveBeenLookedAt(t *testing.T) {
	for _, c := range []struct {
		name    string
		connect func(*rig, string) *client
	}{{"loops", (*rig).connect}, {"stream driver", (*rig).adopt}} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, Options{}, beforeReload, broker.Options{})
			r.t = t
			r.connect(asA)
			a := c.connect(r, asA)
			a.send("SUB x 1\r\nPING\r\n")
			a.expect("PONG\r\n")
			r.server.mu.Lock()
			s := r.server.sessions[r.server.joined-1]
			r.server.mu.Unlock()
			release := s.block()
			done := r.reloadBeside(afterReload)
			if over(done) {
				t.Error("a client that was not looked at was not waited for")
			}
			release()
			<-done
			n, err := r.broker.Account(broker.GlobalAccount).Attach(nil, nobody{}, broker.Traits{}).Publish(r.broker.NewLane(), &broker.Msg{Subject: []byte("x")})
			if n != 0 || err != nil {
				t.Errorf("%d had a message that nobody may have any more (%v)", n, err)
			}
			a.expect(`-ERR 'Permissions Violation for Subscription to "x" (sid "1")'` + "\r\n")
		})
	}
}

// nobody is a sink that is delivered nothing.
type nobody struct{}

func (nobody) Deliver(*broker.Msg, *broker.Sub) bool { return false }
func (nobody) Wake(bool) time.Duration               { return 0 }

func TestReloadDoesNotWaitForWhoIsGone(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	a := r.connect(asA)
	s := r.sessionOf(a)
	release := s.block()
	s.conn.Close(errKicked) // in front of what Reload posts, which is dropped for that
	done := r.reloadBeside(afterReload)
	if over(done) {
		t.Error("the client was not waited for")
	}
	release()
	begun := time.Now()
	<-done
	if took := time.Since(begun); took > reloadPatience/2 && strings.Contains(r.logs.String(), "clients=1") {
		t.Errorf("it has taken %v, and the client was missed", took)
	}
}

func TestReloadDoesNotWaitForEver(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	s := r.sessionOf(r.connect(asA))
	release := s.block()
	<-r.reloadBeside(afterReload)
	if !strings.Contains(r.logs.String(), "clients=1") {
		t.Errorf("log %s", r.logs.String())
	}
	release()
	s.onOwner(func(*engine.Loop) {})
}

func TestReloadDoesNotWaitForThoseWhoAreNobodyYet(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	c := r.dial()
	release := r.sessionOf(c).block()
	defer release()
	select {
	case <-r.reloadBeside(afterReload):
	case <-time.After(patience):
		t.Error("it does not end")
	}
	if strings.Contains(r.logs.String(), "clients=1") {
		t.Errorf("it has waited in vain: %s", r.logs)
	}
}

// What has arrived at the same time must not be carried out once a client may not be here.
func TestNobodyPublishesOnceReloadHasClosedHim(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	a, b := r.connect(asA), r.connect(asB)
	a.send("SUB y 1\r\nPING\r\n")
	a.expect("PONG\r\n")
	d, err := auth.New(afterReload)
	if err != nil {
		t.Fatal(err)
	}
	r.update(func(set *settings) { set.directory = d })
	s := r.sessionOf(b)
	s.onOwner(func(l *engine.Loop) {
		s.doReload(false)
		if _, err := s.Data(l, []byte("PUB y 0\r\n\r\n")); err != nil {
			t.Error(err)
		}
	})
	b.expectClosed("")
	a.send("PING\r\n")
	a.expect("PONG\r\n")
}

// A client that comes in while Reload passes by is looked at by itself.
func TestReloadMissesNobodyWhoJustComesIn(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	d, err := auth.New(afterReload)
	if err != nil {
		t.Fatal(err)
	}
	b := r.dial()
	s := r.sessionOf(b)
	stale := r.server.settings.Load()
	set, err := newSettings(Options{ID: stale.ID}, d)
	if err != nil {
		t.Fatal(err)
	}
	s.onOwner(func(*engine.Loop) {
		id, _, _ := stale.directory.Authenticate(auth.Credentials{User: "b", Password: "pw"})
		s.about = r.server.describe(stale, &connectRequest{}, nil, id)
		r.server.settings.Store(set) // after Data has looked, and before it is done
		if err := s.attach(stale, id); err != errGone {
			t.Errorf("it is let in: %v", err)
		}
		s.end(errGone)
	})
}

func TestMembersAreInFront(t *testing.T) {
	r := start(t, Options{}, beforeReload, broker.Options{})
	var all []*client
	for i := range 12 {
		c := r.dial()
		if all = append(all, c); i%3 != 0 {
			c.send(asA + "PING\r\n")
			c.expect("PONG\r\n")
		}
	}
	check := func(sessions, joined int) {
		t.Helper()
		eventually(t, "the list is in order", func() bool {
			r.server.mu.Lock()
			defer r.server.mu.Unlock()
			return len(r.server.sessions) == sessions && r.server.joined == joined
		})
		for i, s := range r.server.all() {
			var peer *broker.Peer
			s.onOwner(func(*engine.Loop) { peer = s.peer })
			r.server.mu.Lock()
			place := int(s.place)
			r.server.mu.Unlock()
			if place != i || (i < joined) != (peer != nil) {
				t.Errorf("%d of %d: place %d, in an account: %v", i, joined, place, peer != nil)
			}
		}
	}
	check(12, 8)
	for _, i := range []int{0, 1, 5, 11} { // 0 is in no account
		all[i].conn.Close()
	}
	check(8, 5)
	all[3].send(asA + "PING\r\n")
	all[3].expect("PONG\r\n")
	check(8, 6)
}
