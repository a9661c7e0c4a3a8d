package subject

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sub is an entry as small as one can be.
type sub struct {
	filter, queue string
	slot          int32
}

func (s *sub) Subject() string { return s.filter }
func (s *sub) Queue() string   { return s.queue }
func (s *sub) Slot() *int32    { return &s.slot }

type model struct {
	index Index[*sub]
	all   []*sub
}

func (m *model) members(filter, queue string) (n int) {
	for _, s := range m.all {
		if s.filter == filter && s.queue == queue {
			n++
		}
	}
	return n
}

func (m *model) insert(t *testing.T, filter, queue string) {
	t.Helper()
	s := &sub{filter: filter, queue: queue}
	m.all = append(m.all, s)
	if got, want := m.index.Insert(filter, queue, s), m.members(filter, queue); got != want {
		t.Fatalf("Insert(%q, %q) = %d members, want %d", filter, queue, got, want)
	}
}

func (m *model) remove(t *testing.T, i int) {
	t.Helper()
	s := m.all[i]
	m.all = slices.Delete(m.all, i, i+1)
	got, ok := m.index.Remove(s.filter, s.queue, s)
	if want := m.members(s.filter, s.queue); got != want || !ok {
		t.Fatalf("Remove(%q, %q) = %d, %v, want %d members", s.filter, s.queue, got, ok, want)
	}
	if got, ok := m.index.Remove(s.filter, s.queue, s); ok || got != 0 {
		t.Fatalf("Remove(%q, %q) a second time = %d, %v", s.filter, s.queue, got, ok)
	}
}

