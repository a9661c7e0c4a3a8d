package leafnode

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// TestMain fails when a goroutine is left over.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); code == 0 && runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left over:\n%s\n", buf[:runtime.Stack(buf, true)])
			code = 1
		}
	}
	os.Exit(code)
}

// pair makes a hub and a server that has joined it.
func pair(t *testing.T, change func(hub, leaf *Options)) (hub, leaf *site) {
	t.Helper()
	var forHub, forLeaf Options
	if change != nil {
		change(&forHub, &forLeaf)
	}
	apply := func(o *Options, from Options) {
		from.ServerName, from.ServerID, from.Version = o.ServerName, o.ServerID, o.Version
		*o = from
	}
	hub = newSite(t, "hub", func(o *Options, _ *auth.Options) { apply(o, forHub) })
	leaf = newSite(t, "edge", func(o *Options, _ *auth.Options) {
		apply(o, forLeaf)
		o.Reconnect = 10 * time.Millisecond
		o.Remotes = []Remote{hub.remote()}
	})
	leaf.n.Start()
	leaf.links(1)
	hub.links(1)
	return hub, leaf
}

func (s *site) remote() Remote { return Remote{URLs: Texts{"nats-leaf://" + s.addr}} }

func TestTwoServersAreOne(t *testing.T) {
	for _, mode := range []Mode{ModeOff, ModeAuto, ModeFast, ModeBest} {
		t.Run(mode.String(), func(t *testing.T) {
			hub, leaf := pair(t, func(h, l *Options) { h.Compression.Mode, l.Compression.Mode = mode, mode })
			for _, way := range []struct{ from, to *site }{{hub, leaf}, {leaf, hub}} {
				near, far := way.from.newClient(""), way.to.newClient("")
				sub := far.subscribe("a.*", "")
				way.from.wanted("a.*", true)
				if n := near.publish("a.b", "re.ply", headers, "hello"); n != 1 {
					t.Errorf("delivered %d", n)
				}
				near.publish("b.b", "", "", "no")
				near.publish("a.c", "", "", strings.Repeat("x", 100_000))
				far.wants(fmt.Sprintf("a.b re.ply %q: hello", headers), "a.c: "+strings.Repeat("x", 100_000))
				far.peer.Unsubscribe(sub, 0)
				way.from.wanted("a.*", false)
				if n := near.publish("a.b", "", "", "no"); n != 0 {
					t.Errorf("delivered %d after the last has gone", n)
				}
				far.hasNothing()
			}
			if k := leaf.links(1)[0]; !k.Spoke || !k.Solicited || k.Name != "hub" || k.TheirAccount != "$G" || k.OutMsgs != 2 || k.InMsgs != 2 {
				t.Errorf("shown as %+v", k)
			}
			if k := hub.links(1)[0]; k.Spoke || k.Solicited || k.Name != "edge" || k.OutMsgs != 2 || k.InMsgs != 2 {
				t.Errorf("shown as %+v", k)
			}
		})
	}
}

// TestManyMessagesArriveInOrder sends much more than the window, both ways at once.
func TestManyMessagesArriveInOrder(t *testing.T) {
	hub, leaf := pair(t, func(h, l *Options) { h.MaxPending, l.MaxPending = 64<<20, 64<<20 })
	const messages = 20_000
	type end struct{ near, far *client }
	ends := []end{{hub.newClient(""), leaf.newClient("")}, {leaf.newClient(""), hub.newClient("")}}
	for i, e := range ends {
		e.far.subscribe(fmt.Sprintf("to.%d", i), "")
	}
	hub.wanted("to.0", true)
	leaf.wanted("to.1", true)
	for n := range messages {
		for i, e := range ends {
			e.near.publish(fmt.Sprintf("to.%d", i), "", "", fmt.Sprint(n))
		}
	}
	for i, e := range ends {
		for n := range messages {
			e.far.wants(fmt.Sprintf("to.%d: %d", i, n))
		}
		e.far.hasNothing()
	}
}

