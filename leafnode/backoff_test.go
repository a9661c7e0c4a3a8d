package leafnode

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestAttemptsNeverStop(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	var b backoff
	now, began, upAt, isOut, isUp := int64(0), int64(0), int64(0), false, false
	for i := range 1_000_000 {
		ended := isUp && now-upAt >= stableAfter
		if !isOut || ended {
			isOut, began = true, now
		}
		isUp = false
		least := time.Duration(0)
		if r.IntN(1000) == 0 {
			least = time.Duration(r.Int64N(int64(time.Minute)))
			b.atLeast(least)
		}
		wait := b.failed(now, r.Int64N)
		if wait < least+backoffFirst/2 || wait > least+backoffMost*3/2 {
			t.Fatalf("seed %d, attempt %d: wait %v", seed, i, wait)
		}
		if now-began < backoffMinute && wait > least+backoffFirst*3/2 {
			t.Fatalf("seed %d, attempt %d: wait %v after %v", seed, i, wait, time.Duration(now-began))
		}
		now += int64(wait)
		if r.IntN(20) == 0 {
			b.up(now)
			isUp, upAt = true, now
			now += r.Int64N(2 * stableAfter)
		}
	}
}

func TestAnOutageIsWaitedOutWithFewAttempts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b backoff
	now, attempts, longest := int64(0), 0, time.Duration(0)
	for ; now < int64(10*time.Minute); attempts++ {
		wait := b.failed(now, r.Int64N)
		longest = max(longest, wait)
		now += int64(wait)
	}
	// About 60 in the first minute, and one in 20 s after that.
	if attempts < 70 || attempts > 110 || longest > 30*time.Second || longest < 20*time.Second {
		t.Fatalf("%d attempts in 10 minutes, the longest wait %v", attempts, longest)
	}
	// A hub that closes at once is not taken for one that is back.
	b.up(now)
	now += stableAfter / 2
	if wait := b.failed(now, r.Int64N); wait < backoffMost/2 {
		t.Fatalf("%v after a link of 5 s", wait)
	}
	b.up(now)
	now += stableAfter
	if wait := b.failed(now, r.Int64N); wait > 2*time.Second {
		t.Fatalf("%v after a link of 10 s", wait)
	}
}

func TestAFixedIntervalIsThatOfNatsServer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := backoff{fixed: 2 * time.Second}
	for i := range 1000 {
		if wait := b.failed(int64(i)*int64(time.Minute), r.Int64N); wait < b.fixed || wait >= 2*b.fixed {
			t.Fatalf("%v after an attempt", wait)
		}
	}
	b.up(0)
	if wait := b.failed(1, r.Int64N); wait != b.fixed {
		t.Fatalf("%v after a link was lost", wait)
	}
	b.up(2)
	b.atLeast(30 * time.Second)
	if wait := b.failed(3, r.Int64N); wait != 32*time.Second {
		t.Fatalf("%v after a loop", wait)
	}
	b.up(4)
	if wait := b.failed(5, r.Int64N); wait != b.fixed {
		t.Fatalf("%v once the loop is past", wait)
	}
	huge := backoff{fixed: 1<<63 - 1}
	huge.atLeast(1<<63 - 1)
	if wait := huge.failed(0, r.Int64N); wait < 24*time.Hour || wait > 72*time.Hour {
		t.Fatalf("%v for ever", wait)
	}
}

func TestLeavesComeBackSpreadOut(t *testing.T) {
	const leaves, slots = 1000, 20
	r := rand.New(rand.NewPCG(1, 2))
	var arrivals [slots]int // in parts of a twentieth of a second
	var late [2 * slots]int // in seconds, when the hub has been away for 10 minutes
	for range leaves {
		var b backoff
		b.up(0)
		now := int64(time.Hour)
		wait := b.failed(now, r.Int64N)
		arrivals[(wait-backoffFirst/2)*slots/backoffFirst]++
		for now < int64(time.Hour+10*time.Minute) {
			now += int64(wait)
			wait = b.failed(now, r.Int64N)
		}
		late[(now-int64(time.Hour+10*time.Minute))/int64(time.Second)]++
	}
	for i, n := range arrivals {
		if n < leaves/slots/2 || n > leaves/slots*2 {
			t.Errorf("%d of %d come in part %d of %d after a restart", n, leaves, i, slots)
		}
	}
	for i, n := range late {
		if n > leaves/8 {
			t.Errorf("%d of %d come in second %d after a long outage", n, leaves, i)
		}
	}
}
