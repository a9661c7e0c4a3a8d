package auth

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// What a user JWT and its account must say for the user to come in, each with the opposite.
func TestUserJWTsAreAcceptedAndRefused(t *testing.T) {
	r := newRealm(t)
	other := r.account("other")
	yesterday, tomorrow := time.Now().Add(-24*time.Hour).Unix(), time.Now().Add(24*time.Hour).Unix()
	for _, c := range []struct {
		name    string
		account func(*jwt.AccountClaims)
		user    func(*jwt.UserClaims)
		creds   func(*Credentials)
		why     string // part of the error; empty: let in
	}{
		{name: "plain"},
		{name: "standard base64", creds: func(c *Credentials) {
			c.Signature = strings.NewReplacer("-", "+", "_", "/").Replace(c.Signature) + "=="
		}},
		{name: "no signature", creds: func(c *Credentials) { c.Signature = "" }, why: "signature"},
		{name: "another nonce", creds: func(c *Credentials) { c.Nonce = "other" }, why: "signature"},
		{name: "no nonce", creds: func(c *Credentials) { c.Nonce = "" }, why: "signature"},
		{name: "not base64", creds: func(c *Credentials) { c.Signature = "%%%" }, why: "signature"},
		{name: "no JWT", creds: func(c *Credentials) { c.JWT = "" }, why: "wrong credentials"},
		{name: "broken JWT", creds: func(c *Credentials) { c.JWT = c.JWT[:len(c.JWT)-4] + "AAAA" }, why: "not valid"},
		{name: "account JWT", creds: func(c *Credentials) { c.JWT = other.token() }, why: "not valid"},
		{name: "expired", user: func(u *jwt.UserClaims) { u.Expires = yesterday }, why: "expired"},
		{name: "not yet", user: func(u *jwt.UserClaims) { u.NotBefore = tomorrow }, why: "not yet valid"},
		{name: "not expired", user: func(u *jwt.UserClaims) { u.Expires = tomorrow }},
		{name: "bearer", user: func(u *jwt.UserClaims) { u.BearerToken = true }, creds: func(c *Credentials) { c.Signature = "" }},
		{name: "bearer disallowed", account: func(a *jwt.AccountClaims) { a.Limits.DisallowBearer = true },
			user: func(u *jwt.UserClaims) { u.BearerToken = true }, why: "bearer"},
		{name: "network", user: func(u *jwt.UserClaims) { u.Src.Add("10.1.0.0/16", "192.168.0.0/24") }},
		{name: "other network", user: func(u *jwt.UserClaims) { u.Src.Add("192.168.0.0/24") }, why: "may not connect from"},
		{name: "mapped address", user: func(u *jwt.UserClaims) { u.Src.Add("10.1.0.0/16") },
			creds: func(c *Credentials) { c.Remote = netip.MustParseAddr("::ffff:10.1.2.3") }},
		{name: "unknown address", user: func(u *jwt.UserClaims) { u.Src.Add("10.1.0.0/16") },
			creds: func(c *Credentials) { c.Remote = netip.Addr{} }, why: "may not connect from"},
		{name: "type", user: func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("standard") }},
		{name: "other type", user: func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add(jwt.ConnectionTypeMqtt) }, why: "type of connection"},
		{name: "known type", user: func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add(jwt.ConnectionTypeMqtt) },
			creds: func(c *Credentials) { c.Type = MQTT }},
		{name: "unknown type among others", user: func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("CARRIER_PIGEON", "STANDARD") }},
		{name: "unknown types only", user: func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("CARRIER_PIGEON") }, why: "not known"},
		{name: "revoked by name", account: func(a *jwt.AccountClaims) { a.RevokeAt("*", time.Now().Add(time.Minute)) }, why: "revoked"},
		{name: "revoked before", account: func(a *jwt.AccountClaims) { a.RevokeAt("*", time.Now().Add(-time.Hour)) }},
		{name: "proxy", user: func(u *jwt.UserClaims) { u.ProxyRequired = true }, why: "proxy"},
		{name: "not at this time", user: func(u *jwt.UserClaims) {
			then := time.Now().Add(3 * time.Hour)
			u.Times = []jwt.TimeRange{{Start: then.Format("15:04:05"), End: then.Add(time.Hour).Format("15:04:05")}}
		}, why: "time of day"},
	} {
		m := r.account("acme")
		if c.account != nil {
			c.account(m.claims)
		}
		d := r.directory(r.options(m))
		creds := m.user(c.user, nil)
		if c.creds != nil {
			c.creds(&creds)
		}
		id, _, err := login(d, creds)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.why == "" && (id.Account != m.key || id.Name != "worker" || id.Issuer != m.key):
			t.Errorf("%s: is %+v", c.name, id)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s: %v, want something about %q", c.name, err, c.why)
		case c.why != "" && c.why != "proxy" && !errors.Is(err, ErrCredentials):
			t.Errorf("%s: %v tells the client more than the reference does", c.name, err)
		}
	}
}

