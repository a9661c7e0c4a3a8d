package leafnode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// patience is how long a test waits for what must come. Nothing waits that long unless it fails.
const patience = 20 * time.Second

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// A site is a server with nothing but leaf links.
type site struct {
	t    testing.TB
	b    *broker.Broker
	e    *engine.Engine
	n    *Node
	addr string // where leaves join
	log  *book

	end     context.CancelFunc
	serving sync.WaitGroup
}

// A book keeps what is logged.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *book) has(part string) bool { return strings.Contains(b.String(), part) }

// newSite makes a server that leaves may join. It has not begun to dial.
func newSite(t testing.TB, name string, change func(*Options, *auth.Options)) *site {
	t.Helper()
	return newSiteOn(t, engine.Options{Loops: 2}, name, change)
}

func newSiteOn(t testing.TB, e engine.Options, name string, change func(*Options, *auth.Options)) *site {
	t.Helper()
	o := Options{ServerName: name, ServerID: "N" + strings.ToUpper(name), Version: "2.12.0"}
	var a auth.Options
	if change != nil {
		change(&o, &a)
	}
	s := &site{t: t, b: broker.New(broker.Options{}), log: new(book)}
	var err error
	e.Local = func() any { return s.b.NewLane() }
	e.TurnEnd = func(lane any) { lane.(*broker.Lane).Flush() }
	s.e, err = engine.New(e)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if s.n, err = New(o, s.b, s.e, directoryOf(t, a), logger); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	s.serving.Go(func() {
		if err := s.n.Serve(ctx, ln); err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
	t.Cleanup(s.close)
	return s
}

func directoryOf(t testing.TB, a auth.Options) *auth.Directory {
	t.Helper()
	d, err := auth.New(a)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// close ends s. It may be called twice.
func (s *site) close() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.end()
	if err := s.n.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	s.serving.Wait()
	if err := s.e.Shutdown(ctx); err != nil {
		s.t.Error(err)
	}
	if s.t.Failed() {
		s.t.Logf("log of %s:\n%s", s.n.settings.Load().ServerName, s.log)
	}
}

// hurry changes what a Node goes by to times that are too short for real lines.
func (s *site) hurry(change func(*settings)) {
	set := *s.n.settings.Load()
	change(&set)
	s.n.install(&set)
}

// drops is how many messages of an account were not delivered for a reason.
func (s *site) drops(account string, why broker.Reason) uint64 {
	for _, a := range s.b.Accounts() {
		if a.Name == s.b.Account(account).Name() {
			return a.Drops[why.String()]
		}
	}
	return 0
}

// links waits until so many links are up, and returns what there is to show of them.
func (s *site) links(want int) (list []LinkSnapshot) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s has %d links", s.n.settings.Load().ServerName, want), func() bool {
		list = s.n.Links(true).Links
		return len(list) == want
	})
	return list
}

// wanted waits until the other side of the only link wants a subject, or no longer does.
func (s *site) wanted(subject string, want bool) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("interest in %q is %v", subject, want), func() bool {
		for _, k := range s.n.Links(true).Links {
			if slices.ContainsFunc(k.Subs, func(sub SubSnapshot) bool { return sub.Subject == subject }) {
				return want
			}
		}
		return !want
	})
}

// A client is somebody at a site.
type client struct {
	t    testing.TB
	peer *broker.Peer
	lane *broker.Lane
	got  chan string
}

// newClient makes one; got must not run full.
func (s *site) newClient(account string) *client {
	c := &client{t: s.t, lane: s.b.NewLane(), got: make(chan string, 1<<17)}
	c.peer = s.b.Account(account).Attach(nil, c, broker.Traits{})
	return c
}

// Deliver implements broker.Sink.
func (c *client) Deliver(m *broker.Msg, sub *broker.Sub) bool {
	if !sub.Take() {
		return false
	}
	text := string(m.Subject)
	if len(m.Reply) > 0 {
		text += " " + string(m.Reply)
	}
	if len(m.Header) > 0 {
		text += " " + strconv.Quote(string(m.Header))
	}
	c.got <- text + ": " + string(m.Payload)
	return true
}

