package auth

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func TestOperatorOptionsAreChecked(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	file := filepath.Join(t.TempDir(), "op.jwt")
	if err := os.WriteFile(file, []byte("-----BEGIN NATS OPERATOR JWT-----\n"+r.operator(nil)+"\n------END NATS OPERATOR JWT------\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*Options)
		why  string
	}{
		{"inline", func(o *Options) {}, ""},
		{"file", func(o *Options) { o.Operator.Operators = []string{file} }, ""},
		{"no file", func(o *Options) { o.Operator.Operators = []string{file + "x"} }, "no such file"},
		{"user JWT", func(o *Options) { o.Operator.Operators = []string{m.user(nil, nil).JWT} }, "operator"},
		{"trusted keys", func(o *Options) {
			o.Operator.Operators, o.Operator.TrustedKeys, o.SystemAccount = nil, []string{r.signing.key}, r.system.key
		}, ""},
		{"both", func(o *Options) { o.Operator.TrustedKeys = []string{r.signing.key} }, "only one of them"},
		{"bad key", func(o *Options) { o.Operator.Operators, o.Operator.TrustedKeys = nil, []string{m.key} }, "begin with O"},
		{"no resolver", func(o *Options) { o.Operator.Resolver.Type = "" }, "resolver"},
		{"users", func(o *Options) { o.Users = []User{{User: "u", Password: "p"}} }, "operator mode"},
		{"callout", func(o *Options) { o.Callout = &CalloutOptions{} }, "operator mode"},
		{"guest", func(o *Options) { o.NoAuthUser = "u" }, "default_sentinel"},
		{"other system account", func(o *Options) { o.SystemAccount = m.key }, "system_account"},
		{"system account not preloaded", func(o *Options) { delete(o.Operator.Preload, r.system.key) }, "cannot be loaded"},
		{"bad preload", func(o *Options) { o.Operator.Preload[m.key] = "eyJ" }, "resolver_preload"},
		{"bad pin", func(o *Options) { o.Operator.Pinned = []string{"X"} }, "pinned"},
		{"later version", func(o *Options) {
			o.Operator.Operators = []string{r.operator(func(c *jwt.OperatorClaims) { c.AssertServerVersion = "2.16.0" })}
		}, "2.16.0"},
		{"sentinel without operator", func(o *Options) { *o = Options{}; o.Operator.DefaultSentinel = "eyJ" }, "default_sentinel"},
	} {
		o := r.options(m)
		c.edit(&o)
		d, err := New(o)
		if err == nil {
			d.Close()
		}
		switch {
		case (err != nil) != (c.why != ""):
			t.Errorf("%s: %v", c.name, err)
		case err != nil && (!strings.Contains(err.Error(), c.why) || !errors.Is(err, ErrOptions)):
			t.Errorf("%s: %v, want something about %q", c.name, err, c.why)
		}
	}
}

func TestResolverOptions(t *testing.T) {
	for _, c := range []struct {
		value any
		want  ResolverOptions
		bad   bool
	}{
		{"MEMORY", ResolverOptions{Type: resolverMemory}, false},
		{"mem", ResolverOptions{Type: resolverMemory}, false},
		{"URL(http://host:9/jwt/v1/accounts/)", ResolverOptions{Type: resolverURL, URL: "http://host:9/jwt/v1/accounts/"}, false},
		{`url("https://host/a")`, ResolverOptions{Type: resolverURL, URL: "https://host/a"}, false},
		{"URL(host)", ResolverOptions{}, true},
		{"disk", ResolverOptions{}, true},
		{int64(1), ResolverOptions{}, true},
		{map[string]any{"type": "memory"}, ResolverOptions{Type: resolverMemory}, false},
		{map[string]any{"type": "full", "dir": "d", "limit": int64(5), "allow_delete": true, "interval": "2m", "timeout": "1.5s"},
			ResolverOptions{Type: resolverFull, Dir: "d", Limit: 5, AllowDelete: true, Interval: 2 * time.Minute, Timeout: 1500 * time.Millisecond}, false},
		{map[string]any{"type": "Cache", "dir": "d", "ttl": "1h"}, ResolverOptions{Type: resolverCache, Dir: "d", TTL: time.Hour}, false},
		{map[string]any{"type": "full"}, ResolverOptions{}, true},
		{map[string]any{"type": "full", "dir": "d", "ttl": "1h"}, ResolverOptions{}, true},
		{map[string]any{"type": "full", "dir": "d", "hard_delete": true}, ResolverOptions{}, true},
		{map[string]any{"type": "cache", "dir": "d", "interval": "1m"}, ResolverOptions{}, true},
		{map[string]any{"type": "cache", "dir": "d", "allow_delete": true}, ResolverOptions{}, true},
		{map[string]any{"type": "cache", "dir": "d", "limit": "many"}, ResolverOptions{}, true},
		{map[string]any{"type": "cache", "dir": "d", "limits": int64(1)}, ResolverOptions{}, true},
	} {
		var got ResolverOptions
		err := got.UnmarshalConf(c.value)
		if (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("%v: %+v %v", c.value, got, err)
		}
	}
}

// heard notes what OnChange tells.
type heard struct {
	mu  sync.Mutex
	all []*Account
}

func (h *heard) note(a *Account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, a)
}

