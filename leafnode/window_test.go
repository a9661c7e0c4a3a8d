package leafnode

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A line is simulated: what is sent waits in the kernel's buffer, passes at a rate, and arrives after
// half a round trip; a PONG comes back after the other half.
type line struct {
	rate   float64       // bytes a second
	rtt    time.Duration // of an empty line
	jitter time.Duration // more than that, at random
	buffer int           // bytes that the kernel takes; 0: any number
}

// A run is what has been seen of a line.
type run struct {
	usage    float64       // part of what the line could have carried
	worst    time.Duration // the longest round trip after the beginning
	changes  int           // of the window, after the beginning
	window   int
	maxPings int // that were unanswered
}

// drive has the receipts' owner send as much as it may through a line: frames of a size, for a time.
func drive(l line, frame int, lasting, beginning time.Duration, r *receipts) (seen run) {
	random := rand.New(rand.NewPCG(1, 2))
	type pong struct{ at int64 }
	var pongs []pong
	now, free, arrives, delivered := int64(0), int64(0), int64(0), 0.0
	pass := func(bytes int) (arrival int64) {
		free = max(free, now) + int64(float64(bytes)/l.rate*float64(time.Second))
		arrives = max(arrives, free+int64(l.rtt)/2) // nothing overtakes
		if l.jitter > 0 {
			arrives = max(arrives, free+int64(l.rtt)/2+random.Int64N(int64(l.jitter)))
		}
		return arrives
	}
	ping := func() {
		r.ping(now)
		pongs = append(pongs, pong{pass(6) + int64(l.rtt)/2})
		seen.maxPings = max(seen.maxPings, len(pongs))
	}
	for now < int64(lasting) {
		for {
			flying, _ := r.inFlight()
			queued := float64(free-now) / float64(time.Second) * l.rate
			if l.buffer > 0 && queued+float64(frame) > float64(l.buffer) {
				break
			}
			if room := r.room(); room < frame && flying > 0 {
				if r.wantsPing(true) {
					ping()
				}
				break
			}
			r.sent(frame, 1)
			if at := pass(frame); at < int64(lasting) && at >= int64(beginning) {
				delivered += float64(frame)
			}
			if r.wantsPing(false) {
				ping()
			}
		}
		// To the next thing that happens: a PONG, or room in the kernel's buffer.
		next := now + int64(time.Second)
		if len(pongs) > 0 {
			next = min(next, pongs[0].at)
		}
		if l.buffer > 0 && free > now {
			room := free - int64(float64(l.buffer-frame)/l.rate*float64(time.Second)) + 1
			if room > now {
				next = min(next, room)
			}
		}
		now = max(next, now+1)
		for len(pongs) > 0 && pongs[0].at <= now {
			window := r.size()
			rtt, _ := r.pong(now)
			pongs = pongs[1:]
			if now > int64(beginning) {
				seen.worst = max(seen.worst, rtt)
				if r.size() != window {
					seen.changes++
				}
			}
		}
	}
	seen.usage = delivered / (l.rate * (lasting - beginning).Seconds())
	seen.window = r.size()
	return seen
}

