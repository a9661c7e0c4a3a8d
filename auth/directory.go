package auth

import (
	"fmt"
	"time"
)

// GlobalAccount is where users without an account of their own belong.
const GlobalAccount = "$G"

// Identity is who a peer is. It never changes once made.
type Identity struct {
	User    string // empty: nobody in particular
	Account string
	Perms   *Permissions // nil: everything is allowed
}

// Credentials is what a client brought along. Empty fields were not given.
type Credentials struct {
	User, Password string
	Token          string
}

// A Directory knows who may come in. It never changes once made, but for what it has learned of
// passwords that were right.
type Directory struct {
	timeout time.Duration
	anyone  *Identity           // not nil: no authentication, everybody is this one
	guest   *Identity           // not nil: whoever brings no credentials is this one
	users   map[string]*account // by name
	token   *account            // token authentication
	key     []byte              // of the digests that stand for passwords
	decoy   []byte              // not nil: some password is hashed, so unknown users take as long
}

// account is one user's entry.
type account struct {
	identity *Identity
	secret   *secret
}

// Required reports whether clients must authenticate.
func (d *Directory) Required() bool { return d.anyone == nil }

// Guest is who a client is that has not brought credentials yet; nil if there is no such thing.
func (d *Directory) Guest() *Identity {
	if d.anyone != nil {
		return d.anyone
	}
	return d.guest
}

// Timeout is how long a client has to bring valid credentials.
func (d *Directory) Timeout() time.Duration { return d.timeout }

// New checks o and builds a Directory.
func New(o Options) (*Directory, error) {
	d := &Directory{timeout: o.Timeout, users: make(map[string]*account), key: newKey()}
	if d.timeout <= 0 {
		d.timeout = defaultTimeout
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	defaults, err := NewPermissions(o.DefaultPermissions)
	if err != nil {
		return nil, fmt.Errorf("default_permissions: %w", err)
	}
	if o.Token != "" {
		secret, err := d.newSecret(o.Token)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		d.token = &account{identity: &Identity{Account: GlobalAccount, Perms: defaults}, secret: secret}
	}
	if o.User != "" {
		if err := d.add(User{User: o.User, Password: o.Password}, defaults); err != nil {
			return nil, err
		}
	}
	for _, u := range o.Users {
		if err := d.add(u, defaults); err != nil {
			return nil, err
		}
	}
	if o.NoAuthUser != "" {
		guest := d.users[o.NoAuthUser]
		if guest == nil {
			return nil, fmt.Errorf("%w: no_auth_user %q is not one of the users", ErrOptions, cut(o.NoAuthUser))
		}
		d.guest = guest.identity
	}
	if d.token == nil && len(d.users) == 0 {
		d.anyone = &Identity{Account: GlobalAccount, Perms: defaults}
	}
	return d, nil
}

// check refuses combinations that leave open who is meant to come in.
func (o *Options) check() error {
	switch {
	case o.User == "" && o.Password != "":
		return fmt.Errorf("%w: a password without a user", ErrOptions)
	case o.Token != "" && o.User != "":
		return fmt.Errorf("%w: a token and a user: only one of them is possible", ErrOptions)
	case o.Token != "" && len(o.Users) > 0:
		return fmt.Errorf("%w: a token and a users list: only one of them is possible", ErrOptions)
	case o.User != "" && len(o.Users) > 0:
		return fmt.Errorf("%w: a single user and a users list: put the user into the list", ErrOptions)
	}
	return nil
}

// Authenticate decides who brings these credentials. If that takes long, slow is not nil and the
// rest is nil: call it beside the loop, its answer is final. The errors are ErrNoCredentials and
// ErrCredentials.
func (d *Directory) Authenticate(c Credentials) (id *Identity, slow func() (*Identity, error), err error) {
	if d.anyone != nil {
		return d.anyone, nil, nil
	}
	if c == (Credentials{}) {
		if d.guest != nil {
			return d.guest, nil, nil
		}
		return nil, nil, ErrNoCredentials
	}
	entry, offered := d.token, c.Token
	if entry == nil {
		entry, offered = d.users[c.User], c.Password
	}
	if entry == nil {
		if d.decoy == nil {
			return nil, nil, ErrCredentials
		}
		return nil, func() (*Identity, error) {
			matches(d.decoy, offered)
			return nil, ErrCredentials
		}, nil
	}
	right, known := entry.secret.compare(d, offered)
	if !known {
		return nil, func() (*Identity, error) {
			if !entry.secret.compareHash(d, offered) {
				return nil, ErrCredentials
			}
			return entry.identity, nil
		}, nil
	}
	if !right {
		return nil, nil, ErrCredentials
	}
	return entry.identity, nil, nil
}

// Lookup finds a user's identity by name, as after a reload; nil if there is none.
func (d *Directory) Lookup(user string) *Identity {
	if user == "" {
		if d.token != nil {
			return d.token.identity
		}
		return d.anyone
	}
	if entry := d.users[user]; entry != nil {
		return entry.identity
	}
	return nil
}

func (d *Directory) add(u User, defaults *Permissions) error {
	name := cut(u.User)
	switch {
	case u.User == "":
		return fmt.Errorf("%w: an entry of users has no user", ErrOptions)
	case u.Password == "":
		return fmt.Errorf("%w: user %q has no password", ErrOptions, name)
	case d.users[u.User] != nil:
		return fmt.Errorf("%w: user %q is there twice", ErrOptions, name)
	}
	permissions, err := NewPermissions(u.Permissions)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	if permissions == nil {
		permissions = defaults
	}
	secret, err := d.newSecret(u.Password)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	if secret.hash != nil && d.decoy == nil {
		d.decoy = secret.hash
	}
	id := &Identity{User: u.User, Account: u.Account, Perms: permissions}
	if id.Account == "" {
		id.Account = GlobalAccount
	}
	d.users[u.User] = &account{identity: id, secret: secret}
	return nil
}
