package leafnode

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// reload changes some of a site's options.
func (s *site) reload(change func(*Options)) {
	s.t.Helper()
	set := s.n.settings.Load()
	o := set.Options
	o.Remotes = slices.Clone(o.Remotes)
	change(&o)
	if err := s.n.Reload(o, set.directory); err != nil {
		s.t.Fatal(err)
	}
}

// A leaf's link stays where the new level needs no word between both sides; nats-server does the same. Where it
// knows that the leaf cannot, or does not want to, there is nothing to agree on anew.
func TestReloadOfCompressionMakesOnlyThoseLinksAnewThatAgreeOnOther(t *testing.T) {
	const plain, packed = false, true
	word := func(mode string) string {
		return strings.Replace(leafConnect, `"headers"`, `"compress_mode":"`+mode+`","headers"`, 1)
	}
	for _, c := range []struct {
		name     string
		own, new Mode
		packed   bool
		connect  string
		want     string // the link's mode; empty: it is closed
	}{
		{"another level", ModeFast, ModeBest, packed, word("s2_fast"), "s2_best"},
		{"by the round trip", ModeBest, ModeAuto, packed, word("s2_fast"), "s2_uncompressed"},
		{"what the leaf likes", ModeBest, ModeAccept, packed, word("s2_fast"), "s2_fast"},
		{"none any more", ModeFast, ModeOff, packed, word("s2_fast"), ""},
		{"some at last", ModeOff, ModeFast, plain, word("off"), ""},
		{"some if the leaf likes", ModeOff, ModeAccept, plain, word("off"), ""},
		{"a leaf that wants none", ModeFast, ModeBest, plain, word("off"), "off"},
		{"none for one that wants none", ModeFast, ModeOff, plain, word("off"), "off"},
		{"a leaf that knows none", ModeOff, ModeFast, plain, word("not supported"), "not supported"},
		{"the same by another word", ModeUnset, ModeAuto, packed, word("s2_fast"), "s2_uncompressed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "site", func(o *Options, _ *auth.Options) {
				// Of any round trip, or a busy machine would have another level.
				o.Compression = Compression{Mode: c.own, Thresholds: []time.Duration{time.Hour}}
			})
			w := joinAsLeaf(t, s, c.connect, c.packed)
			w.settled()
			s.reload(func(o *Options) { o.Compression.Mode = c.new })
			if c.want == "" {
				if ops := w.ended(); slices.ContainsFunc(ops, func(op string) bool { return strings.HasPrefix(op, "-ERR") }) {
					t.Errorf("told %q", ops)
				}
				s.links(0)
				eventually(t, "the log says why and what next", func() bool {
					return s.log.has(`reason="Configuration Reload"`) && s.log.has("the side that dials makes the link again by itself")
				})
				return
			}
			eventually(t, "the link is "+c.want, func() bool { return s.links(1)[0].Compression == c.want })
			here := s.newClient("")
			here.subscribe("here", "")
			w.say("LS+ there\r\nLMSG here 1\r\n1\r\n")
			here.wants("here: 1")
			here.publish("there", "", "", "2")
			if got := messageOf(w); got != "LMSG there 1\n2" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestReloadOfARemotesCompressionKeepsItsLinkIfItCan(t *testing.T) {
	hub, leaf := pair(t, nil)
	id := leaf.links(1)[0].ID
	leaf.reload(func(o *Options) { o.Remotes[0].Compression.Mode = ModeBest })
	eventually(t, "the link packs as well as it can", func() bool { return leaf.links(1)[0].Compression == "s2_best" })
	// What stands in the block is for remotes that say nothing themselves.
	leaf.reload(func(o *Options) { o.Compression.Mode, o.Remotes[0].Compression.Mode = ModeBetter, ModeUnset })
	eventually(t, "the link is as the block has it", func() bool { return leaf.links(1)[0].Compression == "s2_better" })
	if now := leaf.links(1)[0].ID; now != id {
		t.Errorf("link %d was replaced by %d", id, now)
	}
	leaf.reload(func(o *Options) { o.Remotes[0].Compression.Mode = ModeOff })
	eventually(t, "there is a plain link", func() bool {
		list := leaf.n.Links(false).Links
		return len(list) == 1 && list[0].Compression == "off" && list[0].ID != id
	})
	eventually(t, "the hub has it too", func() bool {
		list := hub.n.Links(false).Links
		return len(list) == 1 && list[0].Compression == "off"
	})
}

// nats-server refuses to reload min_version. Here leaves that are too old by now go, with the word that makes them
// wait a little before they come again.
func TestReloadOfMinVersionClosesLeavesThatAreTooOld(t *testing.T) {
	s := newSite(t, "site", nil)
	old := joinAsLeaf(t, s, strings.NewReplacer("2.15.2", "2.11.9", `"leaf"`, `"old"`).Replace(leafConnect), false)
	young := joinAsLeaf(t, s, leafConnect, false)
	s.reload(func(o *Options) { o.MinVersion = "2.12.0" })
	if ops := old.ended(); !slices.Contains(ops, `-ERR 'connection rejected since minimum version required is "2.12.0"'`) {
		t.Errorf("the old one is told %q", ops)
	}
	young.sync()
	s.links(1)
}

// nats-server refuses to reload this too. Here links stay up, and hear what changes.
func TestReloadOfIsolationTellsAndTakesBack(t *testing.T) {
	for _, asks := range []bool{false, true} {
		connect := leafConnect
		if asks {
			connect = strings.Replace(leafConnect, `"headers"`, `"isolate":true,"headers"`, 1)
		}
		s := newSite(t, "site", nil)
		s.newClient("").subscribe("ours", "")
		other := joinAsLeaf(t, s, strings.ReplaceAll(leafConnect, `"leaf"`, `"other"`), false)
		other.say("LS+ theirs\r\nLS+ shared q 2\r\n")
		other.sync()
		s.newClient("").subscribe("shared", "q")
		w := joinAsLeaf(t, s, connect, false)
		w.settled()
		isolate := func(on bool, want ...string) {
			t.Helper()
			s.reload(func(o *Options) { o.Isolate = on })
			var told []string
			eventually(t, "it is told", func() bool {
				for _, op := range w.settled() {
					if !strings.Contains(op, "$LDS") {
						told = append(told, op)
					}
				}
				return len(told) >= len(want)
			})
			if slices.Sort(told); !slices.Equal(told, want) {
				t.Errorf("asks %v, isolated %v: told %q, want %q", asks, on, told, want)
			}
		}
		if asks { // the leaf's own wish stays, whatever is configured
			isolate(true)
			isolate(false)
			continue
		}
		isolate(true, "LS+ shared q 1", "LS- theirs")
		isolate(false, "LS+ shared q 3", "LS+ theirs")
	}
}

// A leaf that is on its way in while options change goes by the new ones when it is in.
func TestALinkThatBeganBeforeAReloadConforms(t *testing.T) {
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.Compression.Mode = ModeFast })
	w := dialSite(t, s)
	w.info()
	w.say(`INFO {"compression":"s2_fast"}` + "\r\n")
	w.goS2()
	w.info()
	s.reload(func(o *Options) { o.Compression.Mode, o.Isolate = ModeBest, true })
	w.say(leafConnect)
	if i := w.info(); !i.ConnectInfo {
		t.Fatalf("INFO %+v does not let us in", i)
	}
	eventually(t, "the link is as configured by now", func() bool {
		k := s.links(1)[0]
		return k.Compression == "s2_best" && k.Isolated
	})
	w.sync()
}

