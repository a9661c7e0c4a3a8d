package leafnode

import "errors"

// When a configuration is read.
var (
	errBadMode      = errors.New("use off, accept, s2_auto, s2_fast, s2_better or s2_best")
	errBadThreshold = errors.New("write one to four rising times with their units, such as [\"10ms\", \"50ms\", \"100ms\"]")
	errBadURL       = errors.New("write nats-leaf://host:port, with user:password@ before the host where the hub wants it")
	errWebSocket    = errors.New("WebSocket comes later: use nats-leaf:// and the hub's leafnodes port")
)

// errUnsupportedMode means that the other side wants a compression that does not exist. Wrapped with
// the word, it is the text of the -ERR that nats-server sends, "route" included.
var errUnsupportedMode = errors.New("unsupported route compression mode")

// When a compressed link is read. After each of them the stream cannot be followed any further.
var (
	errChunkIdentifier = errors.New("leafnode: the compressed stream does not begin with the identifier of S2")
	errChunkType       = errors.New("leafnode: a chunk of a type that may not be skipped")
	errChunkLength     = errors.New("leafnode: a chunk shorter than its checksum, or longer than any server sends")
	errChunkData       = errors.New("leafnode: a compressed chunk that is damaged")
	errChunkSum        = errors.New("leafnode: a chunk whose checksum is wrong")
)
