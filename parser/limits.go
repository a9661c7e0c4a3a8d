package parser

// What a Parser uses where its own limit is zero; the defaults of nats-server.
const (
	DefaultMaxControlLine = 4 << 10
	DefaultMaxPayload     = 1 << 20
)

// LeafControlLineFactor is by how much a leaf link's control line may be longer than a
// client's: its lines carry lists of queue groups.
const LeafControlLineFactor = 16

// maxDigits bounds the digits of a size, leading zeros included, as nats-server does. Nine
// digits fit an int on every platform, so no size overflows on 32-bit ARM.
const maxDigits = 9

// keptWords is how many words of a control line are remembered while it is split. HMSG has
// the most, five; a sixth says that there are too many. A leaf's queue lists are split again.
const keptWords = 6
