package daemon

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// trimQuiet is how long nothing much must have been allocated before memory is given back.
	trimQuiet = time.Second
	// trimBusy is how many allocated bytes in that time are too much to call it quiet.
	trimBusy = 256 << 10
	// trimWorth is how much there must be to give back.
	trimWorth = 1 << 20
	// trimAgain is after how much allocation it is looked again. A heap of ten thousand quiet sensors would
	// otherwise have to double first.
	trimAgain = 3 << 19
	// trimShare is the part of one processor's time that trimming may take.
	trimShare = 30
)

// trim gives memory back to the system after a burst: ten thousand sensors that reconnect leave as
// much garbage as they keep, and the collector, which goes by allocation, would not come again
// while they are silent. It is woken by a collection, never by a ticker, so that an idle process
// sleeps on. It ends with ctx.
func trim(ctx context.Context) {
	collected := make(chan struct{}, 1)
	watchCollections(ctx, collected)
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	read := func() (allocated, spare uint64) {
		metrics.Read(samples)
		v := func(i int) uint64 { return samples[i].Value.Uint64() }
		garbage := v(3) - min(v(3), v(4))
		return v(0), v(1) + v(2) + garbage
	}
	usual := func() {}
	defer func() { usual() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
		usual()
		last, spare := read()
		for quiet := false; !quiet; {
			if !sleep(ctx, trimQuiet) {
				return
			}
			var now uint64
			now, spare = read()
			quiet = now-last < trimBusy
			last = now
		}
		if spare < trimWorth {
			shedProgram()
			usual = collectEarly()
			continue
		}
		begin := time.Now()
		runtime.GC() // what lies in pools needs two collections
		debug.FreeOSMemory()
		shedProgram()
		took := time.Since(begin)
		last, _ = read()
		if !sleep(ctx, max(trimQuiet, trimShare*took)) {
			return
		}
		if now, _ := read(); now-last < trimBusy {
			select {
			case <-collected: // our own
			default:
			}
			usual = collectEarly()
		}
	}
}

// collectEarly has the next collection come after trimAgain bytes, if it would come later. What it returns
// sets what was set before.
func collectEarly() (usual func()) {
	samples := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	percent, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
	early := 100 * trimAgain / max(live, 1)
	if percent > math.MaxInt32 || early >= percent { // turned off; or soon enough
		return func() {}
	}
	debug.SetGCPercent(int(max(early, 1)))
	return func() { debug.SetGCPercent(int(percent)) }
}

// sleep waits for d, or reports false when ctx is over first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// watchCollections tells c of each collection: a cleanup of an object that nobody holds runs after
// it, and makes the next such object.
func watchCollections(ctx context.Context, c chan<- struct{}) {
	sentinel := new([16]byte)
	runtime.AddCleanup(sentinel, func(struct{}) {
		if ctx.Err() != nil {
			return
		}
		select {
		case c <- struct{}{}:
		default:
		}
		watchCollections(ctx, c)
	}, struct{}{})
}
