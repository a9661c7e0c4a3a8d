package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func trafficCommand(p *program) *tool {
	return &tool{
		Name: "traffic",
		Description: `Shows what is published on a subject, which may have wildcards: how often each of its subjects comes, how
large its messages are and what the last one was. It listens as a subscriber does, and sees what the user may see.

On something that is no terminal one table follows the other, and --json prints a line of JSON for each.`,
		Flags: clientFlags(
			&durationFlag{Name: "interval", Aliases: []string{"i"}, Value: 2 * time.Second, Usage: "`TIME` that rates are measured over"},
			&uint64Flag{Name: "count", Usage: "end after this `NUMBER` of tables"},
			&intFlag{Name: "rows", Aliases: []string{"n"}, Value: defaultRows, Usage: "show this `NUMBER` of subjects"},
			&boolFlag{Name: "json", Usage: "print JSON, one line a table"},
		),
		Action: p.traffic,
	}
}

const (
	// maxTrafficSubjects bounds the subjects that are told apart; the rest are counted together.
	maxTrafficSubjects = 10_000
	// keptValue is how much is kept of a last value, in bytes.
	keptValue = 256
	// shownValue is how much of it a row has room for, in letters.
	shownValue = 48
)

// A trafficTable is what there is to show at one time. Rates are for a second.
type trafficTable struct {
	Time     time.Time    `json:"time"`
	Subjects int          `json:"subjects"`
	Rate     float64      `json:"msgs_rate"`
	Bytes    float64      `json:"bytes_rate"`
	Others   uint64       `json:"other_msgs,omitempty"`   // on subjects beyond the bound
	Dropped  uint64       `json:"dropped_msgs,omitempty"` // that this program was too slow for
	Rows     []trafficRow `json:"rows"`
}

type trafficRow struct {
	Subject string    `json:"subject"`
	Msgs    uint64    `json:"msgs"` // since the beginning
	Rate    float64   `json:"msgs_rate"`
	Bytes   float64   `json:"bytes_rate"`
	Least   int       `json:"least_bytes"`
	Mean    float64   `json:"mean_bytes"`
	Most    int       `json:"most_bytes"`
	Last    string    `json:"last"` // its beginning
	LastAt  time.Time `json:"last_at"`
}

// A subjectCount is what has come on one subject.
type subjectCount struct {
	msgs, bytes uint64 // since the beginning
	newMsgs     uint64 // since the last table
	newBytes    uint64
	least, most int
	last        []byte
	lastAt      time.Time
}

// A trafficCount is what has come on all.
type trafficCount struct {
	subjects map[string]*subjectCount
	others   uint64
	began    time.Time // the interval
}

func (p *program) traffic(c *invocation) error {
	switch {
	case len(c.Args()) != 1:
		return usageError("traffic takes one subject; quote wildcards such as '>'")
	case c.Duration("interval") < leastInterval:
		return usageError("--interval must be %v at least", leastInterval)
	case c.Int("rows") < 0:
		return usageError("--rows must not be negative")
	}
	ctx, conn, end, err := p.connection(c, p.tellOfLine()...)
	if err != nil {
		return err
	}
	defer end()
	arrived := make(chan *client.Msg, client.DefaultQueueMessages)
	s, err := conn.SubscribeChan(c.Arg(0), "", arrived)
	if err != nil {
		return err
	}
	if err := p.flush(ctx, c, conn); err != nil {
		return err
	}
	p.say("Listening on %s", c.Arg(0))
	return p.trafficTables(ctx, c, conn, s, arrived)
}

func (p *program) trafficTables(ctx context.Context, c *invocation, conn *client.Conn, s *client.Subscription, arrived <-chan *client.Msg) error {
	count := &trafficCount{subjects: make(map[string]*subjectCount), began: time.Now()}
	every := time.NewTicker(c.Duration("interval"))
	defer every.Stop()
	for n := uint64(1); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-conn.Done():
			return fmt.Errorf("%w: %w", client.ErrClosed, conn.LastError())
		case m := <-arrived:
			count.add(m, time.Now())
		case <-every.C:
			for range len(arrived) {
				count.add(<-arrived, time.Now())
			}
			t := count.table(time.Now(), c.Int("rows"))
			t.Dropped = s.Dropped()
			var err error
			if c.Bool("json") {
				err = json.NewEncoder(p.stdout).Encode(t)
			} else {
				err = p.redraw(t.text())
			}
			if err != nil || n == c.Uint64("count") {
				return err
			}
			n++
		}
	}
}

func (t *trafficCount) add(m *client.Msg, now time.Time) {
	one := t.subjects[m.Subject]
	if one == nil {
		if len(t.subjects) >= maxTrafficSubjects {
			t.others++
			return
		}
		one = &subjectCount{least: len(m.Data)}
		t.subjects[strings.Clone(m.Subject)] = one
	}
	size := len(m.Data)
	one.msgs++
	one.newMsgs++
	one.bytes += uint64(size)
	one.newBytes += uint64(size)
	one.least, one.most = min(one.least, size), max(one.most, size)
	one.last, one.lastAt = append(one.last[:0], m.Data[:min(size, keptValue)]...), now
}

// table makes a table of what has come since the last one.
func (t *trafficCount) table(now time.Time, rows int) *trafficTable {
	seconds := now.Sub(t.began).Seconds()
	t.began = now
	table := &trafficTable{Time: now, Subjects: len(t.subjects), Others: t.others, Rows: []trafficRow{}}
	for name, one := range t.subjects {
		row := trafficRow{
			Subject: name, Msgs: one.msgs, Rate: float64(one.newMsgs) / seconds, Bytes: float64(one.newBytes) / seconds,
			Least: one.least, Mean: float64(one.bytes) / float64(one.msgs), Most: one.most, Last: strings.ToValidUTF8(string(one.last), "�"), LastAt: one.lastAt,
		}
		one.newMsgs, one.newBytes = 0, 0
		table.Rate += row.Rate
		table.Bytes += row.Bytes
		table.Rows = append(table.Rows, row)
	}
	slices.SortFunc(table.Rows, func(a, b trafficRow) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Msgs, a.Msgs), cmp.Compare(a.Subject, b.Subject))
	})
	table.Rows = table.Rows[:min(len(table.Rows), rows)]
	return table
}

// text is the table for people.
func (t *trafficTable) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s msgs/s, %s/s on %s\n\n", t.Time.Format("15:04:05"), perSecond(t.Rate), volume(t.Bytes), plural(t.Subjects, "subject"))
	fmt.Fprintf(&b, "%-32s %10s %9s %10s %22s  %s\n", "SUBJECT", "MSGS", "MSGS/S", "BYTES/S", "LEAST/MEAN/MOST BYTES", "LAST")
	for i := range t.Rows {
		r := &t.Rows[i]
		fmt.Fprintf(&b, "%-32s %10s %9.4g %10s %22s  %s\n", clean(r.Subject, 32), thousands(int64(r.Msgs)), r.Rate, volume(r.Bytes),
			fmt.Sprintf("%d/%.0f/%d", r.Least, r.Mean, r.Most), clean(r.Last, shownValue))
	}
	if more := t.Subjects - len(t.Rows); more > 0 {
		fmt.Fprintf(&b, "%s more: --rows shows them\n", plural(more, "subject"))
	}
	if t.Others > 0 {
		fmt.Fprintf(&b, "%s on further subjects: choose a narrower one\n", plural(int(t.Others), "message"))
	}
	if t.Dropped > 0 {
		fmt.Fprintf(&b, "%s came faster than they could be counted\n", plural(int(t.Dropped), "message"))
	}
	return b.String()
}
