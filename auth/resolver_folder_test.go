package auth

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// What is told to have been stored or deleted is so after a power cut: the folder is synced, and after it was
// changed.
func TestDirectorySyncsItsFolderBeforeItSaysDone(t *testing.T) {
	key := newRealm(t).account("acme").key
	for _, hard := range []bool{false, true} {
		dir := t.TempDir()
		store, err := openDirectory(&ResolverOptions{Type: resolverFull, Dir: dir, AllowDelete: true, HardDelete: hard})
		if err != nil {
			t.Fatal(err)
		}
		defer store.close()
		var held []string // by the account's file, at each sync
		var fails error
		store.settle = func(folder string) error {
			content, _ := os.ReadFile(filepath.Join(folder, key+fileEnd))
			held = append(held, string(content))
			return errors.Join(fails, SyncFolder(folder))
		}
		want := []string{"one", "two", "two", "", ""}
		fails = errors.New("the disk is sick")
		for _, do := range []func() error{
			func() error { return store.save(key, "one") },
			func() error { return store.save(key, "two") },
			func() error { return store.saveIfNewer(key, "two") },
			func() error { return store.remove(key) },
			func() error { return store.remove(key) }, // which may have failed the first time
		} {
			if err := do(); !errors.Is(err, fails) {
				t.Errorf("step %d: %v, want what the sync said", len(held), err)
			}
			fails = nil
			if err := do(); err != nil {
				t.Errorf("step %d, again: %v", len(held), err)
			}
			fails = errors.New("the disk is sick")
		}
		for i, content := range held {
			if content != want[i/2] {
				t.Errorf("hard delete %v, sync %d: the file holds %q, want %q", hard, i+1, content, want[i/2])
			}
		}
		if len(held) != 2*len(want) {
			t.Errorf("hard delete %v: %d syncs, want %d", hard, len(held), 2*len(want))
		}
	}
}

func TestFolderIsSynced(t *testing.T) {
	dir := t.TempDir()
	if err := SyncFolder(dir); err != nil {
		t.Error(err)
	}
	if err := SyncFolder(filepath.Join(dir, "none")); err == nil && runtime.GOOS != "windows" {
		t.Error("a folder that is not there is synced")
	}
}

// A revocation must not fail because somebody has cleaned up.
func TestDirectoryThatWasRemovedIsMadeAgain(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	dir := filepath.Join(t.TempDir(), "jwt")
	store, err := openDirectory(&ResolverOptions{Type: resolverFull, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := store.save(m.key, "token"); err != nil {
		t.Fatal(err)
	}
	if token, err := store.fetch(m.key); token != "token" || err != nil {
		t.Errorf("got %q, %v", token, err)
	}
}
