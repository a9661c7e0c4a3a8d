package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// A record is one run, as -json writes it.
type record struct {
	Shape   string             `json:"shape"`
	Server  string             `json:"server"`
	Round   int                `json:"round"`
	At      time.Time          `json:"at"`
	Figures map[string]float64 `json:"figures,omitempty"`
	Error   string             `json:"error,omitempty"`
}

// results are the runs so far.
type results struct {
	records []record
	failed  int // of those that must get through
}

func (r *results) add(one record) {
	r.records = append(r.records, one)
	if one.Error == "" {
		return
	}
	for _, s := range shapes() {
		if s.name == one.Shape && s.othersFail && one.Server != judged {
			return
		}
	}
	r.failed++
}

// load reads what -json has written, perhaps by several calls. A shape that was measured again
// counts with its last runs: a round that comes again replaces what it was.
func (r *results) load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	type key struct {
		shape, server string
		round         int
	}
	latest := map[key]record{}
	var order []key
	decoder := json.NewDecoder(file)
	for {
		var one record
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		k := key{one.Shape, one.Server, one.Round}
		if _, again := latest[k]; !again {
			order = append(order, k)
		}
		latest[k] = one
	}
	for _, k := range order {
		r.add(latest[k])
	}
	return nil
}

// rounds is a figure of a shape on one server, by round.
func (r *results) rounds(shape, server, figure string) map[int]float64 {
	values := map[int]float64{}
	for _, one := range r.records {
		if v, ok := one.Figures[figure]; ok && one.Shape == shape && one.Server == server && !math.IsNaN(v) {
			values[one.Round] = v
		}
	}
	return values
}

// A row is one figure of one shape, ready to be printed.
type row struct {
	shape  shape
	figure figure
	// By contender, in their order; NaN where there is none.
	medians []float64
	// The judged server's figure divided by that of the better of the others: median, lowest and
	// highest of the rounds. NaN without others.
	ratio, lowest, highest float64
	mark                   mark
}

// mark is how a figure did.
type mark string

const (
	notJudged mark = ""
	reached   mark = "aim" // where we want to be
	passed    mark = "min" // what must be reached
	missed    mark = "MISSED"
	unknown   mark = "NONE" // a bar, and nothing to hold against it
)

// judge makes the rows of all chosen shapes that were run.
func judge(o *options, runs results) []row {
	var rows []row
	for _, s := range shapes() {
		ran := slices.ContainsFunc(runs.records, func(r record) bool { return r.Shape == s.name })
		if !ran || !slices.ContainsFunc(o.chosen, func(c shape) bool { return c.name == s.name }) && o.from == "" {
			continue
		}
		for _, f := range s.shown(o, runs) {
			rows = append(rows, judgeFigure(o, runs, s, f))
		}
	}
	return rows
}

// shown are the figures of a shape to print: those of its table, and all with -all.
func (s shape) shown(o *options, runs results) []figure {
	figures := slices.Clone(s.figures)
	if !o.all {
		return figures
	}
	var others []string
	for _, r := range runs.records {
		for name := range r.Figures {
			known := slices.ContainsFunc(figures, func(f figure) bool { return f.name == name })
			if r.Shape == s.name && !known && !slices.Contains(others, name) {
				others = append(others, name)
			}
		}
	}
	slices.Sort(others)
	for _, name := range others {
		figures = append(figures, figure{name: name})
	}
	return figures
}

func judgeFigure(o *options, runs results, s shape, f figure) row {
	r := row{shape: s, figure: f, ratio: math.NaN(), lowest: math.NaN(), highest: math.NaN()}
	ours := runs.rounds(s.name, judged, f.name)
	for _, c := range o.contenders {
		theirs := runs.rounds(s.name, c.name, f.name)
		r.medians = append(r.medians, median(valuesOf(theirs)))
		if c.name == judged {
			continue
		}
		var ratios []float64
		for round, v := range theirs {
			if mine, ok := ours[round]; ok && v > 0 {
				ratios = append(ratios, mine/v)
			}
		}
		// The better server is the one against which we look worse.
		worse := median(ratios) > r.ratio
		if f.moreIsBetter() {
			worse = median(ratios) < r.ratio
		}
		if len(ratios) > 0 && (worse || math.IsNaN(r.ratio)) {
			r.ratio, r.lowest, r.highest = median(ratios), slices.Min(ratios), slices.Max(ratios)
		}
	}
	r.mark = f.judge(r.ratio, median(valuesOf(ours)))
	return r
}

func (f figure) moreIsBetter() bool { return strings.HasSuffix(f.name, "/s") }

func (f figure) judge(ratioOf, valueOf float64) mark {
	held := ratioOf
	if f.by == value {
		held = valueOf
	}
	switch {
	case f.min == 0 && f.aim == 0:
		return notJudged
	case math.IsNaN(held):
		return unknown
	case held <= f.aim:
		return reached
	case held <= f.min:
		return passed
	}
	return missed
}

// missedBars names the figures that are not good enough.
func missedBars(rows []row) []string {
	var names []string
	for _, r := range rows {
		if r.mark == missed || r.mark == unknown {
			names = append(names, r.shape.name+" "+r.figure.name)
		}
	}
	return names
}

func valuesOf(rounds map[int]float64) []float64 {
	var values []float64
	for _, v := range rounds {
		values = append(values, v)
	}
	return values
}
