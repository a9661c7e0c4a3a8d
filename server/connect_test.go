package server

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

// model is CONNECT as the reference server's JSON decoder sees it.
type model struct {
	Verbose      bool           `json:"verbose"`
	Pedantic     bool           `json:"pedantic"`
	Echo         bool           `json:"echo"`
	Headers      bool           `json:"headers"`
	NoResponders bool           `json:"no_responders"`
	NewAccount   bool           `json:"new_account"`
	TLSRequired  bool           `json:"tls_required"`
	Protocol     int            `json:"protocol"`
	User         string         `json:"user"`
	Password     string         `json:"pass"`
	Token        string         `json:"auth_token"`
	NKey         string         `json:"nkey"`
	Signature    string         `json:"sig"`
	JWT          string         `json:"jwt"`
	Name         string         `json:"name"`
	Lang         string         `json:"lang"`
	Version      string         `json:"version"`
	Account      string         `json:"account"`
	Remote       string         `json:"remote_account"`
	Proxy        string         `json:"proxy_sig"`
	Import       map[string]any `json:"import"`
	Export       map[string]any `json:"export"`
}

var connects = []string{
	`{}`, ` { } `, `null`, `nul`, `nullx`, `[]`, `5`, `"x"`, ``, `{`, `{"verbose":true`, `{"verbose":true,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a" 1}`,
	`{"verbose":false,"pedantic":false,"tls_required":false,"name":"n","lang":"go","version":"1.45.0","protocol":1,"echo":true,"headers":true,"no_responders":true}`,
	`{"user":"a","pass":"b","auth_token":"c","nkey":"d","sig":"e","jwt":"f","account":"g","new_account":true,"remote_account":"h","proxy_sig":"i"}`,
	`{"Verbose":true,"PASS":"x"}`, `{"verbose":true,"verbose":false}`, `{"verbose":null,"name":null,"protocol":null,"import":null}`,
	`{"verbose":"true"}`, `{"verbose":1}`, `{"name":5}`, `{"name":true}`, `{"name":{}}`, `{"import":5}`, `{"export":{"allow":["a"]}}`, `{"import":[]}`,
	`{"protocol":1.0}`, `{"protocol":1e0}`, `{"protocol":-1}`, `{"protocol":-0}`, `{"protocol":01}`, `{"protocol":99999999999999999999}`, `{"protocol":"1"}`, `{"protocol":-}`,
	`{"x":[1,2.5,-3e-7,{"y":[[],{}]},"\u00e9",null,true,false],"verbose":true}`, `{"x":[1,]}`, `{"x":{"a":1,}}`, `{"x":01}`, `{"x":1.}`, `{"x":.5}`, `{"x":1e}`, `{"x":+1}`, `{"x":tru}`,
	`{"name":"a\"b\\c\/d\b\f\n\r\t\u00e9\ud83d\ude00"}`, `{"name":"\ud800x"}`, `{"name":"\ud800\u0041"}`, `{"name":"\ud800\ud800\udc00"}`, `{"name":"\udc00"}`,
	`{"name":"\x"}`, `{"name":"\u12"}`, `{"name":"\u12g4"}`, "{\"name\":\"a\x01\"}", "{\"name\":\"\xff\xfe a\xc3\xa9\"}", `{"name":"`, `{"name":"\`, `{"n\u0061me":"x"}`,
	`{"verbose":true} x`, "{\"verbose\":true}\t", `{"verbose":true}{}`, `{"verbose":truefalse}`, `{"a":1"b":2}`, `{"verbose_and_much_longer_than_any_key_there_is":1}`,
}

// same compares what we read with what encoding/json reads.
func same(t *testing.T, wire []byte) {
	t.Helper()
	want := model{Verbose: true, Pedantic: true, Echo: true}
	err := json.Unmarshal(wire, &want)
	got := connectRequest{verbose: true, pedantic: true, echo: true}
	if ok := got.parse(wire); ok != (err == nil) {
		t.Fatalf("%q: accepted %v, encoding/json says %v", wire, ok, err)
	}
	if err != nil {
		return
	}
	read := model{
		Verbose: got.verbose, Pedantic: got.pedantic, Echo: got.echo, Headers: got.headers, NoResponders: got.noResponders,
		NewAccount: got.newAccount, Protocol: int(got.protocol), User: string(got.user), Password: string(got.password),
		Token: string(got.token), NKey: string(got.nkey), Signature: string(got.signature), JWT: string(got.jwt),
		Name: string(got.name), Lang: string(got.lang), Version: string(got.version), Account: string(got.account),
	}
	want.TLSRequired, want.Remote, want.Proxy, want.Import, want.Export = false, "", "", nil, nil
	a, _ := json.Marshal(read)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Fatalf("%q:\n got %s\nwant %s", wire, a, b)
	}
}

func TestConnectIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, wire := range connects {
		same(t, []byte(wire))
	}
}

func FuzzConnect(f *testing.F) {
	for _, wire := range connects {
		f.Add([]byte(wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) > 4096 {
			return
		}
		// Keys that only Unicode folding makes equal to ours are the one thing we read otherwise.
		for _, r := range string(wire) {
			if r == 'ſ' || r == 'K' {
				return
			}
		}
		if strings.Contains(strings.ToLower(string(wire)), `\u017f`) || strings.Contains(strings.ToLower(string(wire)), `\u212a`) {
			return
		}
		if nesting(wire) > maxNesting || longDigits(wire) {
			return
		}
		same(t, wire)
	})
}

// nesting is an upper bound of how deep values lie in each other.
func nesting(wire []byte) (deep int) {
	for _, b := range wire {
		if b == '{' || b == '[' {
			deep++
		}
	}
	return deep
}

// longDigits reports numbers of more digits than we read and fewer than overflow.
func longDigits(wire []byte) bool {
	run := 0
	for _, b := range wire {
		if '0' <= b && b <= '9' {
			if run++; run > 18 {
				return true
			}
		} else {
			run = 0
		}
	}
	return false
}

func TestConnectNestingIsBounded(t *testing.T) {
	var c connectRequest
	if c.parse([]byte(`{"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`)) {
		t.Error("2,000 lists in each other were accepted")
	}
}

