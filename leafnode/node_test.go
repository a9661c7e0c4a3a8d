package leafnode

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// TestMain fails when a goroutine is left over.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzing engine leaves goroutines of its own
	}
	for deadline := time.Now().Add(patience); code == 0 && runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
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
			s.dials(sites[1-i].remote())
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
		eventually(t, "one link is left", func() bool {
			return len(sites[0].n.Links(false).Links) == 1 && len(sites[1].n.Links(false).Links) == 1 && detected() == 1
		})
		c, far := sites[0].newClient(""), sites[1].newClient("")
		far.subscribe("a", "")
		sites[0].wanted("a", true)
		if n := c.publish("a", "", "", "1"); n != 1 {
			t.Errorf("delivered %d times", n)
		}
		far.wants("a: 1")
		for _, s := range sites {
			s.close()
		}
	}
}

// dials gives a server, which may be running, its only remote.
func (s *site) dials(r Remote) {
	s.t.Helper()
	o := s.n.settings.Load().Options
	o.Remotes = []Remote{r}
	if err := s.n.Reload(o, s.n.settings.Load().directory); err != nil {
		s.t.Fatal(err)
	}
}

// keepsOneLink checks that one link is left of two, and that it was the one of loser that went.
func keepsOneLink(t *testing.T, winner, loser *site) {
	t.Helper()
	eventually(t, "the loop is seen", func() bool { return loser.n.Links(false).Remotes[0].Reason == "Loop Detected" })
	eventually(t, "one link is left", func() bool {
		return len(winner.n.Links(false).Links) == 1 && len(loser.n.Links(false).Links) == 1
	})
	far := loser.newClient("")
	far.subscribe("a", "")
	winner.wanted("a", true)
	winner.newClient("").publish("a", "", "", "1")
	far.wants("a: 1")
	if r := winner.n.Links(false).Remotes[0]; !r.Up || r.Reason != "" {
		t.Errorf("the link that was to stay: %+v", r)
	}
}

// A server that is joined already begins to dial the one that has joined it: what is there stays, whichever
// of them has the smaller id.
func TestALinkStaysWhenItsHubBeginsToDialBack(t *testing.T) {
	for first := range 2 {
		var sites [2]*site
		for i := range sites {
			sites[i] = newSite(t, fmt.Sprintf("s%d", i), nil)
		}
		leaf, hub := sites[first], sites[1-first]
		leaf.dials(hub.remote())
		leaf.links(1)
		hub.links(1)
		hub.dials(leaf.remote())
		keepsOneLink(t, leaf, hub)
	}
}

// The hub has greeted without a name for its cluster, and is joined with us the other way before it lets us in.
func TestALinkStaysWhenItsHubDialsBackInTheHandshake(t *testing.T) {
	var relay sync.WaitGroup
	t.Cleanup(relay.Wait)
	leaf, hub, door := newSite(t, "s0", nil), newSite(t, "s1", nil), newHub(t)
	leaf.dials(door.remote())
	near, far := door.accept(), dialSite(t, hub)
	greeting := far.until("INFO ")
	if strings.Contains(greeting, `"cluster"`) {
		t.Fatalf("told a cluster by a server that dials nobody: %s", greeting)
	}
	hub.dials(leaf.remote())
	hub.links(1)
	leaf.links(1)
	near.say(greeting + "\r\n")
	for from, to := range map[*wire]*wire{near: far, far: near} {
		from.conn.SetDeadline(time.Time{})
		relay.Go(func() {
			io.Copy(to.conn, from.in)
			to.conn.Close()
		})
	}
	keepsOneLink(t, leaf, hub)
}

func TestARingIsCut(t *testing.T) {
	var sites [3]*site
	for i := range sites {
		sites[i] = newSite(t, fmt.Sprintf("ring%d", i), nil)
	}
	for i, s := range sites {
		s.dials(sites[(i+1)%len(sites)].remote())
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

// A server that was to leave and stays is joined with its hub again, and lets leaves in, whether the links
// were still there or not.
func TestLameDuckCanBeTakenBack(t *testing.T) {
	t.Parallel()
	hub := newSite(t, "hub", nil)
	edge := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		o.Reconnect, o.Remotes = 10*time.Millisecond, []Remote{hub.remote()}
	})
	edge.n.Start()
	for i, letGo := range []bool{false, true, true} {
		before := edge.links(1)[0].ID
		edge.n.LameDuck()
		if letGo {
			edge.n.LetGo()
			edge.links(0)
			eventually(t, "nobody dials", func() bool {
				edge.n.mu.Lock()
				defer edge.n.mu.Unlock()
				return edge.n.remotes[0].over
			})
		}
		edge.n.Return()
		if after := edge.links(1)[0].ID; (before != after) != letGo {
			t.Errorf("let go %v: link %d, and before %d", letGo, after, before)
		}
		near, far := edge.newClient(""), hub.newClient("")
		subject := fmt.Sprintf("a.%d", i)
		far.subscribe(subject, "")
		edge.wanted(subject, true)
		near.publish(subject, "", "", "x")
		far.wants(subject + ": x")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	edge.serving.Go(func() {
		if err := edge.n.Serve(context.Background(), ln); err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	edge.addr = ln.Addr().String()
	leaf := newSite(t, "leaf", func(o *Options, _ *auth.Options) { o.Remotes = []Remote{edge.remote()} })
	leaf.n.Start()
	leaf.links(1)
}
