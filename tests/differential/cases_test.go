//go:build linux

package differential

import (
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// Cases that were found, or that are worth having always. Users of these have the password p.
var cases = []struct {
	name    string
	configs []string
	steps   string
	refused bool
}{
	{
		name: "a stream import with a prefix",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{stream: "a.>"}] }
			B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "a.>"}, prefix: "from.a"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub from.a.a.x
			4 bob sub a.x
			5 ann pub a.x
			6 ann pub a.x reply
			7 bob pub a.x`,
	},
	{
		name: "a stream import of an import",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{stream: "a.*"}] }
			B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "a.*"}, to: "b.$1"}], exports: [{stream: "b.*"}] }
			C { users: [{user: cid, password: p}], imports: [{stream: {account: B, subject: "b.*"}, to: "c.$1"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 cid login cid
			4 cid sub c.*
			5 bob sub b.x
			6 ann pub a.x
			7 bob pub b.x`,
	},
	{
		name: "a service answers once",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s.*"}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "s.*"}, to: "t.$1"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub _INBOX.*
			4 bob pub t.x _INBOX.1
			5 ann sub s.x
			6 bob pub t.x _INBOX.2
			7 ann answer
			8 ann answer
			9 bob pub t.x
			10 bob hpub t.x _INBOX.3
			11 ann answer`,
	},
	{
		name: "a service answers several times",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s", response_type: stream}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "s"}, share: true}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub _INBOX.*
			4 ann sub s
			5 bob pub s _INBOX.1
			6 ann answer
			7 ann answer
			8 bob unsub 3
			9 ann answer`,
	},
	{
		name: "a JWT that nobody has asked for is not shared",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s"}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "s"}, share: true}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login {"user":"bob","pass":"p","jwt":"eyJ0eXAiOiJKV1QifQ.e30.AAAA","lang":"go","version":"1.2.3","name":"bob"}
			3 ann sub s
			4 bob pub s _INBOX.1`,
	},
	{
		name: "a service by way of another account",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "a.>"}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "a.x"}, to: "b"}], exports: [{service: "b"}] }
			C { users: [{user: cid, password: p}], imports: [{service: {account: B, subject: "b"}, to: "c"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 cid login cid
			4 cid sub _INBOX.*
			5 ann sub a.x q
			6 bob sub b
			7 cid pub c _INBOX.1
			8 * answer`,
	},
	{
		name: "who imports is in the subject",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s.*.x", account_token_position: 2}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "s.B.x"}, to: "s"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub _INBOX.*
			4 ann sub s.*.x
			5 bob pub s _INBOX.1
			6 ann answer`,
	},
	{
		name: "somebody else in the subject",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s.*.x", account_token_position: 2}] }
			B { users: [{user: bob, password: p}], imports: [{service: {account: A, subject: "s.A.x"}, to: "s"}] }
		}`},
		refused: true,
	},
	{
		name: "a circle of services",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{service: "s"}], imports: [{service: {account: B, subject: "s"}}] }
			B { users: [{user: bob, password: p}], exports: [{service: "s"}], imports: [{service: {account: A, subject: "s"}}] }
		}`},
		refused: true,
	},
	{
		name: "a private export",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{stream: "a.>", accounts: [B]}] }
			B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "a.>"}}] }
			C { users: [{user: cid, password: p}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 cid login cid
			4 bob sub a.x
			5 cid sub a.x
			6 ann pub a.x`,
	},
	{
		name: "a private export that is not for us",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{stream: "a.>", accounts: [B]}] }
			B { users: [{user: bob, password: p}] }
			C { users: [{user: cid, password: p}], imports: [{stream: {account: A, subject: "a.>"}}] }
		}`},
		refused: true,
	},
	{
		name: "queue groups across accounts",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], exports: [{stream: "a.>"}] }
			B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "a.>"}}] }
			C { users: [{user: cid, password: p}], imports: [{stream: {account: A, subject: "a.*"}, to: "x.$1"}] }
		}`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 cid login cid
			4 ann sub a.x q
			5 bob sub a.x q
			6 bob sub a.* q
			7 cid sub x.x q
			8 cid sub x.* other
			9 ann pub a.x`,
	},
	{
		name: "permissions look at the mapped subject",
		configs: []string{`
			authorization { users: [
				{user: ann, password: p, permissions: {publish: ["m.x", "a.y"]}}
				{user: bob, password: p}
			] }
			mappings { "m.*": "a.$1" }`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub >
			4 ann pub m.x
			5 ann pub m.y
			6 ann pub a.y
			7 bob pub m.z`,
	},
	{
		name: "limits of accounts",
		configs: []string{`accounts {
			A { users: [{user: ann, password: p}], limits: {max_connections: 2, max_subscriptions: 2} }
			B { users: [{user: bob, password: p}], limits: {max_payload: 100} }
		}`},
		steps: `
			1 ann login ann
			2 ann2 login ann
			3 ann3 login ann
			4 ann sub a
			5 ann2 sub b
			6 ann2 sub c
			7 ann unsub 4
			8 ann2 sub c
			9 bob login bob
			10 bob big x
			11 ann2 leave
			12 ann3 login ann
			13 ann3 sub d
			14 ann sub e`,
	},
	{
		name: "a message that comes twice counts twice as answered",
		configs: []string{`authorization { users: [
			{user: ann, password: p, permissions: {subscribe: ">", allow_responses: true}}
			{user: bob, password: p}
		] }`},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a
			4 bob pub a r1
			5 ann answer
			6 ann answer
			7 ann sub a
			8 bob pub a r2
			9 ann answer
			10 ann sub a
			11 bob pub a r3
			12 ann answer
			13 ann answer`,
	},
	{
		name: "a reload forgets what may be answered",
		configs: []string{
			`authorization { users: [{user: ann, password: p, permissions: {subscribe: ">", allow_responses: true}}, {user: bob, password: p}] }`,
			`authorization { users: [{user: ann, password: p, permissions: {subscribe: ">", allow_responses: true}}, {user: bob, password: p}, {user: cid, password: p}] }`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a
			4 bob pub a r1
			5 * reload 1
			6 ann answer
			7 bob pub a r2
			8 ann answer`,
	},
	{
		name:    "a 503 names the mapped subject",
		configs: []string{`mappings { "m.*": "a.$1" }`},
		steps: `
			1 ann login {"verbose":false,"headers":true,"no_responders":true}
			2 ann sub r
			3 ann pub m.x r
			4 ann hpub m.y r`,
	},
	{
		name: "a reload takes a user away",
		configs: []string{
			`authorization { users: [{user: ann, password: p}, {user: bob, password: p}] }`,
			`authorization { users: [{user: bob, password: p}] }`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a
			4 bob sub a
			5 * reload 1
			6 bob pub a
			7 ann login ann`,
	},
	{
		name: "a reload changes a password",
		configs: []string{
			`authorization { users: [{user: ann, password: p}, {user: bob, password: p}] }`,
			`authorization { users: [{user: ann, password: other}, {user: bob, password: p}] }`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a
			4 * reload 1
			5 bob pub a
			6 ann login ann`,
	},
	{
		name: "a reload narrows what may be subscribed to",
		configs: []string{
			`authorization { users: [{user: ann, password: p}, {user: bob, password: p}] }`,
			`authorization { users: [{user: ann, password: p, permissions: {subscribe: {allow: ["a.>", "q.> v1"], deny: "a.x"}, publish: "a.y"}}, {user: bob, password: p}] }`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a.x
			4 ann sub a.*
			5 ann sub b
			6 ann sub q.x v1
			7 ann sub q.x v2
			8 * reload 1
			9 bob pub a.x
			10 bob pub a.y
			11 bob pub b
			12 bob pub q.x
			13 ann pub a.x
			14 ann pub a.y`,
	},
	{
		name: "a reload takes an import and an export away",
		configs: []string{
			`accounts {
				A { users: [{user: ann, password: p}], exports: [{stream: "a.>"}, {service: "s"}] }
				B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "a.>"}}, {service: {account: A, subject: "s"}}] }
			}`,
			`accounts {
				A { users: [{user: ann, password: p}], exports: [{stream: "a.>"}, {service: "s"}] }
				B { users: [{user: bob, password: p}] }
			}`,
			`accounts {
				A { users: [{user: ann, password: p}], exports: [{stream: "b.>"}] }
				B { users: [{user: bob, password: p}], imports: [{stream: {account: A, subject: "b.>"}}] }
			}`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 bob sub a.x
			4 bob sub b.x
			5 bob sub _INBOX.*
			6 ann sub s
			7 ann pub a.x
			8 bob pub s _INBOX.1
			9 * reload 1
			10 ann answer
			11 ann pub a.x
			12 bob pub s _INBOX.2
			13 * reload 2
			14 ann pub a.x
			15 ann pub b.x
			16 * reload 0
			17 ann pub a.x
			18 bob pub s _INBOX.3
			19 ann answer`,
	},
	{
		name: "a reload moves a user to another account",
		configs: []string{
			`accounts { A { users: [{user: ann, password: p}] }, B { users: [{user: bob, password: p}] } }`,
			`accounts { A { users: [] }, B { users: [{user: bob, password: p}, {user: ann, password: p}] } }`,
		},
		steps: `
			1 ann login ann
			2 bob login bob
			3 ann sub a
			4 * reload 1
			5 bob pub a
			6 ann login ann
			7 ann sub a
			8 bob pub a`,
	},
	{
		name: "a reload changes mappings",
		configs: []string{
			`authorization { users: [{user: ann, password: p}] }
			mappings { "m.*": "a.$1" }`,
			`authorization { users: [{user: ann, password: p}] }
			mappings { "m.*": "b.$1", "x.*.*": "a.$2.$1" }`,
		},
		steps: `
			1 ann login ann
			2 ann sub >
			3 ann pub m.x
			4 * reload 1
			5 ann pub m.x
			6 ann pub x.1.2`,
	},
	{
		name: "a bad reload leaves all as it was",
		configs: []string{
			`authorization { users: [{user: ann, password: p}] }`,
			`authorization { users: [{user: bob, password: p}], nonsense: 1 }`,
			`accounts { A { users: [{user: ann, password: p}], imports: [{stream: {account: NONE, subject: a}}] } }`,
		},
		steps: `
			1 ann login ann
			2 ann sub a
			3 * reload 1
			4 ann pub a
			5 bob login bob
			6 * reload 2
			7 ann pub a
			8 ann login ann`,
	},
	{
		name: "a reload lowers limits of an account",
		configs: []string{
			`accounts { A { users: [{user: ann, password: p}] } }`,
			`accounts { A { users: [{user: ann, password: p}], limits: {max_payload: 100, max_subscriptions: 3} } }`,
		},
		steps: `
			1 ann login ann
			2 ann sub a
			3 * reload 1
			4 ann pub a
			5 ann sub b
			6 ann big a
			7 ann login ann
			8 ann big a`,
	},
}

func TestNamedCasesAreDecidedAlike(t *testing.T) {
	process.Binary(t, process.Reference)
	process.Binary(t, process.Kind(*againstFlag))
	for _, each := range cases {
		t.Run(each.name, func(t *testing.T) {
			t.Parallel()
			s := &scenario{steps: readSteps(t, each.steps)}
			for _, config := range each.configs {
				s.configs = append(s.configs, "server_name: differential\n"+config)
			}
			if o := compare(t, s); isRefused(o) != each.refused {
				t.Errorf("refused by the reference: %v", isRefused(o))
			}
		})
	}
}
