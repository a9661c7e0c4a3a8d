//go:build !unix

package daemon

import (
	"runtime"
	"time"
)

// processTime is not known here.
func processTime() time.Duration { return 0 }

// residentBytes is what the runtime has of the system.
func residentBytes() int64 {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.Sys - memory.HeapReleased)
}
