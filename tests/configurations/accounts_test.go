package configurations

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/daemon"
)

// load reads a configuration as the program does when it starts.
func load(t *testing.T, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Load(file, nil)
	return err
}

// differences are configurations that we treat in another way than nats-server, and why.
var differences = map[string]string{
	`accounts { A { exports: [{accounts: []}] }, C {}, B {} }`:                                                                           "nothing is exported: a slip",
	`accounts { A { exports: [{service: a}, {service: b}, {stream: s}] }, C { exports: [{service: a}] }, B { imports: [{prefix: s}] } }`: "nothing is imported: a slip",
	`accounts { A { exports: [{service: "x"}], imports: [{service: {account: A, subject: "x"}}]} }`:                                      "a message would go round for ever",
	`accounts { A { exports: [{service: "x.>"}], imports: [{service: {account: A, subject: "x.>"}}]} }`:                                  "a message would go round for ever",
	`accounts { A { exports: [{stream: "x"}], imports: [{stream: {account: A, subject: "x"}}]} }`:                                        "a message would go round for ever",
	`accounts { A { exports: [{stream: "x.>"}], imports: [{stream: {account: A, subject: "x.>"}}]} }`:                                    "a message would go round for ever",
	`accounts { A { exports: [{service: "a"}], imports: [{service: {account: B, subject: "b"}, to: a}] }, B { exports: [{service: "b"}], imports: [{service: {account: C, subject: "c"}, to: b}] }, C { exports: [{service: "c"}], imports: [{service: {account: A, subject: "a"}, to: c}] } }`: "a message would go round for ever",
	`accounts { A { exports: [{stream: "a.b"}] }, B { imports: [{stream: {account: A, subject: a.b}, to: "x..y"}] } }`:                                                                                                                                                                          "there is no such subject",
	`accounts { A { exports: [{service: "a", threshold: 5}] }, C {}, B {} }`:                                                                                                                                                                                                                    "a number is seconds, with a warning, as for any duration",
	`accounts { A { mappings { "a": "" } } }`:                    "there is no such subject",
	`accounts { A { exports: [{stream: "a..b"}] }, C {}, B {} }`: "there is no such subject",
	`authorization { password: b }`:                              "everybody would come in, which nobody can have meant",
	`accounts { A { exports: [{}] } }`:                           "nothing is exported: a slip",
	`accounts { A { exports: [{stream: "a..b"}] } }`:             "there is no such subject",
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.x"}, to: "q..x"}] } }`: "there is no such subject",
	`mappings { a: [{weight: 100%}] }`:                               "a mapping to nowhere",
	`authorization { password: p }`:                                  "everybody would come in, which nobody can have meant",
	`authorization { users: [{user: a, password: "$2a$11$short"}] }`: "nobody could come in as this user",
	`authorization { users: [{user: a, proxy_required: true}] }`:     "there are no trusted proxies, so nobody could come in as this user",
}

// A recorded is a line of testdata/accounts.txt.
type recorded struct {
	loads bool   // with nats-server
	line  string // the configuration, as it stands there
	text  string // the configuration
}

func readRecord(t *testing.T) (all []recorded) {
	t.Helper()
	file, err := os.Open("testdata/accounts.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		answer, line, _ := strings.Cut(lines.Text(), " ")
		if answer != "#" {
			all = append(all, recorded{answer == "loads", line, strings.ReplaceAll(line, `\n`, "\n")})
		}
	}
	if len(all) < 390 {
		t.Errorf("%d configurations: some are missing", len(all))
	}
	return all
}

func TestConfigurationsLoadIfTheyDoWithTheReference(t *testing.T) {
	for _, each := range readRecord(t) {
		err := load(t, each.text)
		same := (err == nil) == each.loads
		reason, known := differences[each.line]
		switch {
		case err != nil && strings.Contains(err.Error(), ": syntax: "):
			t.Errorf("%s: %v: whatever it is about is not tried", each.line, err)
		case !same && !known:
			t.Errorf("%s: loads with nats-server: %v, we say: %v", each.line, each.loads, err)
		case same && known:
			t.Errorf("%s: no difference any more, which was: %s", each.line, reason)
		case err != nil && !strings.Contains(err.Error(), "x.conf:"):
			t.Errorf("%s: the refusal does not say where: %v", each.line, err)
		}
	}
}

func TestRefusalsNameThePlaceAndTheRemedy(t *testing.T) {
	for text, want := range map[string]string{
		`accounts { $G {} }`: `account "$G": the name is reserved`,
		// nats-server takes it or not, by the order in which it happens to come by the keys.
		"no_system_account: true\naccounts { A { exports: [{service: a, latency: lat}] } }": `exported service "a" has latency, which is not measured without a system account`,
		`accounts { A { users: [{user: a}] }, B { users: [{user: a}] } }`:                   `account "B": user "a" is there twice: users need names of their own, over all accounts`,
		`accounts { A { foo: bar } }`:                                                                                                   `unknown field "foo"`,
		`accounts { A { limits { max_foo: 1 } } }`:                                                                                      `unknown field "max_foo"`,
		`accounts { B { imports: [{stream: {account: A, subject: a}}] } }`:                                                              `account "B": imports stream "a" of account "A", which is not defined`,
		`accounts { A {}, B { imports: [{stream: {account: A, subject: a}}] } }`:                                                        `account "B": imports stream "a", which account "A" does not export: add it to its exports`,
		`accounts { A { exports: [{service: a, accounts: [C]}] }, C {}, B { imports: [{service: {account: A, subject: a}}] } }`:         `account "B": imports service "a", which account "A" exports to others only`,
		`accounts { A { exports: [{stream: a, accounts: [X]}] } }`:                                                                      `exported stream "a" is for account "X", which is not defined`,
		`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "b.$1", prefix: p}] } }`: `imported stream "a.*" has a prefix and a to: remove one`,
		`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "b"}] } }`:               `"b" does not use all wildcards of "a.*"`,
		`accounts { A { mappings { "a": [{destination: b, weight: 60}, {destination: c, weight: 60}] } } }`:                             `mapping of "a": the weights are 120% together: 100% is the most`,
		"system_account: X": `system_account "X" is not one of the accounts: define it there, or leave the key out`,
		"no_auth_user: x":   `no_auth_user "x" is not one of the users: add it, or name one of them`,
		`authorization { users: [{nkey: SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU}] }`:                                                                             `an nkey of users is not the public key of a user`,
		`authorization { users: [{user: a, clients: [foo]}] }`:                                                                                                                      `"foo" is no connection type: use some of STANDARD, WEBSOCKET`,
		`accounts { A { exports: [{service: x}], imports: [{service: {account: B, subject: x}}] }, B { exports: [{service: x}], imports: [{service: {account: A, subject: x}}] } }`: `imports form a cycle: A imports service "x" from B, B imports service "x" from A`,
	} {
		err := load(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "auth:") || strings.Contains(err.Error(), "SUAM") {
			t.Errorf("%s: %v: says what nobody wants to read", text, err)
		}
	}
}
