package leafnode

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

// What a peer's line or a credentials option cannot be used for. Each is wrapped with what is wrong.
var (
	errBadInfo     = errors.New("leafnode: INFO cannot be read")
	errCredentials = errors.New("leafnode: credentials")
)

// Delays before a hub is tried again, those of nats-server. The usual wait comes on top.
const (
	loopDelay    = 30 * time.Second // what makes a loop is taken away by people
	versionDelay = 5 * time.Second
)

// A closing is why a link ends. wire is what the peer is told with -ERR (empty: it is closed without
// a word), reason what logs and monitoring show, remedy what the operator can do about it, and delay
// how long the hub is left alone at least. welcomed is of what a leaf is told behind our last INFO, and
// stays of what a peer says without closing.
type closing struct {
	wire, reason, remedy string
	delay                time.Duration
	welcomed, stays      bool
}

func (c *closing) Error() string {
	if c.remedy == "" {
		return c.reason
	}
	return c.reason + ": " + c.remedy
}

// While a link is made, at either side.
var (
	errWrongPort = &closing{reason: "Wrong Port",
		remedy: "what answers is not a leafnodes listener: use the port of the hub's leafnodes block, 7422 unless it says otherwise"}
	errClusterSpaces = &closing{wire: "cluster name cannot contain spaces", reason: "Protocol Violation",
		remedy: "the other side's cluster or server name has a blank in it: rename it"}
	errClusterReserved = &closing{wire: "cluster name is reserved", reason: "Protocol Violation",
		remedy: "the other side's cluster or server is called \"_\": rename it"}
	errNoNonce = &closing{reason: "Authentication Failure",
		remedy: "the hub offers nothing to sign, so that credentials and nkey cannot be shown: use user and password, or a newer hub"}
)

// While a link is made, at the soliciting side.
var (
	errNoWelcome = &closing{wire: "Stale Leaf Node Connection - Closing", reason: "Handshake Timeout",
		remedy: "the hub did not finish the handshake in time: on a slow line raise handshake_timeout"}
)

// While a link is made, at the accepting side.
var (
	errBadConnect = &closing{reason: "Protocol Violation",
		remedy: "the leaf's CONNECT is not valid JSON, or has a field of the wrong type or too long"}
	errSecondInfo = &closing{reason: "Protocol Violation",
		remedy: "the leaf sent INFO where CONNECT is due: it is no nats-server"}
	errNotConnected = &closing{wire: wireAuthorization, reason: "Authentication Failure",
		remedy: "the leaf must send CONNECT before anything else; if it begins with TLS, configure tls on both sides"}
	errAuthTimeout = &closing{wire: "Authentication Timeout", reason: "Authentication Timeout",
		remedy: "the leaf must send CONNECT in time: on a slow line raise handshake_timeout"}
	errAuthorization = &closing{wire: wireAuthorization, reason: "Authentication Failure",
		remedy: "the leaf's credentials are wrong: compare them with leafnodes.authorization, or with the accounts"}
	errClientHere = &closing{wire: "attempted to connect to leaf node port", reason: "Wrong Port",
		remedy: "a client came to the port for leaves: give it that of listen"}
	errSameCluster = &closing{wire: "remote leafnode has same cluster name", reason: "Cluster Names Identical", delay: loopDelay,
		remedy: "the leaf's cluster or server name is ours: give it another server_name"}
	errMaxLinks = &closing{wire: "maximum account active connections exceeded", reason: "Maximum Connections Exceeded",
		remedy: "raise leafnodes.max_links"}
	errMaxAccountLinks = &closing{wire: "maximum account active connections exceeded", reason: "Maximum Account Connections Exceeded",
		remedy: "the account has as many leaf links as its limits allow: raise max_leafnodes of the account, or the limit in its JWT"}
	errAddressFull = &closing{wire: "maximum connections exceeded", reason: "Maximum Connections Exceeded",
		remedy: "its address has as many connections as max_connections_per_address allows: raise it, or look what connects so often there"}
	errTooMany = &closing{wire: "Connection throttling is active. Please try again later.", reason: "Maximum Connections Exceeded",
		remedy: "more new connections in a second than connection_rate_limit allows, or more than half of them from this address; leaves try again by themselves"}
	errDuplicate = &closing{wire: "Duplicate Remote LeafNode Connection", reason: "Duplicate Remote LeafNode Connection",
		remedy: "a leaf of the same name has joined since: if these are two machines, give each its own server_name"}
)

