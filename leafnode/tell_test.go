package leafnode

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/engine"
)

// Whoever looks what is there may come a thousand times in a minute.
func TestLookersHideNoWarning(t *testing.T) {
	s := newSite(t, "site", nil)
	for range 5 * mostLines {
		s.n.logLimited(slog.LevelDebug, "leaf refused")
	}
	// A window of ten seconds begins now, and not at some time in between.
	s.n.warnings.mu.Lock()
	s.n.warnings.window = engine.Now()
	s.n.warnings.mu.Unlock()
	s.n.logLimited(slog.LevelWarn, "something to be mended")
	if !s.log.has("something to be mended") {
		t.Errorf("the warning is not there:\n%s", s.log)
	}
	for range 5 * mostLines {
		s.n.logLimited(slog.LevelWarn, "something else")
	}
	if n := strings.Count(s.log.String(), "something else"); n != mostLines-1 {
		t.Errorf("%d warnings are written, want %d", n, mostLines-1)
	}
}
