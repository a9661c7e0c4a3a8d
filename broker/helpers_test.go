package broker

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// fakeSink notes what it is handed.
type fakeSink struct {
	mu      sync.Mutex
	got     []string // "subject payload>filter queue", in order
	wakes   int
	soon    int
	rested  []time.Duration
	rest    time.Duration // what Wake answers
	refuse  bool
	why     Reason
	lastMsg Msg
}

func (f *fakeSink) Deliver(m *Msg, sub *Sub) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse {
		if f.why != 0 {
			return m.Refuse(f.why)
		}
		return false
	}
	if !sub.Take() {
		return false
	}
	line := fmt.Sprintf("%s %s>%s", m.Subject, m.Payload, sub.Subject())
	if sub.Queue() != "" {
		line += " " + sub.Queue()
	}
	f.got = append(f.got, line)
	f.lastMsg = Msg{Subject: append([]byte(nil), m.Subject...), Reply: append([]byte(nil), m.Reply...),
		Payload: append([]byte(nil), m.Payload...), Queues: append([]string(nil), m.Queues...)}
	return true
}

func (f *fakeSink) Wake(soon bool) time.Duration {
	f.wakes++
	if soon {
		f.soon++
	}
	return f.rest
}

func (f *fakeSink) Rest(d time.Duration) { f.rested = append(f.rested, d) }

// take returns what has come since the last take.
func (f *fakeSink) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.got
	f.got = nil
	return got
}

// countSink only counts. It is the cheapest sink that obeys the rules.
type countSink struct{ n int }

func (c *countSink) Deliver(m *Msg, sub *Sub) bool {
	if !sub.Take() {
		return false
	}
	c.n++
	return true
}

func (c *countSink) Wake(bool) time.Duration { return 0 }

func mustSubscribe(t testing.TB, p *Peer, filter, queue, tag string) *Sub {
	t.Helper()
	s, err := p.Subscribe(filter, queue, tag)
	if err != nil {
		t.Fatalf("subscribe %q %q: %v", filter, queue, err)
	}
	return s
}

func mustPublish(t testing.TB, p *Peer, l *Lane, subject, payload string) int {
	t.Helper()
	n, err := p.Publish(l, &Msg{Subject: []byte(subject), Payload: []byte(payload)})
	if err != nil {
		t.Fatalf("publish %q: %v", subject, err)
	}
	return n
}

func mustPermit(t testing.TB, o auth.PermissionOptions) *auth.Identity {
	t.Helper()
	perms, err := auth.NewPermissions(&o)
	if err != nil {
		t.Fatal(err)
	}
	return &auth.Identity{User: "u", Account: GlobalAccount, Perms: perms}
}

func list(allow ...string) *auth.SubjectOptions { return &auth.SubjectOptions{Allow: allow} }
func deny(deny ...string) *auth.SubjectOptions  { return &auth.SubjectOptions{Deny: deny} }

// attach makes a peer of the global account with a fake sink.
func attach(b *Broker, t Traits) (*Peer, *fakeSink) {
	f := new(fakeSink)
	return b.Account("").Attach(nil, f, t), f
}

// quiet takes everything and has nothing to say.
type quiet struct{}

func (quiet) Deliver(_ *Msg, sub *Sub) bool { return sub.Take() }
func (quiet) Wake(bool) time.Duration       { return 0 }
