package auth

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// maxSharedPermissions bounds the sets of permissions that one account's users share. Beyond, sharing
// starts anew.
const maxSharedPermissions = 1024

// A claimed is an account as its JWT claims it. The JWT has been checked.
type claimed struct {
	// Set when made.
	name     string
	token    string // the JWT
	claims   *jwt.AccountClaims
	issuer   string                                // the operator, or its signing key
	signers  map[string]jwt.Scope                  // who signs users; the account itself is one of them, unless its operator is strict
	tokens   map[*jwt.Import]*jwt.ActivationClaims // those of its imports that are right in themselves
	exports  []Export
	mappings []Mapping
	defaults *Permissions
	expires  time.Time
	stand    bool // it stands for a system account that could not be fetched yet
	kept     bool // it is from before a reload, and is fetched again when somebody needs it

	// Whoever holds operator.mu.
	order   int       // of loading
	fetched time.Time // the last attempt to fetch it
	gone    time.Time // since when it is deleted, or expired and everybody was told
	until   time.Time // when what is shown changes because an activation token expires
	shown   *Account

	// Anyone's, under mu.
	mu          sync.Mutex
	permissions map[[sha256.Size]byte]*Permissions // by what the JWTs say, so that users share them
}

// verify checks an account's JWT and takes it apart. timely: it must not be expired.
func (p *operator) verify(token string, timely bool) (*claimed, error) {
	if len(token) > maxAccountJWT {
		return nil, fmt.Errorf("%w: the account JWT is too large", ErrCredentials)
	}
	claims, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		return nil, fmt.Errorf("%w: the account JWT is not valid: %w", ErrCredentials, err)
	}
	if !p.trusted[claims.Issuer] {
		return nil, fmt.Errorf("%w: account %s is not signed by a trusted operator", ErrCredentials, cut(claims.Subject))
	}
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	if results.IsBlocking(timely) {
		return nil, fmt.Errorf("%w: the JWT of account %s: %s", ErrCredentials, cut(claims.Subject), firstIssue(results))
	}
	return p.claim(token, claims)
}

func (p *operator) claim(token string, claims *jwt.AccountClaims) (*claimed, error) {
	a := &claimed{
		name: claims.Subject, token: token, claims: claims, issuer: claims.Issuer,
		exports: exportsOf(claims), tokens: tokensOf(claims), expires: timeOf(claims.Expires), signers: make(map[string]jwt.Scope),
	}
	for key, scope := range claims.SigningKeys {
		a.signers[key] = scope
	}
	if !p.strict[claims.Issuer] {
		a.signers[a.name] = nil
	}
	a.mappings, _ = mappingsOf(claims) // one that cannot work maps nothing
	defaults, err := NewPermissions(permissionsOf(&claims.DefaultPermissions))
	if err != nil {
		return nil, fmt.Errorf("%w: default permissions of account %s: %w", ErrCredentials, a.name, err)
	}
	a.defaults = defaults
	return a, nil
}

// standIn is a system account that cannot be fetched yet: its own key signs its users, and somebody
// has to be let in to push its JWT.
func (p *operator) standIn(name string) *claimed {
	claims := jwt.NewAccountClaims(name)
	claims.Issuer = p.root
	return &claimed{name: name, claims: claims, issuer: p.root, signers: map[string]jwt.Scope{name: nil}, stand: true}
}

// firstIssue is the first thing that is wrong, for our log.
func firstIssue(results *jwt.ValidationResults) string { return firstIssueAt(results, time.Now()) }

func firstIssueAt(results *jwt.ValidationResults, now time.Time) string {
	for _, issue := range results.Issues {
		if flaw := ClockFlaw(now); issue.TimeCheck && flaw != "" {
			return issue.Description + " (" + flaw + ")"
		}
		if issue.Blocking || issue.TimeCheck {
			return issue.Description
		}
	}
	return "not valid"
}

// expired reports whether nobody may be in the account any more. It needs operator.mu held.
func (a *claimed) expired(now time.Time) bool {
	if a.gone.IsZero() || a.gone.Equal(a.expires) { // or the clock ran ahead for a while
		return !a.expires.IsZero() && !now.Before(a.expires)
	}
	return true
}

// calls reports whether a service decides about the account's users.
func (a *claimed) calls() bool { return a.claims.HasExternalAuthorization() }

// allowed makes permissions, or finds those that an equal JWT has made before, so that whoever
// caches by them finds the same pointer again.
func (a *claimed) allowed(p *jwt.Permissions) (*Permissions, error) {
	options := permissionsOf(p)
	if options == nil {
		return a.defaults, nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.permissions[sum]; known != nil {
		return known, nil
	}
	made, err := NewPermissions(options)
	if err != nil {
		return nil, err
	}
	if a.permissions == nil || len(a.permissions) >= maxSharedPermissions {
		a.permissions = make(map[[sha256.Size]byte]*Permissions)
	}
	a.permissions[sum] = made
	return made, nil
}

// show makes what others see of the account. Imports that are not allowed, or form a circle, are
// left out. get returns another account's claims. next is when the first of its tokens expires.
func (a *claimed) show(system string, now time.Time, get func(name string) *claimed) (made *Account, next time.Time) {
	made = &Account{
		Name: a.name, Tag: a.claims.Name, Exports: a.exports, Mappings: a.mappings,
		Limits: limitsOf(a.claims), System: a.name == system, Expires: a.expires,
	}
	if !a.gone.IsZero() {
		made.Expires = a.gone
		return made, next
	}
	look := func(name string) *Account {
		if name == a.name {
			return made
		}
		if other := get(name); other != nil {
			return other.shown
		}
		return nil
	}
	for _, claim := range a.claims.Imports {
		x := importOf(claim)
		exporter := get(x.From)
		if exporter == nil || exporter.expired(now) || x.check() != nil || duplicate(made.Imports, &x) {
			continue
		}
		until, ok := exporter.authorizes(a, &x, claim, now)
		if !ok || formsCircle(a.name, &x, look) {
			continue
		}
		next = sooner(next, until)
		made.Imports = append(made.Imports, x)
	}
	return made, next
}

// duplicate reports whether the same thing is imported already.
func duplicate(list []Import, x *Import) bool {
	return slices.ContainsFunc(list, func(o Import) bool {
		if o.Service != x.Service || o.From != x.From {
			return false
		}
		return x.Service && o.To == x.To || !x.Service && o.Subject == x.Subject
	})
}

// sooner is the first of two times, where zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// isAccount reports whether text is an account's public key, and so can be a file's name.
func isAccount(text string) bool { return nkeys.IsValidPublicAccountKey(text) }
