//go:build linux

package peers

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/client"
)

// A flow is numbered messages from one publisher to one subscriber, and the books on them.
type flow struct {
	name    string
	repeats bool     // a message may come twice: its publisher sends again what had no receipt
	breaks  bool     // its publisher's line does: what had no receipt may come by the old line, behind what the new one has brought
	excused excuse   // nil: nothing is
	counts  *counted // who has counted what is missing without an excuse; nil: nothing may be

	// Anyone's, under mu.
	mu        sync.Mutex
	sent      int
	began     time.Time // when the first was made
	confirmed []int32   // when, by number, in milliseconds since; 0: not
	got       []bool    // by number
	last      int       // the highest that has come
	lastAt    time.Time // and when
	gaps      []gap
	twice     int
	late      []int // came after one with a higher number
	damaged   int
}

// A gap is numbers that had not come when a higher one came.
type gap struct {
	first, last  int
	since, until time.Time // when the number before and the number after came
}

func (f *flow) subject() string { return "flow." + f.name }

// next is one more message: its number and text, which differ in length and content.
func (f *flow) next() (number int, text []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent++; f.sent == 1 {
		f.began = time.Now().Add(-time.Millisecond)
	}
	return f.sent, flowText(f.sent)
}

func flowText(number int) []byte {
	text := append(strconv.AppendInt(nil, int64(number), 10), ' ')
	length := number * 37 % 700
	if number%101 == 0 {
		length = 20_000 // more than a segment, and than the small chunks of a queue
	}
	return append(text, bytes.Repeat([]byte{'a' + byte(number%26)}, length)...)
}

// confirm notes that the server has processed the numbers from first to last.
func (f *flow) confirm(first, last int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := first; n <= last; n++ {
		set(&f.confirmed, n, int32(time.Since(f.began).Milliseconds()))
	}
}

// set enters something for a number in a list that grows.
func set[T any](list *[]T, number int, value T) (was T) {
	for len(*list) <= number {
		var none T
		*list = append(*list, none)
	}
	was, (*list)[number] = (*list)[number], value
	return was
}

// take is one message that has come.
func (f *flow) take(text []byte) {
	digits, _, _ := bytes.Cut(text, []byte{' '})
	number, err := strconv.Atoi(string(digits))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || number < 1 || number > f.sent || !bytes.Equal(text, flowText(number)) {
		f.damaged++
		return
	}
	now := time.Now()
	switch was := set(&f.got, number, true); {
	case was:
		f.twice++
	case number < f.last:
		f.late = append(f.late, number)
	default:
		if number > f.last+1 {
			f.gaps = append(f.gaps, gap{f.last + 1, number - 1, f.lastAt, now})
		}
		f.last, f.lastAt = number, now
	}
}

// settled reports whether the newest message has come: every gap is known then.
func (f *flow) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last == f.sent
}

// audit closes the books. What is missing although it was confirmed has an excuse or is returned, to be
// found among what somebody has counted.
func (f *flow) audit(t *testing.T) (missing int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	confirmed, arrived, excused := 0, 0, 0
	for n, at := range f.confirmed {
		if at != 0 {
			confirmed++
			if n < len(f.got) && f.got[n] {
				arrived++
			}
		}
	}
	for _, g := range f.gaps {
		lost := 0
		for n := g.first; n <= g.last && n < len(f.confirmed); n++ {
			at := f.confirmed[n]
			if at == 0 || f.got[n] {
				continue
			}
			if f.excused != nil && f.excused(g, f.began.Add(time.Duration(at)*time.Millisecond)) {
				excused++
			} else {
				lost++
			}
		}
		if missing += lost; lost > 0 && f.counts == nil {
			t.Errorf("%s: %d messages that were confirmed are missing, from %d on, between %v and %v", f.name, lost, g.first,
				g.since.Format(time.StampMicro), g.until.Format(time.StampMicro))
		}
	}
	t.Logf("%-8s %7d published %7d confirmed %7d of them arrived %5d lost with a server or link %5d to be counted %4d came twice %2d late",
		f.name, f.sent, confirmed, arrived, excused, missing, f.twice, len(f.late))
	if confirmed == 0 || arrived == 0 {
		t.Errorf("%s: that shows nothing", f.name)
	}
	wrong := 0
	for _, n := range f.late {
		if !f.breaks || n < len(f.confirmed) && f.confirmed[n] != 0 {
			wrong++
		}
	}
	if wrong > 0 || f.damaged > 0 || f.twice > 0 && !f.repeats {
		t.Errorf("%s: %d came after a later one, %d not as they were sent, %d twice", f.name, wrong, f.damaged, f.twice)
	}
	return missing
}

const (
	flowBatch = 12                     // messages that share a receipt, at most
	flowPause = 20 * time.Millisecond  // between batches, at most
	flowTail  = 100 * time.Millisecond // between messages at the end
)

// publishing is a publisher until ctx ends, and then until its newest message has come.
func (f *flow) publishing(ctx, ending context.Context, random *rand.Rand, batch func(ctx context.Context, size int)) {
	for ctx.Err() == nil {
		batch(ctx, 1+random.IntN(flowBatch))
		pause(ctx, time.Duration(random.Int64N(int64(flowPause))))
	}
	for ending.Err() == nil && !f.settled() {
		batch(ending, 1)
		pause(ending, flowTail)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// byNats publishes with nats.go; the PONG of a flush is the receipt, if it came over the same line.
func (f *flow) byNats(nc *nats.Conn) func(ctx context.Context, size int) {
	return func(ctx context.Context, size int) {
		lines := nc.Stats().Reconnects
		if !nc.IsConnected() {
			return
		}
		first, last := 0, 0
		for range size {
			number, text := f.next()
			if nc.Publish(f.subject(), text) != nil {
				return
			}
			if first == 0 {
				first = number
			}
			last = number
		}
		limit, cancel := context.WithTimeout(ctx, 2*patience)
		defer cancel()
		if nc.FlushWithContext(limit) == nil && nc.Stats().Reconnects == lines {
			f.confirm(first, last)
		}
	}
}

// bySync publishes with PublishSync.
func (f *flow) bySync(t *testing.T, conn *client.Conn) func(ctx context.Context, size int) {
	return func(ctx context.Context, size int) {
		for range size {
			number, text := f.next()
			switch err := conn.PublishSync(ctx, f.subject(), text); {
			case err == nil:
				f.confirm(number, number)
			case errors.Is(err, client.ErrDisconnected), ctx.Err() != nil:
			default:
				t.Errorf("%s: %d: %v", f.name, number, err)
			}
		}
	}
}

// byOutbox publishes by way of an outbox that drops nothing: all that it has no longer is confirmed.
func (f *flow) byOutbox(t *testing.T, conn *client.Conn) func(ctx context.Context, size int) {
	done := 0
	return func(ctx context.Context, size int) {
		for range size {
			number, text := f.next()
			if err := conn.Publish(f.subject(), text); err != nil {
				t.Errorf("%s: %d: %v", f.name, number, err)
			}
		}
		// It is emptied in order.
		stats := conn.OutboxStats()
		if n := int(stats.Confirmed); n > done {
			f.confirm(done+1, n)
			done = n
		}
		if sum := stats.Confirmed + uint64(stats.Queued) + stats.Dropped.Total(); sum != stats.Sent || stats.Dropped.Total() > 0 {
			t.Errorf("%s: the outbox accounts for %d of %d: %+v", f.name, sum, stats.Sent, stats)
		}
	}
}
