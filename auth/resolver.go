package auth

import (
	"errors"
	"net/url"
	"sync"

	"github.com/nats-io/jwt/v2"
)

// errNoAccount: the resolver knows that there is no such account.
var errNoAccount = errors.New("no such account")

// A resolver has account JWTs. It may wait for a disk or a network, and be used from any goroutine.
// Nobody has checked what it returns.
type resolver interface {
	fetch(account string) (token string, err error)
	close()
}

// A store is a resolver that can be told of JWTs.
type store interface {
	resolver
	save(account, token string) error
}

// newResolver opens the resolver and gives it what is preloaded.
func newResolver(o *OperatorOptions) (resolver, error) {
	r := &o.Resolver
	if r.Timeout <= 0 {
		r.Timeout = defaultFetchTimeout
	}
	var opened store
	switch r.Type {
	case resolverMemory:
		opened = &memoryResolver{tokens: make(map[string]string)}
	case resolverFull, resolverCache:
		dir, err := openDirectory(r)
		if err != nil {
			return nil, err
		}
		opened = dir
	case resolverURL:
		if len(o.Preload) > 0 {
			return nil, badf("resolver_preload has no place with a URL resolver: remove it, or use MEMORY")
		}
		return newURLResolver(o), nil
	default:
		return nil, badf("resolver type %q is not known", cut(r.Type))
	}
	if err := preload(opened, o.Preload); err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

func preload(s store, tokens map[string]string) error {
	if len(tokens) > maxAccounts {
		return badf("resolver_preload: more than %d accounts", maxAccounts)
	}
	for account, token := range tokens {
		if _, err := jwt.DecodeAccountClaims(token); err != nil {
			return badf("resolver_preload: account %s: %w", cut(account), err)
		}
		if dir, ok := s.(*directoryResolver); ok {
			// What was pushed since may be newer.
			if err := dir.saveIfNewer(account, token); err != nil {
				return badf("resolver_preload: account %s: %w", cut(account), err)
			}
		} else if err := s.save(account, token); err != nil {
			return err
		}
	}
	return nil
}

func checkResolverURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return badf("the resolver's URL is not valid: use URL(https://host/path/)")
	}
	return nil
}

// A memoryResolver knows what is preloaded and nothing else.
type memoryResolver struct {
	mu     sync.Mutex
	tokens map[string]string // by account
}

func (r *memoryResolver) fetch(account string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if token, ok := r.tokens[account]; ok {
		return token, nil
	}
	return "", errNoAccount
}

func (r *memoryResolver) save(account, token string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[account] = token
	return nil
}

func (r *memoryResolver) close() {}
