package leafnode

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// edgeOf makes a server that joins h, and begins to dial.
func edgeOf(t testing.TB, h *hub, change func(*Options, *Remote)) *site {
	t.Helper()
	s := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		r := h.remote()
		o.Reconnect = 10 * time.Millisecond
		o.Compression.Mode = ModeOff
		if change != nil {
			change(o, &r)
		}
		o.Remotes = []Remote{r}
	})
	s.n.Start()
	return s
}

// state is what there is to show of the only remote.
func (s *site) state() RemoteSnapshot { return s.n.Links(false).Remotes[0] }

// isDown waits until the remote is down for a reason.
func (s *site) isDown(reason string) RemoteSnapshot {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the remote is down for %q", reason), func() bool {
		r := s.state()
		return !r.Up && r.Reason == reason
	})
	return s.state()
}

func TestHowWeIntroduceOurselves(t *testing.T) {
	h := newHub(t)
	h.info = hubInfo(`"compression":"off",`)
	edgeOf(t, h, func(_ *Options, r *Remote) {
		r.URLs = Texts{strings.Replace(r.URLs[0], "//", "//u:p@", 1)}
		r.DenyImports, r.Account = Texts{"in.no"}, "A"
	})
	w := h.accept()
	w.say(h.info)
	var c connect
	if err := json.Unmarshal([]byte(strings.TrimPrefix(w.until("CONNECT "), "CONNECT ")), &c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "edge" || c.Cluster != "edge" || c.ServerID != "NEDGE" || c.User != "u" || c.Password != "p" || !c.Headers ||
		c.RemoteAccount != "A" || c.CompressMode != "off" || !slices.Equal(c.DenyPub, []string{"in.no"}) || c.Hub || c.Isolate {
		t.Errorf("CONNECT has %+v", c)
	}
	w.say(welcome(""))
	w.until("LS+ $LDS.")
	w.sync()
}

// TestAHubThatDoesNotAnswerConnect is one from before there was info_on_connect.
func TestAHubThatDoesNotAnswerConnect(t *testing.T) {
	h := newHub(t)
	h.info = strings.Replace(hubInfo(""), `"info_on_connect":true,`, "", 1)
	s := edgeOf(t, h, nil)
	s.newClient("").subscribe("a", "")
	w := h.accept()
	w.say(h.info)
	w.until("CONNECT ")
	w.until("LS+ a")
	s.links(1)
}

// TestEveryConnectBringsAllInterest is nats-server's issues 3515 and 2448.
func TestEveryConnectBringsAllInterest(t *testing.T) {
	packings(t, func(t *testing.T, packed bool) {
		h := newHub(t)
		if packed {
			h.info = hubInfo(`"compression":"s2_fast",`)
		}
		s := edgeOf(t, h, func(o *Options, _ *Remote) { o.Compression.Mode = ModeFast })
		c := s.newClient("")
		want := map[string]bool{}
		for i := range 500 {
			subject := fmt.Sprintf("a.%d", i)
			c.subscribe(subject, "")
			want["LS+ "+subject] = true
		}
		c.subscribe("jobs", "q")
		want["LS+ jobs q 1"] = true
		gone := c.subscribe("gone", "")
		want["LS+ gone"] = true
		for round := range 5 {
			w := h.join("")
			got := map[string]bool{}
			for len(got) < len(want)+1 { // our mark is among them
				op, err := w.next()
				if err != nil {
					t.Fatalf("round %d: %v, after %d of %d", round, err, len(got), len(want)+1)
				}
				if strings.HasPrefix(op, "LS+ ") {
					got[op] = true
				}
			}
			for op := range want {
				if !got[op] {
					t.Fatalf("round %d: %q is missing", round, op)
				}
			}
			w.say("LS+ far\r\n")
			s.wanted("far", true)
			if round%2 == 0 {
				w.conn.(interface{ SetLinger(int) error }).SetLinger(0)
			}
			w.conn.Close()
			s.links(0)
			if n := c.publish("far", "", "", "1"); n != 0 {
				t.Errorf("delivered %d to a hub that is away", n)
			}
			// What changes meanwhile.
			subject := fmt.Sprintf("b.%d", round)
			c.subscribe(subject, "")
			want["LS+ "+subject] = true
			if round == 1 {
				c.peer.Unsubscribe(gone, 0)
				delete(want, "LS+ gone")
			}
		}
	})
}

func TestWhyAHubIsNotReached(t *testing.T) {
	for _, c := range []struct {
		name   string
		talk   func(w *wire)
		reason string
		wait   time.Duration // it is left alone at least
	}{
		{"authorization", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
			w.say("-ERR 'Authorization Violation'\r\n")
		}, "Authentication Failure", 0},
		{"same cluster", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
			w.say("-ERR 'remote leafnode has same cluster name'\r\n")
		}, "Cluster Names Identical", loopDelay},
		{"version", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
			w.say(welcome("") + "-ERR 'connection rejected since minimum version required is \"2.99.0\"'\r\n")
		}, "Minimum Version Required", versionDelay},
		{"a loop seen there", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
			w.say(welcome("") + `-ERR 'Loop detected for leafnode account="$G". Delaying attempt to reconnect for 30s'` + "\r\n")
		}, "Loop Detected", loopDelay},
		{"a loop seen here", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
			w.say(welcome(""))
			w.say(w.until("LS+ $LDS.") + "\r\n")
		}, "Loop Detected", loopDelay},
		{"refused before S2", func(w *wire) {
			w.say(hubInfo(`"compression":"s2_auto",`))
			w.until("INFO ")
			w.say("-ERR 'Authentication Timeout'\r\n")
		}, "Authentication Timeout", 0},
		{"strange compression", func(w *wire) { w.say(hubInfo(`"compression":"zstd",`)) }, "Protocol Violation", 0},
		{"closed", func(w *wire) {
			w.say(hubInfo(""))
			w.until("CONNECT ")
		}, "Connection Closed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHub(t)
			s := edgeOf(t, h, func(o *Options, _ *Remote) { o.Compression.Mode = ModeAuto })
			w := h.accept()
			c.talk(w)
			if c.reason == "Connection Closed" {
				w.conn.Close()
			}
			r := s.isDown(c.reason)
			if c.reason != "Protocol Violation" && r.Remedy == "" {
				t.Error("nobody is told what to do")
			}
			if wait := time.Until(r.RetryAt); c.wait > 0 && (wait < c.wait-5*time.Second || wait > c.wait+5*time.Second) {
				t.Errorf("tried again in %v, want about %v", wait, c.wait)
			}
			if c.wait == 0 { // as soon as the hub is put right
				h.join("").until("LS+ $LDS.")
				s.links(1)
			}
		})
	}
}

