package leafnode

import "time"

const (
	// drainable is how soon what waits must be gone, at the pace of the last receipts, for publishers to be
	// made to wait for it, and stalled how long a link may then go without a receipt: a hub on a busy machine
	// pauses for a second. A thin link must not stop a plant.
	drainable = time.Second
	stalled   = 2 * time.Second
	// restLeast and restMost are how long publishers rest at once.
	restLeast = 2 * time.Millisecond
	restMost  = 250 * time.Millisecond
	// paceGrain is the least time that a pace is worked out over: receipts come in bunches.
	paceGrain = int64(2 * time.Millisecond)
	// paceMemory is how many of these count, about.
	paceMemory = 8
)

// A pace is how fast receipts come. Pure; who uses it has its lock.
type pace struct {
	since int64   // when counting bytes began, on the engine's scale; 0: never
	bytes int     // receipted since then
	last  int64   // when the last receipt came
	rate  float64 // bytes a second
}

// begin is when the first receipt may come from.
func (p *pace) begin(now int64) { *p = pace{since: now} }

// add takes a receipt for so many bytes.
func (p *pace) add(now int64, bytes int) {
	p.last = now
	p.bytes += bytes
	took := now - p.since
	if took < paceGrain {
		return
	}
	rate := float64(p.bytes) * float64(time.Second) / float64(took)
	// A long time counts for more: after a second nothing of before is left.
	share := min(1, max(1.0/paceMemory, float64(took)/float64(time.Second)))
	if p.rate == 0 {
		share = 1
	}
	p.rate += share * (rate - p.rate)
	p.since, p.bytes = now, 0
}

// rest is how long publishers that have brought so many bytes to wait do best to rest: until half of them
// are gone, and the longer, the longer there has been no receipt. 0 if they would not be gone soon; of a
// link that is just up that is not known, and hoped.
func (p *pace) rest(now int64, waiting int) time.Duration {
	if p.last == 0 {
		if now-p.since >= int64(drainable) {
			return 0
		}
		return restLeast
	}
	silent := time.Duration(now - p.last)
	if silent >= stalled || float64(waiting) >= p.rate*drainable.Seconds() {
		return 0
	}
	half := time.Duration(float64(waiting) / p.rate * float64(time.Second) / 2)
	return min(max(restLeast, half, silent/2), restMost)
}
