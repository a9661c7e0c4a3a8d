package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestWheelAgainstAList plays random waits against a plain list of times.
func TestWheelAgainstAList(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var w wheel
	now := int64(1)
	waiting := map[*Conn]int64{}
	for range 20_000 {
		switch r.IntN(4) {
		case 0, 1:
			c := &Conn{wakeAt: now + r.Int64N(int64(2000*time.Second))}
			c.timerSlot = timerOff
			if r.IntN(3) == 0 {
				c.wakeAt = now + r.Int64N(int64(3*time.Second))
			}
			w.add(c)
			waiting[c] = c.wakeAt
		case 2:
			for c := range waiting {
				w.remove(c)
				delete(waiting, c)
				break
			}
		case 3:
			if next := w.next(now); (next < 0) != (len(waiting) == 0) {
				t.Fatalf("next is %v with %d waiting", next, len(waiting))
			}
			now += r.Int64N(int64(20 * time.Second))
			w.expire(now, func(c *Conn) {
				if at, ok := waiting[c]; !ok || at > now {
					t.Fatalf("came %v too early, or twice", time.Duration(at-now))
				}
				delete(waiting, c)
			})
			for _, at := range waiting {
				if at < now-slotWidth {
					t.Fatalf("%v late", time.Duration(now-at))
				}
			}
		}
	}
}

func TestWheelSaysWhenTheNextIsDue(t *testing.T) {
	var w wheel
	for _, wait := range []time.Duration{1, 2, 63, 64, 65, 300, 511} {
		c := &Conn{wakeAt: int64(wait * time.Second)}
		c.timerSlot = timerOff
		w.add(c)
		if got := w.next(0); got != wait*time.Second {
			t.Errorf("next is %v, want %v", got, wait*time.Second)
		}
		w.remove(c)
	}
	if got := w.next(0); got != -1 {
		t.Errorf("an empty wheel says %v", got)
	}
}

func TestOneMayRemoveAnotherWhileItExpires(t *testing.T) {
	var w wheel
	all := make([]*Conn, 10)
	for i := range all {
		all[i] = &Conn{wakeAt: int64(3 * time.Second)}
		w.add(all[i])
	}
	called := 0
	w.expire(int64(4*time.Second), func(c *Conn) {
		called++
		for _, other := range all {
			if other.timerSlot != timerOff {
				w.remove(other)
				break
			}
		}
	})
	if called != 5 {
		t.Errorf("%d were called, want every second one", called)
	}
}

func TestAlarmsComeByTime(t *testing.T) {
	var h alarms
	var want []int64
	for range 500 {
		at := rand.Int64N(1000)
		want = append(want, at)
		h.push(alarm{at: at})
	}
	slices.Sort(want)
	for i := range want {
		if got := h.pop().at; got != want[i] {
			t.Fatalf("number %d is at %d, want %d", i, got, want[i])
		}
	}
}