func TestAHubThatDoesNotFinish(t *testing.T) {
	h := newHub(t)
	s := edgeOf(t, h, func(o *Options, _ *Remote) { o.HandshakeTimeout = time.Second })
	w := h.accept()
	w.say(h.info)
	w.until("CONNECT ")
	if got := w.until("-ERR"); got != "-ERR 'Stale Leaf Node Connection - Closing'" {
		t.Errorf("told %q", got)
	}
	s.isDown("Handshake Timeout")
}

func TestWhatIsTooBigForTheHubStaysHere(t *testing.T) {
	h := newHub(t)
	s := edgeOf(t, h, nil)
	w := h.join("")
	w.say("LS+ a\r\n")
	s.wanted("a", true)
	c := s.newClient("")
	const most = 1 << 20
	c.publish("a", "", headers, strings.Repeat("x", most-len(headers)+1))
	c.publish("a", "", headers, strings.Repeat("x", most-len(headers)))
	if op := messageOf(w); !strings.HasPrefix(op, fmt.Sprintf("HMSG a 24 %d", most)) {
		t.Errorf("got %.40q", op)
	}
	w.sync()
	if n := s.n.Links(false).TooBig; n != 1 || s.drops("", broker.TooBig) != 1 {
		t.Errorf("%d and %d count as too big", n, s.drops("", broker.TooBig))
	}
	s.links(1)
}

// A hub whose limit changes says so in an INFO of its own; what is too long is judged by the newest.
func TestTheHubsNewestLimitCounts(t *testing.T) {
	h := newHub(t)
	s := edgeOf(t, h, func(o *Options, _ *Remote) { o.MaxPayload = 2000 })
	w := h.join("")
	w.say("LS+ a\r\n")
	s.wanted("a", true)
	c := s.newClient("")
	c.subscribe("here", "")
	limit := func(most int) {
		w.say(strings.Replace(strings.Replace(hubInfo(""), `"client_id":6,"nonce":"n",`, "", 1), "1048576", fmt.Sprint(most), 1))
		w.sync()
	}
	for _, c := range []struct{ limit, most int }{{1000, 1000}, {0, 1000}, {-5, 1000}, {3 << 20, 3 << 20}, {10, 10}} {
		limit(c.limit)
		from := s.newClient("")
		from.publish("a", "", "", strings.Repeat("x", c.most+1))
		from.publish("a", "", "", strings.Repeat("y", c.most))
		if op := messageOf(w); !strings.HasPrefix(op, fmt.Sprintf("LMSG a %d\ny", c.most)) {
			t.Errorf("told of %d: %.40q arrives", c.limit, op)
		}
	}
	// And it may send as much as it takes itself.
	limit(3 << 20)
	w.say("LMSG here 3145728\r\n" + strings.Repeat("z", 3<<20) + "\r\n")
	c.wants("here: " + strings.Repeat("z", 3<<20))
	s.links(1)
	if !s.log.has("the hub takes messages of another length") {
		t.Error("the log does not say so")
	}
}