func TestTheWindowFitsEveryLine(t *testing.T) {
	const kbit, mbit = 1000.0 / 8, 1000000.0 / 8
	for _, c := range []struct {
		name  string
		line  line
		worst time.Duration
		begin time.Duration // how long the window may take to fit
	}{
		{"50 kbit/s, deep buffers", line{rate: 50 * kbit, rtt: 600 * time.Millisecond}, 5 * time.Second, 0},
		{"50 kbit/s, shallow buffers", line{rate: 50 * kbit, rtt: 600 * time.Millisecond, buffer: 4 << 10}, 5 * time.Second, 0},
		{"50 kbit/s, jitter", line{rate: 50 * kbit, rtt: 600 * time.Millisecond, jitter: 500 * time.Millisecond}, 6 * time.Second, 0},
		{"50 kbit/s, near", line{rate: 50 * kbit, rtt: 20 * time.Millisecond}, 5 * time.Second, 0},
		{"20 kbit/s", line{rate: 20 * kbit, rtt: 800 * time.Millisecond}, 8 * time.Second, 0},
		{"256 kbit/s over a satellite", line{rate: 256 * kbit, rtt: 1200 * time.Millisecond}, 6 * time.Second, 10 * time.Second},
		{"10 Mbit/s", line{rate: 10 * mbit, rtt: 40 * time.Millisecond}, 3 * time.Second, time.Second},
		{"10 Mbit/s, shallow buffers", line{rate: 10 * mbit, rtt: 40 * time.Millisecond, buffer: 64 << 10}, 3 * time.Second, time.Second},
		{"10 Mbit/s over a satellite", line{rate: 10 * mbit, rtt: 600 * time.Millisecond}, 4 * time.Second, 10 * time.Second},
		{"10 Mbit/s over two satellites", line{rate: 10 * mbit, rtt: 2500 * time.Millisecond}, 8 * time.Second, 40 * time.Second},
		{"100 Mbit/s", line{rate: 100 * mbit, rtt: 100 * time.Millisecond, jitter: 20 * time.Millisecond}, 3 * time.Second, 2 * time.Second},
		{"loopback", line{rate: 500e6, rtt: 50 * time.Microsecond}, time.Second, 100 * time.Millisecond},
	} {
		for _, frame := range []int{150, 1000, 5000} {
			t.Run(fmt.Sprintf("%s, frames of %d", c.name, frame), func(t *testing.T) {
				lasting := 10 * time.Minute
				if c.line.rate > 50e3 {
					lasting = 80 * time.Second
				}
				if c.line.rate > 5e6 {
					lasting = 5 * time.Second
				}
				if c.line.rate > 50e6 {
					lasting = time.Second
				}
				r := newReceipts(0)
				seen := drive(c.line, frame, lasting, c.begin, &r)
				t.Logf("%+v", seen)
				if seen.usage < 0.8 || seen.worst > c.worst || seen.maxPings > maxPings {
					t.Errorf("%+v", seen)
				}
				// It finds its size, and tries another one now and then at most.
				if most := 12 + int(lasting/(15*time.Second)); seen.changes > most {
					t.Errorf("changed %d times in %v", seen.changes, lasting)
				}
			})
		}
	}
}

func TestTheWindowFollowsTheLine(t *testing.T) {
	r := newReceipts(0)
	fast := line{rate: 10e6, rtt: 40 * time.Millisecond}
	drive(fast, 1000, 2*time.Second, 0, &r)
	if r.window < 1<<20 {
		t.Fatalf("a window of %d at 10 MB/s", r.window)
	}
	// The line becomes slow while all of that is on its way. The simulation begins at 0 again.
	bytes, msgs := r.inFlight()
	slow := newReceipts(0)
	slow.window, slow.line = r.window, r.line
	slow.sent(bytes, msgs)
	slow.ping(0)
	for at := int64(0); ; {
		if flying, _ := slow.inFlight(); flying == 0 {
			break
		}
		at += int64(float64(bytes) / 50e3 * float64(time.Second))
		slow.pong(at)
	}
	if slow.window >= r.window {
		t.Fatalf("the window is still %d", slow.window)
	}
	// What is not needed for long is not kept: the line may have changed.
	idle := newReceipts(0)
	idle.window = windowMost
	for now := int64(0); now < 2*quietTime; now += int64(time.Second) {
		idle.sent(100, 1)
		idle.ping(now)
		idle.pong(now + int64(time.Millisecond))
	}
	if idle.window != windowQuiet {
		t.Fatalf("a window of %d after a minute of nearly nothing", idle.window)
	}
}

