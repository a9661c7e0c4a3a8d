package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample is a target with a field of every type that config can fill.
type sample struct {
	Name     string        `conf:"server_name,alias=name"`
	Port     int           `conf:"port"`
	Payload  int           `conf:"max_payload,size"`
	Pending  int64         `conf:"max_pending,size"`
	Tokens   uint8         `conf:"max_sub_tokens"`
	Debug    bool          `conf:"debug"`
	Ratio    float64       `conf:"ratio"`
	Interval time.Duration `conf:"ping_interval"`
	Tags     []string      `conf:"server_tags"`
	Auth     *sampleAuth   `conf:"authorization"`
	Named    map[string]struct {
		Max int `conf:"max"`
	} `conf:"named"`
	Shared `conf:",inline"`
	hidden int
	Other  int // no tag: not read
}

type Shared struct {
	File string `conf:"log_file,alias=logfile"`
}

type sampleAuth struct {
	User     string        `conf:"user"`
	Password string        `conf:"password"`
	Timeout  time.Duration `conf:"timeout"`
	Users    []sampleUser  `conf:"users"`
}

type sampleUser struct {
	User        string `conf:"user"`
	Password    string `conf:"password"`
	Permissions perms  `conf:"permissions"`
}

// perms is polymorphic: a text, a list or a block.
type perms struct{ got any }

func (p *perms) UnmarshalConf(value any) error {
	if _, isNumber := value.(int64); isNumber {
		return errors.New("a number is no permission")
	}
	p.got = value
	return nil
}

var sampleClasses = map[string]Class{
	"cluster":                    {Kind: WithoutEffect, Text: "edgebus joins clusters as a leaf"},
	"tls":                        {Kind: Refused, Text: "not built yet"},
	"jetstream":                  {Kind: Refused, Text: "not built yet", Off: SwitchedOff},
	"accounts":                   {Kind: Refused, Text: "not built yet", Off: Empty},
	"authorization.auth_callout": {Kind: Refused, Text: "not built yet"},
}

func TestEveryTypeIsRead(t *testing.T) {
	t.Setenv("EDGEBUS_TEST_PORT", "4333")
	var got sample
	got.Other, got.hidden = 7, 7
	result, err := Parse("x.conf", `
		# comment
		SERVER_NAME: gateway, port: $EDGEBUS_TEST_PORT; debug yes
		max_payload = 64kb
		max_pending: "1MB"
		max_sub_tokens 16
		ratio: 0.5
		ping_interval: "1m30s"
		server_tags: one // a single value is a list of one
		mine: "secret"
		logfile: /tmp/x.log
		authorization {
			user: a, password: $mine
			timeout: 0.5
			users = [
				{user: b, password: $2a$11$abcdefghijklmnopqrstuv, permissions: {publish: "x.>"}}
				{user: c, permissions: [1, "y"]}
			]
		}
		named { One {max: 1}, two {max: 2} }
		jetstream: false
		accounts {}
	`, &got, sampleClasses)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Warnings) != 0 {
		t.Errorf("warnings: %v", result.Warnings)
	}
	want := sample{Name: "gateway", Port: 4333, Payload: 64 << 10, Pending: 1 << 20, Tokens: 16, Debug: true, Ratio: 0.5,
		Interval: 90 * time.Second, Tags: []string{"one"}, Shared: Shared{"/tmp/x.log"}, Other: 7, hidden: 7}
	want.Auth = &sampleAuth{User: "a", Password: "secret", Timeout: time.Second / 2, Users: []sampleUser{
		{User: "b", Password: "$2a$11$abcdefghijklmnopqrstuv", Permissions: perms{map[string]any{"publish": "x.>"}}},
		{User: "c", Permissions: perms{[]any{int64(1), "y"}}},
	}}
	if got.Named["One"].Max != 1 || got.Named["two"].Max != 2 {
		t.Errorf("map: %v", got.Named)
	}
	got.Named = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if place, ok := result.places["log_file"]; !ok || place.Line != 11 {
		t.Errorf("log_file given as logfile is at %v %v, want line 11", place, ok)
	}
	if result.Has("no_such") {
		t.Error("has a key that is absent")
	}
}

