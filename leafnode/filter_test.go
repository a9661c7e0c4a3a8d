package leafnode

import (
	"testing"
)

func mustFilter(t testing.TB, in, out limits, denyIn, denyOut []string, accepting bool) *filter {
	t.Helper()
	f, err := newFilter(in, out, denyIn, denyOut, false, accepting)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The rows of the protocol's table, for a link that nobody has limited.
func TestWhatNeverLeaves(t *testing.T) {
	open := mustFilter(t, limits{}, limits{}, nil, nil, false)
	system, err := newFilter(limits{}, limits{}, nil, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		subject         string
		told, out, take bool
	}{
		{"$JS.API.>", false, false, false},
		{"$JS.API.INFO", false, false, false},
		{"$JS.API.STREAM.*.x", false, false, false},
		{"$KV.bucket.key", false, false, false},
		{"$KV.*", false, false, false},
		{"$OBJ.b.C.1", false, false, false},
		{"$SYS.REQ.USER.INFO", false, false, false},
		{"$SYS.REQ.SERVER.PING.CONNZ", false, false, false},
		{"$SYS.REQ.ACCOUNT.PING.CONNZ", false, false, false},
		{"$SYS.REQ.ACCOUNT.PING.STATZ", false, false, false},
		{"$SYS.REQ.USER.INFO.x", true, true, true},
		{"$SYS.REQ.SERVER.PING", true, true, true},
		{"$SYS.foo", true, true, true},
		{"$SYS.>", true, true, true},
		{">", true, true, true},
		{"*.b", true, true, true},
		{"$JS.>", true, true, true},
		{"$JS.API", true, true, true},
		{"$JS.hub.API.INFO", true, true, true},
		{"$JS.edge1.API.$KV.x", true, true, true},
		{"$JS.ACK.S.C.1.1.1.1.1", true, true, true},
		{"$JSC.x", true, true, true},
		{"$NRG.x", true, true, true},
		{"$MQTT.x", true, true, true},
		{"$SRV.PING", true, true, true},
		{"$KV", true, true, true},
		{"$KVS.x", true, true, true},
		{"_INBOX.x", true, true, true},
		{"_R_.x.y", true, true, true},
		{"_GR_.>", true, true, true},
		{"$GR.x", true, true, true},
		{"$LDS.2UtHzJndBpTUsQD0mqCBJQ", true, true, true},
		{"plant.line1", true, true, true},
	} {
		take, violation := open.subscribe(c.subject)
		if told, out := open.tell(c.subject, ""), open.out([]byte(c.subject)); told != c.told || out != c.out || take != c.take || violation {
			t.Errorf("%s: told %v, leaves %v, taken %v, violation %v", c.subject, told, out, take, violation)
		}
		if !open.in([]byte(c.subject)) {
			t.Errorf("%s: does not come in", c.subject)
		}
		for name, f := range map[string]*filter{"no filter": nil, "the system account": system} {
			take, violation := f.subscribe(c.subject)
			if !f.tell(c.subject, "q") || !f.out([]byte(c.subject)) || !f.in([]byte(c.subject)) || !take || violation {
				t.Errorf("%s, %s: does not pass", c.subject, name)
			}
		}
	}
}

// The capture of the protocol: publish "up.>", subscribe down.> but not down.secret.
func TestPermissionsOfTheHubAreKept(t *testing.T) {
	down := limits{allow: []string{"down.>"}, deny: []string{"down.secret"}, closed: true}
	up := limits{allow: []string{"up.>"}, closed: true}
	leaf := mustFilter(t, down, up, nil, nil, false)
	hub := mustFilter(t, up, down, nil, nil, true)
	for _, c := range []struct {
		subject          string
		told, in, out    bool // at the leaf
		take, isRefused  bool // by the hub
		takenFromTheHub  bool
		toldByTheHub     bool
		takenByTheHubOut bool // a message leaves the hub
	}{
		{"down.a", true, true, false, true, false, false, true, true},
		{"down.secret", false, false, false, false, true, false, true, false},
		{"down.*", true, true, false, true, false, false, true, true},
		{"up.x", false, false, true, false, true, true, true, false},
		{"up.*", false, false, true, false, false, true, true, false},
		{">", true, false, false, true, false, true, true, false},
		{"other", false, false, false, false, true, false, true, false},
		{"$SYS.REQ.USER.INFO", false, false, false, false, true, false, false, false},
		{"$LDS.SAxR7XHwyqoO2NhkUP6adJ", true, false, false, true, false, true, true, false},
		{"_GR_.>", true, true, true, true, false, true, true, true},
		{"_R_.DXg6Pk.3MAmxg", false, true, true, false, true, false, true, true},
		{"$JS.ACK.S.C.1.1.1.1.1", false, true, true, false, true, false, true, true},
	} {
		s := []byte(c.subject)
		if told, in, out := leaf.tell(c.subject, ""), leaf.in(s), leaf.out(s); told != c.told || in != c.in || out != c.out {
			t.Errorf("leaf: %s: told %v, in %v, out %v", c.subject, told, in, out)
		}
		if take, violation := hub.subscribe(c.subject); take != c.take || violation != c.isRefused {
			t.Errorf("hub: %s: taken %v, violation %v", c.subject, take, violation)
		}
		if take, violation := leaf.subscribe(c.subject); take != c.takenFromTheHub || violation {
			t.Errorf("leaf: %s of the hub: taken %v, violation %v", c.subject, take, violation)
		}
		if told, out := hub.tell(c.subject, ""), hub.out(s); told != c.toldByTheHub || out != c.takenByTheHubOut {
			t.Errorf("hub: %s: told %v, out %v", c.subject, told, out)
		}
	}
	// What the leaf may publish is what comes in at the hub.
	if hub.in([]byte("nope")) || !hub.in([]byte("up.x")) || !hub.in([]byte("_R_.x.y")) {
		t.Error("hub: the leaf may publish something else than it may")
	}
	// An empty list allows nothing, none at all everything.
	shut := mustFilter(t, limits{closed: true}, limits{closed: true}, nil, nil, false)
	if shut.tell("a", "") || shut.tell(">", "") || shut.in([]byte("a")) || shut.out([]byte("a")) || !shut.tell("$LDS.x", "") {
		t.Error("an empty list lets something pass")
	}
	// Entries may name a queue. That is for subscriptions; a message is delivered to all of them.
	queues := mustFilter(t, limits{allow: []string{"a.* workers"}, deny: []string{"a.b workers"}}, limits{}, nil, nil, false)
	if !queues.in([]byte("a.b")) || queues.in([]byte("b")) || !queues.tell("a.c", "workers") {
		t.Error("entries with a queue are not understood")
	}
}

// The capture of the protocol: deny_imports in.no, deny_exports ex.no.
func TestWhatARemoteDenies(t *testing.T) {
	leaf := mustFilter(t, limits{}, limits{}, []string{"in.no"}, []string{"ex.no", "private.>"}, false)
	for subject, told := range map[string]bool{"in.ok": true, "in.no": false, "in.*": true, ">": true, "ex.no": true} {
		if got := leaf.tell(subject, ""); got != told {
			t.Errorf("%s: told %v", subject, got)
		}
	}
	for subject, out := range map[string]bool{"ex.ok": true, "ex.no": false, "private.a.b": false, "private": true} {
		if got := leaf.out([]byte(subject)); got != out {
			t.Errorf("%s: leaves %v", subject, got)
		}
		take, violation := leaf.subscribe(subject)
		if take != out || violation {
			t.Errorf("%s: interest of the hub is taken %v, violation %v", subject, take, violation)
		}
	}
	if take, _ := leaf.subscribe("private.*"); take {
		t.Error("interest in what never leaves is taken")
	}
	if leaf.in([]byte("in.no")) || !leaf.in([]byte("in.ok")) {
		t.Error("what is denied comes in")
	}
	// The hub is told of deny_imports as deny_pub.
	hub := mustFilter(t, limits{}, limits{}, nil, []string{"in.no"}, true)
	if take, violation := hub.subscribe("in.no"); take || !violation {
		t.Errorf("a literal inside deny_pub: taken %v, violation %v", take, violation)
	}
	if take, violation := hub.subscribe(">"); !take || violation {
		t.Errorf("wider than deny_pub: taken %v, violation %v", take, violation)
	}
	if hub.out([]byte("in.no")) || !hub.out([]byte("in.ok")) {
		t.Error("the hub sends what deny_pub denies")
	}
	for _, bad := range []string{"a..b", "", "a b c", "a.>.b"} {
		if _, err := newFilter(limits{}, limits{}, []string{bad}, nil, false, false); err == nil {
			t.Errorf("%q is denied", bad)
		}
		if _, err := newFilter(limits{}, limits{allow: []string{bad}, closed: true}, nil, nil, false, false); err == nil {
			t.Errorf("%q is allowed", bad)
		}
		if _, err := newFilter(limits{deny: []string{bad}}, limits{}, nil, nil, false, false); err == nil {
			t.Errorf("%q is denied by the hub", bad)
		}
	}
}

func TestVerdictsOfAFilterAllocateNothing(t *testing.T) {
	open := mustFilter(t, limits{}, limits{}, nil, nil, false)
	tight := mustFilter(t, limits{allow: []string{"down.>"}, closed: true}, limits{allow: []string{"up.>"}, deny: []string{"up.no"}}, []string{"x"}, []string{"y"}, false)
	subjects := [][]byte{[]byte("plant.line1.temperature"), []byte("$SYS.REQ.USER.INFO"), []byte("$JS.API.INFO"), []byte("_R_.a.b"), []byte("up.a")}
	for _, f := range []*filter{nil, open, tight} {
		if n := testing.AllocsPerRun(100, func() {
			for _, s := range subjects {
				f.out(s)
				f.in(s)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	subject := []byte("plant.line1.temperature")
	for name, f := range map[string]*filter{
		"none":    nil,
		"open":    mustFilter(b, limits{}, limits{}, nil, nil, false),
		"limited": mustFilter(b, limits{}, limits{allow: []string{"plant.>"}, closed: true}, nil, []string{"plant.*.secret"}, false),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.out(subject) || !f.in(subject) {
					b.Fatal("does not pass")
				}
			}
		})
	}
}
