package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
)

// watch prints a table every interval until ctx is done. With -seconds it is an error if nothing came.
func watch(ctx context.Context, o options, nc *nats.Conn, out, _ io.Writer) error {
	arrived := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe(subjects+">", arrived); err != nil {
		return fmt.Errorf("subscribing: %w", err)
	}
	began := time.Now()
	screen := isTerminal(out)
	table := newTable()
	ticker := time.NewTicker(o.interval)
	defer ticker.Stop()
	for {
		select {
		case m := <-arrived:
			table.add(m.Subject, m.Data, time.Now())
		case <-ticker.C:
			if screen {
				fmt.Fprint(out, "\x1b[H\x1b[2J") // home, clear
			}
			fmt.Fprintln(out, table.render(status(nc), time.Now()))
		case <-ctx.Done():
			fmt.Fprintf(out, "%d messages with %d different readings in %.0f s\n",
				table.messages, len(table.rows), time.Since(began).Seconds())
			if o.seconds > 0 && table.messages == 0 {
				return errors.New("no reading arrived")
			}
			return nil
		}
	}
}

func status(nc *nats.Conn) string {
	if !nc.IsConnected() {
		return "waiting for the server"
	}
	return "connected to " + nc.ConnectedAddr()
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// A row is the newest of one reading and, for counters, how fast it grows.
type row struct {
	message
	arrived time.Time
	rate    float64 // units a second between the last two messages
	again   bool    // there have been two
}

// A table keeps the newest message of each subject.
type table struct {
	rows     map[string]row
	messages int
	strange  int // messages that were no readings
}

// maxRows bounds the table: subjects come from whoever may publish.
const maxRows = 1000

func newTable() *table { return &table{rows: map[string]row{}} }

func (t *table) add(subject string, payload []byte, now time.Time) {
	name := printable(strings.TrimPrefix(subject, subjects))
	next := row{arrived: now}
	last, known := t.rows[name]
	if json.Unmarshal(payload, &next.message) != nil || (!known && len(t.rows) >= maxRows) {
		t.strange++
		return
	}
	next.Unit = printable(next.Unit)
	t.messages++
	if elapsed := next.At.Sub(last.At).Seconds(); known && elapsed > 0 {
		next.rate, next.again = (next.Value-last.Value)/elapsed, true
	}
	t.rows[name] = next
}

// printable keeps a stranger's text from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func (t *table) render(status string, now time.Time) string {
	var text strings.Builder
	fmt.Fprintf(&text, "gateway readings, %s, %d messages", status, t.messages)
	if t.strange > 0 {
		fmt.Fprintf(&text, ", %d that were no readings", t.strange)
	}
	fmt.Fprintf(&text, "\n\n%-40s %14s %14s %8s\n", "READING", "VALUE", "CHANGE", "AGE")
	var names []string
	for name := range t.rows {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r := t.rows[name]
		change := ""
		if r.again && r.Unit == "bytes" {
			change = signed(r.rate) + "/s"
		}
		fmt.Fprintf(&text, "%-40s %14s %14s %6.1f s\n", name, value(r.Value, r.Unit), change, now.Sub(r.arrived).Seconds())
	}
	return text.String()
}

func value(v float64, unit string) string {
	switch unit {
	case "bytes":
		return bytesText(v)
	case "percent":
		return fmt.Sprintf("%.1f %%", v)
	case "°C":
		return fmt.Sprintf("%.1f °C", v)
	case "":
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

func signed(v float64) string {
	if v < 0 {
		return "-" + bytesText(-v)
	}
	return "+" + bytesText(v)
}

func bytesText(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for v >= 1024 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f B", v)
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}
