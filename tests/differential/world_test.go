//go:build linux

package differential

// A world is what a configuration says, before it is written as text or as JWTs.
type world struct {
	mode     mode
	token    string
	single   *user        // authorization { user, password }
	users    []*user      // all, those of accounts as well
	accounts []*account   // none: one space of names
	defaults *permissions // authorization's default_permissions
	mappings []mapping    // of the global account
	noAuth   *user
	operator *key
	deputy   *key     // the operator's signing key
	trusted  bool     // trusted_keys instead of the operator's JWT
	system   *account // operator mode
	wrong    string   // a line that makes it wrong; "" is none
	payload  int      // max_payload
}

type mode int

const (
	tokenMode mode = iota
	usersMode
	accountsMode
	operatorMode
)

type account struct {
	name     string
	key      *key
	signing  *key // a signing key beside it
	scoped   *key // a scoped signing key, with what it allows
	template *permissions
	users    []*user
	exports  []*export
	imports  []*imported
	mappings []mapping
	defaults *permissions
	limits   limits
	dropped  bool // operator mode: not in resolver_preload
	byDeputy bool // operator mode: signed with the signing key
}

type limits struct{ connections, subscriptions, payload int } // 0: none

type user struct {
	name, password string
	hashed         bool // the configuration has the hash of the password
	key            *key
	account        *account
	permissions    *permissions
	types          []string

	// Of JWTs.
	signer                   signer
	bearer, expired, revoked bool
	tags                     []string
	source                   string
	subscriptions, payload   int // 0: none
}

type signer int

const (
	byAccount signer = iota
	bySigningKey
	byScopedKey
	byStranger
)

// reloads reports whether a reload can be compared. The reference counts some subscriptions twice
// while it reloads, so that by chance peers are told of too many of them. And it lets go of all who
// have named a user when there is no list of users: here a client that is still allowed stays.
func (w *world) reloads() bool {
	for _, u := range w.users {
		if u.subscriptions != 0 || u.account != nil && u.account.limits.subscriptions != 0 {
			return false
		}
	}
	return w.wrong == "" && w.single == nil
}

type permissions struct {
	publish, subscribe *subjects
	responses          *responses
}

// subjects is what may be done. An allow that is nil allows what is not denied.
type subjects struct{ allow, deny []string }

type responses struct {
	max     int // 0: allow_responses: true
	expires string
}

type export struct {
	service  bool
	subject  string
	private  bool
	to       []*account
	position int
	response string
}

type imported struct {
	service     bool
	from        *account
	subject     string // as the exporter names it
	local       string // as the importer names it; empty: the same
	prefix      string // instead of local, for streams
	share       bool
	noToken     bool // the activation is missing
	wrongIssuer bool // the activation is somebody else's
}

type mapping struct {
	source       string
	destinations []string
	weight       int // 0: not given
}

// A feature is what must occur in enough configurations.
type feature string

const (
	fAllow       feature = "allow"
	fDeny        feature = "deny"
	fWildcard    feature = "wildcards in permissions"
	fQueue       feature = "queue permissions"
	fResponses   feature = "allow_responses"
	fDefaults    feature = "default_permissions"
	fNKey        feature = "nkeys"
	fToken       feature = "token"
	fAccounts    feature = "accounts"
	fStream      feature = "stream imports"
	fService     feature = "service imports"
	fPublic      feature = "public exports"
	fPrivate     feature = "private exports"
	fPrefix      feature = "prefix"
	fTo          feature = "to"
	fReferences  feature = "$1 in imports"
	fPosition    feature = "account_token_position"
	fResponse    feature = "response_type"
	fMapping     feature = "mappings"
	fWeight      feature = "weights"
	fPartition   feature = "partitions"
	fLimits      feature = "account limits"
	fNoAuth      feature = "no_auth_user"
	fTypes       feature = "allowed_connection_types"
	fJWT         feature = "JWT"
	fSigning     feature = "signing keys"
	fScoped      feature = "scoped signing keys"
	fRevoked     feature = "revocations"
	fExpired     feature = "expiry"
	fBearer      feature = "bearer tokens"
	fActivation  feature = "activations"
	fUserLimits  feature = "user limits"
	fHashed      feature = "bcrypt"
	fSharedQueue feature = "queue groups of several"
	fReload      feature = "reloads"
	fWrong       feature = "wrong configurations"
)

var allFeatures = []feature{fAllow, fDeny, fWildcard, fQueue, fResponses, fDefaults, fNKey, fToken, fAccounts, fStream, fService,
	fPublic, fPrivate, fPrefix, fTo, fReferences, fPosition, fResponse, fMapping, fWeight, fPartition, fLimits, fNoAuth, fTypes,
	fJWT, fSigning, fScoped, fRevoked, fExpired, fBearer, fActivation, fUserLimits, fHashed, fSharedQueue, fReload, fWrong}
