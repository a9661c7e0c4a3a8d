package auth

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

const testNonce = "a-nonce-of-eleven"

// A keyed is a pair of keys and what they are called.
type keyed struct {
	pair nkeys.KeyPair
	key  string
}

func newPair(t *testing.T, create func() (nkeys.KeyPair, error)) keyed {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return keyed{pair, key}
}

// soonExpired is how long something is good for that a test sees expire. JWTs have whole seconds: of this up to one is
// lost, and in the rest a busy machine makes its keys and its directory.
const soonExpired = 5 * time.Second

// A realm is an operator with its signing key and system account.
type realm struct {
	t       *testing.T
	root    keyed
	signing keyed
	system  *member
}

// A member is an account.
type member struct {
	keyed
	realm  *realm
	claims *jwt.AccountClaims
}

func newRealm(t *testing.T) *realm {
	r := &realm{t: t, root: newPair(t, nkeys.CreateOperator), signing: newPair(t, nkeys.CreateOperator)}
	r.system = r.account("SYS")
	return r
}

func (r *realm) account(name string) *member {
	m := &member{keyed: newPair(r.t, nkeys.CreateAccount), realm: r}
	m.claims = jwt.NewAccountClaims(m.key)
	m.claims.Name = name
	return m
}

// operator is the operator's JWT.
func (r *realm) operator(edit func(*jwt.OperatorClaims)) string {
	claims := jwt.NewOperatorClaims(r.root.key)
	claims.SigningKeys.Add(r.signing.key)
	claims.SystemAccount = r.system.key
	if edit != nil {
		edit(claims)
	}
	return encode(r.t, claims, r.root)
}

func encode(t *testing.T, claims jwt.Claims, by keyed) string {
	t.Helper()
	token, err := claims.Encode(by.pair)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (m *member) token() string { return encode(m.realm.t, m.claims, m.realm.signing) }

// options are those of a memory resolver with these accounts.
func (r *realm) options(members ...*member) Options {
	var o Options
	o.Operator.Operators = []string{r.operator(nil)}
	o.Operator.Resolver.Type = resolverMemory
	o.Operator.Preload = map[string]string{}
	for _, m := range append(members, r.system) {
		o.Operator.Preload[m.key] = m.token()
	}
	return o
}

func (r *realm) directory(o Options) *Directory {
	r.t.Helper()
	d := mustDirectory(r.t, o)
	r.t.Cleanup(d.Close)
	return d
}

// user signs a user's JWT and the nonce. signer is the account if nil, else its signing key.
func (m *member) user(edit func(*jwt.UserClaims), signer *keyed) Credentials {
	m.realm.t.Helper()
	user := newPair(m.realm.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(user.key)
	claims.Name = "worker"
	by := m.keyed
	if signer != nil {
		by, claims.IssuerAccount = *signer, m.key
	}
	if edit != nil {
		edit(claims)
	}
	return Credentials{
		JWT: encode(m.realm.t, claims, by), Nonce: testNonce, Signature: signature(m.realm.t, user),
		Remote: netip.MustParseAddr("10.1.2.3"),
	}
}

func signature(t *testing.T, user keyed) string {
	t.Helper()
	raw, err := user.pair.Sign([]byte(testNonce))
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// scoped adds a signing key with a template to the account.
func (m *member) scoped(template jwt.UserPermissionLimits) keyed {
	key := newPair(m.realm.t, nkeys.CreateAccount)
	scope := jwt.NewUserScope()
	scope.Key, scope.Template = key.key, template
	m.claims.SigningKeys.AddScopedSigner(scope)
	return key
}

// unlimited is a template that gives everything.
func unlimited() jwt.UserPermissionLimits {
	return jwt.UserPermissionLimits{Limits: jwt.Limits{NatsLimits: jwt.NatsLimits{Subs: jwt.NoLimit, Data: jwt.NoLimit, Payload: jwt.NoLimit}}}
}

func mustLogin(t *testing.T, d *Directory, c Credentials) *Identity {
	t.Helper()
	id, _, err := login(d, c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// jwtBody looks like a JWT to whoever only peeks.
func jwtBody(subject, id string, issued int64) (string, error) {
	text, err := json.Marshal(peeked{Subject: subject, ID: id, IssuedAt: issued})
	return "x." + base64.RawURLEncoding.EncodeToString(text) + ".y", err
}

// pushed is what becomes of a JWT that the system account is sent.
func pushed(d *Directory, token string) error {
	_, _, err := d.operator.update("", token)
	return err
}
