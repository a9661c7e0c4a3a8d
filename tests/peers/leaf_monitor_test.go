package peers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// /leafz and what /varz says of leaves have every key that a stock server's have, with values of the same
// kind; what edgebus says besides stands under names of its own.
func TestPagesOfLeafLinksHaveTheKeysOfTheReference(t *testing.T) {
	t.Parallel()
	kinds := func(kind process.Kind, path string, pick func(page map[string]any) map[string]any) map[string]string {
		hub := layout{kind: kind, hub: true, name: "hub", block: "authorization { users: [ { user: edge, password: p } ] }"}.start(t)
		leaf := layout{kind: kind, name: "edge", remotes: []string{remote("nats-leaf://edge:p@"+hub.leafs, `deny_exports: ["secret.>"]`)}}.start(t)
		agree(t, hub.client(t), leaf.client(t))
		from := hub
		if strings.HasPrefix(path, "/varz") {
			from = leaf
		}
		var page map[string]any
		from.page(t, path, &page)
		found := map[string]string{}
		for key, value := range pick(page) {
			found[key] = fmt.Sprintf("%T", value)
		}
		return found
	}
	for _, page := range []struct {
		path string
		pick func(map[string]any) map[string]any
		ours []string
	}{
		{"/leafz?subs=1", func(page map[string]any) map[string]any { return page }, nil},
		{"/leafz?subs=1", func(page map[string]any) map[string]any { return page["leafs"].([]any)[0].(map[string]any) }, []string{"link"}},
		{"/varz", func(page map[string]any) map[string]any {
			remote := page["leaf"].(map[string]any)["remotes"].([]any)[0].(map[string]any)
			remote["leafnodes"] = page["leafnodes"]
			return remote
		}, nil},
	} {
		want, got := kinds(process.Reference, page.path, page.pick), kinds(process.Edgebus, page.path, page.pick)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got[key] != want[key] {
				t.Errorf("%s: %s is %q, and %q at the reference", page.path, key, got[key], want[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if want[key] == "" && !slices.Contains(page.ours, key) {
				t.Errorf("%s: %s is not one of the reference's keys", page.path, key)
			}
		}
	}
}

// A hub that is not there is on the page, with why and what to do.
func TestPageSaysWhyAHubIsNotReached(t *testing.T) {
	t.Parallel()
	nobody := address(process.FreePort(t))
	leaf := layout{kind: process.Edgebus, remotes: []string{remote(nobody)}}.start(t)
	process.Eventually(t, patience, "the page has a reason", func() bool {
		var page struct {
			Count   int `json:"leafnodes"`
			Remotes []struct {
				URL, Reason, Remedy string
				Up                  bool
				Attempts            int
			}
		}
		leaf.page(t, "/leafz", &page)
		return page.Count == 0 && len(page.Remotes) == 1 && !page.Remotes[0].Up && page.Remotes[0].Attempts > 1 &&
			strings.Contains(page.Remotes[0].Reason, "refused") && strings.Contains(page.Remotes[0].Remedy, "nothing listens")
	})
}
