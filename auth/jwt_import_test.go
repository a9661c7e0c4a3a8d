package auth

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// activation is a token by which m lets another account import something.
func (m *member) activation(to *member, kind jwt.ExportType, subject string, edit func(*jwt.ActivationClaims), signer *keyed) string {
	claims := jwt.NewActivationClaims(to.key)
	claims.ImportSubject, claims.ImportType = jwt.Subject(subject), kind
	by := m.keyed
	if signer != nil {
		by, claims.IssuerAccount = *signer, m.key
	}
	if edit != nil {
		edit(claims)
	}
	return encode(m.realm.t, claims, by)
}

// importsOf loads the importer and returns what it was allowed to import.
func importsOf(r *realm, importer *member, others ...*member) []Import {
	r.t.Helper()
	d := r.directory(r.options(append(others, importer)...))
	mustLogin(r.t, d, importer.user(nil, nil))
	return d.Account(importer.key).Imports
}

func TestPrivateExportsNeedAToken(t *testing.T) {
	r := newRealm(t)
	signing := newPair(t, nkeys.CreateAccount)
	unknown := newPair(t, nkeys.CreateAccount)
	for _, c := range []struct {
		name  string
		token func(from, to, third *member) string
		edit  func(from, to *member)
		ok    bool
	}{
		{"token", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, nil) }, nil, true},
		{"no token", func(f, to, _ *member) string { return "" }, nil, false},
		{"narrower than the import", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.a", nil, nil) }, nil, false},
		{"of a stream", func(f, to, _ *member) string { return f.activation(to, jwt.Stream, "svc.>", nil, nil) }, nil, false},
		{"of somebody else", func(_, to, third *member) string { return third.activation(to, jwt.Service, "svc.>", nil, nil) }, nil, false},
		{"for somebody else", func(f, _, third *member) string { return f.activation(third, jwt.Service, "svc.>", nil, nil) }, nil, false},
		{"by a signing key", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, &signing) },
			func(f, _ *member) { f.claims.SigningKeys.Add(signing.key) }, true},
		{"by an unknown key", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, &unknown) }, nil, false},
		{"expired", func(f, to, _ *member) string {
			return f.activation(to, jwt.Service, "svc.>", func(a *jwt.ActivationClaims) { a.Expires = time.Now().Add(-time.Minute).Unix() }, nil)
		}, nil, false},
		{"revoked", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, nil) },
			func(f, to *member) { f.claims.Exports[0].RevokeAt(to.key, time.Now().Add(time.Minute)) }, false},
		{"all revoked", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, nil) },
			func(f, _ *member) { f.claims.Exports[0].RevokeAt(jwt.All, time.Now().Add(time.Minute)) }, false},
		{"revoked earlier", func(f, to, _ *member) string { return f.activation(to, jwt.Service, "svc.>", nil, nil) },
			func(f, to *member) { f.claims.Exports[0].RevokeAt(to.key, time.Now().Add(-time.Hour)) }, true},
	} {
		from, to, third := r.account("from"), r.account("to"), r.account("third")
		from.claims.Exports.Add(&jwt.Export{Subject: "svc.>", Type: jwt.Service, TokenReq: true})
		if c.edit != nil {
			c.edit(from, to)
		}
		to.claims.Imports.Add(&jwt.Import{Account: from.key, Subject: "svc.>", Type: jwt.Service, Token: c.token(from, to, third)})
		func() {
			o := r.options(from, to, third)
			d := r.directory(o)
			_, _, err := login(d, to.user(nil, nil))
			// A token that is wrong in itself spoils the whole account, as in nats-server.
			ok := err == nil && len(d.Account(to.key).Imports) == 1
			if ok != c.ok {
				t.Errorf("%s: imported %v (%v)", c.name, ok, err)
			}
		}()
	}
}

func TestATokenThatExpiresTakesTheImportAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	r := newRealm(t)
	from, to := r.account("from"), r.account("to")
	from.claims.Exports.Add(&jwt.Export{Subject: "svc", Type: jwt.Service, TokenReq: true})
	soon := func(a *jwt.ActivationClaims) { a.Expires = time.Now().Add(soonExpired).Unix() }
	to.claims.Imports.Add(&jwt.Import{Account: from.key, Subject: "svc", Type: jwt.Service, Token: from.activation(to, jwt.Service, "svc", soon, nil)})
	d := r.directory(r.options(from, to))
	told := make(chan *Account, 8)
	d.OnChange(func(a *Account) { told <- a })
	mustLogin(t, d, to.user(nil, nil))
	if len(d.Account(to.key).Imports) != 1 {
		t.Fatal("not imported")
	}
	for deadline := time.After(4 * soonExpired); ; {
		select {
		case a := <-told:
			if a.Name == to.key && len(a.Imports) == 0 {
				return
			}
		case <-deadline:
			t.Fatal("nobody was told")
		}
	}
}

