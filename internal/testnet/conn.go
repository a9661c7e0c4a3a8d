package testnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// errReset is what a cut line gives, as the kernel would say it.
var errReset error = syscall.ECONNRESET

// errRefused is what dialling gives where nobody listens.
var errRefused error = syscall.ECONNREFUSED

// A Conn is one end of a connection in memory. It may be used as any net.Conn may: one reader,
// one writer and anyone who closes, at once.
type Conn struct {
	in, out       *direction
	local, remote net.Addr
	closed        atomic.Bool
}

var _ net.Conn = (*Conn)(nil)

// Pipe returns the two ends of a connection. Its addresses are made up, and look like TCP's on
// loopback because that is what most code expects to parse.
func Pipe() (client, server *Conn) {
	return pipe(nextAddr(), nextAddr())
}

func pipe(clientAddr, serverAddr net.Addr) (client, server *Conn) {
	up, down := newDirection(), newDirection()
	client = &Conn{in: down, out: up, local: clientAddr, remote: serverAddr}
	server = &Conn{in: up, out: down, local: serverAddr, remote: clientAddr}
	return client, server
}

func (c *Conn) LocalAddr() net.Addr  { return c.local }
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.named("read", err)
}

// Write returns when all of p is on its way, or with the number of bytes that are and the reason.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.named("write", err)
}

// named dresses an error as package net does, so that errors.Is(err, net.ErrClosed) and
// net.Error.Timeout work. io.EOF stays bare.
func (c *Conn) named(verb string, err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, io.ErrClosedPipe):
		err = net.ErrClosed
	}
	return &net.OpError{Op: verb, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close closes both directions of this end. What was written still arrives; what the other end
// writes from now on fails.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.named("close", net.ErrClosed)
	}
	c.out.set(func() { c.out.writeClosed = true })
	c.in.set(func() {
		c.in.readClosed = true
		c.in.segments, c.in.pending = nil, 0
	})
	return nil
}

// CloseWrite says that no more comes from this end; it can still read.
func (c *Conn) CloseWrite() error {
	c.out.set(func() { c.out.writeClosed = true })
	return nil
}

func (c *Conn) SetDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, at)
	c.out.setDeadline(&c.out.writeDeadline, at)
	return nil
}

func (c *Conn) SetReadDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, at)
	return nil
}

func (c *Conn) SetWriteDeadline(at time.Time) error {
	c.out.setDeadline(&c.out.writeDeadline, at)
	return nil
}

// SetDelay makes what this end writes from now on arrive d later. Bytes do not overtake each other.
func (c *Conn) SetDelay(d time.Duration) {
	c.out.set(func() { c.out.delay = d })
}

// SetWindow bounds the bytes this end may have on their way before its writes wait.
func (c *Conn) SetWindow(n int) {
	c.out.set(func() { c.out.window = max(n, 1) })
}

// SetChunk makes each read of this end return at most n bytes; 0 takes that back. With it, and
// n = 1, a decoder meets every cut of its input.
func (c *Conn) SetChunk(n int) {
	c.in.set(func() { c.in.chunk = max(n, 0) })
}

// Stall keeps what this end has written and writes on its way, as a line does that has gone dead
// without anybody saying so: nothing arrives, and no error comes. Resume lets it go on.
func (c *Conn) Stall()  { c.out.set(func() { c.out.stalled = true }) }
func (c *Conn) Resume() { c.out.set(func() { c.out.stalled = false }) }

// Cut breaks the line at once, both ways: bytes on their way are lost, and reads and writes of both
// ends fail as after a reset.
func (c *Conn) Cut() {
	for _, d := range []*direction{c.in, c.out} {
		d.set(func() {
			d.broken = errReset
			d.segments, d.pending = nil, 0
		})
	}
}

// CutAfter breaks the line when this end has written n more bytes. Those still arrive; the write
// that goes beyond them is a short write, with an error.
func (c *Conn) CutAfter(n int64) {
	c.out.set(func() {
		c.out.left = n
		c.out.onLeft = func() {
			c.out.set(func() { c.out.broken = errReset })
			c.in.set(func() { c.in.broken = errReset })
		}
	})
}

// Pending returns how many bytes this end has written that the other has not read.
func (c *Conn) Pending() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.pending
}

// IsTimeout reports whether err is a deadline that passed.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