func TestProblemsHavePlaceAndRemedy(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"near key":         {"port: 1\nmax_paylod: 1", `x.conf:2:1: unknown field "max_paylod": did you mean "max_payload"?`},
		"near class":       {"clutser {}", `x.conf:1:1: unknown field "clutser": did you mean "cluster"?`},
		"far key":          {"completely_different: 1", `x.conf:1:1: unknown field "completely_different"`},
		"other block":      {"\nuser: a", `x.conf:2:1: unknown field "user": it belongs in the block "authorization"`},
		"top key in block": {"authorization { ping_interval: 1 }", `x.conf:1:17: unknown field "ping_interval": it belongs at the top of the file, outside of all blocks`},
		"nested":           {"authorization {\n  users: [\n    {usr: a}\n  ]\n}", `x.conf:3:6: unknown field "usr": did you mean "user"?`},
		"two names":        {"name: a\nserver_name: b", `x.conf:2:1: "server_name" is given twice (as "name" in line 1): remove one`},
		"text as number":   {"port: \"1\"", `x.conf:1:1: port: wants a whole number and got the text "1": write digits, without quotes`},
		"number as text":   {"name: 1", `server_name: wants text and got the number 1: put it in quotes`},
		"secret not shown": {"authorization {password: 12345}", `authorization.password: wants text and got something else: put it in quotes`},
		"no duration":      {"ping_interval: soon", `ping_interval: wants a duration and got the text "soon": write a number and a unit in quotes, such as "30s" or "2m"`},
		"no size":          {"max_payload: big", `max_payload: wants a size and got the text "big"`},
		"lost size":        {"max_payload: 1kbb", `x.conf:1:14: "1kbb" is no size`},
		"wrapped size":     {"max_payload: 9000pb", `x.conf:1:14: "9000pb" is no size`},
		"out of range":     {"max_sub_tokens: 300", `max_sub_tokens: 300 is out of range`},
		"huge number":      {"\nport: 99999999999999999999", `x.conf:2:7: integer '99999999999999999999' is out of the range`},
		"negative":         {"max_sub_tokens: -1", `max_sub_tokens: -1 is out of range`},
		"not a bool":       {"debug: 1", `debug: wants true or false and got the number 1`},
		"not a block":      {"authorization: yes", `authorization: wants a block and got true`},
		"list for block":   {"authorization: [a]", `authorization: wants a block and got a list`},
		"block for list":   {"server_tags {}", `server_tags: wants a list and got a block`},
		"text for blocks":  {"authorization {users: a}", `authorization.users: wants a list of blocks and got the text "a"`},
		"own type":         {"authorization {users: [\n{user: a\npermissions: 1}]}", `x.conf:3:1: authorization.users.permissions: a number is no permission`},
		"refused":          {"\n\ntls {cert_file: x}", `x.conf:3:1: "tls" is refused: not built yet`},
		"refused nested":   {"authorization {\nauth_callout {}\n}", `x.conf:2:1: "auth_callout" is refused`},
		"refused when on":  {"jetstream {}", `"jetstream" is refused`},
		"no variable":      {"port: 1\nname: $EDGEBUS_NOT_SET", `x.conf:2: $EDGEBUS_NOT_SET has no value: set EDGEBUS_NOT_SET above this line or in the environment`},
		"open block":       {"port: 1\nauthorization {\n  user: a\n", `x.conf:2:15: this block or list is never closed`},
		"open quote":       {"name: \"abc\n\n", `x.conf:1:7: this quote is never closed`},
		"open quote, cut":  {"authorization { users: [\"", `this quote is never closed`},
		"open file":        {"{ port: 1", `x.conf:1:1: this block or list is never closed`},
		"lone key":         {"port: 1\nhost", `x.conf:2: the file ends with a key that has no value`},
		"no value":         {"port:\nhost: a", `x.conf:1: syntax: `},
		"zero byte":        {"port: 1\n\x00host: a", `x.conf:2:1: the byte 0x00 here is a control character: this is no text file`},
		"latin 1":          {"name: \"K\xfche\"", `x.conf:1:9: the byte 0xfc here is not UTF-8`},
		"byte order mark":  {"\uFEFFport: 1", `x.conf:1:1: the byte 0xef here is a byte order mark`},
		"elf":              {"\x7fELF\x02\x01\x01", `x.conf:1:1: the byte 0x7f here is a control character`},
		"deep":             {"a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), `blocks stand inside one another more than 64 deep`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.conf", test.text, &sample{}, sampleClasses)
			if err == nil {
				t.Fatalf("no error, want %s", test.want)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("\n got %v\nwant %s", err, test.want)
			}
			var all Problems
			if !errors.As(err, &all) || all[0].File != "x.conf" {
				t.Errorf("%#v has no place", err)
			}
		})
	}
}

