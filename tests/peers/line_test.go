//go:build linux

package peers

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestSubscriptionDrainLosesNothing(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		const messages = 500
		in, out := connect(t, s), connect(t, s)
		got := make(chan string, 2*messages)
		release := make(chan struct{})
		sub, err := in.Subscribe("x", func(m *nats.Msg) {
			<-release
			got <- string(m.Data)
		})
		if err != nil {
			t.Fatal(err)
		}
		flush(t, in)
		for i := range messages {
			publish(t, out, "x", strconv.Itoa(i))
		}
		flush(t, out)
		if err := sub.Drain(); err != nil {
			t.Fatal(err)
		}
		close(release)
		for i := range messages {
			if m := receive(t, got, "message"); m != strconv.Itoa(i) {
				t.Fatalf("got %s, want %d", m, i)
			}
		}
		process.Eventually(t, patience, "the subscription has gone", func() bool { return !sub.IsValid() })
		_, err = out.Request("x", nil, patience)
		expectError(t, err, nats.ErrNoResponders)
	})
}

func TestConnectionDrainCloses(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		closed := make(chan bool, 1)
		in := connect(t, s, nats.ClosedHandler(func(*nats.Conn) { closed <- true }))
		out := connect(t, s)
		answers := subscribe(t, out, "answers")
		if _, err := in.Subscribe("x", func(m *nats.Msg) { in.Publish("answers", m.Data) }); err != nil {
			t.Fatal(err)
		}
		flush(t, in)
		for i := range 100 {
			publish(t, out, "x", strconv.Itoa(i))
		}
		flush(t, out)
		if err := in.Drain(); err != nil {
			t.Fatal(err)
		}
		receive(t, closed, "end of the connection")
		for i := range 100 {
			expect(t, answers, "answers", strconv.Itoa(i))
		}
	})
}

func TestReconnectAfterARestart(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		gone, back := make(chan error, 1), make(chan bool, 1)
		nc := connect(t, s, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { gone <- err }),
			nats.ReconnectHandler(func(*nats.Conn) { back <- true }))
		sub := subscribe(t, nc, "x")
		queue, err := nc.QueueSubscribeSync("q", "g")
		if err != nil {
			t.Fatal(err)
		}
		publish(t, nc, "x", "before")
		expect(t, sub, "x", "before")

		s.Kill()
		receive(t, gone, "disconnect")
		publish(t, nc, "x", "between") // kept by the client until it is back
		s.Again()
		receive(t, back, "reconnect")
		expect(t, sub, "x", "between")
		publish(t, nc, "x", "after")
		expect(t, sub, "x", "after")
		publish(t, nc, "q", "after")
		expect(t, queue, "q", "after")
	})
}

func TestShutdownIsOrderly(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		gone := make(chan error, 1)
		connect(t, s, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { gone <- nc.LastError() }))
		if code := s.Stop(); code != 0 && !(s.Kind == process.Reference && code == 1) {
			t.Errorf("exit code %d", code)
		}
		receive(t, gone, "end of the connection")
	})
}

func TestLameDuck(t *testing.T) {
	onEach(t, "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"5s\"", func(t *testing.T, s *process.Server) {
		told, gone := make(chan bool, 1), make(chan error, 1)
		nc := connect(t, s, nats.NoReconnect(),
			nats.LameDuckModeHandler(func(*nats.Conn) { told <- true }),
			nats.ClosedHandler(func(nc *nats.Conn) { gone <- nc.LastError() }))
		sub := subscribe(t, nc, "x")
		s.Signal(syscall.SIGUSR2)
		receive(t, told, "notice of lame duck mode")
		if conn, err := s.Dial(); err == nil {
			conn.Close()
			t.Error("a server in lame duck mode still accepts")
		}
		publish(t, nc, "x", "still there")
		expect(t, sub, "x", "still there")
		receive(t, gone, "end of the connection")
		if code := s.Wait(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// A gate is a connection whose reads can be stopped, as those of a client that hangs.
type gate struct {
	net.Conn
	mu   sync.Mutex
	open *sync.Cond
	shut bool
}

func newGate(conn net.Conn) *gate {
	g := &gate{Conn: conn}
	g.open = sync.NewCond(&g.mu)
	return g
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.mu.Unlock()
	g.open.Broadcast()
}

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	for g.shut {
		g.open.Wait()
	}
	g.mu.Unlock()
	return g.Conn.Read(p)
}

// ended reports whether the other side has closed, without reading.
func (g *gate) ended(t *testing.T) (ended bool) {
	raw, err := g.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		ended = err == nil && (info.State == tcpCloseWait || info.State == tcpClose)
	})
	return ended || err != nil
}

// States of a TCP connection as Linux numbers them.
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// A gatekeeper dials the first connection through a gate, and those after it plainly.
type gatekeeper struct {
	mu   sync.Mutex
	gate *gate
}

func (k *gatekeeper) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gate != nil {
		return conn, nil
	}
	k.gate = newGate(conn)
	return k.gate, nil
}

func TestSlowConsumerIsClosedAndOthersAreNot(t *testing.T) {
	onEach(t, "max_pending: 2MB\nwrite_deadline: \"2s\"", func(t *testing.T, s *process.Server) {
		keeper := &gatekeeper{}
		gone, back := make(chan error, 1), make(chan bool, 1)
		slow := connect(t, s, nats.SetCustomDialer(keeper), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { gone <- err }),
			nats.ReconnectHandler(func(*nats.Conn) { back <- true }))
		t.Cleanup(func() { keeper.gate.set(false) })
		subscribe(t, slow, "flood")
		fast, pub := connect(t, s), connect(t, s)
		const bursts, burst = 60, 32 // 30 MiB, in bursts that a reader cannot be too slow for
		got := make(chan int, bursts)
		count := 0
		if _, err := fast.Subscribe("flood", func(*nats.Msg) {
			if count++; count%burst == 0 {
				got <- count
			}
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, fast)
		keeper.gate.set(true)
		payload := bytes.Repeat([]byte("x"), 16<<10)
		for range bursts {
			for range burst {
				if err := pub.Publish("flood", payload); err != nil {
					t.Fatal(err)
				}
			}
			receive(t, got, "burst at the fast subscriber")
		}
		keeper.gate.set(false)
		receive(t, gone, "disconnect of the slow subscriber")
		receive(t, back, "reconnect of the slow subscriber")
		if _, err := fast.Request("nobody", nil, patience); err != nats.ErrNoResponders {
			t.Fatalf("the fast subscriber afterwards: %v", err)
		}
	})
}

func TestSlowCallbackIsTheClientsOwnAffair(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		failed := make(chan error, 64)
		nc := connect(t, s, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
		release := make(chan struct{})
		defer close(release)
		sub, err := nc.Subscribe("x", func(*nats.Msg) { <-release })
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.SetPendingLimits(5, -1); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			publish(t, nc, "x", "1")
		}
		flush(t, nc)
		expectError(t, receive(t, failed, "error"), nats.ErrSlowConsumer)
		if !nc.IsConnected() {
			t.Error("the server has closed it")
		}
	})
}
