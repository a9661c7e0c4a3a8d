//go:build linux

package daemon

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

// A supervisor is the end of the socket that systemd would read.
type supervisor struct {
	*net.UnixConn
	path string
}

func supervise(t *testing.T) supervisor {
	t.Helper()
	path := socketPath(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return supervisor{conn, path}
}

// hear returns the next message; empty: there is none in the time given.
func (s supervisor) hear(t *testing.T, within time.Duration) string {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(within))
	in := make([]byte, 4096)
	n, err := s.Read(in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(in[:n])
}

// forget reads what is there by now. Deadlines are no good for that: one that is over by the time of the read
// hides what has come.
func (s supervisor) forget(t *testing.T) {
	t.Helper()
	s.SetReadDeadline(time.Time{})
	raw, err := s.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			in := make([]byte, 4096)
			for n := 1; n > 0; {
				n, _, _ = syscall.Recvfrom(int(fd), in, syscall.MSG_DONTWAIT)
			}
			return true
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// until reads up to a message with the text in it.
func (s supervisor) until(t *testing.T, text string) string {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if said := s.hear(t, patience); strings.Contains(said, text) {
			return said
		}
	}
	t.Fatalf("the supervisor never hears %q", text)
	return ""
}

// mustRunUnder is mustRun with a supervisor that wants a sign of life each time watchdog has passed; 0: never.
func mustRunUnder(t *testing.T, s supervisor, watchdog time.Duration, o Options) *running {
	t.Helper()
	return mustRunWith(t, o, func(d *Daemon) { d.Inherits(&Inheritance{notify: s.path, watchdog: watchdog}) })
}

func TestSupervisorHearsOfEachStep(t *testing.T) {
	s := supervise(t)
	file := filepath.Join(t.TempDir(), "a.conf")
	if err := os.WriteFile(file, []byte("port: -1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := mustRunUnder(t, s, 0, loaded.Options)
	if said := s.hear(t, patience); said != "READY=1" {
		t.Errorf("first it hears %q", said)
	}
	if said := s.hear(t, patience); said != "STATUS=Serving on "+r.shownAddress() {
		t.Errorf("then it hears %q", said)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if said := s.hear(t, patience); !strings.HasPrefix(said, "RELOADING=1") {
		t.Errorf("of a reload it hears %q", said)
	}
	if said := s.hear(t, patience); said != "READY=1" {
		t.Errorf("after a reload it hears %q", said)
	}
	r.Stop()
	if said := s.hear(t, patience); !strings.HasPrefix(said, "STOPPING=1\n") {
		t.Errorf("at the end it hears %q", said)
	}
	r.mustEnd(t)
}

// The end of a server that was to take another's place is not the end of the service.
func TestSupervisorHearsNothingOfAPlaceThatIsNotGivenUp(t *testing.T) {
	s := supervise(t)
	elder, ours := net.Pipe()
	d, err := New(Options{Port: randomPort, Log: LogOptions{Stderr: new(page)}})
	if err != nil {
		t.Fatal(err)
	}
	d.Inherits(&Inheritance{notify: s.path, elder: ours})
	ended := make(chan error, 1)
	go func() { ended <- d.Run(t.Context()) }()
	elder.SetDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(elder).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		t.Errorf("it says %q, %v", line, err)
	}
	elder.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "has kept it") {
		t.Errorf("Run: %v", err)
	}
	if said := s.hear(t, time.Millisecond); said != "" { // it would be there by now
		t.Errorf("the supervisor hears %q", said)
	}
}

func TestWatchdogOfNoTimeIsFedAsOftenAsItCanBe(t *testing.T) {
	s := supervise(t)
	r := mustRunUnder(t, s, 1, Options{})
	s.until(t, "WATCHDOG=1")
	r.Stop()
	s.until(t, "STOPPING=1")
	r.mustEnd(t)
}

// What a socket unit with Accept=yes hands over is one client.
func TestOnlySocketsThatAreListenedOnAreTaken(t *testing.T) {
	mine, theirs, err := socketPair(t)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	defer theirs.Close()
	fd, err := duplicate(theirs.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Inheritance).adopt(fd, "clients", false); err == nil || !strings.Contains(err.Error(), "Accept=no") {
		t.Errorf("a connection is taken for a door: %v", err)
	}
}

// A loop that does not turn any more starves the watchdog, although all others do.
func TestStuckLoopStarvesTheWatchdog(t *testing.T) {
	s := supervise(t)
	const watchdog = 100 * time.Millisecond
	o := Options{}
	o.Engine.Loops = 2
	r := mustRunUnder(t, s, watchdog, o)
	for range 3 {
		s.until(t, "WATCHDOG=1")
	}
	mine, theirs, err := socketPair(t)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	stuck, release := make(chan struct{}), make(chan struct{})
	if err := r.engine.Adopt(theirs, func(*engine.Conn) engine.Session {
		close(stuck)
		<-release
		return quiet{}
	}); err != nil {
		t.Fatal(err)
	}
	<-stuck
	hungry := func() int { return strings.Count(r.out.String(), "The watchdog is not fed") }
	before := hungry() // a slow machine may have been late with an answer
	for end := time.Now().Add(patience); hungry() == before; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody notices a loop that is stuck:\n%s", r.out)
		}
	}
	s.forget(t) // of before that
	if said := s.hear(t, 3*watchdog); said != "" {
		t.Errorf("with a loop that is stuck the supervisor hears %q", said)
	}
	close(release)
	s.until(t, "WATCHDOG=1")
	r.Stop()
	s.until(t, "STOPPING=1")
	r.mustEnd(t)
}

// quiet is a session of somebody who says nothing.
type quiet struct{}

func (quiet) Data(_ *engine.Loop, in []byte) (int, error) { return len(in), nil }
func (quiet) Due(*engine.Loop, int64)                     {}
func (quiet) Closed(error)                                {}

func socketPair(t *testing.T) (mine, theirs net.Conn, err error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if mine, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		return nil, nil, err
	}
	theirs, err = ln.Accept()
	return mine, theirs, err
}

func TestStatusIsOneLineOfWhatGoesOn(t *testing.T) {
	r := mustRun(t, Options{})
	c := mustConnect(t, r, "")
	if line := c.line(t); line != "PONG" {
		t.Fatal(line)
	}
	if got := r.statusLine(12.4); got != "1 clients, 12 messages/s" {
		t.Error(got)
	}
	m := meter{}
	begin := time.Now()
	m.read(100, begin)
	if got := m.read(400, begin.Add(2*time.Second)); got != 150 {
		t.Errorf("300 messages in 2 s are %v/s", got)
	}
}
