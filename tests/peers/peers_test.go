package peers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// patience is how long any single thing may take on a busy machine.
const patience = 15 * time.Second

func TestMain(m *testing.M) { process.Main(m) }

// onEach runs a test against every kind of server, each started with the configuration.
func onEach(t *testing.T, config string, f func(t *testing.T, s *process.Server)) {
	t.Helper()
	for _, kind := range process.Both {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f(t, process.Start(t, process.Options{Kind: kind, Config: config}))
		})
	}
}

// connect is nats.Connect with an end. Who is busy for two seconds before he says CONNECT is sent a PING by then,
// which nats.go does not take for an answer to its own.
func connect(t *testing.T, s *process.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append([]nats.Option{nats.Timeout(patience), nats.ErrorHandler(quiet)}, options...)
	nc, err := nats.Connect(s.URL(), options...)
	for range 3 {
		if err == nil || !strings.Contains(err.Error(), "expected 'PONG', got 'PING'") {
			break
		}
		nc, err = nats.Connect(s.URL(), options...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// quiet takes errors that a test looks for in its own way.
func quiet(*nats.Conn, *nats.Subscription, error) {}

func subscribe(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	return sub
}

func flush(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if err := nc.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, nc *nats.Conn, subject, text string) {
	t.Helper()
	if err := nc.Publish(subject, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// expect takes the next message, which must be the one named.
func expect(t *testing.T, sub *nats.Subscription, subject, text string) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("waiting for %q on %s: %v", text, subject, err)
	}
	if m.Subject != subject || string(m.Data) != text {
		t.Fatalf("got %q on %s, want %q on %s", m.Data, m.Subject, text, subject)
	}
	return m
}

// expectNothing proves by a round trip of each connection that nothing is on its way to sub.
func expectNothing(t *testing.T, sub *nats.Subscription, conns ...*nats.Conn) {
	t.Helper()
	for _, nc := range conns {
		flush(t, nc)
	}
	if n, _, err := sub.Pending(); err != nil || n != 0 {
		m, _ := sub.NextMsg(time.Second)
		t.Fatalf("%d messages pending, error %v, first %+v", n, err, m)
	}
}

// receive waits for something that a callback sends.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %v", what, patience)
		panic("not reached")
	}
}

func expectError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}
