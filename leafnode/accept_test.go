package leafnode

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

func TestWhoMayNotJoinIsToldWhy(t *testing.T) {
	const connect = `CONNECT {"version":"2.15.2","name":"leaf","cluster":"leaf",%s"remote_account":"$G"}` + "\r\n"
	users := func(o *Options, a *auth.Options) {
		o.MinVersion = "2.9.0"
		o.Remotes = []Remote{{URLs: Texts{"nats-leaf://127.0.0.1:1"}, Disabled: true}}
		a.Users = []auth.User{{User: "u", Password: "hush"}, {User: "c", Password: "hush", Types: []string{auth.Standard}}}
	}
	with := func(more string) string { return fmt.Sprintf(connect, more) }
	const in = `"user":"u","pass":"hush",`
	for _, c := range []struct{ name, say, want string }{
		{"wrong password", with(`"user":"u","pass":"hushed",`), "Authorization Violation"},
		{"no credentials", with(""), "Authorization Violation"},
		{"clients only", with(`"user":"c","pass":"hush",`), "Authorization Violation"},
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
		{"a stranger's client", with(`"user":"u","pass":"hushed","lang":"go",`), "Authorization Violation"},
		{"a stranger of our own name", strings.Replace(with(""), `"cluster":"leaf"`, `"cluster":"site"`, 1), "Authorization Violation"},
		{"a stranger that is too old", strings.Replace(with(""), "2.15.2", "2.8.4", 1), "Authorization Violation"},
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
			if s.log.has("hush") {
				t.Errorf("the log has a password:\n%s", s.log)
			}
			s.links(0)
			joinAsLeaf(t, s, with(in), false).sync()
		})
	}
}

