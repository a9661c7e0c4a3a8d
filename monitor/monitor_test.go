package monitor

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// noting guards what fakePages notes: pages are made on other goroutines than tests.
var noting sync.Mutex

// fakePages answers with what it was asked.
func fakePages(asked *any) Pages {
	note := func(o any) {
		noting.Lock()
		defer noting.Unlock()
		*asked = o
	}
	return Pages{
		Varz: func() *Varz { return &Varz{ServerID: "N"} },
		Connz: func(o ConnzOptions) (*Connz, error) {
			if err := o.Check(); err != nil {
				return nil, err
			}
			note(o)
			return o.Page("N", noon, 0, nil), nil
		},
		Subsz: func(o SubszOptions) (*Subsz, error) {
			o.Check()
			note(o)
			if o.Test == "a.*" {
				return nil, o.BadTest()
			}
			return &Subsz{}, nil
		},
		Accountz: func(o AccountzOptions) (*Accountz, error) {
			if o.Account == "nope" {
				return nil, UnknownAccount(o.Account)
			}
			return &Accountz{Accounts: []string{"$G"}}, nil
		},
		Accstatz: func(o AccstatzOptions) *Accstatz { note(o); return &Accstatz{Accounts: []AccountStat{}} },
		Routez:   func() *Routez { return &Routez{Routes: []struct{}{}} },
		Gatewayz: func() *Gatewayz {
			return &Gatewayz{Outbound: map[string]struct{}{}, Inbound: map[string]struct{}{}}
		},
		Leafz:   func(o LeafzOptions) *Leafz { note(o); return &Leafz{Leafs: []Leaf{}} },
		Jsz:     func(o JszOptions) (*Jsz, error) { return o.NoStreams("N", noon) },
		Healthz: func(o HealthzOptions) *Healthz { return o.Health(nil) },
	}
}

// The answers to mistakes are those of nats-server 2.15.2, byte for byte.
func TestMistakesAreToldInNatsServersWords(t *testing.T) {
	var asked any
	s := New(Options{}, fakePages(&asked))
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/connz?sort=bogus":            {400, "invalid sorting option: bogus"},
		"/connz?limit=x":               {400, `Error decoding int for 'limit': strconv.Atoi: parsing "x": invalid syntax`},
		"/connz?state=zz":              {400, "Error decoding state for zz"},
		"/connz?subs=zz":               {400, `Error decoding boolean for 'subs': strconv.ParseBool: parsing "zz": invalid syntax`},
		"/connz?sort=stop":             {400, "sort by stop only valid on closed connections"},
		"/connz?sort=reason&state=all": {400, "sort by reason only valid on closed connections"},
		"/connz?cid=-1":                {400, `Error decoding uint64 for 'cid': strconv.ParseUint: parsing "-1": invalid syntax`},
		"/subsz?test=a.*":              {400, "invalid test subject, must be valid publish subject: a.*"},
		"/accountz?acc=nope":           {400, "Account nope does not exist"},
		"/jsz?leader-only=1":           {400, "filtered response: not leader"},
		"/routez?subs=zz":              {400, `Error decoding boolean for 'subs': strconv.ParseBool: parsing "zz": invalid syntax`},
		"/raftz":                       {404, "No Raft nodes registered"},
		"/nope":                        {404, "404 page not found\n"},
		"/varz/":                       {404, "404 page not found\n"},
		"/healthz":                     {200, `{"status":"ok"}`},
		"/healthz?stream=s":            {400, `{"status":"error","error":"\"account\" must not be empty when checking stream health"}`},
		"/healthz?consumer=c&details=1": {400,
			`{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"stream\" must not be empty when checking consumer health"}]}`},
	} {
		if code, text, _ := get(t, s, path); code != want.code || text != want.text {
			t.Errorf("%s: %d %q, want %d %q", path, code, text, want.code, want.text)
		}
	}
}

