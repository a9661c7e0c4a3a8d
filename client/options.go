package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"
)

// Defaults and bounds.
const (
	DefaultPort            = "4222"
	DefaultTimeout         = 5 * time.Second
	DefaultPingInterval    = 2 * time.Minute
	DefaultMaxPingsOut     = 2
	DefaultReconnectWait   = 100 * time.Millisecond
	DefaultReconnectLimit  = 5 * time.Second
	DefaultReconnectBuffer = 8 << 20
	DefaultQueueMessages   = 65536
	DefaultQueueBytes      = 64 << 20
	DefaultInboxPrefix     = "_INBOX"

	writeTimeout    = 10 * time.Second // a socket that takes nothing for so long is given up
	tlsPart         = 16 << 10         // and of TLS this much, a record: RFC 8446 section 5.1
	farewellTimeout = 2 * time.Second  // for the last answer of a server that is shutting down
	writeHigh       = 256 << 10        // publishers wait while so much is not yet taken by the socket
	keepBuffer      = 1 << 20          // larger buffers go back to the collector when they are empty
	firstBuffer     = 4 << 10          // of an idle line; one read that fills it, and it is readBuffer
	readBuffer      = 32 << 10
	maxInboundLine  = 1 << 20  // INFO may list many servers
	maxInboundBytes = 64 << 20 // no server sends a larger message
	maxEvents       = 256      // errors waiting for OnError; more are not kept
)

// An Option changes one thing about a connection, before it is made.
type Option func(*options) error

type options struct {
	name, user, password, token string
	noEcho, pedantic            bool
	noReconnect, retryFirst     bool
	noRandom                    bool
	timeout                     time.Duration
	pingInterval                time.Duration
	maxPingsOut                 int
	reconnectWait               time.Duration
	reconnectLimit              time.Duration
	maxReconnects               int
	reconnectBuffer             int
	queueMessages, queueBytes   int
	inboxPrefix                 string
	identity                    identity    // nil: by password, token or not at all
	tls                         *tls.Config // nil exactly where secure is
	tlsFirst                    bool
	secure                      func(ctx context.Context, o *options, socket net.Conn, host string) (net.Conn, error)
	outbox                      *OutboxOptions // nil: none
	dial                        func(ctx context.Context, network, address string) (net.Conn, error)

	onError      func(*Conn, *Subscription, error)
	onDisconnect func(*Conn, error)
	onReconnect  func(*Conn)
	onLameDuck   func(*Conn)
	onServers    func(*Conn, []string)
	onClose      func(*Conn)
}