func TestRequestsAreAnsweredAcross(t *testing.T) {
	hub, leaf := pair(t, nil)
	asker, server := leaf.newClient(""), hub.newClient("")
	server.subscribe("svc", "workers")
	leaf.wanted("svc", true)
	for i := range 100 {
		inbox := fmt.Sprintf("_INBOX.%d", i)
		asker.subscribe(inbox, "")
		asker.publish("svc", inbox, "", "?")
		server.wants("svc " + inbox + ": ?")
		server.publish(inbox, "", "", "!")
		asker.wants(inbox + ": !")
	}
}

func TestMembersHereComeFirst(t *testing.T) {
	hub, leaf := pair(t, nil)
	here, there := leaf.newClient(""), hub.newClient("")
	there.subscribe("jobs", "q")
	leaf.wanted("jobs", true)
	sub := here.subscribe("jobs", "q")
	c := leaf.newClient("")
	for range 50 {
		c.publish("jobs", "", "", "1")
	}
	if len(here.got) != 50 {
		t.Errorf("%d came to the member here", len(here.got))
	}
	here.peer.Unsubscribe(sub, 0)
	c.publish("jobs", "", "", "2")
	there.wants("jobs: 2")
	there.hasNothing()
}

// TestALeafReachesAnotherThroughUsOnce is a daisy chain's and a star's way.
func TestALeafReachesAnotherThroughUsOnce(t *testing.T) {
	s := newSite(t, "site", nil)
	one := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"one"`), false)
	two := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"two"`), true)
	two.say("LS+ a.>\r\nLS+ a.b\r\n")
	two.sync()
	one.until("LS+ a.b")
	one.say("LMSG a.b 1\r\n1\r\n")
	if got := messageOf(two); got != "LMSG a.b 1\n1" {
		t.Errorf("got %q", got)
	}
	one.sync()
	if ops := two.sync(); slices.ContainsFunc(ops, func(op string) bool { return strings.HasPrefix(op, "LMSG") }) {
		t.Errorf("it came again: %q", ops)
	}
}

func TestLeavesOfOneClusterAreLeftToThemselves(t *testing.T) {
	s := newSite(t, "site", nil)
	one := joinAsLeaf(t, s, strings.Replace(leafConnect, `"name":"leaf"`, `"name":"one"`, 1), false)
	two := joinAsLeaf(t, s, strings.Replace(leafConnect, `"name":"leaf"`, `"name":"two"`, 1), false)
	two.say("LS+ a\r\n")
	two.sync()
	for _, op := range one.settled() {
		if op == "LS+ a" {
			t.Error("one was told what two wants")
		}
	}
	one.say("LMSG a 1\r\n1\r\n")
	one.sync()
	for _, op := range two.settled() {
		if strings.HasPrefix(op, "LMSG") {
			t.Errorf("two got %q", op)
		}
	}
}

