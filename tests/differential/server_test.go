//go:build linux

package differential

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	patience     = 20 * time.Second
	pollInterval = 2 * time.Millisecond
)

// errRefused is a configuration that the server does not start with.
var errRefused = errors.New("the configuration is refused")

// A server is one process for one scenario.
type server struct{ *process.Server }

// start gives errRefused, with what the server said, if it ends at once.
func start(t testing.TB, kind process.Kind, config string) (*server, error) {
	s, err := process.Try(t, process.Options{Kind: kind, Config: config})
	switch {
	case err == nil:
	case s.Logged("goroutine 1 ["):
		err = fmt.Errorf("%s panics:\n%s", kind, s.Log())
	case errors.Is(err, process.ErrEnded):
		err = fmt.Errorf("%w by %s:\n%s", errRefused, kind, s.Log())
	}
	return &server{s}, err
}

// dial comes from an address of its own, as failed logins are counted by address.
func (s *server) dial(number int) (*net.TCPConn, error) {
	dialer := net.Dialer{
		Timeout:   patience,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+number/200), byte(2+number%200))},
	}
	conn, err := dialer.DialContext(context.Background(), "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), nil
}

// reload reports whether the server has taken a changed configuration.
func (s *server) reload(config string) (taken bool, err error) {
	s.SetConfig(config)
	count := func() (taken, refused int) {
		log := s.Log()
		return strings.Count(log, "Reloaded server configuration"),
			strings.Count(log, "Failed to reload server configuration") + strings.Count(log, "nothing has changed")
	}
	if !s.Running() {
		return false, process.ErrEnded
	}
	taken0, refused0 := count()
	s.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(pollInterval) {
		switch taken1, refused1 := count(); {
		case taken1 > taken0:
			return true, nil
		case refused1 > refused0:
			return false, nil
		}
	}
	return false, fmt.Errorf("%s says nothing after SIGHUP", s.Kind)
}
