package leafnode

import (
	"log/slog"
	"strings"
	"testing"
)

// Whoever looks what is there may come a thousand times in a minute.
func TestLookersHideNoWarning(t *testing.T) {
	s := newSite(t, "site", nil)
	for range 5 * mostLines {
		s.n.logLimited(slog.LevelDebug, "leaf refused")
	}
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