// nats-server refuses an old leaf behind the INFO that lets it in. The bytes are those of 2.15.2, and an -ERR in
// the place of that INFO would be a broken handshake to some leaves.
func TestALeafThatIsTooOldIsRefusedBehindItsWelcome(t *testing.T) {
	s := newSite(t, "site", func(o *Options, a *auth.Options) {
		o.MinVersion = "2.16.0"
		a.Accounts = auth.AccountsOptions{"A": {Users: []auth.User{{User: "u", Password: "hush"}}}}
	})
	w := dialSite(t, s)
	w.info()
	w.say(`CONNECT {"version":"2.15.2","user":"u","pass":"hush","name":"leaf","cluster":"leaf","remote_account":"$G"}` + "\r\n")
	i := w.info()
	if !i.ConnectInfo || i.RemoteAccount != "A" || i.Nonce != "" {
		t.Errorf("it is welcomed by %+v", i)
	}
	if ops := w.ended(); !slices.Equal(ops, []string{`-ERR 'connection rejected since minimum version required is "2.16.0"'`}) {
		t.Errorf("behind its welcome it is told %q", ops)
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
	ends, pongs := make(chan *wire, leaves), make(chan *wire, leaves)
	for _, w := range all {
		go func() {
			for {
				op, err := w.next()
				if err != nil {
					ends <- w
					return
				}
				if op == "PONG" {
					pongs <- w
				}
			}
		}()
	}
	for range leaves - 1 {
		ended := <-ends
		all = slices.DeleteFunc(all, func(w *wire) bool { return w == ended })
	}
	s.links(1)
	all[0].say("PING\r\n")
	select {
	case <-pongs:
	case <-ends:
		t.Error("all of them were closed")
	}
}

// An account's max_leafnodes counts the links of that account, wherever they go, and nothing else.
func TestAnAccountBoundsItsLinks(t *testing.T) {
	one := int64(1)
	s := newSite(t, "site", func(_ *Options, a *auth.Options) {
		a.Accounts = auth.AccountsOptions{
			"A": {Users: []auth.User{{User: "a", Password: "p"}}, Limits: auth.LimitsOptions{MaxLeafNodes: &one, MaxConnections: &one}},
			"B": {Users: []auth.User{{User: "b", Password: "p"}}},
		}
	})
	s.b.Configure(s.n.settings.Load().directory.Accounts())
	s.newClient("A") // takes no leaf's place
	connect := func(user, name string) string {
		return strings.Replace(leafConnect, `"name":"leaf","cluster":"leaf"`, fmt.Sprintf(`"user":%q,"pass":"p","name":%q,"cluster":%q`, user, name, name), 1)
	}
	first := joinAsLeaf(t, s, connect("a", "one"), false)
	joinAsLeaf(t, s, connect("b", "two"), false)
	second := dialSite(t, s)
	second.info()
	second.say(connect("a", "three"))
	if ops := second.ended(); !slices.Equal(ops, []string{"-ERR 'maximum account active connections exceeded'"}) {
		t.Errorf("told %q", ops)
	}
	eventually(t, "the log says what to raise", func() bool { return s.log.has("raise max_leafnodes of the account") })
	first.conn.Close()
	s.links(1)
	joinAsLeaf(t, s, connect("a", "three"), false)
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
	if ops := wires["changes"].ended(); !slices.Contains(ops, "-ERR 'Permissions Changed'") {
		t.Errorf("who changes was told %q", ops)
	}
	eventually(t, "the log says why and what next", func() bool {
		return s.log.has(`reason="Permissions Changed"`) && s.log.has("the leaf joins again by itself and is told of them")
	})
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

// TestAnAccountThatChangesHasItsLeavesLookedAt stands for what operator mode is told of.
func TestAnAccountThatChangesHasItsLeavesLookedAt(t *testing.T) {
	s := newSite(t, "site", nil)
	w := joinAsLeaf(t, s, leafConnect, false)
	k := s.n.all()[0]
	past := func(*engine.Loop) {
		id := auth.Identity{Account: k.identity.Account, Expires: time.Now().Add(-time.Second)}
		k.identity = &id // nobody that the directory knows
	}
	k.conn.Post(past)
	s.n.accountChanged(&auth.Account{Name: "OTHER"})
	w.sync()
	s.n.accountChanged(&auth.Account{Name: "$G"})
	if ops := w.ended(); !slices.Contains(ops, "-ERR 'Authorization Violation'") {
		t.Errorf("told %q", ops)
	}
}

func TestLinksEndWithTheirCredentials(t *testing.T) {
	s := newSite(t, "site", nil)
	k := ownLink(t, s, false)
	k.onLoop(func(*engine.Loop) {
		set := s.n.settings.Load()
		for _, c := range []struct {
			at      time.Time
			ends    bool
			bounded bool
		}{
			{time.Time{}, false, false},
			{time.Now().Add(time.Hour), false, true},
			{time.Now().AddDate(900, 0, 0), false, true},
			{time.Now().Add(-time.Second), true, true},
		} {
			id := *k.identity
			id.Expires = c.at
			k.identity = &id
			why := k.bound(set)
			if (why != nil) != c.ends || (k.until != 0) != c.bounded || c.bounded && !c.ends && k.until <= engine.Now() {
				t.Errorf("until %v: %v, ends at %d", c.at, why, k.until)
			}
		}
	})
}

// TestLinksWithTLS has each way to begin it: by the hub's INFO, by the leaf, and with a hub that waits a
// moment for the leaf.
func TestLinksWithTLS(t *testing.T) {
	a := newAuthority(t)
	const grace = 20 * time.Millisecond
	for _, c := range []struct {
		name             string
		hubFirst, before bool
		grace            time.Duration
	}{
		{"after INFO", false, false, 0},
		{"at once", true, true, 0},
		{"the hub waits, the leaf begins", true, true, time.Minute},
		{"the hub waits, the leaf does too", true, false, grace},
	} {
		for _, mode := range []Mode{ModeOff, ModeFast} {
			t.Run(c.name+" "+mode.String(), func(t *testing.T) {
				hub := newSite(t, "hub", func(o *Options, _ *auth.Options) {
					o.Compression.Mode = mode
					o.TLS = &TLS{Security: &engine.Security{Config: a.valid("hub"), Timeout: patience, Grace: c.grace}, First: c.hubFirst}
				})
				edge := newSite(t, "edge", func(o *Options, _ *auth.Options) {
					o.Compression.Mode = mode
					r := hub.remote()
					r.TLS = func(string) (*tls.Config, error) { return a.trusted("hub") }
					r.HandshakeFirst, r.Secure = c.before, true
					o.Remotes = []Remote{r}
				})
				edge.n.Start()
				edge.links(1)
				near, far := hub.newClient(""), edge.newClient("")
				far.subscribe("a", "")
				hub.wanted("a", true)
				near.publish("a", "r", headers, strings.Repeat("x", 50_000))
				far.wants(fmt.Sprintf("a r %q: %s", headers, strings.Repeat("x", 50_000)))
			})
		}
	}
}
