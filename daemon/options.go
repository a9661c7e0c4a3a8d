package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// Options is everything that can be set: the options of every part, and the daemon's own. The
// zero value of a field means its default.
type Options struct {
	// Listen is host:port, or a port alone, in place of Host and Port.
	Listen Address `conf:"listen"`

	// Host is the address that clients connect to. Default: 127.0.0.1 while anybody may come in
	// without credentials, all addresses of the machine once authorization asks for them, or the tls
	// block for certificates.
	// 0.0.0.0 without authorization lets the whole network read and write everything.
	Host string `conf:"host,alias=net"`

	// Port is the TCP port. Default 4222; -1 lets the system choose a free one.
	Port int `conf:"port"`

	// Server, Broker and Engine are the options of these parts.
	Server server.Options `conf:",inline"`
	Broker broker.Options `conf:",inline"`
	Engine EngineOptions  `conf:",inline"`

	// ResolverTLS is how an https resolver of accounts is reached. Default: with the system's authorities.
	ResolverTLS *TLSOptions `conf:"resolver_tls"`

	// Monitor says where pages with the server's state are.
	Monitor MonitorOptions `conf:",inline"`

	// Auth says who may come in. Default: everybody.
	Auth auth.Options `conf:"authorization"`

	// Top are the keys about who may come in that stand outside the authorization block: accounts,
	// the system account, no_auth_user, mappings, operator mode.
	Top auth.TopOptions `conf:",inline"`

	// TLS encrypts the connections of clients. Default: they are plain.
	TLS *TLSOptions `conf:"tls"`

	// Leaf are the hubs to join, and the door for leaves that join us.
	Leaf LeafnodeOptions `conf:"leafnodes,alias=leaf"`

	// AllowNonTLS lets clients choose not to be encrypted although there is a tls block: their
	// passwords travel for everybody on the network to read. Default: they may not.
	AllowNonTLS bool `conf:"allow_non_tls"`

	// Log says what is logged, where and how.
	Log LogOptions `conf:",inline"`

	// ControlSocket is a unix socket by which commands on this machine reach the server, to reload or stop
	// it or to ask it something. Only the user that runs the server may use it. Default: there is none.
	ControlSocket string `conf:"control_socket"`

	// PidFile gets the number of the process, and is removed at the end. Default: none.
	PidFile string `conf:"pid_file,alias=pidfile"`

	// PortsFileDir is a folder that gets a file with the addresses that are listened on, for
	// programs that start this one with port -1. Default: none.
	PortsFileDir string `conf:"ports_file_dir"`

	// MemoryLimit is what the process may use, in bytes. Default: nine tenths of the limit of its
	// container, or half of the machine's memory. Bounds whose defaults depend on it shrink with
	// it, the garbage collector works harder near it, and a configuration whose worst case is
	// above it does not start.
	MemoryLimit int64 `conf:"memory_limit,size"`

	// NATSServerDefaults listens on all addresses although anybody may come in, as nats-server
	// does. Set when the program was started under that name.
	NATSServerDefaults bool `conf:"-"`

	// Version is the program's own version, shown in the log and to clients.
	Version string `conf:"-"`

	// ConfigFile is the file that Load has read; Reload reads it again. Empty: there is none.
	ConfigFile string `conf:"-"`

	// Override is what Load applies after the file: the command line. Nil: nothing.
	Override func(*Options) `conf:"-"`
}

// TLSOptions are a tls block.
type TLSOptions = certs.Options

// EngineOptions are the bounds of moving bytes. Their defaults depend on MemoryLimit.
type EngineOptions struct {
	// Loops is the number of readiness loops. Default: the processors that this process may use,
	// the container's limit included, or fewer where memory is scarce. More of them make
	// request-reply slower.
	Loops int `conf:"loops"`

	// MaxPending bounds the bytes waiting for one slow subscriber. From 2 MiB on (half of the
	// bound, if that is less) its publishers are slowed, at the bound it is closed. Default 64 MiB, or an eighth of
	// memory_limit where that is less. PendingTotal bounds all of them together.
	MaxPending int `conf:"max_pending,size"`

	// PendingTotal bounds the bytes that wait for all slow subscribers together; above it the
	// fullest is closed. Default: a quarter of memory_limit.
	PendingTotal int64 `conf:"pending_total,size"`

	// PartialTotal bounds the bytes of messages that have not arrived whole. At the bound the
	// largest wait. Default: an eighth of memory_limit.
	PartialTotal int64 `conf:"partial_total,size"`

	// WriteDeadline is how long a client that is behind may take nothing before it is closed.
	// Default 10 s.
	WriteDeadline time.Duration `conf:"write_deadline"`
}

