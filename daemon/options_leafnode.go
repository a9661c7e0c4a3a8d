package daemon

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/transport/certs"
)

const (
	// interestBytes is what a subscription of a leaf or hub takes, about, of a quarter of memory_limit.
	interestBytes = 512
	// leastInterest of them there may be, however little memory there is.
	leastInterest = 50_000
)

// defaultLeafPort is where leaves join, unless a configuration says otherwise.
const defaultLeafPort = 7422

// LeafnodeOptions are the leafnodes block: hubs to join, and the door for leaves that join us.
type LeafnodeOptions struct {
	// Listen is host:port, or a port alone, that leaves connect to. Default: none may.
	Listen Address `conf:"listen"`

	// Host and Port are the same in two. Default of Host: that of the block's server.
	Host string `conf:"host,alias=net"`
	Port int    `conf:"port"`

	leafnode.Options `conf:",inline"`

	// TLS secures the links of leaves that join us.
	TLS *TLSOptions `conf:"tls"`

	// Auth says who may join. Default: whoever may come in as a client.
	Auth LeafAuthOptions `conf:"authorization"`

	// Remotes are the hubs to join.
	Remotes []RemoteOptions `conf:"remotes"`
}

// RemoteOptions are one of the remotes.
type RemoteOptions struct {
	leafnode.Remote `conf:",inline"`

	// TLS is how the hub is to be secured. Default: the system's authorities, if the hub asks for TLS.
	TLS *TLSOptions `conf:"tls"`

	// Proxy is an HTTP proxy that the hub is reached through. Default: none.
	Proxy LeafProxyOptions `conf:"proxy"`
}

// LeafProxyOptions are the proxy block of a remote.
type LeafProxyOptions struct {
	leafnode.Proxy `conf:",inline"`

	// TLS is for a proxy that is reached by https. Default: the system's authorities.
	TLS *TLSOptions `conf:"tls"`
}

// LeafAuthOptions are the authorization block of leafnodes.
type LeafAuthOptions struct {
	// User and Password, or NKey, are those of a single user; Account is the account that it joins.
	// Account alone is that of leaves that bring no credentials, where nobody has to. Default $G.
	User     string `conf:"user,alias=username"`
	Password string `conf:"password,alias=pass"`
	NKey     string `conf:"nkey"`
	Account  string `conf:"account"`

	// Timeout is how long a leaf may take to bring credentials. Default: handshake_timeout.
	Timeout time.Duration `conf:"timeout"`

	// Users are several of them.
	Users []LeafUser `conf:"users"`
}

// A LeafUser is one of these.
type LeafUser struct {
	User     string `conf:"user,alias=username"`
	Password string `conf:"password,alias=pass"`
	NKey     string `conf:"nkey"`
	Account  string `conf:"account"`
}

// hasUsers reports whether leaves have users of their own.
func (o *LeafAuthOptions) hasUsers() bool { return o.User != "" || o.NKey != "" || len(o.Users) > 0 }

// listens reports whether leaves may join.
func (o *LeafnodeOptions) listens() bool {
	return o.Port != 0 || o.Listen.Port != 0 || o.Listen.Host != ""
}

// foldListen turns Listen into Host and Port.
func (o *LeafnodeOptions) foldListen() {
	o.Host = cmp.Or(o.Host, o.Listen.Host)
	o.Port = cmp.Or(o.Port, o.Listen.Port)
	if o.Port == 0 && o.Host != "" {
		o.Port = defaultLeafPort
	}
	o.Listen = Address{}
}

