package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
)

func topCommand(p *program) *tool {
	return &tool{
		Name: "top",
		Description: `Shows who is connected to a running server and how much each sends and gets, again and again until
it is interrupted. It reads the monitoring pages, so the server needs http_port or -m.

On something that is no terminal one table follows the other, and --json prints a line of JSON for each.`,
		Flags: monitorFlags(
			&durationFlag{Name: "interval", Aliases: []string{"i"}, Value: 2 * time.Second, Usage: "`TIME` that rates are measured over"},
			&uint64Flag{Name: "count", Usage: "end after this `NUMBER` of tables"},
			&intFlag{Name: "rows", Aliases: []string{"n"}, Value: defaultRows, Usage: "show this `NUMBER` of connections"},
			&stringFlag{Name: "sort", Value: "rate", Usage: "what comes first: rate, bytes, pending, subs or cid, in one `WORD`",
				Words: []string{"rate", "bytes", "pending", "subs", "cid"}},
			&boolFlag{Name: "json", Usage: "print JSON, one line a table"},
			&durationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "`TIME` to wait for a page"},
		),
		Action: p.top,
	}
}

// defaultRows are as many as fit on 24 lines with what stands around them.
const defaultRows = 17

// maxTopRows bounds what is asked of the server for one table.
const maxTopRows = 10_000

// leastInterval is the shortest time that rates are measured over.
const leastInterval = 50 * time.Millisecond

// topOrders are the ways to sort, those that move most in front.
var topOrders = map[string]func(a, b *topRow) int{
	"rate":    func(a, b *topRow) int { return cmp.Compare(b.InRate+b.OutRate, a.InRate+a.OutRate) },
	"bytes":   func(a, b *topRow) int { return cmp.Compare(b.InBytesRate+b.OutBytesRate, a.InBytesRate+a.OutBytesRate) },
	"pending": func(a, b *topRow) int { return cmp.Compare(b.PendingBytes, a.PendingBytes) },
	"subs":    func(a, b *topRow) int { return cmp.Compare(b.Subscriptions, a.Subscriptions) },
	"cid":     func(a, b *topRow) int { return cmp.Compare(a.CID, b.CID) },
}

// A topTable is what there is to show at one time. Rates are for a second.
type topTable struct {
	Time        time.Time `json:"time"`
	Server      string    `json:"server"`
	Version     string    `json:"version"`
	Uptime      string    `json:"uptime"`
	CPU         float64   `json:"cpu"`
	Mem         int64     `json:"mem"`
	Connections int       `json:"connections"`
	LeafNodes   int       `json:"leafnodes"`
	Subs        uint32    `json:"subscriptions"`
	Slow        int64     `json:"slow_consumers"`
	rates
	Rows []topRow `json:"rows"`
}

type topRow struct {
	CID           uint64 `json:"cid"`
	Address       string `json:"address"`
	Name          string `json:"name,omitempty"`
	User          string `json:"user,omitempty"`
	Account       string `json:"account,omitempty"`
	Subscriptions uint32 `json:"subscriptions"`
	PendingBytes  int    `json:"pending_bytes"`
	RTT           string `json:"rtt,omitempty"`
	Idle          string `json:"idle"`
	rates
}

// rates are messages and bytes a second, as the server sees them: in is what it gets.
type rates struct {
	InRate       float64 `json:"in_msgs_rate"`
	OutRate      float64 `json:"out_msgs_rate"`
	InBytesRate  float64 `json:"in_bytes_rate"`
	OutBytesRate float64 `json:"out_bytes_rate"`
}

// between makes rates of two readings of the same counters.
func between(seconds float64, in, inBefore, out, outBefore, inBytes, inBytesBefore, outBytes, outBytesBefore int64) rates {
	if seconds <= 0 {
		return rates{}
	}
	rate := func(now, before int64) float64 { return float64(max(0, now-before)) / seconds }
	return rates{rate(in, inBefore), rate(out, outBefore), rate(inBytes, inBytesBefore), rate(outBytes, outBytesBefore)}
}

func (p *program) top(c *invocation) error {
	switch {
	case len(c.Args()) > 0:
		return usageError("top takes no arguments; --monitor says which server")
	case topOrders[c.String("sort")] == nil:
		return usageError("--sort wants rate, bytes, pending, subs or cid and got %q", c.String("sort"))
	case c.Duration("interval") < leastInterval:
		return usageError("--interval must be %v at least", leastInterval)
	case c.Int("rows") < 0:
		return usageError("--rows must not be negative")
	}
	path, err := configPath(c, "monitor")
	if err != nil {
		return err
	}
	loaded, err := loadedFrom(path)
	if err != nil {
		return err
	}
	if loaded != nil {
		defer loaded.Close()
	}
	from, err := pagesOf(c, loaded)
	if err != nil {
		return hintPages(c, err)
	}
	ctx, stop := withInterrupt()
	defer stop()
	return p.topTables(ctx, c, from)
}

