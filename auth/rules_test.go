package auth

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/subject"
)

func randomTokens(rng *rand.Rand, words []string, most int) []string {
	tokens := make([]string, 1+rng.IntN(most))
	for i := range tokens {
		tokens[i] = words[rng.IntN(len(words))]
	}
	return tokens
}

func randomFilter(rng *rand.Rand) string {
	tokens := randomTokens(rng, []string{"a", "b", "c", "d", "e", "f", "*", "*"}, 4)
	if rng.IntN(4) == 0 {
		tokens[len(tokens)-1] = ">"
	}
	return strings.Join(tokens, ".")
}

// TestRuleTreeSaysWhatALoopOverAllRulesSays compares with subject.Matches.
func TestRuleTreeSaysWhatALoopOverAllRulesSays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		o := &SubjectOptions{}
		for range 1 + rng.IntN(12) {
			o.Allow = append(o.Allow, randomFilter(rng))
		}
		for range rng.IntN(6) {
			o.Deny = append(o.Deny, randomFilter(rng))
		}
		p := mustPermissions(t, PermissionOptions{Publish: o})
		for range 50 {
			s := strings.Join(randomTokens(rng, []string{"a", "b", "c", "d", "e", "f", "g", "*", ">", ""}, 5), ".")
			want := matchesOne(o.Allow, s) && !matchesOne(o.Deny, s)
			if got := p.MayPublish([]byte(s)); got != want {
				t.Fatalf("allow %q deny %q: publish %q is %v, want %v", o.Allow, o.Deny, s, got, want)
			}
		}
	}
}

func matchesOne(filters []string, s string) bool {
	for _, f := range filters {
		if subject.Matches(f, s) {
			return true
		}
	}
	return false
}

// twentyRules is what a user of a plant may have.
func twentyRules() *SubjectOptions {
	o := &SubjectOptions{}
	for i := range 14 {
		o.Allow = append(o.Allow, fmt.Sprintf("plant.line%d.*.>", i))
	}
	o.Allow = append(o.Allow, "_INBOX.>", "status.*")
	o.Deny = []string{"plant.*.control.>", "plant.line3.sensor.secret", "*.admin", "status.root"}
	return o
}

func plantSubjects(n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, "plant.line%d.sensor.t%d", i%14, i*7919%n)
	}
	return all
}

func BenchmarkMayPublishOfTwentyRules(b *testing.B) {
	p, err := NewPermissions(&PermissionOptions{Publish: twentyRules()})
	if err != nil {
		b.Fatal(err)
	}
	subjects := plantSubjects(10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !p.MayPublish(subjects[i%len(subjects)]) {
			b.Fatal(string(subjects[i%len(subjects)]))
		}
	}
}
