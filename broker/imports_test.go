package broker

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// world is a broker with accounts, a lane, and named peers.
type world struct {
	t    testing.TB
	b    *Broker
	l    *Lane
	rtt  time.Duration
	peer map[string]*Peer
	sink map[string]*wireSink
}

// wireSink notes messages as a client would see them, and says who it is.
type wireSink struct {
	got   []string // "subject reply header payload >tag"
	reply string   // the last one
	rtt   time.Duration
}

func (s *wireSink) Deliver(m *Msg, sub *Sub) bool {
	if !sub.Take() {
		return false
	}
	s.reply = string(m.Reply)
	reply := s.reply
	if isAnswer(reply) {
		reply = "_R_"
	}
	text := string(m.Subject)
	if isAnswer(text) {
		text = "_R_"
	}
	s.got = append(s.got, strings.Join(strings.Fields(fmt.Sprint(text, " ", reply, " ",
		strings.ReplaceAll(string(m.Header), "\r\n", "|"), " ", string(m.Payload), " >", sub.Tag())), " "))
	return true
}

func (s *wireSink) Wake(bool) time.Duration { return 0 }

func (s *wireSink) ClientInfo(details bool) ClientInfo {
	info := ClientInfo{RTT: s.rtt, Server: "srv"}
	if details {
		info.ID, info.User, info.Kind = 7, "u<", "Client"
	}
	return info
}

func newWorld(t testing.TB, accounts ...*auth.Account) *world {
	w := &world{t: t, b: New(Options{}), peer: make(map[string]*Peer), sink: make(map[string]*wireSink)}
	w.l = w.b.NewLane()
	w.b.Configure(accounts)
	return w
}

// at attaches the peer of a name, whose first letter is its account.
func (w *world) at(name string, id *auth.Identity, traits Traits) *Peer {
	w.sink[name] = &wireSink{rtt: 5}
	w.peer[name] = w.b.Account(name[:1]).Attach(id, w.sink[name], traits)
	return w.peer[name]
}

// sub subscribes; the tag is the filter.
func (w *world) sub(name, filter, queue string) *Sub {
	w.t.Helper()
	if w.peer[name] == nil {
		w.at(name, nil, Traits{})
	}
	return mustSubscribe(w.t, w.peer[name], filter, queue, filter)
}

func (w *world) pub(name, subject, reply, payload string) int {
	w.t.Helper()
	if w.peer[name] == nil {
		w.at(name, nil, Traits{})
	}
	n, err := w.peer[name].Publish(w.l, &Msg{Subject: []byte(subject), Reply: []byte(reply), Payload: []byte(payload)})
	if err != nil {
		w.t.Fatalf("%s publishes %s: %v", name, subject, err)
	}
	return n
}

// want compares what a peer has got since the last time, in any order.
func (w *world) want(name string, lines ...string) {
	w.t.Helper()
	s := w.sink[name]
	got := slices.Sorted(slices.Values(s.got))
	slices.Sort(lines)
	if !slices.Equal(got, lines) {
		w.t.Errorf("%s got %q, want %q", name, got, lines)
	}
	s.got = nil
}

func stream(from, subject, to string) auth.Import {
	return auth.Import{From: from, Subject: subject, To: to}
}

func service(from, subject, to string) auth.Import {
	return auth.Import{Service: true, From: from, Subject: subject, To: to}
}

func account(name string, imports ...auth.Import) *auth.Account {
	return &auth.Account{Name: name, Imports: imports}
}

// offers is an account that exports services.
func offers(name string, exports ...auth.Export) *auth.Account {
	for i := range exports {
		exports[i].Service = true
	}
	return &auth.Account{Name: name, Exports: exports}
}

