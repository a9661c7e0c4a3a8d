//go:build linux

package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// sdkCuts is how often each line is cut; EDGEBUS_LONG has it cut 200 times.
func sdkCuts() int {
	if os.Getenv("EDGEBUS_LONG") != "" {
		return 200
	}
	return 16
}

// outages between the cuts of a line that an outbox is judged by.
const outages = 4

// A receiver notes which numbers have come, by the last token of their subject.
type receiver struct {
	mu     sync.Mutex
	seen   map[int]int
	newest int
	late   int // came first after a newer one
}

func (r *receiver) take(m *client.Msg) {
	n, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil {
		n = -1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[n]++; r.seen[n] == 1 && n < r.newest {
		r.late++
	}
	r.newest = max(r.newest, n)
}

func (r *receiver) has(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[n] > 0
}

func (r *receiver) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// sdkQuick makes an SDK that does not wait long between its attempts.
var sdkQuick = client.ReconnectWait(time.Millisecond, 20*time.Millisecond)

// cutAtRandom cuts a line so many times, after any number of bytes either way.
func cutAtRandom(t *testing.T, l *line, conn *client.Conn, cuts int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range cuts {
		before := conn.Stats().Reconnects
		// What comes back is receipts alone, and they are short.
		w := bothWays[random.IntN(2)]
		bytes := random.IntN(20_000)
		if w == down {
			bytes = random.IntN(200)
		}
		if link := l.last(); link != nil {
			link.cutAfter(w, bytes, link.reset)
		}
		process.Eventually(t, patience, "another line after a cut", func() bool { return conn.Stats().Reconnects > before })
	}
}

func TestSDKPublishSyncLosesNothingConfirmed(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		l := newLine(t, s.Addr(), weather{})
		direct := sdk(t, s.URL())
		got := &receiver{seen: map[int]int{}}
		must(direct.Subscribe("cut.>", got.take))
		sdkFlush(t, direct)
		conn := sdk(t, l.addr, sdkQuick)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		confirmed, failed := publishNumbers(ctx, t, conn, "cut.", 8)
		cutAtRandom(t, l, conn, sdkCuts())
		stop()
		sdkFlush(t, direct)
		n := 0
		for number := range confirmed() {
			n++
			if !waitFor(func() bool { return got.has(number) }) {
				t.Fatalf("%d was confirmed and has not come", number)
			}
		}
		if n == 0 || failed() == 0 {
			t.Errorf("%d confirmed, %d broken off: that shows nothing", n, failed())
		}
		t.Logf("%d cuts, %d confirmed, %d broken off", sdkCuts(), n, failed())
	})
}

func waitFor(f func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

// publishNumbers publishes from several goroutines until ctx ends. What it returns waits for them.
func publishNumbers(ctx context.Context, t *testing.T, conn *client.Conn, prefix string, goroutines int) (confirmed func() map[int]bool, failed func() int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	numbers, broken, next := map[int]bool{}, 0, 0
	for range goroutines {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				next++
				number := next
				mu.Unlock()
				err := conn.PublishSync(ctx, fmt.Sprint(prefix, number), make([]byte, 100))
				mu.Lock()
				switch {
				case err == nil:
					numbers[number] = true
				case errors.Is(err, client.ErrDisconnected):
					broken++
				case ctx.Err() == nil:
					t.Errorf("%d: %v", number, err)
				}
				mu.Unlock()
			}
		})
	}
	return func() map[int]bool { wg.Wait(); return numbers }, func() int { wg.Wait(); return broken }
}

// A server that is killed takes along what it has in hand for others. What it has for us it has told
// before the receipt: one connection, and in this order.
func TestSDKPublishSyncSurvivesKilledServers(t *testing.T) {
	kills := max(3, sdkCuts()/10)
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := sdk(t, s.URL(), sdkQuick)
		got := &receiver{seen: map[int]int{}}
		must(conn.Subscribe("kill.>", got.take))
		sdkFlush(t, conn)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		confirmed, _ := publishNumbers(ctx, t, conn, "kill.", 4)
		for range kills {
			before, had := conn.Stats().Reconnects, got.distinct()
			process.Eventually(t, patience, "traffic", func() bool { return got.distinct() > had+20 })
			s.Kill()
			s.Again()
			process.Eventually(t, patience, "another line", func() bool { return conn.Stats().Reconnects > before })
		}
		stop()
		for number := range confirmed() {
			if !waitFor(func() bool { return got.has(number) }) {
				t.Fatalf("%d was confirmed and has not come", number)
			}
		}
	})
}

