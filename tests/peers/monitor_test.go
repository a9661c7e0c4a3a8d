//go:build linux

package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// watched is a server of each kind with the same accounts, pages and somebody connected.
type watched struct {
	server *process.Server
	pages  string // URL in front of the paths
	id     string
	system *nats.Conn
}

const watchedConfig = `
server_name: watched
server_tags: ["site:one"]
server_metadata: {rack: "3"}
http: "127.0.0.1:%d"
system_account: SYS
accounts {
  SYS { users: [{user: sys, password: sys}] }
  A {
    users: [{user: a, password: a}, {user: p, password: p, permissions: {publish: {allow: [">"], deny: ["x.>"]}, subscribe: ["_INBOX.>", "foo bar"], allow_responses: true}}]
    exports: [{service: "svc.add", response_type: stream}, {stream: "ev.>", accounts: [B]}]
    mappings: {"m.*": "n.$1", "w": [{destination: w1, weight: 40%%}, {destination: w2, weight: 30%%}]}
    limits: {max_connections: 50}
  }
  B {
    users: [{user: b, password: b}]
    imports: [{service: {account: A, subject: "svc.add"}, to: "calc.add", share: true}, {stream: {account: A, subject: "ev.>"}, prefix: fromA}]
  }
}`

func watch(t *testing.T, kind process.Kind) *watched {
	t.Helper()
	port := process.FreePort(t)
	w := &watched{pages: fmt.Sprintf("http://127.0.0.1:%d", port)}
	w.server = process.Start(t, process.Options{Kind: kind, Config: fmt.Sprintf(watchedConfig, port)})
	w.system = w.connect(t, "sys", "watcher")
	w.id = w.system.ConnectedServerId()
	return w
}

func (w *watched) connect(t *testing.T, user, name string) *nats.Conn {
	t.Helper()
	return connect(t, w.server, nats.UserInfo(user, user), nats.Name(name), nats.NoReconnect())
}

// page gets a page: its status, content type and, of errors, its text.
func (w *watched) page(t *testing.T, path string) (head string, body []byte) {
	t.Helper()
	r, err := http.Get(w.pages + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	head = fmt.Sprintf("%d %s", r.StatusCode, r.Header.Get("Content-Type"))
	if r.StatusCode != http.StatusOK {
		head += " " + string(body)
	}
	return head, body
}

// optional are keys that depend on the machine, on defaults or on what has happened, and objects of
// which the keys do. Only edgebus has dropped_msgs.
var optional = map[string]bool{
	"gomemlimit": true, "max_subscriptions": true, "stale_connections": true, "stale_connection_stats": true,
	"slow_consumer_stats": true, "stalled_clients": true, "tls_cert_not_after": true, "rtt": true,
	"feature_flags": true, "http_req_stats": true, "git_commit": true, "dropped_msgs": true,
}

// shape lists the paths of all keys with the types of their values. Elements of a list are put
// together, since some have keys that others have not.
func shape(t *testing.T, text []byte) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	found := make(map[string]bool)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			found[at+" object"] = true
			for key, inner := range v {
				if !optional[key] {
					walk(at+"."+key, inner)
				}
			}
		case []any:
			found[at+" list"] = true
			for _, inner := range v {
				walk(at+"[]", inner)
			}
		default:
			found[fmt.Sprintf("%s %T", at, v)] = true
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(found))
}

// added are the keys that only edgebus has, where it has them on purpose.
var added = []string{".edgebus_version string", ".data.edgebus_version string"}

// differences compares two lists.
func differences(reference, ours []string) (lines []string) {
	for _, line := range reference {
		if !slices.Contains(ours, line) {
			lines = append(lines, "only nats-server: "+line)
		}
	}
	for _, line := range ours {
		if !slices.Contains(reference, line) && !slices.Contains(added, line) {
			lines = append(lines, "only edgebus: "+line)
		}
	}
	return lines
}

