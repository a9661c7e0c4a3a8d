//go:build linux

package abuse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestLineOfOneGigabyteIsNotKept(t *testing.T) {
	const gigabyte = 1 << 30
	tables := []struct{ name, head, body, last string }{
		{"SUB", "SUB ", "x", "-ERR 'maximum control line exceeded'"},
		{"PUB", "PUB ", "x", "-ERR 'maximum control line exceeded'"},
		{"UNSUB", "UNSUB ", "1", "-ERR 'maximum control line exceeded'"},
		{"CONNECT", "CONNECT {", " ", "-ERR 'maximum control line exceeded'"},
		{"blanks", "SUB ", " ", ""},
		{"no operation", "", "x", "-ERR 'Unknown Protocol Operation'"},
		{"zeros", "", "\x00", "-ERR 'Unknown Protocol Operation'"},
		{"PING", "PING", "x", ""},
	}
	s := start(t, "")
	good := newPair(t, s)
	for _, c := range tables {
		t.Run(c.name, func(t *testing.T) {
			w := dial(t, s)
			w.send(c.head)
			began := time.Now()
			took := w.pour(c.body, gigabyte)
			if c.last != "" {
				if last := w.ends(); last != c.last {
					t.Errorf("the last line was %q, want %q", last, c.last)
				}
			}
			t.Logf("the server or its kernel took %d MiB in %v", took/mib, time.Since(began))
			good.check()
		})
	}
	under(t, s, 64*mib)
}

func TestLineOfOneGigabyteBeforeAuthentication(t *testing.T) {
	s := start(t, "authorization { user: u, password: p }")
	for _, head := range []string{"CONNECT {", "SUB ", "PING", "", "PUB x 1000000\r\n"} {
		w := dial(t, s)
		w.send(head)
		began := time.Now()
		took := w.pour("x", 1<<30)
		w.ends()
		t.Logf("after %q the server or its kernel took %d MiB in %v", head, took/mib, time.Since(began))
	}
	under(t, s, 64*mib)
}

func TestFloodWithoutEndIsEnded(t *testing.T) {
	s := start(t, "authorization { user: u, password: p }")
	w := dial(t, s)
	began := time.Now()
	const much = math.MaxInt // more than goes through in any time
	took := w.pour("x", much)
	if ended := time.Since(began); ended > patience/2 || took == much {
		t.Errorf("it went on for %v and %d MiB", ended, took/mib)
	}
	w.ends()
	under(t, s, 64*mib)
}

func TestOversizePayloadIsRefusedAtItsLine(t *testing.T) {
	s := start(t, "")
	good := newPair(t, s)
	for _, size := range []string{"1048577", "999999999", "4294967296", "9223372036854775807", "18446744073709551616", strings.Repeat("9", 4000)} {
		for _, form := range []string{"PUB x %s\r\n", "PUB x y %s\r\n", "HPUB x 12 %s\r\n"} {
			w := client(t, s)
			w.send(fmt.Sprintf(form, size))
			last := w.ends()
			// Ten digits and more are no size at all, which is answered with the end alone.
			if last != "-ERR 'Maximum Payload Violation'" && len(size) < 10 {
				t.Errorf("%.30q: the last line was %q", fmt.Sprintf(form, size), last)
			}
		}
	}
	good.check()
	under(t, s, 48*mib)
}

func TestOddConnectDoesNoHarm(t *testing.T) {
	s := start(t, "")
	good := newPair(t, s)
	for _, text := range []string{
		"{\"name\":\"\xff\xfe\xc0\x80\",\"verbose\":false}",
		"{\"\xff\":\"\xff\"}",
		"\xff\xfe",
		"{\"name\":\"\\ud800\"}",
		strings.Repeat("[", 4000),
		strings.Repeat(`{"a":`, 800),
		`{"name":` + strings.Repeat("1", 3000) + "}",
		`{"protocol":1e400}`,
		`{"user":null,"pass":null,"verbose":null}`,
	} {
		w := dial(t, s)
		w.send("CONNECT " + text + "\r\nPING\r\n")
		w.SetReadDeadline(time.Now().Add(patience))
		if line, err := w.in.ReadString('\n'); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Errorf("CONNECT %.40q: neither an answer nor an end", text)
			}
		} else if !strings.HasPrefix(line, "PONG") && !strings.HasPrefix(line, "-ERR") && !strings.HasPrefix(line, "+OK") {
			t.Errorf("CONNECT %.40q: answered with %q", text, line)
		}
		good.check()
	}
	under(t, s, 48*mib)
}

func TestNoiseDoesNoHarm(t *testing.T) {
	s := start(t, "")
	good := newPair(t, s)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	words := []string{"PUB ", "HPUB ", "SUB ", "UNSUB ", "PING\r\n", "PONG\r\n", "CONNECT ", "{}", "\r\n", "\n", " ", "1", "0", "22", "a", ".", "*", ">", "-ERR", "+OK\r\n", "\x00", "\xff", "a.b"}
	for range 1000 {
		w := dial(t, s)
		var b strings.Builder
		for range random.IntN(60) {
			b.WriteString(words[random.IntN(len(words))])
		}
		w.offer([]byte(b.String()))
		w.Close()
	}
	good.check()
	process.Eventually(t, patience, "the connections are gone", func() bool { return s.Descriptors() < 40 })
	under(t, s, 48*mib)
}

func TestSubscriptionsStopAtTheLimit(t *testing.T) {
	const tries, limit = 1_000_000, 10_000
	s := start(t, fmt.Sprintf("max_subscriptions: %d", limit))
	good := newPair(t, s)
	w := client(t, s)
	w.in.Reset(w.Conn)
	sent := make(chan error, 1)
	go func() {
		var b []byte
		for i := range tries {
			b = fmt.Appendf(b, "SUB sub.%d %d\r\n", i, i)
			if len(b) > 60_000 || i == tries-1 {
				w.SetWriteDeadline(time.Now().Add(patience))
				if _, err := w.Write(b); err != nil {
					sent <- err
					return
				}
				b = b[:0]
			}
		}
		sent <- nil
	}()
	for refused := 0; refused < tries-limit; refused++ {
		if line := w.line(); line != "-ERR 'maximum subscriptions exceeded'" {
			t.Fatalf("after %d refusals: %q", refused, line)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.send("PUB sub.9999 0\r\n\r\nPUB sub.10000 0\r\n\r\n")
	w.expect("MSG sub.9999 9999 0")
	w.expect("")
	w.settle()
	good.check()
	under(t, s, 64*mib)
}

func TestErrorsThatNobodyReadsAreBounded(t *testing.T) {
	s := start(t, "max_subscriptions: 10\nmemory_limit: 256MB")
	good := newPair(t, s)
	w := client(t, s)
	w.Conn.(*net.TCPConn).SetReadBuffer(16 << 10)
	// It asks for 200 MB of errors and reads none. The server may close it or make it wait.
	chunk := []byte(strings.Repeat("SUB x 1000000\r\nSUB x 1\r\n", 4000))
	for deadline, gone := time.Now().Add(patience), 0; gone < 100*mib && time.Now().Before(deadline); {
		n, closed := w.offer(chunk)
		if closed {
			break
		}
		gone += n
		good.check()
	}
	good.check()
	under(t, s, 160*mib)
}
