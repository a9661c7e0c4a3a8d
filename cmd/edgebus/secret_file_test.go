package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/daemon"
)

// What a command says is done is done after a power cut: the folder is synced once the new file has its name.
func TestFolderIsSyncedBeforeAFileIsSaidToBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "devices.conf")
	asItIs := func(*os.File, string) error { return nil }
	for _, content := range []string{"one", "two"} {
		held := ""
		err := replaceFile(path, []byte(content), asItIs, func(folder string) error {
			held = string(mustRead(t, path))
			return daemon.SyncFolder(folder)
		})
		if err != nil || held != content {
			t.Errorf("%v; when its folder was synced the file held %q, want %q", err, held, content)
		}
	}
	sick := errors.New("the disk is sick")
	err := replaceFile(path, []byte("three"), asItIs, func(string) error { return sick })
	if !errors.Is(err, sick) || !strings.Contains(err.Error(), "devices.conf is written") {
		t.Errorf("a folder that cannot be synced: %v", err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left are %v, %v", files, err)
	}
}