func TestStreamImportsShowTheImportersSubject(t *testing.T) {
	for _, c := range []struct {
		im              auth.Import
		filter, publish string
		sees            string // "" for nothing
	}{
		{stream("A", "ev.>", "fromA.ev.>"), "fromA.>", "ev.x", "fromA.ev.x"},
		{stream("A", "ev.>", "fromA.ev.>"), ">", "ev.x", "fromA.ev.x"},
		{stream("A", "ev.>", "fromA.ev.>"), "fromA.ev.x", "ev.x", "fromA.ev.x"},
		{stream("A", "ev.>", "fromA.ev.>"), "fromA.ev.x", "ev.y", ""},
		{stream("A", "ev.>", "fromA.ev.>"), "fromA.*.x", "ev.x", "fromA.ev.x"},
		{stream("A", "ev.>", "fromA.ev.>"), "*.ev.x", "ev.x", "fromA.ev.x"},
		{stream("A", "ev.>", "fromA.ev.>"), "ev.x", "ev.x", ""},
		{stream("A", "ev.>", "ev.>"), "ev.*", "ev.x", "ev.x"},
		{stream("A", "ev.>", "ev.>"), "*", "ev.x", ""},
		{stream("A", "o.*.*", "r.$2.$1"), "r.1.*", "o.2.1", "r.1.2"},
		{stream("A", "o.*.*", "r.$2.$1"), "r.1.*", "o.1.2", ""},
		{stream("A", "o.*.*", "r.$2.$1"), "r.>", "o.1.2", "r.2.1"},
		{stream("A", "o.*", "r.*.x"), "*.1.x", "o.1", "r.1.x"},
		{stream("A", "one", "uno"), "uno", "one", "uno"},
		{stream("A", "one", "uno"), "*", "one", "uno"},
		{stream("A", "one", "uno"), "one", "one", ""},
		{stream("A", ">", "all.>"), "all.a", "a", "all.a"},
	} {
		w := newWorld(t, account("A"), account("B", c.im))
		w.sub("b", c.filter, "") // another account: names are in either case
		w.peer["b"].Detach()
		w.at("B", nil, Traits{})
		w.sub("B", c.filter, "")
		for range 3 { // a miss, a miss that is kept, a hit
			w.pub("A", c.publish, "re.ply", "m")
			if c.sees == "" {
				w.want("B")
			} else {
				w.want("B", c.sees+" re.ply m >"+c.filter)
			}
		}
	}
}

func TestImportsAreNotPassedOn(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "ev.>")), account("C", stream("B", "ev.>", "ev.>")))
	w.sub("C", ">", "")
	w.sub("B", ">", "")
	w.pub("A", "ev.x", "", "1")
	w.want("B", "ev.x 1 >>")
	w.want("C")
	w.pub("B", "ev.x", "", "2")
	w.want("B", "ev.x 2 >>")
	w.want("C", "ev.x 2 >>")
}

func TestAQueueIsOneGroupAcrossImports(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "q.*", "in.*")))
	w.sub("A", "q.z", "Q")
	w.sub("B1", "in.z", "Q")
	w.sub("B2", "in.*", "Q")
	w.sub("B2", "in.>", "other")
	n := map[string]int{}
	for range 600 {
		if got := w.pub("A1", "q.z", "", "m"); got != 2 {
			t.Fatalf("delivered %d, want 2: one of each group", got)
		}
		for name, s := range w.sink {
			for _, line := range s.got {
				n[name+" "+line]++
			}
			s.got = nil
		}
	}
	if len(n) != 4 || n["B2 in.z m >in.>"] != 600 {
		t.Errorf("got %v", n)
	}
	for _, line := range []string{"A q.z m >q.z", "B1 in.z m >in.z", "B2 in.z m >in.*"} {
		if n[line] < 120 || n[line] > 280 {
			t.Errorf("%s came %d times of 600", line, n[line])
		}
	}
}

func TestPermissionsCoverTheImportersSubject(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "fromA.ev.>")))
	w.at("B1", mustPermit(t, auth.PermissionOptions{Subscribe: deny("fromA.ev.secret")}), Traits{})
	w.at("B2", mustPermit(t, auth.PermissionOptions{Subscribe: deny("ev.secret")}), Traits{})
	w.sub("B1", ">", "")
	w.sub("B2", ">", "q")
	for range 3 {
		w.pub("A", "ev.secret", "", "s")
		w.want("B1")
		w.want("B2", "fromA.ev.secret s >>")
	}
	w.peer["B2"].Reauthorize(mustPermit(t, auth.PermissionOptions{Subscribe: deny("fromA.ev.secret")}))
	w.peer["B1"].Reauthorize(nil)
	w.pub("A", "ev.secret", "", "s")
	w.want("B1", "fromA.ev.secret s >>")
	w.want("B2")
}