func (h *heard) take() []*Account {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.all
	h.all = nil
	return all
}

func TestAccountsAreLoadedOnDemandAndTold(t *testing.T) {
	r := newRealm(t)
	m, exporter := r.account("acme"), r.account("exporter")
	exporter.claims.Exports.Add(&jwt.Export{Subject: "ev.>", Type: jwt.Stream})
	m.claims.Imports.Add(&jwt.Import{Account: exporter.key, Subject: "ev.>", Type: jwt.Stream, LocalSubject: "from.>"})
	d := r.directory(r.options(m, exporter))
	var h heard
	d.OnChange(h.note)
	if d.Account(m.key) != nil || len(d.Accounts()) != 2 {
		t.Errorf("loaded at once: %v", d.Accounts())
	}
	mustLogin(t, d, m.user(nil, nil))
	told := h.take()
	if len(told) != 2 || d.Account(m.key) == nil || d.Account(exporter.key) == nil {
		t.Fatalf("told of %v", told)
	}
	want := []Import{{From: exporter.key, Subject: "ev.>", To: "from.>"}}
	if got := d.Account(m.key).Imports; !slices.Equal(got, want) {
		t.Errorf("imports %+v", got)
	}
	mustLogin(t, d, m.user(nil, nil))
	if told := h.take(); len(told) != 0 {
		t.Errorf("told again of %v", told)
	}
}

func TestAPushedAccountIsInForceAtOnce(t *testing.T) {
	r := newRealm(t)
	m, exporter := r.account("acme"), r.account("exporter")
	signing := newPair(t, nkeys.CreateAccount)
	m.claims.SigningKeys.Add(signing.key)
	exporter.claims.Exports.Add(&jwt.Export{Subject: "ev.>", Type: jwt.Stream})
	m.claims.Imports.Add(&jwt.Import{Account: exporter.key, Subject: "ev.>", Type: jwt.Stream, LocalSubject: "ev.>"})
	d := r.directory(r.options(m, exporter))
	var h heard
	d.OnChange(h.note)
	plain := mustLogin(t, d, m.user(nil, nil))
	bearer := mustLogin(t, d, m.user(func(u *jwt.UserClaims) { u.BearerToken = true }, nil))
	signed := mustLogin(t, d, m.user(func(u *jwt.UserClaims) { u.Pub.Allow.Add("x") }, &signing))
	revoked := mustLogin(t, d, m.user(nil, nil))
	h.take()

	push := func(each *member) {
		t.Helper()
		if err := pushed(d, each.token()); err != nil {
			t.Fatal(err)
		}
	}
	recheck := func(what string, id *Identity, want error) *Identity {
		t.Helper()
		now, err := d.Recheck(id)
		if !errors.Is(err, want) || (now == nil) != (want != nil) {
			t.Errorf("%s: %v %v, want %v", what, now, err, want)
		}
		return now
	}
	exporter.claims.Exports = nil
	push(exporter)
	if told := h.take(); len(told) != 2 || len(d.Account(m.key).Imports) != 0 {
		t.Errorf("an export was withdrawn: told of %d, imports %v", len(told), d.Account(m.key).Imports)
	}
	if recheck("unchanged", plain, nil) != plain {
		t.Error("an identity that has not changed is a new one")
	}
	m.claims.Limits.DisallowBearer = true
	m.claims.Revoke(revoked.User)
	m.claims.SigningKeys = jwt.SigningKeys{}
	m.claims.DefaultPermissions.Pub.Deny.Add("no")
	push(m)
	if told := h.take(); len(told) != 1 || told[0].Name != m.key {
		t.Errorf("told of %v", told)
	}
	recheck("bearer", bearer, ErrBearer)
	recheck("signing key gone", signed, ErrCredentials)
	recheck("revoked", revoked, ErrRevoked)
	if now := recheck("default permissions", plain, nil); now == plain || now.Perms.MayPublish([]byte("no")) {
		t.Error("new default permissions do not count")
	}
}

