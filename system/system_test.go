package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// A mailbox keeps what it is handed.
type mailbox struct {
	mu   sync.Mutex
	got  []string // "subject|header|payload"
	came chan struct{}
}

func (m *mailbox) Deliver(msg *broker.Msg, _ *broker.Sub) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, fmt.Sprintf("%s|%s|%s", msg.Subject, msg.Header, msg.Payload))
	select {
	case m.came <- struct{}{}:
	default:
	}
	return true
}

func (m *mailbox) Wake(bool) time.Duration { return 0 }

func (m *mailbox) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

// A client is a peer with a lane of its own.
type client struct {
	*mailbox
	peer *broker.Peer
	lane *broker.Lane
}

func newClient(t *testing.T, b *broker.Broker, account string, filters ...string) *client {
	t.Helper()
	c := &client{mailbox: &mailbox{came: make(chan struct{}, 1)}, lane: b.NewLane()}
	c.peer = b.Account(account).Attach(nil, c.mailbox, broker.Traits{NoEcho: true})
	for _, filter := range filters {
		if _, err := c.peer.Subscribe(filter, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.lane.Close)
	return c
}

func (c *client) publish(t *testing.T, subject, reply, header, payload string) int {
	t.Helper()
	m := broker.Msg{Subject: []byte(subject), Header: []byte(header), Payload: []byte(payload)}
	if reply != "" {
		m.Reply = []byte(reply)
	}
	n, err := c.peer.Publish(c.lane, &m)
	if err != nil {
		t.Fatal(err)
	}
	c.lane.Flush()
	return n
}

// ask is one request and its answers. Inside a bubble all that is to come has come when Wait returns.
func (c *client) ask(t *testing.T, subject, payload string) string {
	t.Helper()
	c.take()
	c.publish(t, subject, "inbox", "", payload)
	synctest.Wait()
	return strings.Join(c.take(), "\n")
}

func testOptions() Options {
	ids := 0
	return Options{
		Account: "SYS",
		Info: func() Info {
			return Info{Name: "gate", Host: "10.0.0.1", ID: "NID", Version: "2.10.0", Tags: []string{"site:a"}}
		},
		Pages: map[string]func([]byte) (any, error){
			"VARZ": func(body []byte) (any, error) { return map[string]string{"asked": string(body)}, nil },
			"BAD":  func([]byte) (any, error) { return (*int)(nil), errors.New("cannot") },
			"OPTS": func([]byte) (any, error) { return nil, BadRequest{errors.New("no such option")} },
		},
		AccountPages: map[string]func(string, []byte) (any, error){
			"CONNZ": func(account string, _ []byte) (any, error) { return account, nil },
			"STATZ": func(account string, _ []byte) (any, error) { return account, nil },
		},
		PingStatz: func([]byte) (any, error) { return nil, ErrSilent },
		Commands: map[string]func([]byte) (any, error){
			"RELOAD": func([]byte) (any, error) { return nil, nil },
		},
		UserInfo:    func(r Requester) (any, error) { return fmt.Sprintf("%s of %s at %d", r.User, r.Account, r.ID), nil },
		Stats:       func() any { return map[string]int{"cores": 4} },
		AccountStat: func(account string) (any, int) { return map[string]int{"conns": 2}, len(account) },
		Connected:   func() []string { return []string{"A", broker.GlobalAccount} },
		Now:         func() time.Time { return noon },
		NewID:       func() string { ids++; return fmt.Sprintf("id%d", ids) },
	}
}

// within runs f in a bubble with a system that is shut down behind it.
func within(t *testing.T, o Options, f func(t *testing.T, b *broker.Broker, s *System)) {
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{})
		s, err := New(o, b)
		if err != nil {
			t.Fatal(err)
		}
		f(t, b, s)
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

const head = `{"server":{"name":"gate","host":"10.0.0.1","id":"NID","ver":"2.10.0","tags":["site:a"],"jetstream":false,"flags":0,"seq":1,"time":"2026-01-02T12:00:00Z"}`

func TestRequestsAreAnsweredInTheirEnvelope(t *testing.T) {
	for request, want := range map[string]string{
		"$SYS.REQ.SERVER.PING.VARZ":            head + `,"data":{"asked":""}}`,
		"$SYS.REQ.SERVER.NID.VARZ":             head + `,"data":{"asked":""}}`,
		"$SYS.REQ.SERVER.PING":                 head + `,"statsz":{"cores":4}}`,
		"$SYS.REQ.SERVER.PING.STATSZ":          head + `,"statsz":{"cores":4}}`,
		"$SYS.REQ.SERVER.PING.IDZ":             `{"name":"gate","host":"10.0.0.1","id":"NID"}`,
		"$SYS.REQ.SERVER.PING.BAD":             head + `,"data":null,"error":{"code":500,"description":"cannot"}}`,
		"$SYS.REQ.SERVER.PING.OPTS":            head + `,"error":{"code":400,"description":"no such option"}}`,
		"$SYS.REQ.ACCOUNT.A.CONNZ":             head + `,"data":"A"}`,
		"$SYS.REQ.SERVER.NID.RELOAD":           head + `}`,
		"$SYS.REQ.USER.A.INFO":                 head + `,"data":" of  at 0"}`,
		"$SYS.REQ.SERVER.PING.RELOAD":          "",
		"$SYS.REQ.SERVER.OTHER.VARZ":           "",
		"$SYS.REQ.ACCOUNT.PING.STATZ":          "", // PingStatz alone, which is silent here
		"$SYS.REQ.SERVER.PING.VARZ {":          head + `,"error":{"code":400,"description":"unexpected end of JSON input"}}`,
		`$SYS.REQ.SERVER.PING {"server_name":`: head + `,"error":{"code":400,"description":"unexpected end of JSON input"}}`,
	} {
		subject, body, _ := strings.Cut(request, " ")
		within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
			if want != "" {
				want = "inbox||" + want
			}
			if got := newClient(t, b, "SYS", "inbox").ask(t, subject, body); got != want {
				t.Errorf("%s:\n got %s\nwant %s", request, got, want)
			}
		})
	}
}

func TestLimitsOfClientsAreNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{MaxSubscriptions: 1, MaxTokens: 1})
		s, err := New(testOptions(), b)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Request(t.Context(), "A", "svc", nil, nil); !errors.Is(err, errNobody) {
			t.Errorf("a request of ours: %v", err)
		}
		for _, a := range b.Accounts() {
			if a.Peers != 0 {
				t.Errorf("%d peers in %s, though nobody has come", a.Peers, a.Name)
			}
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestServersAreChosenByWhatTheyAre(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "inbox")
		for filter, ours := range map[string]bool{
			`{}`: true, `{"server_name":"ga"}`: true, `{"server_name":"ga","exact_match":true}`: false, `{"server_name":"gate","exact_match":true}`: true,
			`{"host":"10."}`: true, `{"host":"11."}`: false, `{"cluster":"C"}`: false, `{"tags":["site:a"]}`: true, `{"tags":["site:A","b"]}`: false,
			`{"domain":"hub"}`: false, `{"server_name":"gate","host":"x"}`: false,
		} {
			for _, subject := range []string{"$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.PING"} {
				if got := c.ask(t, subject, filter) != ""; got != ours {
					t.Errorf("%s with %s: answered %v", subject, filter, got)
				}
			}
			if c.ask(t, "$SYS.REQ.SERVER.PING.IDZ", filter) == "" {
				t.Errorf("IDZ with %s: no answer", filter)
			}
		}
	})
}

func TestUserInfoGoesByWhatTheBrokerHasWritten(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "inbox")
		c.publish(t, "$SYS.REQ.USER.A.INFO", "inbox", "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"A\",\"user\":\"ann\",\"id\":7}\r\n\r\n", "")
		synctest.Wait()
		if got := strings.Join(c.take(), ""); !strings.Contains(got, `"data":"ann of A at 7"`) {
			t.Error(got)
		}
	})
}

