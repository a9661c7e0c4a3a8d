package daemon

import (
	"syscall"
	"unsafe"
)

// monotonicMicroseconds is CLOCK_MONOTONIC as systemd reads it.
func monotonicMicroseconds() int64 {
	const clockMonotonic = 1
	var at syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&at)), 0); errno != 0 {
		return 0
	}
	return at.Nano() / 1000
}
