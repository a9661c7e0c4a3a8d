package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/daemon"
)

// whyServer runs with two accounts, and a hub that nobody runs.
func whyServer(t *testing.T) (url, socket string) {
	t.Helper()
	socket = socketPath(t)
	_, _, ports := startServer(t, fmt.Sprintf(`
control_socket: %q
accounts {
  A {
    users [
      {user: ann, password: a, permissions: {publish: {allow: ["s.>"], deny: ["s.secret"]}}}
      {user: bob, password: b}
      {user: shy, password: s, permissions: {subscribe: {deny: ["hidden"]}}}
    ]
    mappings { "old.*": "s.$1" }
    exports [ {stream: "shared.>"} ]
  }
  B { users [ {user: cat, password: c} ], imports [ {stream: {account: A, subject: "shared.>"}, prefix: "from" } ] }
}
leafnodes { remotes [ {url: "nats://127.0.0.1:1", account: B} ] }
`, socket))
	return ports["nats"][0], socket
}

func listen(t *testing.T, url, user, password string, args ...string) {
	t.Helper()
	start(t, edgebusBinary, "", nil, append([]string{"sub", "-s", url, "--user", user, "--password", password}, args...)...).until("Subscribing on")
}

func TestWhySaysWhoGetsItAndWhyNobodyDoes(t *testing.T) {
	url, socket := whyServer(t)
	listen(t, url, "bob", "b", "s.>")
	listen(t, url, "bob", "b", "jobs", "--queue", "workers")
	listen(t, url, "cat", "c", "from.shared.>")
	listen(t, url, "cat", "c", "only.b")
	listen(t, url, "shy", "s", "*")
	cases := []struct {
		args  string
		code  int
		first string // the first line
		also  string // somewhere
	}{
		{"s.x --from ann", 0, `delivered: one subscriber or group here`, `delivered to client \d+ "edgebus sub" of user "bob", which has subscribed to "s.>"`},
		{"s.secret --from ann", 1, `refused: permission: user "ann" may not publish to "s.secret": publish.deny has "s.secret"`, "take that entry out"},
		{"other --from ann", 1, `refused: permission: user "ann" may not publish to "other": no publish permission allows it`, "publish.allow"},
		{"old.x --from ann", 0, `delivered: .*`, `mapped: 100% of the messages become "s.x"`},
		{"jobs --from bob", 0, `delivered: 2 subscribers or groups here`, `delivered to one of 1 of queue "workers"`},
		{"shared.x --from bob", 0, `delivered: one .*`, `in account B, which has subscribed to "from.shared.>" and sees it as "from.shared.x"`},
		{"only.b --from bob", 1, `not delivered: no interest: nobody has subscribed to "only.b" in account A; account B has subscribers for it`, "export the subject"},
		{"hidden --from bob", 1, `not delivered: permission: subscriptions match "hidden", 1 in all, but their users may not have it`, "subscribe permissions"},
		{"nobody.wants --account B", 1, `not delivered: no interest: .*; link down: hub nats://127.0.0.1:1: .*connection refused`, "is the hub running"},
		{"s.x --account A", 0, `delivered: .*`, "permissions were not looked at"},
	}
	for _, c := range cases {
		r := run(t, "", append([]string{"why", "--control", socket}, strings.Fields(c.args)...)...)
		first, _, _ := strings.Cut(r.stdout, "\n")
		if r.code != c.code || !matches(c.first, first) || !matches(".*"+c.also+".*", r.stdout) {
			t.Errorf("why %s: want exit code %d, %q first and %q, got %v", c.args, c.code, c.first, c.also, r)
		}
	}
	var w daemon.Why
	r := run(t, "", "why", "--control", socket, "--json", "s.x", "--from", "ann")
	if err := json.Unmarshal([]byte(r.stdout), &w); err != nil || !w.Accepted || !w.Delivered || len(w.Ways) != 1 || len(w.Ways[0].To) != 1 || w.Ways[0].To[0].User != "bob" {
		t.Errorf("%v: %v", err, r)
	}
}

func TestWhyFollowsALinkToItsHub(t *testing.T) {
	_, _, ports := startServer(t, "server_name: hub\nleafnodes { listen: \"127.0.0.1:-1\" }\n")
	socket := socketPath(t)
	edge, _, _ := startServer(t, fmt.Sprintf("server_name: edge\ncontrol_socket: %q\nleafnodes { remotes [ { url: \"nats://%s\", deny_exports: [\"private.>\"] } ] }\n", socket, hostPort(t, ports["leafnodes"])))
	edge.until("joined a hub")
	listen(t, ports["nats"][0], "", "", "wanted.>")
	listen(t, ports["nats"][0], "", "", "private.>")
	ask := func(subject string) daemon.Why {
		var w daemon.Why
		r := run(t, "", "why", "--control", socket, "--json", subject)
		if err := json.Unmarshal([]byte(r.stdout), &w); err != nil || len(w.Links) != 1 {
			t.Fatalf("%v: %v", err, r)
		}
		return w
	}
	w := ask("wanted.x")
	for !w.Delivered && t.Context().Err() == nil { // interest is on its way
		w = ask("wanted.x")
	}
	if !w.Links[0].Sends || !w.Links[0].Takes || !strings.Contains(w.Verdict, `sent to hub "hub"`) {
		t.Errorf("wanted.x: %+v", w)
	}
	if w = ask("other"); w.Delivered || w.Links[0].Sends || !strings.Contains(w.Verdict, `not sent to hub "hub": no interest there`) {
		t.Errorf("other: %+v", w)
	}
	if w = ask("private.x"); w.Delivered || !strings.Contains(w.Verdict, `not sent to hub "hub": deny_exports of the remote keeps it here`) {
		t.Errorf("private.x: %+v", w)
	}
}

func TestWhyThatCannotBeAsked(t *testing.T) {
	_, socket := whyServer(t)
	none := file(t, "none.conf", "port: 4333\n")
	for _, s := range []step{
		{name: "no subject", args: []string{"why"}, code: 2, stderr: "edgebus: why takes one subject.*"},
		{name: "no such folder", args: []string{"why", "a", "--dir", t.TempDir()}, code: 2, stderr: "edgebus: there is no .*up.* writes one.*"},
		{name: "no socket configured", args: []string{"why", "a", "-c", none}, code: 2, stderr: "edgebus: .*names no control socket: add a line.*"},
		{name: "nobody there", args: []string{"why", "a", "--control", socket + "x"}, code: 2, stderr: "edgebus: .*is the server running.*"},
		{name: "wildcard", args: []string{"why", "a.*", "--control", socket}, code: 2, stderr: "edgebus: .*without wildcards.*"},
		{name: "unknown user", args: []string{"why", "a", "--from", "zoe", "--control", socket}, code: 2, stderr: `edgebus: .*user "zoe" is neither configured nor connected.*`},
		{name: "unknown account", args: []string{"why", "a", "--account", "Z", "--control", socket}, code: 2, stderr: `edgebus: .*account "Z" is not one of the accounts.*`},
	} {
		s.run(t, "")
	}
}
