package server

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// keyPair is a user's nkey and its public half.
func keyPair(t testing.TB) (nkeys.KeyPair, string) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

// sign is the CONNECT of somebody who has a key.
func (c *client) sign(pair nkeys.KeyPair, more string) string {
	c.t.Helper()
	nonce, _ := c.info["nonce"].(string)
	raw, err := pair.Sign([]byte(nonce))
	if err != nil {
		c.t.Fatal(err)
	}
	return fmt.Sprintf(`CONNECT {"verbose":false,"protocol":1,"sig":%q,%s}`, base64.RawURLEncoding.EncodeToString(raw), more) + "\r\n"
}

func TestNKeysSignANonceOfTheirOwn(t *testing.T) {
	pair, public := keyPair(t)
	other, _ := keyPair(t)
	r := start(t, Options{}, auth.Options{Users: []auth.User{{NKey: public}}}, broker.Options{})
	a, b := r.dial(), r.dial()
	nonce, _ := a.info["nonce"].(string)
	if len(nonce) != nonceSize || a.info["nonce"] == b.info["nonce"] {
		t.Fatalf("nonces %q and %q", nonce, b.info["nonce"])
	}
	if raw, err := base64.RawURLEncoding.DecodeString(nonce); err != nil || len(raw) != 11 {
		t.Errorf("nonce %q: %d bytes, %v", nonce, len(raw), err)
	}
	hello := a.sign(pair, fmt.Sprintf(`"nkey":%q`, public))
	a.send(hello + "PING\r\n")
	a.expect("PONG\r\n")
	if info := a.readInfo(); info["nonce"] != nil || info["auth_required"] != true {
		t.Errorf("INFO after CONNECT %v", info)
	}
	a.send(hello + "PING\r\n") // the nonce is good for another CONNECT of this connection
	a.expect("PONG\r\n")
	b.send(hello) // and for no other
	b.expectClosed(violationLine)
	c := r.dial()
	c.send(c.sign(other, fmt.Sprintf(`"nkey":%q`, public)))
	c.expectClosed(violationLine)
	all := r.server.Clients(Query{})
	if len(all) != 1 || all[0].User != public {
		t.Errorf("shown as %+v", all)
	}
}

func TestNoNonceWhereNobodyHasAKey(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	if c := r.dial(); c.info["nonce"] != nil {
		t.Errorf("INFO %v", c.info)
	}
}

// limited is an account with one user and limits.
func limited(l auth.LimitsOptions) (o auth.Options) {
	o.Accounts = auth.AccountsOptions{
		"A": {Users: []auth.User{{User: "a", Password: "pw"}}, Limits: l},
		"B": {Users: []auth.User{{User: "b", Password: "pw"}}},
	}
	return o
}

func number(n int64) *int64 { return &n }

const (
	asA = `CONNECT {"verbose":false,"protocol":0,"user":"a","pass":"pw"}` + "\r\n"
	asB = `CONNECT {"verbose":false,"protocol":0,"user":"b","pass":"pw"}` + "\r\n"

	accountFull = "-ERR 'maximum account active connections exceeded'\r\n"
)

func TestAccountBoundsItsConnections(t *testing.T) {
	r := start(t, Options{}, limited(auth.LimitsOptions{MaxConnections: number(2)}), broker.Options{})
	first, second := r.connect(asA), r.connect(asA)
	third := r.dial()
	third.send(asA)
	third.expectClosed(accountFull)
	r.connect(asB)
	second.send(asA + "PING\r\n") // it is one of them already
	second.expect("PONG\r\n")
	second.send(asB + "PING\r\n") // and makes room
	second.expect("PONG\r\n")
	r.connect(asA).conn.Close()
	eventually(t, "who leaves makes room too", func() bool { return r.server.Status().Accounts["A"] == 1 })
	r.connect(asA)
	first.send("PING\r\n")
	first.expect("PONG\r\n")
	if all := r.server.Clients(Query{State: Closed}); len(all) == 0 || all[0].Reason != "Maximum Account Connections Exceeded" {
		t.Errorf("shown as %+v", all)
	}
}

// A sinkhole takes what a leaf link would.
type sinkhole struct{}

func (sinkhole) Deliver(*broker.Msg, *broker.Sub) bool { return true }
func (sinkhole) Wake(bool) time.Duration               { return 0 }

