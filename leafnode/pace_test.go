package leafnode

import (
	"testing"
	"time"
)

// at is a time on the engine's scale.
func at(d time.Duration) int64 { return int64(d) + 1 }

func TestPaceOfAFastLinkIsKnownAfterTheFirstReceipts(t *testing.T) {
	var p pace
	p.begin(at(0))
	if p.rest(at(time.Millisecond), 8<<20) == 0 {
		t.Error("nobody waits for a link that is just up")
	}
	// 50 MB a second, receipts in bunches of three.
	for i := range 30 {
		p.add(at(time.Duration(1+i/3)*time.Millisecond), 50_000/3)
	}
	now := at(11 * time.Millisecond)
	if p.rest(now, 8<<20) == 0 {
		t.Errorf("8 MiB do not drain at %.0f bytes a second", p.rate)
	}
	if p.rest(now, 80_000_000) != 0 {
		t.Errorf("80 MB drain within a second at %.0f bytes a second", p.rate)
	}
}

func TestNobodyWaitsForAThinOrStalledLink(t *testing.T) {
	var p pace
	p.begin(at(0))
	for i := range 20 {
		p.add(at(time.Duration(1+i)*time.Second), 6000)
	}
	if p.rest(at(20*time.Second), 100_000) != 0 {
		t.Error("100 kB drain within a second at 6 kB a second")
	}
	p.begin(at(0))
	p.add(at(10*time.Millisecond), 1<<20)
	if p.rest(at(20*time.Millisecond), 1<<20) == 0 {
		t.Error("1 MiB does not drain at 100 MiB a second")
	}
	if p.rest(at(3*time.Second), 1<<20) != 0 {
		t.Error("somebody waits for a link that has been silent for three seconds")
	}
	var silent pace
	silent.begin(at(0))
	if silent.rest(at(2*time.Second), 1) != 0 {
		t.Error("somebody waits for a link that has never given a receipt")
	}
}

func TestRestFollowsWhatWaitsAndHowLong(t *testing.T) {
	var p pace
	p.begin(at(0))
	p.add(at(10*time.Millisecond), 1_000_000) // 100 MB a second
	for _, c := range []struct {
		now     time.Duration
		waiting int
		want    time.Duration
	}{
		{10 * time.Millisecond, 100_000, restLeast},
		{10 * time.Millisecond, 8_000_000, 40 * time.Millisecond},
		{210 * time.Millisecond, 8_000_000, 100 * time.Millisecond},
		{1900 * time.Millisecond, 8_000_000, restMost},
		{10*time.Millisecond + stalled, 8_000_000, 0},
	} {
		if got := p.rest(at(c.now), c.waiting); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("after %v with %d bytes waiting: %v, not %v", c.now, c.waiting, got, c.want)
		}
	}
}
