package leafnode

import "time"

const (
	// backoffFirst is about how long a hub is left alone between attempts in the first minute of an
	// outage, which is how long most last. After that it doubles with each, to backoffMost.
	backoffFirst  = time.Second
	backoffMinute = int64(time.Minute)
	backoffMost   = 20 * time.Second // 30 s with jitter
	// maxFixed bounds what is configured: sums of it must not overflow.
	maxFixed = 24 * time.Hour
	// stableAfter is how long a link must be up to end an outage. A hub that accepts and closes at
	// once is as good as away.
	stableAfter = int64(10 * time.Second)
)

// A backoff says when to dial again. It never stops.
type backoff struct {
	fixed time.Duration // an interval that was configured; 0: none

	isOut bool // an outage has begun
	since int64
	base  time.Duration // the last one after the first minute
	isUp  bool
	upAt  int64
	least time.Duration
}

// failed is called when an attempt has failed, or when the link is lost, and says how long to wait.
// random returns a number from 0 to below n.
func (b *backoff) failed(now int64, random func(n int64) int64) (wait time.Duration) {
	wasUp := b.isUp
	if !b.isOut || wasUp && now-b.upAt >= stableAfter {
		b.isOut, b.since, b.base = true, now, 0
	}
	b.isUp = false
	wait, b.least = b.least, 0
	if b.fixed > 0 {
		// As nats-server: what it was told after a link is lost, and up to as much again after an attempt.
		fixed := min(b.fixed, maxFixed)
		if !wasUp {
			wait += time.Duration(random(int64(fixed)))
		}
		return wait + fixed
	}
	base := backoffFirst
	if now-b.since >= backoffMinute {
		b.base = min(max(2*b.base, 2*backoffFirst), backoffMost)
		base = b.base
	}
	return wait + base/2 + time.Duration(random(int64(base)))
}

// anew has an outage begin now, as far as waiting goes.
func (b *backoff) anew() { b.isOut = false }

// up notes that the link is up.
func (b *backoff) up(now int64) { b.isUp, b.upAt = true, now }

// atLeast makes the next wait d longer, as the other side has asked for.
func (b *backoff) atLeast(d time.Duration) { b.least = min(max(b.least, d), maxFixed) }
