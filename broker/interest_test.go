package broker

import (
	"fmt"
	"slices"
	"testing"
)

// watch notes what it is told as "subject queue delta".
func watch(a *Account) (told func() []string, stop func()) {
	var lines []string
	stop = a.Watch(func(i Interest) {
		lines = append(lines, fmt.Sprintf("%s %s%+d", i.Subject, i.Queue, i.Delta))
	})
	return func() []string {
		got := lines
		lines = nil
		return got
	}, stop
}

func TestWatchBeginsWithWhatIsThere(t *testing.T) {
	b := New(Options{})
	p, _ := attach(b, Traits{})
	link, _ := attach(b, Traits{Remote: true})
	mustSubscribe(t, p, "a", "", "1")
	mustSubscribe(t, p, "a", "", "2")
	gone := mustSubscribe(t, p, "gone", "", "3")
	p.Unsubscribe(gone, 0)
	mustSubscribe(t, link, "a.*", "q", "1").SetWeight(3)
	told, _ := watch(p.account)
	got := told()
	slices.Sort(got)
	if want := []string{"a +1", "a +1", "a.* q+3"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWatchTellsEachChangeInOrder(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	p, _ := attach(b, Traits{})
	link, _ := attach(b, Traits{Remote: true})
	told, stop := watch(p.account)
	other, _ := watch(b.Account("other"))
	a := mustSubscribe(t, p, "a", "", "1")
	once := mustSubscribe(t, p, "once", "", "2")
	p.Unsubscribe(a, 0)
	p.Unsubscribe(a, 0)
	p.Unsubscribe(once, 1)
	mustPublish(t, link, l, "once", "x")
	far := mustSubscribe(t, link, "w", "q", "1")
	far.SetWeight(5)
	far.SetWeight(5)
	far.SetWeight(0) // as good as 1
	link.Detach()
	want := []string{"a +1", "once +1", "a -1", "once -1", "w q+1", "w q+4", "w q-4", "w q-1"}
	if got := told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	stop()
	mustSubscribe(t, p, "late", "", "9")
	far.SetWeight(7)
	if got := append(told(), other()...); len(got) != 0 {
		t.Errorf("told %q after stop, or of another account", got)
	}
}
