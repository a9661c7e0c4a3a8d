package leafnode

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// defaultPort is where servers listen for leaves.
	defaultPort = 7422
	// maxLearned bounds what a hub may tell us of its cluster, and maxLearnedLength each of it.
	maxLearned       = 64
	maxLearnedLength = 256
	leafScheme       = "nats-leaf"
)

// A pool is where a hub may be reached: what its cluster has told of, and then what is configured,
// taken in turn. It is its remote's, which has one goroutine.
type pool struct {
	configured []*url.URL
	learned    []place
	ignore     bool // what is learned
	turn       int
}

// A place is an address that was learned.
type place struct {
	url  *url.URL
	name string // that its certificate is for, if the address is none
}

// newPool takes URLs as they are configured. shuffle is rand.Shuffle, and not called with noRandomize.
func newPool(configured []string, noRandomize, ignoreDiscovered bool,
	shuffle func(n int, swap func(i, j int))) (*pool, error) {
	p := &pool{ignore: ignoreDiscovered}
	for _, text := range configured {
		u, err := parseURL(text, defaultPort)
		if err != nil {
			return nil, err
		}
		same := func(other *url.URL) bool {
			return *userless(other) == *userless(u) && other.User.String() == u.User.String()
		}
		if !slices.ContainsFunc(p.configured, same) {
			p.configured = append(p.configured, u)
		}
	}
	if len(p.configured) == 0 {
		return nil, fmt.Errorf("leafnode: a remote without urls: %w", errBadURL)
	}
	if !noRandomize {
		shuffle(len(p.configured), func(i, j int) {
			p.configured[i], p.configured[j] = p.configured[j], p.configured[i]
		})
	}
	return p, nil
}

// next is the URL to try now.
func (p *pool) next() *url.URL {
	n := len(p.learned) + len(p.configured)
	i := p.turn % n
	p.turn = (i + 1) % n
	if i < len(p.learned) {
		return p.learned[i].url
	}
	return p.configured[i-len(p.learned)]
}

// all are the URLs in their order.
func (p *pool) all() []*url.URL {
	list := make([]*url.URL, 0, len(p.learned)+len(p.configured))
	for i := range p.learned {
		list = append(list, p.learned[i].url)
	}
	return append(list, p.configured...)
}

// learn takes the leafnode_urls of an INFO from the hub at from, in place of those before. The hub of
// a cluster tells of all its servers, and all take the same credentials.
func (p *pool) learn(addresses []string, from *url.URL) {
	if p.ignore || from == nil {
		return
	}
	var learned []place
	for _, address := range addresses {
		if len(learned) == maxLearned {
			break
		}
		u := learnedURL(address, from)
		if u == nil || p.knows(learned, u) {
			continue
		}
		learned = append(learned, place{url: u, name: p.serverName(from)})
	}
	// A hub tells the same each time we come. Only what is new makes us begin with the first again.
	same := func(a, b place) bool { return a.url.Host == b.url.Host }
	if !slices.EqualFunc(learned, p.learned, same) {
		p.turn = 0
	}
	p.learned = learned
}

// knows reports whether an address is there already.
func (p *pool) knows(learned []place, u *url.URL) bool {
	return slices.ContainsFunc(p.configured, func(other *url.URL) bool { return other.Host == u.Host }) ||
		slices.ContainsFunc(learned, func(other place) bool { return other.url.Host == u.Host })
}

// learnedURL is host:port with all that from has besides. nil: that is none.
func learnedURL(address string, from *url.URL) *url.URL {
	if len(address) > maxLearnedLength || strings.ContainsAny(address, "@/?# \t\r\n") {
		return nil
	}
	u, err := parseURL(address, defaultPort)
	if err != nil {
		return nil
	}
	u.Scheme, u.User = from.Scheme, from.User
	return u
}

// serverName is the name that the certificate of the server at u must have. Where we were told of an
// address only, that is the name which is configured for the hub that told us.
func (p *pool) serverName(u *url.URL) string {
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		for i := range p.learned {
			if p.learned[i].url.Host == u.Host {
				return p.learned[i].name
			}
		}
	}
	return u.Hostname()
}

// parseURL reads the URL of a hub. port is that of one without. Error texts hold no secrets.
func parseURL(text string, port int) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = leafScheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		// The parser's own error quotes the password.
		return nil, fmt.Errorf("%q is not a URL: %w", withoutUser(text), errBadURL)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch u.Scheme {
	case leafScheme, "nats", "tls", "leafnode":
	case "ws", "wss":
		return nil, fmt.Errorf("%q: %w", hideSecrets(u), errWebSocket)
	default:
		return nil, fmt.Errorf("%q has an unknown scheme: %w", hideSecrets(u), errBadURL)
	}
	if strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return nil, fmt.Errorf("a user or password with one of / ? # in it: write %%2F, %%3F or %%23: %w", errBadURL)
	}
	host := u.Hostname()
	if host == "" {
		return nil, fmt.Errorf("%q names no host: %w", hideSecrets(u), errBadURL)
	}
	if given := u.Port(); given != "" {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q: a port is a number from 1 to 65535: %w", hideSecrets(u), errBadURL)
		}
		port = int(n)
	}
	u.Host = net.JoinHostPort(strings.ToLower(host), strconv.Itoa(port))
	return u, nil
}

// hideSecrets is u for a log: the user goes as well as the password, since it may be a token.
func hideSecrets(u *url.URL) string {
	if u == nil {
		return ""
	}
	return cut(u.Scheme + "://" + u.Host)
}

// withoutUser cuts what stands before the host from a text that is no URL.
func withoutUser(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	return cut(scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:])
}

func userless(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host}
}
