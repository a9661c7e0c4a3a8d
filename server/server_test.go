package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

func TestOneClientTooManyIsToldSo(t *testing.T) {
	r := start(t, Options{MaxConnections: 2}, auth.Options{}, broker.Options{})
	a, b := r.connect(quiet), r.connect(quiet)
	r.dial().expectClosed("-ERR 'maximum connections exceeded'\r\n")
	early := r.dial()
	early.send("PING\r\n") // what it sends does not bring it in
	early.expectClosed("-ERR 'maximum connections exceeded'\r\n")
	a.conn.Close()
	eventually(t, "a's place is free", func() bool { return len(r.server.all()) == 1 })
	r.connect(quiet)
	b.send("PING\r\n")
	b.expect("PONG\r\n")
	eventually(t, "two are counted as one too many", func() bool { return r.server.Status().Closed["Maximum Connections Exceeded"] == 2 })
}

func TestSilentClientIsStale(t *testing.T) {
	r := start(t, Options{PingInterval: time.Second}, auth.Options{}, broker.Options{}) // alive has two of them for an answer
	silent, alive := r.connect(quiet), r.connect(quiet)
	for range 3 {
		alive.expect("PING\r\n")
		alive.send("PONG\r\n")
	}
	silent.expectClosed("PING\r\nPING\r\n-ERR 'Stale Connection'\r\n")
	eventually(t, "it is counted", func() bool { return r.server.Snapshot().(*Snapshot).StaleConnections == 1 })
}

func TestBusyClientIsPingedOnce(t *testing.T) {
	const interval = 400 * time.Millisecond
	r := start(t, Options{PingInterval: interval}, auth.Options{}, broker.Options{})
	c := r.connect(quiet)
	c.expect("PING\r\n") // the first measures the round trip, traffic or not
	before := time.Now() // the server has heard nothing earlier than that
	c.send("PONG\r\n")
	for end := time.Now().Add(2*interval + interval/4); time.Now().Before(end); {
		sent := time.Now()
		c.send("PING\r\n")
		line, err := c.in.ReadString('\n')
		if line == linePing && time.Since(before) >= interval { // a machine that stood still was not busy
			c.send("PONG\r\n")
			line, err = c.in.ReadString('\n')
		}
		if line != "PONG\r\n" { // and no PING
			t.Fatalf("got %q, %v", line, err)
		}
		before = sent
		time.Sleep(5 * time.Millisecond)
	}
	rows := r.server.Clients(Query{})
	if len(rows) != 1 || rows[0].RTT <= 0 || rows[0].RTT > time.Second {
		t.Errorf("rows %+v", rows)
	}
}

func TestACrowdThatComesTogetherIsNotPingedTogether(t *testing.T) {
	set := &settings{Options: Options{PingInterval: 30 * time.Second}, firstPing: 2 * time.Second}
	for _, c := range []struct {
		crowd       int
		most, later time.Duration // all by most, some of them later than later
	}{
		{0, 2400 * time.Millisecond, 2300 * time.Millisecond},
		{10_000, 22 * time.Second, 12 * time.Second},
		{100_000, 32 * time.Second, 30 * time.Second},
	} {
		late := 0
		for range 1000 {
			wait := set.firstPingIn(c.crowd)
			if wait < set.firstPing || wait > c.most {
				t.Fatalf("of %d the first PING comes after %v", c.crowd, wait)
			}
			if wait > c.later {
				late++
			}
		}
		if late == 0 {
			t.Errorf("of %d nobody's first PING comes after %v", c.crowd, c.later)
		}
	}
	set.PingInterval = time.Second
	if wait := set.firstPingIn(10_000); wait > 2*time.Second {
		t.Errorf("a first PING after %v, where each second brings one", wait)
	}
}

func TestPingTimesOfIdleConnectionsGather(t *testing.T) {
	set, err := newSettings(Options{}, mustDirectory(t))
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[int64]bool)
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	r.connect(quiet)
	s := r.server.all()[0]
	done := make(chan struct{})
	s.conn.Post(func(l *engine.Loop) {
		defer close(done)
		begin := engine.Now()
		for i := range int64(100) {
			now := begin + i*int64(90*time.Millisecond)
			s.pingsOut, s.rtt = 0, 1
			s.lastIn = now
			s.doDuePing(set, now)
			times[s.pingAt] = true
			if wait := s.pingAt - now; wait < int64(set.PingInterval) || wait > int64(set.PingInterval)+pingGrain {
				t.Errorf("waits %v", time.Duration(wait))
			}
		}
	})
	<-done
	if len(times) > 2 {
		t.Errorf("%d different times within 9 seconds", len(times))
	}
}

