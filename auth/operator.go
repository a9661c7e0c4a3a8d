package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// maxOperatorJWT bounds a file with an operator's JWT.
const maxOperatorJWT = 1 << 20

// An operator is operator mode: accounts and users are shown as JWTs. Accounts are fetched when
// somebody needs them, then kept.
//
// Lock order: changing, mu, then a claimed's own mu. The resolver is never called under mu.
type operator struct {
	waiting atomic.Pointer[func(func())] // anyone's; see SetWaiting

	// Set when made.
	trusted  map[string]bool // keys that may sign accounts
	strict   map[string]bool // those of them under which accounts sign with signing keys only
	root     string          // the first operator's key
	insists  bool            // it signs accounts with signing keys only
	pushers  map[string]bool // keys that may sign requests about accounts
	system   string          // the system account's name; empty: there is none
	plain    []*Account      // accounts without a JWT: $G, and $SYS if no other one is the system account
	pinned   map[string]bool // nil: all accounts
	sentinel string
	tokens   []string // JWTs of the operators, and what they say
	claims   []any
	kind     string // of resolver
	resolver resolver
	wait     time.Duration // for other servers, if they have to be asked for an account
	asker    *asker
	now      func() time.Time
	away     error // why the account server did not answer when this was made; nil if it did, or was not asked

	// Held by whoever changes accounts until those who asked to be told have been, so that what
	// they hear last is what is true. Whoever is told must not change accounts.
	changing sync.Mutex

	// Anyone's, under mu.
	mu        sync.RWMutex
	known     map[string]*claimed
	fetching  map[string]*fetch
	listeners []func(*Account)
	alarm     *time.Timer // the next expiry
	orders    int
	closed    bool
}