// turnedAway is what a leaf is told that the turnstile does not let in.
func turnedAway(err error) *closing {
	if err == engine.ErrAddressFull {
		return errAddressFull
	}
	return errTooMany
}

// Later.
var (
	errStale = &closing{wire: "Stale Connection", reason: "Stale Connection",
		remedy: "the other side was silent although it was asked: the line is dead or blocked"}
	errUnknownOp = &closing{wire: "Unknown Protocol Operation", reason: "Protocol Violation",
		remedy: "the other side sent what is not the leaf protocol"}
	errControlLine = &closing{wire: "maximum control line exceeded", reason: "Maximum Control Line Exceeded",
		remedy: "raise max_control_line, or shorten subjects and queue names"}
	errMaxPayload = &closing{wire: "Maximum Payload Violation", reason: "Maximum Message Payload Exceeded",
		remedy: "the other side sent a message larger than max_payload here: use the same max_payload on both sides"}
)

// Texts of -ERR.
const (
	wireAuthorization  = "Authorization Violation"
	wireInvalidSubject = "Invalid Subscription" // it does not close the link
)

// loopOf is what ends a link over which our own interest comes back to us.
func loopOf(account string) *closing {
	return &closing{wire: fmt.Sprintf("Loop detected for leafnode account=%q. Delaying attempt to reconnect for %v", account, loopDelay), reason: "Loop Detected", remedy: remedyLoop, delay: loopDelay}
}

const remedyLoop = "two servers are joined by more than one way: take a remote away so that the servers form a tree, or look for two servers that name each other"

// deniedSubscription ends the link of a leaf that asks for what it may not have.
func deniedSubscription(subject string) *closing {
	return &closing{wire: fmt.Sprintf("Permissions Violation for Subscription to %q", cut(subject)), reason: "Permissions Violation",
		remedy: "the leaf's user may not subscribe to this: widen its permissions, or deny it in the leaf's deny_imports"}
}

// deniedPublish ends the link of a leaf that sends what it may not.
func deniedPublish(subject string) *closing {
	return &closing{wire: fmt.Sprintf("Permissions Violation for Publish to %q", cut(subject)), reason: "Permissions Violation",
		remedy: "the leaf's user may not publish to this: widen its permissions, or deny it in the leaf's deny_exports"}
}

func gatewayHere(name string) *closing {
	return &closing{wire: fmt.Sprintf("Rejecting connection from gateway %q on the leafnode port", cut(name)), reason: "Wrong Gateway",
		remedy: "a gateway came to the port for leaves: give it that of the gateway block"}
}

func tooOld(minimum, theirs string) *closing {
	return &closing{wire: fmt.Sprintf("connection rejected since minimum version required is %q", minimum), reason: "Minimum Version Required",
		remedy: fmt.Sprintf("the leaf is version %q: update it, or lower leafnodes.min_version", cut(theirs)), delay: versionDelay, welcomed: true}
}

// A told is what a part of a peer's -ERR means.
type told struct {
	part string // in small letters
	closing
}

