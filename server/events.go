package server

// Events is who wants to know of clients that come and go, such as those who publish the server's
// own events. The methods are called on the connection's owner, so they must not wait for anything.
type Events interface {
	// Connected: a client's CONNECT was accepted. One that sends a second one is told of again.
	Connected(c ClientSnapshot)
	// Disconnected: a connection has ended, of whomever it was. Reason and Stop are set.
	Disconnected(c ClientSnapshot)
	// AuthFailed: a client is about to be closed for its credentials. Reason is set.
	AuthFailed(c ClientSnapshot)
}
