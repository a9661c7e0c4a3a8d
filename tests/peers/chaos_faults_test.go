//go:build linux

package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A pace is how quickly faults follow one another.
type pace struct {
	pause  time.Duration // between two at one place, at most
	outage time.Duration // how long one lasts, at most
	long   time.Duration // and one in longOnes
}

// longOnes: one outage in so many is a long one.
const longOnes = 12

// A fault is something that happens to a place. It undoes itself before it returns, and soon if ctx ends.
type fault struct {
	name string
	does func(ctx context.Context, random *rand.Rand)
}

// A trouble is the faults of a run. What happens where, how long and after which pause follows from
// the seed; only the traffic beside it is another each time.
type trouble struct {
	t     *testing.T
	seed  uint64
	pace  pace
	began time.Time
	wg    sync.WaitGroup

	// Anyone's, under mu.
	mu     sync.Mutex
	counts map[string]int
	story  []string               // the newest of them
	ends   map[string][]time.Time // of servers, by name
}

// storyLength is how many faults a failed test tells of.
const storyLength = 200

// at makes a place suffer from one of its faults after the other until ctx ends, each some pauses after the last.
func (tr *trouble) at(ctx context.Context, place string, number uint64, pauses int, faults ...fault) {
	random := rand.New(rand.NewPCG(tr.seed, number))
	tr.wg.Go(func() {
		for {
			pause(ctx, time.Duration(random.Int64N(int64(tr.pace.pause)*int64(pauses))))
			each := faults[random.IntN(len(faults))]
			// A fault draws as often as it likes: the next one is the same nevertheless.
			own := rand.New(rand.NewPCG(random.Uint64(), number))
			if ctx.Err() != nil {
				return
			}
			tr.note(place + ": " + each.name)
			each.does(ctx, own)
		}
	})
}

func (tr *trouble) note(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.counts[what]++
	tr.story = append(tr.story, fmt.Sprintf("%9.3f %s", time.Since(tr.began).Seconds(), what))
	tr.story = tr.story[max(0, len(tr.story)-storyLength):]
}

// ended notes that a server has ended just now.
func (tr *trouble) ended(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ends[name] = append(tr.ends[name], time.Now())
}

// tell shows how often each of the faults has happened; after a failure the last of them in their order.
func (tr *trouble) tell() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var lines []string
	total := 0
	for what, n := range tr.counts {
		lines = append(lines, fmt.Sprintf("%6d %s", n, what))
		total += n
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[7:], b[7:]) })
	tr.t.Logf("%d faults:\n%s", total, strings.Join(lines, "\n"))
	if tr.t.Failed() {
		tr.t.Logf("the last of them, in seconds since %v:\n%s", tr.began.Format(time.StampMicro), strings.Join(tr.story, "\n"))
	}
}

// outage waits for as long as a fault is to last.
func (tr *trouble) outage(ctx context.Context, random *rand.Rand) {
	most := tr.pace.outage
	if random.IntN(longOnes) == 0 {
		most = tr.pace.long
	}
	pause(ctx, time.Duration(random.Int64N(int64(most))))
}

// stops is a server that stands still for a while, as in swapping, or in a debugger.
func (tr *trouble) stops(n *node) fault {
	return fault{"stopped", func(ctx context.Context, random *rand.Rand) {
		n.Signal(syscall.SIGSTOP)
		tr.outage(ctx, random)
		n.Signal(syscall.SIGCONT)
	}}
}

// killed is a server whose power is cut, and comes back after a while. Before sees it alive.
func (tr *trouble) killed(n *node, before func()) fault {
	return fault{"killed", func(ctx context.Context, random *rand.Rand) {
		before()
		n.Kill()
		tr.ended(n.name)
		tr.outage(ctx, random)
		n.SetConfig(n.text()) // a reload may have left one that is none
		n.Again()
	}}
}

// restarted is a server that is asked to end, and comes back.
func (tr *trouble) restarted(n *node, before func()) fault {
	return fault{"restarted", func(ctx context.Context, random *rand.Rand) {
		before()
		n.Signal(syscall.SIGTERM)
		n.Wait(patience)
		tr.ended(n.name)
		tr.outage(ctx, random)
		n.SetConfig(n.text()) // a reload may have left one that is none
		n.Again()
	}}
}

