package leafnode

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// A wallClock is one that tests set. It says a time of the wall and nothing of the engine's scale, as the
// system's does after somebody has set it.
type wallClock struct{ ahead atomic.Int64 }

func (w *wallClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(w.ahead.Load())) }

func (w *wallClock) set(to time.Time) { w.ahead.Store(int64(time.Until(to))) }

// A board without a battery begins in 1970, and learns the time when the line is up.
func TestALinkComesUpSoonAfterTheClockIsSet(t *testing.T) {
	t.Parallel()
	clock, a := &wallClock{}, newAuthority(t)
	clock.set(time.Unix(5, 0))
	hub := newSite(t, "hub", func(o *Options, _ *auth.Options) {
		o.TLS = &TLS{Security: &engine.Security{Config: a.valid("hub"), Timeout: patience}}
	})
	edge := newSite(t, "edge", func(o *Options, _ *auth.Options) {
		r := hub.remote()
		r.TLS, r.Secure = func(string) (*tls.Config, error) { return a.trusted("hub") }, true
		o.Clock, o.Reconnect = clock.now, time.Hour
		o.Remotes = []Remote{r}
	})
	edge.n.Start()
	eventually(t, "the remote says that the clock is not set", func() bool {
		return strings.Contains(edge.state().Remedy, "clock not set: this machine's clock says 1970-01-01 00:00 UTC")
	})
	clock.set(time.Now())
	began := time.Now()
	edge.links(1)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the link came up %v after the clock was set", took)
	}
	if !edge.log.has("the clock was set") {
		t.Error("nobody is told that the clock was set")
	}

	// Whatever the clock does then is nothing to a link that is up.
	var before RemoteSnapshot
	eventually(t, "the remote says that it is up", func() bool {
		before = edge.state()
		return before.Up
	})
	for _, year := range []int{1970, 2099, 2038} {
		clock.set(time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC))
		near, far, subject := hub.newClient(""), edge.newClient(""), fmt.Sprintf("a.%d", year)
		far.subscribe(subject, "")
		hub.wanted(subject, true)
		near.publish(subject, "", "", "x")
		far.wants(subject + ": x")
	}
	if now := edge.state(); !now.Up || now.Since != before.Since {
		t.Errorf("the link did not stay: %+v, before %+v", now, before)
	}
}

func TestAWaitIsCutShortOnlyByAClockThatWasSet(t *testing.T) {
	clock := &wallClock{}
	s := newSite(t, "edge", func(o *Options, _ *auth.Options) { o.Clock = clock.now })
	r, err := newRemote(s.n, &Remote{URLs: Texts{"nats-leaf://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	const short = 50 * time.Millisecond
	for _, c := range []struct {
		by  time.Duration
		cut bool
	}{
		{0, false}, {clockJump / 2, false}, {-clockJump / 2, false}, {2 * clockJump, true}, {-2 * clockJump, true}, {56 * 365 * 24 * time.Hour, true},
	} {
		drift := r.drift()
		clock.ahead.Add(int64(c.by))
		r.backoff.isOut = true
		wait := short
		if c.cut {
			wait = patience // a busy machine may take its time
		}
		began := engine.Now()
		r.wait(wait, drift)
		if cut := engine.Now()-began < int64(wait); cut != c.cut || r.backoff.isOut == cut {
			t.Errorf("set by %v: cut short is %v, and an outage %v", c.by, cut, r.backoff.isOut)
		}
	}
}

func TestALinkEndsWithItsCredentialsHoweverTheClockIsSet(t *testing.T) {
	clock := &wallClock{}
	clock.set(time.Unix(5, 0))
	s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.Clock = clock.now })
	k := ownLink(t, s, false)
	expires := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(now time.Time) {
		k.onLoop(func(l *engine.Loop) {
			id := *k.identity
			id.Expires = expires
			k.identity = &id
			clock.set(now)
			k.until = engine.Now() + int64(forEver)
			k.Due(l, engine.Now())
		})
	}
	for _, early := range []time.Time{time.Unix(9, 0), expires.Add(-time.Hour), time.Unix(1, 0), expires.AddDate(-5, 0, 0)} {
		at(early)
		k.w.sync()
	}
	s.links(1)
	at(expires)
	s.links(0)
}

func TestAHandshakeThatTheClockSpoiledSaysSo(t *testing.T) {
	const text = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 1970-01-01T00:00:05Z is before 2026-11-23T00:00:00Z"
	err := fmt.Errorf("%w: %s", engine.ErrHandshake, text)
	if got := handshakeRemedy(err, time.Unix(5, 0)); !strings.HasPrefix(got, "clock not set: this machine's clock says 1970") {
		t.Error(got)
	}
	if got := handshakeRemedy(err, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); !strings.Contains(got, "look at the clocks") {
		t.Error(got)
	}
}
