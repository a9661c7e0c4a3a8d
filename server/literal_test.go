package server

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/subject"
)

// What is decided here is what package subject decides, which this one does not stand on.
func TestLiteralsAreThoseOfPackageSubject(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		tokens := make([]string, random.IntN(4))
		for i := range tokens {
			tokens[i] = []string{"a", "", "*", ">", "a*", ">>"}[random.IntN(6)]
		}
		text := strings.Join(tokens, ".")
		if got, want := isLiteral([]byte(text)), subject.ValidLiteral(text); got != want {
			t.Fatalf("seed %d: %q is literal: %v, want %v", seed, text, got, want)
		}
	}
}
