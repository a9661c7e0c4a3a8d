package auth

import (
	"os"
	"path/filepath"
	"testing"
)

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