// watchBoth starts both kinds with the same clients in them.
func watchBoth(t *testing.T) (reference, ours *watched) {
	t.Helper()
	both := make(map[process.Kind]*watched)
	for _, kind := range process.Both {
		w := watch(t, kind)
		gone := w.connect(t, "a", "gone")
		stays := w.connect(t, "b", "stays")
		for _, nc := range []*nats.Conn{gone, stays} {
			if _, err := nc.SubscribeSync("some.>"); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.QueueSubscribeSync("jobs", "workers"); err != nil {
				t.Fatal(err)
			}
			if err := nc.Publish("some.thing", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		gone.Close()
		process.Eventually(t, patience, "the client is gone", func() bool {
			_, body := w.page(t, "/connz?state=closed")
			return strings.Contains(string(body), `"gone"`)
		})
		both[kind] = w
	}
	return both[process.Reference], both[process.Edgebus]
}

func TestPagesHaveTheKeysAndTypesOfNatsServer(t *testing.T) {
	reference, ours := watchBoth(t)
	for _, path := range []string{
		"/varz", "/connz", "/connz?auth=1", "/connz?subs=1&auth=1", "/connz?subs=detail", "/connz?state=closed&auth=1&sort=stop", "/connz?state=any&sort=uptime",
		"/connz?limit=1&offset=1", "/connz?cid=1", "/connz?user=b&auth=1", "/connz?acc=B", "/connz?acc=NOPE", "/subsz", "/subscriptionsz?acc=A",
		"/accountz", "/accountz?acc=A", "/accountz?acc=B", "/accountz?acc=SYS", "/accstatz", "/accstatz?unused=1", "/routez", "/gatewayz", "/leafz", "/leafz?subs=1",
		"/jsz", "/jsz?accounts=1&streams=1", "/healthz", "/healthz?details=1", "/healthz?js-enabled-only=1", "/ipqueuesz",
		"/connz?sort=bogus", "/connz?limit=x", "/connz?offset=x", "/connz?cid=x", "/connz?auth=x", "/connz?subs=x", "/connz?state=x", "/connz?sort=stop", "/connz?sort=reason",
		"/subsz?subs=x", "/subsz?limit=x", "/subsz?test=a.*", "/accountz?acc=NOPE", "/accstatz?unused=x", "/leafz?subs=x", "/jsz?limit=x", "/healthz?details=x",
		"/healthz?stream=S", "/healthz?consumer=C&account=A", "/raftz", "/nope", "/varz/",
	} {
		wantHead, want := reference.page(t, path)
		gotHead, got := ours.page(t, path)
		if gotHead != wantHead {
			t.Errorf("%s: %s, nats-server %s", path, gotHead, wantHead)
			continue
		}
		if strings.HasPrefix(gotHead, "200 application/json") {
			for _, line := range differences(shape(t, want), shape(t, got)) {
				t.Errorf("%s: %s", path, line)
			}
		}
	}
}

func TestSystemRequestsHaveTheKeysAndTypesOfNatsServer(t *testing.T) {
	reference, ours := watchBoth(t)
	type request struct{ user, subject, body string }
	var requests []request
	for _, name := range []string{"VARZ", "CONNZ", "SUBSZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "ACCOUNTZ", "JSZ", "HEALTHZ", "STATSZ", "IDZ", "RAFTZ", "EXPVARZ", "NOPE"} {
		requests = append(requests, request{"sys", "$SYS.REQ.SERVER.PING." + name, ""}, request{"sys", "$SYS.REQ.SERVER.ID." + name, ""},
			request{"sys", "$SYS.REQ.SERVER.PING." + name, `{"server_name":"other"}`}, request{"sys", "$SYS.REQ.SERVER.PING." + name, `{"tags":["site:one"]}`},
			request{"sys", "$SYS.REQ.SERVER.PING." + name, `{`})
	}
	for _, name := range []string{"CONNZ", "SUBSZ", "INFO", "STATZ", "LEAFZ", "JSZ", "CONNS"} {
		requests = append(requests, request{"sys", "$SYS.REQ.ACCOUNT.B." + name, ""}, request{"sys", "$SYS.REQ.ACCOUNT.NOPE." + name, ""})
	}
	requests = append(requests,
		request{"sys", "$SYS.REQ.SERVER.PING", ""}, request{"sys", "$SYS.REQ.SERVER.PING", `{"server_name":"watch"}`},
		request{"sys", "$SYS.REQ.SERVER.PING", `{"server_name":"watch","exact_match":true}`}, request{"sys", "$SYS.REQ.SERVER.PING.VARZ", `{"domain":"hub"}`},
		request{"sys", "$SYS.REQ.SERVER.PING.CONNZ", `{"sort":"bogus"}`}, request{"sys", "$SYS.REQ.SERVER.PING.CONNZ", `{"auth":true,"subscriptions_detail":true}`},
		request{"sys", "$SYS.REQ.SERVER.PING.CONNZ", `{"state":1,"auth":true}`}, request{"sys", "$SYS.REQ.SERVER.PING.ACCOUNTZ", `{"account":"B"}`},
		request{"sys", "$SYS.REQ.SERVER.PING.HEALTHZ", `{"stream":"S"}`}, request{"sys", "$SYS.REQ.SERVER.PING.PROFILEZ", `{"name":"nope"}`},
		request{"sys", "$SYS.REQ.SERVER.ID.KICK", `{"cid":9999}`}, request{"sys", "$SYS.REQ.SERVER.ID.LDM", `{"cid":9999}`}, request{"sys", "$SYS.REQ.SERVER.ID.RELOAD", ""},
		request{"sys", "$SYS.REQ.ACCOUNT.PING.CONNZ", ""}, request{"sys", "$SYS.REQ.ACCOUNT.PING.STATZ", ""}, request{"sys", "$SYS.REQ.ACCOUNT.PING.STATZ", `{"include_unused":true}`},
		request{"sys", "$SYS.DEBUG.SUBSCRIBERS", "$SYS.REQ.>"}, request{"sys", "$SYS.REQ.USER.SYS.INFO", ""},
	)
	for _, user := range []string{"a", "b", "p"} {
		for _, subject := range []string{"$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ",
			"$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.DEBUG.SUBSCRIBERS", "$SYS.REQ.ACCOUNT.A.CONNZ", "$SYS.REQ.CLAIMS.LIST"} {
			requests = append(requests, request{user, subject, ""})
		}
	}
	for _, r := range requests {
		want, wantErr := reference.ask(t, r.user, r.subject, r.body, brieflyAsked)
		got, gotErr := ours.ask(t, r.user, r.subject, r.body, brieflyAsked)
		// Where one answers and the other seems to be silent it may be slow.
		if wantErr == nil && gotErr == nats.ErrTimeout {
			got, gotErr = ours.ask(t, r.user, r.subject, r.body, patience)
		} else if gotErr == nil && wantErr == nats.ErrTimeout {
			want, wantErr = reference.ask(t, r.user, r.subject, r.body, patience)
		}
		if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("[%s] %s %s: %v, nats-server %v", r.user, r.subject, r.body, gotErr, wantErr)
			continue
		}
		if wantErr != nil || strings.HasSuffix(r.subject, ".EXPVARZ") && r.body == "" {
			continue // what the runtime shows is longer than what its version says
		}
		for _, line := range differences(shape(t, want), shape(t, got)) {
			t.Errorf("[%s] %s %s: %s", r.user, r.subject, r.body, line)
		}
		if strings.HasPrefix(r.subject, "$SYS.REQ.USER.") && dataOf(want) != dataOf(got) {
			t.Errorf("[%s] %s: %s, nats-server %s", r.user, r.subject, dataOf(got), dataOf(want))
		}
		if wantText, gotText := errorOf(want), errorOf(got); wantText != gotText {
			t.Errorf("[%s] %s %s: %q, nats-server %q", r.user, r.subject, r.body, gotText, wantText)
		}
	}
}

// brieflyAsked is how long an answer is waited for that there may not be.
const brieflyAsked = 300 * time.Millisecond

// ask sends one request as a user. The error is who is silent, or that nobody is there.
func (w *watched) ask(t *testing.T, user, subject, body string, timeout time.Duration) ([]byte, error) {
	t.Helper()
	nc := w.system
	if user != "sys" {
		nc = w.connect(t, user, "asker")
		defer nc.Close()
	}
	m, err := nc.Request(strings.Replace(subject, ".ID.", "."+w.id+".", 1), []byte(body), timeout)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

func dataOf(answer []byte) string {
	var a struct{ Data json.RawMessage }
	if json.Unmarshal(answer, &a) != nil {
		return ""
	}
	// nats-server lists the subjects of a permission in an order that is chance.
	return subjectLists.ReplaceAllStringFunc(string(a.Data), func(list string) string {
		subjects := strings.Split(strings.Trim(list, "[]"), ",")
		slices.Sort(subjects)
		return "[" + strings.Join(subjects, ",") + "]"
	})
}

// A list of texts without a comma in them.
var subjectLists = regexp.MustCompile(`\["[^\[\],]*"(,"[^\[\],]*")*\]`)

func errorOf(answer []byte) string {
	var e struct {
		Error struct {
			Code        int
			Description string
		}
	}
	if json.Unmarshal(answer, &e) != nil {
		return ""
	}
	return fmt.Sprint(e.Error.Code, " ", e.Error.Description)
}

func TestEventsHaveTheKeysAndTypesOfNatsServer(t *testing.T) {
	reference, ours := watch(t, process.Reference), watch(t, process.Edgebus)
	want, got := reference.events(t), ours.events(t)
	for _, line := range differences(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))) {
		t.Error(line)
	}
	for subject, text := range want {
		if got[subject] == nil {
			continue
		}
		for _, line := range differences(shape(t, text), shape(t, got[subject])) {
			t.Errorf("%s: %s", subject, line)
		}
		for _, key := range []string{"type", "reason"} {
			if a, b := field(text, key), field(got[subject], key); a != b {
				t.Errorf("%s: %s %q, nats-server %q", subject, key, b, a)
			}
		}
	}
}

