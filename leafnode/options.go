package leafnode

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// Options are the `leafnodes` block, without what needs files of certificates: that is TLS and
// Remote.TLS, which somebody else makes. The zero value of a field means its default.
type Options struct {
	// Advertise is host:port that leaves are told to come back to. Default: where we listen.
	Advertise string `conf:"advertise,alias=leafnode_advertise"`

	// NoAdvertise tells leaves of no address: they come back to what they have configured.
	NoAdvertise bool `conf:"no_advertise"`

	// MinVersion is the oldest nats-server, as "2.9.0", that may join as a leaf. Default: any.
	MinVersion string `conf:"min_version,alias=minimum_version"`

	// Compression is what we agree to on links, and the default of remotes. Default s2_auto.
	Compression Compression `conf:"compression"`

	// Isolate tells leaves that join us nothing of what other leaves want.
	Isolate bool `conf:"isolate_leafnode_interest,alias=isolate"`

	// Reconnect is the fixed time between attempts to reach a hub. Default: about 1 s in the first
	// minute of an outage, then doubling to 30 s, so that a hub that comes back is not overrun.
	Reconnect time.Duration `conf:"reconnect,alias=reconnect_delay,alias=reconnect_interval"`

	// DialTimeout is how long a hub may take to accept a connection. Default 10 s.
	DialTimeout time.Duration `conf:"dial_timeout"`

	// HandshakeTimeout is how long it may take altogether until a link is up. Default 30 s.
	HandshakeTimeout time.Duration `conf:"handshake_timeout"`

	// DeadAfter is how long the other side may be silent, although it was asked, before the link is
	// given up. Any byte counts. Default 28 s, at least 3 s.
	DeadAfter time.Duration `conf:"dead_after"`

	// MaxPending bounds the bytes that wait for one link; what comes above it is dropped, oldest
	// first, and counted. Default 8 MiB, or a 32nd of memory_limit where that is less.
	MaxPending int `conf:"max_pending,size"`

	// PendingTotal bounds that of all links together; above it each keeps its newest half at most.
	// Default: 4 times MaxPending. From memory_limit.
	PendingTotal int64 `conf:"-" json:"-"`

	// MaxInterest bounds the subscriptions of all other sides together. What comes above it is refused,
	// and its link stays. Default 1,048,576. From memory_limit.
	MaxInterest int `conf:"-" json:"-"`

	// MaxLinks bounds the leaves that may join us. Default 1,024.
	MaxLinks int `conf:"max_links"`

	// Remotes are the hubs to join. The conf key is read by the daemon, with the TLS of each.
	Remotes []Remote `conf:"-" json:"-"`

	// TLS secures the links of leaves that join us. Nil: they are plain.
	TLS *TLS `conf:"-" json:"-"`

	// DefaultAccount is the account of leaves that bring no credentials, where nobody has to.
	// Default $G. From the authorization block.
	DefaultAccount string `conf:"-" json:"-"`

	// MaxFailedLogins is how many failed logins an address may have in a minute before each further
	// one from there has to wait. Default 5; -1 nobody ever waits. From max_failed_logins.
	MaxFailedLogins int `conf:"-" json:"-"`

	// Slowdown is where failed logins are counted, for doors of others that share it. Default: one of
	// its own. Reload leaves it as New has it.
	Slowdown *auth.Slowdown `conf:"-" json:"-"`

	// Limits are what Turnstile lets leaves in by, which counts connections for other doors as well.
	// Default: no limit, and one of its own. Reload leaves Turnstile as New has it.
	Limits    engine.TurnstileLimits `conf:"-" json:"-"`
	Turnstile *engine.Turnstile      `conf:"-" json:"-"`

	// Events is told of links that come and go. Nil: nobody. Reload leaves it as New has it.
	Events Events `conf:"-" json:"-"`

	// Clock is the clock of the wall, which certificates and credentials go by. Default: time.Now.
	Clock func() time.Time `conf:"-" json:"-"`

	// What the process knows of itself.
	ServerName string `conf:"-" json:"-"` // INFO's name, and CONNECT's
	ServerID   string `conf:"-" json:"-"`
	Version    string `conf:"-" json:"-"`
	MaxPayload int    `conf:"-" json:"-"` // bytes
	MaxLine    int    `conf:"-" json:"-"` // max_control_line, bytes; a link's is 16 times that
	JetStream  bool   `conf:"-" json:"-"`
	Domain     string `conf:"-" json:"-"` // JetStream's
}

