package auth

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
)

// userClaims is what an identity was made of, to be looked at again when its account changes.
type userClaims struct {
	subject  string
	issued   int64 // seconds
	bearer   bool
	callout  bool      // a service has vouched for it
	signer   string    // the signing key; empty if the account itself has signed
	scope    jwt.Scope // of the signing key
	defaults bool      // its permissions are the account's
	denied   bool      // and it may not publish where a callout's service is asked
}

// refuse is for our log: whoever is refused at login is told the same in every case.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCredentials}, args...)...)
}

// An arrival is one user JWT on its way to an identity.
type arrival struct {
	p       *operator
	c       *Credentials
	user    *jwt.UserClaims
	account *claimed
	scope   jwt.Scope
	types   []string
	until   time.Time // of the times of day that the user is allowed; zero: no end
}

// vouch says who brings these credentials. It may wait for the resolver and for a callout's service.
func (p *operator) vouch(c *Credentials) (*Identity, error) {
	l := arrival{p: p, c: c}
	if err := l.decode(); err != nil {
		return nil, err
	}
	name := l.user.Issuer
	if l.user.IssuerAccount != "" {
		name = l.user.IssuerAccount
	}
	if p.pinned != nil && !p.pinned[name] {
		return nil, refuse("account %s is not one of resolver_pinned_accounts", cut(name))
	}
	var err error
	if l.account, err = p.load(name); err != nil {
		return nil, err
	}
	id, err := l.check()
	if err != nil {
		return nil, err
	}
	if l.account.calls() && !slices.Contains(l.account.claims.Authorization.AuthUsers, l.user.Subject) {
		return p.asker.askFor(l.account, c, l.user, l.token())
	}
	return id, nil
}

// token is the user JWT that counts: the client's, or the sentinel for those who bring none.
func (l *arrival) token() string {
	if l.c.JWT != "" && len(l.c.JWT) <= maxAccountJWT {
		if _, err := jwt.DecodeUserClaims(l.c.JWT); err == nil || l.p.sentinel == "" {
			return l.c.JWT
		}
	}
	return l.p.sentinel
}

func (l *arrival) decode() (err error) {
	token := l.token()
	if token == "" {
		return refuse("a user JWT is needed")
	}
	if l.user, err = jwt.DecodeUserClaims(token); err != nil {
		return refuse("the user JWT is not valid: %w", err)
	}
	if l.user.ProxyRequired {
		return ErrProxyRequired
	}
	return validUser(l.user)
}

func validUser(user *jwt.UserClaims) error {
	results := jwt.CreateValidationResults()
	user.Validate(results)
	if results.IsBlocking(true) {
		return refuse("the user JWT: %s", firstIssue(results))
	}
	return nil
}

// check goes through everything that the account has to say.
func (l *arrival) check() (*Identity, error) {
	a, user := l.account, l.user
	if !l.p.trusted[a.issuer] {
		return nil, refuse("account %s is not signed by a trusted operator", a.name)
	}
	if err := l.applyScope(); err != nil {
		return nil, err
	}
	if l.p.isExpired(a, l.p.now()) {
		return nil, refuse("account %s has expired", a.name)
	}
	if user.BearerToken && a.claims.Limits.DisallowBearer {
		return nil, refuse("account %s does not allow bearer tokens", a.name)
	}
	if err := l.checkType(l.c.Type); err != nil {
		return nil, err
	}
	if !user.BearerToken {
		if !signed(user.Subject, l.c.Nonce, l.c.Signature) {
			return nil, refuse("the signature of user %s is wrong or missing", user.Subject)
		}
	}
	if revoked(a.claims.Revocations, user.Subject, user.IssuedAt) {
		return nil, refuse("user %s is revoked", user.Subject)
	}
	if !allowsSource(user.Src, l.c.Remote) {
		return nil, refuse("user %s may not connect from %s", user.Subject, l.c.Remote)
	}
	if err := l.checkTimesAt(l.p.now()); err != nil {
		return nil, err
	}
	return l.identity()
}

// applyScope finds out who signed the user. What a scoped key gives replaces what the JWT says,
// which must be nothing.
func (l *arrival) applyScope() (err error) {
	scope, known := l.account.signers[l.user.Issuer]
	if !known {
		return refuse("the issuer of the user JWT is not known to account %s", l.account.name)
	}
	if scope == nil {
		return nil
	}
	if err = scope.ValidateScopedSigner(l.user); err != nil {
		return refuse("the user JWT: %w", err)
	}
	scoped, ok := scope.(*jwt.UserScope)
	if !ok {
		return refuse("the scope of the user's signing key is not for users")
	}
	l.scope = scope
	filler := template{user: l.user, account: l.account}
	if l.user.UserPermissionLimits, err = filler.fill(scoped.Template); err != nil {
		return refuse("%w", err)
	}
	if l.user.ProxyRequired {
		return ErrProxyRequired
	}
	return nil
}

