package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgebus-io/edgebus/daemon"
)

// newSecretMode is the most that a new file may be read: by its group, which is that of a service.
const newSecretMode = 0o640

// writeSecret writes a file as a whole or not at all. One that is replaced keeps owner, group and mode; a new
// one is readable by nobody else, or, if root writes it, by the group that may read the configuration beside
// it: the server may be another user.
func writeSecret(path string, content []byte) error {
	return replaceFile(path, content, settleOwner, daemon.SyncFolder)
}

// replaceFile puts a file in place that settle has seen, and returns when a power cut leaves it there: a
// device that is told to be revoked must not be back afterwards, nor a file be empty.
func replaceFile(path string, content []byte, settle func(aside *os.File, path string) error, sync func(folder string) error) error {
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = aside.Write(content)
	if err == nil {
		err = settle(aside, path)
	}
	if err == nil {
		err = aside.Sync()
	}
	if closed := aside.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(aside.Name(), path)
	}
	if err != nil {
		os.Remove(aside.Name())
		return err
	}
	if err := sync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%s is written, and nobody knows whether it outlives a power cut: %w", path, err)
	}
	return nil
}

// settleOwner gives the file that will be at path the owner, group and mode that it should have there.
func settleOwner(aside *os.File, path string) error {
	most := fs.ModePerm
	like, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if os.Geteuid() != 0 {
			return nil
		}
		most = newSecretMode
		like, err = os.Stat(site{filepath.Dir(path)}.config())
		if errors.Is(err, fs.ErrNotExist) {
			return nil // up writes it last
		}
	}
	if err != nil {
		return err
	}
	if err := ownLike(aside, like); err != nil {
		return fmt.Errorf("%s must keep its owner and group, and this user may not see to that (%w): try sudo", path, err)
	}
	return aside.Chmod(like.Mode().Perm() & most)
}