// TLS is how leaves that join us secure their links.
type TLS struct {
	Security *engine.Security
	First    bool        // the leaf begins with its handshake
	Verify   bool        // it has to show a certificate
	Allow    func() bool // nil: any number of handshakes a second
}

// A Remote is a hub to join.
type Remote struct {
	// URLs are where it may be reached, one after the other: nats-leaf://user:password@host:7422.
	URLs Texts `conf:"urls,alias=url"`

	// Account is the local account that is joined with the hub's. Default $G.
	Account string `conf:"account,alias=local"`

	// Credentials names a file with a user's JWT and seed.
	Credentials string `conf:"credentials,alias=creds"`

	// NKey is a user's seed, or a file with it.
	NKey string `conf:"nkey,alias=seed"`

	// TLS makes what a connection to a host is secured with. Nil: nothing is configured, and TLS
	// is used with the system's authorities if the hub asks for it.
	TLS func(host string) (*tls.Config, error) `conf:"-" json:"-"`

	// Secure uses TLS whatever the hub says: there is a tls block.
	Secure bool `conf:"-" json:"-"`

	// TLSTimeout is how long the TLS handshake may take. Default: the handshake's time altogether.
	TLSTimeout time.Duration `conf:"-" json:"-"`

	// HandshakeFirst begins with TLS, before the hub's INFO. From the tls block.
	HandshakeFirst bool `conf:"-" json:"-"`

	// Hub makes us the hub of this link although we dial: our interest in what other leaves and
	// hubs want reaches it, and its own reaches them.
	Hub bool `conf:"hub"`

	// DenyImports are subjects that may not come in over this link, DenyExports that may not leave.
	DenyImports Texts `conf:"deny_imports,alias=deny_import"`
	DenyExports Texts `conf:"deny_exports,alias=deny_export"`

	// NoRandomize tries URLs in their order. Default: in an order that each process draws for itself.
	NoRandomize bool `conf:"no_randomize,alias=dont_randomize"`

	// IgnoreDiscovered keeps to URLs, whatever addresses the hub tells of.
	IgnoreDiscovered bool `conf:"ignore_discovered_servers"`

	// Compression of this link. Default: that of the block.
	Compression Compression `conf:"compression"`

	// FirstInfoTimeout is how long the hub may take to greet. Default: the handshake's time.
	FirstInfoTimeout time.Duration `conf:"first_info_timeout"`

	// DialTimeout is that of this remote. Default: that of the block.
	DialTimeout time.Duration `conf:"dial_timeout"`

	// Isolate does not tell the hub what leaves that have joined us want; RequestIsolation asks it
	// not to tell us what its other leaves want.
	Isolate          bool `conf:"isolate_leafnode_interest,alias=isolate"`
	RequestIsolation bool `conf:"request_isolation"`

	// Disabled does not dial.
	Disabled bool `conf:"disabled"`

	// Proxy is an HTTP proxy that connections go through. Default: none.
	Proxy Proxy `conf:"-"`
}

// A Proxy is an HTTP proxy that is asked to CONNECT.
type Proxy struct {
	// URL is http://host:port or https://host:port.
	URL string `conf:"url"`

	// Username and Password are for the proxy itself.
	Username string `conf:"username"`
	Password string `conf:"password"`

	// Timeout is how long the proxy may take. Default: DialTimeout.
	Timeout time.Duration `conf:"timeout"`

	// TLS is for a proxy that is reached by https. Nil: the system's authorities.
	TLS func(host string) (*tls.Config, error) `conf:"-" json:"-"`
}

// Texts are one text or a list of them.
type Texts []string

// UnmarshalConf takes a text or a list of texts.
func (t *Texts) UnmarshalConf(value any) error {
	*t = nil
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, each := range list {
		text, ok := each.(string)
		if !ok {
			return fmt.Errorf("%v is no text", each)
		}
		*t = append(*t, text)
	}
	return nil
}
