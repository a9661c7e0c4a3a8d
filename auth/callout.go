package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// calloutSubject is where a callout's service listens. Whoever is in its account must not publish
// there, or could ask the service about credentials of others.
const calloutSubject = "$SYS.REQ.USER.AUTH"

// A Caller sends a request to whoever serves subject in an account, and waits for the answer.
type Caller func(ctx context.Context, account, subject string, header map[string]string, payload []byte) (reply []byte, replyHeader map[string]string, err error)

// A ServerKey is who a server is to a callout's service: a key that signs, whose public half is the
// server's id, and one that unseals. It is made at start and never stored.
type ServerKey struct {
	pair, curve nkeys.KeyPair
	id, xkey    string
}

// NewServerKey makes a key.
func NewServerKey() (*ServerKey, error) {
	k := &ServerKey{}
	var err error
	if k.pair, err = nkeys.CreateServer(); err == nil {
		if k.id, err = k.pair.PublicKey(); err == nil {
			if k.curve, err = nkeys.CreateCurveKeys(); err == nil {
				k.xkey, err = k.curve.PublicKey()
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("auth: make the server's key: %w", err)
	}
	return k, nil
}

// ID is the public key. It begins with N.
func (k *ServerKey) ID() string { return k.id }

// XKey is the public curve key. It begins with X.
func (k *ServerKey) XKey() string { return k.xkey }

// A Server is what a callout's service is told about us.
type Server struct {
	Key                          *ServerKey // nil: one of the Directory's own
	Name, Host, Version, Cluster string
	Tags                         []string
}

// An asker asks a service about those who want to come in.
type asker struct {
	// Set when made.
	operator *operator // nil: configured users
	timeout  time.Duration
	own      func() (*ServerKey, error)

	// Anyone's.
	caller atomic.Pointer[Caller]
	server atomic.Pointer[Server]
}

func newAsker(p *operator, timeout time.Duration) *asker {
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &asker{operator: p, timeout: timeout, own: sync.OnceValues(NewServerKey)}
}

// asker is whoever asks for this Directory; nil if nobody does.
func (d *Directory) asker() *asker {
	switch {
	case d.operator != nil:
		return d.operator.asker
	case d.callout != nil:
		return d.callout.asker
	}
	return nil
}

// SetCaller tells how a callout's service is reached. Until then everybody who would have to be
// asked about is refused.
func (d *Directory) SetCaller(f Caller) {
	if a := d.asker(); a != nil {
		a.caller.Store(&f)
	}
}

// SetServer tells who we are, for callouts. It is needed if the server's id shall be the same for
// clients and for the service.
func (d *Directory) SetServer(s Server) {
	if a := d.asker(); a != nil {
		a.server.Store(&s)
	}
}

// A callout asks a service who may come in, when users are configured here.
type callout struct {
	options   CalloutOptions
	directory *Directory
	asker     *asker
	denied    sync.Map // *Identity of a service's own user to the same without calloutSubject
}

// newCallout makes the callout of d, of which accounts and users are complete.
func newCallout(o *Options, d *Directory) (*callout, error) {
	c := &callout{options: *o.Callout, directory: d, asker: newAsker(nil, d.timeout)}
	if err := c.options.check(); err != nil {
		return nil, err
	}
	if d.byName[c.options.Account] == nil {
		return nil, badf("auth_callout: account %q is not one of the accounts", cut(c.options.Account))
	}
	for _, name := range c.options.AllowedAccounts {
		if d.byName[name] == nil {
			return nil, badf("auth_callout: allowed_accounts: %q is not one of the accounts", cut(name))
		}
	}
	return c, nil
}

// authenticate goes on where configured users ended. named is the configured user whom the credentials
// are about, whether they are right or not; nil if there is none. id, slow and err are what was decided
// by configuration.
//
// The rules are those of nats-server: the service's own users are let in or not by configuration, and
// so are the right credentials of accounts that are not allowed_accounts. The service decides about
// everybody else, also about wrong passwords.
func (c *callout) authenticate(creds Credentials, named *entry, id *Identity, slow func() (*Identity, error), err error) (*Identity, func() (*Identity, error), error) {
	if named != nil && named.identity.User != "" && slices.Contains(c.options.AuthUsers, named.identity.User) {
		if slow == nil {
			return c.restrict(id), nil, err
		}
		return nil, func() (*Identity, error) {
			id, err := slow()
			return c.restrict(id), err
		}, nil
	}
	return nil, func() (*Identity, error) {
		id := id
		if slow != nil && len(c.options.AllowedAccounts) > 0 {
			id, _ = slow()
		}
		if id != nil && !c.delegated(id.Account) {
			return id, nil
		}
		id, answer := c.ask(c.presented(&creds, named))
		if answer == nil && errors.Is(err, ErrProxyRequired) {
			return nil, err // which is not for the service to decide
		}
		return id, answer
	}, nil
}

// presented is what the service is told that a client has brought: where it is the configuration that says
// who somebody is, by a certificate or by nothing, that user. A JWT is of use to operators only. As in
// nats-server.
func (c *callout) presented(creds *Credentials, named *entry) *Credentials {
	shown := *creds
	shown.JWT = ""
	switch {
	case named == nil || named.identity.User == "" || named.stranger:
	case named.key:
		shown.NKey = named.identity.User
	case c.directory.mapsCertificate(creds):
		shown.User = named.identity.User
	case shown.User != named.identity.User: // no_auth_user
		shown.User, shown.Password = named.identity.User, named.secret.configured
	}
	return &shown
}

// delegated reports whether the service is asked about configured users of an account.
func (c *callout) delegated(account string) bool {
	allowed := c.options.AllowedAccounts
	return len(allowed) == 0 || account == GlobalAccount || slices.Contains(allowed, account)
}

// restrict keeps whoever is in the service's account from asking it, if it is asked about that account:
// nats-server says no more about others. c may be nil.
func (c *callout) restrict(id *Identity) *Identity {
	if c == nil || id == nil || id.Account != c.options.Account || !c.delegated(id.Account) {
		return id
	}
	if known, ok := c.denied.Load(id); ok {
		return known.(*Identity)
	}
	other := *id
	other.Perms = id.Perms.withDenied(calloutSubject)
	known, _ := c.denied.LoadOrStore(id, &other)
	return known.(*Identity)
}

// refresh tells whether somebody whom the service has let in may stay after a reload. c may be nil.
func (c *callout) refresh(old *Identity) *Identity {
	if c == nil || old.claims == nil || !old.claims.callout || old.claims.signer != c.options.Issuer || c.directory.byName[old.Account] == nil {
		return nil
	}
	return old
}

// ask asks about a client in the configured account.
func (c *callout) ask(creds *Credentials) (*Identity, error) {
	o := &c.options
	q := question{asker: c.asker, creds: creds, account: o.Account, subject: o.Issuer, xkey: o.XKey, token: creds.JWT}
	answer, sealed, err := q.ask()
	if err != nil {
		return nil, err
	}
	if !sealed && answer.Issuer != o.Issuer {
		return nil, refuse("auth callout signing key is unknown")
	}
	user, err := q.userOf(answer)
	if err != nil {
		return nil, err
	}
	switch {
	case user.IssuerAccount != "":
		return nil, refuse("the auth callout's user JWT has an issuer account, which only operators can resolve")
	case user.Issuer != o.Issuer:
		return nil, refuse("the auth callout's user JWT has another issuer")
	case c.directory.byName[user.Audience] == nil:
		return nil, refuse("the auth callout's user JWT is for account %q, which there is not", cut(user.Audience))
	}
	// What is configured as default_permissions is for configured users, as in nats-server.
	id, err := q.identity(user, user.Audience, nil)
	if err != nil {
		return nil, err
	}
	id.claims.signer, id.Issuer = user.Issuer, id.Account // nats-server shows the account there
	if id.Account == o.Account {
		id.Perms = id.Perms.withDenied(calloutSubject)
	}
	return id, nil
}

// askFor asks about a client in an account whose JWT says so.
func (a *asker) askFor(account *claimed, creds *Credentials, shown *jwt.UserClaims, token string) (*Identity, error) {
	authorization := &account.claims.Authorization
	q := question{
		asker: a, creds: creds, account: account.name, subject: account.name, xkey: authorization.XKey,
		token: token, shown: shown,
	}
	answer, sealed, err := q.ask()
	if err != nil {
		return nil, err
	}
	if !sealed {
		if answer.IssuerAccount != "" && answer.IssuerAccount != account.name {
			return nil, refuse("the auth callout's answer is of another account")
		}
		if _, known := account.signers[answer.Issuer]; answer.Issuer != account.name && !known {
			return nil, refuse("auth callout signing key is unknown")
		}
	}
	user, err := q.userOf(answer)
	if err != nil {
		return nil, err
	}
	name := user.Issuer
	if user.IssuerAccount != "" {
		name = user.IssuerAccount
	}
	allowed := authorization.AllowedAccounts
	if name != account.name && !slices.Contains(allowed, name) && !slices.Equal(allowed, jwt.StringList{jwt.AnyAccount}) {
		return nil, refuse("the auth callout of account %s may not put users into account %s", account.name, cut(name))
	}
	target, err := a.operator.load(name)
	if err != nil {
		return nil, err
	}
	l := arrival{p: a.operator, c: creds, user: user, account: target}
	if err := l.applyScope(); err != nil {
		return nil, err
	}
	id, err := q.identity(user, target.name, target.defaults)
	if err != nil {
		return nil, err
	}
	id.claims.scope = l.scope
	if user.IssuerAccount != "" {
		id.claims.signer = user.Issuer
	}
	if target == account {
		id.claims.denied = true
		id.Perms = id.Perms.withDenied(calloutSubject)
	}
	return id, nil
}

// who is the name that a client gives itself, never a secret: of a token it is said that there is one.
func (c *Credentials) who() string {
	switch {
	case c.NKey != "":
		return c.NKey
	case c.User != "":
		return c.User
	case c.JWT == "" && c.Token != "":
		return "[REDACTED]"
	}
	return ""
}