// slowMatches is Matches as the protocol's text has it.
func slowMatches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	if slices.Contains(s, "") {
		return false
	}
	for i, token := range f {
		if token == ">" && i == len(f)-1 {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(f) == len(s)
}

// check compares one match with a loop over all entries.
func (m *model) check(t *testing.T, subject string, r *Result[*sub]) {
	t.Helper()
	r.Reset()
	m.index.Match([]byte(subject), r)
	want, got := map[*sub]bool{}, map[*sub]bool{}
	for _, s := range m.all {
		if slowMatches(s.filter, subject) {
			want[s] = true
		}
	}
	note := func(s *sub, queue string) {
		switch {
		case got[s]:
			t.Fatalf("Match(%q): %q %q twice", subject, s.filter, s.queue)
		case !want[s]:
			t.Fatalf("Match(%q): %q %q does not belong", subject, s.filter, s.queue)
		case s.queue != queue:
			t.Fatalf("Match(%q): %q %q in group %q", subject, s.filter, s.queue, queue)
		}
		got[s] = true
	}
	for _, s := range r.Plain {
		note(s, "")
	}
	names := map[string]bool{}
	for _, g := range r.Groups {
		if names[g.Queue] || g.Queue == "" || len(g.Members) == 0 {
			t.Fatalf("Match(%q): group %q with %d members, seen before: %v", subject, g.Queue, len(g.Members), names[g.Queue])
		}
		names[g.Queue] = true
		for _, s := range g.Members {
			note(s, g.Queue)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("Match(%q) found %d entries, want %d", subject, len(got), len(want))
	}
}

// checkWalk compares all that is in the index with all that should be.
func (m *model) checkWalk(t *testing.T) {
	t.Helper()
	if m.index.Len() != len(m.all) {
		t.Fatalf("Len = %d, want %d", m.index.Len(), len(m.all))
	}
	// Nodes that a literal leads to: one for each beginning of a filter up to its last wildcard.
	beginnings := map[string]bool{}
	for _, s := range m.all {
		for i, c := range s.filter[:split(s.filter)] {
			if c == '.' && s.filter[:i] != "*" && !strings.HasSuffix(s.filter[:i], ".*") {
				beginnings[s.filter[:i]] = true
			}
		}
	}
	if m.index.nodes.used != len(beginnings) {
		t.Fatalf("%d nodes, want %d", m.index.nodes.used, len(beginnings))
	}
	seen := map[*sub]bool{}
	m.index.Walk(func(filter, queue string, members []*sub) bool {
		for _, s := range members {
			if seen[s] || s.filter != filter || s.queue != queue {
				t.Fatalf("Walk shows %q %q at %q %q, before: %v", s.filter, s.queue, filter, queue, seen[s])
			}
			seen[s] = true
		}
		return true
	})
	for _, s := range m.all {
		if !seen[s] {
			t.Fatalf("Walk did not show %q %q", s.filter, s.queue)
		}
	}
	if len(seen) != len(m.all) {
		t.Fatalf("Walk showed %d entries, want %d", len(seen), len(m.all))
	}
}

func randomText(rng *rand.Rand, words []string) string {
	tokens := make([]string, 1+rng.IntN(5))
	for i := range tokens {
		tokens[i] = words[rng.IntN(len(words))]
	}
	return strings.Join(tokens, ".")
}

func TestIndexFindsWhatALoopFinds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	inFilters := []string{"a", "b", "c", "aa", "*", "*", "*", ">", "*a", "a>"}
	inSubjects := []string{"a", "b", "c", "aa", "a", "b", "c", "*", ">", "", "*a", "a>"}
	queues := []string{"", "", "", "q", "p"}
	for i := range 40 {
		queues = append(queues, fmt.Sprint("many", i))
	}
	for round := range 30 {
		m, r := &model{}, &Result[*sub]{}
		choice := queues[:4+rng.IntN(2)]
		if round%5 == 0 {
			choice = queues
		}
		for range 1200 {
			filter := randomText(rng, inFilters)
			switch n := rng.IntN(10); {
			case n < 4:
				if ValidFilter(filter) {
					m.insert(t, filter, choice[rng.IntN(len(choice))])
				}
			case n < 7 && len(m.all) > rng.IntN(200):
				m.remove(t, rng.IntN(len(m.all)))
			case n == 7:
				if got, ok := m.index.Remove(filter, "q", &sub{filter: filter, queue: "q"}); ok || got != 0 {
					t.Fatalf("Remove of a stranger at %q = %d, %v", filter, got, ok)
				}
			default:
				m.check(t, randomText(rng, inSubjects), r)
			}
		}
		m.checkWalk(t)
		for len(m.all) > 0 {
			m.remove(t, rng.IntN(len(m.all)))
		}
		m.checkWalk(t)
		if m.index.used() != 0 {
			t.Fatalf("%d things are left in an empty index: %+v", m.index.used(), m.index)
		}
	}
}

// used counts what an index holds besides entries and its root.
func (x *Index[T]) used() int {
	n := len(x.filters.hashes) + len(x.nodes.hashes) + len(x.sets) + len(x.free)
	if x.root.star != nil {
		n++
	}
	return n + int(x.root.kids+x.root.ends)
}

func TestOneGroupByNameWhateverTheFilter(t *testing.T) {
	m := &model{}
	for _, filter := range []string{"foo.bar", "foo.*", "*.bar", "foo.>", ">", "foo.bar"} {
		m.insert(t, filter, "q")
	}
	m.insert(t, "foo.*", "p")
	var r Result[*sub]
	m.index.Match([]byte("foo.bar"), &r)
	if len(r.Groups) != 2 || len(r.Plain) != 0 {
		t.Fatalf("%d groups and %d plain entries, want 2 and 0", len(r.Groups), len(r.Plain))
	}
	m.check(t, "foo.bar", &r)
}

func TestRemoveOfTheWrongQueueLeavesTheEntry(t *testing.T) {
	m := &model{}
	m.insert(t, "a.b", "q")
	for range 2 { // alone, then with another beside it
		s := m.all[0]
		for _, queue := range []string{"", "p"} {
			if got, ok := m.index.Remove("a.b", queue, s); ok || got != 0 {
				t.Fatalf("Remove from queue %q = %d, %v", queue, got, ok)
			}
		}
		if _, ok := m.index.Remove("a.*", "q", s); ok {
			t.Fatal("removed by another filter")
		}
		m.check(t, "a.b", &Result[*sub]{})
		m.insert(t, "a.b", "")
	}
	m.checkWalk(t)
}

func TestWalkStopsWhenTold(t *testing.T) {
	m := &model{}
	for _, filter := range []string{"a", "b", "*", ">", "a.*", "a.*.>", "a.*.b"} {
		m.insert(t, filter, "")
		m.insert(t, filter, "q")
	}
	for stop := 1; stop <= len(m.all); stop++ {
		calls := 0
		m.index.Walk(func(string, string, []*sub) bool { calls++; return calls < stop })
		if calls != stop {
			t.Fatalf("%d calls, want %d", calls, stop)
		}
	}
}

func TestResetLetsGoOfEntries(t *testing.T) {
	m, r := &model{}, &Result[*sub]{}
	for i := range 40 {
		m.insert(t, "a.*", fmt.Sprint("q", i))
		m.insert(t, "a.b", "")
	}
	m.index.Match([]byte("a.b"), r)
	plain, groups := r.Plain, r.Groups
	r.Reset()
	for _, s := range plain[:cap(plain)] {
		if s != nil {
			t.Fatal("an entry is held in Plain")
		}
	}
	for _, g := range groups {
		if g.Queue != "" || slices.ContainsFunc(g.Members[:cap(g.Members)], func(s *sub) bool { return s != nil }) {
			t.Fatalf("an entry is held in group %q", g.Queue)
		}
	}
	if len(r.byName) != 0 {
		t.Fatal("names are held")
	}
}

func TestTenThousandMembersComeAndGoQuickly(t *testing.T) {
	const members = 10_000
	for _, queue := range []string{"", "q"} {
		var x Index[*sub]
		all := make([]*sub, members)
		for i := range all {
			all[i] = &sub{filter: "all.cmd", queue: queue}
			x.Insert("all.cmd", queue, all[i])
		}
		// Positions are known, so what is moved by one removal is one entry, wherever it stood.
		for len(all) > 0 {
			i := len(all) / 2
			before := make(map[*sub]int32)
			if len(all)%1000 == 0 {
				for _, s := range all {
					before[s] = s.slot
				}
			}
			s := all[i]
			all = slices.Delete(all, i, i+1)
			if n, ok := x.Remove("all.cmd", queue, s); !ok || n != len(all) {
				t.Fatalf("Remove = %d, %v, want %d", n, ok, len(all))
			}
			moved := 0
			for old, slot := range before {
				if old != s && old.slot != slot {
					moved++
				}
			}
			if moved > 1 {
				t.Fatalf("one removal moved %d entries", moved)
			}
		}
		if x.used() != 0 {
			t.Fatal("the index is not empty")
		}
	}
}

func TestManyTokensNeitherRecurseNorMultiply(t *testing.T) {
	var x Index[*sub]
	const tokens = 20_000
	long := strings.Repeat("a.", tokens-1)
	for _, filter := range []string{
		long + "a", long + ">", strings.Repeat("*.", tokens-1) + "*", strings.Repeat("*.", tokens-1) + ">",
		strings.Repeat("a.*.", tokens/2-1) + "a.*", strings.Repeat("*.a.", tokens/2-1) + "*.a",
	} {
		x.Insert(filter, "", &sub{filter: filter})
	}
	var r Result[*sub]
	x.Match([]byte(long+"a"), &r)
	if len(r.Plain) != 6 {
		t.Fatalf("%d matches, want 6", len(r.Plain))
	}
	r.Reset()
	x.Match([]byte(long+"b"), &r)
	if len(r.Plain) != 4 {
		t.Fatalf("%d matches, want 4", len(r.Plain))
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	x, _ := routes()
	for i := range 50 {
		for _, filter := range []string{"site001.line01.dev*.t", "site001.>", "site001.*.dev000998.t"} {
			s := &sub{filter: filter, queue: []string{"", fmt.Sprint("q", i)}[i%2]}
			x.Insert(filter, s.queue, s)
		}
	}
	var r Result[*sub]
	subject := []byte("site001.line19.dev000998.t")
	miss := []byte("site001.line01." + strings.Repeat("long", 50))
	got := testing.AllocsPerRun(100, func() {
		r.Reset()
		x.Match(subject, &r)
		x.Match(miss, &r)
	})
	if got != 0 || len(r.Plain) < 50 || len(r.Groups) != 25 {
		t.Fatalf("%v allocations, %d plain, %d groups", got, len(r.Plain), len(r.Groups))
	}
}

func TestManyMayMatchAtOnce(t *testing.T) {
	m := &model{}
	for _, filter := range []string{"a.b", "a.*", "a.>", "*.b", ">", "a.b"} {
		m.insert(t, filter, "")
		m.insert(t, filter, "q")
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var r Result[*sub]
			for range 200 {
				r.Reset()
				m.index.Match([]byte("a.b"), &r)
				if len(r.Plain) != 6 || len(r.Groups) != 1 || len(r.Groups[0].Members) != 6 {
					t.Errorf("%d plain, %d groups", len(r.Plain), len(r.Groups))
					return
				}
			}
		})
	}
	readers.Wait()
}