// topTables prints one table after the other. The first comes after the first interval: until then there
// are no rates.
func (p *program) topTables(ctx context.Context, c *invocation, from *pages) error {
	before, err := readTop(ctx, from)
	if err != nil {
		return hintPages(c, err)
	}
	every := time.NewTicker(c.Duration("interval"))
	defer every.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		now, err := readTop(ctx, from)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return hintPages(c, err)
		}
		t := now.since(before, c.String("sort"), c.Int("rows"))
		if c.Bool("json") {
			err = json.NewEncoder(p.stdout).Encode(t)
		} else {
			err = p.redraw(t.text())
		}
		if err != nil || n == c.Uint64("count") {
			return err
		}
		before = now
	}
}

// redraw shows a text in the place of the one before, on terminals that can.
func (p *program) redraw(text string) error {
	if term := os.Getenv("TERM"); isTerminal(p.stdout) && term != "" && term != "dumb" {
		// Home, empty from there, and lines that are too long end at the edge.
		text = "\x1b[H\x1b[2J\x1b[?7l" + text + "\x1b[?7h"
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

// A topReading is what the pages said at one time.
type topReading struct {
	server varzPage
	conns  connzPage
}

func readTop(ctx context.Context, from *pages) (r *topReading, err error) {
	r = new(topReading)
	if err = from.get(ctx, "/varz", &r.server); err == nil {
		err = from.get(ctx, fmt.Sprintf("/connz?auth=1&limit=%d", maxTopRows), &r.conns)
	}
	return r, err
}

// since makes a table of two readings.
func (r *topReading) since(before *topReading, order string, rows int) *topTable {
	v, w := &r.server, &before.server
	seconds := v.Now.Sub(w.Now).Seconds()
	if v.ServerID != w.ServerID { // it has been started again, and counts from nothing
		seconds = 0
	}
	t := &topTable{
		Time: v.Now, Server: v.ServerName, Version: cmp.Or(v.EdgebusVersion, v.Version), Uptime: v.Uptime, CPU: v.CPU, Mem: v.Mem,
		Connections: v.Connections, LeafNodes: v.LeafNodes, Subs: v.Subscriptions, Slow: v.SlowConsumers,
		rates: between(seconds, v.InMsgs, w.InMsgs, v.OutMsgs, w.OutMsgs, v.InBytes, w.InBytes, v.OutBytes, w.OutBytes),
		Rows:  []topRow{},
	}
	old := make(map[uint64]*connRow, len(before.conns.Connections))
	if seconds > 0 {
		for i := range before.conns.Connections {
			old[before.conns.Connections[i].CID] = &before.conns.Connections[i]
		}
	}
	for i := range r.conns.Connections {
		now := &r.conns.Connections[i]
		row := topRow{
			CID: now.CID, Address: fmt.Sprintf("%s:%d", now.IP, now.Port), Name: now.Name, User: now.User, Account: now.Account,
			Subscriptions: now.Subscriptions, PendingBytes: now.PendingBytes, RTT: now.RTT, Idle: now.Idle,
		}
		if was := old[now.CID]; was != nil {
			row.rates = between(r.conns.Now.Sub(before.conns.Now).Seconds(),
				now.InMsgs, was.InMsgs, now.OutMsgs, was.OutMsgs, now.InBytes, was.InBytes, now.OutBytes, was.OutBytes)
		}
		t.Rows = append(t.Rows, row)
	}
	slices.SortStableFunc(t.Rows, func(a, b topRow) int { return cmp.Or(topOrders[order](&a, &b), cmp.Compare(a.CID, b.CID)) })
	t.Rows = t.Rows[:min(len(t.Rows), rows)]
	return t
}

// text is the table for people.
func (t *topTable) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s, up %s  CPU %.0f%%  memory %s  %s  slow consumers %d\n", clean(t.Server, 40), clean(t.Version, 20), t.Uptime, t.CPU,
		volume(float64(t.Mem)), t.Time.Local().Format("15:04:05"), t.Slow)
	fmt.Fprintf(&b, "in %s msgs/s, %s/s   out %s msgs/s, %s/s   %s, %s, %s\n\n",
		perSecond(t.InRate), volume(t.InBytesRate), perSecond(t.OutRate), volume(t.OutBytesRate),
		plural(t.Connections, "connection"), plural(t.LeafNodes, "leaf link"), plural(int(t.Subs), "subscription"))
	fmt.Fprintf(&b, "%6s %-21s %-18s %-14s %5s %9s %9s %10s %9s %10s %9s\n", "CID", "ADDRESS", "NAME", "USER", "SUBS", "PENDING", "IN/S", "BYTES/S", "OUT/S", "BYTES/S", "RTT")
	for i := range t.Rows {
		r := &t.Rows[i]
		fmt.Fprintf(&b, "%6d %-21s %-18s %-14s %5d %9s %9s %10s %9s %10s %9s\n", r.CID, r.Address, clean(r.Name, 18), clean(r.User, 14), r.Subscriptions,
			volume(float64(r.PendingBytes)), perSecond(r.InRate), volume(r.InBytesRate), perSecond(r.OutRate), volume(r.OutBytesRate), r.RTT)
	}
	if more := t.Connections - len(t.Rows); more > 0 {
		fmt.Fprintf(&b, "%d more: --rows shows them\n", more)
	}
	return b.String()
}

// clean makes what a stranger has chosen fit for a terminal and a column.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if letters := []rune(text); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return text
}
