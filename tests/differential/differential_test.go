//go:build linux

package differential

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed of the first configuration; 0: by chance")
	configsFlag = flag.Int("configs", 0, "how many configurations to make up; 0: 200, or 40 with -short")
	shrinkFlag  = flag.Bool("shrink", true, "leave out steps of a scenario that differs, as long as it does")
	againstFlag = flag.String("against", string(process.Edgebus), "what to compare with the reference; nats-server: with itself")
)

func TestMain(m *testing.M) { process.Main(m) }

// TestGeneratedConfigurationsAreDecidedAlike is the test that this package is for.
func TestGeneratedConfigurationsAreDecidedAlike(t *testing.T) {
	seed, configs := *seedFlag, *configsFlag
	if seed == 0 {
		seed = 1 + rand.Uint64N(1<<40)
	}
	if configs == 0 {
		configs = 200
		if testing.Short() {
			configs = 40
		}
	}
	t.Logf("seeds %d to %d", seed, seed+uint64(configs)-1)
	process.Binary(t, process.Reference)
	process.Binary(t, process.Kind(*againstFlag))
	var total count
	t.Run("seeds", func(t *testing.T) {
		for i := range configs {
			seed := seed + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				s, features := generate(seed)
				total.add(s, features, compare(t, s))
			})
		}
	})
	total.report(t)
}

// compare plays a scenario against both and says what the reference has done.
func compare(t *testing.T, s *scenario) outcome {
	t.Helper()
	other := process.Kind(*againstFlag)
	f := tryBoth(t, other, s)
	if f.err != nil {
		t.Fatalf("%v\n%v", f.err, s)
	}
	if !f.differs() {
		return f.want
	}
	// Some things are chance even for the reference: what it does again, it has meant.
	for range repeats {
		again := tryBoth(t, other, s)
		if again.err == nil && !again.differs() {
			t.Logf("not every time:\n%s", f.describe(s))
			unsteady.Add(1)
			return again.want
		}
	}
	want := f.want
	if isRefused(f.want) || isRefused(f.got) {
		s = s.without(0, len(s.steps))
	} else if *shrinkFlag {
		s = shrink(t, other, s)
		f = tryBoth(t, other, s)
	}
	t.Errorf("the servers differ\n%v%s", s, f.describe(s))
	return want
}

// repeats is how often a difference must be seen again: two servers that each choose one of two members of
// a queue group differ half of the time.
const repeats = 16

// unsteady counts differences that were not seen again.
var unsteady atomic.Int64

// A finding is what both have done.
type finding struct {
	want, got outcome
	refusals  []error
	at        int   // the first step that differs, or -1
	failed    error // of the server that is tried
	err       error // of the reference: there is nothing to compare with
}

// differs also holds for a server that did the same and failed in another way.
func (f finding) differs() bool { return f.at >= 0 || f.failed != nil }

func tryBoth(t testing.TB, other process.Kind, s *scenario) (f finding) {
	var err error
	if f.want, err = play(t, process.Reference, s, nil); err != nil && !isRefused(f.want) {
		return finding{err: err}
	} else if err != nil {
		f.refusals = append(f.refusals, err)
	}
	if f.got, err = play(t, other, s, f.want); isRefused(f.got) {
		f.refusals = append(f.refusals, err)
	} else {
		f.failed = err
	}
	f.at = difference(f.want, f.got)
	return f
}

// difference is the first step that differs, or -1.
func difference(want, got outcome) int {
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || !slices.Equal(want[i], got[i]) {
			return i
		}
	}
	return -1
}