func mustDirectory(t *testing.T) *auth.Directory {
	d, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLameDuckTellsWaitsAndCloses(t *testing.T) {
	const grace = 2 * time.Second // what clients see within it must not depend on how fast the machine is
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	r.update(func(set *settings) {
		set.LameDuckGracePeriod, set.LameDuckDuration = grace, grace+200*time.Millisecond
	})
	told := r.dial()
	told.send(`CONNECT {"verbose":false,"protocol":1}` + "\r\nPING\r\n")
	told.expect("PONG\r\n")
	told.readInfo()
	old := r.connect(quiet) // protocol 0
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- r.server.LameDuck(context.Background()) }()
	if info := told.readInfo(); info["ldm"] != true || info["max_payload"] == nil || info["connect_urls"] != nil {
		t.Errorf("INFO %v", info)
	}
	eventually(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	told.send("PING\r\n") // still served
	told.expect("PONG\r\n")
	told.expectClosed("")
	old.expectClosed("")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < grace {
		t.Errorf("closed after %v, within the grace period", took)
	}
	if err := r.server.Serve(context.Background(), mustListen(t)); !errors.Is(err, ErrStopped) {
		t.Errorf("a lame duck listens again: %v", err)
	}
}

func mustListen(t *testing.T) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestLameDuckWithoutClientsIsOver(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.LameDuck(ctx); err != nil {
		t.Error(err)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		over    time.Duration
		clients int
		pause   time.Duration
		batch   int
	}{
		{110 * time.Second, 10, time.Second, 1},
		{110 * time.Second, 1100, 100 * time.Millisecond, 1},
		{100 * time.Second, 100_000, 10 * time.Millisecond, 11},
		{time.Second, 0, 0, 1},
		{1, 1000, 10 * time.Millisecond, 1001}, // no more than an int of 32 bits holds
	} {
		if pause, batch := spread(c.over, c.clients); pause != c.pause || batch != c.batch {
			t.Errorf("%d clients over %v: %v, %d; want %v, %d", c.clients, c.over, pause, batch, c.pause, c.batch)
		}
	}
}

func TestShutdownClosesWithoutAWord(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	clients := []*client{r.connect(quiet), r.dial(), r.connect(quiet)}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		c.expectClosed("")
	}
	if n := r.server.Snapshot().(*Snapshot).Closed["Server Shutdown"]; n != 3 {
		t.Errorf("%d counted as shut down, want 3", n)
	}
}

// flood has a client that reads nothing subscribe, and publishes as much to it as the kernel does not take. It
// returns the client and what it is to get.
func flood(r *rig) (slow *client, want string) {
	r.t.Helper()
	slow = r.connect(quiet)
	slow.send("SUB a 1\r\nPING\r\n")
	slow.expect("PONG\r\n")
	pub := r.connect(quiet)
	payload := strings.Repeat("x", 32000)
	const messages = 600 // 19 MB: sockets hold up to 10
	for range messages {
		pub.send("PUB a 32000\r\n" + payload + "\r\n")
	}
	pub.send("PING\r\n")
	pub.expect("PONG\r\n")
	if behind := r.server.all()[0].conn.Pending(); behind < 1<<20 {
		r.t.Fatalf("%d bytes wait for the slow reader", behind)
	}
	return slow, strings.Repeat("MSG a 1 32000\r\n"+payload+"\r\n", messages)
}

