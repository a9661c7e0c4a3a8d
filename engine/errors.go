package engine

import "errors"

// Reasons for which the engine itself closes a connection. Session.Closed is handed one of them,
// the error that Data returned, or the error of a system call.
var (
	// ErrPeerClosed: the other side ended the connection.
	ErrPeerClosed = errors.New("engine: connection closed by peer")
	// ErrSlowConsumer: a message would have taken the pending output past Options.MaxPending.
	ErrSlowConsumer = errors.New("engine: slow consumer: pending output at its bound")
	// ErrPendingTotal: the pending output of all connections together was at its bound, and this
	// connection had the most.
	ErrPendingTotal = errors.New("engine: slow consumer: pending output of all connections at its bound")
	// ErrWriteDeadline: the kernel took no byte for Options.WriteDeadline.
	ErrWriteDeadline = errors.New("engine: slow consumer: write deadline")
	// ErrPartialTotal: the half messages of all connections together were at their bound and this
	// one had not been completed for Options.WriteDeadline.
	ErrPartialTotal = errors.New("engine: half messages of all connections at their bound")
	// ErrShutdown: the engine is being shut down.
	ErrShutdown = errors.New("engine: shutdown")
	// ErrHandshake: TLS did not come about; it wraps why. The peer is told nothing but a TLS alert.
	ErrHandshake = errors.New("engine: TLS handshake")
	// ErrRead and ErrWrite say which side of a socket failed; they wrap the system's error.
	ErrRead  = errors.New("engine: read")
	ErrWrite = errors.New("engine: write")
)

// Why Turnstile.Enter refuses.
var (
	// ErrAddressFull: the address has as many connections as it may have.
	ErrAddressFull = errors.New("engine: as many connections as one address may have")
	// ErrTooMany: more connections were asked for in this second than may be.
	ErrTooMany = errors.New("engine: too many new connections in a second")
)

// errNotBegun: the peer has not sent the beginning of a handshake in the time that it had for all of it.
var errNotBegun = errors.New("it did not begin in time")