func TestQueriesBecomeOptions(t *testing.T) {
	var asked any
	s := New(Options{}, fakePages(&asked))
	for path, want := range map[string]any{
		"/connz":                                ConnzOptions{Sort: "cid", Limit: 1024},
		"/connz?subs=DETAIL&auth=1&limit=5":     ConnzOptions{Sort: "cid", Limit: 5, Auth: true, Detail: true},
		"/connz?subs=true&offset=7&state=any":   ConnzOptions{Sort: "cid", Limit: 1024, Offset: 7, State: All, Subscriptions: true},
		"/connz?cid=9&user=u&acc=A&limit=50":    ConnzOptions{Sort: "cid", Limit: 1, CID: 9, User: "u", Account: "A"},
		"/connz?sort=stop&state=CLOSED":         ConnzOptions{Sort: "stop", Limit: 1024, State: Closed},
		"/connz?offset=-3&limit=-1":             ConnzOptions{Sort: "cid", Limit: 1024},
		"/subsz?subs=1&acc=A&test=b&limit=2":    SubszOptions{Subscriptions: true, Account: "A", Test: "b", Limit: 2},
		"/subscriptionsz":                       SubszOptions{Limit: 1024},
		"/accstatz?unused=t":                    AccstatzOptions{Unused: true},
		"/leafz?subs=1&acc=L":                   LeafzOptions{Subscriptions: true, Account: "L"},
		"/connz?mqtt_client=m&sort=msgs_to&x=y": ConnzOptions{Sort: "msgs_to", Limit: 1024, MQTTClient: "m"},
	} {
		code, text, _ := get(t, s, path)
		noting.Lock()
		got := asked
		noting.Unlock()
		if code != 200 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d %q asked for %+v, want %+v", path, code, text, got, want)
		}
	}
}

