package client

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Policy says what happens at the bound of a queue.
type Policy int

const (
	DropOldest Policy = iota // make room: the newest readings matter
	DropNewest               // refuse what comes: the story's beginning matters
	KeepLast                 // the newest of each subject; DropOldest where that is still too many
	Block                    // make the publisher wait
)

// Bounds of an outbox where nothing is said, and of what is on its way at once.
const (
	DefaultOutboxMessages = 10_000
	DefaultOutboxBytes    = 8 << 20

	flightMessages = 256 // that share one receipt
	flightBytes    = 64 << 10
	maxFlights     = 16                     // without a receipt yet
	rateBurst      = 100 * time.Millisecond // of a limited rate may come in one go
	rateStep       = 20 * time.Millisecond  // of it share a flight: one for each would fill a long line with receipts
)

// OutboxOptions say what an outbox keeps and how it empties itself.
type OutboxOptions struct {
	Messages int           // default 10,000
	Bytes    int           // default 8 MiB, with subjects and headers
	Age      time.Duration // older ones are dropped instead of sent; 0: none is too old
	Policy   Policy        // at the bound, while the line is down; default DropOldest

	// Rate bounds how many messages of an outage are sent in a second once the line is back, so that a
	// thousand devices do not drown what they come back to. Default 0: no bound.
	Rate int
	// LiveFirst sends what is published now before what waited out an outage. Each of the two stays in
	// order, and they mix.
	LiveFirst bool
	// Store keeps the messages. Default: memory.
	Store Outbox
}

// An Outbox keeps messages until the server has processed them. One connection uses it, one call
// at a time, from whatever goroutine. Publishers wait while a call lasts, and the reader at a change
// of lines; no method may call the connection.
type Outbox interface {
	// Keep takes a message; its Frame belongs to the store. Numbers grow.
	Keep(Kept) error
	// Frame returns the operation that Keep was given. It is good until the next call.
	Frame(number uint64) ([]byte, error)
	// Forget removes a message. Its number does not come again.
	Forget(number uint64) error
	// All yields what an earlier program left, by number; Frame may be left out.
	All() iter.Seq[Kept]
}

// Kept is one message of an outbox.
type Kept struct {
	Number  uint64
	At      time.Time // of the publish
	Subject string
	Payload int    // bytes of header and data, which the server bounds
	Size    int    // bytes of Frame
	Frame   []byte // the operation as it goes to the server
}

// OutboxStats account for every message that was published: Sent is the sum of all the others
// bar QueuedBytes.
type OutboxStats struct {
	Sent        uint64 // messages given to the outbox, those of an earlier program included
	Confirmed   uint64 // processed by a server
	Queued      int    // waiting, or sent without a receipt yet
	QueuedBytes int
	Dropped     Dropped
}

// Dropped counts messages of an outbox that were given up, by reason.
type Dropped struct {
	Full        uint64 // for the bound
	Replaced    uint64 // by a newer one of the same subject
	Expired     uint64 // too old
	Refused     uint64 // by the server: no permission, too large, no headers there
	Failed      uint64 // the store could not keep it or give it back
	Unconfirmed uint64 // as Full, Replaced or Expired, but had been sent: it may have arrived
}

// Total is the sum of all reasons.
func (d Dropped) Total() uint64 {
	return d.Full + d.Replaced + d.Expired + d.Refused + d.Failed + d.Unconfirmed
}

// WithOutbox makes every Publish go by way of an outbox: a message stays in it until the server
// has processed it, outages, restarts of the server and sudden deaths of the line included. So it
// arrives at least once, twice where the line broke between message and receipt.
//
// While the line is up and the outbox full, Publish waits for the server; Policy is for outages,
// and for what they left when Rate holds it back. Requests and responses do not go by the outbox:
// they are of no use later.
func WithOutbox(box OutboxOptions) Option {
	return func(o *options) error {
		if box.Messages < 0 || box.Bytes < 0 || box.Age < 0 || box.Rate < 0 || box.Policy < DropOldest || box.Policy > Block {
			return errors.New("client: WithOutbox needs bounds that are not negative and a known policy")
		}
		if box.Messages == 0 {
			box.Messages = DefaultOutboxMessages
		}
		if box.Bytes == 0 {
			box.Bytes = DefaultOutboxBytes
		}
		o.outbox = &box
		return nil
	}
}

// OutboxStats returns the accounts of the outbox, all zero without one.
func (c *Conn) OutboxStats() OutboxStats {
	if c.outbox == nil {
		return OutboxStats{}
	}
	return c.outbox.stats()
}

// A memory is the Outbox of connections that are given none.
type memory map[uint64][]byte

func (m memory) Keep(k Kept) error {
	m[k.Number] = k.Frame
	return nil
}

func (m memory) Frame(number uint64) ([]byte, error) {
	frame, ok := m[number]
	if !ok {
		return nil, fmt.Errorf("client: outbox: no message %d", number)
	}
	return frame, nil
}

func (m memory) Forget(number uint64) error {
	delete(m, number)
	return nil
}

func (m memory) All() iter.Seq[Kept] { return func(func(Kept) bool) {} }