// TestDeniedSubjects has 5.2, 5.3 and 7.3 of the protocol's description.
func TestDeniedSubjects(t *testing.T) {
	h := newHub(t)
	s := edgeOf(t, h, func(_ *Options, r *Remote) { r.DenyImports, r.DenyExports = Texts{"in.no"}, Texts{"ex.no"} })
	c := s.newClient("")
	for _, subject := range []string{"in.no", "in.ok", "$JS.API.x", "$KV.b.k", "$SYS.REQ.USER.INFO", "$JS.far.API.x", "down.a", "up.a", "down.secret"} {
		c.subscribe(subject, "")
	}
	c.subscribe(">", "g")
	w := h.join(`"import":{"allow":["in.>","down.>","$JS.>"],"deny":["down.secret"]},"export":{"allow":["ex.>","$JS.>"]},`)
	var told []string
	for _, op := range w.settled() {
		if strings.HasPrefix(op, "LS+ ") && !strings.HasPrefix(op, "LS+ $LDS.") {
			told = append(told, op)
		}
	}
	slices.Sort(told)
	if want := []string{"LS+ $JS.far.API.x", "LS+ > g 1", "LS+ down.a", "LS+ in.ok"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	w.say("LS+ ex.no\r\nLS+ ex.ok\r\nLS+ >\r\nLS+ in.ok\r\nLMSG in.no 1\r\n1\r\nLMSG up.a 1\r\n2\r\nLMSG in.ok 1\r\n3\r\n")
	w.sync()
	c.wants("in.ok: 3")
	out := s.newClient("")
	for _, subject := range []string{"ex.no", "in.ok", "$JS.API.x", "$KV.b.k", "$SYS.REQ.USER.INFO", "ex.ok"} {
		out.publish(subject, "", "", "1")
	}
	if got := messageOf(w); got != "LMSG ex.ok 1\n1" {
		t.Errorf("got %q", got)
	}
	w.sync()
}

func TestNewPermissionsOfTheHub(t *testing.T) {
	h := newHub(t)
	s := edgeOf(t, h, nil)
	c := s.newClient("")
	for _, subject := range []string{"a", "b", "c"} {
		c.subscribe(subject, "")
	}
	w := h.join(`"import":{"allow":["a","b"]},`)
	if ops := w.settled(); !slices.Contains(ops, "LS+ a") || !slices.Contains(ops, "LS+ b") || slices.Contains(ops, "LS+ c") {
		t.Errorf("told %q", ops)
	}
	later := strings.Replace(welcome(`"import":{"allow":["b","c"]},"export":{"deny":["x"]},`), `"connect_info":true,`, "", 1)
	w.say(later)
	if ops := w.settled(); !slices.Contains(ops, "LS- a") || !slices.Contains(ops, "LS+ c") || slices.Contains(ops, "LS+ b") {
		t.Errorf("told %q", ops)
	}
	w.say("LS+ x\r\nLMSG a 1\r\n1\r\nLMSG c 1\r\n2\r\n")
	w.sync()
	c.wants("c: 2")
	// The same once more changes nothing; and what was refused may be wanted once it is allowed.
	w.say(later)
	w.sync()
	w.say(strings.Replace(later, `"deny":["x"]`, `"deny":["y"]`, 1))
	w.ended()
	s.isDown("Permissions Changed")
	w = h.join(`"import":{"allow":["b","c"]},"export":{"deny":["y"]},`)
	w.say("LS+ x\r\n")
	s.wanted("x", true)
}

func TestOtherAddressesOfTheHub(t *testing.T) {
	one, two := newHub(t), newHub(t)
	s := edgeOf(t, one, func(_ *Options, r *Remote) { r.IgnoreDiscovered = false })
	w := one.join("")
	w.until("LS+ $LDS.")
	w.say(strings.NewReplacer(`"connect_info":true,`, "", "127.0.0.1:1", two.ln.Addr().String()).Replace(welcome("")))
	w.sync()
	w.conn.Close()
	two.join("").until("LS+ $LDS.")
	s.links(1)
}

func TestReloadOfRemotes(t *testing.T) {
	stays, goes, comes, changes := newHub(t), newHub(t), newHub(t), newHub(t)
	s := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		o.Reconnect = 10 * time.Millisecond
		o.Compression.Mode = ModeOff
		o.Remotes = []Remote{stays.remote(), goes.remote(), changes.remote()}
	})
	s.n.Start()
	wires := map[*hub]*wire{}
	for _, h := range []*hub{stays, goes, changes} {
		wires[h] = h.join("")
		wires[h].until("LS+ $LDS.")
	}
	s.links(3)
	directory := s.n.settings.Load().directory
	o := s.n.settings.Load().Options
	other := changes.remote()
	other.DenyExports = Texts{"no"}
	o.Remotes = []Remote{comes.remote(), other, stays.remote()}
	if err := s.n.Reload(o, directory); err != nil {
		t.Fatal(err)
	}
	wires[goes].ended()
	wires[changes].ended()
	wires[comes], wires[changes] = comes.join(""), changes.join("")
	wires[comes].until("LS+ $LDS.")
	wires[changes].until("LS+ $LDS.")
	wires[changes].say("LS+ no\r\n")
	wires[changes].sync()
	wires[stays].sync() // it has noticed nothing
	s.links(3)
	off := stays.remote()
	off.Disabled = true
	o.Remotes = []Remote{off}
	if err := s.n.Reload(o, directory); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*hub{stays, comes, changes} {
		wires[h].ended()
	}
	s.links(0)
	if n := len(s.n.Links(false).Remotes); n != 0 {
		t.Errorf("%d remotes are left", n)
	}
	o.Remotes = []Remote{stays.remote()}
	if err := s.n.Reload(o, directory); err != nil {
		t.Fatal(err)
	}
	stays.join("").until("LS+ $LDS.")
	s.links(1)
}

