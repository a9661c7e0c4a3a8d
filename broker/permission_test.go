package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

func TestPublishNeedsPermission(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	a := b.Account("")
	p := a.Attach(mustPermit(t, auth.PermissionOptions{Publish: list("a.>")}), new(fakeSink), Traits{})
	all, sink := attach(b, Traits{})
	mustSubscribe(t, all, ">", "", "1")
	for range 3 {
		mustPublish(t, p, l, "a.b", "x")
		n, err := p.Publish(l, &Msg{Subject: []byte("b")})
		if n != 0 || !errors.Is(err, ErrPublishDenied) {
			t.Fatalf("publish b: %d %v", n, err)
		}
		// Going where it may and showing what it may not is denied as well.
		if _, err := p.Publish(l, &Msg{Subject: []byte("b"), Route: []byte("a.b")}); !errors.Is(err, ErrPublishDenied) {
			t.Fatalf("publish b by way of a.b: %v", err)
		}
	}
	if got := sink.take(); len(got) != 3 || drops(b)["denied"] != 6 {
		t.Errorf("got %q, denied %d", got, drops(b)["denied"])
	}
}

func TestSubscribeNeedsPermission(t *testing.T) {
	b := New(Options{})
	id := mustPermit(t, auth.PermissionOptions{Subscribe: &auth.SubjectOptions{Allow: []string{"a.>", "w v1"}, Deny: []string{"a.x"}}})
	p := b.Account("").Attach(id, new(fakeSink), Traits{})
	for _, c := range []struct {
		filter, queue string
		ok            bool
	}{
		{"a.b", "", true}, {"a.*", "", true}, {"a.x", "", false}, {"b", "", false}, {">", "", false},
		{"w", "", false}, {"w", "v1", true}, {"w", "v2", false}, {"a.b", "_sys_", false},
	} {
		_, err := p.Subscribe(c.filter, c.queue, c.filter+c.queue)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrSubscribeDenied) {
			t.Errorf("%q %q: %v, want allowed %v", c.filter, c.queue, err, c.ok)
		}
	}
}

func TestDeniedSubjectsAreFilteredAtDelivery(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	sink := new(fakeSink)
	id := mustPermit(t, auth.PermissionOptions{Subscribe: deny("a.secret", "a.q only")})
	p := b.Account("").Attach(id, sink, Traits{})
	mustSubscribe(t, p, "a.*", "", "1")
	mustSubscribe(t, p, "a.*", "only", "2")
	for range 3 {
		if n := mustPublish(t, pub, l, "a.open", "x"); n != 2 {
			t.Errorf("a.open went to %d, want 2", n)
		}
		if n := mustPublish(t, pub, l, "a.secret", "x"); n != 0 {
			t.Errorf("a.secret went to %d, want 0", n)
		}
		if n := mustPublish(t, pub, l, "a.q", "x"); n != 1 {
			t.Errorf("a.q went to %d, want the plain one only", n)
		}
	}
	if d := drops(b); d["denied"] != 3 || d["no_interest"] != 0 {
		t.Errorf("drops %v, want three denied", d)
	}
}

func TestReauthorizeTakesAndGives(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	pub, _ := attach(b, Traits{})
	sink := new(fakeSink)
	p := b.Account("").Attach(nil, sink, Traits{})
	for _, filter := range []string{"a.*", "b", "c.>"} {
		mustSubscribe(t, p, filter, "", filter)
	}
	for range 3 { // slots for all
		for _, s := range []string{"a.x", "a.y", "b", "c.d"} {
			mustPublish(t, pub, l, s, "1")
			mustPublish(t, p, l, s, "1")
		}
	}
	sink.take()
	lost := p.Reauthorize(mustPermit(t, auth.PermissionOptions{
		Publish: list("a.x"), Subscribe: &auth.SubjectOptions{Allow: []string{"a.>", "c.>"}, Deny: []string{"a.x"}}}))
	if len(lost) != 1 || lost[0].Subject() != "b" || !lost[0].Closed() || p.Find("b") != nil {
		t.Errorf("lost %v, want b", lost)
	}
	for _, s := range []string{"a.x", "a.y", "b", "c.d"} {
		mustPublish(t, pub, l, s, "2")
		if _, err := p.Publish(l, &Msg{Subject: []byte(s)}); (err == nil) != (s == "a.x") {
			t.Errorf("publish %q: %v", s, err)
		}
	}
	if got := sink.take(); !slices.Equal(got, []string{"a.y 2>a.*", "c.d 2>c.>"}) {
		t.Errorf("got %q", got)
	}
	if lost := p.Reauthorize(nil); len(lost) != 0 {
		t.Errorf("lost %v by being allowed everything", lost)
	}
	mustPublish(t, p, l, "a.x", "3")
	if got := sink.take(); !slices.Equal(got, []string{"a.x 3>a.*"}) {
		t.Errorf("got %q", got)
	}
}

func TestResponsesAreAllowedOnceReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		l := b.NewLane()
		asker, _ := attach(b, Traits{})
		id := mustPermit(t, auth.PermissionOptions{AllowResponses: &auth.ResponseOptions{Max: 2, Expires: time.Second}})
		worker := b.Account("").Attach(id, new(fakeSink), Traits{})
		mustSubscribe(t, worker, "svc", "", "1")
		ask := func(reply string) { asker.Publish(l, &Msg{Subject: []byte("svc"), Reply: []byte(reply)}) }
		answer := func(reply string, want bool) {
			t.Helper()
			if _, err := worker.Publish(l, &Msg{Subject: []byte(reply)}); (err == nil) != want {
				t.Errorf("answer on %s: %v, want allowed %v", reply, err, want)
			}
		}
		answer("r.1", false) // not asked yet
		ask("r.1")
		answer("r.1", true)
		answer("r.1", true)
		answer("r.1", false) // twice at most
		answer("r.2", false)
		ask("r.2")
		time.Sleep(999 * time.Millisecond)
		answer("r.2", true)
		time.Sleep(2 * time.Millisecond)
		answer("r.2", false) // too late
		ask("r.2")
		answer("r.2", true) // asked anew
	})
}