func routeSubject(i int) string { return fmt.Sprintf("site%03d.line%02d.dev%06d.t", i%997, i%89, i) }
func routeFilter(i int) string  { return fmt.Sprintf("site%03d.*.dev%06d.t", i%997, i) }

// routes is 90,000 literals and 10,000 wildcards over 200,000 devices, as in a plant where
// most watchers know their device.
func routes() (*Index[*sub], []*sub) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := &Index[*sub]{}
	all := make([]*sub, 100_000)
	for k := range all {
		i := rng.IntN(200_000)
		filter := routeSubject(i)
		if k%10 == 0 {
			filter = routeFilter(i)
		}
		all[k] = &sub{filter: filter}
	}
	for _, s := range all {
		x.Insert(s.filter, "", s)
	}
	return x, all
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAFilterCostsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of thousands of filters take a while")
	}
	for _, c := range []struct {
		name   string
		filter func(i int) string
		bound  uint64 // bytes of index for each filter
	}{
		{"literals", routeSubject, 36},
		{"one in ten a wildcard", func(i int) string {
			if i%10 == 0 {
				return routeFilter(i)
			}
			return routeSubject(i)
		}, 48},
		{"wildcards", routeFilter, 64},
		{"a node each", func(i int) string { return fmt.Sprintf("dev%06d.*", i) }, 240},
	} {
		all := make([]*sub, 100_000)
		for i := range all {
			all[i] = &sub{filter: c.filter(i)}
		}
		before := heap()
		var x Index[*sub]
		for _, s := range all {
			x.Insert(s.filter, "", s)
		}
		each := (heap() - before) / uint64(len(all))
		t.Logf("%s: %d bytes a filter", c.name, each)
		if each > c.bound {
			t.Errorf("%s: %d bytes a filter, at most %d", c.name, each, c.bound)
		}
		for _, s := range all {
			x.Remove(s.filter, "", s)
		}
		if left := int64(heap()) - int64(before); left > 1<<16 {
			t.Errorf("%s: %d bytes are left when all are gone", c.name, left)
		}
		runtime.KeepAlive(all)
	}
}