// TestSeveralRemotes are of several accounts, one of them twice to the same hub.
func TestSeveralRemotes(t *testing.T) {
	hub := newSite(t, "hub", nil)
	second := newSite(t, "second", nil)
	edge := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		a := hub.remote()
		a.Account = "A"
		o.Remotes = []Remote{hub.remote(), a, second.remote()}
	})
	edge.n.Start()
	edge.links(3)
	hub.links(2)
	above, other := hub.newClient(""), second.newClient("")
	above.subscribe("a", "")
	other.subscribe("a", "")
	edge.wanted("a", true)
	eventually(t, "all three want it", func() bool {
		n := 0
		for _, k := range edge.n.Links(true).Links {
			n += min(1, len(slices.DeleteFunc(k.Subs, func(s SubSnapshot) bool { return s.Subject != "a" })))
		}
		return n == 3
	})
	if n := edge.newClient("").publish("a", "", "", "1"); n != 2 {
		t.Errorf("delivered %d, want 2", n)
	}
	if n := edge.newClient("A").publish("a", "", "", "2"); n != 1 {
		t.Errorf("delivered %d, want 1", n)
	}
	other.wants("a: 1")
	// Hubs are not joined through us.
	for range 2 {
		<-above.got
	}
	above.publish("a", "", "", "3")
	above.wants("a: 3")
	other.hasNothing()
}

func TestTryTellsOfEachURL(t *testing.T) {
	up, refuses := newSite(t, "hub", nil), newSite(t, "closed", func(_ *Options, a *auth.Options) {
		a.Users = []auth.User{{User: "u", Password: "p"}}
	})
	r := up.remote()
	r.Account = "A"
	r.URLs = append(r.URLs, "nats-leaf://u:secret@"+refuses.addr, "nats-leaf://"+nobodyAt)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := Try(ctx, Options{ServerName: "edge", Version: "2.12.0", Remotes: []Remote{r}})
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if g := all[0]; !g.Up || g.Hub != "hub" || g.Account != "A" || g.TheirAccount != "$G" || g.RTT <= 0 || g.Secure || g.Reason != "" {
		t.Errorf("of the one that is up: %+v", g)
	}
	if g := all[1]; g.Up || g.Reason != "Authentication Failure" || g.Remedy == "" || strings.Contains(fmt.Sprint(g), "secret") {
		t.Errorf("of the one that refuses: %+v", g)
	}
	if g := all[2]; g.Up || !strings.HasPrefix(g.Reason, "tcp") || g.Remedy == "" {
		t.Errorf("of the one that is down: %+v", g)
	}
	up.links(0)
	quick, end := context.WithCancel(ctx)
	end()
	if _, err := Try(quick, Options{ServerName: "edge", Remotes: []Remote{r}}); err == nil {
		t.Error("it goes on without time")
	}
}

func TestStoppingWhileDialling(t *testing.T) {
	h := newHub(t) // that says nothing
	s := edgeOf(t, h, nil)
	w := h.accept()
	began := time.Now()
	s.close()
	if took := time.Since(began); took > 15*time.Second { // of the 30 that a handshake may take
		t.Errorf("it took %v", took)
	}
	w.ended()
}
