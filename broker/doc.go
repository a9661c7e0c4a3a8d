// Package broker moves one message from a peer to every peer whose interest matches it.
//
// It knows accounts, subjects and interest. It knows no socket, no wire format and no kind of
// peer, and it starts no goroutine: whoever publishes does the work, as far as the last Sink.
//
// An adapter attaches a Peer to an Account, subscribes and publishes. What comes back goes
// through its Sink. A Lane is the private working set of one publishing goroutine.
//
// # Borrowing
//
// The slices of a Msg belong to the publisher and are good until Publish returns. A Sink copies
// what it keeps. The strings given to Subscribe are kept.
//
// # Locks
//
// In this order, never upward, at most one of each: Broker.configuring, Account.casting, Broker.mu,
// Account.mu, a sink's own lock. No lock of ours is held over Deliver, Wake or Rest. The functions
// given to Watch run under Account.mu and may only enqueue. Tables that are small worlds of their own
// have locks under which nothing else happens: a peer's reply permissions, and the list of these
// above it; the answers an account owes, and a peer's open requests; what a lane has counted.
//
// # Accounts
//
// What one account imports from another is worked out when a subject is matched, and kept in the
// slot. Streams: a subscription of the importer has shadows in the exporter's index, which are made
// and removed after the importer's lock is released (shadow.go). Services: a message is published
// again in the exporter's account, after the fan-out, by whoever has published it (service.go), and
// its answer finds the way back by the books (answer.go). Mappings give a message another subject
// before all else (mapping.go). Whether an import is allowed is not asked here but in package auth.
//
// # Seeing a subscription
//
// A lane trusts what it has cached for a subject while two of the account's generations stand
// still: that of the subject's first token and that of filters which begin with a wildcard.
// Subscribe and Unsubscribe move one of them before they return, under Account.mu, so that the
// next Publish anywhere matches anew. A change to inboxes leaves "sensors.>" alone.
//
// # Reading order
//
// msg.go and peer.go are the contract. publish.go is the hot path, slot.go what it falls back on,
// remote.go what links need, sub.go and account.go how interest is kept. configure.go is where
// accounts get their imports, crossing.go what slots know of them.
package broker