// As in nats-server a leaf link takes the place of a client in its account.
func TestAccountBoundsItsConnectionsTogetherWithItsLinks(t *testing.T) {
	r := start(t, Options{}, limited(auth.LimitsOptions{MaxConnections: number(2)}), broker.Options{})
	link := r.broker.Account("A").Attach(nil, sinkhole{}, broker.Traits{Remote: true})
	r.connect(asA)
	second := r.dial()
	second.send(asA)
	second.expectClosed(accountFull)
	link.Detach()
	r.connect(asA)
}

func TestAccountBoundsMessages(t *testing.T) {
	r := start(t, Options{}, limited(auth.LimitsOptions{MaxPayload: number(5)}), broker.Options{})
	c := r.dial()
	if c.info["max_payload"] != float64(1<<20) {
		t.Errorf("INFO before CONNECT says %v", c.info["max_payload"])
	}
	c.send(strings.Replace(asA, `"protocol":0`, `"protocol":1`, 1) + "PING\r\n")
	c.expect("PONG\r\n")
	if info := c.readInfo(); info["max_payload"] != 5.0 || info["remote_account"] != "A" || info["acc_is_sys"] != nil {
		t.Errorf("INFO %v", info)
	}
	c.send("SUB a 1\r\nPUB a 5\r\n12345\r\n")
	c.expect("MSG a 1 5\r\n12345\r\n")
	c.send("PUB a 6\r\n123456\r\n")
	c.expectClosed("-ERR 'Maximum Payload Violation'\r\n")
	b := r.connect(asB)
	b.send("SUB a 1\r\nPUB a 6\r\n123456\r\n")
	b.expect("MSG a 1 6\r\n123456\r\n")
}

func TestConnectionTypesAreLookedAt(t *testing.T) {
	r := start(t, Options{}, auth.Options{Users: []auth.User{
		{User: "a", Password: "pw", Types: []string{"STANDARD"}}, {User: "b", Password: "pw", Types: []string{"MQTT"}},
	}}, broker.Options{})
	r.connect(asA)
	c := r.dial()
	c.send(asB)
	c.expectClosed(violationLine)
}

func TestSystemAccountIsNamedInINFO(t *testing.T) {
	o := limited(auth.LimitsOptions{})
	o.SystemAccount = "B"
	r := start(t, Options{}, o, broker.Options{})
	c := r.connect(strings.Replace(asB, `"protocol":0`, `"protocol":1`, 1))
	if info := c.readInfo(); info["acc_is_sys"] != true {
		t.Errorf("INFO %v", info)
	}
}

// Many slow passwords and one worker: everybody gets in.
func TestManyHashedPasswordsAtOnce(t *testing.T) {
	const clients = 40
	var o auth.Options
	for i := range clients { // one hash each: one that was right is remembered
		hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost+1)
		if err != nil {
			t.Fatal(err)
		}
		o.Users = append(o.Users, auth.User{User: fmt.Sprint("u", i), Password: string(hash)})
	}
	r := startOn(t, engine.Options{Workers: 1}, Options{}, o, broker.Options{})
	var all []*client
	for i := range clients {
		c := r.dial()
		c.conn.SetDeadline(time.Now().Add(10 * patience))
		c.send(fmt.Sprintf(`CONNECT {"verbose":false,"user":"u%d","pass":"pw"}`, i) + "\r\nPING\r\n")
		all = append(all, c)
	}
	for _, c := range all {
		c.expect("PONG\r\n")
	}
}

// As in nats-server: of a token it is said that there is one, and a name that nobody asks for is shown.
func TestWhoHasNoUserIsShownAsItSays(t *testing.T) {
	for _, c := range []struct {
		a             auth.Options
		connect, want string
	}{
		{auth.Options{Token: "secret"}, `CONNECT {"verbose":false,"auth_token":"secret"}`, "[REDACTED]"},
		{auth.Options{}, `CONNECT {"verbose":false,"user":"meter","pass":"secret"}`, "meter"},
		{auth.Options{}, `CONNECT {"verbose":false}`, ""},
		{listed(pair("a", "pw")), `CONNECT {"verbose":false,"user":"a","pass":"pw","auth_token":"secret"}`, "a"},
	} {
		r := start(t, Options{}, c.a, broker.Options{})
		r.connect(c.connect + "\r\n")
		r.reload(Options{}, c.a)
		if all := r.server.Clients(Query{}); len(all) != 1 || all[0].User != c.want {
			t.Errorf("%s: shown as %+v", c.connect, all)
		}
	}
}
