package monitor

import "time"

const (
	// maxConnections bounds the connections to all pages together; those of browsers that are kept
	// open count. One more waits in the system's queue.
	maxConnections = 64

	// maxWorking bounds the pages being made at a time. Another one waits for workPatience.
	maxWorking   = 4
	workPatience = 5 * time.Second

	// maxListing bounds those of them that list subscriptions, which may be a hundred megabytes in the
	// making. One of more than maxWaiting bytes counts until it is sent: 64 of them must not wait for
	// visitors who do not read.
	maxListing = 1
	maxWaiting = 1 << 20

	// maxHeaderBytes bounds a request, which is nothing but its header: maxHeaderLines lines of at most
	// maxLineBytes. What has been read of it takes firstInput at first.
	maxHeaderBytes = 8 << 10
	maxHeaderLines = 64
	maxLineBytes   = 4 << 10
	firstInput     = 1 << 10

	// maxRequests bounds what one connection may ask, one after another. Whoever wants more comes again,
	// and others have had a chance to get in.
	maxRequests = 1000

	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute

	// leastPatience is how long a visitor is waited for even if others want its place.
	leastPatience = 100 * time.Millisecond

	// lingerTimeout is for an answer to arrive at somebody who is still sending.
	lingerTimeout = 500 * time.Millisecond

	// writeTimeout is for making and sending a page: a thin line and ten thousand connections.
	writeTimeout = time.Minute

	// After a listener that fails, as for want of file descriptors.
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second

	// maxStacks bounds what /stacksz shows.
	firstStacks = 16 << 10
	maxStacks   = 8 << 20
)