const (
	defaultPort          = 4222
	randomPort           = -1
	defaultMaxPayload    = 1 << 20
	defaultMaxPending    = 64 << 20
	defaultWriteDeadline = 10 * time.Second
	// largePayload is from where on nats-server and we advise against max_payload.
	largePayload = 8 << 20
	maxLoops     = 1024
)

// An Address is what the key listen takes: "host:port", ":port" or a port.
type Address struct {
	Host string
	Port int
}

// UnmarshalConf takes text and numbers.
func (a *Address) UnmarshalConf(value any) error {
	switch v := value.(type) {
	case int64:
		if v < randomPort || v > 65535 {
			return fmt.Errorf("%d is no port", v)
		}
		a.Port = int(v)
		return nil
	case string:
		host, port, err := splitAddress(v)
		if err != nil {
			return err
		}
		a.Host, a.Port = host, port
		return nil
	}
	return errors.New(`wants "host:port" or a port`)
}

// checkHost refuses an address with a port, as the name of which it would be looked up.
func checkHost(host string) error {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return nil
	}
	return fmt.Errorf("host takes an address without a port: use listen: %q", cut(host))
}

// foldListen turns Listen into Host and Port. It is done before the command line is applied, which
// may overrule one of them.
func (o *Options) foldListen() (problems OptionErrors) {
	l := o.Listen
	if l.Host != "" && o.Host != "" && o.Host != l.Host {
		problems = append(problems, optionError{"listen", fmt.Errorf("listen says %q and host says %q: remove one", cut(l.Host), cut(o.Host))})
	}
	if l.Port != 0 && o.Port != 0 && o.Port != l.Port {
		problems = append(problems, optionError{"listen", fmt.Errorf("listen says port %d and port says %d: remove one", l.Port, o.Port)})
	}
	if o.Host == "" {
		o.Host = l.Host
	}
	if o.Port == 0 {
		o.Port = l.Port
	}
	o.Listen = Address{}
	return problems
}

// fill puts defaults where nothing was set. limit is the memory that the process may use, 0 if
// nobody knows.
func (o *Options) fill(limit int64) {
	if o.Port == 0 {
		o.Port = defaultPort
	}
	o.Auth.TopOptions = o.Top
	o.Auth.VerifyAndMap = o.TLS != nil && o.TLS.VerifyAndMap
	o.Auth.LeafVerifyAndMap = o.Leaf.TLS != nil && o.Leaf.TLS.VerifyAndMap
	o.Monitor.fold()
	if o.MemoryLimit == 0 {
		o.MemoryLimit = limit
		if limit > 0 && limit < leastMemory {
			o.MemoryLimit = leastMemory
		}
	}
	o.Server.Trace = o.Log.Trace
	if o.Server.Version == "" {
		o.Server.Version = o.Version
	}
	if o.Server.MaxPayload == 0 {
		o.Server.MaxPayload = defaultMaxPayload
	}
	o.Server.MaxFailedLogins = cmp.Or(o.Server.MaxFailedLogins, auth.DefaultMaxFailedLogins)
	o.fillLeaf()
	o.Engine.fill(o.MemoryLimit)
	if o.Server.MaxConnections > 0 {
		raiseDescriptors(o.descriptors())
	} else if o.Server.MaxConnections == 0 {
		o.Server.MaxConnections = defaultConnections(o.MemoryLimit, maxDescriptors(), o.connectionBytes())
	}
	o.Broker.MaxSubscriptions = boundOr(o.Broker.MaxSubscriptions, defaultSubscriptions(o.MemoryLimit))
	o.Broker.MaxTokens = boundOr(o.Broker.MaxTokens, defaultMaxTokens)
	o.Log.fill()
}

// defaultMaxTokens is many times what anybody uses. A subscription with wildcards costs about 100
// bytes for each token, so that without a bound a megabyte sent would take fifty.
const defaultMaxTokens = 128

// boundOr is a bound as the core takes it: 0 there is none, -1 in a file is none, and 0 in a file,
// or nothing, is the default.
func boundOr(n, otherwise int) int {
	switch n {
	case -1:
		return 0
	case 0:
		return otherwise
	}
	return n
}

// defaultSubscriptions lets one client have a quarter of the memory.
func defaultSubscriptions(limit int64) int {
	if limit <= 0 {
		limit = unknownMemory
	}
	return int(max(limit/4/subscriptionBytes, 1<<14))
}

