package server

import (
	"errors"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// When a server is made or run.
var (
	// ErrOptions is wrapped by everything that New and Reload say about Options.
	ErrOptions = errors.New("server: bad options")
	// ErrStopped: Serve was called after Shutdown or LameDuck.
	ErrStopped = errors.New("server: stopped")
)

// What Kick and LameDuckClient say of a connection.
var (
	// ErrNoClient: there is none of that number.
	ErrNoClient = errors.New("server: no such client id")
	// ErrNotListening: it does not take such a notice, or not yet.
	ErrNotListening = errors.New("server: the client takes no notice of lame duck mode, or is not connected yet")
)

// ErrTooMany: a list of subscriptions would take more than there is room for.
var ErrTooMany = errors.New("these are more subscriptions than one page has room for: ask for fewer with limit, or raise memory_limit")

// Texts of -ERR that do not close the connection.
const (
	wireInvalidSubject        = "Invalid Subject"
	wireInvalidPublishSubject = "Invalid Publish Subject"
	wireMaxSubscriptions      = "maximum subscriptions exceeded"
	wireDeniedPublish         = "Permissions Violation for Publish to "
	wireDeniedReply           = "Permissions Violation for Publish with Reply of "
	wireDeniedSubscribe       = "Permissions Violation for Subscription to "
)

// A closing is why a connection ends. reason is the word that monitoring shows, wire what the peer
// is told (empty: it is closed without a word), remedy what the operator can do about it (empty:
// nothing is logged above debug).
type closing struct {
	reason, wire, remedy string
}

func (c *closing) Error() string { return c.reason }

// While a client introduces itself.
var (
	errAuthTimeout = &closing{"Authentication Timeout", "Authentication Timeout",
		"the client must send CONNECT with credentials within authorization.timeout"}
	errNoCredentials = &closing{"Authentication Failure", "Authorization Violation",
		"the client sent no credentials"} // with what it is to be given, see noCredentials
	errCredentials = &closing{"Authentication Failure", "Authorization Violation",
		"wrong user, password or token: compare them with the authorization block"}
	errNotConnected = &closing{"Authentication Failure", "Authorization Violation",
		"the client must send CONNECT with credentials before anything else"}
	errExpired = &closing{"Authentication Expired", "User Authentication Expired",
		"the user's credentials have expired: give the client new ones"}
	errAccountExpiredAtLogin = &closing{"Authentication Failure", "Authorization Violation",
		"the account has expired: push a new account JWT"}
	errRevokedAtLogin = &closing{"Authentication Failure", "Authorization Violation",
		"the user was revoked in its account's JWT: give the client new credentials"}
	errAccountExpired = &closing{"Authentication Expired", "Account Authentication Expired",
		"the account has expired: push a new account JWT"}
	errRevoked = &closing{"Credentials Revoked", "User Authentication Revoked",
		"the user was revoked in its account's JWT: give the client new credentials"}
	errMaxAccountConnections = &closing{"Maximum Account Connections Exceeded", "maximum account active connections exceeded",
		"raise the account's max_connections"}
	errProxyRequired = &closing{"Proxy Required", "Authorization Violation",
		"the user may only come through a trusted proxy, which there is none of here"}
	errForeignAccount = &closing{"Authentication Failure", "Authorization Violation",
		"the client asks for an account in CONNECT; accounts come from its user here"}
	errBusy = &closing{"Authentication Failure", "Connection throttling is active. Please try again later.",
		"too many passwords wait to be checked, or too many from this address; clients try again by themselves"}
	errBadConnect     = &closing{"Protocol Violation", "", "the client's CONNECT is not valid JSON or has a field of the wrong type"}
	errClientProtocol = &closing{"Bad Client Protocol Version", "invalid client protocol", "the client asks for a protocol other than 0 or 1"}
	errNoResponders   = &closing{"No Responders Requires Headers", "no responders requires headers support",
		"the client asks for no_responders in CONNECT but not for headers"}
	errThrottled = &closing{"Maximum Connections Exceeded", "Connection throttling is active. Please try again later.",
		"more TLS handshakes a second than connection_rate_limit allows; clients try again by themselves"}
	errSlowedDown = &closing{"Authentication Failure", "Connection throttling is active. Please try again later.",
		"too many logins from this address wait for their turn after failed ones, see max_failed_logins"}
	errAddressFull = &closing{"Maximum Connections Exceeded", "maximum connections exceeded",
		"it has as many connections as max_connections_per_address lets one address have: raise it, or look what connects so often there"}
	errTooMany = &closing{"Maximum Connections Exceeded", "Connection throttling is active. Please try again later.",
		"more new connections in a second than connection_rate_limit allows, or more than half of them from this address; clients try again by themselves"}
	errMaxConnections = &closing{"Maximum Connections Exceeded", "maximum connections exceeded", "raise max_connections"}
)

// Afterwards.
var (
	errControlLine = &closing{"Maximum Control Line Exceeded", "maximum control line exceeded", "raise max_control_line, or shorten the client's subjects"}
	errMaxPayload  = &closing{"Maximum Message Payload Exceeded", "Maximum Payload Violation", "raise max_payload, or send smaller messages"}
	errUnknownOp   = &closing{"Protocol Violation", "Unknown Protocol Operation", "what was sent is not the NATS client protocol"}
	errSpeaksTLS   = &closing{"Protocol Violation", "Unknown Protocol Operation", "the client speaks TLS, which this listener does not: use nats:// and no TLS option there"}
	errArguments   = &closing{"Protocol Violation", "", "a protocol line with missing, surplus or malformed arguments"}
	errNoHeaders   = &closing{"Protocol Violation", "", "the client sent HPUB without headers in CONNECT"}
	errClientError = &closing{"Parse Error", "", "the client reported an error of ours with -ERR"}
	errStale       = &closing{"Stale Connection", "Stale Connection", "the client did not answer ping_max PINGs"}
	errShutdown    = &closing{"Server Shutdown", "", ""}
	errKicked      = &closing{"Kicked", "", ""}

	errMaxSubscriptions = &closing{"Maximum Subscriptions Exceeded", "maximum subscriptions exceeded", "it had more of them than are allowed since the last change: raise the limit"}
)

// After a reload.
var (
	errGone     = &closing{"Client Closed", "", "its user is no longer in the configuration, or in another account"}
	errUnsigned = &closing{"Authentication Failure", "", "the key that signed the user is no longer one of its account's: give the client new credentials"}
	errBearer   = &closing{"Authentication Failure", "Authorization Violation", "the account does not allow bearer tokens any more: give the client credentials with a key"}
	errNoLonger = &closing{"Authentication Failure", "Authorization Violation",
		"what it came in with is not enough any more: the authorization block has changed"}
)

// violation finds the closing of an error of the parser, about what begins with first.
func violation(err error, first byte) *closing {
	const tlsHandshake = 0x16
	switch err {
	case parser.ErrUnknownOp:
		if first == tlsHandshake {
			return errSpeaksTLS
		}
	case parser.ErrControlLine:
		return errControlLine
	case parser.ErrMaxPayload:
		return errMaxPayload
	case parser.ErrArgs:
		return errArguments
	}
	return errUnknownOp
}

// Reasons that come from the engine.
var (
	closedByClient  = &closing{reason: "Client Closed"}
	closedSlow      = &closing{reason: "Slow Consumer (Pending Bytes)", remedy: "the client reads too slowly: raise max_pending, send it less, or share its work in a queue group"}
	closedDeadline  = &closing{reason: "Slow Consumer (Write Deadline)", remedy: "the client did not read for write_deadline"}
	closedUnread    = &closing{reason: "Read Error"}
	closedUnwritten = &closing{reason: "Write Error"}
	closedPartial   = &closing{reason: "Protocol Violation", remedy: "the client left a message half sent while the memory for half messages was used up"}
)

// cutText bounds what a peer may have put into an error.
func cutText(text string) string {
	const most = 160
	return text[:min(len(text), most)]
}

// handshakeRemedy says what to do about a client's TLS handshake that did not come about.
func handshakeRemedy(err error, now time.Time) string {
	return auth.HandshakeRemedy(cutText(strings.TrimPrefix(err.Error(), engine.ErrHandshake.Error()+": ")), "client", now)
}

// closingOf finds the closing of whatever the engine says a connection ended with.
func closingOf(err error) *closing {
	if c, ok := err.(*closing); ok {
		return c
	}
	switch {
	case err == nil, errors.Is(err, engine.ErrPeerClosed):
		return closedByClient
	case errors.Is(err, engine.ErrSlowConsumer), errors.Is(err, engine.ErrPendingTotal):
		return closedSlow
	case errors.Is(err, engine.ErrWriteDeadline):
		return closedDeadline
	case errors.Is(err, engine.ErrPartialTotal):
		return closedPartial
	case errors.Is(err, engine.ErrShutdown):
		return errShutdown
	case errors.Is(err, engine.ErrHandshake):
		return &closing{reason: "TLS Handshake Failure", remedy: handshakeRemedy(err, time.Now())}
	case errors.Is(err, engine.ErrWrite):
		return closedUnwritten
	}
	return closedUnread
}