func newOptions(list []Option) (options, error) {
	o := options{
		timeout: DefaultTimeout, pingInterval: DefaultPingInterval, maxPingsOut: DefaultMaxPingsOut,
		reconnectWait: DefaultReconnectWait, reconnectLimit: DefaultReconnectLimit,
		reconnectBuffer: DefaultReconnectBuffer, queueMessages: DefaultQueueMessages,
		queueBytes: DefaultQueueBytes, inboxPrefix: DefaultInboxPrefix,
	}
	dialer := new(net.Dialer)
	o.dial = dialer.DialContext
	for _, set := range list {
		if set == nil {
			continue
		}
		if err := set(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) hasHandlers() bool {
	return o.onError != nil || o.onDisconnect != nil || o.onReconnect != nil || o.onLameDuck != nil ||
		o.onServers != nil || o.onClose != nil
}

// Name is what monitoring pages show for this connection.
func Name(name string) Option {
	return func(o *options) error { o.name = name; return nil }
}

// UserPassword authenticates with a user name and a password. A user and password in a
// server's address win for that server.
func UserPassword(user, password string) Option {
	return func(o *options) error { o.user, o.password = user, password; return nil }
}

// Token authenticates with a token.
func Token(token string) Option {
	return func(o *options) error { o.token = token; return nil }
}

// NoEcho keeps own messages from own subscriptions.
func NoEcho() Option {
	return func(o *options) error { o.noEcho = true; return nil }
}

// Pedantic makes the server check publish subjects; mistakes arrive at OnError.
func Pedantic() Option {
	return func(o *options) error { o.pedantic = true; return nil }
}

// Timeout bounds one attempt to connect to one server, handshake included. Default 5 s.
func Timeout(d time.Duration) Option {
	return func(o *options) error { return setPositive(&o.timeout, d, "Timeout") }
}

// Ping says how long a silent line is believed in: after interval without a byte from the
// server it is sent a PING, and after maxOut of them without an answer the line counts as
// broken. Default 2 minutes and 2.
func Ping(interval time.Duration, maxOut int) Option {
	return func(o *options) error {
		if maxOut < 1 {
			return errors.New("client: Ping needs maxOut of at least 1")
		}
		o.maxPingsOut = maxOut
		return setPositive(&o.pingInterval, interval, "Ping")
	}
}

// ReconnectWait is the pause after all known servers were tried without success: it begins at
// first, doubles with each round and never exceeds limit. Up to half of each pause is random,
// so that a thousand devices do not come back in one instant. Default 100 ms and 5 s.
func ReconnectWait(first, limit time.Duration) Option {
	return func(o *options) error {
		if limit < first {
			return errors.New("client: ReconnectWait needs a limit that is not below the first pause")
		}
		o.reconnectLimit = limit
		return setPositive(&o.reconnectWait, first, "ReconnectWait")
	}
}

// MaxReconnects closes the connection after so many failed rounds. Default 0: never give up,
// as nobody restarts the program on a device in a field.
func MaxReconnects(rounds int) Option {
	return func(o *options) error { o.maxReconnects = rounds; return nil }
}

// NoReconnect closes the connection when the line breaks.
func NoReconnect() Option {
	return func(o *options) error { o.noReconnect = true; return nil }
}

// RetryFirstConnect makes Connect try until its context ends, for programs that start
// together with their server. Each round of attempts that fails is told to OnError.
func RetryFirstConnect() Option {
	return func(o *options) error { o.retryFirst = true; return nil }
}

// NoRandomize tries the servers in the order given, instead of a random one.
func NoRandomize() Option {
	return func(o *options) error { o.noRandom = true; return nil }
}

// ReconnectBuffer bounds the bytes of publishes kept while the line is down; beyond it Publish
// returns ErrReconnectBuffer. With 0 it does so as soon as the line is known to be down.
// Default 8 MiB.
func ReconnectBuffer(bytes int) Option {
	return func(o *options) error {
		if bytes < 0 {
			return errors.New("client: ReconnectBuffer must not be negative")
		}
		o.reconnectBuffer = bytes
		return nil
	}
}

// SubscriptionQueue bounds what waits for one subscription's callback or NextMsg. What arrives
// beyond it is dropped and counted. Default 65,536 messages and 64 MiB.
func SubscriptionQueue(messages, bytes int) Option {
	return func(o *options) error {
		if messages < 1 || bytes < 1 {
			return errors.New("client: SubscriptionQueue needs at least one message and one byte")
		}
		o.queueMessages, o.queueBytes = messages, bytes
		return nil
	}
}

// InboxPrefix begins the reply subjects that Request and NewInbox make, for servers that
// permit only some. Default _INBOX.
func InboxPrefix(prefix string) Option {
	return func(o *options) error {
		if err := checkPublishSubject(prefix); err != nil || strings.ContainsAny(prefix, "*>") {
			return wrap("inbox prefix", prefix, ErrSubject)
		}
		o.inboxPrefix = prefix
		return nil
	}
}

// Dialer replaces the way a TCP connection is made, for tests and for tunnels.
func Dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(o *options) error {
		if dial == nil {
			return errors.New("client: Dialer needs a function")
		}
		o.dial = dial
		return nil
	}
}

// OnError is told of what has no caller to return to: permission violations, messages dropped
// by a slow subscription (which is then not nil), failed attempts to reconnect. Of those of
// RetryFirstConnect Connect tells before it returns: there is no connection then, it is nil.
func OnError(f func(*Conn, *Subscription, error)) Option {
	return func(o *options) error { o.onError = f; return nil }
}

// OnDisconnect is told that the line broke, and why.
func OnDisconnect(f func(*Conn, error)) Option {
	return func(o *options) error { o.onDisconnect = f; return nil }
}

// OnReconnect is told that the line is back and the subscriptions are restored.
func OnReconnect(f func(*Conn)) Option {
	return func(o *options) error { o.onReconnect = f; return nil }
}

// OnLameDuck is told that the server is about to shut down. The connection moves to another
// server by itself if it knows one.
func OnLameDuck(f func(*Conn)) Option {
	return func(o *options) error { o.onLameDuck = f; return nil }
}

// OnServers is told of addresses the server announced that were not known before.
func OnServers(f func(*Conn, []string)) Option {
	return func(o *options) error { o.onServers = f; return nil }
}

// OnClose is told that the connection is closed for good. It is the last call.
func OnClose(f func(*Conn)) Option {
	return func(o *options) error { o.onClose = f; return nil }
}

func setPositive(field *time.Duration, d time.Duration, name string) error {
	if d <= 0 {
		return errors.New("client: " + name + " must be above zero")
	}
	*field = d
	return nil
}
