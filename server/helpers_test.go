package server

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A goroutine that is left over fails the tests: who starts one waits for it.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzing engine leaves goroutines of its own
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before && code == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 64<<10)
			os.Stderr.Write(stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
	}
	os.Exit(code)
}

// patience is how long a test waits for what must come.
const patience = 15 * time.Second

// A rig is a server on a free port, with the parts it stands on.
type rig struct {
	t      testing.TB
	server *Server
	broker *broker.Broker
	engine *engine.Engine
	addr   string
	logs   *logs
}

// logs keeps what a server logs.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t testing.TB, o Options, a auth.Options, b broker.Options) *rig {
	t.Helper()
	return startOn(t, engine.Options{}, o, a, b)
}

func startOn(t testing.TB, e engine.Options, o Options, a auth.Options, b broker.Options) *rig {
	t.Helper()
	if a.Timeout == 0 {
		a.Timeout = patience // as with PINGs below
	}
	d, err := auth.New(a)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, broker: broker.New(b), logs: &logs{}}
	e.Loops = cmp.Or(e.Loops, 2)
	e.Local = func() any { return r.broker.NewLane() }
	e.TurnEnd = func(lane any) { lane.(*broker.Lane).Flush() }
	r.engine, err = engine.New(e)
	if err != nil {
		t.Fatal(err)
	}
	r.server, err = New(o, r.broker, r.engine, d, slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ctx, ln) }()
	eventually(t, "the door is open", func() bool {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		return len(r.server.doors) == 1
	})
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		stop, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := r.server.Shutdown(stop); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := r.engine.Shutdown(stop); err != nil {
			t.Errorf("engine: %v", err)
		}
	})
	// A slow machine must not meet PINGs where a test has other things in mind.
	r.update(func(set *settings) { set.firstPing = 10 * patience })
	return r
}

// update changes settings in ways that Options.check does not allow outside of tests.
func (r *rig) update(f func(*settings)) {
	set := *r.server.settings.Load()
	f(&set)
	r.server.settings.Store(&set)
}

// A client is a bare connection.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	info map[string]any // the first INFO
}

func (r *rig) dial() *client {
	r.t.Helper()
	return r.dialFrom("127.0.0.1")
}

// dialFrom is dial from another address of this machine.
func (r *rig) dialFrom(address string) *client {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := d.Dial("tcp", r.addr)
	if err != nil && address != "127.0.0.1" {
		r.t.Skipf("this machine has no address %s: %v", address, err)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return newClient(r.t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	c := &client{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	c.info = c.readInfo()
	return c
}

// quiet is a CONNECT with nothing in the way.
const quiet = `CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}` + "\r\n"

// connect dials, sends CONNECT and waits until that is done.
func (r *rig) connect(connect string) *client {
	r.t.Helper()
	c := r.dial()
	c.send(connect + "PING\r\n")
	c.expect("PONG\r\n")
	return c
}

func (c *client) readInfo() map[string]any {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "INFO {") || !strings.HasSuffix(line, "} \r\n") {
		c.t.Fatalf("INFO: got %q, %v", line, err)
	}
	info := make(map[string]any)
	if err := json.Unmarshal([]byte(line[len("INFO "):]), &info); err != nil {
		c.t.Fatalf("INFO %q: %v", line, err)
	}
	return info
}

func (c *client) send(wire string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, wire); err != nil {
		c.t.Fatalf("send %.60q: %v", wire, err)
	}
}

// expect reads exactly wire.
func (c *client) expect(wire string) {
	c.t.Helper()
	got := make([]byte, len(wire))
	n, err := io.ReadFull(c.in, got)
	if string(got[:n]) != wire {
		c.t.Fatalf("got  %.300q (%v)\nwant %.300q", got[:n], err, wire)
	}
}

// expectClosed reads wire and then the end of the connection.
func (c *client) expectClosed(wire string) {
	c.t.Helper()
	got, err := io.ReadAll(c.in)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("not closed: %v; got %.300q", err, got)
	}
	if string(got) != wire {
		c.t.Fatalf("got  %.300q\nwant %.300q and the end", got, wire)
	}
}

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
