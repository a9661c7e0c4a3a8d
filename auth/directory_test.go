package auth

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func mustDirectory(t *testing.T, o Options) *Directory {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustHash is quick: the least cost there is.
func mustHash(t *testing.T, password string) string {
	t.Helper()
	hash, err := HashPassword(password, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// login authenticates to the end and reports whether that took the slow way.
func login(d *Directory, c Credentials) (id *Identity, slowly bool, err error) {
	id, slow, err := d.Authenticate(c)
	if slow == nil {
		return id, false, err
	}
	id, err = slow()
	return id, true, err
}

func TestAuthenticate(t *testing.T) {
	hash := mustHash(t, "s3cret")
	single := Options{User: "u", Password: "p"}
	token := Options{Token: "t"}
	users := Options{Users: []User{{User: "a", Password: "pa"}, {User: "b", Password: hash, Account: "B"}}}
	guest := Options{Users: users.Users, TopOptions: TopOptions{NoAuthUser: "a"}}
	for _, c := range []struct {
		name    string
		o       Options
		c       Credentials
		user    string
		account string
		err     error
	}{
		{"open", Options{}, Credentials{}, "", "$G", nil},
		{"open, credentials all the same", Options{}, Credentials{User: "x", Password: "y"}, "", "$G", nil},
		{"single", single, Credentials{User: "u", Password: "p"}, "u", "$G", nil},
		{"single, wrong password", single, Credentials{User: "u", Password: "P"}, "", "", ErrCredentials},
		{"single, no password", single, Credentials{User: "u"}, "", "", ErrCredentials},
		{"single, longer password", single, Credentials{User: "u", Password: "pp"}, "", "", ErrCredentials},
		{"single, unknown user", single, Credentials{User: "v", Password: "p"}, "", "", ErrCredentials},
		{"single, nothing", single, Credentials{}, "", "", ErrNoCredentials},
		{"single, token instead", single, Credentials{Token: "p"}, "", "", ErrCredentials},
		{"token", token, Credentials{Token: "t"}, "", "$G", nil},
		{"token, wrong", token, Credentials{Token: "T"}, "", "", ErrCredentials},
		{"token, as password", token, Credentials{User: "t", Password: "t"}, "", "", ErrCredentials},
		{"hashed token", Options{Token: hash}, Credentials{Token: "s3cret"}, "", "$G", nil},
		{"hashed token, wrong", Options{Token: hash}, Credentials{Token: "secret"}, "", "", ErrCredentials},
		{"users, plain", users, Credentials{User: "a", Password: "pa"}, "a", "$G", nil},
		{"users, hashed", users, Credentials{User: "b", Password: "s3cret"}, "b", "B", nil},
		{"users, hashed, wrong", users, Credentials{User: "b", Password: "secret"}, "", "", ErrCredentials},
		{"users, the hash itself", users, Credentials{User: "b", Password: hash}, "", "", ErrCredentials},
		{"users, another's password", users, Credentials{User: "a", Password: "s3cret"}, "", "", ErrCredentials},
		{"users, unknown", users, Credentials{User: "c", Password: "pa"}, "", "", ErrCredentials},
		{"guest", guest, Credentials{}, "a", "$G", nil},
		{"guest, wrong credentials", guest, Credentials{User: "b", Password: "x"}, "", "", ErrCredentials},
	} {
		d := mustDirectory(t, c.o)
		for range 2 { // the second time from memory
			id, _, err := login(d, c.c)
			if !errors.Is(err, c.err) || (id == nil) != (c.err != nil) {
				t.Fatalf("%s: %v %v, want error %v", c.name, id, err, c.err)
			}
			if id != nil && (id.User != c.user || id.Account != c.account) {
				t.Errorf("%s: is %q of %q", c.name, id.User, id.Account)
			}
		}
	}
}

func TestEveryKindOfHashIsKnown(t *testing.T) {
	hash := mustHash(t, "s3cret")
	for _, kind := range []string{"$2a$", "$2b$", "$2y$"} {
		d := mustDirectory(t, Options{User: "u", Password: kind + hash[len(kind):]})
		if _, slowly, err := login(d, Credentials{User: "u", Password: "s3cret"}); err != nil || !slowly {
			t.Errorf("%s: %v, slowly %v", kind, err, slowly)
		}
	}
}

func TestRightPasswordIsRemembered(t *testing.T) {
	d := mustDirectory(t, Options{Users: []User{{User: "a", Password: mustHash(t, "s3cret")}, {User: "b", Password: mustHash(t, "other")}}})
	right := Credentials{User: "a", Password: "s3cret"}
	for i, c := range []struct {
		c      Credentials
		ok     bool
		slowly bool
	}{
		{right, true, true},
		{right, true, false},
		{Credentials{User: "a", Password: "wrong"}, false, true},
		{Credentials{User: "a", Password: "wrong"}, false, true}, // a wrong one is not
		{Credentials{User: "b", Password: "s3cret"}, false, true},
		{right, true, false},
	} {
		_, slowly, err := login(d, c.c)
		if (err == nil) != c.ok || slowly != c.slowly {
			t.Errorf("%d: %v, slowly %v; want %+v", i, err, slowly, c)
		}
	}
}

func TestUnknownUserTakesAsLongAsAHashedOne(t *testing.T) {
	d := mustDirectory(t, Options{Users: []User{{User: "a", Password: mustHash(t, "x")}}})
	if _, slowly, err := login(d, Credentials{User: "nobody", Password: "x"}); !slowly || !errors.Is(err, ErrCredentials) {
		t.Errorf("slowly %v, %v: the answer tells who exists", slowly, err)
	}
}

func TestDirectoryIsForEverybodyAtOnce(t *testing.T) {
	d := mustDirectory(t, Options{User: "u", Password: mustHash(t, "s3cret")})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := login(d, Credentials{User: "u", Password: "s3cret"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestUsersGetPermissions(t *testing.T) {
	own := &PermissionOptions{Publish: &SubjectOptions{Allow: []string{"own"}}}
	common := &PermissionOptions{Publish: &SubjectOptions{Allow: []string{"common"}}}
	d := mustDirectory(t, Options{DefaultPermissions: common, Users: []User{
		{User: "a", Password: "p", Permissions: own}, {User: "b", Password: "p"}, {User: "c", Password: "p"}}})
	for user, subject := range map[string]string{"a": "own", "b": "common", "c": "common"} {
		id, _, err := login(d, Credentials{User: user, Password: "p"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"own", "common"} {
			if got := id.Perms.MayPublish([]byte(s)); got != (s == subject) {
				t.Errorf("%s: publish %q is %v", user, s, got)
			}
		}
		if again := d.Lookup(user); again != id {
			t.Errorf("%s: Lookup gives another identity", user)
		}
	}
	if d.Lookup("b").Perms != d.Lookup("c").Perms {
		t.Error("those with the default permissions do not share them")
	}
	if d.Lookup("nobody") != nil || d.Lookup("") != nil {
		t.Error("Lookup found nobody")
	}
	for name, o := range map[string]Options{
		"nobody configured": {DefaultPermissions: common},
		"single user":       {DefaultPermissions: common, User: "u", Password: "p"},
		"token":             {DefaultPermissions: common, Token: "p"},
	} {
		id, _, err := login(mustDirectory(t, o), Credentials{User: "u", Password: "p", Token: "p"})
		if err != nil || id.Perms != nil {
			t.Errorf("%s: %v, has the default permissions: %v; they are for the users list only", name, err, id.Perms != nil)
		}
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	bad := &PermissionOptions{Publish: &SubjectOptions{Allow: []string{"a..b"}}}
	for _, c := range []struct {
		name string
		o    Options
		text string
	}{
		{"token and user", Options{Token: "t", User: "u", Password: "p"}, "a token and a user"},
		{"token and users", Options{Token: "t", Users: []User{{User: "a", Password: "p"}}}, "a token and a users list"},
		{"user and users", Options{User: "u", Password: "p", Users: []User{{User: "a", Password: "p"}}}, "put the user into the list"},
		{"password alone", Options{Password: "p"}, "without a user"},
		{"nameless", Options{Users: []User{{Password: "p"}}}, "neither user nor nkey"},
		{"twice", Options{Users: []User{{User: "a", Password: "p"}, {User: "a", Password: "q"}}}, `"a" is there twice`},
		{"broken hash", Options{User: "u", Password: "$2a$11$short"}, `"u"`},
		{"bad permissions", Options{Users: []User{{User: "a", Password: "p", Permissions: bad}}}, `"a..b"`},
		{"bad default permissions", Options{DefaultPermissions: bad}, "default_permissions"},
		{"unknown guest", Options{TopOptions: TopOptions{NoAuthUser: "g"}}, `"g" is not one of the users`},
	} {
		if _, err := New(c.o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want a text with %q", c.name, err, c.text)
		}
	}
}

func TestDirectoryDefaults(t *testing.T) {
	open := mustDirectory(t, Options{})
	if open.Required() || open.Timeout() != 2*time.Second || open.Guest() == nil {
		t.Errorf("open: required %v, timeout %v", open.Required(), open.Timeout())
	}
	closed := mustDirectory(t, Options{User: "u", Password: "p", Timeout: time.Minute})
	if !closed.Required() || closed.Timeout() != time.Minute || closed.Guest() != nil {
		t.Errorf("closed: required %v, timeout %v, guest %v", closed.Required(), closed.Timeout(), closed.Guest())
	}
}
