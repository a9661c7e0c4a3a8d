//go:build linux

package abuse

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestSubscriberThatNeverReads(t *testing.T) {
	const size, messages = 64 << 10, 1 << 30 / (64 << 10)
	s := start(t, "memory_limit: 256MB")
	good := newPair(t, s)
	slow, fast, publisher := client(t, s), client(t, s), client(t, s)
	fast.in = bufio.NewReaderSize(fast.Conn, 256<<10)
	slow.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	for _, w := range []*wire{slow, fast} {
		w.send("SUB flood 1\r\n")
		w.settle()
	}

	got := make(chan error, 1)
	go func() { got <- fast.count(fmt.Sprintf("MSG flood 1 %d", size), size, messages) }()
	message := []byte(fmt.Sprintf("PUB flood %d\r\n", size) + strings.Repeat("x", size) + "\r\n")
	began := time.Now()
	worst := time.Duration(0)
	for i := range messages {
		publisher.SetWriteDeadline(time.Now().Add(patience))
		if _, err := publisher.Write(message); err != nil {
			t.Fatalf("publishing: %v", err)
		}
		if i%512 == 0 {
			at := time.Now()
			good.check()
			worst = max(worst, time.Since(at))
		}
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	t.Logf("1 GiB in %v; the worst message between others took %v", time.Since(began), worst)

	// What the kernel had for the slow one is still there; then comes the end.
	slow.SetReadDeadline(time.Now().Add(patience))
	n, err := io.Copy(io.Discard, slow.in)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Errorf("the slow subscriber was not closed, after %d MiB", n/mib)
	}
	good.check()
	under(t, s, 160*mib)
}

// count reads n messages with that line and payloads of that size, as fast as they come.
func (w *wire) count(line string, size, n int) error {
	w.SetReadDeadline(time.Now().Add(2 * time.Minute))
	for i := 0; i < n; {
		got, err := w.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("after %d messages: %w", i, err)
		}
		switch got = strings.TrimRight(got, "\r\n"); got {
		case line:
			if _, err := w.in.Discard(size + 2); err != nil {
				return fmt.Errorf("in message %d: %w", i, err)
			}
			i++
		case "PING":
			w.Write([]byte("PONG\r\n"))
		default:
			return fmt.Errorf("message %d began with %.80q", i, got)
		}
	}
	return nil
}

func TestBytesThatTrickleDoNotHoldTheDoor(t *testing.T) {
	s := start(t, "authorization { user: u, password: p, timeout: 1 }")
	w := dial(t, s)
	began := time.Now()
	ended := make(chan string, 1)
	go func() {
		rest, _ := io.ReadAll(w.in)
		ended <- string(rest)
	}()
	text := []byte(`CONNECT {"user":"u","pass":"p","name":"` + strings.Repeat("x", 3000))
	for i := 0; ; i++ {
		select {
		case rest := <-ended:
			if took := time.Since(began); took > patience/2 || !strings.Contains(rest, "Authentication Timeout") {
				t.Errorf("it ended after %v with %q", took, rest)
			}
			return
		case <-time.After(20 * time.Millisecond): // the trickle itself
			w.Write(text[i%len(text):][:1])
		}
		if time.Since(began) > patience {
			t.Fatal("it was not closed")
		}
	}
}

func TestKilledServerStartsAgainOnItsPort(t *testing.T) {
	s := start(t, "")
	for range 5 {
		all := gather(t, s, 200)
		for i, w := range all {
			w.send(quiet + fmt.Sprintf("SUB a.%d 1\r\nPUB a.%d 3\r\nabc\r\n", i, i))
		}
		s.Kill()
		for _, w := range all {
			w.ends()
		}
		s.Again()
		newPair(t, s).check()
		dismiss(all)
	}
}

func TestManyOperationsInOneWriteKeepTheirOrder(t *testing.T) {
	s := start(t, "")
	w := client(t, s)
	const n = 100_000
	var out bytes.Buffer
	out.WriteString("SUB n 1\r\n")
	for i := range n {
		text := fmt.Sprint(i)
		fmt.Fprintf(&out, "PUB n %d\r\n%s\r\n", len(text), text)
	}
	failed := make(chan error, 1)
	go func() {
		w.SetWriteDeadline(time.Now().Add(patience))
		_, err := w.Write(out.Bytes())
		failed <- err
	}()
	for i := range n {
		text := fmt.Sprint(i)
		w.expect(fmt.Sprintf("MSG n 1 %d", len(text)))
		w.expect(text)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	process.Eventually(t, patience, "memory is given back", func() bool { return s.RSS() < 96*mib })
}
