package leafnode

import "time"

// A server carries out what comes over a link in order, so its PONG is a receipt: all that was sent
// before the PING has been processed. What has been sent and has no receipt yet is in flight, in the
// kernel's buffers or on the line, and whatever is sent next comes behind it, an answer to the other
// side's PING too. So what is in flight is bounded by a window that follows how long receipts take.
//
// The window doubles once a round while it was the limit and receipts take less than a second longer
// than the line itself, and is halved when they take twice as long as that. Between the two there is a
// window for every line, at which it stays; and at that the line is always busy.
const (
	windowFirst = 16 << 10 // 2.6 s at 50 kbit/s
	windowLeast = 4 << 10
	windowMost  = 8 << 20
	// windowQuiet is what a window becomes when it has not been needed for quietTime: who knows
	// whether the line is still as fast.
	windowQuiet = 64 << 10
	quietTime   = int64(30 * time.Second)

	// queueTime is how much longer than the line's own round trip receipts may take.
	queueTime = time.Second
	// slowest is the longest round trip that is taken for the line's own.
	slowest = 3 * time.Second
	// lineTime is after what time a shorter round trip is forgotten, so that the line may have changed.
	lineTime = int64(time.Minute)
	// quietShare of the window in flight is next to nothing.
	quietShare = 8
	// crowded is with how much in flight before it a PING tells nothing about the line.
	crowded = 256 << 10

	// maxPings is how many PINGs may be unanswered. Further ones get no mark of their own.
	maxPings = 8
	// pingShare of the window is what a PING is sent after.
	pingShare = 4
)

// receipts counts what is in flight. It is pure: the caller sends, and tells what it has sent. All
// calls cost a few nanoseconds.
type receipts struct {
	window int // bytes; 0 before there is a link

	// Since the beginning: sent, asked a receipt for, and got one for.
	sentBytes, askedBytes, doneBytes uint64
	sentMsgs, doneMsgs               uint64

	// PINGs that have no answer yet, from the oldest one on.
	pings      [maxPings]mark
	first      int
	unanswered int
	isGotten   bool
	gottenAt   int64 // when the last receipt came, if isGotten

	peak      uint64 // the most that was in flight since the last PING
	changedAt int64  // when the window was changed last
	neededAt  int64  // when the window was the limit last

	line    time.Duration // the shortest round trip of late; 0: unknown
	lineAt  int64         // when it was seen
	isLight bool          // the last round trip tells about the line
}

// A mark is a PING.
type mark struct {
	at          int64
	bytes, msgs uint64 // its PONG is the receipt for all up to here
	flying      uint64 // what was in flight before it
	pongs       int    // answers to come until then: one, but for those beyond maxPings
	isFull      bool   // the window was the limit
	isQuiet     bool   // next to nothing was in flight before it
	isLight     bool   // not so much that it would tell nothing of the line
}

// newReceipts is for a link that begins now.
func newReceipts(now int64) receipts {
	return receipts{window: windowFirst, changedAt: now, neededAt: now}
}

// size is the window.
func (r *receipts) size() int {
	if r.window == 0 {
		return windowFirst
	}
	return r.window
}

// sent counts what has been handed to the kernel.
func (r *receipts) sent(bytes, msgs int) {
	r.sentBytes += uint64(bytes)
	r.sentMsgs += uint64(msgs)
	r.peak = max(r.peak, r.sentBytes-r.doneBytes)
}

// room is how many bytes may be sent now, 0 or less for none. A frame that is longer may leave when
// nothing is in flight; whoever waits for that asks with wantsPing(true).
func (r *receipts) room() int {
	flying := r.sentBytes - r.doneBytes
	if flying > windowMost {
		return r.size() - windowMost // less than nothing; an int may have 32 bits
	}
	return r.size() - int(flying)
}

// inFlight is what has been sent and has no receipt.
func (r *receipts) inFlight() (bytes, msgs int) {
	return int(r.sentBytes - r.doneBytes), int(r.sentMsgs - r.doneMsgs)
}

// lost is what is in flight when the link is cut: it may have arrived or not.
func (r *receipts) lost() (bytes, msgs int) { return r.inFlight() }

