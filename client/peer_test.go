package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain fails when a test leaves a goroutine of ours behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftOver(30 * time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left over:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftOver waits for goroutines that run code of this package to end, and returns their stacks.
func leftOver(patience time.Duration) string {
	end := time.Now().Add(patience)
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		var ours []string
		for i, one := range bytes.Split(stacks, []byte("\n\n")) {
			// The first is the one that asks.
			if i > 0 && bytes.Contains(one, []byte("edgebus/client.")) {
				ours = append(ours, string(one))
			}
		}
		if len(ours) == 0 || time.Now().After(end) {
			return strings.Join(ours, "\n\n")
		}
		runtime.Gosched()
	}
}

const plainInfo = `{"server_id":"X","server_name":"one","version":"2.10.0","proto":1,"headers":true,"max_payload":1024,"client_id":7}`

// A network is where the servers of a test are: each dial arrives at peers, until the address
// is down.
type network struct {
	t     *testing.T
	peers chan *peer

	mu    sync.Mutex
	down  map[string]bool
	dials []string
}

// set takes a server down or brings it up again.
func (n *network) set(address string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[address] = down
}

// dialled is every address that was tried, in order.
func (n *network) dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

func newNetwork(t *testing.T) *network {
	return &network{t: t, peers: make(chan *peer, 16), down: make(map[string]bool)}
}

func (n *network) dial(_ context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, address)
	down := n.down[address]
	n.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("%s is down", address)}
	}
	ours, theirs := net.Pipe()
	n.peers <- &peer{t: n.t, conn: ours, lines: bufio.NewReader(ours), address: address}
	return theirs, nil
}

// A peer is the server's end of one connection, played by the test.
type peer struct {
	t       *testing.T
	conn    net.Conn
	lines   *bufio.Reader
	address string
}

// hello plays the handshake and returns the JSON of CONNECT.
func (p *peer) hello(info string) string {
	p.t.Helper()
	p.send("INFO " + info + " \r\n")
	connect := p.line()
	p.expect("PING")
	p.send("PONG\r\n")
	text, ok := strings.CutPrefix(connect, "CONNECT ")
	if !ok {
		p.t.Errorf("got %q, want CONNECT", connect)
	}
	return text
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Errorf("sending %q: %v", text, err)
	}
}

func (p *peer) line() string {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// expect reads lines and compares them.
func (p *peer) expect(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		if got := p.line(); got != want {
			p.t.Errorf("%s got %q, want %q", p.address, got, want)
		}
	}
}

// connect makes a connection to a peer that plays along, and returns both.
func connect(t *testing.T, n *network, list ...Option) (*Conn, *peer) {
	t.Helper()
	return connectTo(t, n, "one", list...)
}

func connectTo(t *testing.T, n *network, urls string, list ...Option) (*Conn, *peer) {
	t.Helper()
	ready := make(chan *peer)
	go func() {
		p := <-n.peers
		p.hello(plainInfo)
		ready <- p
	}()
	list = append([]Option{Dialer(n.dial), NoRandomize()}, list...)
	conn, err := Connect(t.Context(), urls, list...)
	if err != nil {
		t.Fatal(err)
	}
	return conn, <-ready
}

// next accepts the connection after a break.
func (n *network) next(info string) *peer {
	n.t.Helper()
	p := <-n.peers
	p.hello(info)
	return p
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
