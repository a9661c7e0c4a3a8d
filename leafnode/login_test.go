package leafnode

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// slowStep is how much longer auth.Slowdown makes each failed login wait, slowMost how long it can get.
const (
	slowStep = 100 * time.Millisecond
	slowMost = 15 * slowStep
)

// connectAs is a leaf's CONNECT with more in it.
func connectAs(name, more string) string {
	return fmt.Sprintf(`CONNECT {%s"version":"2.15.2","name":%q,"cluster":%q,"headers":true,"protocol":1}`+"\r\n", more, name, name)
}

// refuse is a login that fails, and how long that takes.
func refuse(t *testing.T, s *site, connect string) time.Duration {
	t.Helper()
	w := dialSite(t, s)
	w.info()
	begun := time.Now()
	w.say(connect)
	if ops := w.ended(); !slices.Equal(ops, []string{"-ERR 'Authorization Violation'"}) {
		t.Errorf("told %q", ops)
	}
	return time.Since(begun)
}

// failures is how many logins have failed here, as far as they make others wait.
func (s *site) failures() int {
	nobody := &auth.Credentials{Type: auth.LeafNode, User: "nobody", Remote: netip.MustParseAddr("127.0.0.1")}
	wait, _ := s.n.slowdown.Begin(nobody, 1, engine.Now())
	if wait > 0 {
		s.n.slowdown.Waited(nobody.Remote)
	}
	return int(wait / slowStep)
}

func TestGuessingIsSlow(t *testing.T) {
	for _, mode := range []Mode{ModeOff, ModeFast} {
		t.Run(mode.String(), func(t *testing.T) {
			s := newSite(t, "site", func(o *Options, a *auth.Options) {
				o.MaxFailedLogins = 1
				o.HandshakeTimeout = slowMost * 2 / 3 // shorter than the wait: that is not the leaf's fault
				o.Compression.Mode = mode
				a.Users = []auth.User{{User: "u", Password: "p"}, {User: "friend", Password: "p"}}
			})
			join := func(name, user string) time.Duration {
				w := dialSite(t, s)
				w.info()
				begun := time.Now()
				if mode != ModeOff {
					w.say(`INFO {"compression":"s2_fast"}` + "\r\n")
					w.goS2()
					w.info()
				}
				w.say(connectAs(name, fmt.Sprintf(`"user":%q,"pass":"p",`, user)) + "PING\r\n") // all at once
				w.until("PONG")
				return time.Since(begun)
			}
			join("friend", "friend")
			for i := range 4 {
				least := time.Duration(i) * slowStep
				if took := refuse(t, s, connectAs("leaf", `"user":"u","pass":"guess",`)); took < least {
					t.Errorf("guess %d took %v, want %v", i+1, took, least)
				}
			}
			// The longest wait there is, or a busy machine could be as slow as that in both cases.
			guess := &auth.Credentials{Type: auth.LeafNode, User: "u", Password: "guess", Remote: netip.MustParseAddr("127.0.0.1")}
			for range slowMost / slowStep {
				s.n.slowdown.Note(guess, auth.ErrCredentials, 1, engine.Now())
			}
			if took := join("leaf", "u"); took < slowMost {
				t.Errorf("a stranger waited for %v", took)
			}
			if took := join("friend2", "friend"); took >= slowMost {
				t.Errorf("who has been here waited for %v", took)
			}
			s.links(3)
		})
	}
}

// hashed is a password as it stands in a configuration.
func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := auth.HashPassword(password, 4)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// away is how many links wait for their credentials to be checked.
func (s *site) away() (n int) {
	s.n.mu.Lock()
	links := slices.Collect(maps.Keys(s.n.links))
	s.n.mu.Unlock()
	for _, k := range links {
		answer := make(chan bool, 1)
		k.conn.Post(func(*engine.Loop) { answer <- k.isAway })
		if <-answer {
			n++
		}
	}
	return n
}

// A stranger who tries forty passwords at once is not in front of all leaves.
func TestGuessesAtOnceDoNotLockLeavesOut(t *testing.T) {
	const guesses, others, most = 40, 6, 2
	hash := hashed(t, "right")
	s := newSiteOn(t, engine.Options{Loops: 1, Workers: 1}, "site", func(o *Options, a *auth.Options) {
		o.MaxFailedLogins, o.HandshakeTimeout = most, patience
		a.Users = []auth.User{{User: "plain", Password: "p"}, {User: "guessed", Password: hash}}
		for i := range others {
			a.Users = append(a.Users, auth.User{User: fmt.Sprint("other", i), Password: hash})
		}
	})
	var all []*wire
	for range others {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn, err := d.Dial("tcp", s.addr)
		if err != nil {
			t.Skipf("this machine has no second address: %v", err)
		}
		w := newWire(t, conn)
		w.info()
		all = append(all, w)
	}
	release := s.occupy()
	for i := range guesses {
		w := dialSite(t, s)
		w.info()
		w.say(connectAs(fmt.Sprint("guess", i), `"user":"guessed","pass":"guess",`))
	}
	eventually(t, "all guesses wait", func() bool { return s.away() == guesses })
	for i, w := range all {
		w.say(connectAs(fmt.Sprint("other", i), fmt.Sprintf(`"user":"other%d","pass":"right",`, i)))
	}
	eventually(t, "the others wait", func() bool { return s.away() == guesses+others })
	release()
	for _, w := range all {
		if i := w.info(); !i.ConnectInfo {
			t.Errorf("INFO %+v does not let it in", i)
		}
	}
	told := s.log.String()
	if n := strings.Count(told[:strings.LastIndex(told, "name=other")], "leaf refused"); n > most+1 {
		t.Errorf("%d guesses were looked at before the last of the others:\n%s", n, told)
	}
}

