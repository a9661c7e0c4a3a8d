package daemon

import "github.com/edgebus-io/edgebus/subject"

// ValidFilter reports whether text may stand in permissions: a subject, or one with wildcards.
func ValidFilter(text string) bool { return subject.ValidFilter(text) }
