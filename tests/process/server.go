package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startPatience = time.Minute      // a cold binary on a busy machine, and perhaps an emulated one
	greetPatience = 10 * time.Second // from its listening to its INFO
	stopPatience  = 20 * time.Second
	pollInterval  = 2 * time.Millisecond
	keptLog       = 256 << 10 // bytes of a server's log that are kept: the newest
)

// Options say how to start a server.
type Options struct {
	Kind   Kind
	Config string   // text of the configuration file, without an address
	Args   []string // further arguments
	Env    []string // further environment, NAME=value
	Port   int      // 0: a free one
	Files  int      // limit of open descriptors; 0: as here
}

// A Server is one running process.
type Server struct {
	Kind Kind
	Port int

	t    testing.TB
	o    Options
	dir  string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when the process has ended and err is set
	err  error
}

// ErrEnded: the server has ended before it greeted, as it does with a configuration that it refuses.
var ErrEnded = errors.New("it has ended")

// Start runs a server and returns when it greets. It is killed when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Try(t, o)
	if err != nil {
		t.Fatalf("%s does not start: %v\n%s", s.Kind, err, s.log.tail(4<<10))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", s.Kind, s.log.tail(4<<10))
		}
	})
	return s
}

// Try is Start for a server that need not start. There is a Server with an error as well, for its log.
func Try(t testing.TB, o Options) (*Server, error) {
	t.Helper()
	s := &Server{Kind: o.Kind, Port: o.Port, t: t, o: o, dir: t.TempDir(), log: &logBuffer{}}
	t.Cleanup(func() {
		s.Kill()
		if s.Logged("WARNING: DATA RACE") {
			t.Error("a data race in the server")
		}
	})
	s.SetConfig(o.Config)
	// Between our finding a free port and the server's taking it, another may: try again then.
	var err error
	for range 5 {
		if o.Port == 0 {
			s.Port = FreePort(t)
		}
		if err = s.run(); err == nil || o.Port != 0 || !s.Logged("address already in use") {
			break
		}
	}
	return s, err
}

// SetConfig writes the configuration file anew; Signal(syscall.SIGHUP) makes it known.
func (s *Server) SetConfig(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.configFile(), []byte(text+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) configFile() string { return filepath.Join(s.dir, "server.conf") }

// Environ is the environment without what moves a server's memory, or where its commands look for it.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return name == "GOGC" || name == "GOMEMLIMIT" || name == "GODEBUG" || strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "EDGEBUS_")
	})
}

func (s *Server) run() error {
	args := append([]string{"-c", s.configFile(), "-a", "127.0.0.1", "-p", strconv.Itoa(s.Port)}, s.o.Args...)
	s.cmd = exec.Command(Binary(s.t, s.Kind), args...)
	if s.o.Files > 0 {
		limited := []string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, s.o.Files), Binary(s.t, s.Kind)}
		s.cmd = exec.Command("sh", append(limited, args...)...)
	}
	s.cmd.Env = append(Environ(), s.o.Env...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.done = done
	go func() {
		s.err = s.cmd.Wait()
		close(done)
	}()
	return s.awaitGreeting()
}

// awaitGreeting dials until the server sends INFO, or has ended.
func (s *Server) awaitGreeting() error {
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); {
		select {
		case <-s.done:
			return fmt.Errorf("%w: %v", ErrEnded, s.err)
		case <-time.After(pollInterval):
		}
		if s.greets() {
			return nil
		}
	}
	return errors.New("no greeting in time")
}

func (s *Server) greets() bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(greetPatience))
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "INFO {") {
		return false
	}
	// Leave politely and wait for the server's end: a test may be about counting connections.
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, in)
	return true
}

// Addr is where clients connect, host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// URL is Addr as clients want it.
func (s *Server) URL() string { return "nats://" + s.Addr() }

// Dial opens a connection and leaves all of it to the caller.
func (s *Server) Dial() (net.Conn, error) { return net.DialTimeout("tcp", s.Addr(), 10*time.Second) }

// Pid is the process id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Running reports whether the process has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal %v to %s: %v", sig, s.Kind, err)
	}
}

// Kill ends the process at once, as a power cut would, and waits for it.
func (s *Server) Kill() {
	if s.done == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.done
}

// Stop asks the process to end and returns its exit code.
func (s *Server) Stop() int {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	return s.Wait(stopPatience)
}

// Wait returns the exit code once the process has ended.
func (s *Server) Wait(patience time.Duration) int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("%s still runs after %v", s.Kind, patience)
	}
	return s.cmd.ProcessState.ExitCode()
}

// Again starts the ended server again on its port.
func (s *Server) Again() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatalf("%s does not start again on port %d: %v", s.Kind, s.Port, err)
	}
}

// Logged reports whether the log has the text in it.
func (s *Server) Logged(text string) bool { return s.log.has(text) }

// Log is the newest part of the log.
func (s *Server) Log() string { return s.log.tail(keptLog) }

// Eventually waits until f is true.
func Eventually(t testing.TB, patience time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-time.After(pollInterval)
	}
}

// A logBuffer keeps the newest part of what is written to it.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

var _ io.Writer = (*logBuffer)(nil)

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if over := len(b.text) - keptLog; over > keptLog/4 {
		b.text = append(b.text[:0], b.text[over:]...)
	}
	return len(p), nil
}

func (b *logBuffer) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Contains(b.text, []byte(text))
}

func (b *logBuffer) tail(most int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text[max(0, len(b.text)-most):])
}