// fillLeaf hands the block to the part that it is for, with what that has to know of the rest.
func (o *Options) fillLeaf() {
	l := &o.Leaf
	l.foldListen()
	n := &l.Options
	n.MaxPayload, n.MaxLine = o.Server.MaxPayload, o.Server.MaxControlLine
	n.ServerName, n.Version = o.Server.ServerName, o.Server.Version
	n.MaxFailedLogins = o.Server.MaxFailedLogins
	n.Limits = engine.TurnstileLimits{PerAddress: o.Server.MaxConnectionsPerAddress, PerSecond: o.Server.ConnectionRateLimit}
	n.DefaultAccount = l.Auth.Account
	limit := o.MemoryLimit
	if limit <= 0 {
		limit = unknownMemory
	}
	if n.MaxPending == 0 {
		n.MaxPending = int(min(leafnode.DefaultMaxPending, limit/32))
	}
	n.PendingTotal = max(int64(n.MaxPending), limit/16)
	n.MaxInterest = int(min(max(leastInterest, limit/4/interestBytes), 1<<24))
}

// secureLeaf reads the files of the block's tls blocks.
func (l *Loaded) secureLeaf() error {
	o := &l.Options.Leaf
	o.Options.TLS, l.leafCerts, l.remoteCerts, l.proxyCerts = nil, nil, nil, nil
	if o.TLS != nil {
		c, err := certs.Load(o.TLS)
		if err != nil {
			return err
		}
		first, delay := c.HandshakeFirst()
		l.leafCerts = c
		o.Options.TLS = &leafnode.TLS{
			Security: &engine.Security{Config: c.Config(), Timeout: cmp.Or(o.TLS.Timeout, o.HandshakeTimeout, leafnode.DefaultHandshakeTimeout), Grace: delay, Check: c.Check},
			First:    first, Verify: c.Verifies(), Allow: c.Allow,
		}
	}
	o.Options.Remotes = nil
	for i := range o.Remotes {
		r := &o.Remotes[i]
		given := r.TLS
		if given == nil {
			given = &TLSOptions{}
		}
		own, err := certs.LoadClient(given)
		if err != nil {
			return fmt.Errorf("remotes %d: %w", i+1, err)
		}
		made := r.Remote
		made.Secure = r.TLS != nil
		made.HandshakeFirst = r.TLS != nil && bool(given.HandshakeFirst.On)
		made.TLSTimeout = given.Timeout
		// Files are looked at for each attempt, so that new certificates need no restart.
		made.TLS = func(host string) (*tls.Config, error) { return own.Config(host), nil }
		made.Proxy = r.Proxy.Proxy
		proxied := r.Proxy.TLS
		if proxied == nil {
			proxied = &TLSOptions{}
		}
		toProxy, err := certs.LoadClient(proxied)
		if err != nil {
			return fmt.Errorf("remotes %d: proxy: %w", i+1, err)
		}
		made.Proxy.TLS = func(host string) (*tls.Config, error) { return toProxy.Config(host), nil }
		l.remoteCerts, l.proxyCerts = append(l.remoteCerts, own), append(l.proxyCerts, toProxy)
		o.Options.Remotes = append(o.Options.Remotes, made)
	}
	return nil
}

// leafDirectory says who may join as a leaf: the block's own users if it has any, and otherwise whoever
// may come in as a client.
func (l *Loaded) makeLeafDirectory() error {
	o := &l.Options
	a := &o.Leaf.Auth
	users := a.Users
	if a.User != "" || a.NKey != "" {
		if len(users) > 0 {
			return errors.New("leafnodes.authorization has a single user and a users list: put the user into the list")
		}
		users = []LeafUser{{a.User, a.Password, a.NKey, a.Account}}
	}
	l.leafDirectory = l.directory
	if len(users) == 0 {
		return nil
	}
	own := auth.Options{TopOptions: o.Top, Timeout: a.Timeout, LeafVerifyAndMap: o.Auth.LeafVerifyAndMap}
	own.NoAuthUser = ""
	own.Accounts = make(auth.AccountsOptions, len(o.Top.Accounts))
	for name, account := range o.Top.Accounts {
		account.Users = nil
		own.Accounts[name] = account
	}
	for _, u := range users {
		if u.Account != "" && u.Account != auth.GlobalAccount && u.Account != auth.SystemAccount {
			if _, known := own.Accounts[u.Account]; !known {
				return fmt.Errorf("leafnodes.authorization: account %q is not one of the accounts: define it there", cut(u.Account))
			}
		}
		own.Users = append(own.Users, auth.User{User: u.User, Password: u.Password, NKey: u.NKey, Account: u.Account})
	}
	var err error
	l.leafDirectory, err = auth.New(own)
	return err
}

