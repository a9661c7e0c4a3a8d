//go:build !linux

package daemon

// monotonicMicroseconds is for systemd, which is not there.
func monotonicMicroseconds() int64 { return 0 }
