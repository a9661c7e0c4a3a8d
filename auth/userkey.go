package auth

import (
	"fmt"

	"github.com/nats-io/nkeys"
)

// NewUserKey makes an NKey for a user: the public half is for the server's configuration, the seed for
// nobody but the user.
func NewUserKey() (public, seed string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", fmt.Errorf("auth: make a key: %w", err)
	}
	defer pair.Wipe()
	if public, err = pair.PublicKey(); err != nil {
		return "", "", fmt.Errorf("auth: make a key: %w", err)
	}
	secret, err := pair.Seed()
	if err != nil {
		return "", "", fmt.Errorf("auth: make a key: %w", err)
	}
	return public, string(secret), nil
}
