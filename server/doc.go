// Package server speaks the NATS client protocol on accepted connections.
//
// A session is one conversation. The engine hands it the bytes that arrived (Data), it reads them
// with parser, and what they ask for is done by broker: the session knows the wire and nothing of
// routing. What other connections publish comes back through Deliver, which writes the MSG line
// straight into the connection's output.
//
// The way of one message is session_ops.go: doPub in, Deliver out. Everything a connection does
// before it may publish is in session_handshake.go.
//
// # Who runs what
//
// Data, Due, Closed and posted functions run on the connection's owner, one at a time. Deliver and
// Wake run on the publisher's goroutine; they touch only the fields that the connection's output
// lock guards. The server's own lock guards its list of sessions and of listeners, and nothing is
// called under it. The package starts no goroutine: Serve, Shutdown and LameDuck run on the
// caller's.
//
// # What a client is told
//
// errors.go has every -ERR text and says which of them close. Clients compare the texts, so they are
// those of nats-server letter by letter. Where nats-server closes without a word, so does this.
package server