func TestWhoMayNotJoinIsToldWhy(t *testing.T) {
	const connect = `CONNECT {"version":"2.15.2","name":"leaf","cluster":"leaf",%s"remote_account":"$G"}` + "\r\n"
	users := func(o *Options, a *auth.Options) {
		o.MinVersion = "2.9.0"
		o.Remotes = []Remote{{URLs: Texts{"nats-leaf://127.0.0.1:1"}, Disabled: true}}
		a.Users = []auth.User{{User: "u", Password: "p"}, {User: "c", Password: "p", Types: []string{auth.Standard}}}
	}
	with := func(more string) string { return fmt.Sprintf(connect, more) }
	const in = `"user":"u","pass":"p",`
	for _, c := range []struct{ name, say, want string }{
		{"wrong password", with(`"user":"u","pass":"x",`), "Authorization Violation"},
		{"no credentials", with(""), "Authorization Violation"},
		{"clients only", with(`"user":"c","pass":"p",`), "Authorization Violation"},
		{"PING first", "PING\r\n", "Authorization Violation"},
		{"interest first", "LS+ a\r\n", "Authorization Violation"},
		{"TLS", "\x16\x03\x01\x02\x00\x01", "Authorization Violation"},
		{"garbage", "CUCKOO\r\n", "Authorization Violation"},
		{"a client", with(in + `"lang":"go",`), "attempted to connect to leaf node port"},
		{"a gateway", with(in + `"gateway":"G",`), `Rejecting connection from gateway "G" on the leafnode port`},
		{"a blank", strings.Replace(with(in), `"cluster":"leaf"`, `"cluster":"a b"`, 1), "cluster name cannot contain spaces"},
		{"reserved", strings.Replace(with(in), `"cluster":"leaf"`, `"cluster":"_"`, 1), "cluster name is reserved"},
		{"our own name", strings.Replace(with(in), `"cluster":"leaf"`, `"cluster":"site"`, 1), "remote leafnode has same cluster name"},
		{"too old", strings.Replace(with(in), "2.15.2", "2.8.4", 1), `connection rejected since minimum version required is "2.9.0"`},
		{"compression nobody knows", `INFO {"compression":"zstd"}` + "\r\n", `unsupported route compression mode "zstd"`},
		{"no JSON", "CONNECT {]\r\n", ""},
		{"a second INFO", `INFO {"compression":"off"}` + "\r\n" + `INFO {"compression":"off"}` + "\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "site", users)
			w := dialSite(t, s)
			w.info()
			w.say(c.say)
			ops := w.ended()
			if c.want == "" && len(ops) != 0 || c.want != "" && !slices.Contains(ops, "-ERR '"+c.want+"'") {
				t.Errorf("it was told %q, want %q", ops, c.want)
			}
			for _, op := range ops {
				if strings.HasPrefix(op, "LS+") {
					t.Errorf("a stranger was told %q", op)
				}
			}
			eventually(t, "it is gone", func() bool {
				s.n.mu.Lock()
				defer s.n.mu.Unlock()
				return len(s.n.links) == 0 && s.n.strangers == 0
			})
			if s.log.has("secret") || s.log.has(`pass`) && strings.Contains(s.log.String(), `"p"`) {
				t.Errorf("the log has a password:\n%s", s.log)
			}
			s.links(0)
			joinAsLeaf(t, s, with(in), false).sync()
		})
	}
}

func TestWhoSaysNothingIsClosed(t *testing.T) {
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.HandshakeTimeout = 100 * time.Millisecond })
	w := dialSite(t, s)
	w.info()
	if ops := w.ended(); !slices.Equal(ops, []string{"-ERR 'Authentication Timeout'"}) {
		t.Errorf("told %q", ops)
	}
}

