package client

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

// Seeds are read by code of our own; the library of those who defined them is the judge.
func TestKeysAreThoseOfTheLibrary(t *testing.T) {
	for range 50 {
		pair := must(nkeys.CreateUser())
		ours, err := newSigner(must(pair.Seed()), "file")
		if err != nil {
			t.Fatal(err)
		}
		if ours.public() != must(pair.PublicKey()) {
			t.Errorf("public key %s, want %s", ours.public(), must(pair.PublicKey()))
		}
		if !bytes.Equal(ours.sign([]byte("nonce")), must(pair.Sign([]byte("nonce")))) {
			t.Error("another signature")
		}
	}
}

func TestUnusableKeysAreRefusedWithoutBeingTold(t *testing.T) {
	account := must(nkeys.CreateAccount())
	user := string(must(must(nkeys.CreateUser()).Seed()))
	texts := map[string]string{
		"an account's": string(must(account.Seed())),
		"damaged":      user[:20] + swapped(user[20]) + user[21:],
		"cut":          user[:57],
		"empty":        "",
		"not base32":   "S" + strings.Repeat("1", 57),
	}
	for name, text := range texts {
		file := filepath.Join(t.TempDir(), "seed")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for kind, option := range map[string]Option{"nkey": NKey(file), "creds": Creds(file)} {
			_, err := newOptions([]Option{option})
			if !errors.Is(err, ErrCredentials) {
				t.Errorf("%s as %s: %v", name, kind, err)
				continue
			}
			if !strings.Contains(err.Error(), file) || len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
				t.Errorf("%s as %s: unfit error %v", name, kind, err)
			}
		}
	}
	if _, err := newOptions([]Option{Creds("/nowhere")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func swapped(letter byte) string {
	if letter == 'A' {
		return "B"
	}
	return "A"
}
