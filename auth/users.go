package auth

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"
)

// An entry is one configured user, token or public key.
type entry struct {
	identity *Identity
	secret   *secret // nil if key, and for whoever may come in without anything
	key      bool    // identity.User is a public key, whose owner signs the nonce
	proxied  bool    // may come through a trusted proxy only, and there are none
	stranger bool    // nobody in particular, who is let in without credentials
}

// addUsers makes entries of everybody who is configured.
func (d *Directory) addUsers(o *Options) error {
	d.users, d.nkeys = make(map[string]*entry), make(map[string]*entry)
	if err := d.addList(o.Users, GlobalAccount, o.DefaultPermissions); err != nil {
		return under("authorization", err)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Accounts)) {
		a := o.Accounts[name]
		if err := d.addList(a.Users, name, a.DefaultPermissions); err != nil {
			return under("accounts", badf("account %q: %w", cut(name), err))
		}
	}
	if err := d.addSingle(o); err != nil {
		return under("authorization", err)
	}
	if d.mapped || d.mapsLeaves {
		for _, name := range slices.Sorted(maps.Keys(d.users)) {
			if dn, ok := parseDN(name); ok {
				d.dns = append(d.dns, namedDN{dn, d.users[name]})
			}
		}
	}
	if o.NoAuthUser != "" {
		if d.guest = d.users[o.NoAuthUser]; d.guest == nil {
			d.guest = d.nkeys[o.NoAuthUser]
		}
		if d.guest == nil {
			return under("no_auth_user", badf("no_auth_user %q is not one of the users: add it, or name one of them", cut(o.NoAuthUser)))
		}
	}
	switch {
	case d.onlySystem(o):
		return d.addStranger()
	case d.single == nil && len(d.users)+len(d.nkeys) == 0:
		d.anyone = &entry{identity: &Identity{Account: GlobalAccount}, stranger: true}
		d.anyone.identity.entry = d.anyone
	}
	return nil
}

// onlySystem reports whether nothing is configured but who is in the system account, which
// nats-server does not take for a wish to keep everybody else out.
func (d *Directory) onlySystem(o *Options) bool {
	_, named := o.Accounts[SystemAccount]
	return (named || o.SystemAccount != "") && len(d.accounts) == 2 && o.NoAuthUser == "" && !o.given()
}

// addStranger adds a user of the global account without a known name, as which everybody comes in.
func (d *Directory) addStranger() error {
	name := "nats-" + strconv.FormatUint(rand.Uint64(), 36)
	if err := d.add(&User{User: name, Password: name}, GlobalAccount, nil); err != nil {
		return err
	}
	d.guest, d.silent = d.users[name], true
	d.guest.stranger = true
	return nil
}

// addSingle makes an entry of the one user or token. Default permissions are not for them.
func (d *Directory) addSingle(o *Options) (err error) {
	d.byToken = o.Token != ""
	if o.User == "" && o.Token == "" {
		return nil
	}
	name, what, password := o.User, "user "+strconv.Quote(cut(o.User)), o.Password
	if d.byToken {
		name, what, password = "", "token", o.Token
	}
	d.single = &entry{identity: &Identity{User: name, Account: GlobalAccount}, proxied: o.ProxyRequired}
	d.single.identity.entry = d.single
	if d.single.secret, err = newSecret(password, d.key); err != nil {
		return badf("%s: %w", what, err)
	}
	if d.single.secret.hashed {
		d.decoy = password
	}
	return nil
}

func (d *Directory) addList(users []User, account string, defaults *PermissionOptions) error {
	permissions, err := NewPermissions(defaults)
	if err != nil {
		return badf("default_permissions: %w", err)
	}
	for i := range users {
		u := &users[i]
		if err := d.add(u, account, permissions); err != nil {
			return err
		}
	}
	return nil
}

func (d *Directory) add(u *User, account string, defaults *Permissions) error {
	name := u.User
	switch {
	case u.User == "" && u.NKey == "":
		return badf("an entry of users has neither user nor nkey")
	case u.NKey != "" && (u.User != "" || u.Password != ""):
		return badf("nkey %q has a user or a password as well: remove them, its owner signs", cut(u.NKey))
	case u.NKey != "" && !nkeys.IsValidPublicUserKey(u.NKey):
		// Somebody may have given the seed, which is a secret.
		return badf("an nkey of users is not the public key of a user: it begins with U and has 56 letters")
	case u.NKey != "":
		name = u.NKey
	}
	if d.users[name] != nil || d.nkeys[name] != nil {
		return badf("user %q is there twice: users need names of their own, over all accounts", cut(name))
	}
	types, err := connectionTypes(u.Types)
	if err != nil {
		return badf("user %q: %w", cut(name), err)
	}
	permissions, err := NewPermissions(u.Permissions)
	if err != nil {
		return badf("user %q: %w", cut(name), err)
	}
	if permissions == nil {
		permissions = defaults
	}
	if u.Account != "" {
		account = u.Account
	}
	e := &entry{identity: &Identity{User: name, Account: account, Perms: permissions, Types: types}, proxied: u.ProxyRequired}
	e.identity.entry = e
	if u.NKey != "" {
		e.key = true
		d.nkeys[name] = e
		return nil
	}
	if e.secret, err = newSecret(u.Password, d.key); err != nil {
		return badf("user %q: %w", cut(name), err)
	}
	if e.secret.hashed && d.decoy == "" {
		d.decoy = u.Password
	}
	d.users[name] = e
	return nil
}

// connectionTypes checks names of connection types, in either case. None at all are all.
func connectionTypes(names []string) ([]string, error) {
	var types []string
	for _, name := range names {
		upper := strings.ToUpper(name)
		if !slices.Contains(allTypes(), upper) {
			return nil, badf("%q is no connection type: use some of %s", cut(name), strings.Join(allTypes(), ", "))
		}
		types = append(types, upper)
	}
	return types, nil
}