func TestAnswersAreEncodedAsAsked(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "inbox")
		for asked, want := range map[string]string{"": "||{", "gzip": "Content-Encoding: gzip\r\n\r\n|\x1f\x8b", "foo": "Content-Encoding: identity\r\n\r\n|{"} {
			header := ""
			if asked != "" {
				header = "NATS/1.0\r\nAccept-Encoding: " + asked + "\r\n\r\n"
			}
			c.publish(t, "$SYS.REQ.SERVER.PING.VARZ", "inbox", header, "")
			synctest.Wait()
			if got := strings.Join(c.take(), ""); !strings.Contains(got, want) {
				t.Errorf("%q: %q has no %q", asked, got, want)
			}
		}
	})
}

func TestSubscribersAreCountedWithoutOurs(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "inbox", "a.b", "a.*", "a.>", "$SYS.REQ.>")
		if _, err := c.peer.Subscribe("a.b", "q", ""); err != nil {
			t.Fatal(err)
		}
		for asked, want := range map[string]string{"a.b": "4", "a.b q": "1", "a.*": "3", ">": "6", "none": "0", "": "0", "$SYS.REQ.SERVER.PING": "1"} {
			if got := c.ask(t, "$SYS.DEBUG.SUBSCRIBERS", asked); got != "inbox||"+want {
				t.Errorf("%q: %s, want %s", asked, got, want)
			}
		}
	})
}

func TestEventsAreMadeOnlyForListeners(t *testing.T) {
	o := testOptions()
	made := 0
	newID := o.NewID
	o.NewID = func() string { made++; return newID() }
	within(t, o, func(t *testing.T, b *broker.Broker, s *System) {
		client := Client{Start: noon, Host: "::1", ID: 3, Account: "A", User: "ann", Kind: "Client", Type: "nats"}
		tell := func() {
			s.Connected(client)
			s.Disconnected(End{Client: client, Reason: "Client Closed", Sent: Traffic{1, 2}})
			s.AuthFailed(End{Client: client, Reason: "Authentication Failure"})
			synctest.Wait()
		}
		tell()
		if made != 0 {
			t.Errorf("%d events were made for nobody", made)
		}
		for filter, want := range map[string][]string{
			"$SYS.ACCOUNT.*.CONNECT": {`$SYS.ACCOUNT.A.CONNECT||{"type":"io.nats.server.advisory.v1.client_connect","id":"ID","timestamp":"2026-01-02T12:00:00Z",SERVER,` +
				`"client":{"start":"2026-01-02T12:00:00Z","host":"::1","id":3,"acc":"A","user":"ann","kind":"Client","client_type":"nats"}}`},
			"$SYS.ACCOUNT.A.DISCONNECT": {`$SYS.ACCOUNT.A.DISCONNECT||{"type":"io.nats.server.advisory.v1.client_disconnect","id":"ID","timestamp":"2026-01-02T12:00:00Z",SERVER,` +
				`"client":{"start":"2026-01-02T12:00:00Z","host":"::1","id":3,"acc":"A","user":"ann","stop":"2026-01-02T12:00:00Z","kind":"Client","client_type":"nats"},` +
				`"sent":{"msgs":1,"bytes":2},"received":{"msgs":0,"bytes":0},"reason":"Client Closed"}`},
			"$SYS.SERVER.*.CLIENT.AUTH.ERR": {`$SYS.SERVER.NID.CLIENT.AUTH.ERR||{"type":"io.nats.server.advisory.v1.client_disconnect","id":"ID","timestamp":"2026-01-02T12:00:00Z",SERVER,` +
				`"client":{"start":"2026-01-02T12:00:00Z","host":"::1","id":3,"acc":"A","user":"ann","stop":"2026-01-02T12:00:00Z","kind":"Client","client_type":"nats"},` +
				`"sent":{"msgs":0,"bytes":0},"received":{"msgs":0,"bytes":0},"reason":"Authentication Failure"}`},
			"$SYS.ACCOUNT.*.SERVER.CONNS": {
				`$SYS.ACCOUNT.A.SERVER.CONNS||{"type":"io.nats.server.advisory.v1.account_connections","id":"ID","timestamp":"2026-01-02T12:00:00Z",SERVER,"conns":2}`,
				`$SYS.ACCOUNT.A.SERVER.CONNS||{"type":"io.nats.server.advisory.v1.account_connections","id":"ID","timestamp":"2026-01-02T12:00:00Z",SERVER,"conns":2}`},
			"$SYS.SERVER.ACCOUNT.B.CONNS": nil,
		} {
			c := newClient(t, b, "SYS", filter)
			tell()
			got := c.take()
			for i, line := range got {
				got[i] = normal(t, line)
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s:\n got %s\nwant %s", filter, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			c.peer.Detach()
		}
	})
}

// normal takes out of an event what differs from one to the next.
func normal(t *testing.T, line string) string {
	t.Helper()
	subject, text, _ := strings.Cut(line, "||")
	var event struct {
		ID     string          `json:"id"`
		Server json.RawMessage `json:"server"`
	}
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	text = strings.Replace(text, `"server":`+string(event.Server), "SERVER", 1)
	return subject + "||" + strings.Replace(text, `"id":"`+event.ID+`"`, `"id":"ID"`, 1)
}

func TestStatsComeSoonAndThenRarely(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		time.Sleep(time.Hour) // nobody listens
		c := newClient(t, b, "SYS", "$SYS.SERVER.*.STATSZ")
		began := time.Now()
		var came []time.Duration
		for len(came) < 8 {
			<-c.came
			came = append(came, time.Since(began))
		}
		for i, want := range []time.Duration{250, 750, 1750, 3750, 7750, 15750, 25750, 35750} {
			if came[i] != want*time.Millisecond {
				t.Fatalf("stats came after %v", came)
			}
		}
		c.peer.Detach()
		c.take()
		time.Sleep(time.Hour)
		if got := c.take(); len(got) != 0 {
			t.Errorf("nobody listened to %q", got)
		}
	})
}

