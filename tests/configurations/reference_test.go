//go:build linux

package configurations

import (
	"errors"
	"fmt"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// tries is how often the reference may be asked: it walks through the keys of a block in the order of a
// Go map, and where two of them do not go together it is chance which one it sees first.
const tries = 20

// What is recorded is what the reference says.
func TestTheReferenceSaysWhatIsRecorded(t *testing.T) {
	process.Binary(t, process.Reference)
	for i, each := range readRecord(t) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range tries {
				s, err := process.Try(t, process.Options{Kind: process.Reference, Config: each.text})
				if err != nil && !errors.Is(err, process.ErrEnded) {
					t.Fatal(err)
				}
				s.Kill()
				if each.loads == (err == nil) {
					return
				}
			}
			t.Errorf("%s\nloads: %v, and never the other way", each.line, !each.loads)
		})
	}
}
