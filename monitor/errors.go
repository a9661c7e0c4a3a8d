package monitor

import "errors"

// Said to whoever asks, in nats-server's words.
var (
	errFilterNeedsAccount = errors.New("filter by subject only valid with account filtering")
	errNotLeader          = errors.New("filtered response: not leader")
)

// errShutdown ends a visitor's goroutine.
var errShutdown = errors.New("the server is shutting down")
