package system

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/subject"
)

// What is decided here is what package subject decides, which this one does not stand on.
func TestFiltersAreComparedAsPackageSubjectDoes(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	filter := func() string {
		tokens := make([]string, 1+random.IntN(4))
		for i := range tokens {
			tokens[i] = []string{"a", "b", "*", "a*"}[random.IntN(4)]
		}
		if random.IntN(3) == 0 {
			tokens = append(tokens, ">")
		}
		return strings.Join(tokens, ".")
	}
	for range 20_000 {
		a, b := filter(), filter()
		if got, want := covers(a, b), subject.Subset(a, b); got != want {
			t.Fatalf("seed %d: covers(%q, %q) is %v, want %v", seed, a, b, got, want)
		}
		if got, want := collide(a, b), subject.Overlap(a, b); got != want {
			t.Fatalf("seed %d: collide(%q, %q) is %v, want %v", seed, a, b, got, want)
		}
		if got, want := literal(a), !subject.HasWildcard(a); got != want {
			t.Fatalf("seed %d: literal(%q) is %v, want %v", seed, a, got, want)
		}
	}
}