// Two letters of three are another word: variables, most of the time, and not "tls".
func TestAShortWordGetsNoFarFetchedHint(t *testing.T) {
	_, err := Parse("x.conf", "TOK: abc", &sample{}, sampleClasses)
	if want := `x.conf:1:1: unknown field "TOK"`; err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

func TestEveryErrorIsReported(t *testing.T) {
	_, err := Parse("x.conf", "port: no\nmax_paylod: 1\ntls {}\nping_interval: x\n", &sample{}, sampleClasses)
	var all Problems
	if !errors.As(err, &all) || len(all) != 4 {
		t.Fatalf("%d problems, want 4:\n%v", len(all), err)
	}
	for i, one := range all {
		if one.Line != i+1 {
			t.Errorf("problem %d is said to be in line %d", i+1, one.Line)
		}
	}
}

func TestWarningsDoNotStopAnything(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"seconds":       {"ping_interval: 5", `x.conf:1:1: ping_interval: a bare number is read as seconds: write "5s"`},
		"no effect":     {"cluster {name: x}", `x.conf:1:1: "cluster" has no effect here: edgebus joins clusters as a leaf`},
		"equal keys":    {"port: 1\nport: 2", `x.conf:2:1: "port" is given twice in one block (first in line 1): only the last one counts`},
		"nested blocks": {"authorization {user: a\nuser: b}", `x.conf:2:1: "user" is given twice`},
	} {
		result, err := Parse("x.conf", test.text, &sample{}, sampleClasses)
		if err != nil || len(result.Warnings) != 1 {
			t.Errorf("%s: %v, error %v", name, result, err)
			continue
		}
		if !strings.Contains(result.Warnings[0].String(), test.want) {
			t.Errorf("%s:\n got %v\nwant %s", name, result.Warnings[0], test.want)
		}
	}
}