// TestAReloadForgetsResponses was tried against nats-server 2.15.2: there a reload that changes nothing
// does the same.
func TestAReloadForgetsResponses(t *testing.T) {
	b := New(Options{})
	l := b.NewLane()
	asker, _ := attach(b, Traits{})
	allow := func(max int) *auth.Identity {
		return mustPermit(t, auth.PermissionOptions{Publish: list("s.x"), AllowResponses: &auth.ResponseOptions{Max: max}})
	}
	one, same, more := allow(1), allow(1), allow(2)
	for _, c := range []struct {
		name string
		do   func(*Peer, *auth.Identity) []*Sub
		id   *auth.Identity
		want bool
	}{
		{"the same", (*Peer).Reauthorize, one, false},
		{"made anew", (*Peer).Reauthorize, same, false},
		{"pushed", (*Peer).Renew, same, true},
		{"pushed with other limits", (*Peer).Renew, more, false},
	} {
		worker := b.Account("").Attach(one, new(fakeSink), Traits{})
		mustSubscribe(t, worker, "svc", "", "1")
		ask := func() { asker.Publish(l, &Msg{Subject: []byte("svc"), Reply: []byte("r.1")}) }
		answer := func() bool {
			_, err := worker.Publish(l, &Msg{Subject: []byte("r.1")})
			return err == nil
		}
		ask()
		c.do(worker, c.id)
		if answer() != c.want {
			t.Errorf("%s: the answer may go out: %v, want %v", c.name, !c.want, c.want)
		}
		if ask(); !answer() {
			t.Errorf("%s: the next answer is refused", c.name)
		}
		worker.Detach()
	}
}

func TestOpenResponsesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{}).newReplies(auth.Responses{Max: 1, Expires: time.Minute})
		for i := range 3 * maxReplies {
			r.allow(fmt.Append(nil, "r.", i))
			if len(r.grants) > maxReplies {
				t.Fatalf("%d reply subjects are kept", len(r.grants))
			}
			if !r.use(fmt.Append(nil, "r.", i)) {
				t.Fatal("the newest was not allowed")
			}
			r.allow(fmt.Append(nil, "r.", i))
		}
		time.Sleep(2 * time.Minute)
		r.allow([]byte("one"))
		r.pruneLocked(time.Now())
		if len(r.grants) != 1 {
			t.Errorf("%d are left, want the one that is not too old", len(r.grants))
		}
	})
}

// Reply subjects may be as long as a protocol line, and one request may reach thousands of peers that
// each keep it: the bytes are bounded too, for each and for all.
func TestOpenResponsesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{})
		one := b.newReplies(auth.Responses{Max: 1, Expires: time.Minute})
		tail := strings.Repeat("x", 4000)
		for i := range 2 * maxReplyBytes / len(tail) {
			one.allow(fmt.Append(nil, i, tail))
			if one.bytes > maxReplyBytes || b.answers.bytes.Load() != one.bytes {
				t.Fatalf("one peer keeps %d bytes, all %d", one.bytes, b.answers.bytes.Load())
			}
		}
		var all []*replies
		for range 2 * allReplyBytes / maxReplyBytes {
			all = append(all, b.newReplies(auth.Responses{Max: 1, Expires: time.Minute}))
		}
		for i := range maxReplyBytes / len(tail) {
			for _, r := range all {
				r.allow(fmt.Append(nil, i, tail))
			}
			if n := b.answers.bytes.Load(); n > allReplyBytes {
				t.Fatalf("all peers keep %d bytes", n)
			}
		}
		newest := fmt.Append(nil, maxReplyBytes/len(tail)-1, tail)
		for _, r := range all {
			if !r.use(newest) {
				t.Fatal("the newest was not allowed")
			}
		}
		// Those who are handed nothing any more do not hold the room of others for ever.
		time.Sleep(2 * time.Minute)
		before := len(all)
		for range allReplyBytes / maxReplyBytes / 4 {
			all = append(all, b.newReplies(auth.Responses{Max: 1, Expires: time.Minute}))
		}
		for _, r := range all[before:] {
			for i := range maxReplyBytes / len(tail) {
				r.allow(fmt.Append(nil, i, tail))
			}
		}
		if n := b.answers.bytes.Load(); n > allReplyBytes/4 {
			t.Errorf("%d bytes are kept, most of which have expired", n)
		}
		for _, r := range append(all, one) {
			r.close()
			r.allow([]byte("late"))
		}
		if n := b.answers.bytes.Load(); n != 0 || len(b.answers.peers) != 0 {
			t.Errorf("%d bytes and %d peers are left when all are gone", n, len(b.answers.peers))
		}
	})
}

func TestResponsesWithoutEnd(t *testing.T) {
	r := New(Options{}).newReplies(auth.Responses{Max: -1, Expires: -1})
	r.allow([]byte("r"))
	for range 100 {
		if !r.use([]byte("r")) {
			t.Fatal("denied")
		}
	}
}
