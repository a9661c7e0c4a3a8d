//go:build linux

package differential

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	patience     = 20 * time.Second // a cold binary on a busy machine
	pollInterval = 2 * time.Millisecond
)

// errRefused is a configuration that the server does not start with.
var errRefused = errors.New("the configuration is refused")

// A server is one process for one scenario. Unlike process.Server it may refuse to start.
type server struct {
	kind process.Kind
	addr string
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed by the goroutine that waits for the process
	log  lockedText
}

// start gives errRefused, with what the server said, if it ends at once.
func start(t testing.TB, kind process.Kind, config string) (*server, error) {
	for range 5 {
		s, err := startOnce(t, kind, config)
		// Between our finding a free port and the server's taking it, another may.
		if s == nil || err == nil || !strings.Contains(s.log.String(), "address already in use") {
			return s, err
		}
	}
	return nil, errors.New("no free port")
}

func startOnce(t testing.TB, kind process.Kind, config string) (*server, error) {
	dir, err := os.MkdirTemp("", "differential-")
	if err != nil {
		return nil, err
	}
	s := &server{kind: kind, addr: freeAddress(), dir: dir, done: make(chan struct{})}
	s.writeConfig(config)
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command(process.Binary(t, kind), "-c", s.configFile(), "-a", "127.0.0.1", "-p", port)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.done)
	}()
	if err := s.awaitGreeting(); err != nil {
		s.stop()
		return s, err
	}
	return s, nil
}

func (s *server) configFile() string { return filepath.Join(s.dir, "server.conf") }

func (s *server) writeConfig(text string) {
	if err := os.WriteFile(s.configFile(), []byte(text+"\n"), 0o600); err != nil {
		panic(err)
	}
}

func (s *server) awaitGreeting() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-s.done:
			if strings.Contains(s.log.String(), "goroutine 1 [") {
				return fmt.Errorf("%s panics:\n%s", s.kind, s.log.String())
			}
			return fmt.Errorf("%w by %s:\n%s", errRefused, s.kind, s.log.String())
		case <-time.After(pollInterval):
		}
		conn, err := s.dial(0)
		if err != nil {
			continue
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		// Leave politely and wait for the server's end: a scenario may count connections.
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
		conn.Close()
		if strings.HasPrefix(line, "INFO {") {
			return nil
		}
	}
	return errors.New("no greeting in time")
}

// dial comes from an address of its own, as failed logins are counted by address.
func (s *server) dial(number int) (*net.TCPConn, error) {
	dialer := net.Dialer{
		Timeout:   patience,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+number/200), byte(2+number%200))},
	}
	conn, err := dialer.DialContext(context.Background(), "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

// reload reports whether the server has taken a changed configuration.
func (s *server) reload(config string) (taken bool, err error) {
	s.writeConfig(config)
	count := func() (taken, refused int) {
		log := s.log.String()
		return strings.Count(log, "Reloaded server configuration"),
			strings.Count(log, "Failed to reload server configuration") + strings.Count(log, "nothing has changed")
	}
	taken0, refused0 := count()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(pollInterval) {
		switch taken1, refused1 := count(); {
		case taken1 > taken0:
			return true, nil
		case refused1 > refused0:
			return false, nil
		}
	}
	return false, fmt.Errorf("%s says nothing after SIGHUP", s.kind)
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	<-s.done
	os.RemoveAll(s.dir)
}

func freeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// A lockedText is a log that is written and read at once.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