func TestConnectionsAreAnnouncedAgain(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "$SYS.ACCOUNT.*.SERVER.CONNS")
		time.Sleep(95 * time.Second)
		if n := len(c.take()); n != 3 {
			t.Errorf("%d times in 95 s, want 3; never of the global account", n)
		}
	})
}

func TestTheEndIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(broker.Options{})
		s, err := New(testOptions(), b)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, b, "SYS", "$SYS.SERVER.>")
		s.LameDuck()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := c.take()
		if len(got) != 2 || !strings.HasPrefix(got[0], `$SYS.SERVER.NID.LAMEDUCK||{"name":"gate"`) || !strings.HasPrefix(got[1], `$SYS.SERVER.NID.SHUTDOWN||{"name":"gate"`) {
			t.Errorf("got %q", got)
		}
		if n := c.publish(t, "$SYS.REQ.SERVER.PING", "inbox", "", ""); n != 0 {
			t.Error("somebody still answers")
		}
		if _, _, err := s.Request(t.Context(), "A", "x", nil, nil); !errors.Is(err, ErrStopped) {
			t.Errorf("a request afterwards: %v", err)
		}
	})
}

// A page that does not return keeps neither publishers waiting nor more than is allowed.
func TestRequestsBeyondTheBoundAreNotTaken(t *testing.T) {
	o := testOptions()
	var release chan struct{} // of the bubble
	o.Pages["SLOW"] = func([]byte) (any, error) { <-release; return nil, ErrSilent }
	within(t, o, func(t *testing.T, b *broker.Broker, s *System) {
		release = make(chan struct{})
		c := newClient(t, b, "SYS", "inbox")
		c.publish(t, "$SYS.REQ.SERVER.PING.SLOW", "inbox", "", "")
		synctest.Wait()
		taken := 0
		for range 2 * maxRequests {
			taken += c.publish(t, "$SYS.REQ.SERVER.PING.IDZ", "inbox", "", "")
		}
		if taken != maxRequests || s.lost.Load() != maxRequests {
			t.Errorf("%d were taken and %d lost, want %d", taken, s.lost.Load(), maxRequests)
		}
		close(release)
		synctest.Wait()
		if n := len(c.take()); n != maxRequests {
			t.Errorf("%d answers", n)
		}
		big := strings.Repeat("x", maxRequestBytes+1)
		if n := c.publish(t, "$SYS.REQ.SERVER.PING.IDZ", "inbox", "", big); n != 0 {
			t.Error("a request larger than all together may be was taken")
		}
	})
}

