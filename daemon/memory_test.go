package daemon

import (
	"runtime/debug"
	"testing"
)

// What the operator allows is for the process as a whole; the runtime knows of its own part only.
func TestCollectorLeavesRoomForTheProgram(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
	for allowed, want := range map[int64]int64{
		64 << 20: 54 << 20, 512 << 20: 502 << 20, 16 << 20: 12 << 20,
	} {
		paceCollector(allowed)
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("of %d bytes the runtime may use %d, want %d", allowed, got, want)
		}
	}
}