func TestShadowsGoWithTheirSubscription(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "ev.>"), stream("A", "ev.x", "x.ev.x")))
	a := w.b.Account("A")
	s := w.sub("B", ">", "")
	w.sub("B", "ev.x", "")
	w.sub("B", "no", "")
	if n := a.index.Len(); n != 3 {
		t.Fatalf("%d shadows, want 3", n)
	}
	w.peer["B"].Unsubscribe(s, 2)
	w.pub("A", "ev.y", "", "1")
	w.pub("B1", "ev.y", "", "2")
	w.pub("A", "ev.y", "", "3")
	w.want("B", "ev.y 1 >>", "ev.y 2 >>")
	if n := a.index.Len(); n != 1 {
		t.Errorf("%d shadows, want 1: the other subscription has had its last message", n)
	}
	w.peer["B"].Detach()
	if n := a.index.Len() + len(a.shadows) + len(w.b.Account("B").casts); n != 0 {
		t.Errorf("%d left after the peer has gone", n)
	}
}

func TestWatchShowsImportedInterest(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "fromA.ev.>"), service("A", "svc", "s")))
	sum := map[string]int32{}
	watch := func(i Interest) { sum[i.Subject+" "+i.Queue] += i.Delta }
	w.b.Account("A").Watch(watch)
	s := w.sub("B", "fromA.>", "Q")
	if sum["ev.> Q"] != 1 {
		t.Errorf("the exporter's interest is %v", sum)
	}
	s.SetWeight(5)
	if sum["ev.> Q"] != 5 {
		t.Errorf("the exporter's interest is %v, after the weight has become 5", sum)
	}
	w.peer["B"].Unsubscribe(s, 0)
	if sum["ev.> Q"] != 0 {
		t.Errorf("the exporter's interest is %v, after it has gone", sum)
	}
	clear(sum)
	w.b.Account("B").Watch(watch)
	if sum["s "] != 1 {
		t.Errorf("the importer's interest is %v, without the service", sum)
	}
}

func TestConfigureGivesAndTakesImports(t *testing.T) {
	w := newWorld(t)
	w.sub("B", ">", "")
	w.sub("C", "c", "")
	w.pub("A", "ev.x", "", "0")
	w.want("B")
	w.b.Configure([]*auth.Account{account("A"), account("B", stream("A", "ev.>", "p.ev.>"), service("C", "c", "c"))})
	kept := w.b.Account("A").shadows[0]
	w.pub("A", "ev.x", "", "1")
	w.want("B", "p.ev.x 1 >>")
	w.pub("B1", "c", "", "1")
	w.want("C", `c NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| 1 >c`)
	w.sink["B"].got = nil
	w.b.Configure([]*auth.Account{account("A"), account("B", stream("A", "ev.>", "p.ev.>"), stream("A", "ev.x", "q.ev.x"))})
	if !slices.Contains(w.b.Account("A").shadows, kept) {
		t.Error("a shadow that stays has been replaced")
	}
	w.pub("A", "ev.x", "", "2")
	w.want("B", "p.ev.x 2 >>", "q.ev.x 2 >>")
	if n := w.pub("B1", "c", "", "2"); n != 1 {
		t.Errorf("delivered %d, want 1: the service is not imported any more", n)
	}
	w.want("C")
	w.sink["B"].got = nil
	w.b.ConfigureAccount(account("B", stream("A", "ev.x", "r.ev.x")))
	w.pub("A", "ev.x", "", "3")
	w.want("B", "r.ev.x 3 >>")
	w.b.Configure(nil)
	w.pub("A", "ev.x", "", "4")
	w.want("B")
	for _, a := range w.b.all() {
		if len(a.shadows)+len(a.casts)+len(a.services) != 0 || a.Rules() != nil {
			t.Errorf("%s still has something of what was configured", a.name)
		}
	}
}

func TestLinksGetOneCopyOfWhatTheyImport(t *testing.T) {
	w := newWorld(t, account("A"), account("B", stream("A", "ev.>", "in.ev.>")))
	link := w.at("B", nil, Traits{Remote: true, Origin: 3})
	w.sub("B", "in.ev.*", "")
	w.sub("B", "in.>", "")
	mustSubscribe(t, link, "in.ev.x", "Q", "queue")
	for range 3 {
		w.pub("A", "ev.x", "", "m")
		if got := w.sink["B"].got; len(got) != 1 || !strings.HasPrefix(got[0], "in.ev.x m >") {
			t.Errorf("got %q, want one copy", got)
		}
		w.sink["B"].got = nil
	}
}

