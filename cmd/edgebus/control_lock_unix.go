//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// lock keeps other commands from changing the same files until unlock. The system drops it with the process.
func (s site) lock() (unlock func(), err error) {
	file, err := os.OpenFile(s.lockFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", s.lockFile(), err)
	}
	return func() { file.Close() }, nil
}
