package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// heading and cells are the columns that text and Markdown share.
func heading(o *options) []string {
	columns := []string{"shape", "figure"}
	for _, c := range o.contenders {
		columns = append(columns, c.name)
	}
	return append(columns, "ratio", "rounds", "min", "aim", "reached")
}

func (r row) cells() []string {
	cells := []string{r.shape.name, r.figure.name}
	for _, m := range r.medians {
		cells = append(cells, human(m))
	}
	spread := ""
	if !math.IsNaN(r.ratio) {
		spread = fmt.Sprintf("%.2f..%.2f", r.lowest, r.highest)
	}
	return append(cells, human2(r.ratio), spread, r.bar(r.figure.min), r.bar(r.figure.aim), string(r.mark))
}

// bar prints a bound: a ratio as such, a value with a sign that it is one.
func (r row) bar(bound float64) string {
	switch {
	case bound == 0:
		return ""
	case r.figure.by == value:
		return "≤ " + human(bound)
	}
	return human2(bound)
}

func printText(w io.Writer, o *options, rows []row) {
	table := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(heading(o), "\t"))
	for _, r := range rows {
		fmt.Fprintln(table, strings.Join(r.cells(), "\t"))
	}
	table.Flush()
}

// printMarkdown prints what docs/performance.md holds, with what was measured on what.
func printMarkdown(w io.Writer, o *options, rows []row) {
	rounds := fmt.Sprintf("%d rounds", o.rounds)
	if o.from != "" {
		rounds = "recorded rounds"
	}
	fmt.Fprintf(w, "%s, %d processors, %s, %s.\n", machine(), runtime.NumCPU(), runtime.Version(), rounds)
	if o.from == "" {
		fmt.Fprintf(w, "Measured on %s", time.Now().UTC().Format(time.DateOnly))
		for _, c := range o.contenders {
			if v := c.version(); v != "" {
				fmt.Fprintf(w, ", %s", v)
			}
		}
		fmt.Fprintln(w, ".")
	}
	columns := heading(o)
	fmt.Fprintf(w, "\n| %s |\n|%s|\n", strings.Join(columns, " | "), strings.Repeat(" --- |", 2)+strings.Repeat(" ---: |", len(columns)-3)+" --- ")
	last := ""
	for _, r := range rows {
		cells := r.cells()
		if cells[0] == last {
			cells[0] = ""
		} else {
			last = cells[0]
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
}

// human prints three digits that count.
func human(v float64) string {
	abs := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "-"
	case abs >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 2, 64) + "M"
	case abs >= 1000:
		return grouped(int64(math.Round(v)))
	case abs >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case abs >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func human2(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// grouped puts a comma after each thousand.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
