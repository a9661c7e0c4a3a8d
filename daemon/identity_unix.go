//go:build unix

package daemon

import (
	"fmt"
	"os"
	"syscall"
)

// fileIdentity gives device and inode as systemd writes them into JOURNAL_STREAM.
func fileIdentity(file *os.File) (string, bool) {
	info, err := file.Stat()
	if err != nil {
		return "", false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), true
}

// maxDescriptors is how many sockets and files this process may have open; 0 if unknown.
func maxDescriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur)
}
