//go:build linux || darwin

package main

import "syscall"

// mountedReadOnly is ST_RDONLY of Linux and MNT_RDONLY of Darwin.
const mountedReadOnly = 1

// diskSpace looks at the file system of a folder.
func diskSpace(folder string) (d diskState, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return d, err
	}
	return diskState{
		free:     uint64(s.Bavail) * uint64(s.Bsize),
		total:    uint64(s.Blocks) * uint64(s.Bsize),
		readOnly: s.Flags&mountedReadOnly != 0,
	}, nil
}