func TestSDKOutboxAccountsForEveryMessage(t *testing.T) {
	policies := map[string]client.OutboxOptions{
		"block":          {Policy: client.Block, Messages: 50},
		"drop oldest":    {Policy: client.DropOldest, Messages: 50},
		"drop newest":    {Policy: client.DropNewest, Messages: 50},
		"rate and live":  {Policy: client.DropOldest, Messages: 50, Rate: 2000, LiveFirst: true},
		"room for every": {Messages: 1 << 20, Bytes: 1 << 30},
	}
	onEach(t, "", func(t *testing.T, s *process.Server) {
		for name, box := range policies {
			t.Run(name, func(t *testing.T) { accountFor(t, s, box) })
		}
	})
}

func accountFor(t *testing.T, s *process.Server, box client.OutboxOptions) {
	l := newLine(t, s.Addr(), weather{})
	direct := sdk(t, s.URL())
	got := &receiver{seen: map[int]int{}}
	must(direct.Subscribe("box.>", got.take))
	sdkFlush(t, direct)
	conn := sdk(t, l.addr, sdkQuick, client.WithOutbox(box))
	var wg sync.WaitGroup
	ended := make(chan struct{})
	sent := 0
	wg.Go(func() {
		for ; ; sent++ {
			select {
			case <-ended:
				return
			default:
			}
			err := conn.Publish(fmt.Sprint("box.", sent), make([]byte, 100))
			if err != nil && !errors.Is(err, client.ErrOutboxFull) {
				t.Errorf("%d: %v", sent, err)
			}
			if sent%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	for range outages {
		cutAtRandom(t, l, conn, sdkCuts()/outages)
		l.set(func(l *line) { l.refuses = true })
		l.reset()
		process.Eventually(t, patience, "an outage with messages", func() bool {
			stats := conn.OutboxStats()
			return stats.Queued > 20
		})
		l.set(func(l *line) { l.refuses = false })
		before := conn.OutboxStats().Confirmed
		process.Eventually(t, patience, "messages again", func() bool { return conn.OutboxStats().Confirmed > before })
	}
	close(ended)
	wg.Wait()
	middle := conn.OutboxStats()
	if got := middle.Confirmed + uint64(middle.Queued) + middle.Dropped.Total(); middle.Sent != uint64(sent) || got != middle.Sent {
		t.Errorf("published %d, accounted for %d: %+v", sent, got, middle)
	}
	sdkFlush(t, conn)
	sdkFlush(t, direct)
	end := conn.OutboxStats()
	if end.Queued != 0 || end.QueuedBytes != 0 || end.Confirmed+end.Dropped.Total() != uint64(sent) {
		t.Errorf("after flushing %d: %+v", sent, end)
	}
	// Those that were dropped after they had been sent once may have arrived, all others not.
	least, most := end.Confirmed, end.Confirmed+end.Dropped.Unconfirmed
	process.Eventually(t, patience, fmt.Sprintf("%d messages", least), func() bool { return uint64(got.distinct()) >= least })
	if n := uint64(got.distinct()); n > most {
		t.Errorf("%d messages came, %d to %d by the accounts: %+v", n, least, most, end)
	}
	// What is sent again comes in order again. Out of it comes only what was given up, and was on its way.
	got.mu.Lock()
	defer got.mu.Unlock()
	if got.late > 0 && !box.LiveFirst && end.Dropped.Total() == 0 {
		t.Errorf("%d messages came behind newer ones", got.late)
	}
	t.Logf("%d published: %+v", sent, end)
}

func TestSDKOutboxSurvivesKilledServers(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := sdk(t, s.URL(), sdkQuick, client.WithOutbox(client.OutboxOptions{Policy: client.Block}))
		got := &receiver{seen: map[int]int{}}
		must(conn.Subscribe("kill.>", got.take))
		sdkFlush(t, conn)
		ended := make(chan struct{})
		var wg sync.WaitGroup
		sent := 0
		wg.Go(func() {
			for ; ; sent++ {
				select {
				case <-ended:
					return
				default:
				}
				if err := conn.Publish(fmt.Sprint("kill.", sent), nil); err != nil {
					t.Errorf("%d: %v", sent, err)
				}
				if sent%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
		for range max(3, sdkCuts()/10) {
			before := conn.OutboxStats().Confirmed
			process.Eventually(t, patience, "traffic", func() bool { return conn.OutboxStats().Confirmed > before+100 })
			s.Kill()
			s.Again()
		}
		close(ended)
		wg.Wait()
		sdkFlush(t, conn)
		want := client.OutboxStats{Sent: uint64(sent), Confirmed: uint64(sent)}
		if stats := conn.OutboxStats(); stats != want {
			t.Errorf("accounts %+v, want %+v", stats, want)
		}
		process.Eventually(t, patience, "every message", func() bool { return got.distinct() == sent })
	})
}
