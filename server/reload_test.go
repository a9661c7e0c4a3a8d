package server

import (
	"fmt"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

func (r *rig) reload(o Options, a auth.Options) {
	r.t.Helper()
	d, err := auth.New(a)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.server.Reload(o, d); err != nil {
		r.t.Fatal(err)
	}
	r.update(func(set *settings) { set.firstPing = 10 * patience })
}

func pair(user, password string) auth.User { return auth.User{User: user, Password: password} }

func listed(users ...auth.User) auth.Options { return auth.Options{Users: users} }

func guestIs(name string, o auth.Options) auth.Options {
	o.NoAuthUser = name
	return o
}

// What each client is told when the configuration changes; nats-server says the same.
func TestReloadTellsWhomItConcerns(t *testing.T) {
	const (
		stays = "stays"
		anon  = `CONNECT {"verbose":false}` + "\r\n"
		token = `CONNECT {"verbose":false,"auth_token":"pw"}` + "\r\n"
	)
	inB := limited(auth.LimitsOptions{})
	inB.Accounts = auth.AccountsOptions{"A": {}, "B": {Users: []auth.User{pair("a", "pw")}}}
	for _, c := range []struct {
		name          string
		before, after auth.Options
		connect, want string
	}{
		{"nothing has changed", listed(pair("a", "pw")), listed(pair("a", "pw")), asA, stays},
		{"another user is gone", listed(pair("a", "pw"), pair("b", "pw")), listed(pair("a", "pw")), asA, stays},
		{"user is gone", listed(pair("a", "pw"), pair("b", "pw")), listed(pair("b", "pw")), asA, ""},
		{"another password", listed(pair("a", "pw")), listed(pair("a", "other")), asA, violationLine},
		{"another type of connection", listed(pair("a", "pw")), listed(auth.User{User: "a", Password: "pw", Types: []string{auth.MQTT}}), asA, violationLine},
		{"another account", limited(auth.LimitsOptions{}), inB, asA, ""},
		{"credentials are asked for", auth.Options{}, listed(pair("a", "pw")), anon, violationLine},
		{"credentials are asked for, no CONNECT", auth.Options{}, listed(pair("a", "pw")), "", violationLine},
		{"another token", auth.Options{Token: "pw"}, auth.Options{Token: "other"}, token, violationLine},
		{"guest stays", guestIs("a", listed(pair("a", "pw"))), guestIs("a", listed(pair("a", "pw"))), anon, stays},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, Options{}, c.before, broker.Options{})
			r.t = t
			w := r.connect(c.connect)
			r.reload(Options{}, c.after)
			if c.want != stays {
				w.expectClosed(c.want)
				return
			}
			w.send("PING\r\n")
			w.expect("PONG\r\n")
		})
	}
}

func TestReloadClosesWhoIsTooManyAndCameLast(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		a    auth.Options
		want string
	}{
		{"max_connections", Options{MaxConnections: 2}, limited(auth.LimitsOptions{}), "-ERR 'maximum connections exceeded'\r\n"},
		{"account's max_connections", Options{}, limited(auth.LimitsOptions{MaxConnections: number(2)}), accountFull},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, Options{}, limited(auth.LimitsOptions{MaxConnections: number(9)}), broker.Options{})
			r.t = t
			var all []*client
			for range 4 {
				all = append(all, r.connect(asA))
			}
			r.reload(c.o, c.a)
			closed := 0
			for _, w := range all {
				w.send("PING\r\n")
			}
			for _, w := range all {
				if line, err := w.in.ReadString('\n'); err != nil || line == c.want {
					closed++
				} else if line != "PONG\r\n" {
					t.Errorf("got %q", line)
				}
			}
			if closed != 2 {
				t.Errorf("%d were closed", closed)
			}
			eventually(t, "two are left", func() bool { return r.server.Status().Connections == 2 })
		})
	}
}

func TestReloadClosesWhoHasTooManySubscriptions(t *testing.T) {
	r := start(t, Options{}, limited(auth.LimitsOptions{}), broker.Options{})
	few, many := r.connect(asA), r.connect(asA)
	for i, c := range []*client{few, many} {
		for j := range 1 + 2*i {
			c.send(fmt.Sprintf("SUB a.%d %d\r\n", j, j))
		}
		c.send("PING\r\n")
		c.expect("PONG\r\n")
	}
	r.reload(Options{}, limited(auth.LimitsOptions{MaxSubscriptions: number(2)}))
	many.expectClosed("-ERR 'maximum subscriptions exceeded'\r\n")
	few.send("PING\r\n")
	few.expect("PONG\r\n")
}

func TestReloadChangesHowMuchMayBeSent(t *testing.T) {
	r := start(t, Options{}, limited(auth.LimitsOptions{}), broker.Options{})
	a, b := r.connect(asA), r.connect(asB)
	r.reload(Options{}, limited(auth.LimitsOptions{MaxPayload: number(3)}))
	for _, c := range []*client{a, b} {
		c.send("PING\r\n")
		c.expect("PONG\r\n")
	}
	b.send("SUB x 1\r\nPUB x 4\r\n1234\r\n")
	b.expect("MSG x 1 4\r\n1234\r\n")
	a.send("PUB x 4\r\n1234\r\n")
	a.expectClosed("-ERR 'Maximum Payload Violation'\r\n")
}
