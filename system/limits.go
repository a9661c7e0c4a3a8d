package system

import "time"

const (
	// maxRequests bounds the requests that wait to be answered, and maxRequestBytes what they take.
	// One more is not taken, which its sender sees as no answer.
	maxRequests     = 256
	maxRequestBytes = 4 << 20

	// maxOutgoing bounds the messages that wait to be published. An answer waits for room; an event
	// beyond it is lost and counted.
	maxOutgoing = 4096

	// maxAsking bounds the requests of our own that wait for an answer, and maxAskingAccounts the
	// accounts in which they do.
	maxAsking         = 1024
	maxAskingAccounts = 64

	// maxTold bounds the accounts whose number of connections is announced at a time.
	maxTold = 10000

	// How the server is: soon after somebody starts to listen, then more and more rarely.
	firstStats = 250 * time.Millisecond
	statsEvery = 10 * time.Second

	// connsEvery is how often the connections of an account are announced while there are some.
	connsEvery = 30 * time.Second
)
