package daemon

import (
	"context"

	"github.com/edgebus-io/edgebus/leafnode"
)

// TryRemotes joins every URL of the remotes that the configuration names once, and leaves again. A server
// that runs with the same configuration is not disturbed.
func (l *Loaded) TryRemotes(ctx context.Context) ([]leafnode.Trial, error) {
	return leafnode.Try(ctx, l.Options.Leaf.Options)
}
