package subject

import (
	"slices"
	"strings"
	"testing"
)

func TestValidity(t *testing.T) {
	for _, c := range []struct {
		text                              string
		valid, filter, literal, wildcards bool
	}{
		{"a", true, true, true, false},
		{"a.b.c", true, true, true, false},
		{"", false, false, false, false},
		{".", false, false, false, false},
		{".a", false, false, false, false},
		{"a.", false, false, false, false},
		{"a..b", false, false, false, false},
		{"*", true, true, false, true},
		{">", true, true, false, true},
		{"a.*.b", true, true, false, true},
		{"a.>", true, true, false, true},
		{"a.>.b", true, false, false, true},
		{">.>", true, false, false, true},
		{"foo*", true, true, true, false},
		{"f>o", true, true, true, false},
		{"**.>>", true, true, true, false},
		{"a b", true, false, true, false},
		{"a.b\f", true, false, true, false},
		{"a.\x00\x01.b", true, true, true, false},
		{"prüf.\xff", true, true, true, false},
	} {
		got := [...]bool{Valid(c.text), ValidFilter(c.text), ValidLiteral(c.text), HasWildcard(c.text)}
		if want := [...]bool{c.valid, c.filter, c.literal, c.wildcards}; got != want {
			t.Errorf("%q: Valid, ValidFilter, ValidLiteral, HasWildcard = %v, want %v", c.text, got, want)
		}
	}
}

func TestTokensAreCountedByDots(t *testing.T) {
	for text, want := range map[string]int{"": 1, "a": 1, "a.b": 2, "a..b": 3, "a.": 2} {
		if got := Tokens(text); got != want {
			t.Errorf("Tokens(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"a", "a", true},
		{"a", "A", false},
		{"a", "a.b", false},
		{"a.b", "a", false},
		{"w.>", "w", false},
		{"w.>", "w.a", true},
		{"w.>", "w.a.b.c", true},
		{">", "a", true},
		{"*", "a.b", false},
		{"*.*", "a.b", true},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
		{"foo*", "foobar", false},
		{"foo*", "foo*", true},
		{">", "a..b", false},
		{"a.*", "a.", false},
		{"*", "", false},
		{"a.*", "a.*", true},
		{"a.b", "a.*", false},
		{"a.*.b", "a.>.b", true},
		{"*.*", "a.>", true},
	} {
		if got := Matches(c.filter, []byte(c.subject)); got != c.want {
			t.Errorf("Matches(%q, %q) = %v", c.filter, c.subject, got)
		}
	}
}

func TestSubsetAndOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b                      string
		aHasAllOfB, bHasAllOfA, o bool
	}{
		{"a", "a", true, true, true},
		{"a", "b", false, false, false},
		{"a.*", "a.b", true, false, true},
		{"a.>", "a.*", true, false, true},
		{"a.>", "a.b.c", true, false, true},
		{">", "*.>", true, false, true},
		{">", ">", true, true, true},
		{"*.>", "*", false, false, false},
		{"a.>", "a", false, false, false},
		{"a.*.c", "*.b.*", false, false, true},
		{"a.*.c", "*.b", false, false, false},
		{"a.*.>", "*.b.c", false, false, true},
		{"*", "*a", true, false, true},
		{"*a", "b", false, false, false},
		{"a>", "a>", true, true, true},
	} {
		got := [...]bool{Subset(c.a, c.b), Subset(c.b, c.a), Overlap(c.a, c.b), Overlap(c.b, c.a)}
		if want := [...]bool{c.aHasAllOfB, c.bHasAllOfA, c.o, c.o}; got != want {
			t.Errorf("%q and %q: %v, want %v", c.a, c.b, got, want)
		}
	}
}

// texts is every text of up to four tokens out of these.
func texts(tokens ...string) (all []string) {
	layer := []string{""}
	for range 4 {
		var next []string
		for _, head := range layer {
			for _, token := range tokens {
				next = append(next, strings.TrimPrefix(head+"."+token, "."))
			}
		}
		all, layer = append(all, next...), next
	}
	return all
}

// The token x, which is in no filter, stands for all the others.
func TestSubsetAndOverlapAreWhatTheSubjectsSay(t *testing.T) {
	subjects := append(texts("a", "b", "x"), "a.a.a.a.a", "x.x.x.x.x", "a.b.x.a.b", "b.a.a.b.x")
	filters := slices.DeleteFunc(texts("a", "b", "*", ">"), func(s string) bool {
		return !ValidFilter(s) || Tokens(s) > 3
	})
	matched := make(map[string][]bool)
	for _, f := range filters {
		for _, s := range subjects {
			m := Matches(f, s)
			if m != slowMatches(f, s) {
				t.Fatalf("Matches(%q, %q) = %v", f, s, m)
			}
			matched[f] = append(matched[f], m)
		}
	}
	for _, a := range filters {
		for _, b := range filters {
			subset, overlap := true, false
			for i := range subjects {
				subset = subset && (matched[a][i] || !matched[b][i])
				overlap = overlap || matched[a][i] && matched[b][i]
			}
			if got := Subset(a, b); got != subset {
				t.Fatalf("Subset(%q, %q) = %v", a, b, got)
			}
			if got := Overlap(a, []byte(b)); got != overlap {
				t.Fatalf("Overlap(%q, %q) = %v", a, b, got)
			}
		}
	}
}

func TestTwoSubjectsAreComparedWithoutAllocating(t *testing.T) {
	filter, subject := strings.Repeat("long-token.", 9)+"*.>", []byte(strings.Repeat("long-token.", 9)+"a.b.c")
	yes := 0
	n := testing.AllocsPerRun(100, func() {
		if Matches(filter, subject) && Subset(filter, subject) && Overlap(subject, filter) && Valid(subject) && ValidFilter(filter) {
			yes++
		}
	})
	if n != 0 || yes == 0 {
		t.Fatalf("%v allocations, %d times yes", n, yes)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a.*.>", "a.b.c")
	f.Add("a..b", ">")
	f.Add("a.*", "a.*")
	f.Fuzz(func(t *testing.T, filter, subject string) {
		if Valid(filter) != Valid([]byte(filter)) || ValidFilter(filter) != ValidFilter([]byte(filter)) {
			t.Fatalf("%q is judged by what holds it", filter)
		}
		if want := !slices.Contains(strings.Split(filter, "."), ""); Valid(filter) != want {
			t.Fatalf("Valid(%q) = %v", filter, !want)
		}
		if !ValidFilter(filter) {
			return
		}
		if want := slowMatches(filter, subject); Matches(filter, []byte(subject)) != want {
			t.Fatalf("Matches(%q, %q) = %v", filter, subject, !want)
		}
		var x Index[*sub]
		var r Result[*sub]
		s := &sub{filter: filter}
		x.Insert(filter, "", s)
		x.Match([]byte(subject), &r)
		if want := Matches(filter, subject); (len(r.Plain) == 1) != want {
			t.Fatalf("Match(%q) at %q found %d", subject, filter, len(r.Plain))
		}
		if ValidFilter(subject) && Subset(filter, subject) && !Overlap(filter, subject) {
			t.Fatalf("%q contains %q without touching it", filter, subject)
		}
		if _, ok := x.Remove(filter, "", s); !ok || x.used() != 0 {
			t.Fatalf("%q does not go: %v, %d left", filter, ok, x.used())
		}
	})
}
