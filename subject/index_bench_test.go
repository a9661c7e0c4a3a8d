package subject

import (
	"math/rand/v2"
	"testing"
)

func benchmarkMatch(b *testing.B, x *Index[*sub], subjects [][]byte) {
	var r Result[*sub]
	found := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.Reset()
		x.Match(subjects[i%len(subjects)], &r)
		found += len(r.Plain)
	}
	b.ReportMetric(float64(found)/float64(b.N), "found/op")
}

// scattered makes texts that lie apart in memory, so that reading them costs what it costs
// where they come from all over the place.
func scattered(n int, text func(i int) string) [][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	all := make([][]byte, n)
	for i := range all {
		all[i] = []byte(text(rng.IntN(200_000)))
	}
	return all
}

func BenchmarkMatchRoutes(b *testing.B) {
	x, _ := routes()
	benchmarkMatch(b, x, scattered(1<<16, routeSubject))
}

func BenchmarkMatchMiss(b *testing.B) {
	x, _ := routes()
	benchmarkMatch(b, x, scattered(1<<16, func(i int) string { return "elsewhere." + routeSubject(i) }))
}

func BenchmarkMatchLiteral(b *testing.B) {
	x := &Index[*sub]{}
	for i := range 100_000 {
		s := &sub{filter: routeSubject(i)}
		x.Insert(s.filter, "", s)
	}
	benchmarkMatch(b, x, scattered(1<<16, func(i int) string { return routeSubject(i % 100_000) }))
}

func BenchmarkMatchWildcard(b *testing.B) {
	x := &Index[*sub]{}
	for i := range 10_000 {
		s := &sub{filter: routeFilter(i)}
		x.Insert(s.filter, "", s)
	}
	benchmarkMatch(b, x, scattered(1<<16, func(i int) string { return routeSubject(i % 10_000) }))
}

func BenchmarkInsertRemove(b *testing.B) {
	x, _ := routes()
	s := &sub{filter: "_INBOX.abcdefghijklmnopqrstuv.1"}
	b.ReportAllocs()
	for b.Loop() {
		x.Insert(s.filter, "", s)
		x.Remove(s.filter, "", s)
	}
}

func BenchmarkRemoveOneOfTenThousand(b *testing.B) {
	x := &Index[*sub]{}
	all := make([]*sub, 10_000)
	for i := range all {
		all[i] = &sub{filter: "all.cmd"}
		x.Insert("all.cmd", "", all[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := all[i*7919%len(all)]
		x.Remove("all.cmd", "", s)
		x.Insert("all.cmd", "", s)
	}
}