func TestServiceRequestsFindTheirWayBack(t *testing.T) {
	shared := service("A", "one", "b.one")
	shared.Share = true
	w := newWorld(t, offers("A", auth.Export{Subject: "svc.*"}, auth.Export{Subject: "one"}),
		account("B", service("A", "svc.*", "calc.*"), shared, service("A", "t.*.x", "bt.$1"), service("A", "u.*", "u.*")))
	w.sub("A", ">", "")
	w.sub("B", "_INBOX.>", "")
	for _, c := range []struct{ header, request, seen string }{
		{"", "calc.add", `svc.add _R_ NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"X: y\r\n", "calc.add", `svc.add _R_ NATS/1.0|X: y|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"Nats-Request-Info: {}\r\nX: y\r\nNats-Request-Info: {}\r\n", "calc.add",
			`svc.add _R_ NATS/1.0|X: y|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"Nats-Request-Info: {}\r\n", "calc.add", `svc.add _R_ NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"Nats-Request-Infos: {}\r\n", "calc.add",
			`svc.add _R_ NATS/1.0|Nats-Request-Infos: {}|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"", "b.one", `one _R_ NATS/1.0|Nats-Request-Info: {"id":7,"acc":"B","user":"u\u003c","rtt":5,"server":"srv","kind":"Client"}|| q >>`},
		{"", "bt.zz", `t.zz.x _R_ NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
		{"", "u.a", `u.a _R_ NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| q >>`},
	} {
		m := &Msg{Subject: []byte(c.request), Reply: []byte("_INBOX.1"), Payload: []byte("q")}
		if c.header != "" {
			m.Header = []byte("NATS/1.0\r\n" + c.header + "\r\n")
		}
		if n, err := w.peer["B"].Publish(w.l, m); n != 1 || err != nil {
			t.Fatalf("%s: delivered %d, %v", c.request, n, err)
		}
		w.want("A", c.seen)
		reply := w.sink["A"].reply
		if ok, _ := regexp.MatchString(`^_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]{6}$`, reply); !ok {
			t.Fatalf("reply subject %q", reply)
		}
		w.pub("A", reply, "", "answer")
		w.want("B", "_INBOX.1 answer >_INBOX.>")
		w.pub("A", reply, "", "another")
		w.want("B")
		w.sink["A"].got = nil
	}
	if n := w.b.owed.Load(); n != 0 || len(w.b.Account("A").owed.Load().debts) != 0 {
		t.Errorf("%d bytes are still on the books", n)
	}
}

func TestServicesChain(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "chain"}),
		&auth.Account{Name: "B", Imports: []auth.Import{service("A", "chain", "b.chain")},
			Exports: []auth.Export{{Service: true, Subject: "b.chain"}}},
		account("C", service("B", "b.chain", "c.chain")))
	w.sub("A", "chain", "")
	w.sub("C", "_INBOX.>", "")
	w.pub("C", "c.chain", "_INBOX.1", "q")
	w.want("A", `chain _R_ NATS/1.0|Nats-Request-Info: {"acc":"C","svc":"B","rtt":5}|| q >chain`)
	w.sub("B", ">", "")
	w.pub("A", w.sink["A"].reply, "", "answer")
	w.want("C", "_INBOX.1 answer >_INBOX.>")
	w.want("B", "_R_ answer >>")
}

func TestCirclesOfServicesEnd(t *testing.T) {
	w := newWorld(t,
		&auth.Account{Name: "A", Imports: []auth.Import{service("B", "x", "x")}, Exports: []auth.Export{{Service: true, Subject: "x"}}},
		&auth.Account{Name: "B", Imports: []auth.Import{service("A", "x", "x")}, Exports: []auth.Export{{Service: true, Subject: "x"}}})
	w.sub("A", "x", "")
	if n := w.pub("B", "x", "r", "q"); n != 1 {
		t.Errorf("delivered %d, want 1", n)
	}
	var chain []*auth.Account
	for i := range 12 {
		chain = append(chain, &auth.Account{Name: string(rune('a' + i)), Imports: []auth.Import{service(string(rune('b'+i)), "y", "y")}})
	}
	w.b.Configure(chain)
	for i := range 12 {
		w.sub(string(rune('a'+i)), "y", "")
	}
	if n := w.pub("a", "y", "r", "q"); n != 1+maxHops {
		t.Errorf("delivered %d, want %d", n, 1+maxHops)
	}
}

