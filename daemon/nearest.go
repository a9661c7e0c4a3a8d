package daemon

import "github.com/edgebus-io/edgebus/config"

// Nearest finds the known name that a wrong one was probably meant to be, as for a key of a configuration;
// empty: none is near.
func Nearest(wrong string, known []string) string { return config.Nearest(wrong, known) }
