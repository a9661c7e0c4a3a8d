package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFlagsMayStandAnywhere(t *testing.T) {
	flags := []option{
		&intFlag{Name: "count"}, &boolFlag{Name: "raw", Aliases: []string{"r"}}, &stringsFlag{Name: "header", Aliases: []string{"H"}},
	}
	cases := []struct{ in, want string }{
		{"", "--"},
		{"a b", "-- a b"},
		{"a b --count 3", "--count 3 -- a b"},
		{"a --count=3 b", "--count=3 -- a b"},
		{"-r a b", "-r -- a b"},
		{"a -r b", "-r -- a b"},
		{"a -H x:y -H z b", "-H x:y -H z -- a b"},
		{"a -3", "-- a -3"},
		{"a -", "-- a -"},
		{"a -- --count 3", "-- a --count 3"},
		{"a --unknown b", "--unknown -- a b"},
		{"a --count", "--count needs a value behind it"},
		{"a --count=", "--count= -- a"},
	}
	for _, c := range cases {
		ordered, err := flagsFirst(flags, strings.Fields(c.in))
		got := strings.Join(ordered, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
	if wantsHelp(flags, []string{"a", "-H", "-h"}) || !wantsHelp(flags, []string{"a", "-h"}) || wantsHelp(flags, []string{"--", "-h"}) {
		t.Error("-h is help only where a flag may stand")
	}
}

func TestNobodySitsBehindTheNullDevice(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("the null device is taken for a terminal")
	}
}

func TestTemplates(t *testing.T) {
	cases := []struct{ in, want string }{
		{"plain", "plain"},
		{"{{.Count}} {{ Count }} {{Cnt}}", "7 7 7"},
		{"{{.Request}}!", "{{.Count}}!"}, // what was asked is not a template
		{"{{unknown}} {{ }} {{}} {{.Count", "{{unknown}} {{ }} {{}} {{.Count"},
		{"{{Random 1}} {{Random 3 1}} {{Random 0 99999999}} {{Count 3}}", "{{Random 1}} {{Random 3 1}} {{Random 0 99999999}} {{Count 3}}"},
		{"}} {{.Count}}", "}} 7"},
	}
	for _, c := range cases {
		if got := expand(c.in, 7, "{{.Count}}"); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
	if _, err := time.Parse(time.RFC3339, expand("{{.TimeStamp}}", 1, "")); err != nil {
		t.Error(err)
	}
	if n, err := strconv.ParseInt(expand("{{.UnixNano}}", 1, ""), 10, 64); err != nil || time.Since(time.Unix(0, n)) > time.Minute {
		t.Error(n, err)
	}
	seen := make(map[int]bool)
	for range 300 {
		seen[len(expand("{{Random 38 40}}", 1, ""))] = true
	}
	if len(seen) != 3 || !seen[38] || !seen[39] || !seen[40] {
		t.Errorf("lengths %v", seen)
	}
	if expand("{{ID}}", 1, "") == expand("{{ID}}", 1, "") {
		t.Error("two equal IDs")
	}
}

// The histogram against a sorted slice: a percentile is never below the true one, and at most
// a thirtieth above it.
func TestHistogramIsWithinThreePercent(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for _, n := range []int{1, 2, 10, 1000, 30000} {
		var h, other histogram
		var all []time.Duration
		for range n {
			d := time.Duration(random.Int64N(1 << random.IntN(40)))
			all = append(all, d)
			if random.IntN(2) == 0 {
				h.add(d)
			} else {
				other.add(d)
			}
		}
		h.merge(&other)
		slices.Sort(all)
		for _, share := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			i := int(share*float64(n)+0.999999) - 1
			true_ := all[max(i, 0)]
			if got := h.percentile(share); got < true_ || got > true_+true_/30+1 {
				t.Errorf("seed %d: p%v of %d is %d, want %d", seed, 100*share, n, got, true_)
			}
		}
		if h.max != all[n-1] || h.total != uint64(n) {
			t.Errorf("max %v of %v, total %d", h.max, all[n-1], h.total)
		}
	}
}

func TestHistogramTakesEveryValue(t *testing.T) {
	var h histogram
	for v := uint64(1); v < 1<<63; v <<= 1 {
		for _, d := range []uint64{v - 1, v, v + 1} {
			h.add(time.Duration(d))
			if c := ceiling(bucket(d)); c < d || d > 0 && ceiling(bucket(d)-1) >= d {
				t.Errorf("%d is in a bucket up to %d, and the one before goes up to %d", d, c, ceiling(bucket(d)-1))
			}
		}
	}
	h.add(1<<63 - 1)
	h.add(-5)
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is shown as %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 999: "999ns", 1234: "1.23µs", 123456: "123µs", 1234567: "1.23ms", 123456789012: "2m3s"} {
		if got := roundDuration(d); got != want {
			t.Errorf("%d is shown as %s, want %s", d, got, want)
		}
	}
	for text, want := range map[string]int{"0": 0, "128": 128, "4k": 4096, "4K": 4096, "4kb": 4096, "4KiB": 4096, "1m": 1 << 20, "16B": 16} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "k", "1g", "99999m", "1.5k"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q is %d", text, n)
		}
	}
	sum := 0
	for i := range 7 {
		sum += share(100, 7, i)
	}
	if sum != 100 {
		t.Errorf("shares add up to %d", sum)
	}
}