// newOperator returns nil if o does not ask for operator mode.
func newOperator(o *Options) (*operator, error) {
	if !o.Operator.on() {
		return nil, o.checkNoOperator()
	}
	if err := o.checkOperator(); err != nil {
		return nil, err
	}
	p := &operator{
		trusted: make(map[string]bool), strict: make(map[string]bool), pushers: make(map[string]bool),
		known: make(map[string]*claimed), fetching: make(map[string]*fetch),
		system: o.SystemAccount, sentinel: o.Operator.DefaultSentinel, now: time.Now,
	}
	p.asker = newAsker(p, o.Timeout)
	if err := p.trust(&o.Operator); err != nil {
		return nil, err
	}
	if err := p.pin(o.Operator.Pinned); err != nil {
		return nil, err
	}
	if err := p.checkSentinel(); err != nil {
		return nil, err
	}
	p.addPlain(o)
	resolver, err := newResolver(&o.Operator)
	if err != nil {
		return nil, err
	}
	p.resolver, p.kind, p.wait = resolver, o.Operator.Resolver.Type, o.Operator.Resolver.Timeout
	if err := p.loadSystem(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// checkNoOperator refuses keys that mean nothing outside of operator mode.
func (o *Options) checkNoOperator() error {
	switch {
	case o.Operator.DefaultSentinel != "":
		return badf("default_sentinel needs operators: add operator, or remove it")
	case len(o.Operator.Pinned) > 0:
		return badf("resolver_pinned_accounts needs operators: add operator, or remove it")
	}
	return nil
}

// checkOperator refuses what cannot be configured in operator mode.
func (o *Options) checkOperator() error {
	const remedy = "users and accounts come from JWTs then: remove it, or remove operator"
	switch {
	case len(o.Accounts) > 0:
		return badf("accounts cannot be configured in operator mode: %s", remedy)
	case len(o.Users) > 0 || o.User != "" || o.Token != "":
		return badf("users cannot be configured in operator mode: %s", remedy)
	case o.NoAuthUser != "":
		return badf("no_auth_user cannot be configured in operator mode: use default_sentinel")
	case o.Callout != nil:
		return badf("auth_callout cannot be configured in operator mode: put it into the account's JWT")
	case len(o.Operator.Operators) > 0 && len(o.Operator.TrustedKeys) > 0:
		return badf("operator and trusted_keys: only one of them is possible")
	case len(o.Operator.Operators)+len(o.Operator.TrustedKeys) > maxOperators:
		return badf("more than %d operators", maxOperators)
	}
	return nil
}

// trust reads the operators and takes what they say of the system account and the account server.
func (p *operator) trust(o *OperatorOptions) error {
	for _, key := range o.TrustedKeys {
		if !nkeys.IsValidPublicOperatorKey(key) {
			return badf("trusted_keys: %q is not the public key of an operator (it would begin with O)", cut(key))
		}
		p.trusted[key] = true
	}
	systems := make(map[string]bool)
	for i, text := range o.Operators {
		token, claims, err := readOperator(text)
		if err != nil {
			return err
		}
		p.tokens, p.claims = append(p.tokens, token), append(p.claims, claims)
		if err := p.trustOne(claims, i == 0); err != nil {
			return err
		}
		if claims.SystemAccount != "" {
			systems[claims.SystemAccount] = true
		}
		if len(o.Operators) == 1 {
			if p.system == "" {
				p.system = claims.SystemAccount
			}
			if o.Resolver.Type == "" && checkResolverURL(claims.AccountServerURL) == nil {
				o.Resolver.Type, o.Resolver.URL = resolverURL, claims.AccountServerURL+"/accounts"
			}
		}
	}
	switch {
	case o.Resolver.Type == "":
		return badf("operator mode needs a resolver: add one, such as resolver: MEMORY with resolver_preload")
	case p.system != "" && len(systems) > 0 && !systems[p.system]:
		return badf("system_account is not the one of the operator JWT: make them equal, or remove system_account")
	case p.system == "" && len(o.Operators) > 0 && (o.Resolver.Type == resolverFull || o.Resolver.Type == resolverCache):
		return badf("a directory resolver needs a system account: add system_account, or put it into the operator JWT")
	}
	return nil
}

func (p *operator) trustOne(claims *jwt.OperatorClaims, first bool) error {
	for _, key := range claims.SigningKeys {
		if !nkeys.IsValidPublicOperatorKey(key) {
			return badf("operator %s: a signing key is not an operator's", cut(claims.Subject))
		}
		p.trusted[key] = true
		p.strict[key] = p.strict[key] || claims.StrictSigningKeyUsage
		if first {
			p.pushers[key] = true
		}
	}
	if !claims.StrictSigningKeyUsage {
		p.trusted[claims.Subject] = true
	}
	if first {
		p.root, p.insists = claims.Subject, claims.StrictSigningKeyUsage
		if !p.insists {
			p.pushers[claims.Subject] = true
		}
	}
	return nil
}

// Operators are the JWTs of the operators that are trusted, and what they say; none outside of
// operator mode. Nobody may change them.
func (d *Directory) Operators() (tokens []string, claims []any) {
	if d.operator == nil {
		return nil, nil
	}
	return d.operator.tokens, d.operator.claims
}

// readOperator reads an operator's JWT, which is given itself or as a file.
func readOperator(text string) (token string, claims *jwt.OperatorClaims, err error) {
	const prefix = "eyJ" // how every JWT begins: {" in base64
	content := []byte(text)
	where := "the operator's JWT"
	if !strings.HasPrefix(text, prefix) {
		where = fmt.Sprintf("operator %q", cut(text))
		info, err := os.Stat(text)
		if err == nil && info.Size() > maxOperatorJWT {
			return "", nil, badf("%s: the file is too large for a JWT", where)
		}
		if content, err = os.ReadFile(text); err != nil {
			return "", nil, badf("%s: %w", where, err)
		}
	}
	token, err = jwt.ParseDecoratedJWT(content)
	if err != nil {
		return "", nil, badf("%s: %w", where, err)
	}
	claims, err = jwt.DecodeOperatorClaims(token)
	if err != nil {
		return "", nil, badf("%s: %w", where, err)
	}
	if major, minor, update, err := jwt.ParseServerVersion(claims.AssertServerVersion); err != nil {
		return "", nil, badf("%s asserts a server version that cannot be read: %w", where, err)
	} else if slices.Compare([]int{major, minor, update}, []int{2, 15, 2}) > 0 {
		return "", nil, badf("%s asks for server version %s or later: what we do is that of 2.15.2", where, claims.AssertServerVersion)
	}
	return token, claims, nil
}

func (p *operator) pin(accounts []string) error {
	if len(accounts) == 0 {
		return nil
	}
	p.pinned = make(map[string]bool)
	for _, key := range accounts {
		if !isAccount(key) {
			return badf("resolver_pinned_accounts: %q is not the public key of an account (it would begin with A)", cut(key))
		}
		p.pinned[key] = true
	}
	if p.system != "" {
		p.pinned[p.system] = true
	}
	return nil
}

func (p *operator) checkSentinel() error {
	if p.sentinel == "" {
		return nil
	}
	user, err := jwt.DecodeUserClaims(p.sentinel)
	if err != nil {
		return badf("default_sentinel is not a valid user JWT: %w", err)
	}
	// One without permissions may be a scoped user, which its signing key can make a bearer.
	if !user.BearerToken && (user.IssuerAccount == "" || !user.HasEmptyPermissions()) {
		return badf("default_sentinel must be a bearer token")
	}
	return nil
}

// addPlain adds the accounts that are there in any case. Nobody can come in there.
func (p *operator) addPlain(o *Options) {
	p.plain = []*Account{{Name: GlobalAccount}}
	switch {
	case o.NoSystemAccount:
		p.system = ""
	case p.system == "":
		p.system = SystemAccount
		p.plain = append(p.plain, &Account{Name: SystemAccount, System: true})
	}
}

// loadSystem loads the system account at once. If it cannot be fetched because it has to be pushed
// first, something stands for it.
func (p *operator) loadSystem() error {
	if p.system == "" || len(p.plain) > 1 {
		return nil
	}
	if !isAccount(p.system) {
		return badf("system_account %q is not the public key of an account (it would begin with A)", cut(p.system))
	}
	_, err := p.load(p.system)
	if err == nil {
		return nil
	}
	if isAway(err) {
		p.away = err
	}
	if p.kind == resolverMemory || p.root == "" {
		return badf("system_account %s cannot be loaded: %w", p.system, err)
	}
	p.install(nil, p.standIn(p.system))
	return nil
}

// authenticate is Directory.Authenticate in operator mode.
func (p *operator) authenticate(c Credentials) (id *Identity, slow func() (*Identity, error), err error) {
	if p.sentinel == "" && c.JWT == "" {
		if c.none() {
			return nil, nil, ErrNoCredentials
		}
		return nil, nil, refuse("a user JWT is needed: give the client a creds file")
	}
	return nil, func() (*Identity, error) { return p.vouch(&c) }, nil
}

// account returns an account that is loaded; nil if it is not.
func (p *operator) account(name string) *Account {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if a := p.known[name]; a != nil {
		return a.shown
	}
	for _, a := range p.plain {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// accounts returns all accounts that are loaded or there in any case, sorted by name.
func (p *operator) accounts() []*Account {
	list := slices.Clone(p.plain)
	p.mu.RLock()
	for _, a := range p.known {
		list = append(list, a.shown)
	}
	p.mu.RUnlock()
	slices.SortFunc(list, func(a, b *Account) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// inOrder needs the lock held.
func (p *operator) inOrder() []*claimed {
	return slices.SortedFunc(maps.Values(p.known), func(a, b *claimed) int { return a.order - b.order })
}

// SetWaiting tells what to run the fetching of account JWTs in, so that others who log in are looked at
// meanwhile. Until then, and outside of operator mode, it has no effect.
func (d *Directory) SetWaiting(f func(func())) {
	if d.operator != nil {
		d.operator.waiting.Store(&f)
	}
}

// aside runs f, which waits for somebody else.
func (p *operator) aside(f func()) {
	if around := p.waiting.Load(); around != nil {
		(*around)(f)
		return
	}
	f()
}

// onChange is Directory.OnChange.
func (p *operator) onChange(f func(*Account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, f)
}

// close ends timers and the resolver.
func (p *operator) close() {
	p.mu.Lock()
	p.closed = true
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.mu.Unlock()
	if p.resolver != nil {
		p.resolver.close()
	}
}

// inherit loads what another one has loaded. An account that cannot be fetched any more is taken
// over from there, unless the resolver knows that it is gone. Nothing else is carried out meanwhile:
// of an account server that does not answer one account is asked for, and not each in its turn.
func (p *operator) inherit(old *operator) {
	if url, ok := p.resolver.(*urlResolver); ok {
		p.resolver = &hurriedResolver{resolver: url, until: time.Now().Add(inheritPatience), away: p.away}
		defer func() { p.resolver = url }()
	}
	old.mu.RLock()
	before := old.inOrder()
	old.mu.RUnlock()
	var kept []*claimed
	for _, was := range before {
		if was.stand {
			continue
		}
		a, err := p.load(was.name)
		if err == nil && !a.stand || errors.Is(err, errNoAccount) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if a, err := p.verify(was.token, true); err == nil {
			a.kept = true
			kept = append(kept, a)
		}
	}
	p.install(kept, nil)
}

// Recheck is Refresh with the reason why somebody may no longer be here: ErrExpired,
// ErrAccountExpired, ErrRevoked, ErrBearer or ErrCredentials. It never waits.
func (d *Directory) Recheck(old *Identity) (*Identity, error) {
	if d.operator != nil {
		id, err := d.operator.refresh(old)
		return d.heard.remember(id), err
	}
	if id := d.Refresh(old); id != nil {
		return id, nil
	}
	return nil, ErrCredentials
}

// Inherit loads the accounts that an earlier Directory has loaded, so that a reload finds them. It
// may wait for the resolver, for some seconds. Call it before this Directory takes the other one's place.
func (d *Directory) Inherit(old *Directory) {
	if d.operator != nil && old != nil && old.operator != nil {
		d.operator.inherit(old.operator)
	}
}
