// Package server speaks the NATS client protocol on accepted connections.
//
// A session is one conversation. The engine hands it the bytes that arrived (Data), it reads them
// with parser, and what they ask for is done by broker: the session knows the wire and nothing of
// routing. What other connections publish comes back through Deliver, which writes the MSG line
// straight into the connection's output.
//
// The way of one message is session_ops.go: doPub in, Deliver out; session_careful.go has the checks
// that few messages need. Everything a connection does before it may publish is in
// session_handshake.go, which is INFO and TLS, and in session_login.go, which is CONNECT. What becomes
// of it afterwards, when its account or the configuration changes, is in account.go and reload.go.
//
// # Who comes in
//
// Package auth decides, mostly beside the loop. Here is what a connection needs for it: a nonce, that
// nobody keeps because it can be worked out again; the time for credentials, which stands still
// while they are checked; the wait of those whose address has failed often, in slowdown.go. An
// identity that expires, alone or with its account, is closed by the same timer that asks for PINGs.
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