// Leaves learn of a new max_payload by an INFO, as they would of new addresses, and go by it: an edgebus does.
func TestReloadOfMaxPayloadIsToldToLeaves(t *testing.T) {
	hub, leaf := pair(t, func(hub, leaf *Options) { hub.MaxPayload, leaf.MaxPayload = 1000, 5000 })
	other := joinAsLeaf(t, hub, leafConnect, false)
	other.settled()
	here, there := hub.newClient(""), leaf.newClient("")
	here.subscribe("a", "")
	leaf.wanted("a", true)
	hub.reload(func(o *Options) { o.MaxPayload = 3000 })
	i := other.info()
	if i.MaxPayload != 3000 || i.ClientID != 0 || i.Nonce != "" || i.ConnectInfo || i.RemoteAccount != "" || i.Compression != "" || !i.Headers || len(i.LeafURLs) != 1 {
		t.Errorf("told %+v", i)
	}
	eventually(t, "the leaf knows", func() bool { return leaf.n.all()[0].maxPayload.Load() == 3000 })
	there.publish("a", "", "", strings.Repeat("x", 3001))
	there.publish("a", "", "", strings.Repeat("y", 3000))
	here.wants("a: " + strings.Repeat("y", 3000))
	// A leaf that does not go by it, as nats-server, loses its link no sooner than before.
	hub.reload(func(o *Options) { o.MaxPayload = 100 })
	other.info()
	other.say("LMSG a 500\r\n" + strings.Repeat("z", 500) + "\r\n")
	here.wants("a: " + strings.Repeat("z", 500))
	other.sync()
}