// A reload may take its time; others are told, and pages are answered meanwhile.
func TestCommandsRunBesidePages(t *testing.T) {
	o := testOptions()
	var release chan struct{} // of the bubble
	o.Commands["RELOAD"] = func([]byte) (any, error) { <-release; return nil, nil }
	within(t, o, func(t *testing.T, b *broker.Broker, _ *System) {
		release = make(chan struct{})
		c := newClient(t, b, "SYS", "inbox")
		for range 3 {
			c.publish(t, "$SYS.REQ.SERVER.NID.RELOAD", "inbox", "", "")
			synctest.Wait()
		}
		got := strings.Join(c.take(), "\n")
		if strings.Count(got, `"code":503`) != 1 {
			t.Errorf("one runs, one waits, one is refused: %s", got)
		}
		if c.ask(t, "$SYS.REQ.SERVER.PING.VARZ", "") == "" {
			t.Error("a page waits for a command")
		}
		close(release)
	})
}

func TestOurOwnRequestsAreAnswered(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, s *System) {
		service := newClient(t, b, "A", "svc.*")
		go func() {
			<-service.came
			service.publish(t, s.asking.prefix+".1", "", "NATS/1.0\r\nX: y\r\n\r\n", "yes")
			service.publish(t, s.asking.prefix+".1", "", "", "twice")
		}()
		answer, header, err := s.Request(t.Context(), "A", "svc.login", map[string]string{"K": "v"}, []byte("hello"))
		if err != nil || string(answer) != "yes" || header["X"] != "y" {
			t.Errorf("%q %v %v", answer, header, err)
		}
		synctest.Wait()
		if got := service.take(); len(got) != 1 || got[0] != "svc.login|NATS/1.0\r\nK: v\r\n\r\n|hello" {
			t.Errorf("the service got %q", got)
		}
		if _, _, err := s.Request(t.Context(), "A", "nobody", nil, nil); !errors.Is(err, errNobody) {
			t.Errorf("nobody there: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Request(ctx, "A", "svc.silent", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent one: %v", err)
		}
		if n := len(s.asking.waiting); n != 0 {
			t.Errorf("%d requests still wait", n)
		}
	})
}

// Accounts come and go with reloads; those that are asked no more stand in nobody's way.
func TestOurOwnRequestsGoToAnyNumberOfAccountsInTurn(t *testing.T) {
	within(t, testOptions(), func(t *testing.T, b *broker.Broker, s *System) {
		for i := range 2 * maxAskingAccounts {
			account := fmt.Sprint("A", i)
			if _, _, err := s.Request(t.Context(), account, "nobody", nil, nil); !errors.Is(err, errNobody) {
				t.Fatalf("in account %s: %v", account, err)
			}
		}
		if n := len(s.asking.askers); n != maxAskingAccounts {
			t.Errorf("a peer in %d accounts, want %d", n, maxAskingAccounts)
		}

		// Those that are asked are not let go.
		for i := range 2 * maxAskingAccounts {
			newClient(t, b, fmt.Sprint("B", i), "svc.silent")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2*maxAskingAccounts)
		for i := range 2 * maxAskingAccounts {
			go func() {
				_, _, err := s.Request(ctx, fmt.Sprint("B", i), "svc.silent", nil, nil)
				ended <- err
			}()
		}
		synctest.Wait()
		if n := len(s.asking.waiting); n != maxAskingAccounts {
			t.Errorf("%d requests wait, want %d", n, maxAskingAccounts)
		}
		cancel()
		busy := 0
		for range 2 * maxAskingAccounts {
			if errors.Is(<-ended, errBusy) {
				busy++
			}
		}
		if busy != maxAskingAccounts {
			t.Errorf("%d of %d were refused, want %d", busy, 2*maxAskingAccounts, maxAskingAccounts)
		}
	})
}

