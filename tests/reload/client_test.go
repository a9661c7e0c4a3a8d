//go:build linux

package reload

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// patience is longer than hundreds of passwords take to be hashed on a busy machine.
const patience = 3 * time.Minute

func TestMain(m *testing.M) { process.Main(m) }

func full() bool { return os.Getenv("EDGEBUS_RELOAD") == "full" }

// pick is the first in the long form of a test and the second in the short one.
func pick[T any](long, short T) T {
	if full() {
		return long
	}
	return short
}

// A server is one that logs into a file, where its reloads are seen.
type server struct {
	*process.Server
	t    *testing.T
	log  string
	read int64 // of the log, up to the last reload
}

func start(t *testing.T, config string) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds and hundreds of connections")
	}
	s := &server{t: t, log: filepath.Join(t.TempDir(), "log")}
	s.Server = process.Start(t, process.Options{Kind: process.Edgebus, Config: config, Args: []string{"-l", s.log}})
	t.Cleanup(func() {
		if text, err := os.ReadFile(s.log); t.Failed() {
			t.Logf("%v, end of the log:\n%s", err, text[max(0, len(text)-4<<10):])
		}
	})
	return s
}

var reloaded = regexp.MustCompile(`Reloaded server configuration.*took=(\S+)`)

// reload gives the server a configuration and returns once the log says that it is in force, with
// how long that was by our clock and by the server's.
func (s *server) reload(config string) (seen, own time.Duration) {
	s.t.Helper()
	s.SetConfig(config)
	began := time.Now()
	s.Signal(syscall.SIGHUP)
	process.Eventually(s.t, patience, "the log says that it has reloaded", func() bool {
		fresh := s.newLog()
		if bytes.Contains(fresh, []byte("Failed to reload")) {
			s.t.Fatalf("the reload is refused:\n%s", fresh)
		}
		found := reloaded.FindSubmatchIndex(fresh)
		if found == nil {
			return false
		}
		seen = time.Since(began)
		s.read += int64(found[1])
		own, _ = time.ParseDuration(strings.Trim(string(fresh[found[2]:found[3]]), `"`))
		return true
	})
	return seen, own
}

// newLog is what is in the log since the last reload was seen, in whole lines.
func (s *server) newLog() []byte {
	s.t.Helper()
	file, err := os.Open(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	size, err := file.Seek(0, 2)
	if err != nil {
		s.t.Fatal(err)
	}
	fresh := make([]byte, size-s.read)
	n, _ := file.ReadAt(fresh, s.read)
	return fresh[:bytes.LastIndexByte(fresh[:n], '\n')+1]
}

// A client is a connection whose input is read by a goroutine, which hands messages to a function.
type client struct {
	conn net.Conn
	name string

	pongs  chan bool
	failed atomic.Int64 // -ERR lines
	ended  chan bool    // closed by the reader at the connection's end

	// The reader's, and anybody's after ended.
	last string // -ERR line
	err  error
}

// join logs in and starts to read. onMsg gets subject and payload, and must keep neither.
func join(s *server, user, password string, onMsg func(subject, payload []byte)) (*client, error) {
	conn, err := s.Dial()
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, name: user, pongs: make(chan bool, 64), ended: make(chan bool)}
	go c.readLoop(onMsg)
	c.send(`CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"user":"%s","pass":"%s"}`+"\r\n", user, password)
	if err := c.settle(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("login of %s: %w", user, err)
	}
	return c, nil
}

// gather joins n clients, some at a time, and closes them when the test ends.
func gather(s *server, n int, one func(i int) (*client, error)) []*client {
	s.t.Helper()
	const atOnce = 32
	all, errs := make([]*client, n), make([]error, n)
	var wait sync.WaitGroup
	for worker := range atOnce {
		wait.Go(func() {
			for i := worker; i < n; i += atOnce {
				all[i], errs[i] = one(i)
			}
		})
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			s.t.Fatalf("client %d: %v", i, err)
		}
		s.t.Cleanup(func() { all[i].conn.Close() })
	}
	return all
}

func (c *client) send(format string, args ...any) error {
	_, err := fmt.Fprintf(c.conn, format, args...)
	return err
}

// settle waits until the server has dealt with what was sent.
func (c *client) settle() error {
	c.send("PING\r\n")
	select {
	case <-c.pongs:
		return nil
	case <-c.ended:
		return fmt.Errorf("ended with %q, %v", c.last, c.err)
	case <-time.After(patience):
		return fmt.Errorf("no answer within %v", patience)
	}
}

func (c *client) gone() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *client) readLoop(onMsg func(subject, payload []byte)) {
	defer close(c.ended)
	in := bufio.NewReaderSize(c.conn, 4096)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			c.err = err
			return
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("MSG ")):
			if c.err = c.message(in, line[len("MSG "):], onMsg); c.err != nil {
				return
			}
		case bytes.Equal(line, []byte("PONG")):
			c.pongs <- true
		case bytes.Equal(line, []byte("PING")):
			c.send("PONG\r\n")
		case bytes.HasPrefix(line, []byte("-ERR")):
			c.last = string(line)
			c.failed.Add(1)
		}
	}
}

// message takes one whose payload, as all here, is shorter than the buffer.
func (c *client) message(in *bufio.Reader, args []byte, onMsg func(subject, payload []byte)) error {
	subject, _, _ := bytes.Cut(args, []byte(" "))
	size, err := strconv.Atoi(string(args[bytes.LastIndexByte(args, ' ')+1:]))
	if err != nil {
		return err
	}
	subject = bytes.Clone(subject)
	payload, err := in.Peek(size)
	if err != nil {
		return err
	}
	onMsg(subject, payload)
	_, err = in.Discard(size + 2)
	return err
}