// Requests are counted by page, and /connz not if its query is wrong, as in nats-server.
func TestRequestsAreCountedByPage(t *testing.T) {
	var asked any
	s := New(Options{}, fakePages(&asked))
	for _, path := range []string{"/", "/varz", "/varz", "/subsz", "/subscriptionsz", "/connz?limit=x", "/nope", "/stacksz", "/raftz", "/healthz"} {
		get(t, s, path)
	}
	want := map[string]uint64{"/": 1, "/varz": 2, "/subsz": 2, "/healthz": 1}
	if got := s.Requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestPagesAreIndentedJSONForEverybodysBrowser(t *testing.T) {
	var asked any
	s := New(Options{}, fakePages(&asked))
	_, text, header := get(t, s, "/leafz")
	if want := "{\n  \"server_id\": \"\",\n  \"now\": \"0001-01-01T00:00:00Z\",\n  \"leafnodes\": 0,\n  \"leafs\": []\n}"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", header)
	}
	for _, path := range []string{"/stacksz", "/debug/vars", "/ipqueuesz", "/gatewayz", "/routez", "/"} {
		if code, text, _ := get(t, s, path); code != 200 || text == "" {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
}

// Arguments of the program may hold a password.
func TestVarsShowNoArguments(t *testing.T) {
	if v := ReadVars(); len(v.Cmdline) > 1 {
		t.Errorf("shows %q", v.Cmdline)
	}
}

func TestBasePathStandsInFrontOfAllPages(t *testing.T) {
	var asked any
	s := New(Options{BasePath: "mon/x"}, fakePages(&asked))
	for path, want := range map[string]int{"/mon/x": 200, "/mon/x/varz": 200, "/varz": 404, "/": 404, "/mon/x/debug/vars": 200} {
		if code, _, _ := get(t, s, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

func TestPasswordIsAskedForOnEveryPage(t *testing.T) {
	var asked any
	s := New(Options{Authorize: func(from netip.Addr, user, password string) bool {
		return from.IsLoopback() && user == "u" && password == "p"
	}}, fakePages(&asked))
	for _, path := range []string{"/", "/varz", "/healthz", "/stacksz", "/debug/vars", "/nope"} {
		for credentials, right := range map[string]bool{"": false, "u:": false, "u:p": true, "x:p": false} {
			code, _, header := get(t, s, path, func(r *http.Request) {
				if user, password, ok := strings.Cut(credentials, ":"); ok {
					r.SetBasicAuth(user, password)
				}
			})
			if got := code != http.StatusUnauthorized; got != right {
				t.Errorf("%s with %q: %d", path, credentials, code)
			}
			if !right && header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: no challenge", path, credentials)
			}
		}
	}
}

func TestConnectionsAreSortedAndCut(t *testing.T) {
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	stop := func(seconds int) *time.Time { t := at(seconds); return &t }
	rows := func() []*Connection {
		return []*Connection{
			{CID: 3, Subscriptions: 1, InMsgs: 5, OutBytes: 9, LastActivity: at(3), Start: at(0), Lasted: 3, RoundTrip: 2, Stop: stop(1), Reason: "b"},
			{CID: 1, Subscriptions: 7, InMsgs: 4, OutBytes: 9, LastActivity: at(1), Start: at(1), Lasted: 9, RoundTrip: 1, Stop: stop(2), Reason: "a"},
			{CID: 2, Subscriptions: 3, InMsgs: 6, OutBytes: 1, LastActivity: at(2), Start: at(2), Lasted: 5, RoundTrip: 3, Stop: stop(3), Reason: "c"},
		}
	}
	for order, want := range map[string][]uint64{
		"": {1, 2, 3}, "start": {1, 2, 3}, "subs": {1, 2, 3}, "msgs_from": {2, 3, 1}, "bytes_to": {1, 3, 2}, "last": {3, 2, 1},
		"idle": {1, 2, 3}, "uptime": {3, 2, 1}, "stop": {2, 1, 3}, "reason": {1, 3, 2}, "rtt": {2, 3, 1}, "pending": {1, 2, 3},
	} {
		o := ConnzOptions{Sort: order, State: Closed}
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, c := range o.Page("N", noon, 3, rows()).Connections {
			got = append(got, c.CID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %q: %v, want %v", order, got, want)
		}
	}
	for _, c := range []struct{ offset, limit, count int }{{0, 2, 2}, {2, 2, 1}, {3, 2, 0}, {1 << 30, 1 << 30, 0}, {1, 0, 2}} {
		o := ConnzOptions{Offset: c.offset, Limit: c.limit}
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		if p := o.Page("N", noon, 3, rows()); p.Count != c.count || p.Total != 3 || p.Connections == nil {
			t.Errorf("from %d at most %d: %d of %d", c.offset, c.limit, p.Count, p.Total)
		}
	}
}

func TestDurationsAreShownToTheSecond(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Second: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m0s", time.Hour + 2*time.Second: "1h0m2s",
		day: "1d0h0m0s", 365*day + 2*day + 3*time.Hour: "1y2d3h0m0s", 366 * day: "1y1d0h0m0s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 661500: "661µs", 1834870: "1.83487ms", 999: "999ns"} {
		if got := RoundTrip(d); got != want {
			t.Errorf("%d ns: %q, want %q", int64(d), got, want)
		}
	}
}

// What nats-server 2.15.2 shows of an idle server, restated.
func TestShapesHaveTheKeysOfNatsServer(t *testing.T) {
	for name, c := range map[string]struct {
		shape any
		keys  string
	}{
		"varz": {Varz{}, "auth_timeout cluster config_digest config_load_time connections cores cpu disk_io_wait_stats feature_flags gateway go " +
			"gomaxprocs host http_base_path http_host http_port http_req_stats https_port in_bytes in_client_bytes in_client_msgs in_msgs jetstream " +
			"leaf leafnodes max_connections max_control_line max_payload max_pending mem mqtt now out_bytes out_client_bytes out_client_msgs out_msgs " +
			"ping_interval ping_max port proto remotes routes server_id server_name slow_consumer_stats slow_consumers stale_connection_stats " +
			"stale_connections stalled_clients start subscriptions tls_timeout total_connections uptime version websocket write_deadline"},
		"connz":      {Connz{}, "connections limit now num_connections offset server_id total"},
		"connection": {Connection{}, "cid idle in_bytes in_msgs ip last_activity out_bytes out_msgs pending_bytes port start subscriptions uptime"},
		"subsz": {Subsz{}, "avg_fanout cache_hit_rate limit max_fanout now num_cache num_inserts num_matches num_removes num_subscriptions " +
			"offset server_id total"},
		"account":  {AccountInfo{}, "account_name client_connections complete expired jetstream_enabled leafnode_connections subscriptions update_time"},
		"accstatz": {AccountStat{}, "acc conns leafnodes name num_subscriptions received sent slow_consumers total_conns"},
		"jsz": {Jsz{Disabled: true}, "accounts api bytes config consumers disabled ha_assets memory messages now reserved_memory reserved_storage " +
			"server_id storage streams total"},
		"leaf": {Leaf{}, "account id in_bytes in_msgs ip is_spoke name out_bytes out_msgs port subscriptions"},
	} {
		text, err := json.Marshal(c.shape)
		if err != nil {
			t.Fatal(err)
		}
		var has map[string]any
		if err := json.Unmarshal(text, &has); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for key := range has {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != c.keys {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.keys)
		}
	}
}