func TestSignersOfUsers(t *testing.T) {
	r := newRealm(t)
	m, stranger := r.account("acme"), r.account("stranger")
	plain := newPair(t, nkeys.CreateAccount)
	m.claims.SigningKeys.Add(plain.key)
	template := unlimited()
	template.Permissions.Pub.Allow.Add("site.{{name()}}.>")
	scoped := m.scoped(template)
	d := r.directory(r.options(m))
	empty := func(u *jwt.UserClaims) { u.SetScoped(true) }
	for _, c := range []struct {
		name  string
		creds Credentials
		ok    bool
	}{
		{"account", m.user(nil, nil), true},
		{"signing key", m.user(nil, &plain), true},
		{"scoped key", m.user(empty, &scoped), true},
		{"scoped key, own limits", m.user(nil, &scoped), false},
		{"somebody else's key", m.user(nil, &stranger.keyed), false},
		{"an account that is not there", stranger.user(nil, nil), false},
		{"signing key without its account", m.user(func(u *jwt.UserClaims) { u.IssuerAccount = "" }, &plain), false},
	} {
		if _, _, err := login(d, c.creds); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	id := mustLogin(t, d, m.user(empty, &scoped))
	if !id.Perms.MayPublish([]byte("site.worker.x")) || id.Perms.MayPublish([]byte("site.other.x")) || id.Issuer != scoped.key {
		t.Errorf("the template was not applied: %+v", id)
	}
}

func TestStrictOperatorsWantSigningKeys(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	signing := newPair(t, nkeys.CreateAccount)
	m.claims.SigningKeys.Add(signing.key)
	o := r.options(m)
	o.Operator.Operators = []string{r.operator(func(c *jwt.OperatorClaims) { c.StrictSigningKeyUsage = true })}
	d := r.directory(o)
	mustLogin(t, d, m.user(nil, &signing))
	if _, _, err := login(d, m.user(nil, nil)); err == nil {
		t.Error("a user that the account's own key signed came in")
	}
	o.Operator.Preload[m.key] = encode(t, m.claims, r.root)
	if _, _, err := login(r.directory(o), m.user(nil, &signing)); err == nil {
		t.Error("an account that the operator's own key signed was taken")
	}
}

func TestAccountsOfOthersAreRefused(t *testing.T) {
	r, foreign := newRealm(t), newRealm(t)
	m, m2 := r.account("acme"), r.account("expired")
	m2.claims.Expires = time.Now().Add(-time.Minute).Unix()
	o := r.options(m, m2)
	o.Operator.Preload[m.key] = encode(t, m.claims, foreign.root)
	d := r.directory(o)
	for _, each := range []*member{m, m2} {
		if _, _, err := login(d, each.user(nil, nil)); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", each.claims.Name, err)
		}
	}
	o = r.options(m)
	o.Operator.Pinned = []string{r.account("").key}
	d = r.directory(o)
	if _, _, err := login(d, m.user(nil, nil)); err == nil || !strings.Contains(err.Error(), "pinned") {
		t.Errorf("not pinned: %v", err)
	}
	mustLogin(t, d, r.system.user(nil, nil))
}