func TestImportsAreTurnedIntoOurs(t *testing.T) {
	r := newRealm(t)
	from := r.account("from")
	from.claims.Exports.Add(
		&jwt.Export{Subject: "ev.>", Type: jwt.Stream},
		&jwt.Export{Subject: "two.*.*", Type: jwt.Stream},
		&jwt.Export{Subject: "svc.*", Type: jwt.Service},
		&jwt.Export{Subject: "own.*.>", Type: jwt.Stream, AccountTokenPosition: 2},
	)
	for _, c := range []struct {
		name string
		in   jwt.Import
		want Import // To empty: left out
	}{
		{"same", jwt.Import{Subject: "ev.x", Type: jwt.Stream}, Import{Subject: "ev.x", To: "ev.x"}},
		{"prefix", jwt.Import{Subject: "ev.>", Type: jwt.Stream, To: "pre"}, Import{Subject: "ev.>", To: "pre.ev.>"}},
		{"prefix with wildcard", jwt.Import{Subject: "ev.>", Type: jwt.Stream, To: "pre.*"}, Import{}},
		{"local", jwt.Import{Subject: "ev.>", Type: jwt.Stream, LocalSubject: "l.>"}, Import{Subject: "ev.>", To: "l.>"}},
		{"reordered", jwt.Import{Subject: "two.*.*", Type: jwt.Stream, LocalSubject: "o.$2.$1"}, Import{Subject: "two.*.*", To: "o.$2.$1"}},
		{"service", jwt.Import{Subject: "svc.*", Type: jwt.Service, LocalSubject: "calc.*", Share: true}, Import{Service: true, Subject: "svc.*", To: "calc.*", Share: true}},
		{"old service", jwt.Import{Subject: "calc", Type: jwt.Service, To: "svc.add"}, Import{Service: true, Subject: "svc.add", To: "calc"}},
		{"not exported", jwt.Import{Subject: "secret", Type: jwt.Stream}, Import{}},
		{"wider than exported", jwt.Import{Subject: ">", Type: jwt.Stream}, Import{}},
		{"as the wrong type", jwt.Import{Subject: "ev.x", Type: jwt.Service}, Import{}},
		{"another's place", jwt.Import{Subject: "own.other.x", Type: jwt.Stream}, Import{}},
		{"everybody's place", jwt.Import{Subject: "own.*.>", Type: jwt.Stream}, Import{}},
		{"own place", jwt.Import{Subject: "own.ME.>", Type: jwt.Stream}, Import{Subject: "own.ME.>", To: "own.ME.>"}},
	} {
		to := r.account("to")
		me := func(s string) string {
			if len(s) >= 6 && s[:6] == "own.ME" {
				return "own." + to.key + s[6:]
			}
			return s
		}
		c.in.Account, c.in.Subject = from.key, jwt.Subject(me(string(c.in.Subject)))
		to.claims.Imports.Add(&c.in)
		got := importsOf(r, to, from)
		if c.want.To == "" {
			if len(got) != 0 {
				t.Errorf("%s: imports %+v", c.name, got)
			}
			continue
		}
		c.want.From, c.want.Subject, c.want.To = from.key, me(c.want.Subject), me(c.want.To)
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: imports %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestCirclesOfImportsAreCut(t *testing.T) {
	r := newRealm(t)
	for _, kind := range []jwt.ExportType{jwt.Stream, jwt.Service} {
		a, b, c := r.account("a"), r.account("b"), r.account("c")
		ring := []*member{a, b, c}
		for i, m := range ring {
			next := ring[(i+1)%3]
			m.claims.Exports.Add(&jwt.Export{Subject: "x.>", Type: kind})
			m.claims.Imports.Add(&jwt.Import{Account: next.key, Subject: "x.>", Type: kind})
		}
		d := r.directory(r.options(ring...))
		mustLogin(t, d, a.user(nil, nil))
		n := 0
		for _, m := range ring {
			n += len(d.Account(m.key).Imports)
		}
		if n != 2 {
			t.Errorf("%v: %d of the three imports are in force", kind, n)
		}
	}
}

func TestExportsAndMappingsAreTurnedIntoOurs(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	m.claims.Exports.Add(
		&jwt.Export{Subject: "a", Type: jwt.Stream},
		&jwt.Export{Subject: "b", Type: jwt.Stream, TokenReq: true},
		&jwt.Export{Subject: "c", Type: jwt.Service, ResponseType: jwt.ResponseTypeChunked, ResponseThreshold: time.Second, AllowTrace: true,
			Latency: &jwt.ServiceLatency{Sampling: 50, Results: "lat"}},
	)
	m.claims.AddMapping("one", jwt.WeightedMapping{Subject: "other"})
	m.claims.AddMapping("bad.*", jwt.WeightedMapping{Subject: "bad.$2"})
	m.claims.AddMapping("split", jwt.WeightedMapping{Subject: "s1", Weight: 30}, jwt.WeightedMapping{Subject: "s2", Weight: 20, Cluster: "c"})
	d := r.directory(r.options(m))
	mustLogin(t, d, m.user(nil, nil))
	a := d.Account(m.key)
	if len(a.Exports) != 3 || a.Exports[0].Accounts != nil || a.Exports[1].Accounts == nil {
		t.Fatalf("exports %+v", a.Exports)
	}
	e := a.Exports[2]
	if !e.Service || e.Response != Chunked || e.Threshold != time.Second || !e.AllowTrace || e.Latency == nil || *e.Latency != (Latency{"lat", 50}) {
		t.Errorf("service %+v", e)
	}
	if len(a.Mappings) != 2 || a.Mappings[0].Destinations[0] != (Destination{"other", 100, ""}) ||
		a.Mappings[1].Destinations[1] != (Destination{"s2", 20, "c"}) {
		t.Errorf("mappings %+v", a.Mappings)
	}
}
