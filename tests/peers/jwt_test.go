//go:build linux

package peers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// A court is a server in operator mode with a user of its system account, who pushes JWTs.
type court struct {
	*play
	sys *nats.Conn
}

// hold plays a story in operator mode with a directory resolver, which knows the system account alone.
func hold(t *testing.T, r *realm, story func(c *court)) {
	t.Helper()
	system := r.account("SYS")
	admin := system.user("admin", nil).creds(t)
	config := r.trust(system) + "resolver: {type: full, dir: './jwt', allow_delete: true, limit: 100}\n" +
		"resolver_preload: { " + system.public() + ": " + system.token() + " }\n"
	tell(t, config, func(p *play) {
		story(&court{p, connect(p.T, p.s, credentials(admin))})
	})
}

// ask sends a system request and notes what came back, without what names the server.
func (c *court) ask(subject, text string) string {
	c.Helper()
	m, err := c.sys.Request(subject, []byte(text), patience)
	if err != nil {
		return c.note("answer: " + err.Error())
	}
	var answer map[string]any
	if json.Unmarshal(m.Data, &answer) != nil {
		return c.note("answer: " + string(m.Data))
	}
	delete(answer, "server")
	if list, ok := answer["data"].([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return c.note("answer: " + string(must(json.Marshal(answer))))
}

// push makes the account's token known. It is made by the caller: each play must push the same.
func (c *court) push(token string) {
	c.Helper()
	if got := c.ask("$SYS.REQ.CLAIMS.UPDATE", token); !strings.Contains(got, `"code":200`) {
		c.Fatalf("pushed: %s", got)
	}
}

// edited is the account's token after a change, which is taken back.
func (a *account) edited(change func(*jwt.AccountClaims)) string {
	text := a.token()
	claims := must(jwt.DecodeAccountClaims(text))
	change(claims)
	return must(claims.Encode(a.realm.operator))
}

func TestPushedAccount(t *testing.T) {
	r := newRealm()
	a := r.account("A")
	ann, bob := a.user("ann", nil), a.user("bob", nil)
	annFile, bobFile := ann.creds(t), bob.creds(t)
	// nats-server remembers for a while that it has not found an account: this one is never pushed.
	eve := r.account("E").user("eve", nil).creds(t)
	first := a.token()
	without := a.edited(func(c *jwt.AccountClaims) { c.Revoke(ann.public()) })
	gone := jwt.NewGenericClaims(r.operator.public())
	gone.Data["accounts"] = []string{a.public()}
	deletion := must(gone.Encode(r.operator))
	hold(t, r, func(c *court) {
		c.login("account that nobody has pushed", "refused authorization", "creds "+eve)
		c.ask("$SYS.REQ.CLAIMS.UPDATE", "nonsense")
		c.ask("$SYS.REQ.CLAIMS.UPDATE", "")
		c.ask("$SYS.REQ.ACCOUNT."+a.public()+".CLAIMS.UPDATE", first)
		c.login("once it is known", "connected", "creds "+annFile)
		c.ask("$SYS.REQ.ACCOUNT."+a.public()+".CLAIMS.LOOKUP", "")
		c.ask("$SYS.REQ.CLAIMS.LIST", "")

		c.note("revoked while connected")
		other := connect(c.T, c.s, credentials(bobFile))
		c.enter("creds " + annFile)
		c.push(without)
		c.expect("ended")
		c.must("close")
		flush(c.T, other)
		c.login("revoked", "refused authorization", "creds "+annFile)
		c.login("not revoked", "connected", "creds "+bobFile)
		c.push(first)
		c.login("revoked no more", "connected", "creds "+annFile)

		c.note("deleted while connected")
		c.enter("creds " + annFile)
		c.ask("$SYS.REQ.CLAIMS.DELETE", deletion)
		c.expect("ended")
		c.must("close")
		c.login("deleted", "refused authorization", "creds "+annFile)
		c.ask("$SYS.REQ.CLAIMS.LIST", "")
	})
}

// nats-server takes and keeps the account, though nobody can log in to it; edgebus says what is wrong.
func TestForeignAccountIsOfNoUse(t *testing.T) {
	stranger := newRealm().account("A")
	eve, token := stranger.user("eve", nil).creds(t), stranger.token()
	hold(t, newRealm(), func(c *court) {
		if _, err := c.sys.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(token), patience); err != nil {
			c.Fatal(err)
		}
		c.login("its user", "refused authorization", "creds "+eve)
	})
}

func TestCachedAccountIsEdited(t *testing.T) {
	r := newRealm()
	system, a, b := r.account("SYS"), r.account("A"), r.account("B")
	admin, ann, bob := system.user("admin", nil).creds(t), a.user("ann", nil), b.user("bob", nil).creds(t)
	annFile := ann.creds(t)
	without := a.edited(func(c *jwt.AccountClaims) { c.Revoke(ann.public()) })
	unknown := b.token()
	r.accounts = r.accounts[:2]
	preload := strings.TrimPrefix(r.preload(), "resolver: MEMORY")
	tell(t, r.trust(system)+"resolver: {type: cache, dir: './jwt', ttl: \"1h\", limit: 10}"+preload, func(p *play) {
		c := &court{p, connect(p.T, p.s, credentials(admin))}
		c.login("preloaded", "connected", "creds "+annFile)
		c.login("not preloaded", "refused authorization", "creds "+bob)
		c.enter("creds " + annFile)
		c.ask("$SYS.REQ.ACCOUNT."+a.public()+".CLAIMS.UPDATE", without)
		c.expect("ended")
		c.must("close")
		c.login("revoked", "refused authorization", "creds "+annFile)
		c.ask("$SYS.REQ.ACCOUNT."+b.public()+".CLAIMS.UPDATE", unknown)
		c.login("pushed and not in the cache before", "refused authorization", "creds "+bob)
	})
}

func TestEditedAccountTakesEffectAtOnce(t *testing.T) {
	r := newRealm()
	a, b := r.account("A"), r.account("B")
	a.claims.Exports.Add(&jwt.Export{Name: "s", Subject: "s.>", Type: jwt.Stream})
	a.claims.DefaultPermissions.Pub.Deny.Add("denied")
	ann, bob := a.user("ann", nil).creds(t), b.user("bob", nil).creds(t)
	first, second := a.token(), b.token()
	importing := b.edited(func(c *jwt.AccountClaims) {
		c.Imports.Add(&jwt.Import{Name: "s", Account: a.public(), Subject: "s.>", LocalSubject: "from.>", Type: jwt.Stream})
	})
	closed := a.edited(func(c *jwt.AccountClaims) { c.Exports = nil })
	mapped := b.edited(func(c *jwt.AccountClaims) { c.Mappings = jwt.Mapping{"old": {{Subject: "new"}}} })
	narrow := b.edited(func(c *jwt.AccountClaims) { c.Limits.Subs = 1 })
	small := b.edited(func(c *jwt.AccountClaims) { c.Limits.Payload = 10 })
	hold(t, r, func(c *court) {
		c.push(first)
		c.push(second)
		pub := connect(c.T, c.s, credentials(ann))
		c.enter("once", "creds "+bob)
		c.must("sub from.>")
		c.must("sub new")
		c.settle()
		try := func(what string, events ...string) {
			c.note(what)
			publish(c.T, pub, "s.1", what)
			flush(c.T, pub)
			c.must("pub old %s", what)
			c.expect(events...)
			c.settle()
		}
		try("nothing")
		c.push(importing)
		try("import", "msg from.1 import")
		c.push(closed)
		try("export taken back")
		c.push(first)
		try("export given back", "msg from.1 export given back")
		c.push(mapped)
		try("mapping", "msg new mapping")
		c.push(second)
		try("nothing again")

		c.push(small)
		c.must("pub new %s", strings.Repeat("x", 11))
		c.expect("ended")
		c.must("close")
		c.push(narrow)
		c.enter("once", "creds "+bob)
		c.must("sub first")
		c.settle()
		c.do("sub second")
		// To libnats this is the end.
		c.expect(map[string]string{"libnats": "ended", "nats.go": "error", "nats.js": "error"}[c.library])
	})
}

// Which of the clients are closed is left to the server.
func TestAccountIsMadeSmallerThanItIs(t *testing.T) {
	r := newRealm()
	a := r.account("A")
	ann := a.user("ann", nil).creds(t)
	first, small := a.token(), a.edited(func(c *jwt.AccountClaims) { c.Limits.Conn = 1 })
	hold(t, r, func(c *court) {
		const clients = 3
		c.push(first)
		closed := make(chan error, clients)
		for range clients {
			connect(c.T, c.s, credentials(ann), nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
		}
		c.push(small)
		for range clients - 1 {
			expectError(c.T, receive(c.T, closed, "end of a connection"), nats.ErrMaxAccountConnectionsExceeded)
		}
		want := "refused full"
		if c.library == "nats.js" {
			want = "refused broken" // it waits for an INFO that does not come
		}
		c.login("full", want, soon, "creds "+ann)
		c.push(first)
		c.login("room again", "connected", "creds "+ann)
	})
}

// brief is how long claims are valid that expire in a test. They count in seconds.
const brief = 3 * time.Second

// tooLate is by how much they may outlive that on a machine that has much to do. Who is forgotten stays until
// the next PING at the least, which is minutes away.
const tooLate = 5 * time.Second

func TestUserExpiresWhileConnected(t *testing.T) {
	r := newRealm()
	system, a := r.account("SYS"), r.account("A")
	tell(t, r.trust(system)+r.preload(), func(p *play) {
		p.must("fresh") // the client's program has started
		end := time.Now().Add(brief)
		file := a.user("brief", func(c *jwt.UserClaims) { c.Expires = end.Unix() }).creds(p.T)
		// Those who may reconnect do so as long as the last second has not passed.
		p.enter("once", "creds "+file)
		p.expect("ended")
		if !slices.ContainsFunc(p.log, func(line string) bool { return strings.Contains(line, "expired | ") }) {
			p.Errorf("it has not been told why: %q", p.log)
		}
		if late := time.Since(end); late > tooLate {
			p.Errorf("closed %v too late", late)
		}
		p.must("close")
		<-time.After(time.Until(end.Truncate(time.Second).Add(time.Second))) // of the clock that claims count by
		p.login("afterwards", "refused authorization", "creds "+file)
	})
}

func TestAccountExpiresWhileConnected(t *testing.T) {
	r := newRealm()
	a := r.account("A")
	ann := a.user("ann", nil).creds(t)
	first := a.token()
	hold(t, r, func(c *court) {
		c.push(first)
		c.enter("creds " + ann)
		end := time.Now().Add(brief)
		c.push(a.edited(func(c *jwt.AccountClaims) { c.Expires = end.Unix() }))
		c.expect("ended")
		if late := time.Since(end); late > tooLate {
			c.Errorf("closed %v too late", late)
		}
		c.must("close")
		c.login("afterwards", "refused authorization", "creds "+ann)
		c.push(first)
		c.login("valid again", "connected", "creds "+ann)
	})
}

func TestScopedSigningKeyIsEdited(t *testing.T) {
	r := newRealm()
	a := r.account("A")
	signing := accountKey()
	scoped := func(subject string) string {
		return a.edited(func(c *jwt.AccountClaims) {
			scope := jwt.NewUserScope()
			scope.Key, scope.Role = signing.public(), "sensor"
			scope.Template.Pub.Allow.Add(subject, "$SYS.REQ.USER.INFO")
			scope.Template.Sub.Allow.Add("_INBOX.>", "cmd.{{name()}}")
			c.SigningKeys.AddScopedSigner(scope)
		})
	}
	wide, narrow, none := scoped("data.{{name()}}.>"), scoped("data.{{name()}}.x"), a.token()
	file := a.user("t1", func(c *jwt.UserClaims) { c.UserPermissionLimits = jwt.UserPermissionLimits{} }, signing).creds(t)
	hold(t, r, func(c *court) {
		c.push(none)
		c.login("key that is none of the account's", "refused authorization", "creds "+file)
		c.push(wide)
		c.enter("creds " + file)
		c.must("sub cmd.t1")
		c.must("pub data.t1.y 1")
		c.settle()
		c.must("pub data.t2.y 1")
		c.expect("error permissions")
		c.note("template changed while connected")
		c.push(narrow)
		c.expect("disconnected", "reconnected")
		c.must("pub data.t1.y 1")
		c.expect("error permissions")
		c.must("close")
		c.login("with the new template", "connected", "creds "+file)
		c.enter("creds " + file)
		c.must("pub data.t1.y 1")
		c.expect("error permissions")
		c.note("key taken away while connected")
		c.push(none)
		// nats-server holds the client to its JWT, which allows no subscription without the template, beside refusing it.
		c.ends()
		c.login("afterwards", "refused authorization", "creds "+file)
	})
}

func TestPreloadedAccountIsEditedByReload(t *testing.T) {
	r := newRealm()
	system, a := r.account("SYS"), r.account("A")
	ann, bob := a.user("ann", nil), a.user("bob", nil)
	annFile, bobFile := ann.creds(t), bob.creds(t)
	before := r.trust(system)
	first := before + r.preload()
	a.claims.Revoke(ann.public())
	without := before + r.preload()
	tell(t, first, func(p *play) {
		other := connect(p.T, p.s, credentials(bobFile))
		p.enter("creds " + annFile)
		p.reload(without)
		p.expect("ended")
		p.must("close")
		flush(p.T, other)
		p.login("revoked", "refused authorization", "creds "+annFile)
		p.reload(first)
		p.login("revoked no more", "connected", "creds "+annFile)
	})
}