func TestResponseTypesSayHowManyAnswersCome(t *testing.T) {
	for _, c := range []struct {
		kind    auth.ResponseType
		answers []string
		want    int
	}{
		{auth.Singleton, []string{"1", "2"}, 1},
		{auth.Stream, []string{"1", "2", "", "late"}, 3},
		{auth.Chunked, []string{"1", "2", "", "late"}, 3},
	} {
		w := newWorld(t, offers("A", auth.Export{Subject: "s", Response: c.kind}), account("B", service("A", "s", "s")))
		w.sub("A", "s", "")
		w.sub("B", "in", "")
		w.pub("B", "s", "in", "q")
		for _, text := range c.answers {
			if n := w.pub("A", w.sink["A"].reply, "", text); n != 1 {
				t.Errorf("%s: delivered %d, want 1 whatever becomes of it", c.kind, n)
			}
		}
		if got := len(w.sink["B"].got); got != c.want {
			t.Errorf("%s: %d answers came, want %d", c.kind, got, c.want)
		}
		if n := w.b.owed.Load(); n != 0 {
			t.Errorf("%s: %d bytes are still on the books", c.kind, n)
		}
	}
}

func TestAnAnswerThatFindsNobodyIsTheLast(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s", Response: auth.Stream}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	w.pub("B", "s", "in", "q")
	w.pub("A", w.sink["A"].reply, "", "1")
	w.sub("B", "in", "")
	w.pub("A", w.sink["A"].reply, "", "2")
	w.want("B")
}

func TestRequestsThatReachNobodyCountAsNotDelivered(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")))
	if n := w.pub("B", "s", "in", "q"); n != 0 {
		t.Errorf("delivered %d, want 0", n)
	}
	if n := w.b.owed.Load(); n != 0 {
		t.Errorf("%d bytes are on the books", n)
	}
	w.sub("B", "s", "")
	if n := w.pub("B", "s", "in", "q"); n != 1 {
		t.Errorf("delivered %d, want 1", n)
	}
}

func TestAnswersMayAskBack(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")))
	w.sub("A", "s", "")
	w.sub("A", "back", "")
	w.sub("B", "in", "")
	w.pub("B", "s", "in", "q")
	w.sink["A"].got = nil
	w.pub("A", w.sink["A"].reply, "back", "answer")
	w.want("B", "in _R_ answer >in")
	w.pub("B", w.sink["B"].reply, "", "thanks")
	w.want("A", "back thanks >back")
}

func TestServicesAreNotSeenByStreamImports(t *testing.T) {
	w := newWorld(t, offers("A", auth.Export{Subject: "s"}), account("B", service("A", "s", "s")), account("C", stream("A", ">", ">")))
	w.sub("C", ">", "")
	w.sub("C", "*", "Q")
	w.sub("A", "s", "")
	w.pub("B", "s", "", "q")
	w.want("C")
	if len(w.sink["A"].got) != 1 {
		t.Error("the service has not got it")
	}
	w.pub("A", "s", "", "q")
	w.want("C", "s q >*", "s q >>")
}

func TestHeadersFollowTheWholeMessage(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"", "NATS/1.0\r\n"},
		{"NATS/1.0\r\n\r\n", "NATS/1.0\r\n"},
		{"NATS/1.0 503\r\n\r\n", "NATS/1.0 503\r\n"},
		{"NATS/1.0\r\nA: Nats-Request-Info: b\r\n\r\n", "NATS/1.0\r\nA: Nats-Request-Info: b\r\n"},
		{"NATS/1.0\r\nNats-Request-Info: 1\r\nNats-Request-Info: 2\r\n\r\n", "NATS/1.0\r\n"},
		{"NATS/1.0\r\nNats-Request-Info: 1", "NATS/1.0\r\n"},
		{"NATS/1.0\r\nA: b--", "NATS/1.0\r\nA: b\r\n"},
	} {
		if got := appendWithout(nil, []byte(c.header)); !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("%q becomes %q, want %q", c.header, got, c.want)
		}
	}
}
