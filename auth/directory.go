package auth

import (
	"slices"
	"strings"
	"time"
)

// A Directory knows who may come in. It never changes once made, but for what it has learned of
// passwords that were right, and in operator mode of accounts.
type Directory struct {
	timeout    time.Duration
	anyone     *entry // not nil: no authentication, everybody is this one
	single     *entry // not nil: the one user, or the token, that there is
	byToken    bool   // single is a token
	guest      *entry // not nil: whoever brings no credentials is this one
	silent     bool   // guest is our idea: INFO asks for credentials all the same
	users      map[string]*entry
	nkeys      map[string]*entry // by public key
	mapped     bool              // certificates name users
	mapsLeaves bool              // those of leaves do
	dns        []namedDN         // if mapped: users whose names are distinguished names, sorted by name
	key        []byte            // of the digests that stand for passwords
	decoy      string            // not empty: some password is hashed, so unknown users take as long
	heard      *verdicts         // of everybody's permissions

	accounts []*Account // all that are configured, the global and the system account too
	byName   map[string]*Account
	system   string // the system account's name; empty: there is none

	operator *operator // not nil: operator mode, and all of the above but timeout is empty
	callout  *callout  // not nil: a service decides
}

// New checks o and builds a Directory. What it has started is ended by Close.
func New(o Options) (*Directory, error) {
	d := &Directory{timeout: o.Timeout, key: newKey(), mapped: o.VerifyAndMap, mapsLeaves: o.LeafVerifyAndMap, heard: newVerdicts()}
	if d.timeout <= 0 {
		d.timeout = defaultTimeout
	}
	var err error
	if d.operator, err = newOperator(&o); err != nil {
		return nil, err
	}
	if d.operator != nil {
		if _, err := o.Mappings.build(); err != nil { // of no use here, but a mistake all the same
			d.operator.close()
			return nil, under("mappings", err)
		}
		return d, nil
	}
	if err := o.check(); err != nil {
		return nil, under("authorization", err)
	}
	if err := d.addAccounts(&o); err != nil {
		return nil, err
	}
	if err := d.addUsers(&o); err != nil {
		return nil, err
	}
	if o.Callout != nil {
		if d.callout, err = newCallout(&o, d); err != nil {
			return nil, under("authorization", err)
		}
	}
	return d, nil
}

// check refuses combinations that leave open who is meant to come in.
func (o *Options) check() error {
	var inAccount string
	for name, account := range o.Accounts {
		if len(account.Users) > 0 {
			inAccount = name
		}
	}
	switch {
	case o.User == "" && o.Password != "" && o.Token == "" && len(o.Users) == 0 && inAccount == "":
		// Everybody would come in, which nobody can have meant who has written a password.
		return badf("a password without a user, so that nobody would have to show it: add the user, on the command line with --user")
	case o.Token != "" && (o.User != "" || o.Password != ""):
		return badf("a token and a user: only one of them is possible")
	case o.Token != "" && o.Users != nil:
		return badf("a token and a users list: only one of them is possible")
	case o.User != "" && o.Users != nil:
		return badf("a single user and a users list: put the user into the list")
	case o.User != "" && inAccount != "":
		return badf("a single user and users in account %q: put the user into an account, or into a users list", cut(inAccount))
	case o.Token != "" && inAccount != "":
		return badf("a token and users in account %q: only one of them is possible", cut(inAccount))
	}
	return nil
}

// addAccounts makes the accounts that are configured, and those that there are in any case.
func (d *Directory) addAccounts(o *Options) error {
	var err error
	if d.accounts, err = o.Accounts.build(o.NoSystemAccount); err != nil {
		return under("accounts", err)
	}
	global := &Account{Name: GlobalAccount}
	if global.Mappings, err = o.Mappings.build(); err != nil {
		return under("mappings", err)
	}
	d.accounts = append(d.accounts, global)
	d.byName = make(map[string]*Account, len(d.accounts))
	for _, a := range d.accounts {
		d.byName[a.Name] = a
	}
	d.system = o.SystemAccount
	if d.system == "" && (d.byName[SystemAccount] != nil || !o.NoSystemAccount) {
		d.system = SystemAccount
		if d.byName[SystemAccount] == nil {
			d.byName[SystemAccount] = &Account{Name: SystemAccount}
			d.accounts = append(d.accounts, d.byName[SystemAccount])
		}
	}
	if d.system != "" {
		a := d.byName[d.system]
		if a == nil {
			return under("system_account", badf("system_account %q is not one of the accounts: define it there, or leave the key out", cut(d.system)))
		}
		a.System = true
	}
	slices.SortFunc(d.accounts, func(a, b *Account) int { return strings.Compare(a.Name, b.Name) })
	return under("accounts", checkImports(d.accounts))
}

