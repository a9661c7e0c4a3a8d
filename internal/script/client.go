package script

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	maxLine    = 64 << 20 // of what is received, payload lines included
	maxPending = 1 << 20  // lines received and not yet expected
)

var errClosed = errors.New("the server has closed the connection")

// A client is one party of a transcript. Its reader sorts what comes into lines that the
// transcript must expect, and what the player itself caused.
type client struct {
	// Set before the reader starts, never written again.
	name       string
	conn       net.Conn
	pingsShown bool

	// The player's alone.
	bare  bool   // began with "(connect)"
	dirty bool   // has sent something since its last barrier
	said  []byte // gathered and not yet written
	taken []byte // by the last next; nil when it took none

	// Anyone's, under mu.
	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever something below changes
	lines   [][]byte
	pongs   []bool // PONGs that are due; true: the player's own, not shown
	passed  int    // the player's own PONGs so far
	closed  error  // why the reader ended; nil while it runs

	writing sync.Mutex    // one writer at a time: the player, or the reader answering a PING
	done    chan struct{} // closed by the reader when it ends
}

func newClient(name string, conn net.Conn, pingsShown bool) *client {
	c := &client{name: name, conn: conn, pingsShown: pingsShown, changed: make(chan struct{}), done: make(chan struct{})}
	go c.read()
	return c
}

// close ends the connection and waits for the reader.
func (c *client) close() {
	c.conn.Close()
	<-c.done
}

func (c *client) read() {
	defer close(c.done)
	in := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		line, err := readLine(in)
		if err != nil {
			c.update(func() {
				if len(line) > 0 {
					c.lines = append(c.lines, line)
				}
				c.closed = err
			})
			return
		}
		shown := [][]byte{line}
		switch {
		case bytes.Equal(line, []byte("PING")) && !c.pingsShown:
			c.write([]byte("PONG\r\n"))
			continue
		case bytes.Equal(line, []byte("PONG")):
			if c.ownPong() {
				continue
			}
		case bytes.HasPrefix(line, []byte("MSG ")), bytes.HasPrefix(line, []byte("HMSG ")):
			payload, err := readPayload(in, line)
			shown = append(shown, payload...)
			if err != nil {
				c.update(func() { c.lines, c.closed = append(c.lines, shown...), err })
				return
			}
		}
		c.update(func() { c.lines = append(c.lines, shown...) })
	}
}

// readLine reads up to CRLF and leaves that out. A bare LF is a byte like any other.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		more, err := in.ReadSlice('\n')
		line = append(line, more...)
		if err != nil && err != bufio.ErrBufferFull {
			return line, err
		}
		if bytes.HasSuffix(line, []byte("\r\n")) {
			return line[:len(line)-2], nil
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
	}
}

// readPayload reads what the MSG or HMSG line announces, cut at each CRLF. Without this a
// payload that looks like PONG would be taken for one.
func readPayload(in *bufio.Reader, line []byte) ([][]byte, error) {
	size, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
	if err != nil || size < 0 || size > maxLine {
		return nil, nil // the transcript will show the line that makes no sense
	}
	payload := make([]byte, size+2)
	n, err := io.ReadFull(in, payload)
	payload = bytes.TrimSuffix(payload[:n], []byte("\r\n"))
	return bytes.Split(payload, []byte("\r\n")), err
}

func (c *client) update(f func()) {
	c.mu.Lock()
	f()
	if len(c.lines) > maxPending && c.closed == nil {
		c.closed = fmt.Errorf("more than %d lines that nobody expects", maxPending)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

func (c *client) ownPong() (own bool) {
	c.update(func() {
		if len(c.pongs) > 0 {
			own, c.pongs = c.pongs[0], c.pongs[1:]
		}
		if own {
			c.passed++
		}
	})
	return own
}

// write sends bytes. That the server has closed is no error here: the transcript says
// whether it should have.
func (c *client) write(b []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.Write(b)
}

// ping writes a PING. own: its PONG does not show.
func (c *client) ping(own bool) {
	c.mu.Lock()
	c.pongs = append(c.pongs, own)
	c.mu.Unlock()
	if own {
		c.write([]byte("PING\r\n"))
	}
}

// barrier waits until the server has answered everything sent so far.
func (c *client) barrier(patience time.Duration) error {
	c.mu.Lock()
	want := c.passed + 1
	for _, own := range c.pongs {
		if own {
			want++
		}
	}
	c.mu.Unlock()
	c.ping(true)
	c.dirty = false
	return c.wait(patience, "PONG", func() (bool, error) {
		if c.passed >= want {
			return true, nil
		}
		if c.closed != nil {
			return true, errClosed
		}
		return false, nil
	})
}

// wait calls f under mu now and after every change, until it is true.
func (c *client) wait(patience time.Duration, what string, f func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		done, err := f()
		changed := c.changed
		c.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("%s: no %s within %v", c.name, what, patience)
		}
	}
}

// next takes the next line, waiting for it.
func (c *client) next(patience time.Duration) (line []byte, err error) {
	defer func() { c.taken = line }()
	err = c.wait(patience, "line", func() (bool, error) {
		if len(c.lines) > 0 {
			line, c.lines = c.lines[0], c.lines[1:]
			return true, nil
		}
		return c.closed != nil, errClosed
	})
	return line, err
}

// last gives the line that the step before took.
func (c *client) last() ([]byte, bool) { return c.taken, c.taken != nil }

// peek gives the next line without waiting or taking.
func (c *client) peek() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == 0 {
		return nil, false
	}
	return c.lines[0], true
}

// unread gives everything received and not yet expected, as a transcript would show it.
func (c *client) unread() (shown []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, line := range c.lines {
		if i == 12 {
			return append(shown, fmt.Sprintf("... and %d more", len(c.lines)-i))
		}
		shown = append(shown, cut(show(line)))
	}
	return shown
}