func TestPushesThatAreRefused(t *testing.T) {
	r, foreign := newRealm(t), newRealm(t)
	m := r.account("acme")
	d := r.directory(r.options(m))
	id := mustLogin(t, d, m.user(nil, nil))
	m.claims.Limits.Conn = 1
	before := d.Account(m.key)
	for _, token := range []string{"", "garbage", encode(t, m.claims, foreign.root), m.user(nil, nil).JWT} {
		if pushed(d, token) == nil {
			t.Errorf("taken: %.20q", token)
		}
	}
	if d.Account(m.key) != before {
		t.Error("the account has changed")
	}
	if now, err := d.Recheck(id); now != id {
		t.Error(err)
	}
}

func TestAccountsExpire(t *testing.T) {
	t.Parallel() // it waits most of the time
	r := newRealm(t)
	m := r.account("acme")
	m.claims.Expires = time.Now().Add(soonExpired).Unix()
	d := r.directory(r.options(m))
	told := make(chan *Account, 4)
	d.OnChange(func(a *Account) { told <- a })
	id := mustLogin(t, d, m.user(nil, nil))
	<-told
	select {
	case a := <-told:
		if a.Name != m.key || a.Expires.After(time.Now()) {
			t.Errorf("told of %+v", a)
		}
	case <-time.After(4 * soonExpired):
		t.Fatal("nobody was told")
	}
	if _, err := d.Recheck(id); !errors.Is(err, ErrAccountExpired) {
		t.Errorf("recheck: %v", err)
	}
	if _, _, err := login(d, m.user(nil, nil)); !errors.Is(err, ErrCredentials) {
		t.Errorf("login: %v", err)
	}
	m.claims.Expires = 0
	if err := pushed(d, m.token()); err != nil {
		t.Fatal(err)
	}
	if now, err := d.Recheck(id); now != id {
		t.Errorf("renewed: %v", err)
	}
}

func TestAReloadFindsItsAccounts(t *testing.T) {
	r := newRealm(t)
	m, gone := r.account("acme"), r.account("gone")
	old := r.directory(r.options(m, gone))
	one, two := mustLogin(t, old, m.user(nil, nil)), mustLogin(t, old, gone.user(nil, nil))
	d := r.directory(r.options(m))
	if now, _ := d.Recheck(one); now != nil {
		t.Error("found before anything was inherited")
	}
	d.Inherit(old)
	if now, err := d.Recheck(one); now != one {
		t.Errorf("%v", err)
	}
	if now, err := d.Recheck(two); now != nil || !errors.Is(err, ErrCredentials) {
		t.Errorf("an account that is no longer preloaded: %v", err)
	}
}

func TestManyLoginsLoadAnAccountOnce(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	d := r.directory(r.options(m))
	var h heard
	d.OnChange(h.note)
	var all sync.WaitGroup
	for range 20 {
		creds := m.user(nil, nil)
		all.Go(func() {
			if _, _, err := login(d, creds); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if told := h.take(); len(told) != 1 {
		t.Errorf("told %d times", len(told))
	}
}
