package auth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

// An account that expires in some years is in force whatever the clock says before that, and again when a
// clock that ran ahead is set back.
func TestAccountsOutliveAClockThatIsWrong(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	m.claims.Expires = time.Now().AddDate(5, 0, 0).Unix()
	other := r.account("other")
	d := r.directory(r.options(m, other))
	var told []bool // whether it was in force
	d.OnChange(func(a *Account) {
		if a.Name == m.key {
			told = append(told, a.Expires.After(d.operator.now()))
		}
	})
	p := d.operator
	// Its own timer asks the clock and tells too, under this lock.
	set := func(clock func() time.Time) {
		p.changing.Lock()
		defer p.changing.Unlock()
		told, p.now = nil, clock
	}
	in := func(years int) func() time.Time {
		return func() time.Time { return time.Now().Round(0).AddDate(years, 0, 0) }
	}
	for _, c := range []struct {
		clock    func() time.Time
		expired  bool
		whatItIs string
	}{
		{func() time.Time { return time.Unix(5, 0) }, false, "1970"},
		{in(0), false, "set"},
		{in(10), true, "ten years ahead"},
		{in(11), true, "further"},
		{in(0), false, "set back"},
		{func() time.Time { return time.Unix(5, 0) }, false, "1970 again"},
	} {
		set(c.clock)
		p.expire()
		_, slow, err := d.Authenticate(m.user(nil, nil))
		if slow != nil {
			_, err = slow()
		}
		if (err != nil) != c.expired {
			t.Errorf("%s: %v", c.whatItIs, err)
		}
		if at := d.Account(m.key).Expires.Unix(); at != m.claims.Expires {
			t.Errorf("%s: shown to expire at %d", c.whatItIs, at)
		}
	}
	// Nobody has to come in for that.
	for _, years := range []int{10, 0} {
		set(in(years))
		p.expire()
		p.changing.Lock()
		if want := []bool{years == 0}; !slices.Equal(told, want) {
			t.Errorf("%d years ahead: told %v", years, told)
		}
		p.changing.Unlock()
	}
	p.remove(m.key) // for good, whatever the clock says
	set(in(-1))
	p.expire()
	if !p.isExpired(p.loaded(m.key), p.now()) {
		t.Error("an account that was removed is in force again")
	}
}

func TestTheClockIsNamedWhereItSpoilsDates(t *testing.T) {
	if text := ClockFlaw(time.Now()); text != "" {
		t.Skip("this machine's own clock is not set: ", text)
	}
	if text := ClockFlaw(time.Unix(5, 0)); text != "clock not set: this machine's clock says 1970-01-01 00:00 UTC" {
		t.Error(text)
	}
	results := jwt.CreateValidationResults()
	results.AddTimeCheck("claim is not yet valid")
	if got := firstIssueAt(results, time.Unix(5, 0)); !strings.HasPrefix(got, "claim is not yet valid (clock not set") {
		t.Error(got)
	}
	if got := firstIssueAt(results, time.Now()); got != "claim is not yet valid" {
		t.Error(got)
	}
}