func TestConnectAllocatesNothing(t *testing.T) {
	wire := []byte(`{"verbose":false,"pedantic":false,"name":"n","lang":"go","version":"1.45.0","protocol":1,"echo":true,"headers":true,"no_responders":true}`)
	var c connectRequest
	if n := testing.AllocsPerRun(100, func() {
		if !c.parse(wire) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestInfoSaysWhatClientsRead(t *testing.T) {
	r := start(t, Options{ServerName: `edge "1"`, MaxPayload: 1234, Version: "0.1.0"}, auth.Options{}, broker.Options{})
	c := r.dial()
	id, _ := c.info["server_id"].(string)
	if len(id) != 56 || id[0] != 'N' || id != r.server.ID() {
		t.Errorf("server_id %q", id)
	}
	want := map[string]any{
		"server_name": `edge "1"`, "version": "2.10.0", "edgebus_version": "0.1.0", "proto": 1.0, "host": "127.0.0.1",
		"headers": true, "max_payload": 1234.0, "client_ip": "127.0.0.1",
		"auth_required": nil, "connect_info": nil, "remote_account": nil, "ldm": nil, "nonce": nil, "tls_required": nil,
		"connect_urls": nil, "jetstream": nil,
	}
	for key, value := range want {
		if c.info[key] != value {
			t.Errorf("%s is %v, want %v", key, c.info[key], value)
		}
	}
	if c.info["client_id"].(float64) == r.dial().info["client_id"].(float64) {
		t.Error("two clients have one client_id")
	}
	if !utf8.ValidString(id) || r.addr != "127.0.0.1:"+jsonNumber(c.info["port"]) {
		t.Errorf("port %v, listening on %s", c.info["port"], r.addr)
	}
}

func jsonNumber(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestSecondInfoComesOnceAndBehindThePong(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	c := r.dial()
	c.send("PING\r\n" + `CONNECT {"verbose":false,"protocol":1}` + "\r\n")
	c.expect("PONG\r\n")
	c.send("PING\r\nPING\r\n")
	c.expect("PONG\r\n")
	info := c.readInfo()
	if info["connect_info"] != true || info["remote_account"] != "$G" {
		t.Errorf("connect_info %v, remote_account %v", info["connect_info"], info["remote_account"])
	}
	for key, value := range c.info {
		if info[key] != value {
			t.Errorf("the second INFO says %s %v, the first %v: it must be complete", key, info[key], value)
		}
	}
	c.expect("PONG\r\n")
	c.send(`CONNECT {"protocol":1}` + "\r\nPING\r\n")
	c.expect("PONG\r\n")
}

func TestServerIDHasTheFormOfAKey(t *testing.T) {
	if a, b := newID(), newID(); a == b || len(a) != 56 || !strings.HasPrefix(a, "N") {
		t.Errorf("ids %q and %q", a, b)
	}
}