// TestStrangersDoNotKeepLeavesOut has more connections that say nothing than there may be leaves.
func TestStrangersDoNotKeepLeavesOut(t *testing.T) {
	const most = 4
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.MaxLinks = most })
	var strangers []*wire
	for range most + 2 {
		w := dialSite(t, s)
		w.info()
		strangers = append(strangers, w)
	}
	for _, w := range strangers[:2] {
		w.ended()
	}
	for i := range most {
		joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, fmt.Sprintf(`"leaf%d"`, i)), false).sync()
	}
	s.links(most)
	w := dialSite(t, s)
	w.info()
	w.say(strings.ReplaceAll(leafConnect, `"leaf"`, `"one too many"`))
	w.say("")
	if ops := w.ended(); len(ops) != 1 || !strings.HasPrefix(ops[0], "-ERR ") {
		t.Errorf("one too many was told %q", ops)
	}
	w = dialSite(t, s)
	w.info()
	w.say(strings.ReplaceAll(leafConnect, `"leaf"`, `"more"`))
	if ops := w.ended(); !slices.Equal(ops, []string{"-ERR 'maximum account active connections exceeded'"}) {
		t.Errorf("one too many was told %q", ops)
	}
	// One that comes back takes its own place.
	joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"leaf0"`), false).sync()
	s.links(most)
}

func TestTheOlderOfTwoWithOneNameGoes(t *testing.T) {
	s := newSite(t, "site", nil)
	old := joinAsLeaf(t, s, leafConnect, false)
	young := joinAsLeaf(t, s, leafConnect, false)
	if ops := old.ended(); ops[len(ops)-1] != "-ERR 'Duplicate Remote LeafNode Connection'" {
		t.Errorf("the older one was told %q", ops)
	}
	young.sync()
	s.links(1)
	if !s.log.has("give each its own name") {
		t.Error("the log does not say what to do")
	}
	// Another account of the same server, and one of an old server that names none, are others.
	joinAsLeaf(t, s, strings.Replace(leafConnect, "$G", "OTHER", 1), false).sync()
	joinAsLeaf(t, s, strings.Replace(leafConnect, `"remote_account":"$G",`, "", 1), false).sync()
	young.sync()
	s.links(3)
}

func TestManyOfOneNameAtOnceLeaveOne(t *testing.T) {
	s := newSite(t, "site", nil)
	const leaves = 8
	var all []*wire
	for range leaves {
		w := dialSite(t, s)
		w.info()
		all = append(all, w)
	}
	for _, w := range all {
		w.say(leafConnect)
	}
	s.links(1)
	ended := 0
	for _, w := range all {
		w.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		for {
			if _, err := w.next(); err != nil {
				if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
					ended++
				}
				break
			}
		}
	}
	if ended != leaves-1 {
		t.Errorf("%d of %d were closed", ended, leaves)
	}
}

func TestOurOwnLoopSubjectEndsALink(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, false)
	mark := strings.TrimPrefix(w.until("LS+ $LDS."), "LS+ ")
	w.say("LS+ $LDS.AAAAAAAAAAAAAAAAAAAAAA\r\n")
	w.sync()
	w.say("LS+ " + mark + "\r\n")
	want := `-ERR 'Loop detected for leafnode account="$G". Delaying attempt to reconnect for 30s'`
	if ops := w.ended(); !slices.Contains(ops, want) {
		t.Errorf("told %q", ops)
	}
	// It stays the same as long as we run.
	w = joinAsLeaf(t, s, leafConnect, false)
	if again := w.until("LS+ $LDS."); again != "LS+ "+mark {
		t.Errorf("now it is %q, and was %q", again, mark)
	}
}

// TestTwoThatDialEachOther are found by their names, since neither is told its own mark.
func TestTwoThatDialEachOther(t *testing.T) {
	for range 5 {
		var sites [2]*site
		for i := range sites {
			sites[i] = newSite(t, fmt.Sprintf("s%d", i), nil)
		}
		for i, s := range sites {
			o := s.n.settings.Load().Options
			o.Remotes = []Remote{sites[1-i].remote()}
			if err := s.n.Reload(o, s.n.settings.Load().directory); err != nil {
				t.Fatal(err)
			}
		}
		detected := func() (n int) {
			for _, s := range sites {
				if r := s.n.Links(false).Remotes[0]; r.Reason == "Loop Detected" {
					n++
					if wait := time.Until(r.RetryAt); wait < 20*time.Second {
						t.Errorf("it is tried again in %v", wait)
					}
				}
			}
			return n
		}
		eventually(t, "one of them sees the loop", func() bool { return detected() > 0 })
		eventually(t, "the links are even", func() bool {
			a, b := len(sites[0].n.Links(false).Links), len(sites[1].n.Links(false).Links)
			return a == b && a+detected() <= 2 && a <= 1
		})
		if sites[0].n.Links(false).Links != nil {
			c, far := sites[0].newClient(""), sites[1].newClient("")
			far.subscribe("a", "")
			sites[0].wanted("a", true)
			if n := c.publish("a", "", "", "1"); n != 1 {
				t.Errorf("delivered %d times", n)
			}
			far.wants("a: 1")
		}
		for _, s := range sites {
			s.close()
		}
	}
}

func TestARingIsCut(t *testing.T) {
	var sites [3]*site
	for i := range sites {
		sites[i] = newSite(t, fmt.Sprintf("ring%d", i), nil)
	}
	for i, s := range sites {
		o := s.n.settings.Load().Options
		o.Remotes = []Remote{sites[(i+1)%len(sites)].remote()}
		if err := s.n.Reload(o, s.n.settings.Load().directory); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the ring is seen and cut", func() bool {
		loops, up := 0, 0
		for _, s := range sites {
			r := s.n.Links(false).Remotes[0]
			if r.Reason == "Loop Detected" {
				loops++
			}
			if r.Up {
				up++
			}
		}
		return loops > 0 && up < len(sites)
	})
}

func TestPermissionsOfALeaf(t *testing.T) {
	permit := func(_ *Options, a *auth.Options) {
		a.Users = []auth.User{{User: "u", Password: "p", Permissions: &auth.PermissionOptions{
			Publish:   &auth.SubjectOptions{Allow: []string{"up.>"}},
			Subscribe: &auth.SubjectOptions{Allow: []string{"down.>"}, Deny: []string{"down.secret"}},
		}}}
	}
	connect := strings.Replace(leafConnect, `"name"`, `"user":"u","pass":"p","deny_pub":["down.no"],"name"`, 1)
	join := func(t *testing.T) (*site, *wire) {
		s := newSite(t, "site", permit)
		w := dialSite(t, s)
		w.info()
		w.say(connect)
		i := w.info()
		if i.Import == nil || !slices.Equal(i.Import.Allow, []string{"down.>"}) || !slices.Equal(i.Import.Deny, []string{"down.secret"}) ||
			i.Export == nil || !slices.Equal(i.Export.Allow, []string{"up.>"}) {
			t.Errorf("told %+v and %+v", i.Import, i.Export)
		}
		return s, w
	}
	t.Run("what is allowed", func(t *testing.T) {
		s, w := join(t)
		c := s.newClient("")
		c.subscribe(">", "")
		w.say("LS+ >\r\nLS+ down.a\r\nLS+ $LDS.BBBBBBBBBBBBBBBBBBBBBB\r\nLMSG up.x 1\r\n1\r\nLMSG _R_.abc.def 1\r\n2\r\n")
		w.sync()
		c.wants("up.x: 1", "_R_.abc.def: 2")
		for _, subject := range []string{"up.y", "down.secret", "down.no", "$JS.API.INFO", "down.a"} {
			c.publish(subject, "", "", "1")
		}
		if got := messageOf(w); got != "LMSG down.a 1\n1" {
			t.Errorf("got %q", got)
		}
		if n := s.drops("", broker.Denied); n != 4 {
			t.Errorf("%d count as denied", n)
		}
	})
	for say, want := range map[string]string{
		"LS+ up.x\r\n":           `Permissions Violation for Subscription to "up.x"`,
		"LS+ down.secret\r\n":    `Permissions Violation for Subscription to "down.secret"`,
		"LS+ down.no\r\n":        `Permissions Violation for Subscription to "down.no"`,
		"LMSG down.a 1\r\n1\r\n": `Permissions Violation for Publish to "down.a"`,
	} {
		t.Run(want, func(t *testing.T) {
			s, w := join(t)
			w.say(say)
			if ops := w.ended(); !slices.Contains(ops, "-ERR '"+want+"'") {
				t.Errorf("told %q", ops)
			}
			s.links(0)
		})
	}
}

func TestReloadClosesWhoMayNotStay(t *testing.T) {
	user := func(name string, allow ...string) auth.User {
		u := auth.User{User: name, Password: "p"}
		if allow != nil {
			u.Permissions = &auth.PermissionOptions{Publish: &auth.SubjectOptions{Allow: allow}}
		}
		return u
	}
	s := newSite(t, "site", func(_ *Options, a *auth.Options) {
		a.Users = []auth.User{user("stays"), user("goes"), user("changes"), user("as before", "a.>")}
	})
	wires := map[string]*wire{}
	for _, name := range []string{"stays", "goes", "changes", "as before"} {
		connect := strings.Replace(leafConnect, `"name":"leaf","cluster":"leaf"`, fmt.Sprintf(`"user":%q,"pass":"p","name":%q,"cluster":""`, name, name), 1)
		wires[name] = joinAsLeaf(t, s, connect, false)
	}
	next := directoryOf(t, auth.Options{Users: []auth.User{user("stays"), user("changes", "b"), user("as before", "a.>")}})
	if err := s.n.Reload(s.n.settings.Load().Options, next); err != nil {
		t.Fatal(err)
	}
	if ops := wires["goes"].ended(); !slices.Contains(ops, "-ERR 'Authorization Violation'") {
		t.Errorf("who goes was told %q", ops)
	}
	for _, op := range wires["changes"].ended() {
		if strings.HasPrefix(op, "-ERR") {
			t.Errorf("who changes was told %q", op)
		}
	}
	wires["stays"].sync()
	wires["as before"].sync()
	s.links(2)
	if err := s.n.Reload(Options{DeadAfter: time.Millisecond}, next); err == nil {
		t.Error("bad options were taken")
	}
	wires["stays"].sync()
}

// TestIsolation has the three ways in which other leaves' interest is kept from one.
func TestIsolation(t *testing.T) {
	for _, c := range []struct {
		name, connect string
		isolate       bool
		want          bool // it is told
	}{
		{"none", leafConnect, false, true},
		{"by the hub", leafConnect, true, false},
		{"by the leaf", strings.Replace(leafConnect, `"headers"`, `"isolate":true,"headers"`, 1), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.Isolate = c.isolate })
			here := s.newClient("")
			here.subscribe("ours", "")
			other := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"other"`), false)
			other.say("LS+ theirs\r\n")
			other.sync()
			w := joinAsLeaf(t, s, c.connect, false)
			w.say("LS+ mine\r\n")
			ops := w.settled()
			if !slices.Contains(ops, "LS+ ours") || slices.Contains(ops, "LS+ theirs") != c.want {
				t.Errorf("told %q", ops)
			}
			if told := slices.Contains(other.settled(), "LS+ mine"); told == c.isolate {
				t.Errorf("the other was told: %v", told)
			}
		})
	}
}