// tellings are in the order in which they are looked for.
var tellings = []told{
	{"authorization violation", closing{reason: "Authentication Failure",
		remedy: "the hub refuses our credentials: compare user, password, token, nkey or credentials of the remote with the hub's users; a user in a JWT needs the connection type LEAFNODE"}},
	{"authentication timeout", closing{reason: "Authentication Timeout",
		remedy: "the hub did not get our CONNECT in time: on a slow line raise authorization.timeout in the hub's leafnodes block"}},
	{"authentication expired", closing{reason: "Authentication Expired",
		remedy: "our credentials have expired: get a new file and put it in the place of the old one"}},
	{"authentication revoked", closing{reason: "Credentials Revoked",
		remedy: "our user was revoked at the hub: get new credentials"}},
	{"account expired", closing{reason: "Account Authentication Expired",
		remedy: "our account has expired at the hub: its operator has to renew it"}},
	{"permissions changed", *errPermissions},
	{"loop detected", closing{reason: "Loop Detected", remedy: remedyLoop, delay: loopDelay}},
	{"has same cluster name", closing{reason: "Cluster Names Identical", delay: loopDelay,
		remedy: "the hub's cluster has our server or cluster name: give this server another server_name"}},
	{"cluster name cannot contain spaces", closing{reason: "Protocol Violation",
		remedy: "our server or cluster name has a blank in it: give this server another server_name"}},
	{"cluster name is reserved", closing{reason: "Protocol Violation",
		remedy: "our server or cluster name is one that the hub keeps to itself: give this server another server_name"}},
	{"minimum version required", closing{reason: "Minimum Version Required", delay: versionDelay,
		remedy: "the hub wants a newer leaf: update this server, or lower min_version in the hub's leafnodes block"}},
	{"duplicate remote leafnode", closing{reason: "Duplicate Remote LeafNode Connection",
		remedy: "another server with our server_name has joined the hub: give each machine its own, or they throw one another out for ever"}},
	{"maximum account active connections", closing{reason: "Maximum Connections Exceeded",
		remedy: "the account has as many leaves as it may have at the hub: raise its limit there"}},
	{"maximum connections exceeded", closing{reason: "Maximum Connections Exceeded",
		remedy: "the hub is full: raise its max_connections"}},
	{"connection throttling is active", closing{reason: "Maximum Connections Exceeded",
		remedy: "more connections came to the hub at once than it takes: it is tried again by itself; raise connection_rate_limit there if it repeats"}},
	{"maximum subscriptions", closing{reason: "Maximum Subscriptions Exceeded", stays: true,
		remedy: "the hub takes no more interest of ours, so that some subjects do not reach us: raise max_subscriptions for our user there, or subscribe to wildcards"}},
	{"permissions violation for subscription", closing{reason: "Permissions Violation",
		remedy: "the hub does not let our user have this subject: widen its permissions there, or add the subject to deny_imports of the remote"}},
	{"permissions violation for publish", closing{reason: "Permissions Violation",
		remedy: "the hub does not let our user send this subject: widen its permissions there, or add the subject to deny_exports of the remote"}},
	{"invalid subscription", closing{reason: "Invalid Subscription", stays: true,
		remedy: "the other side does not take this subject: look at its limits for subjects"}},
	{"maximum payload", closing{reason: "Maximum Message Payload Exceeded",
		remedy: "a message was larger than max_payload of the other side: use the same max_payload on both sides"}},
	{"maximum control line", closing{reason: "Maximum Control Line Exceeded",
		remedy: "raise max_control_line of the other side, or shorten subjects and queue names"}},
	{"compression mode", closing{reason: "Protocol Violation",
		remedy: "the two sides know no common compression: write compression: off at one of them"}},
	{"stale leaf node connection", closing{reason: "Handshake Timeout",
		remedy: "the leaf did not get our answer to its CONNECT in time"}},
	{"stale connection", closing{reason: "Stale Connection",
		remedy: "the other side had no answer to its PINGs: the line is too slow for what is sent, or broken in one direction"}},
	{"slow consumer", closing{reason: "Slow Consumer",
		remedy: "the line is too slow for what the other side has to send: narrow what is subscribed to here, or raise max_pending there"}},
	{"attempted to connect to", closing{reason: "Wrong Port",
		remedy: "use the port of the hub's leafnodes block, 7422 unless it says otherwise"}},
	{"gateway", closing{reason: "Wrong Port",
		remedy: "use the port of the hub's leafnodes block, 7422 unless it says otherwise"}},
	{"unknown protocol", closing{reason: "Protocol Violation",
		remedy: "the other side does not understand what we send: is there something between us that changes it?"}},
}

// reasonOf says what the text of a peer's -ERR means, and what to do. It never returns nil; a text that
// nobody knows is its own reason, and has no remedy.
func reasonOf(text string) *closing {
	fixed, _, _ := strings.Cut(text, `"`) // what comes then is a name, which may be anything
	small := strings.ToLower(fixed)
	for i := range tellings {
		if strings.Contains(small, tellings[i].part) {
			return &tellings[i].closing
		}
	}
	return &closing{reason: cut(text), stays: true}
}

// cut bounds what a peer may put into a text of ours.
func cut(text string) string {
	const most = 160
	return strings.ToValidUTF8(text[:min(len(text), most)], "?")
}
