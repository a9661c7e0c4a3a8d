package parser

// A Dialect is who is speaking.
type Dialect uint8

const (
	FromClient Dialect = iota // what a client sends to a server
	FromServer                // what a server sends to a client
	FromLeaf                  // what either end of a leaf link sends
)

// A Verb is the name of an operation.
type Verb uint8

const (
	None Verb = iota
	Connect
	Info
	Pub
	HPub
	Msg
	HMsg
	Sub
	Unsub
	Ping
	Pong
	OK
	Err
	LeafSub
	LeafUnsub
	LeafMsg
	LeafHMsg
)

var verbNames = [...]string{
	None: "(none)", Connect: "CONNECT", Info: "INFO", Pub: "PUB", HPub: "HPUB", Msg: "MSG", HMsg: "HMSG",
	Sub: "SUB", Unsub: "UNSUB", Ping: "PING", Pong: "PONG", OK: "+OK", Err: "-ERR",
	LeafSub: "LS+", LeafUnsub: "LS-", LeafMsg: "LMSG", LeafHMsg: "HMSG",
}

// String gives the verb as it is on the wire.
func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return verbNames[None]
}

// An Op is one parsed operation. Every slice points into the slice given to Next. After a
// complete operation, what its verb does not have is nil or zero:
//
//	Connect, Info        Args
//	Pub                  Subject Reply Payload
//	HPub                 Subject Reply Header Payload
//	Msg                  Subject Sid Reply Payload
//	HMsg                 Subject Sid Reply Header Payload
//	Sub                  Subject Queue Sid Args
//	Unsub                Sid Max HasMax
//	Err                  Args
//	LeafSub              Subject Queue Weight
//	LeafUnsub            Subject Queue
//	LeafMsg              Subject Reply Queues Payload
//	LeafHMsg             Subject Reply Queues Header Payload
//
// An Op is meant to be used again and again; one may serve many connections in turn.
type Op struct {
	Verb    Verb
	Subject []byte
	Reply   []byte
	Queue   []byte
	Sid     []byte

	// Queues are the groups that a leaf's message is for. Its capacity is used again, so
	// it is a list to copy and not to keep. A leaf's control line bounds it.
	Queues [][]byte

	// Args is the JSON of CONNECT and INFO, the text of -ERR without its quotes, and all
	// arguments of SUB as they stand in the line.
	Args []byte

	// Header is an encoded NATS/1.0 block with its final blank line, as the peer sent it:
	// nobody has looked inside. It is empty for a header size of 0: then the operation
	// is a plain message whatever its verb.
	Header  []byte
	Payload []byte

	Max    uint64 // UNSUB: deliveries in all; 0: none, or not a number
	HasMax bool   // UNSUB: there was a second argument
	Weight int32  // LS+ of a queue: members that it stands for, at least 1; 0 for a plain one

	// Need is the length of the whole operation from the start of in, after a Next that
	// found it incomplete: there is no sense in calling again with less. 0 while it is
	// unknown. Verb is set by then if it could be recognized; nothing else is.
	Need int

	// kind is of the operation that these fields were filled by; see shape.
	kind shape
}

// A shape is a set of verbs that fill the same fields. An operation clears those of the one
// before only if the shapes differ, because clearing 200 bytes is a good part of a PUB's cost.
type shape uint8

const (
	otherShape  shape = iota // fills what it likes: the next one clears
	clientShape              // Subject Reply Header Payload
	serverShape              // and Sid
	leafShape                // and Queues
)

// reset clears all that an earlier operation left behind, but for capacity. Field by field:
// assigning a whole Op goes through the collector's slow copy.
func (op *Op) reset(kind shape) {
	op.Subject, op.Reply, op.Queue, op.Sid = nil, nil, nil, nil
	op.Queues = op.Queues[:0]
	op.Args, op.Header, op.Payload = nil, nil, nil
	op.Max, op.HasMax, op.Weight, op.Need = 0, false, 0, 0
	op.kind = kind
}