// Required reports whether clients must authenticate.
func (d *Directory) Required() bool { return d.anyone == nil || d.callout != nil }

// HasPlaintext reports whether a password is configured as it is, and not as a hash. As in nats-server
// tokens do not count, nor do users without a password whom a certificate names.
func (d *Directory) HasPlaintext() bool {
	if d.single != nil && !d.byToken && !d.single.secret.hashed && d.single.secret.configured != "" {
		return true
	}
	for _, e := range d.users {
		if !e.secret.hashed && !e.stranger && (e.secret.configured != "" || !d.mapped && !d.mapsLeaves) {
			return true
		}
	}
	return false
}

// WithoutPassword returns the names of users who come in by their name alone, sorted. Whom no_auth_user names is
// not among them, as everybody is meant to come in as him, nor who has to show a certificate.
func (d *Directory) WithoutPassword() (names []string) {
	bare := func(e *entry) bool {
		return !e.stranger && !e.proxied && e != d.guest && e.secret.configured == ""
	}
	if d.single != nil && !d.byToken && bare(d.single) {
		names = append(names, d.single.identity.User)
	}
	if !d.mapped && !d.mapsLeaves {
		for name, e := range d.users {
			if bare(e) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names) // these and not all users: there may be ten thousand, and this is asked at the start
	for i := range names {
		names[i] = cut(names[i])
	}
	return names
}

// Wanted says in words what clients have to bring, for the log of whoever gives it to them.
func (d *Directory) Wanted() string {
	switch {
	case d.operator != nil:
		return "a creds file, which holds a user JWT and its seed"
	case d.callout != nil:
		return "what the service of auth_callout wants to see"
	case d.mapped:
		return "a certificate that names a user"
	case d.byToken:
		return "a token"
	case d.single == nil && len(d.users) == 0:
		return "an nkey, that is, its seed"
	case len(d.nkeys) > 0:
		return "a user and password or an nkey, or set no_auth_user"
	case d.single != nil:
		return "a user and password"
	}
	return "a user and password, or set no_auth_user"
}

// Announced reports whether INFO says that clients must authenticate: it does not if who brings no
// credentials is some user by configuration.
func (d *Directory) Announced() bool { return d.Required() && (d.guest == nil || d.silent) }

// Guest is who a client is that has not said CONNECT yet; nil if there is no such thing.
func (d *Directory) Guest() *Identity {
	switch g := d.guest; {
	case d.callout != nil:
		return nil
	case d.anyone != nil:
		return d.anyone.identity // has no permissions
	case g == nil || g.key || g.proxied || d.mapped || g.secret.hashed || !g.identity.Admits(Standard):
		return nil
	default:
		return d.heard.remember(g.identity)
	}
}

// Timeout is how long a client has to bring valid credentials.
func (d *Directory) Timeout() time.Duration { return d.timeout }

// NeedsNonce reports whether INFO must hold a nonce, because somebody may have to sign it.
func (d *Directory) NeedsNonce() bool { return d.operator != nil || len(d.nkeys) > 0 }

// Account returns what is configured of an account; nil if it is not known. It never waits.
func (d *Directory) Account(name string) *Account {
	if d.operator != nil {
		return d.operator.account(name)
	}
	return d.byName[name]
}

// Accounts returns all accounts that are known, the global and the system account included, sorted
// by name. Nobody may change the list.
func (d *Directory) Accounts() []*Account {
	if d.operator != nil {
		return d.operator.accounts()
	}
	return d.accounts
}

// SystemAccount is the name of the system account, empty if there is none.
func (d *Directory) SystemAccount() string {
	if d.operator != nil {
		return d.operator.system
	}
	return d.system
}

// OnChange asks to be told of accounts that are loaded, pushed or have expired, which happens in
// operator mode only. f is called from any goroutine, before the login that caused it completes.
func (d *Directory) OnChange(f func(*Account)) {
	if d.operator != nil {
		d.operator.onChange(f)
	}
}

// Close ends what New has started.
func (d *Directory) Close() {
	if d.operator != nil {
		d.operator.close()
	}
}