// Wake implements broker.Sink.
func (c *client) Wake(bool) time.Duration { return 0 }

func (c *client) subscribe(subject, queue string) *broker.Sub {
	c.t.Helper()
	return mustSubscribe(c.t, c.peer, subject, queue, 0)
}

func (c *client) publish(subject, reply, header, payload string) (delivered int) {
	c.t.Helper()
	n, err := c.peer.Publish(c.lane, &broker.Msg{Subject: []byte(subject), Reply: []byte(reply), Header: []byte(header), Payload: []byte(payload)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.lane.Flush()
	return n
}

// wants checks what comes next.
func (c *client) wants(want ...string) {
	c.t.Helper()
	for _, text := range want {
		select {
		case got := <-c.got:
			if got != text {
				c.t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(patience):
			c.t.Fatalf("%q did not come", text)
		}
	}
}

// hasNothing checks that nothing has come.
func (c *client) hasNothing() {
	c.t.Helper()
	select {
	case got := <-c.got:
		c.t.Errorf("got %q, want nothing", got)
	default:
	}
}

// A wire is the other side of a link, in the hands of a test.
type wire struct {
	t     testing.TB
	conn  net.Conn
	in    *bufio.Reader
	out   io.Writer
	pack  *s2.Writer // nil without compression
	quiet bool       // PINGs are not answered
	pings int        // that have come
}

func newWire(t testing.TB, conn net.Conn) *wire {
	t.Cleanup(func() { conn.Close() })
	w := &wire{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: conn}
	w.patient()
	return w
}

// patient begins the time anew that the other side has: for each thing that a test asks of it, and not for all.
func (w *wire) patient() { w.conn.SetDeadline(time.Now().Add(patience)) }

// goS2 is the switch to compression, both ways.
func (w *wire) goS2() {
	w.in = bufio.NewReaderSize(s2.NewReader(w.in, s2.ReaderMaxBlockSize(maxBlock)), 64<<10)
	w.pack = s2.NewWriter(w.conn, s2.WriterConcurrency(1))
	w.out = w.pack
}

func (w *wire) say(text string) {
	w.t.Helper()
	w.patient()
	if err := w.try(text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) try(text string) error {
	_, err := io.WriteString(w.out, text)
	if err == nil && w.pack != nil {
		err = w.pack.Flush()
	}
	return err
}

// line reads one line, without its end.
func (w *wire) line() (string, error) {
	text, err := w.in.ReadString('\n')
	return strings.TrimSuffix(text, "\r\n"), err
}

// next reads one operation, with its payload behind a line break. It answers PINGs, which are not shown
// for that reason, unless w is quiet.
func (w *wire) next() (string, error) {
	for {
		line, err := w.line()
		switch {
		case err != nil:
			return "", err
		case line == "PING" && !w.quiet:
			w.pings++
			if err := w.try("PONG\r\n"); err != nil {
				return "", err
			}
		case strings.HasPrefix(line, "LMSG ") || strings.HasPrefix(line, "HMSG "):
			words := strings.Fields(line)
			size, err := strconv.Atoi(words[len(words)-1])
			if err != nil {
				return "", err
			}
			payload := make([]byte, size+2)
			if _, err := io.ReadFull(w.in, payload); err != nil {
				return "", err
			}
			return line + "\n" + string(payload[:size]), nil
		default:
			return line, nil
		}
	}
}

// until reads operations up to one that begins with prefix, and returns that.
func (w *wire) until(prefix string) string {
	w.t.Helper()
	w.patient()
	for {
		op, err := w.next()
		if err != nil {
			w.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if strings.HasPrefix(op, prefix) {
			return op
		}
	}
}

// wants checks which operations come next, but for interest in what servers have among themselves.
func (w *wire) wants(want ...string) {
	w.t.Helper()
	for _, text := range want {
		w.patient()
		op, err := w.next()
		for err == nil && strings.HasPrefix(op, "LS+ $") {
			op, err = w.next()
		}
		if err != nil || op != text {
			w.t.Fatalf("got %q, %v; want %q", op, err, text)
		}
	}
}

// sync waits until the other side has taken in all that was said, and returns what came before its
// answer.
func (w *wire) sync() (ops []string) {
	w.t.Helper()
	w.say("PING\r\n")
	for {
		op, err := w.next()
		if err != nil {
			w.t.Fatalf("waiting for PONG: %v; before it came %q", err, ops)
		}
		if op == "PONG" {
			return ops
		}
		ops = append(ops, op)
	}
}

// settled is sync for what is told later than the answer to a PING: interest.
func (w *wire) settled() (ops []string) {
	w.t.Helper()
	return append(w.sync(), w.sync()...)
}

// ended waits for the end of the connection and returns what came before.
func (w *wire) ended() (ops []string) {
	w.t.Helper()
	w.patient()
	for {
		op, err := w.next()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				w.t.Fatalf("it was not closed; before that came %q", ops)
			}
			return ops
		}
		ops = append(ops, op)
	}
}

// info reads an INFO.
func (w *wire) info() (i info) {
	w.t.Helper()
	op := w.until("INFO ")
	if err := json.Unmarshal([]byte(op[len("INFO "):]), &i); err != nil {
		w.t.Fatal(err)
	}
	return i
}

// leafConnect is what a leaf introduces itself with.
const leafConnect = `CONNECT {"version":"2.15.2","server_id":"NLEAF","name":"leaf","cluster":"leaf","headers":true,"remote_account":"$G","protocol":3}` + "\r\n"

// dialSite connects to s and says nothing.
func dialSite(t testing.TB, s *site) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, conn)
}

// joinAsLeaf is a leaf's handshake, with compression or without.
func joinAsLeaf(t testing.TB, s *site, connect string, packed bool) *wire {
	t.Helper()
	w := dialSite(t, s)
	w.info()
	if packed {
		w.say(`INFO {"compression":"s2_fast"}` + "\r\n")
		w.goS2()
		w.info()
	}
	w.say(connect)
	if i := w.info(); !i.ConnectInfo {
		t.Fatalf("INFO %+v does not let us in", i)
	}
	return w
}

// A hub is a listener whose other ends are in the hands of a test.
type hub struct {
	t    testing.TB
	ln   net.Listener
	info string // the first INFO
}

func newHub(t testing.TB) *hub {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &hub{t: t, ln: ln, info: hubInfo("")}
}

// hubInfo is what a hub says first, with more keys.
func hubInfo(more string) string {
	return `INFO {"server_id":"NHUB","server_name":"hub","version":"2.15.2","headers":true,"max_payload":1048576,"client_id":6,"nonce":"n",` +
		more + `"info_on_connect":true,"leafnode_urls":["127.0.0.1:1"]}` + "\r\n"
}

// welcome is a hub's last INFO, with more keys.
func welcome(more string) string {
	return strings.Replace(hubInfo(more), `"nonce":"n"`, `"connect_info":true,"remote_account":"HUB"`, 1)
}

func (h *hub) remote() Remote {
	return Remote{URLs: Texts{"nats-leaf://" + h.ln.Addr().String()}, IgnoreDiscovered: true}
}

// accept takes the next connection.
func (h *hub) accept() *wire {
	h.t.Helper()
	h.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := h.ln.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	return newWire(h.t, conn)
}

// join takes the next connection and lets it in, with more keys in the INFO that does so.
func (h *hub) join(more string) *wire {
	h.t.Helper()
	w := h.accept()
	w.say(h.info)
	if strings.Contains(h.info, "s2") {
		w.until("INFO ")
		w.goS2()
		w.say(h.info)
	}
	w.until("CONNECT ")
	w.say(welcome(more))
	return w
}

// sumOf is the checksum of a chunk's data.
func sumOf(data []byte) uint32 { return maskedSum(crc32.Checksum(data, castagnoli)) }