// occupy keeps the only worker of the pool busy until the function it returns is called.
func (s *site) occupy() (release func()) {
	joinAsLeaf(s.t, s, connectAs("busy", `"user":"plain","pass":"p",`), false)
	s.links(1)
	began, gate := make(chan bool), make(chan bool)
	s.n.mu.Lock()
	for k := range s.n.links {
		k.conn.Post(func(*engine.Loop) {
			if k.peer != nil {
				k.conn.Away(func() { began <- true; <-gate }, func(*engine.Loop) {})
			}
		})
	}
	s.n.mu.Unlock()
	<-began
	return func() { close(gate) }
}

func TestNobodyWaitsWhere(t *testing.T) {
	users := []auth.User{{User: "u", Password: "p"}}
	for name, change := range map[string]func(*Options, *auth.Options){
		"it is switched off":          func(o *Options, a *auth.Options) { o.MaxFailedLogins, a.Users = -1, users },
		"everybody may join":          func(o *Options, a *auth.Options) { o.MaxFailedLogins = 1 },
		"logins bring nothing":        func(o *Options, a *auth.Options) { o.MaxFailedLogins, a.Users = 1, users },
		"there is nobody to be asked": func(o *Options, a *auth.Options) { o.MaxFailedLogins = 1; callOut(t, a) },
	} {
		t.Run("where "+name, func(t *testing.T) {
			s := newSite(t, "site", change)
			set := s.n.settings.Load()
			for range 3 {
				more := `"user":"u","pass":"guess",`
				if name == "logins bring nothing" {
					more = ""
				}
				if set.directory.Required() {
					refuse(t, s, connectAs("leaf", more))
				} else {
					joinAsLeaf(t, s, connectAs("leaf", more), false).sync()
				}
			}
			if n := s.failures(); n != 0 {
				t.Errorf("%d logins have failed", n)
			}
		})
	}
}

// callOut has a service asked about everybody.
func callOut(t *testing.T, a *auth.Options) {
	t.Helper()
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	public, err := issuer.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	a.Timeout = 200 * time.Millisecond
	a.Users = []auth.User{{User: "service", Password: "p"}}
	a.Callout = &auth.CalloutOptions{Issuer: public, Account: auth.GlobalAccount, AuthUsers: []string{"service"}}
}

func TestALeafIsNotRefusedAtOnceIfNobodyCanBeAsked(t *testing.T) {
	s := newSite(t, "site", func(o *Options, a *auth.Options) {
		callOut(t, a)
		a.Timeout = 1500 * time.Millisecond
		o.HandshakeTimeout = a.Timeout * 2 / 3 // shorter than the wait, and enough for a busy machine
	})
	asked := make(chan []byte, 1)
	directory := s.n.settings.Load().directory
	directory.SetCaller(func(_ context.Context, _, _ string, _ map[string]string, question []byte) ([]byte, map[string]string, error) {
		asked <- question
		return nil, nil, errors.New("nobody is there")
	})
	if took := refuse(t, s, connectAs("leaf", `"user":"u","pass":"p",`)); took < directory.Timeout() {
		t.Errorf("refused after %v: nobody could have come back in that time", took)
	}
	claims, err := jwt.DecodeAuthorizationRequestClaims(string(<-asked))
	if err != nil {
		t.Fatal(err)
	}
	client, options := claims.ClientInformation, claims.ConnectOptions
	if client.ID == 0 || client.Kind != "Leafnode" || client.Name != "leaf" || client.Host != "127.0.0.1" || options.Protocol != 1 || options.Version != "2.15.2" {
		t.Errorf("asked about %+v with %+v", client, options)
	}
	eventually(t, "the log says why", func() bool { return s.log.has("nobody is there") })
}

func TestTheLogSaysWhyALeafIsRefused(t *testing.T) {
	s := newSite(t, "site", func(o *Options, a *auth.Options) {
		o.MaxFailedLogins = -1
		a.Users = []auth.User{{User: "u", Password: "p"}, {User: "client", Password: "p", Types: []string{auth.Standard}}}
	})
	for _, c := range []struct{ more, want string }{
		{"", "the leaf brings no credentials: give its remote a url with user and password"},
		{`"user":"u","pass":"guess",`, "compare them with leafnodes.authorization"},
		{`"user":"client","pass":"p",`, "may not use a LEAFNODE connection: see its allowed_connection_types"},
		{`"jwt":"x",`, "without operator there is nobody who could have signed it"},
	} {
		refuse(t, s, connectAs("leaf", c.more))
		eventually(t, "the log says: "+c.want, func() bool { return s.log.has(c.want) })
	}
	if strings.Contains(s.log.String(), "auth: ") || s.log.has("guess") {
		t.Errorf("the log names what is ours alone:\n%s", s.log)
	}
	for err, want := range map[error]string{
		auth.ErrProxyRequired: "proxy", auth.ErrExpired: "expired", auth.ErrAccountExpired: "account", auth.ErrRevoked: "revoked", auth.ErrBearer: "bearer",
	} {
		if why := whyNot(err); !strings.Contains(why.remedy, want) || strings.Contains(why.remedy, "auth: ") || why.wire != wireAuthorization {
			t.Errorf("%v: %+v", err, why)
		}
	}
}
