package client

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of connecting.
var (
	ErrNoServers     = errors.New("no server address given")
	ErrAddress       = errors.New("bad server address")
	ErrTLSMissing    = errors.New("the server asks for TLS: connect with the option TLS, and RootCAs if its authority is your own")
	ErrTLSRefused    = errors.New("the option TLS is set and the server does not speak it")
	ErrCredentials   = errors.New("unusable credentials")
	ErrAuthorization = errors.New("authorization violation: the server refused the credentials")
	ErrHandshake     = errors.New("the other side does not speak the NATS protocol")
)

// Errors of using a connection.
var (
	ErrClosed          = errors.New("connection is closed")
	ErrDraining        = errors.New("connection is draining")
	ErrDisconnected    = errors.New("the line broke before the server answered")
	ErrReconnectBuffer = errors.New("the line is down and the buffer for it is full")
	ErrSubject         = errors.New("invalid subject")
	ErrQueueName       = errors.New("invalid queue name")
	ErrHeader          = errors.New("invalid header")
	ErrNoHeaders       = errors.New("the server does not support headers")
	ErrMaxPayload      = errors.New("message is larger than the server takes")
	ErrNoReply         = errors.New("message has no reply subject")
	ErrNoResponders    = errors.New("nobody listens on this subject")
	ErrDropped         = errors.New("the message was dropped from the outbox")
	ErrOutboxFull      = errors.New("the outbox is full")
)

// Errors of a subscription.
var (
	ErrSubscriptionClosed = errors.New("subscription is closed")
	ErrNotSync            = errors.New("NextMsg needs a subscription made by SubscribeSync")
	ErrSlowConsumer       = errors.New("subscription is too slow, messages were dropped")
)

// Errors that OnDisconnect and OnError are given.
var (
	ErrStale      = errors.New("the server does not answer")
	ErrLameDuck   = errors.New("the server is shutting down, moving to another")
	ErrPermission = errors.New("permissions violation")
)

// A ServerError is what the server sent after -ERR.
type ServerError struct {
	Text string // without the quotes
}

func (e *ServerError) Error() string { return "the server says: " + e.Text }

// Is lets errors.Is find the few texts that callers branch on.
func (e *ServerError) Is(target error) bool {
	text := strings.ToLower(e.Text)
	switch target {
	case ErrPermission:
		return strings.HasPrefix(text, "permissions violation")
	case ErrAuthorization:
		return strings.HasPrefix(text, "authorization violation") ||
			strings.Contains(text, "authentication expired") || strings.Contains(text, "authentication revoked")
	case ErrStale:
		return text == "stale connection"
	case ErrMaxPayload:
		return text == "maximum payload violation"
	}
	return false
}

// cut keeps a value short enough for an error text.
func cut(s string) string {
	const longest = 64
	if len(s) > longest {
		return s[:longest] + "..."
	}
	return s
}

func wrap(doing string, subject string, err error) error {
	return fmt.Errorf("client: %s %q: %w", doing, cut(subject), err)
}
