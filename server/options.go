package server

import (
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// Options of the NATS client protocol. The zero value of a field means its default.
type Options struct {
	// ServerName is shown to clients and in monitoring. Default: the server's id.
	ServerName string `conf:"server_name"`

	// AdvertiseHost is shown in INFO as the host. Default: the address that is listened on.
	AdvertiseHost string `conf:"-"`

	// Version is this program's own version, shown in INFO beside the level of NATS features that
	// clients go by.
	Version string `conf:"-"`

	// MaxConnections bounds the clients connected at once; one more is told so and closed. Each
	// idle one costs about 1 KB. Default 65,536.
	MaxConnections int `conf:"max_connections,alias=max_conn"`

	// MaxConnectionsPerAddress bounds those of them that come from one address (of IPv6, from the same 64
	// bits), leaves included; one more is told so and closed. Those that are there when it is changed stay.
	// Behind one address there may be a whole plant. Default: 0, no bound.
	MaxConnectionsPerAddress int `conf:"max_connections_per_address"`

	// ConnectionRateLimit bounds the new connections in a second, leaves included; one more is told so and
	// closed. One address gets half of them at most, so that it cannot lock out the others. Default: 0, no bound.
	ConnectionRateLimit int `conf:"connection_rate_limit"`

	// MaxPayload bounds one message, header included, in bytes. Default 1 MiB. A large one makes
	// room for it at each of its subscribers.
	MaxPayload int `conf:"max_payload,size"`

	// MaxControlLine bounds the arguments of one protocol line in bytes. Default 4 KiB. A client
	// that has not authenticated may make the server keep this much.
	MaxControlLine int `conf:"max_control_line,size"`

	// PingInterval is how often a silent client is asked whether it is still there. Default 2 m.
	PingInterval time.Duration `conf:"ping_interval"`

	// PingMax is how many PINGs a client may leave unanswered before it is closed. Default 2.
	PingMax int `conf:"ping_max"`

	// LameDuckDuration is how long a lame duck takes to close its clients, so that they do not all
	// reconnect elsewhere at once. Default 2 m, at least 30 s.
	LameDuckDuration time.Duration `conf:"lame_duck_duration"`

	// LameDuckGracePeriod is how long it waits, before the first is closed, for clients to leave
	// by themselves; a part of LameDuckDuration. Default 10 s.
	LameDuckGracePeriod time.Duration `conf:"lame_duck_grace_period"`

	// Trace logs every operation of every client at LevelTrace, credentials left out. Default:
	// off. For a minute at a time: it costs many times what the operation costs.
	Trace bool `conf:"-"`

	// TraceHeaders leaves payloads out of that and shows headers. Default: both are shown.
	TraceHeaders bool `conf:"trace_headers"`

	// MaxTracedMsgLen bounds in bytes what is shown of a message. Default: 0, no bound.
	MaxTracedMsgLen int `conf:"max_traced_msg_len"`

	// NoHeaderSupport tells clients that there are no headers. Default: there are.
	NoHeaderSupport bool `conf:"no_header_support"`

	// MaxClosedClients is how many connections that have ended monitoring can still show, the last
	// ones. Default 10,000; -1 none. Each takes about 400 bytes once it has ended.
	MaxClosedClients int `conf:"max_closed_clients"`

	// MaxFailedLogins is how many failed logins an address may have in a minute, as a client, a leaf or a
	// viewer of pages, before each further
	// one from there has to wait, longer each time, up to 1.5 s. Users who have lately come in from
	// that address do not wait. Default 5; -1 nobody ever waits, and passwords can be guessed as
	// fast as they can be checked.
	MaxFailedLogins int `conf:"max_failed_logins"`

	// Slowdown is where failed logins are counted, for doors of others that share it. Default: one of
	// its own. Reload leaves it as New has it.
	Slowdown *auth.Slowdown `conf:"-" json:"-"`

	// Turnstile is where connections are counted for these two, for doors of others that share it. Default:
	// one of its own. Reload leaves it as New has it.
	Turnstile *engine.Turnstile `conf:"-" json:"-"`

	// ID is the server's id: the public half of a server key, 56 characters of which the first is N.
	// Default: a random one of this form. Reload leaves it as New has it, and XKey too.
	ID string `conf:"-"`

	// XKey is a public curve key with which clients can seal what only this server shall read. INFO
	// shows it. Default: none.
	XKey string `conf:"-"`

	// TLS says how connections are encrypted. Nil: not at all.
	TLS *TLS `conf:"-"`

	// Events is told of clients that come and go. Nil: nobody. Reload leaves it as New has it.
	Events Events `conf:"-"`
}

// TLS is what a `tls` block means to a listener.
type TLS struct {
	// Security is the engine's part of it.
	Security *engine.Security

	// First has the client begin: INFO is sent inside TLS, or when Security.Grace is over.
	First bool

	// Verify tells clients that they have to show a certificate.
	Verify bool

	// Allow reports whether one more handshake may begin now. Nil: always.
	Allow func() bool
}

const (
	defaultMaxConnections      = 65536
	defaultPingInterval        = 2 * time.Minute
	defaultPingMax             = 2
	defaultLameDuckDuration    = 2 * time.Minute
	defaultLameDuckGracePeriod = 10 * time.Second
	defaultMaxClosedClients    = 10000

	minLameDuckDuration = 30 * time.Second

	// maxMaxPayload is what nine digits of a size can say; see parser.
	maxMaxPayload = 999_999_999

	// largePayload is what is warned about above.
	largePayload = 8 << 20
)

const (
	// featureLevel is the version of nats-server whose features clients may count on. Client
	// libraries switch features on and off by it.
	featureLevel = "2.10.0"

	// firstPing is when a new connection is sent its first PING, which measures the round trip;
	// up to a fifth later, or up to so much for each connection that is there, so that clients who
	// come together, as after an outage, are not asked together.
	firstPing  = 2 * time.Second
	pingSpread = 2 * time.Millisecond

	// pingGrain is what times of later PINGs are rounded up to when they are a minute or more
	// apart: idle connections are then looked after in few wake-ups.
	pingGrain = int64(10 * time.Second)

	// measureAgain is when the round trip is measured again however busy a client is.
	measureAgain = int64(time.Hour)

	// maxEffort is how much one call of Data does at most, in deliveries, before other connections
	// have their turn; see broker.Lane.Effort.
	maxEffort = 4096

	// maxClaimed bounds what is logged of a user name that was refused.
	maxClaimed = 64

	// maxAbouts bounds the table of descriptions that connections share.
	maxAbouts = 512

	// maxClosedSubs bounds the subscriptions that are remembered of one connection that has ended.
	maxClosedSubs = 16

	// maxClosedText bounds what they and the client's own words take of it, in bytes: strangers could
	// fill the memory with long names otherwise.
	maxClosedText = 1 << 10

	// maxRefusalLines bounds the log lines about refused clients in refusalWindow, maxDenialLines those
	// about what clients may not do, and maxRemovalLines those about subscriptions that a change took away.
	maxRefusalLines = 10
	maxDenialLines  = 10
	maxRemovalLines = 100
	refusalWindow   = int64(time.Second)
)

func (o *Options) fill() {
	if o.ID == "" {
		o.ID = newID()
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultMaxConnections
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = parser.DefaultMaxPayload
	}
	if o.MaxControlLine == 0 {
		o.MaxControlLine = parser.DefaultMaxControlLine
	}
	if o.PingInterval == 0 {
		o.PingInterval = defaultPingInterval
	}
	if o.PingMax == 0 {
		o.PingMax = defaultPingMax
	}
	if o.LameDuckDuration == 0 {
		o.LameDuckDuration = defaultLameDuckDuration
	}
	if o.LameDuckGracePeriod == 0 {
		o.LameDuckGracePeriod = defaultLameDuckGracePeriod
	}
	if o.MaxClosedClients == 0 {
		o.MaxClosedClients = defaultMaxClosedClients
	}
	if o.MaxFailedLogins == 0 {
		o.MaxFailedLogins = auth.DefaultMaxFailedLogins
	}
}

func (o *Options) check() error {
	switch {
	case o.MaxConnections < 0:
		return fmt.Errorf("%w: max_connections %d is negative", ErrOptions, o.MaxConnections)
	case o.MaxConnectionsPerAddress < 0:
		return fmt.Errorf("%w: max_connections_per_address %d is negative", ErrOptions, o.MaxConnectionsPerAddress)
	case o.ConnectionRateLimit < 0:
		return fmt.Errorf("%w: connection_rate_limit %d is negative", ErrOptions, o.ConnectionRateLimit)
	case o.MaxPayload < 0 || o.MaxPayload > maxMaxPayload:
		return fmt.Errorf("%w: max_payload %d is not between 1 and %d", ErrOptions, o.MaxPayload, maxMaxPayload)
	case o.MaxControlLine < 0:
		return fmt.Errorf("%w: max_control_line %d is negative", ErrOptions, o.MaxControlLine)
	case o.PingInterval < 0:
		return fmt.Errorf("%w: ping_interval %v is negative", ErrOptions, o.PingInterval)
	case o.PingMax < 0 || o.PingMax > 255:
		return fmt.Errorf("%w: ping_max %d is not between 1 and 255", ErrOptions, o.PingMax)
	case o.LameDuckDuration < minLameDuckDuration:
		return fmt.Errorf("%w: lame_duck_duration %v is less than %v", ErrOptions, o.LameDuckDuration, minLameDuckDuration)
	case o.LameDuckGracePeriod < 0 || o.LameDuckGracePeriod >= o.LameDuckDuration:
		return fmt.Errorf("%w: lame_duck_grace_period %v is not a part of lame_duck_duration %v", ErrOptions,
			o.LameDuckGracePeriod, o.LameDuckDuration)
	case o.MaxClosedClients < -1:
		return fmt.Errorf("%w: max_closed_clients %d is less than -1", ErrOptions, o.MaxClosedClients)
	case o.MaxFailedLogins < -1:
		return fmt.Errorf("%w: max_failed_logins %d is less than -1", ErrOptions, o.MaxFailedLogins)
	case len(o.ID) != idSize || o.ID[0] != 'N':
		return fmt.Errorf("%w: the id %q is not the public half of a server key", ErrOptions, o.ID)
	case o.TLS != nil && (o.TLS.Security == nil || o.TLS.Security.Config == nil):
		return fmt.Errorf("%w: tls without a certificate", ErrOptions)
	}
	return nil
}

// settings is what Reload replaces, as a whole. It never changes once made.
type settings struct {
	Options
	parser    parser.Parser
	directory *auth.Directory
	guest     *auth.Identity // who a client is before CONNECT; nil: nobody
	firstPing time.Duration  // the constant, but in tests that are not about PINGs
	drainFor  time.Duration  // drainPatience, but in tests
	needNonce bool           // INFO holds one

	clock func() time.Time // of the wall, which expiry goes by: time.Now, but in tests

	infoHead []byte // INFO's line up to the listener's address
	infoBody []byte // from behind it up to whether credentials are asked for
	infoTail []byte // from behind that up to what is the connection's own
}

func newSettings(o Options, d *auth.Directory) (*settings, error) {
	o.fill()
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.ServerName == "" {
		o.ServerName = o.ID
	}
	set := &settings{
		Options:   o,
		parser:    parser.Parser{Dialect: parser.FromClient, MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload},
		directory: d,
		firstPing: firstPing,
		drainFor:  drainPatience,
		guest:     d.Guest(),
		needNonce: d.NeedsNonce(),
		clock:     time.Now,
	}
	set.makeInfo()
	return set, nil
}