// wantsPing reports whether a PING is due: no receipt has been asked for a quarter of the window, or
// with dry, because nothing more is waiting or it may not leave, for anything at all.
func (r *receipts) wantsPing(dry bool) bool {
	open := r.sentBytes - r.askedBytes
	if r.unanswered == maxPings || open == 0 {
		return false
	}
	return open >= uint64(r.size()/pingShare) || dry && r.unanswered == 0
}

// ping notes that a PING leaves now, behind all that has been sent.
func (r *receipts) ping(now int64) {
	flying := r.sentBytes - r.doneBytes
	m := mark{at: now, bytes: r.sentBytes, msgs: r.sentMsgs, flying: flying, pongs: 1}
	m.isFull = r.peak >= uint64(r.size()/2)
	m.isQuiet = flying <= max(uint64(r.size()/quietShare), windowLeast)
	m.isLight = !m.isFull && flying <= crowded || flying <= windowLeast
	r.askedBytes, r.peak = r.sentBytes, flying
	if m.isFull {
		r.neededAt = now
	}
	if r.unanswered < maxPings {
		r.pings[(r.first+r.unanswered)%maxPings] = m
		r.unanswered++
		return
	}
	// Only its own answer tells that all has arrived.
	last := &r.pings[(r.first+maxPings-1)%maxPings]
	last.bytes, last.msgs = m.bytes, m.msgs
	last.pongs++
}

// pong takes a PONG as the answer to the oldest PING and returns how long that took. A PONG that
// nobody has asked for is not ok and changes nothing.
func (r *receipts) pong(now int64) (rtt time.Duration, ok bool) {
	if r.unanswered == 0 {
		return 0, false
	}
	m := &r.pings[r.first]
	rtt = time.Duration(max(now-m.at, 0))
	if m.pongs--; m.pongs > 0 {
		r.isLight = false
		return rtt, true
	}
	r.doneBytes, r.doneMsgs = m.bytes, m.msgs
	r.first = (r.first + 1) % maxPings
	r.unanswered--
	r.isGotten, r.gottenAt = true, now
	r.isLight = m.isLight
	r.learn(now, rtt, m.isQuiet)
	r.adapt(now, rtt, m)
	return rtt, true
}

// learn keeps the round trip of the line itself. A longer one is believed after a while, but only if
// it is not our own queue that makes it long.
func (r *receipts) learn(now int64, rtt time.Duration, isQuiet bool) {
	if rtt <= r.line || r.line == 0 || isQuiet && now-r.lineAt >= lineTime {
		r.line, r.lineAt = max(rtt, 1), now
	}
}

// adapt changes the window, at most once a round: a PING from before the last change says nothing
// about it.
func (r *receipts) adapt(now int64, rtt time.Duration, m *mark) {
	size := r.size()
	if m.at < r.changedAt {
		return
	}
	line := min(r.line, slowest)
	quick := line + queueTime
	switch {
	case rtt > 2*quick:
		size /= 2
	case m.isFull && (rtt <= line+line/4 || m.whole(rtt, size) < float64(quick)):
		size *= 2
	case now-r.neededAt >= quietTime && size > windowQuiet:
		size = windowQuiet
	}
	size = min(max(size, windowLeast), windowMost)
	if size != r.size() {
		r.changedAt = now
	}
	r.window = size
}

// whole is how many nanoseconds the answer would have taken behind a window that is used up, at the
// rate that rtt shows.
func (m *mark) whole(rtt time.Duration, size int) float64 {
	return float64(rtt) * float64(size) / float64(max(m.flying, 1))
}

// light reports whether the round trip that pong returned last is the line's own, with little of ours
// before it: only such a one says how fast the line is.
func (r *receipts) light() bool { return r.isLight }

// oldest is when the oldest PING was sent that has no answer.
func (r *receipts) oldest() (since int64, ok bool) {
	if r.unanswered == 0 {
		return 0, false
	}
	return r.pings[r.first].at, true
}

// last is when the last receipt came.
func (r *receipts) last() (at int64, ok bool) { return r.gottenAt, r.isGotten }