func (e *EngineOptions) fill(limit int64) {
	if limit <= 0 {
		limit = unknownMemory
	}
	if e.Loops == 0 {
		e.Loops = defaultLoops(limit)
	}
	if e.MaxPending == 0 {
		e.MaxPending = int(min(defaultMaxPending, limit/8))
	}
	if e.PendingTotal == 0 {
		e.PendingTotal = max(limit/4, int64(e.MaxPending))
	}
	if e.PartialTotal == 0 {
		e.PartialTotal = limit / 8
	}
	if e.WriteDeadline == 0 {
		e.WriteDeadline = defaultWriteDeadline
	}
}

// check finds everything that does not fit together. The parts check what concerns them alone.
func (o *Options) check() (problems OptionErrors) {
	fail := func(key, format string, args ...any) {
		problems = append(problems, optionError{key, fmt.Errorf(format, args...)})
	}
	if o.Port < randomPort || o.Port > 65535 {
		fail("port", "port %d is not between 1 and 65535, nor -1 for any free one", o.Port)
	}
	if err := checkHost(o.Host); err != nil {
		fail("host", "%w, or -p beside -a", err)
	}
	if strings.ContainsAny(o.Server.ServerName, " \t\r\n") {
		fail("server_name", "server_name %q has a blank in it: use - or _ instead", cut(o.Server.ServerName))
	}
	if o.Server.MaxPayload > o.Engine.MaxPending {
		fail("max_payload", "max_payload %d is above max_pending %d: such a message could be sent to nobody", o.Server.MaxPayload, o.Engine.MaxPending)
	}
	if int64(o.Server.MaxPayload) > o.Engine.PartialTotal {
		fail("max_payload", "max_payload %d is above partial_total %d, which all half-received messages share: raise partial_total or memory_limit", o.Server.MaxPayload, o.Engine.PartialTotal)
	}
	for key, value := range map[string]int64{
		"loops": int64(o.Engine.Loops), "max_pending": int64(o.Engine.MaxPending), "pending_total": o.Engine.PendingTotal,
		"partial_total": o.Engine.PartialTotal, "write_deadline": int64(o.Engine.WriteDeadline), "memory_limit": o.MemoryLimit,
		"max_subscriptions": int64(o.Broker.MaxSubscriptions), "max_sub_tokens": int64(o.Broker.MaxTokens),
	} {
		if value < 0 {
			fail(key, "%s is negative", key)
		}
	}
	if o.Engine.Loops > maxLoops {
		fail("loops", "loops %d is above %d", o.Engine.Loops, maxLoops)
	}
	if int64(o.Engine.MaxPending) > o.Engine.PendingTotal {
		fail("max_pending", "max_pending %d is above pending_total %d: one slow client would take what is there for all", o.Engine.MaxPending, o.Engine.PendingTotal)
	}
	problems = append(problems, o.checkMonitor()...)
	problems = append(problems, o.checkControl()...)
	return append(problems, o.Log.check()...)
}

// open reports whether anybody who reaches the clients' door may come in: nobody asks for credentials,
// nor for a certificate. Leaves come through another door, with a tls block of its own.
func (o *Options) open() bool { return o.unguarded() && !o.asksCertificate() }

// asksCertificate reports whether every client has to show a certificate that not everybody can get.
func (o *Options) asksCertificate() bool {
	return knowsPeers(o.TLS) && (!o.AllowNonTLS || o.onlyTLSFirst())
}

// knowsPeers reports whether a tls block asks for certificates of authorities that are named, or for
// certain ones. Without ca_file those of the system count, and they serve everybody.
func knowsPeers(t *TLSOptions) bool {
	return t != nil && (t.Verify || t.VerifyAndMap) && (t.CAFile != "" || len(t.PinnedCerts) > 0)
}

// onlyTLSFirst reports whether clients have to begin with TLS, so that none can choose to do without.
func (o *Options) onlyTLSFirst() bool {
	return o.TLS != nil && o.TLS.HandshakeFirst.On && o.TLS.HandshakeFirst.Delay == 0
}

// unguarded reports whether anybody may come in without credentials. That a default is given to
// strangers by no_auth_user is the operator's word; no authorization at all may be an oversight.
func (o *Options) unguarded() bool {
	return o.Auth.User == "" && o.Auth.Token == "" && len(o.Auth.Users) == 0 && o.Auth.Callout == nil &&
		len(o.Top.Accounts) == 0 && same(o.Top.Operator, auth.OperatorOptions{})
}
