//go:build linux || darwin

package main

import "syscall"

// diskSpace says how much room the file system of a folder has for us, and has in all, in bytes.
func diskSpace(folder string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return 0, 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}