// files writes a folder of configuration files.
func files(t testing.TB, texts map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestIncludesBringKeysAndVariables(t *testing.T) {
	folder := files(t, map[string]string{
		"main.conf":      "include ./sub/vars.conf\ninclude 'sub/auth.conf' # really\nport: $EDGE_PORT\n# include \"main.conf\"\nname: \"include main.conf\"\n",
		"sub/vars.conf":  "EDGE_PORT: 4333\n",
		"sub/auth.conf":  "authorization {\n  include inner.conf\n}\n",
		"sub/inner.conf": "user: a\npassword: b\n",
	})
	var got sample
	result, err := Load(filepath.Join(folder, "main.conf"), &got, sampleClasses)
	if err != nil {
		t.Fatal(err)
	}
	if got.Port != 4333 || got.Auth == nil || got.Auth.Password != "b" {
		t.Errorf("got %+v %+v", got, got.Auth)
	}
	if place := result.places["authorization.password"]; !strings.HasSuffix(place.String(), "inner.conf:2:1") {
		t.Errorf("password is at %v", place)
	}
}

func TestFilesThatCannotBeReadSayWhy(t *testing.T) {
	deep := map[string]string{"deep0.conf": "port: 1"}
	for i := 1; i <= maxIncludeDepth; i++ {
		deep[fmt.Sprintf("deep%d.conf", i)] = fmt.Sprintf("include deep%d.conf\n", i-1)
	}
	for name, test := range map[string]struct {
		files map[string]string
		start string
		want  string
	}{
		"absent":         {nil, "no.conf", "no.conf: there is no such file"},
		"folder":         {map[string]string{"x/y": ""}, "x", "is a folder, and a file is wanted"},
		"no devices":     {map[string]string{"a.conf": "port: 1\n  include devices.conf"}, "a.conf", `devices.conf: add the first device, which writes that file: edgebus device add NAME`},
		"absent include": {map[string]string{"a.conf": "port: 1\n  include b.conf"}, "a.conf", `a.conf:2:3: include "b.conf": there is no file`},
		"itself":         {map[string]string{"a.conf": "include a.conf"}, "a.conf", `a.conf:1:1: include "a.conf": the file includes itself`},
		"a circle":       {map[string]string{"a.conf": "INCLUDE\t\"b.conf\"", "b.conf": "authorization {\n include 'c.conf'; }", "c.conf": "port: 1; include ./a.conf"}, "a.conf", `c.conf:1:10: include "./a.conf": the file includes itself`},
		"too deep":       {deep, "deep16.conf", "includes stand inside one another more than 16 deep"},
		"bad include":    {map[string]string{"a.conf": "include b.conf", "b.conf": "port: 1\nhost: [\n"}, "a.conf", `b.conf:2:7: this block or list is never closed`},
		"bad in include": {map[string]string{"a.conf": "include b.conf", "b.conf": "port: x"}, "a.conf", `b.conf:1:1: port: wants a whole number`},
		"bad syntax":     {map[string]string{"a.conf": "include b.conf", "b.conf": "port: 1 2\n"}, "a.conf", "b.conf:1: syntax: "},
		"binary include": {map[string]string{"a.conf": "include b.conf", "b.conf": "\x00"}, "a.conf", "b.conf:1:1: the byte 0x00"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := files(t, test.files)
			_, err := Load(filepath.Join(folder, test.start), &sample{}, sampleClasses)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("\n got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestVariablesThatMultiplyAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("v0: {x: 1, y: 1}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&text, "v%d: {x: $v%d, y: $v%d}\n", i, i-1, i-1)
	}
	_, err := Parse("x.conf", text.String(), &sample{}, nil)
	if err == nil || !strings.Contains(err.Error(), "values, counting what variables stand for") {
		t.Errorf("got %v", err)
	}
}

// The digest is the one that nats-server 2.15.2 -t prints for this file.
func TestDigestIsThatOfNATSServer(t *testing.T) {
	result, err := Parse("x.conf", "port: 4222\nserver_name: \"a<b\"\n", &sample{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "sha256:43c67cb34a52bd43dd8e9ed0d6ce143d2d0e8d3789fa3fd083a911dc533b02d2"
	if result.Digest != want {
		t.Errorf("got %s, want %s", result.Digest, want)
	}
}

func TestKeysNameEveryTaggedField(t *testing.T) {
	keys := strings.Join(Keys(&sample{}), " ")
	for _, want := range []string{"server_name", "name", "logfile", "authorization", "authorization.users.permissions", "named.max"} {
		if !strings.Contains(" "+keys+" ", " "+want+" ") {
			t.Errorf("no %q in %s", want, keys)
		}
	}
}

func TestNearestCountsSwaps(t *testing.T) {
	known := []string{"host", "port", "max_payload", "max_pending", "ping_max", "allow_non_tls"}
	for wrong, want := range map[string]string{
		"prot": "port", "hots": "host", "maxpayload": "max_payload", "max_pendign": "max_pending", "zzzzzz": "", "": "",
		"allow_anonymous": "", "allow_nontls": "allow_non_tls",
		strings.Repeat("x", 500): "",
	} {
		if got := Nearest(wrong, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", wrong, got, want)
		}
	}
}

func TestMapOfBlocks(t *testing.T) {
	type block struct {
		Users []string `conf:"users"`
	}
	for name, test := range map[string]struct {
		text, want, problem string
	}{
		"blocks":                {text: "accounts { a { users: [x] }, b {} }", want: "map[a:{[x]} b:{[]}]"},
		"names":                 {text: "accounts: [a, b]", want: "map[a:{[]} b:{[]}]"},
		"a variable among them": {text: "accounts { word: x, a { users: [$word] } }", want: "map[a:{[x]}]"},
		"an unused word":        {text: "accounts { word: x, a {} }", problem: "wants a block"},
		"a number for a name":   {text: "accounts: [ 1, a ]\n", problem: "a name"},
		"text":                  {text: "accounts: a", problem: "a block"},
	} {
		t.Run(name, func(t *testing.T) {
			var target struct {
				Accounts map[string]block `conf:"accounts"`
			}
			_, err := Parse("x.conf", test.text, &target, nil)
			switch {
			case test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)):
				t.Errorf("error %v, want one about %s", err, test.problem)
			case test.problem == "" && err != nil:
				t.Error(err)
			case test.problem == "" && fmt.Sprint(target.Accounts) != test.want:
				t.Errorf("%v, want %s", target.Accounts, test.want)
			}
		})
	}
}
