package auth

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// SyncFolder returns when what was last renamed or removed in a folder outlives a power cut: the names stand in
// the folder, which is written when the system likes. Where folders cannot be synced it does nothing: on
// Windows, on some network file systems, and where we may write in the folder and not read it.
func SyncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(folder)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
