//go:build linux

package abuse

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// crowd is how many connections at once: the descriptor limit of a process is often 20,000.
const crowd = 10_000

// gather opens n connections and takes their INFO.
func gather(t *testing.T, s *process.Server, n int) []*wire {
	t.Helper()
	all := make([]*wire, n)
	for i := range all {
		all[i] = dial(t, s)
	}
	return all
}

func dismiss(all []*wire) {
	for _, w := range all {
		w.Close()
	}
}

func TestCrowdThatSaysNothing(t *testing.T) {
	s := start(t, "memory_limit: 256MB\nping_interval: \"10m\"")
	good := newPair(t, s)
	before, descriptors := s.RSS(), s.Descriptors()
	all := gather(t, s, crowd)
	good.check()
	t.Logf("%d bytes a silent connection", (s.RSS()-before)/crowd)
	under(t, s, 64*mib)
	cpu := s.CPU()
	began := time.Now()
	for range 100 { // while nobody of the crowd says anything, the others must not pay for it
		good.check()
	}
	t.Logf("100 messages beside it: %v, %v of processor time", time.Since(began), s.CPU()-cpu)
	dismiss(all)
	process.Eventually(t, patience, "the connections are gone", func() bool { return s.Descriptors() <= descriptors })
	good.check()
}

func TestCrowdThatNeverAuthenticates(t *testing.T) {
	s := start(t, "memory_limit: 256MB\nauthorization { user: u, password: p, timeout: 2 }")
	all := gather(t, s, crowd)
	user := dial(t, s)
	user.send(`CONNECT {"verbose":false,"user":"u","pass":"p"}` + "\r\n")
	user.settle()
	for i, w := range all {
		if last := w.ends(); last != "-ERR 'Authentication Timeout'" {
			t.Fatalf("connection %d ended with %q", i, last)
		}
	}
	user.settle()
	process.Eventually(t, patience, "the connections are gone", func() bool { return s.Descriptors() < 40 })
	under(t, s, 64*mib)
}

func TestCrowdGetsOneMessage(t *testing.T) {
	s := start(t, "memory_limit: 256MB\nping_interval: \"10m\"")
	good := newPair(t, s)
	all := gather(t, s, crowd)
	for _, w := range all {
		w.send(quiet + "SUB to.all 1\r\nPING\r\n")
	}
	for _, w := range all {
		w.expect("PONG")
	}
	text := strings.Repeat("x", 128)
	publisher := client(t, s)
	began := time.Now()
	for range 5 {
		publisher.send(fmt.Sprintf("PUB to.all %d\r\n%s\r\n", len(text), text))
		good.check()
	}
	for _, w := range all {
		for range 5 {
			w.expect(fmt.Sprintf("MSG to.all 1 %d", len(text)))
			w.expect(text)
		}
	}
	t.Logf("5 messages to each of %d: %v", crowd, time.Since(began))
	under(t, s, 96*mib)
}

func TestCrowdThatStopsInTheMiddleOfAMessage(t *testing.T) {
	const half = 512 << 10
	s := start(t, "memory_limit: 256MB\nping_interval: \"10m\"")
	good := newPair(t, s)
	all := gather(t, s, crowd)
	for _, w := range all {
		w.Conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
		w.send(quiet + "PUB half 1048576\r\n")
	}
	payload := make([]byte, half)
	sent := make([]int, len(all))
	closed, total := 0, 0
	for deadline := time.Now().Add(40 * time.Second); ; {
		progress := 0
		for i, w := range all {
			if sent[i] == half {
				continue
			}
			n, end := w.offer(payload[sent[i]:])
			sent[i] += n
			progress += n
			if end {
				sent[i] = half
				closed++
			}
		}
		total += progress
		good.check()
		// Who rests at the bound makes no progress; then all is said that can be.
		if progress == 0 || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("the server or its kernel took %d MiB of %d MiB; %d connections closed", total/mib, crowd*half/mib, closed)
	under(t, s, 160*mib)
	dismiss(all)
	process.Eventually(t, patience, "the connections are gone", func() bool { return s.Descriptors() < 40 })
	w := client(t, s)
	w.in.Reset(w.Conn)
	whole := strings.Repeat("x", mib)
	w.send("SUB whole 1\r\nPUB whole 1048576\r\n" + whole + "\r\n")
	w.expect("MSG whole 1 1048576")
	w.expect(whole)
	good.check()
}

func TestCrowdThatHangsUp(t *testing.T) {
	s := start(t, "")
	good := newPair(t, s)
	descriptors := s.Descriptors()
	for i := range crowd / 2 {
		conn, err := s.Dial()
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			conn.(*net.TCPConn).SetLinger(0) // a reset instead of an end
		}
		if i%3 == 0 {
			conn.Write([]byte(quiet + "SUB a.b 1\r\nPUB a.b 5\r\nhe"))
		}
		conn.Close()
	}
	good.check()
	process.Eventually(t, patience, "the connections are gone", func() bool { return s.Descriptors() <= descriptors })
	under(t, s, 64*mib)
}

func TestNoDescriptorsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := process.Start(t, process.Options{Kind: process.Edgebus, Files: 100})
	good := newPair(t, s)
	var all []net.Conn
	for range 300 {
		conn, err := s.Dial() // what is not accepted waits in the kernel
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	good.check()
	cpu := s.CPU()
	const watched = time.Second
	<-time.After(watched) // an interval to measure in
	if used := s.CPU() - cpu; used > watched/2 {
		t.Errorf("without descriptors the server uses %v of processor time in %v", used, watched)
	}
	for _, conn := range all {
		conn.Close()
	}
	process.Eventually(t, patience, "it greets again", func() bool {
		conn, err := s.Dial()
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := conn.Read(make([]byte, 16))
		return n > 0
	})
	good.check()
}
