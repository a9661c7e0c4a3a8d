//go:build unix

package transcripts

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var name = regexp.MustCompile(`^[a-z]+/[a-z0-9_]+$`)

// named gives the transcripts that a page's tables name.
func named(t *testing.T, page string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		for word := range strings.FieldsSeq(strings.ReplaceAll(line, "|", " ")) {
			if strings.HasPrefix(line, "|") && name.MatchString(word) {
				found[word] = true
			}
		}
	}
	return found
}

func TestCoverageNamesEveryTranscript(t *testing.T) {
	have := map[string]bool{}
	for _, transcript := range readAll(t) {
		have[transcript.Name] = true
		if strings.TrimSpace(transcript.About) == "" {
			t.Errorf("%s does not say what it shows", transcript.Name)
		}
	}
	covered := named(t, "coverage.md")
	for _, missing := range slices.Sorted(maps.Keys(covered)) {
		if !have[missing] {
			t.Errorf("coverage.md names %s, which does not exist", missing)
		}
	}
	for _, extra := range slices.Sorted(maps.Keys(have)) {
		if !covered[extra] {
			t.Errorf("%s is not named in coverage.md", extra)
		}
	}
}

func TestDifferencesAreExplained(t *testing.T) {
	explained := named(t, "differences.md")
	for _, transcript := range readAll(t) {
		if transcript.Differs() != explained[transcript.Name] {
			t.Errorf("%s: has lines for one server: %v; is in differences.md: %v", transcript.Name, transcript.Differs(), explained[transcript.Name])
		}
		delete(explained, transcript.Name)
	}
	for _, gone := range slices.Sorted(maps.Keys(explained)) {
		t.Errorf("differences.md names %s, which does not exist", gone)
	}
}
