package leafnode

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestInfoSurvivesItsLine(t *testing.T) {
	all := info{
		ServerID: "N", ServerName: "hub \"1\"", Version: "2.15.2", Proto: 3, Go: "go1", Host: "h", Port: 7422, Headers: true, AuthRequired: true,
		TLSRequired: true, TLSVerify: true, MaxPayload: 1 << 20, JetStream: true, IP: "10.0.0.1:7422", ClientID: 1 << 40, Nonce: "n", Cluster: "c",
		Domain: "d", ConnectURLs: []string{"h:4222"}, Compression: "s2_auto", ConnectInfo: true, RemoteAccount: "A", IsSystem: true,
		Import: &subjectList{Allow: []string{"a.>"}, Deny: []string{"a.b"}}, Export: &subjectList{Deny: []string{"*"}}, APILevel: 5,
		InfoOnConnect: true, LeafURLs: []string{"h:7422"},
	}
	for _, want := range []info{all, {}} {
		line := string(appendInfo([]byte("PING\r\n"), &want))
		text, ok := strings.CutPrefix(line, "PING\r\nINFO ")
		if !ok || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\r\n") {
			t.Fatalf("no line: %q", line)
		}
		if got, err := parseInfo([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestConnectSurvivesItsLine(t *testing.T) {
	all := connect{
		Version: "2.15.2", NKey: "U", JWT: "e.y.J", Signature: "s", User: "u", Password: "p", Token: "t", ServerID: "N", Domain: "d", Name: "n",
		Hub: true, Isolate: true, Cluster: "c", Headers: true, JetStream: true, DenyPub: []string{"x.>"}, CompressMode: "off", RemoteAccount: "$G",
		Proto: 3, Gateway: "g", Lang: "go",
	}
	for _, want := range []connect{all, {}} {
		text, ok := strings.CutPrefix(string(appendConnect(nil, &want)), "CONNECT ")
		if got, err := parseConnect([]byte(text)); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestNullOrUnknownMembersAreNoMembers(t *testing.T) {
	got, err := parseInfo([]byte(` {"client_id":null,"import":null,"leafnode_urls":null,"new":{"a":[1,{}]},"xkey":"X"} `))
	if err != nil || !reflect.DeepEqual(got, info{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInfoIsBounded(t *testing.T) {
	list := func(n, size int) string {
		one, _ := json.Marshal(strings.Repeat("x", size))
		return "[" + strings.Repeat(string(one)+",", n-1) + string(one) + "]"
	}
	text := func(size int) string { return `"` + strings.Repeat("x", size) + `"` }
	for _, c := range []struct {
		name, in string
		fits     bool
	}{
		{"not JSON", `INFO`, false},
		{"nothing", ``, false},
		{"a list", `[]`, false},
		{"a number for text", `{"server_name":1}`, false},
		{"a negative number of a connection", `{"client_id":-1}`, false},
		{"the longest name", `{"server_name":` + text(maxText) + `}`, true},
		{"a longer one", `{"server_name":` + text(maxText+1) + `}`, false},
		{"the longest list", `{"leafnode_urls":` + list(maxEntries, 1) + `}`, true},
		{"a longer one", `{"leafnode_urls":` + list(maxEntries+1, 1) + `}`, false},
		{"an entry that is too long", `{"leafnode_urls":` + list(1, maxText+1) + `}`, false},
		{"too many rights", `{"import":{"allow":` + list(maxEntries+1, 1) + `}}`, false},
		{"too many bans", `{"export":{"deny":` + list(maxEntries+1, 1) + `}}`, false},
	} {
		if _, err := parseInfo([]byte(c.in)); (err == nil) != c.fits || err != nil && !errors.Is(err, errBadInfo) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConnectIsBoundedAndNoErrorQuotesIt(t *testing.T) {
	for _, in := range []string{
		``, `{"pass":"hunter2"`, `{"pass":"hunter2","user":{}}`, `{"user":"u","pass":["hunter2"]}`,
		`{"pass":"hunter2","name":"` + strings.Repeat("x", maxText+1) + `"}`, `{"jwt":"` + strings.Repeat("x", maxJWT+1) + `"}`,
		`{"deny_pub":["` + strings.Repeat(`x","`, maxEntries) + `x"]}`,
	} {
		_, err := parseConnect([]byte(in))
		if err != errBadConnect {
			t.Errorf("%.60s: %v", in, err)
		}
	}
	if _, err := parseConnect([]byte(`{"jwt":"` + strings.Repeat("x", maxJWT) + `"}`)); err != nil {
		t.Errorf("a long JWT: %v", err)
	}
}

func TestListWithoutAllowLeavesAllOpenAndAnEmptyOneNothing(t *testing.T) {
	for _, c := range []struct {
		in   string
		want limits
	}{
		{`{}`, limits{}},
		{`{"import":{}}`, limits{}},
		{`{"import":{"deny":["a"]}}`, limits{deny: []string{"a"}}},
		{`{"import":{"allow":[]}}`, limits{allow: []string{}, closed: true}},
		{`{"import":{"allow":["b"],"deny":["a"]}}`, limits{allow: []string{"b"}, deny: []string{"a"}, closed: true}},
	} {
		i, err := parseInfo([]byte(c.in))
		if got := i.Import.limits(); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func TestVersionsAreComparedByNumbers(t *testing.T) {
	for _, c := range []struct {
		version, minimum string
		want             bool
	}{
		{"2.9.10", "2.9.9", true}, {"2.9.9", "2.9.10", false}, {"2.10.0", "2.9.99", true}, {"3.0.0", "2.9.99", true}, {"1.99.99", "2.0.0", false},
		{"2.9.10", "2.9.10", true}, {"v2.9.10", "2.9.10", true}, {"2.9.10-RC.1", "2.9.10", true}, {"2.9.10+build", "v2.9.10", true},
		{"", "2.9.10", false}, {"2.9", "2.9.0", false}, {"2.9.x", "2.9.0", false}, {"-1.0.0", "0.0.0", false}, {"9.9.9.9", "2.9.0", false},
	} {
		if got := atLeast(c.version, c.minimum); got != c.want {
			t.Errorf("%q at least %q: %v", c.version, c.minimum, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"import":{"allow":["a"]},"leafnode_urls":["h:1"],"client_id":1,"info_on_connect":true}`))
	f.Add([]byte(`{"jwt":"e.y.J","deny_pub":["a"],"is_hub":true}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if i, err := parseInfo(in); err == nil {
			again, err := parseInfo(appendInfo(nil, &i)[len("INFO "):])
			if err != nil || again.ServerName != i.ServerName || len(again.LeafURLs) != len(i.LeafURLs) {
				t.Errorf("%+v, %v, want %+v", again, err, i)
			}
		}
		if c, err := parseConnect(in); err == nil {
			if again, err := parseConnect(appendConnect(nil, &c)[len("CONNECT "):]); err != nil || again.Name != c.Name {
				t.Errorf("%+v, %v, want %+v", again, err, c)
			}
		}
	})
}