func field(text []byte, key string) string {
	var event map[string]any
	json.Unmarshal(text, &event)
	return fmt.Sprint(event[key])
}

// events has a client come and go and another one refused, and returns the first event on each
// subject.
func (w *watched) events(t *testing.T) map[string][]byte {
	t.Helper()
	sub, err := w.system.SubscribeSync("$SYS.*.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.system.Flush(); err != nil {
		t.Fatal(err)
	}
	nc := w.connect(t, "a", "comes and goes")
	if err := nc.Publish("x", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if nc, err := nats.Connect(w.server.URL(), nats.UserInfo("a", "wrong"), nats.Name("stranger")); err == nil {
		nc.Close()
		t.Fatal("a wrong password came in")
	}
	expected := []string{
		"$SYS.ACCOUNT.A.CONNECT", "$SYS.ACCOUNT.A.DISCONNECT", "$SYS.ACCOUNT.A.SERVER.CONNS", "$SYS.SERVER.ACCOUNT.A.CONNS",
		"$SYS.SERVER.ID.CLIENT.AUTH.ERR", "$SYS.SERVER.ID.STATSZ",
	}
	first := make(map[string][]byte)
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); {
		m, err := sub.NextMsg(time.Until(deadline))
		if err != nil {
			break
		}
		subject := strings.Replace(m.Subject, w.id, "ID", 1)
		if first[subject] == nil && slices.Contains(expected, subject) {
			first[subject] = m.Data
		}
		if len(first) == len(expected) {
			break
		}
	}
	return first
}

// A user of one account sees nothing of another one's connections, however it asks.
func TestAccountsSeeOnlyTheirOwnConnections(t *testing.T) {
	for _, kind := range process.Both {
		t.Run(string(kind), func(t *testing.T) {
			w := watch(t, kind)
			w.connect(t, "a", "not for others")
			for _, body := range []string{"", `{"acc":"A"}`, `{"acc":"A","auth":true,"subscriptions":true}`, `{"acc":"","user":"a"}`, `{"cid":1}`, `{"state":2}`} {
				for _, subject := range []string{"$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"} {
					answer, err := w.ask(t, "b", subject, body, patience)
					if err != nil {
						t.Fatal(err)
					}
					if text := string(answer); strings.Contains(text, "not for others") || strings.Contains(text, "watcher") {
						t.Errorf("%s %s: %s", subject, body, text)
					}
				}
				answer, err := w.ask(t, "b", "$SYS.REQ.ACCOUNT.PING.STATZ", `{"accounts":["A"]}`, brieflyAsked)
				if err == nil && strings.Contains(string(answer), `"acc":"A"`) {
					t.Errorf("STATZ: %s", answer)
				}
			}
		})
	}
}
