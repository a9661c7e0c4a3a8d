package leafnode

import "time"

const (
	// drainable is how soon what waits must be gone, at the pace of the last receipts, for publishers to be
	// made to wait for it. A thin link must not stop a plant.
	drainable = time.Second
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

// drains reports whether so many bytes would be gone soon. Of a link that is just up it is not known, and
// hoped.
func (p *pace) drains(now int64, bytes int) bool {
	if p.last == 0 {
		return now-p.since < int64(drainable)
	}
	return now-p.last < int64(drainable) && float64(bytes) < p.rate*drainable.Seconds()
}
