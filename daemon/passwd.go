package daemon

import "github.com/edgebus-io/edgebus/auth"

// HashPassword makes the bcrypt hash that stands for a password in a configuration file.
func HashPassword(password string, cost int) (string, error) {
	return auth.HashPassword(password, cost)
}

// NewUserKey makes an NKey for a user: the public half is for a configuration file, the seed for the user.
func NewUserKey() (public, seed string, err error) { return auth.NewUserKey() }
