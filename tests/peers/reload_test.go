//go:build linux

package peers

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestReloadEndsWhoIsNoLongerAllowed(t *testing.T) {
	old, other := userKey(), userKey()
	seed := write(t, "seed", old.seed())
	keyed := func(k key) string {
		return "authorization { users: [{nkey: " + k.public() + "}, {user: u, password: p}] }"
	}
	for _, c := range []struct{ name, before, after, settings, then string }{
		{"password changed", "authorization { user: u, password: p }", "authorization { user: u, password: q }", "user u p", "user u q"},
		{"password of one of many changed", users("{user: u, password: p}"), users("{user: u, password: q}"), "user u p", "user u q"},
		{"password crypted anew", users(`{user: u, password: "` + hashed("p") + `"}`), users(`{user: u, password: "` + hashed("q") + `"}`), "user u p", "user u q"},
		{"token changed", "authorization { token: t }", "authorization { token: s }", "token t", "token s"},
		{"user removed", users("{user: u, password: p}"), users(""), "user u p", "user other p"},
		{"nkey removed", keyed(old), keyed(other), "nkey " + old.public() + " " + seed, "user u p"},
		{"connection type no longer allowed", users("{user: u, password: p}"), users(`{user: u, password: p, allowed_connection_types: ["WEBSOCKET"]}`), "user u p", "user other p"},
		{"users where there were none", "", users(""), "", "user other p"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tell(t, c.before, func(p *play) {
				p.enter(settings(c.settings)...)
				p.reload(c.after)
				p.expect("ended authorization")
				p.must("close")
				p.login("afterwards", "connected", c.then)
			})
		})
	}
}

