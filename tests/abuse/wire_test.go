//go:build linux

package abuse

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	patience = 20 * time.Second
	mib      = 1 << 20

	// notice is how long a round trip of a well-behaved client may take while others misbehave.
	notice = 3 * time.Second

	quiet = `CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}` + "\r\n"
)

func TestMain(m *testing.M) { process.Main(m) }

func start(t *testing.T, config string) *process.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds and thousands of connections")
	}
	return process.Start(t, process.Options{Kind: process.Edgebus, Config: config})
}

// A wire is a connection that is written and read by hand.
type wire struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// dial connects and takes the INFO.
func dial(t *testing.T, s *process.Server) *wire {
	t.Helper()
	conn, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := &wire{Conn: conn, t: t, in: bufio.NewReaderSize(conn, 1024)}
	if line := w.line(); !strings.HasPrefix(line, "INFO {") {
		t.Fatalf("greeted with %q", line)
	}
	return w
}

// client is dial and a CONNECT that asks for quiet.
func client(t *testing.T, s *process.Server) *wire {
	t.Helper()
	w := dial(t, s)
	w.send(quiet)
	return w
}

// send writes all, or fails.
func (w *wire) send(text string) {
	w.t.Helper()
	w.SetWriteDeadline(time.Now().Add(patience))
	if _, err := w.Write([]byte(text)); err != nil {
		w.t.Fatalf("writing %.40q: %v", text, err)
	}
}

// line reads one line without its ending. PINGs of the server are answered and passed over.
func (w *wire) line() string {
	w.t.Helper()
	for {
		w.SetReadDeadline(time.Now().Add(patience))
		line, err := w.in.ReadString('\n')
		if err != nil {
			w.t.Fatalf("reading: %v, after %.80q", err, line)
		}
		line = strings.TrimRight(line, "\r\n")
		if line != "PING" {
			return line
		}
		w.send("PONG\r\n")
	}
}

func (w *wire) expect(want string) {
	w.t.Helper()
	if got := w.line(); got != want {
		w.t.Fatalf("got %.120q, want %q", got, want)
	}
}

// settle waits until the server has dealt with what was sent.
func (w *wire) settle() {
	w.t.Helper()
	w.send("PING\r\n")
	w.expect("PONG")
}

// ends reads the rest, which the server must end, and gives its last line.
func (w *wire) ends() (last string) {
	w.t.Helper()
	for {
		w.SetReadDeadline(time.Now().Add(patience))
		line, err := w.in.ReadString('\n')
		if text := strings.TrimRight(line, "\r\n"); text != "" && text != "PING" {
			last = text
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			w.t.Fatalf("the server has not closed; last line %.80q", last)
		}
		if err != nil {
			return last
		}
	}
}

// pour writes text again and again until total bytes are gone or the server takes no more.
func (w *wire) pour(text string, total int) (gone int) {
	chunk := bytes.Repeat([]byte(text), max(1, mib/len(text)))
	for gone < total {
		w.SetWriteDeadline(time.Now().Add(patience))
		n, err := w.Write(chunk[:min(len(chunk), total-gone)])
		gone += n
		if err != nil {
			return gone
		}
	}
	return gone
}

// offer writes what the kernel takes at once, without waiting. closed: the server has closed.
func (w *wire) offer(p []byte) (n int, closed bool) {
	raw, err := w.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	err = raw.Write(func(fd uintptr) bool {
		for n < len(p) {
			m, err := syscall.Write(int(fd), p[n:])
			if err == syscall.EAGAIN {
				return true
			}
			if err != nil {
				closed = true
				return true
			}
			n += m
		}
		return true
	})
	return n, closed || err != nil
}

// A pair is two well-behaved clients that notice when the server neglects them.
type pair struct {
	publisher, subscriber *wire
	n                     int
}

func newPair(t *testing.T, s *process.Server) *pair {
	t.Helper()
	p := &pair{client(t, s), client(t, s), 0}
	p.subscriber.send("SUB well.behaved 1\r\n")
	p.subscriber.settle()
	return p
}

// check sends one message from one to the other and asserts that it does not take long.
func (p *pair) check() {
	t := p.subscriber.t
	t.Helper()
	p.n++
	text := fmt.Sprintf("message %d", p.n)
	began := time.Now()
	p.publisher.send(fmt.Sprintf("PUB well.behaved %d\r\n%s\r\n", len(text), text))
	p.subscriber.expect(fmt.Sprintf("MSG well.behaved 1 %d", len(text)))
	p.subscriber.expect(text)
	if took := time.Since(began); took > notice {
		t.Fatalf("a message between two well-behaved clients took %v", took)
	}
}

// under asserts that the server's memory has never been above the bound.
func under(t *testing.T, s *process.Server, bound int64) {
	t.Helper()
	if process.Raced() {
		return // the race detector takes several times as much
	}
	peak := s.PeakRSS()
	t.Logf("memory: now %.1f MiB, most %.1f MiB, bound %.0f MiB", float64(s.RSS())/mib, float64(peak)/mib, float64(bound)/mib)
	if peak > bound {
		t.Errorf("the server has used %.1f MiB, more than %.0f MiB", float64(peak)/mib, float64(bound)/mib)
	}
}