// reloaded is a server that gets another configuration: none of those takes anything from the clients of
// the test, one is none at all.
func (tr *trouble) reloaded(n *node) fault {
	return fault{"reloaded", func(_ context.Context, random *rand.Rand) {
		text := n.text()
		extra := []string{
			"", "max_subscriptions: 5000", "ping_interval: \"30s\"", "max_failed_logins: 50", "debug: true", "this is { no configuration",
			"max_control_line: 2KB", "mappings: { \"nobody.*\": \"somebody.$1\" }",
		}
		text += "\n" + extra[random.IntN(len(extra))]
		if random.IntN(4) == 0 { // the link is made anew
			text = strings.Replace(text, `deny_exports: [ "never.>" ]`, fmt.Sprintf(`deny_exports: [ "never.%d.>" ]`, random.IntN(1000)), 1)
		}
		n.SetConfig(text)
		n.Signal(syscall.SIGHUP)
	}}
}

// breaks are what happens to a line.
func (tr *trouble) breaks(l *line) []fault {
	onLast := func(name string, does func(ctx context.Context, link *through, random *rand.Rand)) fault {
		return fault{name, func(ctx context.Context, random *rand.Rand) {
			if link := l.last(); link != nil && link.ends[down] != nil {
				does(ctx, link, random)
			}
		}}
	}
	return []fault{
		onLast("cut", func(_ context.Context, link *through, _ *rand.Rand) { link.reset() }),
		onLast("closed", func(_ context.Context, link *through, _ *rand.Rand) { link.finish() }),
		onLast("cut after some bytes", func(_ context.Context, link *through, random *rand.Rand) {
			link.cutAfter(bothWays[random.IntN(2)], random.IntN(30_000), link.reset)
		}),
		onLast("silent", func(ctx context.Context, link *through, random *rand.Rand) {
			link.stall(true)
			tr.outage(ctx, random)
			link.stall(false)
		}),
		onLast("silent and then cut", func(ctx context.Context, link *through, random *rand.Rand) {
			link.stall(true)
			tr.outage(ctx, random)
			link.reset()
		}),
		{"refused", func(ctx context.Context, random *rand.Rand) {
			l.set(func(l *line) { l.refuses = true })
			l.reset()
			tr.outage(ctx, random)
			l.set(func(l *line) { l.refuses = false })
		}},
		{"dialled without an answer", func(ctx context.Context, random *rand.Rand) {
			l.set(func(l *line) { l.swallow = true })
			l.reset()
			tr.outage(ctx, random)
			l.set(func(l *line) { l.swallow = false })
			l.reset()
		}},
	}
}

// slack is by how much a test on a busy machine may be late to note when a message came.
const slack = time.Second

// An excuse says whether a message that was confirmed at a moment may be missing, in a gap.
type excuse func(g gap, confirmed time.Time) bool

// around reports whether one of the moments lies between two others, or close to that.
func around(since, until time.Time, moments []time.Time) bool {
	return slices.ContainsFunc(moments, func(at time.Time) bool {
		return at.After(since.Add(-slack)) && at.Before(until.Add(slack))
	})
}

// endOf excuses what is missing around the end of a server: what it had in hand is gone, and that may be
// long since.
func (tr *trouble) endOf(n *node) excuse {
	return func(g gap, _ time.Time) bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return around(g.since, g.until, tr.ends[n.name])
	}
}

// atEndOf excuses what another server confirmed just when one ended: it had been passed on in time, and what
// waited at the other is counted there.
func (tr *trouble) atEndOf(n *node) excuse {
	return func(_ gap, confirmed time.Time) bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return around(confirmed, confirmed, tr.ends[n.name])
	}
}

// newLink excuses what a nats-server had in hand for a link that was lost: there was another one.
func newLink(l *line) excuse {
	return func(g gap, _ time.Time) bool { return around(g.since, g.until, l.tries()) }
}

func either(excuses ...excuse) excuse {
	return func(g gap, confirmed time.Time) bool {
		return slices.ContainsFunc(excuses, func(f excuse) bool { return f(g, confirmed) })
	}
}

// The same seed has the same things happen in the same order, another one has not.
func TestFaultsFollowFromTheSeed(t *testing.T) {
	t.Parallel()
	const enough = 40
	play := func(seed uint64) (names []string) {
		tr := &trouble{t: t, seed: seed, pace: pace{time.Millisecond, time.Millisecond, time.Millisecond}, counts: map[string]int{}}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var faults []fault
		for i := range 10 {
			faults = append(faults, fault{fmt.Sprint(i), func(ctx context.Context, random *rand.Rand) {
				names = append(names, fmt.Sprint(i, random.IntN(1000)))
				if len(names) == enough {
					stop()
				}
			}})
		}
		tr.at(ctx, "here", 1, 1, faults...)
		tr.wg.Wait()
		return names[:enough]
	}
	first, again, other := play(1), play(1), play(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("with one seed\n%v\n%v\nwith another\n%v", first, again, other)
	}
}
