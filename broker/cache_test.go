package broker

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
)

// slotOf returns the slot a lane has for a subject, or nil.
func slotOf(l *Lane, a *Account, text string) *slot {
	for _, s := range l.cache.table {
		if s != nil && s.account == a && string(s.subject) == text {
			return s
		}
	}
	return nil
}

func TestSubjectIsKeptOnSecondSight(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	mustPublish(t, p, l, "sensors.1", "x")
	if slotOf(l, p.account, "sensors.1") != nil {
		t.Fatal("kept on first sight")
	}
	mustPublish(t, p, l, "sensors.1", "x")
	if slotOf(l, p.account, "sensors.1") == nil {
		t.Fatal("not kept on second sight")
	}
}

func TestChurnOfInboxesLeavesOtherSlotsAlone(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	p, _ := attach(b, Traits{})
	mustSubscribe(t, p, "sensors.>", "", "s")
	for range 2 {
		mustPublish(t, pub, l, "sensors.1", "x")
	}
	s := slotOf(l, p.account, "sensors.1")
	for i := range 1000 {
		inbox := mustSubscribe(t, p, fmt.Sprintf("_INBOX.%d.*", i), "", "i")
		p.Unsubscribe(inbox, 0)
		if !s.fresh() {
			t.Fatal("an inbox has made the slot of sensors.1 stale")
		}
	}
	for _, filter := range []string{"sensors.2", "sensors.>", "*.1", ">"} {
		mustPublish(t, pub, l, "sensors.1", "x")
		again := mustSubscribe(t, p, filter, "", "again")
		if s.fresh() {
			t.Errorf("%q has left the slot of sensors.1 as it was", filter)
		}
		mustPublish(t, pub, l, "sensors.1", "x")
		p.Unsubscribe(again, 0)
		if s.fresh() {
			t.Errorf("%q was removed and has left the slot of sensors.1 as it was", filter)
		}
	}
}

func TestOneTimeSubjectsDisplaceNobody(t *testing.T) {
	b := New(Options{CacheSlots: 64})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	for range 2 {
		for i := range 30 {
			mustPublish(t, p, l, "sensors."+strconv.Itoa(i), "x")
		}
	}
	before := l.cache.count
	for i := range 10000 {
		mustPublish(t, p, l, "_INBOX."+strconv.Itoa(i), "x")
	}
	kept := 0
	for i := range 30 {
		if slotOf(l, p.account, "sensors."+strconv.Itoa(i)) != nil {
			kept++
		}
	}
	// A hash may be taken for one seen before, about once in four billion.
	if kept != before || l.cache.count != before {
		t.Errorf("%d of %d slots are left, %d in all", kept, before, l.cache.count)
	}
}

func TestSubjectInUseIsNotDisplaced(t *testing.T) {
	b := New(Options{CacheSlots: 64})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	for range 3 {
		mustPublish(t, p, l, "hot", "x")
	}
	s := slotOf(l, p.account, "hot")
	for i := range 3000 {
		for range 2 {
			mustPublish(t, p, l, "cold."+strconv.Itoa(i), "x")
		}
		mustPublish(t, p, l, "hot", "x")
		if slotOf(l, p.account, "hot") != s {
			t.Fatalf("displaced by the %dth that came by", i)
		}
	}
	if l.cache.count < 50 {
		t.Errorf("only %d slots are in use", l.cache.count)
	}
}

func TestAccountsDoNotShareSlots(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	one, two := b.Account("one"), b.Account("two")
	two.salt = one.salt // the worst that can happen
	p1 := one.Attach(nil, new(fakeSink), Traits{})
	p2 := two.Attach(nil, new(fakeSink), Traits{})
	mustSubscribe(t, p1, "a", "", "1")
	for range 4 {
		if n, m := mustPublish(t, p1, l, "a", "x"), mustPublish(t, p2, l, "a", "x"); n != 1 || m != 0 {
			t.Fatalf("delivered %d and %d, want 1 and 0", n, m)
		}
	}
}

func TestCacheStaysWithinItsBounds(t *testing.T) {
	b := New(Options{CacheSlots: 128, CacheResults: 2000})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	for i := range 50 {
		p, _ := attach(b, Traits{})
		mustSubscribe(t, p, ">", "", strconv.Itoa(i))
	}
	for i := range 4000 {
		subject := "s." + strconv.Itoa(i/2%500)
		if n := mustPublish(t, pub, l, subject, "x"); n != 50 {
			t.Fatalf("%q went to %d, want 50", subject, n)
		}
		if len(l.cache.table) > 128 || l.cache.held > 2000 {
			t.Fatalf("%d places, %d results", len(l.cache.table), l.cache.held)
		}
	}
	if l.cache.count < 20 {
		t.Errorf("only %d slots are in use", l.cache.count)
	}
}

func TestGoneSubscribersAreLetGo(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	p, _ := attach(b, Traits{})
	mustSubscribe(t, p, "a.b", "", "1")
	for range 2 {
		mustPublish(t, pub, l, "a.b", "x")
	}
	p.Detach()
	for i := range 2 * firstCacheSlots { // other subjects, never a.b again
		mustPublish(t, pub, l, "once."+strconv.Itoa(i), "x")
	}
	if s := slotOf(l, p.account, "a.b"); s == nil || len(s.subs) != 0 {
		t.Errorf("the slot holds on: %v", s)
	}
}

func TestQuietLaneIsSmall(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	if n := len(l.cache.table); n > 2 || l.cache.seen != nil {
		t.Errorf("a new lane has %d places", n)
	}
}

func TestPermissionVerdictIsKeptInTheSlot(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	id := mustPermit(t, auth.PermissionOptions{Publish: list("a.>")})
	a := b.Account("")
	p := a.Attach(id, new(fakeSink), Traits{})
	twin := a.Attach(id, new(fakeSink), Traits{})
	for range 2 {
		mustPublish(t, p, l, "a.b", "x")
	}
	s := slotOf(l, a, "a.b")
	mustPublish(t, p, l, "a.b", "x")
	if s.perms != id.Perms || !s.may {
		t.Fatalf("the slot has not kept the verdict")
	}
	// A slot that says otherwise is believed: the verdict is not worked out again for the twin.
	s.may = false
	if _, err := twin.Publish(l, &Msg{Subject: []byte("a.b")}); err == nil {
		t.Fatal("the verdict was worked out again for the same permissions")
	}
	stranger := a.Attach(mustPermit(t, auth.PermissionOptions{Publish: list("a.>")}), new(fakeSink), Traits{})
	mustPublish(t, stranger, l, "a.b", "x")
	mustPublish(t, p, l, "a.b", "x")
}