func TestReceiptsCoverWhatWasSentBefore(t *testing.T) {
	r := newReceipts(0)
	check := func(wantBytes, wantMsgs int) {
		t.Helper()
		if bytes, msgs := r.inFlight(); bytes != wantBytes || msgs != wantMsgs {
			t.Fatalf("%d bytes and %d messages in flight, want %d and %d", bytes, msgs, wantBytes, wantMsgs)
		}
	}
	if _, ok := r.pong(5); ok {
		t.Fatal("a PONG that nobody asked for is a receipt")
	}
	if _, ok := r.oldest(); ok || r.wantsPing(true) {
		t.Fatal("a PING is outstanding, or wanted, before anything was sent")
	}
	r.sent(100, 2)
	check(100, 2)
	if r.wantsPing(false) || !r.wantsPing(true) {
		t.Fatal("100 bytes want a PING only when nothing more comes")
	}
	r.ping(10)
	if r.wantsPing(true) {
		t.Fatal("what a PING is out for wants another one")
	}
	r.sent(50, 1)
	if r.wantsPing(true) {
		t.Fatal("a PING for a little more, while another is out")
	}
	r.sent(windowFirst/pingShare, 1)
	if !r.wantsPing(false) {
		t.Fatal("a quarter of the window wants no PING")
	}
	r.ping(20)
	if since, ok := r.oldest(); since != 10 || !ok {
		t.Fatalf("the oldest PING is of %d", since)
	}
	rtt, ok := r.pong(35)
	if rtt != 25 || !ok || !r.light() {
		t.Fatalf("%v, %v", rtt, ok)
	}
	check(50+windowFirst/pingShare, 2)
	if bytes, msgs := r.lost(); bytes != 50+windowFirst/pingShare || msgs != 2 {
		t.Fatalf("%d bytes and %d messages lost", bytes, msgs)
	}
	if since, ok := r.oldest(); since != 20 || !ok {
		t.Fatalf("the oldest PING is of %d", since)
	}
	r.pong(40)
	check(0, 0)
	if at, ok := r.last(); at != 40 || !ok {
		t.Fatalf("the last receipt is of %d", at)
	}
	if _, ok := r.pong(50); ok {
		t.Fatal("a third PONG after two PINGs")
	}
	if room := r.room(); room != r.size() {
		t.Fatalf("room for %d of %d", room, r.size())
	}
	r.sent(64<<20, 1)
	if room := r.room(); room > 0 {
		t.Fatalf("room for %d more after a large frame", room)
	}
	if !r.wantsPing(false) {
		t.Fatal("a large frame wants no PING")
	}
}

func TestManyPingsNeedAsManyAnswers(t *testing.T) {
	r := newReceipts(0)
	const pings = 3 * maxPings
	for i := range pings {
		r.sent(10, 1)
		r.ping(int64(i))
	}
	if r.wantsPing(true) {
		t.Fatal("one more is wanted")
	}
	for i := range pings {
		_, msgs := r.inFlight()
		// The first of them have a mark each; the others count together, with the last.
		want := pings - i
		if i >= maxPings-1 {
			want = pings - maxPings + 1
		}
		if msgs != want {
			t.Fatalf("%d messages in flight after %d answers, want %d", msgs, i, want)
		}
		if _, ok := r.pong(1000); !ok {
			t.Fatalf("answer %d was not asked for", i)
		}
	}
	if _, msgs := r.inFlight(); msgs != 0 {
		t.Fatalf("%d messages in flight after all answers", msgs)
	}
	if _, ok := r.pong(2000); ok {
		t.Fatal("one answer too many was asked for")
	}
}

// A model knows of every PING; the receipts may know less, but never promise more.
func TestReceiptsNeverPromiseTooMuch(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	r := newReceipts(0)
	var sent, done uint64
	var out []uint64
	for i := range 300_000 {
		switch random.IntN(3) {
		case 0:
			n := random.IntN(3000)
			r.sent(n, 1)
			sent += uint64(n)
		case 1:
			if len(out) < 2*maxPings {
				r.ping(int64(i))
				out = append(out, sent)
			}
		case 2:
			if _, ok := r.pong(int64(i)); ok != (len(out) > 0) {
				t.Fatalf("seed %d, step %d: a PONG after %d PINGs: %v", seed, i, len(out), ok)
			}
			if len(out) > 0 {
				done, out = out[0], out[1:]
			}
		}
		bytes, _ := r.inFlight()
		if uint64(bytes) < sent-done || len(out) == 0 && uint64(bytes) != sent-done {
			t.Fatalf("seed %d, step %d: %d bytes in flight, really %d", seed, i, bytes, sent-done)
		}
		if r.size() < windowLeast || r.size() > windowMost {
			t.Fatalf("seed %d, step %d: a window of %d", seed, i, r.size())
		}
	}
}

func BenchmarkSentAndRoom(b *testing.B) {
	r := newReceipts(0)
	b.ReportAllocs()
	for b.Loop() {
		r.sent(150, 1)
		if r.room() <= 0 || r.wantsPing(false) {
			r.ping(0)
			r.pong(0)
		}
	}
}
