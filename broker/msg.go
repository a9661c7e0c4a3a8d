package broker

import "time"

// A Msg is one message on its way through. Its slices are the publisher's and are good
// only until Publish returns. Payload has no line ending: each Sink dresses it for its wire.
// Publish leaves in Subject what it was mapped to, good until the lane is used again.
type Msg struct {
	Subject, Reply  []byte
	Header, Payload []byte // Header is an encoded NATS/1.0 block, or empty

	Route  []byte   // what to match by when it is not Subject: a deliver subject, a link's "@" form
	Queues []string // over a link: inward the groups to serve, outward those the link was chosen for

	why    Reason // of the last refusal; the publisher's
	mapped bool   // Map has been here
	hop    uint8  // service imports it has come through
}

// Refuse says why Deliver does not take m, if it is not that its receiver is slow. It returns
// false, for Deliver to return.
func (m *Msg) Refuse(why Reason) bool {
	m.why = why
	return false
}

// A Sink is how a message gets back out of the broker to one attached party.
type Sink interface {
	// Deliver queues m for sub. It runs on the publisher's goroutine, so it never blocks and
	// never calls back; it copies what it keeps. It reports whether it took m. Under its own
	// output lock it asks sub.Take first, unless it has no use for limits.
	Deliver(m *Msg, sub *Sub) bool
	// Wake says that no more is coming just now: flush, or with soon leave that to the sink's
	// own loop, since a great many are being woken. rest is how long its publishers should be
	// made to rest because the party is falling behind; 0 if it is not.
	Wake(soon bool) (rest time.Duration)
}

// A Rester is a Sink whose input can be made to rest, to slow it down as a publisher.
type Rester interface {
	Rest(d time.Duration)
}

// Traits are what the core may know of a peer. There is no kind.
type Traits struct {
	Remote bool   // speaks for others: last choice in a queue group, its input is never made to rest
	Up     bool   // speaks for those above: what one such brings goes through no import to another such
	NoEcho bool   // does not want its own messages
	Origin uint32 // not zero: never handed what a peer of equal Origin brought
	Own    bool   // the server's own: bound by no limit on subscriptions, and not among AccountSnapshot.Peers
}

// A Reason is why a message was not delivered to somebody who should have had it.
type Reason uint8

// The reasons, each with a counter of its name.
const (
	NoInterest Reason = iota + 1 // nobody had subscribed
	SlowPeer                     // the receiver would not take more
	TooBig                       // the receiver does not take messages of this size
	Denied                       // permissions of the publisher or the receiver
	Expired                      // it was too old
	Loop                         // it had been here before
	Closing                      // the receiver was leaving
	reasons
)

var reasonNames = [reasons]string{"", "no_interest", "slow_peer", "too_big", "denied", "expired", "loop", "closing"}

func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}