func settings(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// users is a configuration with one user who always stays, and others.
func users(others string) string {
	return "authorization { users: [\n{user: other, password: p}\n" + others + "\n] }"
}

func TestReloadLeavesOthersAlone(t *testing.T) {
	tell(t, users("{user: u, password: p}\n{user: v, password: p}"), func(p *play) {
		p.enter("user other p")
		p.must("sub x")
		p.must("sub q group")
		p.settle()
		admin := connect(p.T, p.s, nats.UserInfo("other", "p"))
		for _, config := range []string{
			users("{user: u, password: q}"), users(""), users("{user: w, password: p}") + "\nmax_payload: 1000",
			users(`{user: u, password: p, permissions: {publish: "a"}}`) + "\nping_interval: \"1m\"",
		} {
			p.reload(config)
			publish(p.T, admin, "x", "still")
			publish(p.T, admin, "q", "still")
			flush(p.T, admin)
			p.expect("msg x still", "msg q still")
		}
		p.settle()
	})
}

// nats-server cannot change no_auth_user itself without a restart.
func TestReloadChangesNobodyInParticular(t *testing.T) {
	config := func(u string) string { return users("{user: u, "+u+"}") + "\nno_auth_user: u" }
	tell(t, config("password: p"), func(p *play) {
		p.enter()
		p.must("sub x")
		p.settle()
		p.reload(config("password: q"))
		p.expect("disconnected", "reconnected")
		p.settle()
		p.must("pub x 1")
		p.expect("msg x 1")
		p.reload(config(`password: q, permissions: {publish: y, subscribe: "_INBOX.>"}`))
		p.expect("error permissions")
		p.must("pub x 2")
		p.expect("error permissions")
		p.settle()
	})
}

func TestReloadTakesPermissions(t *testing.T) {
	config := func(permissions string) string {
		return users("{user: u, password: p, permissions: {" + permissions + "}}")
	}
	before := config(`publish: ["a", "b"], subscribe: ["in.>", "jobs", "jobs team"]`)
	tell(t, before, func(p *play) {
		p.enter("user u p")
		for _, each := range []string{"in.a", "in.b", "in.>", "jobs", "jobs team"} {
			p.must("sub %s", each)
		}
		p.settle()
		admin := connect(p.T, p.s, nats.UserInfo("other", "p"))
		all := subscribe(p.T, admin, ">")
		p.must("pub a 1")
		expect(p.T, all, "a", "1")

		p.note("removed")
		p.reload(config(`publish: "b", subscribe: "in.a"`))
		p.expect("error permissions", "error permissions", "error permissions", "error permissions")
		publish(p.T, admin, "in.a", "yes")
		publish(p.T, admin, "in.b", "no")
		publish(p.T, admin, "jobs", "no")
		flush(p.T, admin)
		p.expect("msg in.a yes")
		p.settle()
		p.must("pub a 2")
		p.expect("error permissions")
		p.must("pub b 2")
		for _, subject := range []string{"in.a", "in.b", "jobs", "b"} {
			if m, err := all.NextMsg(patience); err != nil || m.Subject != subject {
				p.Fatalf("got %v, %v, want %s", m, err, subject)
			}
		}
		p.must("sub in.b")
		p.expect("error permissions")

		p.note("denied")
		p.reload(config(`publish: {deny: "b"}, subscribe: {deny: "in.b"}`))
		p.must("sub in.*")
		p.must("pub b 3")
		p.expect("error permissions")
		publish(p.T, admin, "in.b", "no")
		publish(p.T, admin, "in.c", "yes")
		flush(p.T, admin)
		p.expect("msg in.c yes")
		p.settle()

		p.note("given back")
		p.reload(config(""))
		p.must("sub in.b")
		p.must("pub b 4")
		p.settle()
		publish(p.T, admin, "in.b", "yes")
		flush(p.T, admin)
		p.expect("msg in.b yes", "msg in.b yes")
		p.settle()
	})
}

func TestReloadTakesResponses(t *testing.T) {
	config := func(responses string) string {
		return users("{user: u, password: p, permissions: {subscribe: svc, publish: x, allow_responses: " + responses + "}}")
	}
	tell(t, config("true"), func(p *play) {
		p.enter("user u p")
		p.must("sub svc")
		p.settle()
		admin := connect(p.T, p.s, nats.UserInfo("other", "p"))
		answers := subscribe(p.T, admin, "answers.>")
		ask := func(reply string) {
			if err := admin.PublishRequest("svc", reply, []byte("?")); err != nil {
				p.Fatal(err)
			}
			flush(p.T, admin)
			p.expect("msg svc ?")
		}
		ask("answers.1")
		p.must("pub answers.1 a")
		expect(p.T, answers, "answers.1", "a")
		p.must("pub answers.1 b")
		p.expect("error permissions")
		p.reload(config("false"))
		ask("answers.2")
		p.must("pub answers.2 a")
		p.expect("error permissions")
		expectNothing(p.T, answers, admin)
	})
}

func TestReloadMovesAccount(t *testing.T) {
	config := func(a, b string) string {
		return "accounts { A { users: [{user: a, password: p}, " + a + "] }, B { users: [{user: b, password: p}, " + b + "] } }"
	}
	const u = "{user: u, password: p}"
	tell(t, config(u, ""), func(p *play) {
		p.enter("user u p")
		p.must("sub x")
		p.settle()
		a, b := connect(p.T, p.s, nats.UserInfo("a", "p")), connect(p.T, p.s, nats.UserInfo("b", "p"))
		publish(p.T, a, "x", "from a")
		flush(p.T, a)
		p.expect("msg x from a")
		p.reload(config("", u))
		p.expect("disconnected", "reconnected")
		p.settle() // the subscription is there again
		publish(p.T, a, "x", "from a")
		flush(p.T, a)
		publish(p.T, b, "x", "from b")
		flush(p.T, b)
		p.expect("msg x from b")
		p.note(whoAmI(p.do("request $SYS.REQ.USER.INFO")))
		p.settle()
	})
}

func TestReloadChangesImports(t *testing.T) {
	config := func(imports string) string {
		return `accounts {
			A { users: [{user: a, password: p}], exports: [{stream: "s.>"}, {service: "svc"}, {service: "other"}] }
			B { users: [{user: u, password: p}], imports: [` + imports + `] } }`
	}
	const stream, service = `{stream: {account: A, subject: "s.>"}, prefix: from}`, `{service: {account: A, subject: svc}, to: ask}`
	tell(t, config(stream+", "+service), func(p *play) {
		p.enter("user u p")
		p.must("sub from.>")
		p.must("sub s.>")
		p.settle()
		a := connect(p.T, p.s, nats.UserInfo("a", "p"))
		for _, each := range []string{"svc", "other"} {
			if _, err := a.Subscribe(each, func(m *nats.Msg) { m.Respond([]byte("here is " + each)) }); err != nil {
				p.Fatal(err)
			}
		}
		try := func(what string, events ...string) {
			p.note(what)
			publish(p.T, a, "s.1", what)
			flush(p.T, a)
			p.expect(events...)
			p.note(p.do("request ask ?"))
			p.settle()
		}
		flush(p.T, a)
		try("both", "msg from.s.1 both")
		p.reload(config(service))
		try("service alone")
		p.reload(config(stream))
		try("stream alone", "msg from.s.1 stream alone")
		p.reload(config(`{stream: {account: A, subject: "s.>"}}, {service: {account: A, subject: other}, to: ask}`))
		try("others", "msg s.1 others")
		p.reload(config(""))
		try("none")
	})
}

func TestReloadReplacesCertificates(t *testing.T) {
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	file, keyFile := write(t, "server.pem", ""), write(t, "key.pem", "")
	lay := func(by *authority) {
		c := by.forServer(t)
		for to, from := range map[string]string{file: c.file, keyFile: c.key} {
			if err := os.WriteFile(to, must(os.ReadFile(from)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mail := func(a *authority) string {
		return a.issue(t, func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@example.com"} }).set()
	}
	firstMail, secondMail := mail(first), mail(second)
	config := func(a *authority, user string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }\nauthorization { users: [{user: %q}] }", file, keyFile, a.file, user)
	}
	for _, library := range libraries { // one after the other: the files are the same for all
		t.Run(library.name, func(t *testing.T) {
			lay(first)
			library.tell(t, process.Options{Config: config(first, "ann@example.com")}, func(p *play) {
				lay(first) // the other server's turn has left the second's
				p.reload(config(first, "ann@example.com"))
				p.login("before", "connected", "ca "+first.file, firstMail)
				p.enter("ca "+first.file, firstMail)
				lay(second)
				p.reload(config(second, "ann@example.com"))
				p.settle() // who is there stays
				p.note(p.do("request $SYS.REQ.USER.INFO")[:6])
				p.must("close")
				p.login("server's authority that the client does not know", "refused certificate", "ca "+first.file, firstMail)
				p.login("client's authority that the server does not know", "refused broken", soon, "ca "+second.file, firstMail)
				p.login("after", "connected", "ca "+second.file, secondMail)
				p.reload(config(second, "eve@example.com"))
				p.login("no longer mapped", "refused authorization", "ca "+second.file, secondMail)
			})
		})
	}
}

func TestReloadRefusedChangesNothing(t *testing.T) {
	tell(t, users("{user: u, password: p}"), func(p *play) {
		p.enter("user u p")
		for _, bad := range []string{"authorization {", users("{user: u, password: q}") + "\nno_auth_user: nobody", users("{user: u}, {user: u}, {nkey: x}")} {
			p.badReload(bad)
			p.settle()
		}
		p.must("close")
		p.login("as before", "connected", "user u p")
	})
}

// Which of the clients are closed is left to the server.
func TestReloadLowersMaxConnections(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		const clients = 5
		closed := make(chan error, clients)
		for range clients {
			connect(t, s, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
		}
		s.SetConfig("max_connections: 2")
		s.Signal(syscall.SIGHUP)
		for range clients - 2 {
			expectError(t, receive(t, closed, "end of a connection"), nats.ErrMaxConnectionsExceeded)
		}
		select {
		case err := <-closed:
			t.Errorf("one too many is closed: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	})
}

// Clients are not told: they learn it when they send too much.
func TestReloadLowersMaxPayload(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		closed := make(chan error, 1)
		nc := connect(t, s, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
		s.SetConfig("max_payload: 1000")
		s.Signal(syscall.SIGHUP)
		process.Eventually(t, patience, "new clients know it", func() bool {
			other := must(nats.Connect(s.URL()))
			defer other.Close()
			return other.MaxPayload() == 1000
		})
		publish(t, nc, "x", "small")
		flush(t, nc)
		publish(t, nc, "x", strings.Repeat("x", 1001))
		if err := receive(t, closed, "end of the connection"); err == nil || !strings.Contains(strings.ToLower(err.Error()), "maximum payload violation") {
			t.Errorf("closed with %v", err)
		}
	})
}
