//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps other commands from changing the same files until unlock. The system drops it with the process.
func (s site) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(s.lockFile(), os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s may not be changed by this user: try sudo", s.dir)
	case err != nil:
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if errors.Is(err, syscall.EWOULDBLOCK) && ctx.Err() == nil {
			pause(ctx, askEvery)
			continue
		}
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another command is changing what is in %s: try again when it has ended", s.dir)
		}
		return nil, fmt.Errorf("%s: %w", s.lockFile(), err)
	}
}
