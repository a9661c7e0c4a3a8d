//go:build linux

package differential

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// describe says what differs.
func (f finding) describe(s *scenario) string {
	var b strings.Builder
	want, got := f.want, f.got
	if at := f.at; at >= 0 {
		what := "the configuration"
		if at < len(s.steps) {
			what = "step " + s.steps[at].String()
		}
		fmt.Fprintf(&b, "--- %s\nwant: %s\ngot:  %s\n", what, linesAt(want, at), linesAt(got, at))
	}
	for _, err := range append(f.refusals, f.failed) {
		if err != nil {
			fmt.Fprintf(&b, "--- %v\n", err)
		}
	}
	return b.String()
}

func isRefused(o outcome) bool { return len(o) == 1 && slices.Equal(o[0], refused[0]) }

func linesAt(o outcome, at int) string {
	switch {
	case isRefused(o):
		return refused[0][0]
	case at >= len(o):
		return "(did not get so far)"
	case len(o[at]) == 0:
		return "(nothing)"
	}
	return strings.Join(o[at], "\n      ")
}

// shrinkFor bounds how long steps are left out one after the other.
const shrinkFor = 15 * time.Second

// shrink leaves out steps as long as the servers differ.
func shrink(t *testing.T, other process.Kind, s *scenario) *scenario {
	deadline := time.Now().Add(shrinkFor)
	differ := func(less *scenario) bool {
		f := tryBoth(t, other, less)
		return f.err == nil && f.differs()
	}
	for size := len(s.steps) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(s.steps) && time.Now().Before(deadline); {
			if less := s.without(from, from+size); differ(less) {
				s = less
			} else {
				from += size
			}
		}
	}
	return s
}

// A count is what has occurred in all configurations.
type count struct {
	mu              sync.Mutex
	features        map[feature]int
	configs         int
	allowed, denied int
	delivered       int
	refusedConfigs  int
}

func (c *count) add(s *scenario, features map[feature]bool, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.features == nil {
		c.features = make(map[feature]int)
	}
	c.configs++
	if isRefused(o) {
		c.refusedConfigs++
		// What such a configuration has in it has not been tried.
		features = map[feature]bool{fWrong: features[fWrong]}
	}
	for f, is := range features {
		if is {
			c.features[f]++
		}
	}
	if isRefused(o) {
		return
	}
	for i, lines := range o {
		for _, line := range lines {
			if strings.Contains(line, "MSG ") {
				c.delivered++
			}
		}
		switch s.steps[i].verb {
		case "login", "sub", "pub", "hpub", "big":
		default:
			continue
		}
		switch {
		case len(lines) == 1 && lines[0] == "not connected":
		case slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "-ERR") }):
			c.denied++
		default:
			c.allowed++
		}
	}
}

// Quotas, so that a test that says yes has tried something.
const (
	quotaConfigs  = 200 // below so many configurations there are none
	quotaFeature  = 20  // configurations with each feature
	quotaDecision = 30  // per cent of attempts allowed, and denied
	mostUnsteady  = 50  // one configuration of so many may differ and not do so again
)

func (c *count) report(t *testing.T) {
	all := max(1, c.allowed+c.denied)
	t.Logf("%d configurations (%d refused by the reference), %d attempts: %d %% allowed, %d %% denied; %d messages delivered",
		c.configs, c.refusedConfigs, all, 100*c.allowed/all, 100*c.denied/all, c.delivered)
	var each []string
	for _, f := range slices.Sorted(maps.Keys(c.features)) {
		each = append(each, fmt.Sprintf("%s %d", f, c.features[f]))
	}
	t.Logf("configurations with: %s", strings.Join(each, ", "))
	if n := int(unsteady.Load()); n > max(1, c.configs/mostUnsteady) {
		t.Errorf("%d differences were not seen again: one of the servers throws dice", n)
	}
	if c.configs < quotaConfigs || t.Failed() {
		return
	}
	if 100*c.allowed < quotaDecision*all || 100*c.denied < quotaDecision*all {
		t.Errorf("%d %% of attempts allowed, %d %% denied; both must be %d %% or more", 100*c.allowed/all, 100*c.denied/all, quotaDecision)
	}
	for _, f := range allFeatures {
		if c.features[f] < quotaFeature {
			t.Errorf("only %d configurations with %s", c.features[f], f)
		}
	}
}
