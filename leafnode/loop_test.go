package leafnode

import (
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/broker"
)

func TestLoopSubjectsAreOneForEachAccount(t *testing.T) {
	b := broker.New(broker.Options{})
	one, two := newJoint(b.Account("ONE")), newJoint(b.Account("TWO"))
	if one.loop == two.loop || !one.own(one.loop) || one.own(two.loop) || one.own("") {
		t.Errorf("loop subjects are %q and %q", one.loop, two.loop)
	}
	token, ok := strings.CutPrefix(one.loop, "$LDS.")
	if !ok || len(token) != 22 || strings.Trim(token, loopDigits) != "" || !isLDS(one.loop) || isLDS("$LDSx") {
		t.Errorf("the loop subject is %q", one.loop)
	}
}

func TestLoopSubjectStaysWhileTheProcessLives(t *testing.T) {
	j := newTestJoint()
	if n := j.account.Snapshot().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions before there is a link", n)
	}
	before := j.loop
	for range 2 {
		k := joinLink(t, j, 0, asHub)
		if k.hear(); k.believed[before+" "] != 1 || len(k.believed) != 1 {
			t.Errorf("believes %v, want %s", k.believed, before)
		}
		k.close()
	}
	if s := j.account.Snapshot(); s.Peers != 0 {
		t.Errorf("%d peers are counted, want none: the announcer is our own", s.Peers)
	}
}

// TestARingIsFound joins brokers in a ring, link by link, and passes loop subjects on as links do.
func TestARingIsFound(t *testing.T) {
	for size := 2; size <= 4; size++ {
		joints := make([]*joint, size)
		for i := range joints {
			joints[i] = newTestJoint()
		}
		type end struct {
			*toldLink
			at int
		}
		var ends [][2]end
		found := 0
		pass := func(from, to end) (changed bool) {
			for _, line := range append([]string(nil), from.loops()...) {
				subject, gone := strings.CutPrefix(line, "-")
				switch {
				case gone:
				case joints[to.at].own(subject):
					found++
				default:
					mustSubscribe(t, to.peer, subject, "", 0)
					changed = true
				}
			}
			return changed
		}
		for i := range joints {
			next := (i + 1) % size
			up := end{joinLink(t, joints[i], uint32(next+1), asHub), i}
			down := end{joinLink(t, joints[next], uint32(i+1), asSpoke), next}
			ends = append(ends, [2]end{up, down})
			if i < size-1 && found != 0 {
				t.Fatalf("a chain of %d was taken for a ring", size)
			}
			for changed := true; changed && found == 0; {
				changed = false
				for _, e := range ends {
					changed = pass(e[0], e[1]) || changed
					changed = pass(e[1], e[0]) || changed
				}
			}
		}
		// Two that solicit each other are one cluster's to each other on both links, so that neither
		// hears of itself: that ring is found by the clusters' names.
		if (found != 0) != (size > 2) {
			t.Errorf("a ring of %d was found %d times", size, found)
		}
	}
}

// loops returns what the other side is told of loop subjects, "-" before those that are gone.
func (k *toldLink) loops() (lines []string) {
	k.drain(func(subject, _ string, weight int32) bool {
		switch {
		case !isLDS(subject):
		case weight == 0:
			lines = append(lines, "-"+subject)
		default:
			lines = append(lines, subject)
		}
		return true
	})
	return lines
}
