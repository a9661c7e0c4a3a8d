// Package engine moves bytes between sockets and sessions.
//
// Two drivers push input to the same Session:
//
//   - readiness loops (loop_linux.go): one goroutine a loop, epoll, plain TCP and Unix sockets. A
//     connection that is silent owns no goroutine and no buffer.
//   - the stream driver (stream.go): one goroutine reads a net.Conn, for what is not a socket (layers
//     put in place by Upgrade, tests in memory) and for systems without epoll. A second goroutine
//     writes, and exists only while something is pending.
//
// # TLS
//
// Conn.Secure asks for TLS (secure.go). The connection waits for its peer's first record like any
// other; then the handshake runs on a goroutine beside the loops, through a gate that lets few
// compute at once (gate.go), while input is held. After it, on Linux, the connection is its loop's
// again (layer_linux.go): what is silent owns no goroutine, and some 10 KB, most of them crypto/tls's
// keys and what it has kept of the ClientHello. Elsewhere, and for what has another layer on top, the
// stream driver reads the tls.Conn.
//
// # Who runs what
//
// The owner of a connection is the goroutine that calls its Session: its loop, or its reader. Data,
// Due and what was given to Post run there and nowhere else, one at a time. Closed is the owner's
// last call. Output is anyone's: Begin locks it, Room, Put and Write append, End unlocks, Flush
// writes. On a loop the writing goroutine is the one that calls Flush, as long as the kernel takes
// everything; after that the owner writes when the socket is writable again.
//
// # Locks
//
// Conn.out.mu is held over appends, over non-blocking writes and over changes of the epoll mask.
// Below it, and never held together with one another: Loop.inbox.mu, the mutexes of the crowd of
// connections that are behind and of those that hold half a message, and a stream's post list. A
// TLS layer's own lock is the innermost one, below those of crypto/tls.
//
// # Bounds
//
// Options.MaxPending bounds the output waiting for one connection, PendingTotal that of all
// together, PartialTotal the half messages of all together. A connection that is behind and makes
// no progress for WriteDeadline is closed. WorkerQueue bounds the work that waits to be done beside the
// loops (workers.go), at which addresses take turns (queue.go).
package engine
