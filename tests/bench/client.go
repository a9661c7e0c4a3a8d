package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// patience is for anything that should take a moment: a run that stands still must end.
	patience = 60 * time.Second

	bigRead   = 256 << 10 // of a client that takes a stream of messages
	smallRead = 4 << 10   // of one of many

	connect = `CONNECT {"verbose":false,"pedantic":false,"name":"bench","lang":"go","version":"1","protocol":1,"headers":true,"no_responders":true`
	ping    = "PING\r\n"
	pong    = "PONG\r\n"
)

// A client is one connection that speaks the protocol by hand. One goroutine reads from it and
// one writes to it; the reading one also answers the server's PINGs, which net.Conn allows.
type client struct {
	conn    net.Conn
	buffers *sync.Pool // of *[]byte, for reading

	// The reader's.
	partial int // bytes of a PING that the last read ended with
}

var (
	bigBuffers   = sync.Pool{New: func() any { b := make([]byte, bigRead); return &b }}
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallRead); return &b }}
)

// dial connects and returns when the server has answered the first PING.
func dial(address string) (*client, error) { return dialAs(address, "}\r\n") }

// dialAs is dial with the end of CONNECT, where credentials may stand.
func dialAs(address, credentials string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, buffers: &bigBuffers}
	if err := c.greet(credentials); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return c, nil
}

func (c *client) greet(credentials string) error {
	// The server speaks first, one line, and then waits for us.
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	for got := 0; !bytes.HasSuffix((*buffer)[:got], []byte("\r\n")); {
		if got == len(*buffer) {
			return errors.New("INFO has no end")
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		n, err := c.conn.Read((*buffer)[got:])
		if got += n; err != nil {
			return err
		}
	}
	if err := c.send(connect + credentials); err != nil {
		return err
	}
	return c.settle()
}

func (c *client) send(text string) error { return c.write([]byte(text)) }

func (c *client) write(p []byte) error {
	_, err := c.conn.Write(p)
	return err
}

// settle returns when the server has taken all that was sent: a PING is answered. No message may
// be under way to this client.
func (c *client) settle() error {
	if err := c.send(ping); err != nil {
		return err
	}
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	var said []byte
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		in, err := c.read(*buffer)
		if err != nil {
			return err
		}
		said = append(said, in...)
		for {
			line, rest, whole := bytes.Cut(said, []byte("\r\n"))
			if !whole {
				break
			}
			said = rest
			switch text := string(line); {
			case text == "PONG":
				return nil
			case text == "+OK" || strings.HasPrefix(text, "INFO "):
			default:
				return fmt.Errorf("the server said %.80q", text)
			}
		}
	}
}

// read takes what is there, answers the PINGs in it and returns the rest. Payloads must not
// contain a PING; those of this program do not.
func (c *client) read(buffer []byte) ([]byte, error) {
	// Room in front for the beginning of a PING that turned out to be something else.
	at := copy(buffer, ping[:c.partial])
	n, err := c.conn.Read(buffer[at:])
	in := buffer[:at+n]
	c.partial = 0
	if bytes.HasPrefix(in, []byte("-ERR")) {
		return in, fmt.Errorf("the server said %.80q", in)
	}
	for {
		i := bytes.Index(in, []byte(ping))
		if i < 0 {
			break
		}
		in = append(in[:i], in[i+len(ping):]...)
		if err := c.send(pong); err != nil {
			return in, err
		}
	}
	for k := min(len(ping)-1, len(in)); k > 0; k-- {
		if string(in[len(in)-k:]) == ping[:k] {
			c.partial = k
			in = in[:len(in)-k]
			break
		}
	}
	return in, err
}

// drain reads until it has just want bytes of messages.
func (c *client) drain(want int) error { return c.drainFor(want, patience) }

// drainFor is drain for a load that takes its time.
func (c *client) drainFor(want int, within time.Duration) error {
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	got := 0
	for got < want {
		in, err := c.read(*buffer)
		got += len(in)
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", got, want, err)
		}
	}
	if got > want {
		return fmt.Errorf("%d bytes arrived, %d were due: a message too many", got, want)
	}
	return nil
}

// frames reads n messages of size bytes each and hands them over as they come, as many as there
// are at a time.
func (c *client) frames(n, size int, f func(whole []byte) error) error {
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	var kept []byte
	for got := 0; got < n; {
		in, err := c.read(*buffer)
		kept = append(kept, in...)
		whole := len(kept) / size
		if whole > 0 {
			if err := f(kept[:whole*size]); err != nil {
				return err
			}
			got += whole
			kept = append(kept[:0], kept[whole*size:]...)
		}
		if err != nil {
			return fmt.Errorf("after %d of %d messages: %w", got, n, err)
		}
	}
	return nil
}

// drainTogether reads from all until they have just want bytes of messages between them: who
// gets which is the server's choice.
func drainTogether(all []*client, want int) error {
	var (
		mu    sync.Mutex
		got   int
		first error
		group sync.WaitGroup
	)
	deadline := time.Now().Add(patience)
	for _, c := range all {
		_ = c.conn.SetReadDeadline(deadline)
	}
	// Whoever reads the last byte wakes the others, who wait in Read.
	add := func(n int) (done bool) {
		mu.Lock()
		defer mu.Unlock()
		if got += n; got >= want && n > 0 {
			for _, c := range all {
				_ = c.conn.SetReadDeadline(time.Now())
			}
		}
		return got >= want
	}
	for _, c := range all {
		group.Go(func() {
			buffer := c.buffers.Get().(*[]byte)
			defer c.buffers.Put(buffer)
			for {
				in, err := c.read(*buffer)
				if done := add(len(in)); done {
					return
				}
				if err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	if got != want {
		return fmt.Errorf("%d bytes arrived, %d were due (%v)", got, want, first)
	}
	return nil
}