func TestAfterShutdownNothingIsLeft(t *testing.T) {
	hub, leaf := pair(t, nil)
	joinAsLeaf(t, hub, leafConnect, true)
	dialSite(t, hub).info()
	hub.links(2)
	leaf.newClient("").subscribe("a", "")
	hub.wanted("a", true)
	hub.close()
	if len(hub.n.all()) != 0 || hub.n.waiting.Load() != 0 || hub.n.interest.Load() != 0 || hub.n.strangers != 0 {
		t.Errorf("%d links, %d bytes, %d subscriptions, %d strangers", len(hub.n.all()), hub.n.waiting.Load(), hub.n.interest.Load(), hub.n.strangers)
	}
	for _, a := range hub.b.Accounts() {
		if a.Peers != 0 || a.Links != 0 || a.Subscriptions != 0 {
			t.Errorf("%+v is left", a)
		}
	}
	if err := hub.n.Serve(context.Background(), closedListener(t)); err == nil {
		t.Error("it still serves")
	}
	eventually(t, "the leaf knows", func() bool { return !leaf.n.Links(false).Remotes[0].Up })
}

func closedListener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestBadOptionsAreRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"dead_after":  {DeadAfter: time.Second},
		"reconnect":   {Reconnect: -1},
		"max_pending": {MaxPending: -1},
		"version":     {MinVersion: "new"},
		"no url":      {Remotes: []Remote{{}}},
		"websocket":   {Remotes: []Remote{{URLs: Texts{"ws://h"}}}},
	} {
		if _, err := New(o, broker.New(broker.Options{}), nil, directoryOf(t, auth.Options{}), nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