// Permissions that a hub's reload changes make the link anew. Either side's log says why, and the leaf's what
// they are then.
func TestReloadOfPermissionsIsSaidOnBothSides(t *testing.T) {
	user := func(allow ...string) auth.Options {
		return auth.Options{Users: []auth.User{{User: "u", Password: "p", Permissions: &auth.PermissionOptions{
			Publish: &auth.SubjectOptions{Allow: allow}, Subscribe: &auth.SubjectOptions{Deny: []string{"secret"}},
		}}}}
	}
	hub := newSite(t, "hub", func(_ *Options, a *auth.Options) { *a = user("up.a") })
	leaf := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		o.Reconnect = 10 * time.Millisecond
		o.Remotes = []Remote{{URLs: Texts{"nats-leaf://u:p@" + hub.addr}}}
	})
	leaf.n.Start()
	id := leaf.links(1)[0].ID
	const news = "the hub has changed what our user may do"
	if leaf.log.has(news) {
		t.Error("what the first link brings is no change")
	}
	if err := hub.n.Reload(hub.n.settings.Load().Options, directoryOf(t, user("up.a", "up.b"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leaf is back", func() bool {
		list := leaf.n.Links(false).Links
		return len(list) == 1 && list[0].ID != id
	})
	eventually(t, "the hub's log says why and what next", func() bool {
		return hub.log.has(`reason="Permissions Changed"`) && hub.log.has("the leaf joins again by itself")
	})
	for _, part := range []string{
		`msg="leaf link down"`, `reason="Permissions Changed"`, "the link is made again by itself", "retry_in=",
		news, `may_receive="anything but not secret"`, `may_send="up.a up.b"`,
	} {
		if !leaf.log.has(part) {
			t.Errorf("no %s in the leaf's log", part)
		}
	}
}

func TestOptionsOfCompressionAreComparedByWhatTheyMean(t *testing.T) {
	short := []time.Duration{time.Millisecond}
	for _, c := range []struct {
		a, b Compression
		want bool
	}{
		{Compression{}, Compression{Mode: ModeAuto}, true},
		{Compression{}, Compression{Mode: ModeAuto, Thresholds: defaultThresholds}, true},
		{Compression{Thresholds: short}, Compression{Mode: ModeAuto}, false},
		{Compression{Mode: ModeFast, Thresholds: short}, Compression{Mode: ModeFast}, true},
		{Compression{Mode: ModeFast}, Compression{Mode: ModeOff}, false},
	} {
		if got := c.a.Same(c.b); got != c.want {
			t.Errorf("%v and %v: the same %v", c.a, c.b, got)
		}
	}
}
