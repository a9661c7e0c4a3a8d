package leafnode

import "errors"

// When a Node is made or run.
var (
	// ErrOptions is wrapped by everything that New and Reload say about Options.
	ErrOptions = errors.New("leafnode: bad options")
	// ErrStopped: Serve was called after Shutdown.
	ErrStopped = errors.New("leafnode: stopped")
)

// Ends of a link that are ours to decide.
var (
	errThrottled = &closing{reason: "TLS Handshake Error",
		remedy: "more TLS handshakes a second than connection_rate_limit allows; leaves try again by themselves"}
	errShutdown = &closing{reason: "Server Shutdown"}
	errReload   = &closing{reason: "Configuration Reload"}

	// errRenegotiate is of a link that both sides have to agree on anew.
	errRenegotiate = &closing{reason: "Configuration Reload",
		remedy: "compression has changed, which both sides agree on while they shake hands: the side that dials makes the link again by itself"}
	errUnexpected = &closing{wire: "Unknown Protocol Operation", reason: "Protocol Violation",
		remedy: "the hub sent CONNECT, which only leaves send"}
	errBusy = &closing{wire: wireAuthorization, reason: "Authentication Failure",
		remedy: "too many passwords wait to be checked, or too many from this address; leaves try again by themselves"}
	errSlowedDown = &closing{wire: wireAuthorization, reason: "Authentication Failure",
		remedy: "too many logins from this address wait for their turn after failed ones, see max_failed_logins; leaves try again by themselves"}
	errHalfMessages = &closing{reason: "Too Many Half Messages",
		remedy: "long messages that have not arrived whole take more memory than all links together may: raise memory_limit, or lower max_payload"}
	errCrowded = &closing{reason: "Too Many Strangers",
		remedy: "more leaves than max_links were on their way in at once, and this one was first"}

	// errNewPermissions is of a leaf whose user may do other things by now. nats-server has no word for it, but its
	// leaves log any. errPermissions is of a hub that has said so itself.
	errNewPermissions = &closing{wire: "Permissions Changed", reason: "Permissions Changed",
		remedy: "the leaf's user may do other things since the reload: the leaf joins again by itself and is told of them"}
	errPermissions = &closing{reason: "Permissions Changed",
		remedy: "the hub has changed what our user may do: the link is made again by itself, and goes by that"}

	errExpired = &closing{wire: "User Authentication Expired", reason: "Authentication Expired",
		remedy: "the credentials of the leaf's user, or its account, have expired: give the leaf new ones. Is the clock right?"}
	errNoLonger = &closing{wire: wireAuthorization, reason: "Authentication Expired",
		remedy: "the leaf's user is gone, has changed or has expired: give the leaf new credentials"}
)