func TestClaimsAreAnsweredByTheirStore(t *testing.T) {
	o := testOptions()
	o.Claims = &Claims{
		Subjects: []string{"$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", "$SYS.REQ.CLAIMS.PACK", "$SYS.REQ.CLAIMS.UPDATE"},
		Answer: func(subject string, body []byte, reply func(ClaimsReply)) {
			switch subject {
			case "$SYS.REQ.CLAIMS.LIST":
				reply(ClaimsReply{Data: []string{"AAA"}})
			case "$SYS.REQ.ACCOUNT.AAB.CLAIMS.LOOKUP":
				reply(ClaimsReply{Raw: append([]byte("jwt of AAB"), body...)})
			case "$SYS.REQ.CLAIMS.PACK":
				reply(ClaimsReply{Raw: []byte("AAA|jwt")})
				reply(ClaimsReply{})
			case "$SYS.REQ.CLAIMS.UPDATE":
				reply(ClaimsReply{Error: map[string]int{"code": 500}})
			}
		},
	}
	within(t, o, func(t *testing.T, b *broker.Broker, _ *System) {
		c := newClient(t, b, "SYS", "inbox")
		for _, step := range []struct{ subject, body, want string }{
			{"$SYS.REQ.CLAIMS.LIST", "", `"data":["AAA"]}`},
			{"$SYS.REQ.ACCOUNT.AAB.CLAIMS.LOOKUP", "!", "inbox||jwt of AAB!"},
			{"$SYS.REQ.CLAIMS.PACK", "", "inbox||AAA|jwt\ninbox||"},
			{"$SYS.REQ.CLAIMS.UPDATE", "x", `"error":{"code":500}}`},
		} {
			if got := c.ask(t, step.subject, step.body); !strings.Contains(got, step.want) {
				t.Errorf("%s %s:\n got %s\nwant %s", step.subject, step.body, got, step.want)
			}
		}
	})
}

func TestFiltersCoverAndCollide(t *testing.T) {
	for _, c := range []struct {
		a, b            string
		covers, collide bool
	}{
		{"a.b", "a.b", true, true}, {"a.*", "a.b", true, true}, {"a.b", "a.*", false, true}, {"a.>", "a.b.c", true, true}, {"a.>", "a", false, false},
		{">", "a.>", true, true}, {"a.*", "a.>", false, true}, {"a.b", "a.c", false, false}, {"a.b.c", "a.b", false, false}, {"*.b", "a.*", false, true},
		{"$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.CLAIMS.UPDATE", false, false},
	} {
		if got := covers(c.a, c.b); got != c.covers {
			t.Errorf("%s covers %s: %v", c.a, c.b, got)
		}
		if got := collide(c.a, c.b); got != c.collide || collide(c.b, c.a) != got {
			t.Errorf("%s collides with %s: %v", c.a, c.b, got)
		}
	}
}

// A slowbox takes one message at a time, when it is told to.
type slowbox struct{ take chan struct{} }

func (s slowbox) Deliver(*broker.Msg, *broker.Sub) bool {
	<-s.take
	return true
}

func (s slowbox) Wake(bool) time.Duration { return 0 }

// Pages may be large: of many that are asked for, one waits to be published, and not all of them.
func TestAPageIsMadeWhenTheOneBeforeIsPublished(t *testing.T) {
	o := testOptions()
	made := 0 // by the goroutine that answers; read when it waits
	o.Pages["VARZ"] = func([]byte) (any, error) {
		made++
		return "page", nil
	}
	within(t, o, func(t *testing.T, b *broker.Broker, _ *System) {
		slow := slowbox{make(chan struct{})}
		if _, err := b.Account("SYS").Attach(nil, slow, broker.Traits{}).Subscribe("inbox", "", ""); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, b, "SYS")
		for range 3 {
			c.publish(t, "$SYS.REQ.SERVER.PING.VARZ", "inbox", "", "")
		}
		for want := 1; want <= 3; want++ {
			synctest.Wait()
			if made != want {
				t.Errorf("%d pages are made when %d are published", made, want-1)
			}
			slow.take <- struct{}{}
		}
		close(slow.take)
	})
}
