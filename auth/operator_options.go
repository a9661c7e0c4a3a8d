package auth

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// OperatorOptions are the keys of operator mode, in which accounts and users are not configured
// but shown as JWTs that an operator and its accounts have signed. They stand at the top of a
// configuration.
type OperatorOptions struct {
	// Operators are the JWTs of the operators to trust, or files that hold them. With one
	// operator, what it says of its system account and its account server is the default for
	// SystemAccount and Resolver. Default: none, no operator mode.
	Operators []string `conf:"operator,alias=operators,alias=roots,alias=root,alias=root_operators,alias=root_operator"`

	// TrustedKeys are public keys of operators, for those who have no operator JWT. It excludes
	// Operators.
	TrustedKeys []string `conf:"trusted_keys,alias=trusted"`

	// Resolver says where account JWTs come from. Operator mode does not work without.
	Resolver ResolverOptions `conf:"resolver,alias=account_resolver,alias=accounts_resolver"`

	// ResolverTLS is for a resolver that is an https URL, the block resolver_tls. Default: the
	// system's certificate authorities.
	ResolverTLS *tls.Config `conf:"-"`

	// Preload gives account JWTs to a resolver that can store them, by public key.
	Preload map[string]string `conf:"resolver_preload"`

	// Pinned are the only accounts that may be used, besides the system account. Default: all
	// that the operator has signed.
	Pinned []string `conf:"resolver_pinned_accounts"`

	// DefaultSentinel is the user JWT, a bearer token, of clients that show none. Default: such
	// clients are refused. Whatever this user may do, everybody may.
	DefaultSentinel string `conf:"default_sentinel"`
}

// on reports whether this is operator mode.
func (o *OperatorOptions) on() bool { return len(o.Operators) > 0 || len(o.TrustedKeys) > 0 }

// The kinds of resolvers.
const (
	resolverMemory = "MEMORY"
	resolverURL    = "URL"
	resolverFull   = "FULL"
	resolverCache  = "CACHE"
)

// ResolverOptions is the resolver's value: MEMORY, URL(http://…) or a block about a directory.
type ResolverOptions struct {
	Type string // MEMORY, URL, FULL or CACHE; empty: none
	URL  string // of URL: what account keys are appended to

	// Of FULL and CACHE. Dir holds a file <account>.jwt for each account. FULL has all accounts
	// there are; CACHE has those that it was shown.
	Dir string

	// Limit bounds the number of files. At it FULL refuses more and CACHE forgets the one that was
	// used the longest time ago. Default: 1,000 for CACHE, 65,536 for FULL.
	Limit int64

	AllowDelete bool          // FULL: accounts may be deleted by request; default false
	HardDelete  bool          // FULL: remove their files instead of renaming them; default false
	Interval    time.Duration // FULL: between comparisons with other servers, of which there are none: no effect
	TTL         time.Duration // CACHE: forget what was not used for this long; default: when the JWT expires

	// Timeout is how long a fetch may take. Default 1.9 s, less than clients have to log in.
	Timeout time.Duration
}

// Defaults and bounds.
const (
	defaultFetchTimeout = 1900 * time.Millisecond
	defaultCacheLimit   = 1000

	// maxAccounts bounds the accounts that are loaded, and the files of a directory resolver.
	maxAccounts = 1 << 16
	// maxAccountJWT bounds one account JWT, as the jwt library does.
	maxAccountJWT = 1 << 20
	// maxOperators bounds operators and trusted keys.
	maxOperators = 64
)

var resolverCall = regexp.MustCompile(`(?i)^\s*url\s*\(\s*"?([^\s"]*?)"?\s*\)\s*$`)

// UnmarshalConf takes "MEMORY", "URL(…)" or a block.
func (o *ResolverOptions) UnmarshalConf(v any) error {
	*o = ResolverOptions{}
	switch v := v.(type) {
	case string:
		return o.unmarshalText(v)
	case map[string]any:
		for key, value := range v {
			if err := o.set(strings.ToLower(key), value); err != nil {
				return err
			}
		}
		return o.check()
	}
	return badf("use MEMORY, URL(https://…) or a block with type and dir")
}

func (o *ResolverOptions) unmarshalText(text string) error {
	if found := resolverCall.FindStringSubmatch(text); found != nil {
		o.Type, o.URL = resolverURL, found[1]
		return checkResolverURL(o.URL)
	}
	switch strings.ToUpper(strings.TrimSpace(text)) {
	case "MEM", resolverMemory:
		o.Type = resolverMemory
		return nil
	}
	return badf("%q is no resolver: use MEMORY, URL(https://…) or a block with type and dir", cut(text))
}

func (o *ResolverOptions) set(key string, v any) (err error) {
	ok := true
	switch key {
	case "type":
		o.Type, ok = v.(string)
		o.Type = strings.ToUpper(o.Type)
	case "dir":
		o.Dir, ok = v.(string)
	case "limit":
		o.Limit, ok = v.(int64)
	case "allow_delete":
		o.AllowDelete, ok = v.(bool)
	case "hard_delete":
		o.HardDelete, ok = v.(bool)
	case "interval":
		o.Interval, err = positive(v)
	case "ttl":
		o.TTL, err = positive(v)
	case "timeout":
		o.Timeout, err = positive(v)
	default:
		return badf("unknown key %q, use type, dir, limit, allow_delete, hard_delete, interval, ttl or timeout", cut(key))
	}
	if err != nil || !ok {
		return badf("%q has a value of the wrong kind or out of range", key)
	}
	return nil
}

// positive takes a duration that is not negative.
func positive(v any) (time.Duration, error) {
	wait, err := duration(v)
	if err == nil && wait < 0 {
		err = fmt.Errorf("a duration cannot be negative")
	}
	return wait, err
}

// check refuses what does not go together, as nats-server does.
func (o *ResolverOptions) check() error {
	switch o.Type {
	case "MEM", resolverMemory:
		o.Type = resolverMemory
		return nil
	case resolverFull, resolverCache:
	default:
		return badf("type %q is not known: use full, cache or memory", cut(o.Type))
	}
	switch {
	case o.Dir == "":
		return badf("dir is missing: name the folder for the accounts' JWTs")
	case o.Limit < 0:
		return badf("limit is negative: use a number of accounts")
	case o.Type == resolverFull && o.TTL != 0:
		return badf("ttl is for type cache: remove it")
	case o.Type == resolverCache && o.Interval != 0:
		return badf("interval is for type full: remove it")
	case o.Type == resolverCache && (o.AllowDelete || o.HardDelete):
		return badf("allow_delete and hard_delete are for type full: remove them")
	case o.HardDelete && !o.AllowDelete:
		return badf("hard_delete does nothing without allow_delete: add it or remove both")
	}
	return nil
}