func TestShutdownLetsAClientTakeWhatWaitsForIt(t *testing.T) {
	for name, end := range map[string]func(*Server, context.Context) error{"stop": (*Server).Shutdown, "lame duck": (*Server).LameDuck} {
		r := startOn(t, engine.Options{MaxPending: 64 << 20}, Options{}, auth.Options{}, broker.Options{})
		r.update(func(set *settings) {
			set.LameDuckGracePeriod, set.LameDuckDuration, set.drainFor = time.Millisecond, 2*time.Millisecond, patience
		})
		slow, want := flood(r)
		ended := make(chan error, 1)
		go func() { ended <- end(r.server, context.Background()) }()
		eventually(t, "the publisher is gone", func() bool { return len(r.server.all()) == 1 })
		slow.send("PING\r\nPUB a 1\r\nx\r\n") // too late
		got, err := io.ReadAll(slow.in)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %d of %d bytes: %v", name, len(got), len(want), err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShutdownDoesNotWaitForWhoTakesNothing(t *testing.T) {
	r := startOn(t, engine.Options{MaxPending: 64 << 20}, Options{}, auth.Options{}, broker.Options{})
	flood(r)
	// Its time for this is over before it begins, and enough is left to find that out.
	ctx, cancel := context.WithTimeout(context.Background(), drainReserve)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if ended := r.server.Clients(Query{State: Closed}); len(ended) != 2 || max(ended[0].PendingBytes, ended[1].PendingBytes) < 1<<20 {
		t.Errorf("what was given up is not shown: %+v", ended)
	}
}

func TestSnapshotAddsUp(t *testing.T) {
	r := start(t, Options{ServerName: "s1"}, users(t), broker.Options{})
	sub := r.connect(`CONNECT {"verbose":false,"name":"reader","lang":"go","version":"1.2","user":"plain","pass":"pw"}` + "\r\n")
	sub.send("SUB a 1\r\nSUB b 2\r\nPING\r\n")
	sub.expect("PONG\r\n")
	pub := r.connect(`CONNECT {"verbose":false,"lang":"go","version":"1.2","user":"plain","pass":"pw"}` + "\r\n")
	pub.send(strings.Repeat("PUB a 3\r\nxyz\r\n", 10) + "PING\r\n")
	pub.expect("PONG\r\n")
	sub.expect(strings.Repeat("MSG a 1 3\r\nxyz\r\n", 10))
	p, rows := r.server.Snapshot().(*Snapshot), r.server.Clients(Query{})
	if p.ServerName != "s1" || p.Connections != 2 || p.TotalConnections != 2 || p.Subscriptions != 2 ||
		p.InMsgs != 10 || p.InBytes != 30 || p.OutMsgs != 10 || p.OutBytes != 30 || !p.AuthRequired || len(rows) != 2 {
		t.Errorf("snapshot %+v", p)
	}
	for _, row := range rows {
		if row.Name == "reader" && (row.OutMsgs != 10 || row.OutBytes != 30 || row.Subscriptions != 2) ||
			row.Name == "" && (row.InMsgs != 10 || row.InBytes != 30) ||
			time.Since(row.Start) > patience || time.Since(row.Start) < 0 || row.Lang != "go" || row.Version != "1.2" || row.User != "plain" || row.Account != "$G" || row.IP != "127.0.0.1" {
			t.Errorf("row %+v", row)
		}
	}
	// What went through closed connections is not forgotten.
	pub.conn.Close()
	sub.conn.Close()
	eventually(t, "both are gone", func() bool { return len(r.server.all()) == 0 })
	p = r.server.Snapshot().(*Snapshot)
	if p.InMsgs != 10 || p.OutBytes != 30 || p.Closed["Client Closed"] != 2 {
		t.Errorf("snapshot %+v", p)
	}
}

func TestClientsOfAKindShareTheirDescription(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	for range 3 {
		r.connect(`CONNECT {"verbose":false,"lang":"go","version":"1.2"}` + "\r\n")
	}
	kinds := make(chan *about, 3)
	for _, s := range r.server.all() {
		s.conn.Post(func(*engine.Loop) { kinds <- s.about })
	}
	if a, b, c := <-kinds, <-kinds, <-kinds; a != b || b != c || a == nil {
		t.Error("not shared")
	}
	id := &auth.Identity{}
	for i := range 2 * maxAbouts {
		r.server.describe(r.server.settings.Load(), &connectRequest{lang: fmt.Append(nil, i)}, nil, id)
	}
	if n := len(r.server.abouts.shared); n > maxAbouts {
		t.Errorf("%d descriptions kept", n)
	}
}

func TestRefusalsAreLoggedWithRemedyAndInBounds(t *testing.T) {
	r := start(t, Options{MaxPayload: 100}, auth.Options{}, broker.Options{})
	began := time.Now()
	for range 5 * maxRefusalLines {
		c := r.dial()
		c.send("PUB a 101\r\n")
		c.expectClosed("-ERR 'Maximum Payload Violation'\r\n")
	}
	eventually(t, "all are counted", func() bool {
		return r.server.Status().Closed["Maximum Message Payload Exceeded"] == 5*maxRefusalLines
	})
	text := r.logs.String()
	if !strings.Contains(text, `reason="Maximum Message Payload Exceeded"`) || !strings.Contains(text, "raise max_payload") {
		t.Errorf("log %.300s", text)
	}
	windows := int(time.Since(began)/time.Duration(refusalWindow)) + 2 // that it has touched
	if n := strings.Count(text, "level=WARN"); n > windows*maxRefusalLines {
		t.Errorf("%d lines in %d windows", n, windows)
	}
}

func TestOptionsThatCannotBeMeantAreErrors(t *testing.T) {
	for _, o := range []Options{
		{MaxConnections: -1}, {MaxPayload: -1}, {MaxPayload: 1 << 30}, {MaxControlLine: -1}, {PingInterval: -1}, {PingMax: 256},
		{LameDuckDuration: time.Second}, {LameDuckGracePeriod: 3 * time.Minute},
	} {
		if _, err := newSettings(o, mustDirectory(t)); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestSlowSubscriberIsClosedAndNobodyElseNotices(t *testing.T) {
	r := startOn(t, engine.Options{MaxPending: 1 << 20}, Options{}, auth.Options{}, broker.Options{})
	slow, quick := r.connect(quiet), r.connect(quiet)
	slow.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	slow.send("SUB a 1\r\nPING\r\n")
	slow.expect("PONG\r\n")
	quick.send("SUB a 1\r\nPING\r\n")
	quick.expect("PONG\r\n")
	pub := r.connect(quiet)
	payload := strings.Repeat("x", 32000)
	for n := 0; r.server.slow.Load() == 0; n++ {
		if n > 4000 {
			t.Fatal("128 MB sent and nobody is slow")
		}
		pub.send("PUB a 32000\r\n" + payload + "\r\n")
		quick.expect("MSG a 1 32000\r\n" + payload + "\r\n")
	}
	pub.send("PUB a 2\r\nhi\r\nPING\r\n")
	pub.expect("PONG\r\n")
	quick.expect("MSG a 1 2\r\nhi\r\n")
	eventually(t, "the slow one is gone", func() bool { return len(r.server.all()) == 2 })
	p := r.server.Snapshot().(*Snapshot)
	if p.SlowConsumers != 1 || p.Closed["Slow Consumer (Pending Bytes)"] != 1 || p.Connections != 2 {
		t.Errorf("snapshot %+v", p)
	}
	if n := r.server.broker.Account(broker.GlobalAccount).Snapshot().SlowPeers; n != 1 {
		t.Errorf("the account has %d slow peers", n)
	}
	if ended := r.server.Clients(Query{State: Closed}); len(ended) != 1 || ended[0].PendingBytes < 512<<10 {
		t.Errorf("what was given up with it is not shown: %+v", ended)
	}
	if !strings.Contains(r.logs.String(), "raise max_pending") {
		t.Error("no line with a remedy")
	}
}

func TestTLSOnAPlainListenerIsExplained(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	c := r.dial()
	c.send("\x16\x03\x01")
	c.expectClosed("-ERR 'Unknown Protocol Operation'\r\n")
	eventually(t, "the log says so", func() bool { return strings.Contains(r.logs.String(), "speaks TLS") })
}

func TestServerShowsTheKeysThatItIsGiven(t *testing.T) {
	key, err := auth.NewServerKey()
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{ID: key.ID(), XKey: key.XKey()}, auth.Options{}, broker.Options{})
	for range 2 {
		c := r.dial()
		if c.info["server_id"] != key.ID() || c.info["server_name"] != key.ID() || c.info["xkey"] != key.XKey() || r.server.ID() != key.ID() {
			t.Errorf("INFO %v", c.info)
		}
		r.reload(Options{}, auth.Options{}) // which does not name them
	}
	if c := start(t, Options{}, auth.Options{}, broker.Options{}).dial(); c.info["xkey"] != nil {
		t.Errorf("INFO %v", c.info)
	}
	if _, err := newSettings(Options{ID: "me"}, mustDirectory(t)); !errors.Is(err, ErrOptions) {
		t.Errorf("any id will do: %v", err)
	}
}

// A server that was to leave and stays is as it was before.
func TestLameDuckCanBeTakenBack(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	c := r.dial()
	c.send(`CONNECT {"verbose":false,"protocol":1}` + "\r\nPING\r\n")
	c.expect("PONG\r\n")
	c.readInfo()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.LameDuck(ctx) }()
	if info := c.readInfo(); info["ldm"] != true {
		t.Errorf("INFO %v", info)
	}
	cancel()
	<-ended
	r.server.Return()
	if info := c.readInfo(); info["ldm"] != nil || info["connect_info"] != nil {
		t.Errorf("INFO %v", info)
	}
	ln := mustListen(t)
	wait, err := r.server.Open(ln)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { ended <- wait(serving) }()
	r.addr = ln.Addr().String()
	if info := r.dial().info; info["ldm"] != nil {
		t.Errorf("INFO %v", info)
	}
	c.send("PING\r\n")
	c.expect("PONG\r\n")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
