package auth

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/jwt/v2"
)

func TestTemplates(t *testing.T) {
	r := newRealm(t)
	m := r.account("Acme")
	m.claims.Tags.Add("region:eu")
	user := jwt.NewUserClaims("UUSER")
	user.Name = "Bob"
	user.Tags.Add("team:red", "team:blue", "dept:a.b", "space:x y")
	for _, c := range []struct {
		entry string
		allow []string // nil: refused
		deny  []string
	}{
		{"plain.>", []string{"plain.>"}, []string{"plain.>"}},
		{"u.{{name()}}", []string{"u.Bob"}, []string{"u.Bob"}},
		{"u.{{ NAME() }}.{{subject()}}", []string{"u.Bob.UUSER"}, []string{"u.Bob.UUSER"}},
		{"{{account-name()}}.{{account-subject()}}", []string{"Acme." + m.key}, []string{"Acme." + m.key}},
		{"t.{{tag(team)}}", []string{"t.red", "t.blue"}, []string{"t.red", "t.blue"}},
		{"t.{{tag(Team)}}", []string{"t.red", "t.blue"}, []string{"t.red", "t.blue"}},
		{"t.{{TAG(team)}}", []string{}, nil},
		{"t.{{tag(team)}}.{{tag(dept)}}.{{account-tag(region)}}", []string{"t.red.a.b.eu", "t.blue.a.b.eu"}, []string{"t.red.a.b.eu", "t.blue.a.b.eu"}},
		{"t.{{tag(team)}}.{{tag(team)}}", []string{"t.red.red", "t.blue.blue"}, []string{"t.red.red", "t.blue.blue"}},
		{"t.{{tag(none)}}", []string{}, nil},
		{"t.{{tag(space)}}", []string{}, nil},
		{"t.{{user()}}", nil, nil},
	} {
		fill := template{user: user, account: mustClaim(t, m)}
		check := func(what string, denies bool, want []string) {
			got, err := fill.entries(jwt.StringList{c.entry}, denies)
			if (err != nil) != (want == nil) || err == nil && !slices.Equal(got, want) {
				t.Errorf("%s %q: %q %v, want %q", what, c.entry, got, err, want)
			}
		}
		check("allow", false, c.allow)
		check("deny", true, c.deny)
	}
}

func mustClaim(t *testing.T, m *member) *claimed {
	t.Helper()
	p := &operator{trusted: map[string]bool{m.realm.signing.key: true}}
	a, err := p.verify(m.token(), true)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// An allow list that becomes empty must not become "everything".
func TestEmptiedAllowListAllowsNothing(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	scope := unlimited()
	scope.Permissions.Pub.Allow.Add("t.{{tag(none)}}")
	scope.Permissions.Sub.Allow.Add("t.{{tag(none)}}")
	key := m.scoped(scope)
	d := r.directory(r.options(m))
	for range 2 { // the second time nothing must have stuck to the template
		id := mustLogin(t, d, m.user(func(u *jwt.UserClaims) { u.SetScoped(true) }, &key))
		if ok, _ := id.Perms.MaySubscribe("t.x", ""); ok || id.Perms.MayPublish([]byte("t.x")) {
			t.Error("everything is allowed")
		}
	}
}

func TestTemplatesCannotMultiplyWithoutEnd(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	user := jwt.NewUserClaims("UUSER")
	for i := range 65 {
		user.Tags.Add(fmt.Sprintf("a:%d", i), fmt.Sprintf("b:%d", i))
	}
	fill := template{user: user, account: mustClaim(t, m)}
	if got, err := fill.entries(jwt.StringList{"{{tag(a)}}.{{tag(b)}}"}, false); err == nil {
		t.Errorf("%d subjects", len(got))
	}
	if _, err := fill.entries(jwt.StringList{"{{tag(a)}}"}, false); err != nil {
		t.Error(err)
	}
}
