package daemon

import (
	"slices"
	"testing"
)

// As in nats-server, so that whoever chooses servers by tag finds the same.
func TestTagsAreFolded(t *testing.T) {
	m := MonitorOptions{Tags: []string{"Site:North", " rack:7", "", "site:north"}}
	m.fold()
	if want := []string{"site:north", "rack:7"}; !slices.Equal(m.Tags, want) {
		t.Errorf("%q, want %q", m.Tags, want)
	}
}