func TestIdentityIsWhatTheJWTSays(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	m.claims.DefaultPermissions.Sub.Deny.Add("secret.>")
	m.claims.Limits.Conn, m.claims.Limits.Subs, m.claims.Limits.Payload, m.claims.Limits.LeafNodeConn = 7, 0, 1024, -1
	d := r.directory(r.options(m))
	expires := time.Now().Add(time.Hour).Unix()
	id := mustLogin(t, d, m.user(func(u *jwt.UserClaims) {
		u.Limits.Subs, u.Limits.Payload, u.Limits.Data = 5, 0, -1
		u.Expires = expires
		u.Tags.Add("a:b")
	}, nil))
	if (id.Limits != UserLimits{MaxSubscriptions: 5, MaxPayload: -1}) {
		t.Errorf("limits %+v", id.Limits)
	}
	if id.Expires.Unix() != expires || !slices.Equal(id.Tags, []string{"a:b"}) {
		t.Errorf("%+v", id)
	}
	if ok, _ := id.Perms.MaySubscribe("secret.x", ""); ok {
		t.Error("the account's default permissions do not count")
	}
	a := d.Account(m.key)
	want := AccountLimits{MaxConnections: 7, MaxSubscriptions: -1, MaxPayload: 1024}
	if a == nil || a.Limits != want || a.Tag != "acme" || a.System {
		t.Errorf("account %+v", a)
	}
	if s := d.Account(d.SystemAccount()); s == nil || !s.System || s.Name != r.system.key {
		t.Errorf("system account %+v", s)
	}
}

func TestEqualPermissionsAreShared(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	d := r.directory(r.options(m))
	narrow := func(u *jwt.UserClaims) { u.Pub.Allow.Add("a.>") }
	one, two := mustLogin(t, d, m.user(narrow, nil)), mustLogin(t, d, m.user(narrow, nil))
	if one.Perms == nil || one.Perms != two.Perms {
		t.Error("two users with equal permissions do not share them")
	}
	if wide := mustLogin(t, d, m.user(nil, nil)); wide.Perms != nil {
		t.Error("a user without permissions has some")
	}
}

func TestDefaultSentinelStandsInForAJWT(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	o := r.options(m)
	bearer := m.user(func(u *jwt.UserClaims) { u.BearerToken = true }, nil)
	o.Operator.DefaultSentinel = bearer.JWT
	d := r.directory(o)
	for _, c := range []Credentials{{}, {User: "u", Password: "p"}, {JWT: "garbage"}} {
		if id := mustLogin(t, d, c); id.Account != m.key {
			t.Errorf("is %+v", id)
		}
	}
	o.Operator.DefaultSentinel = m.user(nil, nil).JWT
	if _, err := New(o); err == nil {
		t.Error("a sentinel that has to sign was taken")
	}
	if _, _, err := login(r.directory(r.options(m)), Credentials{}); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("without sentinel: %v", err)
	}
}

func TestTimesOfDay(t *testing.T) {
	at := func(clock string) time.Time {
		then, err := time.Parse("2006-01-02 15:04:05", "2026-03-01 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return then
	}
	for _, c := range []struct {
		now        string
		start, end string
		locale     string
		ok         bool
		left       time.Duration
	}{
		{"13:00:00", "11:00:00", "22:00:00", "UTC", true, 9 * time.Hour},
		{"10:59:59", "11:00:00", "22:00:00", "UTC", false, 0},
		{"11:00:00", "11:00:00", "22:00:00", "UTC", false, 0},
		{"22:00:00", "11:00:00", "22:00:00", "UTC", false, 0},
		{"05:00:00", "22:00:00", "06:00:00", "UTC", true, time.Hour},
		{"23:30:00", "22:00:00", "06:00:00", "UTC", true, 6*time.Hour + 30*time.Minute},
		{"12:00:00", "22:00:00", "06:00:00", "UTC", false, 0},
		{"13:00:00", "14:30:00", "15:00:00", "Asia/Karachi", false, 0},
		{"13:00:00", "17:30:00", "18:30:00", "Asia/Karachi", true, 30 * time.Minute},
		{"13:00:00", "11:00:00", "22:00:00", "Nowhere/At_All", false, 0},
		{"13:00:00", "11", "22:00:00", "UTC", false, 0},
	} {
		ok, until := allowsTime([]jwt.TimeRange{{Start: c.start, End: c.end}}, c.locale, at(c.now))
		if ok != c.ok || ok && until.Sub(at(c.now)) != c.left {
			t.Errorf("%+v: %v until %v", c, ok, until)
		}
	}
}
