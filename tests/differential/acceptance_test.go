//go:build linux

package differential

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// Configurations of one idea each, right and wrong. What the reference takes is read off it.
var snippets = []string{
	// The authorization block.
	`authorization { user: a, password: b }`,
	`authorization { user: a }`,
	`authorization { password: b }`,
	`authorization { token: t }`,
	`authorization { token: t, user: a, password: b }`,
	`authorization { user: a, password: b, users: [{user: c, password: d}] }`,
	`authorization { users: [{user: a, password: b}, {user: a, password: b}] }`,
	`authorization { users: [{user: a}] }`,
	`authorization { users: [{password: b}] }`,
	`authorization { users: [{user: "", password: b}] }`,
	`authorization { users: [{user: a, password: ""}] }`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE}] }`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LF}] }`,
	`authorization { users: [{nkey: AABC}] }`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE, user: a}] }`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE, password: a}] }`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE}, {nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE}] }`,
	`authorization { timeout: 0.5 }`,
	`authorization { timeout: "1500ms" }`,
	`authorization { timeout: "x" }`,
	`authorization { nothing: 1 }`,
	`authorization: { default_permissions: {publish: a} }`,
	`authorization { users: [{user: a, password: b, permission: {pub: a, sub: [b]}}] }`,
	`authorization { users: [{username: a, pass: b}] }`,
	`authorization { users: [{user: a, password: b, nonsense: c}] }`,
	`authorization { users: {user: a, password: b} }`,
	`no_auth_user: a`,
	`authorization { users: [{user: a, password: b}] }
	no_auth_user: a`,
	`authorization { users: [{user: a, password: b}] }
	no_auth_user: b`,
	`authorization { user: a, password: b }
	no_auth_user: a`,
	`authorization { token: t }
	no_auth_user: a`,
	`authorization { users: [{nkey: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE}] }
	no_auth_user: UBL6ZJXDK2A7WUREC4FSS6RVILFZ2IJWWXTZZFR6JCFOAG2MSJ4YA5LE`,

	// Permissions.
	`authorization { users: [{user: a, password: b, permissions: {publish: []}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {publish: "a..b"}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {publish: "a b"}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {subscribe: "a b"}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {subscribe: "a b c"}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {subscribe: {allow: "a.>.b"}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {subscribe: {allow: "a", deny: ["b", "c.* q.>"]}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {subscribe: {allow: "a", reject: "b"}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: true}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: false}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: {max: 5, expires: "1m"}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: {max: 5, expires: "x"}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: {most: 5}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: 5}}] }`,
	`authorization { users: [{user: a, password: b, permissions: {allow_responses: {max: -1, ttl: "-1s"}}}] }`,
	`authorization { users: [{user: a, password: b, permissions: "a"}] }`,
	`authorization { users: [{user: a, password: b, allowed_connection_types: ["standard", "WEBSOCKET", "Leafnode", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"]}] }`,
	`authorization { users: [{user: a, password: b, allowed_connection_types: ["TELNET"]}] }`,
	`authorization { users: [{user: a, password: b, allowed_connection_types: "STANDARD"}] }`,
	`authorization { users: [{user: a, password: b, connection_types: []}] }`,

	// Accounts.
	`accounts {}`,
	`accounts { A {} }`,
	`accounts: [A, B]`,
	`accounts { "$SYS" { users: [{user: a, password: b}] } }`,
	`accounts { "$G" { users: [{user: a, password: b}] } }`,
	`accounts { A { nothing: 1 } }`,
	`accounts { A { users: [{user: a, password: b}] }, B { users: [{user: a, password: c}] } }`,
	`accounts { A { users: [{user: a, password: b}] } }
	authorization { users: [{user: a, password: b}] }`,
	`accounts { A { users: [{user: a, password: b}] } }
	authorization { user: c, password: b }`,
	`accounts { A { users: [{user: a, password: b}] } }
	authorization { token: t }`,
	`accounts { A { users: [{user: a, password: b}] } }
	no_auth_user: a`,
	`accounts { A { users: [{user: a, password: b}] } }
	system_account: A`,
	`accounts { A { users: [{user: a, password: b}] } }
	system_account: B`,
	`accounts { A {} }
	system_account: A
	no_system_account: true`,
	`no_system_account: true`,
	`accounts { A { nkey: AABC } }`,
	`accounts { A { limits: {max_connections: 1, max_subscriptions: 2, max_payload: 3, max_leafnodes: 4} } }`,
	`accounts { A { limits: {max_conn: -1, max_subs: -1, max_pay: -1, max_leafs: -1} } }`,
	`accounts { A { limits: {max_conn: 0} } }`,
	`accounts { A { limits: {max_things: 1} } }`,
	`accounts { A { limits: {max_conn: "1k"} } }`,
	`accounts { A { limits: {max_payload: 1kb} } }`,
	`accounts { A { default_permissions: {publish: a} } }`,

	// Exports.
	`accounts { A { exports: [{stream: "a.>"}, {service: "a.>"}] } }`,
	`accounts { A { exports: [{stream: "a.>"}, {stream: "a.x"}] } }`,
	`accounts { A { exports: [{stream: "a..b"}] } }`,
	`accounts { A { exports: [{stream: "a", service: "b"}] } }`,
	`accounts { A { exports: [{}] } }`,
	`accounts { A { exports: [{stream: a, accounts: [B]}] } }`,
	`accounts { A { exports: [{stream: a, accounts: []}] } }`,
	`accounts { A { exports: [{stream: a, accounts: [B]}] }, B {} }`,
	`accounts { A { exports: [{stream: a, accounts: B}] }, B {} }`,
	`accounts { A { exports: [{service: a, response_type: single}] } }`,
	`accounts { A { exports: [{service: a, response: Singleton}] } }`,
	`accounts { A { exports: [{service: a, response_type: chunked}] } }`,
	`accounts { A { exports: [{service: a, response_type: chunk}] } }`,
	`accounts { A { exports: [{service: a, response_type: often}] } }`,
	`accounts { A { exports: [{stream: a, response_type: single}] } }`,
	`accounts { A { exports: [{service: a, threshold: "1s"}] } }`,
	`accounts { A { exports: [{service: a, threshold: "x"}] } }`,
	`accounts { A { exports: [{service: a, latency: "lat.a"}] } }`,
	`accounts { A { exports: [{service: a, latency: {sampling: 50%, subject: lat.a}}] } }`,
	`accounts { A { exports: [{service: a, latency: {sampling: 500, subject: lat.a}}] } }`,
	`accounts { A { exports: [{service: a, latency: {sampling: headers, subject: lat.a}}] } }`,
	`accounts { A { exports: [{service: a, latency: {sampling: 50}}] } }`,
	`accounts { A { exports: [{stream: a, latency: "lat.a"}] } }`,
	`accounts { A { exports: [{service: a, latency: "lat.*"}] } }`,
	`accounts { A { exports: [{service: "a.*", account_token_position: 2}] } }`,
	`accounts { A { exports: [{service: "a.*", account_token_position: 1}] } }`,
	`accounts { A { exports: [{service: "a.*", account_token_position: 3}] } }`,
	`accounts { A { exports: [{service: "a.*", account_token_position: -1}] } }`,
	`accounts { A { exports: [{service: "a.b", account_token_position: 2}] } }`,
	`accounts { A { exports: [{stream: "a.*", account_token_position: 2}] } }`,
	`accounts { A { exports: [{stream: "a.*", account_token_position: 2, accounts: [B]}] }, B {} }`,
	`accounts { A { exports: [{service: a, allow_trace: true}] } }`,
	`accounts { A { exports: [{stream: a, allow_trace: true}] } }`,
	`accounts { A { exports: [{service: a, nonsense: 1}] } }`,

	// Imports.
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.x"}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{stream: {account: A, subject: "a.>"}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{service: {account: A, subject: "a.x"}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{stream: {account: C, subject: "a.x"}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{stream: {subject: "a.x"}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{stream: {account: A}}] } }`,
	`accounts { A { exports: [{stream: "a.x"}] }, B { imports: [{stream: "a.x"}] } }`,
	`accounts { A { exports: [{stream: "a.x"}], imports: [{stream: {account: A, subject: "a.x"}, prefix: p}] } }`,
	`accounts { A { exports: [{service: "a.x"}], imports: [{service: {account: A, subject: "a.x"}, to: p}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, prefix: "p.*"}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, prefix: "p."}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "q.*"}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "q.$1"}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "q.$2"}] } }`,
	`accounts { A { exports: [{stream: "a.*"}] }, B { imports: [{stream: {account: A, subject: "a.*"}, to: "q"}] } }`,
	`accounts { A { exports: [{stream: "a.*.*"}] }, B { imports: [{stream: {account: A, subject: "a.*.*"}, to: "q.$1"}] } }`,
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.>"}, to: "q.>"}] } }`,
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.>"}, to: "q"}] } }`,
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.x"}, to: "q..x"}] } }`,
	`accounts { A { exports: [{service: "a.*"}] }, B { imports: [{service: {account: A, subject: "a.*"}, to: "q.*"}] } }`,
	`accounts { A { exports: [{service: "a.*"}] }, B { imports: [{service: {account: A, subject: "a.*"}, to: "q.$1"}] } }`,
	`accounts { A { exports: [{service: "a.*.*"}] }, B { imports: [{service: {account: A, subject: "a.*.*"}, to: "q.$2.$1"}] } }`,
	`accounts { A { exports: [{service: "a.*.*"}] }, B { imports: [{service: {account: A, subject: "a.*.*"}, to: "q.$1"}] } }`,
	`accounts { A { exports: [{service: "a.*"}] }, B { imports: [{service: {account: A, subject: "a.*"}, to: "q"}] } }`,
	`accounts { A { exports: [{service: "a.*"}] }, B { imports: [{service: {account: A, subject: "a.*"}, prefix: "q"}] } }`,
	`accounts { A { exports: [{service: "a.>"}] }, B { imports: [{service: {account: A, subject: "a.>"}, to: "q.>"}] } }`,
	`accounts { A { exports: [{service: "a.>"}] }, B { imports: [{service: {account: A, subject: "a.x"}, share: true}] } }`,
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.x"}, share: true}] } }`,
	`accounts { A { exports: [{service: "a"}, {service: "b"}] }, B { imports: [{service: {account: A, subject: a}, to: q}, {service: {account: A, subject: b}, to: q}] } }`,
	`accounts { A { exports: [{service: "a"}] }, C { exports: [{service: a}] }, B { imports: [{service: {account: A, subject: a}, to: q}, {service: {account: C, subject: a}, to: q}] } }`,
	`accounts { A { exports: [{service: "a"}] }, B { imports: [{service: {account: A, subject: a}}, {service: {account: A, subject: a}}] } }`,
	`accounts { A { exports: [{stream: "a"}] }, B { imports: [{stream: {account: A, subject: a}}, {stream: {account: A, subject: a}}] } }`,
	`accounts { A { exports: [{stream: "a"}, {stream: "b"}] }, B { imports: [{stream: {account: A, subject: a}, to: q}, {stream: {account: A, subject: b}, to: q}] } }`,
	`accounts { A { exports: [{stream: a}], imports: [{stream: {account: B, subject: a}}] }, B { exports: [{stream: a}], imports: [{stream: {account: A, subject: a}}] } }`,
	`accounts { A { exports: [{stream: a}], imports: [{stream: {account: C, subject: a}}] }, B { exports: [{stream: a}], imports: [{stream: {account: A, subject: a}}] }, C { exports: [{stream: a}], imports: [{stream: {account: B, subject: a}}] } }`,
	`accounts { A { exports: [{service: a}], imports: [{service: {account: C, subject: a}}] }, B { exports: [{service: a}], imports: [{service: {account: A, subject: a}}] }, C { exports: [{service: a}], imports: [{service: {account: B, subject: a}}] } }`,
	`accounts { A { exports: [{service: a}], imports: [{service: {account: B, subject: b}}] }, B { exports: [{service: b}], imports: [{service: {account: A, subject: a}}] } }`,
	`accounts { A { exports: [{stream: "a.*", account_token_position: 2}] }, B { imports: [{stream: {account: A, subject: "a.B"}}] } }`,
	`accounts { A { exports: [{stream: "a.*", account_token_position: 2}] }, B { imports: [{stream: {account: A, subject: "a.C"}}] } }`,
	`accounts { A { exports: [{stream: "a.*", account_token_position: 2}] }, B { imports: [{stream: {account: A, subject: "a.*"}}] } }`,

	// Mappings.
	`mappings { a: b }`,
	`mappings { a: [b, c] }`,
	`mappings { a: {destination: b} }`,
	`mappings { a: {destination: b, weight: 50%} }`,
	`mappings { a: [{destination: b, weight: 50%}, {destination: c, weight: "50%"}] }`,
	`mappings { a: [{destination: b, weight: 50}, {destination: c, weight: 40}] }`,
	`mappings { a: [{destination: b, weight: 80%}, {destination: c, weight: 40%}] }`,
	`mappings { a: [{destination: b, weight: -1%}] }`,
	`mappings { a: [{destination: b, weight: x}] }`,
	`mappings { a: [{dest: b, weight: 100%}] }`,
	`mappings { a: [{weight: 100%}] }`,
	`mappings { a: [{destination: b, weight: 100%, cluster: east}] }`,
	`mappings { "a..b": c }`,
	`mappings { "a": "b..c" }`,
	`mappings { "a.*": "b.$1" }`,
	`mappings { "a.*": "b.$0" }`,
	`mappings { "a.*": "b.$2" }`,
	`mappings { "a.*": "b" }`,
	`mappings { "a.*": "b.*" }`,
	`mappings { "a.>": "b.>" }`,
	`mappings { "a.>": "b" }`,
	`mappings { "a": "b.>" }`,
	`mappings { "a.*.>": "b.$1.>" }`,
	`mappings { "a.*": "b.{{wildcard(1)}}" }`,
	`mappings { "a.*": "b.{{Wildcard(1)}}" }`,
	`mappings { "a.*": "b.{{wildcard(2)}}" }`,
	`mappings { "a.*": "b.{{wildcard()}}" }`,
	`mappings { "a.*": "b.{{nonsense(1)}}" }`,
	`mappings { "a.*": "b.{{wildcard(1)" }`,
	`mappings { "a.*": "b.{{partition(10,1)}}" }`,
	`mappings { "a.*": "b.{{partition(10)}}" }`,
	`mappings { "a.*": "b.{{partition(0,1)}}" }`,
	`mappings { "a.*": "b.{{partition(x,1)}}" }`,
	`mappings { "a.*": "b.{{partition(10,2)}}" }`,
	`mappings { "a.*": "b.{{split(1,-)}}" }`,
	`mappings { "a.*": "b.{{split(1)}}" }`,
	`mappings { "a.*": "b.{{splitFromLeft(1,2)}}" }`,
	`mappings { "a.*": "b.{{splitFromRight(1,2)}}" }`,
	`mappings { "a.*": "b.{{sliceFromLeft(1,2)}}" }`,
	`mappings { "a.*": "b.{{sliceFromRight(1,x)}}" }`,
	`mappings { "a.*": "b.{{left(1,2)}}" }`,
	`mappings { "a.*": "b.{{right(1,2)}}" }`,
	`mappings { "a.*": "b.{{random(3)}}" }`,
	`mappings { "a.*": "b.$1.x{{wildcard(1)}}" }`,
	`accounts { A { mappings { "a.*": "b.$1" } } }`,
	`accounts { A { maps { "a.*": "b.$2" } } }`,
	`maps { a: b }`,
	`mappings [a, b]`,
}

// stricter are those that the reference takes and edgebus refuses on purpose.
var stricter = map[string]string{
	`authorization { password: b }`:                  "it is a password that nobody is asked for",
	`accounts { A { exports: [{}] } }`:               "it exports nothing; the reference says nothing",
	`accounts { A { exports: [{stream: "a..b"}] } }`: "nothing can be published there; the reference exports it all the same",
	`accounts { A { exports: [{stream: "a.>"}] }, B { imports: [{stream: {account: A, subject: "a.x"}, to: "q..x"}] } }`: "nothing can be subscribed to there",
	`mappings { a: [{weight: 100%}] }`: "a mapping to nowhere; the reference delivers nothing",
}

// TestConfigurationsAreTakenAlike compares only whether a server starts.
func TestConfigurationsAreTakenAlike(t *testing.T) {
	process.Binary(t, process.Reference)
	process.Binary(t, process.Kind(*againstFlag))
	for i, snippet := range snippets {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			want, whyNot := takes(t, process.Reference, snippet)
			got, why := takes(t, process.Kind(*againstFlag), snippet)
			if _, ok := stricter[snippet]; ok && *againstFlag == string(process.Edgebus) {
				want = false
			}
			if want != got {
				t.Errorf("%s\nthe reference takes it: %v, we: %v\n%s%s", snippet, want, got, whyNot, why)
			}
		})
	}
}

func takes(t *testing.T, kind process.Kind, config string) (bool, string) {
	t.Helper()
	s, err := start(t, kind, config)
	if errors.Is(err, errRefused) {
		if text := s.log.String(); kind == process.Edgebus && !strings.Contains(text, "server.conf:") {
			t.Errorf("%s\nthe refusal does not say where: %s", config, text)
		}
		return false, err.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	return true, ""
}