// checkType refuses connection types that are not listed. Of a list with nothing in it that we
// know nothing is left, and that is not the same as no list.
func (l *arrival) checkType(connection string) error {
	for _, t := range l.user.AllowedConnectionTypes {
		if t = strings.ToUpper(t); slices.Contains(allTypes(), t) {
			l.types = append(l.types, t)
		}
	}
	if len(l.user.AllowedConnectionTypes) > 0 && len(l.types) == 0 {
		return refuse("the user JWT allows only connection types that are not known")
	}
	if id := (&Identity{Types: l.types}); !id.Admits(connection) {
		return refuse("the user JWT does not allow this type of connection")
	}
	return nil
}

// allowsSource reports whether one of the networks holds the address. No networks: all do.
func allowsSource(networks jwt.CIDRList, remote netip.Addr) bool {
	if len(networks) == 0 {
		return true
	}
	if !remote.IsValid() {
		return false
	}
	address := net.IP(remote.Unmap().WithZone("").AsSlice())
	for _, text := range networks {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			return false
		}
		if network.Contains(address) {
			return true
		}
	}
	return false
}

func (l *arrival) checkTimesAt(now time.Time) error {
	ok, until := allowsTime(l.user.Times, l.user.Locale, now)
	if !ok {
		return refuse("user %s may not connect at this time of day", l.user.Subject)
	}
	l.until = until
	return nil
}

// allowsTime reports whether one of the ranges of the day holds now, and until when at most.
func allowsTime(ranges []jwt.TimeRange, locale string, now time.Time) (ok bool, until time.Time) {
	if len(ranges) == 0 {
		return true, until
	}
	if locale != "" {
		where, err := time.LoadLocation(locale)
		if err != nil {
			return false, until
		}
		now = now.In(where)
	} else {
		now = now.In(time.Local)
	}
	for _, r := range ranges {
		start, errStart := onDay(now, r.Start)
		end, errEnd := onDay(now, r.End)
		if errStart != nil || errEnd != nil {
			return false, time.Time{}
		}
		if start.After(end) { // over midnight
			if now.Before(end) {
				start = start.AddDate(0, 0, -1)
			} else {
				end = end.AddDate(0, 0, 1)
			}
		}
		if start.Before(now) && end.After(now) && (!ok || end.After(until)) {
			ok, until = true, end
		}
	}
	return ok, until
}

// onDay is a time of day on the day of now.
func onDay(now time.Time, clock string) (time.Time, error) {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		return t, err
	}
	year, month, day := now.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
}

func (l *arrival) identity() (*Identity, error) {
	a, user := l.account, l.user
	permissions, err := a.allowed(&user.Permissions)
	if err != nil {
		return nil, refuse("the permissions of user %s: %w", user.Subject, err)
	}
	id := &Identity{
		User: user.Subject, Account: a.name, Perms: permissions,
		Name: user.Name, Issuer: user.Issuer, Tags: user.Tags, Types: l.types,
		Expires: sooner(timeOf(user.Expires), l.until),
		Limits:  UserLimits{MaxSubscriptions: limitOf(user.Limits.Subs), MaxPayload: limitOf(user.Limits.Payload)},
		claims: &userClaims{
			subject: user.Subject, issued: user.IssuedAt, bearer: user.BearerToken, scope: l.scope,
			defaults: permissionsOf(&user.Permissions) == nil,
		},
	}
	if user.IssuerAccount != "" {
		id.claims.signer = user.Issuer
	}
	if a.calls() {
		id.claims.denied = true
		id.Perms = id.Perms.withDenied(calloutSubject)
	}
	return id, nil
}

// refresh tells what has become of an identity, or why it is gone: ErrAccountExpired, ErrExpired,
// ErrRevoked, ErrBearer, or ErrCredentials if the key that has signed it is no longer the account's.
// It never waits, and looks only at what nats-server looks at again: not at source networks and times
// of day, which counted when the user came.
func (p *operator) refresh(old *Identity) (*Identity, error) {
	a, now := p.loaded(old.Account), p.now()
	switch {
	case old.claims == nil || a == nil:
		return nil, ErrCredentials
	case p.isExpired(a, now):
		return nil, ErrAccountExpired
	case !old.Expires.IsZero() && !now.Before(old.Expires):
		return nil, ErrExpired
	case p.pinned != nil && !p.pinned[a.name], !p.trusted[a.issuer]:
		return nil, ErrCredentials
	}
	c := old.claims
	if c.bearer && !c.callout && a.claims.Limits.DisallowBearer {
		return nil, ErrBearer
	}
	if revoked(a.claims.Revocations, c.subject, c.issued) {
		return nil, ErrRevoked
	}
	if c.signer != "" {
		if scope, known := a.signers[c.signer]; !known || !reflect.DeepEqual(scope, c.scope) {
			return nil, ErrCredentials
		}
	}
	if !c.defaults {
		return old, nil
	}
	permissions := a.defaults
	if c.denied {
		permissions = permissions.withDenied(calloutSubject)
	}
	if permissions.Equal(old.Perms) {
		return old, nil
	}
	id := *old
	id.Perms = permissions
	return &id, nil
}
