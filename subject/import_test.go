package subject

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestImportsGoBothWays(t *testing.T) {
	for _, c := range []struct{ source, destination, from, to string }{
		{"ev.>", "fromA.ev.>", "ev.a.b", "fromA.ev.a.b"},
		{"ev.*", "ev.*", "ev.a", "ev.a"},
		{">", "p.>", "a", "p.a"},
		{">", ">", "a.b", "a.b"},
		{"o.*.*", "r.$2.$1", "o.1.2", "r.2.1"},
		{"o.*.*.*", "r.$2.$3.$1", "o.1.2.3", "r.2.3.1"},
		{"o.*.*", "r.{{wildcard(2)}}.x.*", "o.1.2", ""}, // the first "*" is $1
		{"o.*", "r.*.x", "o.1", "r.1.x"},
		{"a", "b.c", "a", "b.c"},
		{"*.>", "$1.k.>", "a.b.c", "a.k.b.c"},
	} {
		forward, back, err := NewReversible(c.source, c.destination)
		if err != nil {
			t.Errorf("%s to %s: %v", c.source, c.destination, err)
			continue
		}
		to := string(forward.AppendMatched(nil, []byte(c.from)))
		if c.to != "" && to != c.to {
			t.Errorf("%s to %s: %s becomes %s, want %s", c.source, c.destination, c.from, to, c.to)
		}
		if from := string(back.AppendMatched(nil, []byte(to))); from != c.from {
			t.Errorf("%s to %s: %s goes back to %s, want %s", c.source, c.destination, to, from, c.from)
		}
	}
}

func TestImportsThatCannotBeUndoneAreRefused(t *testing.T) {
	for _, c := range [][2]string{
		{"o.*.*", "r.$1"}, {"o.*", "r.{{partition(3,1)}}"}, {"o.*", "r.$2"}, {"o.>", "r"}, {"o.*", "r..$1"},
	} {
		if _, _, err := NewReversible(c[0], c[1]); err == nil {
			t.Errorf("%s to %s is accepted", c[0], c[1])
		}
	}
}

func TestFiltersGoBackThroughAnImport(t *testing.T) {
	_, back, err := NewReversible("o.*.*.>", "r.$2.$1.>")
	if err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]string{
		"r.*.1.>": "o.1.*.>", "r.2.*.x.*": "o.*.2.x.*", "r.2.1.>": "o.1.2.>",
	} {
		if got := string(back.AppendMatched(nil, []byte(filter))); got != want {
			t.Errorf("%s goes back to %s, want %s", filter, got, want)
		}
	}
}

func TestIntersectMatchesWhatBothMatch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func(wild bool) string {
		words := []string{"a", "b"}
		if wild {
			words = append(words, "*")
		}
		var tokens []string
		for range 1 + random.IntN(4) {
			tokens = append(tokens, words[random.IntN(len(words))])
		}
		if wild && random.IntN(3) == 0 {
			tokens[len(tokens)-1] = ">"
		}
		return strings.Join(tokens, ".")
	}
	for range 20000 {
		a, b, literal := text(true), text(true), text(false)
		both, ok := Intersect(a, b)
		if ok != Overlap(a, b) {
			t.Fatalf("%s and %s: ok is %v", a, b, ok)
		}
		want := Matches(a, literal) && Matches(b, literal)
		if got := ok && Matches(both, literal); got != want {
			t.Fatalf("%s and %s give %s: matches %s: %v, want %v", a, b, both, literal, got, want)
		}
		if ok && !ValidFilter(both) {
			t.Fatal(fmt.Sprintf("%s and %s give %s", a, b, both))
		}
	}
}
