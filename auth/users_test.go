package auth

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/nats-io/nkeys"
)

// A signer is a user with a key.
type signer struct {
	pair   nkeys.KeyPair
	public string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return signer{pair, public}
}

func (s signer) sign(t *testing.T, nonce string, alphabet *base64.Encoding) string {
	t.Helper()
	signature, err := s.pair.Sign([]byte(nonce))
	if err != nil {
		t.Fatal(err)
	}
	return alphabet.EncodeToString(signature)
}

// TestLogins has what nats-server 2.15.2 decided when asked the same. want is who somebody is;
// empty: refused.
func TestLogins(t *testing.T) {
	me, other := newSigner(t), newSigner(t)
	const nonce = "5fTCdGbcKWYfOdo"
	mine := me.sign(t, nonce, base64.RawURLEncoding)
	hash := mustHash(t, "p")
	joe := User{User: "joe", Password: "p"}
	key := User{NKey: me.public}
	both := Options{Users: []User{key, joe}}
	guestKey := Options{Users: both.Users, TopOptions: TopOptions{NoAuthUser: me.public}}
	guestJoe := Options{Users: both.Users, TopOptions: TopOptions{NoAuthUser: "joe"}}
	onlyJoe := Options{Users: []User{joe}, TopOptions: TopOptions{NoAuthUser: "joe"}}
	types := Options{Users: []User{{NKey: me.public, Types: []string{"mqtt"}}, {User: "joe", Password: "p", Types: []string{"WEBSOCKET"}}}}
	proxied := Options{Users: []User{{User: "joe", Password: "p", ProxyRequired: true}}, TopOptions: TopOptions{NoAuthUser: "joe"}}
	for _, c := range []struct {
		name string
		o    Options
		c    Credentials
		want string
	}{
		{"signed", both, Credentials{NKey: me.public, Signature: mine}, me.public},
		{"signed, the other alphabet", both, Credentials{NKey: me.public, Signature: me.sign(t, nonce, base64.StdEncoding)}, me.public},
		{"signed by another", both, Credentials{NKey: me.public, Signature: other.sign(t, nonce, base64.RawURLEncoding)}, ""},
		{"signed another nonce", both, Credentials{NKey: me.public, Signature: me.sign(t, nonce+"x", base64.RawURLEncoding)}, ""},
		{"not signed", both, Credentials{NKey: me.public}, ""},
		{"signature is not base64", both, Credentials{NKey: me.public, Signature: "!"}, ""},
		{"unknown key", both, Credentials{NKey: other.public, Signature: other.sign(t, nonce, base64.RawURLEncoding)}, ""},
		{"unknown key, right password", both, Credentials{NKey: other.public, User: "joe", Password: "p"}, ""},
		{"signed, wrong password", both, Credentials{NKey: me.public, Signature: mine, User: "joe", Password: "x"}, me.public},
		{"key as a name", both, Credentials{User: me.public}, ""},
		{"password beside keys", both, Credentials{User: "joe", Password: "p"}, "joe"},
		{"signature alone", both, Credentials{Signature: mine}, ""},
		{"guest with a key", guestKey, Credentials{}, me.public},
		{"guest that names its key does not sign", guestKey, Credentials{NKey: me.public}, me.public},
		{"guest with a password alone", guestKey, Credentials{Password: "x"}, ""},
		{"guest with a token alone", guestKey, Credentials{Token: "x"}, ""},
		{"guest with a JWT", guestKey, Credentials{JWT: "x"}, me.public},
		{"guest", guestJoe, Credentials{}, "joe"},
		{"guest with a signature", guestJoe, Credentials{Signature: "x"}, "joe"},
		{"guest with an unknown key", guestJoe, Credentials{NKey: other.public}, ""},
		{"guest with a name alone", guestJoe, Credentials{User: "joe"}, ""},
		{"guest with a key where nobody has one", onlyJoe, Credentials{NKey: other.public}, "joe"},
		{"guest with a hashed password", Options{Users: []User{{User: "joe", Password: hash}}, TopOptions: TopOptions{NoAuthUser: "joe"}}, Credentials{}, ""},
		{"key of another connection type", types, Credentials{NKey: me.public, Signature: mine}, ""},
		{"key of this connection type", types, Credentials{NKey: me.public, Signature: mine, Type: MQTT}, me.public},
		{"user of another connection type", types, Credentials{User: "joe", Password: "p"}, ""},
		{"user of this connection type", types, Credentials{User: "joe", Password: "p", Type: WebSocket}, "joe"},
		{"without a proxy", proxied, Credentials{User: "joe", Password: "p"}, ""},
		{"guest without a proxy", proxied, Credentials{}, ""},
		{"no password needed, none given", Options{Users: []User{{User: "joe"}}}, Credentials{User: "joe"}, "joe"},
		{"no password needed, one given", Options{Users: []User{{User: "joe"}}}, Credentials{User: "joe", Password: "p"}, ""},
		{"single user without a password", Options{User: "joe"}, Credentials{User: "joe"}, "joe"},
		{"token and a user", Options{Token: "t"}, Credentials{Token: "t", User: "x", Password: "y"}, ""},
		{"all types", Options{Users: []User{{User: "joe", Types: []string{}}}}, Credentials{User: "joe", Type: LeafNode}, "joe"},
	} {
		d := mustDirectory(t, c.o)
		c.c.Nonce = nonce
		id, _, err := login(d, c.c)
		if c.o.Token != "" { // has no name
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if got := userOf(id); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: is %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func TestNonceIsShownIfSomebodyMustSignIt(t *testing.T) {
	key := newSigner(t)
	for _, c := range []struct {
		o    Options
		want bool
	}{
		{Options{}, false},
		{Options{Users: []User{{User: "a"}}}, false},
		{Options{Users: []User{{NKey: key.public}}}, true},
		{Options{TopOptions: TopOptions{Accounts: AccountsOptions{"A": {Users: []User{{NKey: key.public}}}}}}, true},
	} {
		if got := mustDirectory(t, c.o).NeedsNonce(); got != c.want {
			t.Errorf("%+v: %v", c.o.Users, got)
		}
	}
}

// TestOnlyTheSystemAccountIsClosed has what nats-server does with configurations in which nobody
// but users of the system account is named.
func TestOnlyTheSystemAccountIsClosed(t *testing.T) {
	system := []User{{User: "s", Password: "p"}}
	for _, c := range []struct {
		name      string
		o         Options
		strangers bool
		announced bool
	}{
		{"$SYS", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"$SYS": {Users: system}}}}, true, true},
		{"system_account", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"S": {Users: system}}, SystemAccount: "S"}}, true, true},
		{"no_system_account", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"$SYS": {Users: system}}, NoSystemAccount: true}}, true, true},
		{"authorization {}", Options{Given: true, TopOptions: TopOptions{Accounts: AccountsOptions{"$SYS": {Users: system}}}}, false, true},
		{"another account", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"$SYS": {Users: system}, "A": {}}}}, false, true},
		{"not the system account", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"A": {Users: system}}}}, false, true},
		{"nobody at all", Options{TopOptions: TopOptions{Accounts: AccountsOptions{"A": {}, "B": {}}}}, true, false},
	} {
		d := mustDirectory(t, c.o)
		id, _, err := login(d, Credentials{})
		if (err == nil) != c.strangers || err == nil && id.Account != GlobalAccount {
			t.Errorf("%s: strangers: %v %v", c.name, id, err)
		}
		if (d.Guest() != nil) != c.strangers || d.Announced() != c.announced {
			t.Errorf("%s: guest before CONNECT %v, INFO asks for credentials %v", c.name, d.Guest(), d.Announced())
		}
		if id, _, err := login(d, Credentials{User: "s", Password: "p"}); err != nil || len(d.users) > 0 && id.Account == GlobalAccount {
			t.Errorf("%s: system user: %v %v", c.name, id, err)
		}
		if _, _, err := login(d, Credentials{User: "zz", Password: "p"}); (err == nil) != (len(d.users) == 0) {
			t.Errorf("%s: somebody unknown: %v", c.name, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	key := newSigner(t)
	hash, again := mustHash(t, "p"), mustHash(t, "p")
	accounts := func(user User) Options {
		return Options{TopOptions: TopOptions{Accounts: AccountsOptions{"A": {Users: []User{user}}}}}
	}
	list := func(users ...User) Options { return Options{Users: users} }
	guest := func(name string, users ...User) Options {
		return Options{Users: users, TopOptions: TopOptions{NoAuthUser: name}}
	}
	only := Options{TopOptions: TopOptions{Accounts: AccountsOptions{"$SYS": {Users: []User{{User: "s"}}}}}}
	joe, plain := Credentials{User: "joe", Password: "p"}, User{User: "joe", Password: "p"}
	for _, c := range []struct {
		name   string
		before Options
		c      Credentials
		after  Options
		stays  bool
	}{
		{"the same", list(plain), joe, list(plain), true},
		{"new permissions", list(plain), joe, list(User{User: "joe", Password: "p", Permissions: &PermissionOptions{}}), true},
		{"gone", list(plain), joe, list(User{User: "bob", Password: "p"}), false},
		{"another password", list(plain), joe, list(User{User: "joe", Password: "q"}), false},
		{"the same hash", list(User{User: "joe", Password: hash}), joe, list(User{User: "joe", Password: hash}), true},
		{"another hash: show the password again", list(User{User: "joe", Password: hash}), joe, list(User{User: "joe", Password: again}), false},
		{"no longer hashed", list(User{User: "joe", Password: hash}), joe, list(plain), true},
		{"no longer hashed, another password", list(User{User: "joe", Password: hash}), joe, list(User{User: "joe", Password: "q"}), false},
		{"moved to an account", list(plain), joe, accounts(plain), false},
		{"moved back", accounts(plain), joe, list(plain), false},
		{"stays in its account", accounts(plain), joe, accounts(plain), true},
		{"single user joins a list", Options{User: "joe", Password: "p"}, joe, list(plain), true},
		{"single user, another password", Options{User: "joe", Password: "p"}, joe, Options{User: "joe", Password: "q"}, false},
		{"needs a proxy now", list(plain), joe, list(User{User: "joe", Password: "p", ProxyRequired: true}), false},
		{"token", Options{Token: "t"}, Credentials{Token: "t"}, Options{Token: "t"}, true},
		{"another token", Options{Token: "t"}, Credentials{Token: "t"}, Options{Token: "u"}, false},
		{"token instead of nothing", Options{}, Credentials{}, Options{Token: "t"}, false},
		{"users instead of nothing", Options{}, Credentials{}, list(plain), false},
		{"guest instead of nothing", Options{}, Credentials{}, guest("joe", plain), true},
		{"nothing still", Options{}, Credentials{}, Options{}, true},
		{"nothing instead of a token", Options{Token: "t"}, Credentials{Token: "t"}, Options{}, false},
		{"guest is a user now", guest("joe", plain), Credentials{}, list(plain), true},
		{"guest without its user", guest("joe", plain), Credentials{}, list(User{User: "bob"}), false},
		{"stranger", only, Credentials{}, only, true},
		{"stranger, open now", only, Credentials{}, Options{}, true},
		{"key", list(User{NKey: key.public}), Credentials{NKey: key.public, Nonce: "n", Signature: key.sign(t, "n", base64.RawURLEncoding)}, list(User{NKey: key.public}), true},
		{"key is gone", list(User{NKey: key.public}), Credentials{NKey: key.public, Nonce: "n", Signature: key.sign(t, "n", base64.RawURLEncoding)}, list(plain), false},
	} {
		id, _, err := login(mustDirectory(t, c.before), c.c)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		now := mustDirectory(t, c.after).Refresh(id)
		if (now != nil) != c.stays || now != nil && now.Account != id.Account {
			t.Errorf("%s: %v, want to stay: %v", c.name, now, c.stays)
		}
	}
	if mustDirectory(t, Options{}).Refresh(&Identity{User: "joe"}) != nil {
		t.Error("somebody who never came in stays")
	}
}

func TestUnknownUserTakesAsLongWhateverIsOffered(t *testing.T) {
	key := newSigner(t)
	d := mustDirectory(t, Options{Users: []User{{User: "a", Password: mustHash(t, "x")}}})
	for name, c := range map[string]Credentials{
		"a password": {User: "nobody", Password: "x"}, "none": {User: "nobody"}, "a key besides": {User: "nobody", NKey: key.public},
	} {
		if _, slowly, err := login(d, c); !slowly || !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: slowly %v, %v: the answer tells who exists", name, slowly, err)
		}
	}
}

func TestSignaturesAreCheckedBesideTheLoop(t *testing.T) {
	key := newSigner(t)
	d := mustDirectory(t, Options{Users: []User{{NKey: key.public}}})
	if _, slowly, err := login(d, Credentials{NKey: key.public, Nonce: "n", Signature: key.sign(t, "n", base64.RawURLEncoding)}); err != nil || !slowly {
		t.Errorf("%v, slowly %v", err, slowly)
	}
	if _, _, err := login(d, Credentials{NKey: key.public, Signature: key.sign(t, "", base64.RawURLEncoding)}); err == nil {
		t.Error("a signature of nothing is taken where no nonce was shown")
	}
}

func TestAccountsHaveDefaultPermissionsOfTheirOwn(t *testing.T) {
	only := func(s string) *PermissionOptions {
		return &PermissionOptions{Publish: &SubjectOptions{Allow: []string{s}}}
	}
	d := mustDirectory(t, Options{DefaultPermissions: only("common"), Users: []User{{User: "u"}}, TopOptions: TopOptions{Accounts: AccountsOptions{
		"A": {Users: []User{{User: "a"}, {User: "b", Permissions: only("b")}}, DefaultPermissions: only("a")},
		"B": {Users: []User{{User: "c"}}},
	}}})
	for user, may := range map[string][]string{"u": {"common"}, "a": {"a"}, "b": {"b"}, "c": {"common", "a", "b"}} {
		id, _, err := login(d, Credentials{User: user})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"common", "a", "b"} {
			if got := id.Perms.MayPublish([]byte(s)); got != slices.Contains(may, s) {
				t.Errorf("%s: publish %q is %v", user, s, got)
			}
		}
	}
}