// checkLeaf finds what is wrong with the block.
func (l *Loaded) checkLeaf() error {
	o := &l.Options
	if o.Leaf.Port < randomPort || o.Leaf.Port > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535, nor -1 for any free one", o.Leaf.Port)
	}
	if err := checkHost(o.Leaf.Host); err != nil {
		return err
	}
	for i := range o.Leaf.Remotes {
		r := &o.Leaf.Remotes[i]
		if r.Account != "" && l.directory.Account(r.Account) == nil {
			return fmt.Errorf("remotes %d: account %q is not one of the accounts: define it there, or leave the key out", i+1, cut(r.Account))
		}
	}
	_, err := leafnode.New(o.Leaf.Options, nil, nil, l.leafDirectory, nil)
	return err
}

// changes are what differs of two blocks, for the log: what links go by from now on with what it is, remotes by
// their URLs, and the rest by the name of the block. What was made of files is not looked at.
func (o *LeafnodeOptions) changes(next *LeafnodeOptions) (lines []string) {
	note := func(differs bool, key string, now any) {
		if differs {
			lines = append(lines, fmt.Sprintf("leafnodes.%s = %v", key, now))
		}
	}
	note(!o.Compression.Same(next.Compression), "compression", next.Compression)
	note(o.MinVersion != next.MinVersion, "min_version", cmp.Or(next.MinVersion, "none"))
	note(o.Isolate != next.Isolate, "isolate_leafnode_interest", next.Isolate)
	left := slices.Clone(next.Remotes)
	for i := range o.Remotes {
		r := &o.Remotes[i]
		at := slices.IndexFunc(left, func(n RemoteOptions) bool { return slices.Equal(n.URLs, r.URLs) && n.Account == r.Account })
		if at < 0 {
			lines = append(lines, r.shown()+" removed")
			continue
		}
		lines = append(lines, r.changes(&left[at])...)
		left = slices.Delete(left, at, at+1)
	}
	for i := range left {
		lines = append(lines, left[i].shown()+" added")
	}
	rest := func(o LeafnodeOptions) any {
		o.Options.TLS, o.Options.Remotes, o.Remotes = nil, nil, nil
		o.Compression, o.MinVersion, o.Isolate = leafnode.Compression{}, "", false
		return o
	}
	if !same(rest(*o), rest(*next)) {
		lines = append(lines, "leafnodes")
	}
	return lines
}

// shown names a remote in the log, without secrets.
func (r *RemoteOptions) shown() string {
	return "leafnodes.remotes " + strings.Join(leafnode.ShownURLs(r.URLs), ", ")
}

// changes are what differs of a remote.
func (r *RemoteOptions) changes(next *RemoteOptions) (lines []string) {
	note := func(differs bool, key string, now any) {
		if differs {
			lines = append(lines, fmt.Sprintf("%s: %s = %v", r.shown(), key, now))
		}
	}
	note(!r.Compression.Same(next.Compression), "compression", next.Compression)
	note(r.Isolate != next.Isolate, "isolate_leafnode_interest", next.Isolate)
	note(r.Disabled != next.Disabled, "disabled", next.Disabled)
	rest := func(r RemoteOptions) any {
		r.Compression, r.Isolate, r.Disabled = leafnode.Compression{}, false, false
		return r
	}
	if !same(rest(*r), rest(*next)) {
		lines = append(lines, r.shown())
	}
	return lines
}
