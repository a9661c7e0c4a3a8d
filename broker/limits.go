package broker

import "time"

// Options are the core's bounds. Zero means the default.
type Options struct {
	// MaxSubscriptions bounds the subscriptions of one peer that is not Remote. Default 0: no
	// bound; daemon has one of its own. A subscription costs about 300 bytes.
	MaxSubscriptions int `conf:"max_subscriptions,alias=max_subs"`

	// MaxTokens bounds the tokens of a subscription's subject, for peers that are not Remote.
	// Default 0: no bound; daemon has one of its own.
	MaxTokens int `conf:"max_sub_tokens,alias=max_subscription_tokens"`

	// CacheSlots bounds the subjects whose subscribers a lane remembers; it is rounded up to a
	// power of two. Default 4096. Fewer make publishers of many subjects slower.
	CacheSlots int `conf:"-"`

	// CacheResults bounds the subscribers that a lane remembers for all those subjects together.
	// Default 65536, which is half a megabyte a lane.
	CacheResults int `conf:"-"`
}

const (
	defaultCacheSlots   = 4096
	maxCacheSlots       = 1 << 20
	defaultCacheResults = 65536

	// firstCacheSlots is where a lane's table begins, so that a quiet lane costs nothing.
	firstCacheSlots = 64

	// sightings is how many subjects a lane recalls having seen once.
	sightings = 1024

	// maxWakes is how many sinks a Flush wakes itself. If there are more, it leaves the writing
	// to their own loops.
	maxWakes = 256

	// fullBytes is the "great deal" at which Lane.Full asks for a Flush before the turn's end.
	fullBytes = 1 << 20

	// keptTouches is how many touched sinks a lane keeps room for between flushes.
	keptTouches = 4096

	// keptMatches is how many matches a lane's scratch keeps room for between misses.
	keptMatches = 4096

	// touchLanes is how many lanes have a bit in Peer.touched. Later ones share a slower path.
	touchLanes = 32

	// fewSubs is how many subscriptions a peer has before it gets a map by tag.
	fewSubs = 16

	// detachBatch is how many subscriptions of a leaving peer are removed under one hold of the
	// account's lock.
	detachBatch = 256

	// maxReplies bounds the reply subjects that one peer may be allowed to answer on at a time, and
	// maxReplyBytes what they take. allReplyBytes bounds that of all peers together: one request to
	// a subject that a thousand devices listen to is kept a thousand times.
	maxReplies    = 4096
	maxReplyBytes = 256 << 10
	allReplyBytes = 8 << 20

	// replyBytes is what one reply subject takes besides its text.
	replyBytes = 96

	// maxHops bounds the accounts that one message may come through by service imports.
	maxHops = 8

	// keptText is how many bytes a lane keeps room for between messages that cross accounts.
	keptText = 64 << 10

	// maxAskedBytes bounds what the open requests of one peer to services of other accounts may take:
	// the oldest goes when there is no room. allOwedBytes bounds those of all peers together: at it, a
	// peer gets along with the room it has, and at twice of it one that has none is refused. debtBytes
	// is what an open request takes besides its texts.
	maxAskedBytes = 1 << 20
	allOwedBytes  = 16 << 20
	debtBytes     = 224

	// defaultThreshold is how long an answer of a service may take if its export does not say.
	defaultThreshold = 2 * time.Minute

	// sweepEvery is how often an account looks for answers that will not come any more.
	sweepEvery = 5 * time.Second

	// maxWeight bounds the members that a link may claim to speak for.
	maxWeight = 1 << 20

	// Texts of a Sub are cut by lengths of these widths.
	maxSubjectBytes = 1<<32 - 1
	maxQueueBytes   = 1<<16 - 1
)
