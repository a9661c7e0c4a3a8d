package daemon

import (
	"math"
	"sync"
	"time"
)

// usage is what the process takes of its machine.
type usage struct {
	resident int64
	percent  float64 // of one processor, since the last time somebody asked
}

// leastUsagePeriod is how long an observation of processor time lasts at least: who asks earlier is told
// what the last one has found.
const leastUsagePeriod = time.Second

// observed is the processor time as it was found last, of the whole process.
var observed struct {
	mu      sync.Mutex
	at      time.Time
	spent   time.Duration
	percent float64
}

var processStart = time.Now()

// processUsage observes the process.
func processUsage() usage {
	o := &observed
	o.mu.Lock()
	defer o.mu.Unlock()
	now, spent := time.Now(), processTime()
	if o.at.IsZero() {
		o.at = processStart
	}
	if period := now.Sub(o.at); period >= leastUsagePeriod {
		o.percent = math.Round(1000*float64(spent-o.spent)/float64(period)) / 10
		o.at, o.spent = now, spent
	}
	return usage{residentBytes(), o.percent}
}
