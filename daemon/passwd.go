package daemon

import "github.com/edgebus-io/edgebus/auth"

// HashPassword makes the bcrypt hash that stands for a password in a configuration file.
func HashPassword(password string, cost int) (string, error) {
	return auth.HashPassword(password, cost)
}
