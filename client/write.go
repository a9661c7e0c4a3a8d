package client

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/edgebus-io/edgebus/parser"
)

// Publish sends data to everyone who listens on subject. It returns when the message is in
// the connection's buffer.
func (c *Conn) Publish(subject string, data []byte) error {
	return c.publish(context.Background(), subject, "", nil, data, nil)
}

// PublishRequest is Publish with a subject for answers.
func (c *Conn) PublishRequest(subject, reply string, data []byte) error {
	return c.publish(context.Background(), subject, reply, nil, data, nil)
}

// PublishMsg sends a message with everything it may have.
func (c *Conn) PublishMsg(m *Msg) error {
	return c.publish(context.Background(), m.Subject, m.Reply, m.Header, m.Data, nil)
}

// publish goes by way of the outbox, if there is one.
func (c *Conn) publish(ctx context.Context, subject, reply string, h Header, data []byte, answer chan error) error {
	if c.outbox == nil {
		return c.send(subject, reply, h, data, answer)
	}
	header, err := encodeParts(subject, reply, h)
	if err != nil {
		return err
	}
	size := len(header) + len(data)
	c.mu.Lock()
	info, status := c.info, c.status
	c.mu.Unlock()
	switch {
	case status == Closed:
		return ErrClosed
	case info.MaxPayload > 0 && size > info.MaxPayload:
		return wrap("publish to", subject, ErrMaxPayload)
	case header != nil && !info.Headers:
		return wrap("publish to", subject, ErrNoHeaders)
	}
	frame := make([]byte, 0, len(subject)+len(reply)+size+pubOverhead)
	return c.outbox.publish(ctx, subject, appendPublish(frame, subject, reply, header, data), size, answer)
}

// encodeParts checks what a message is made of and encodes its headers, nil where it has none.
func encodeParts(subject, reply string, h Header) (header []byte, err error) {
	if err := checkPublishSubject(subject); err != nil {
		return nil, err
	}
	if reply != "" {
		if err := checkPublishSubject(reply); err != nil {
			return nil, err
		}
	}
	if len(h) == 0 {
		return nil, nil
	}
	return appendHeader(nil, h)
}

func appendPublish(out []byte, subject, reply string, header, data []byte) []byte {
	size := len(header) + len(data)
	if header == nil {
		out = parser.AppendPub(out, subject, reply, size)
	} else {
		out = parser.AppendHPub(out, subject, reply, len(header), size)
		out = append(out, header...)
	}
	return append(append(out, data...), lineEnd...)
}

// send appends a message to what the writer takes. answer, if not nil, is told when the server has
// processed it.
func (c *Conn) send(subject, reply string, h Header, data []byte, answer chan error) error {
	header, err := encodeParts(subject, reply, h)
	if err != nil {
		return err
	}
	size := len(header) + len(data)

	c.mu.Lock()
	defer c.mu.Unlock()
	// Room first: waiting for it can take until another server is there.
	if err := c.roomLocked(len(subject) + len(reply) + size + pubOverhead); err != nil {
		return wrap("publish to", subject, err)
	}
	if c.info.MaxPayload > 0 && size > c.info.MaxPayload {
		return wrap("publish to", subject, ErrMaxPayload)
	}
	if header != nil && !c.info.Headers {
		return wrap("publish to", subject, ErrNoHeaders)
	}
	c.out = appendPublish(c.out, subject, reply, header, data)
	if answer != nil {
		c.receipts = append(c.receipts, receipt{subject, answer})
	}
	c.counts.outMsgs.Add(1)
	c.counts.outBytes.Add(uint64(size))
	c.wakeLocked()
	return nil
}

// pubOverhead is more than a PUB or HPUB has besides subjects and payload.
const pubOverhead = 40

// roomLocked waits until out may take n bytes more. While the line is up the writer makes
// room or fails within its timeout; while it is down the bound is final.
func (c *Conn) roomLocked(n int) error {
	for {
		switch {
		case c.status == Closed:
			return ErrClosed
		case c.status == Reconnecting:
			if len(c.out)+n > c.options.reconnectBuffer {
				return ErrReconnectBuffer
			}
			return nil
		case len(c.out) < writeHigh:
			return nil
		}
		c.room.Wait()
	}
}

// controlLocked queues an operation that means nothing on another connection.
func (c *Conn) controlLocked(appendTo func([]byte) []byte) {
	from := len(c.out)
	c.out = appendTo(c.out)
	c.control = append(c.control, span{from, len(c.out)})
	c.wakeLocked()
}

// wakeLocked tells a writer that sleeps that there is something to write.
func (c *Conn) wakeLocked() {
	if c.idle {
		c.idle = false
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// Flush waits until the server has taken everything published so far. While the line is down
// it waits for the next one; if the line breaks under it, it returns ErrDisconnected and what
// was published may or may not have arrived. With an outbox it waits until that is empty of what
// was in it, however many lines that takes.
func (c *Conn) Flush(ctx context.Context) error {
	if c.outbox != nil {
		if err := c.outbox.settled(ctx); err != nil {
			return err
		}
	}
	answer := make(chan error, 1)
	c.mu.Lock()
	if c.status == Closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.receipts = append(c.receipts, receipt{answer: answer})
	c.wakeLocked()
	c.mu.Unlock()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		c.abandon(answer)
		return ctx.Err()
	}
}

// writeLoop writes what is queued to one socket until gone is closed or the socket fails. It
// is started and awaited by serve.
func (c *Conn) writeLoop(socket net.Conn, gone <-chan struct{}) error {
	var spare []byte
	for {
		batch := c.take(spare, gone)
		if batch == nil {
			return nil
		}
		if err := c.write(socket, batch); err != nil {
			socket.Close()
			select {
			case <-gone: // the reader was first, and knows why
				return nil
			default:
				return err
			}
		}
		if spare = batch; cap(spare) > keepBuffer {
			spare = nil
		}
	}
}

// write gives a line up that takes nothing, and not one that is slow: what an outage has left can be
// minutes of a bad one.
func (c *Conn) write(socket net.Conn, batch []byte) error {
	for len(batch) > 0 {
		part := batch
		if c.options.secure != nil {
			part = batch[:min(len(batch), tlsPart)] // TLS does not survive a write that is broken off
		}
		socket.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := socket.Write(part)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

// take waits for operations to write and leaves spare to be filled with the next ones.
func (c *Conn) take(spare []byte, gone <-chan struct{}) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	defer func() { c.writing = true }()
	for {
		if c.last != nil && len(c.last.bytes) > 0 {
			batch := c.last.bytes
			// Taken: should the server be gone, this is lost as anything on its way is.
			c.last = nil
			return batch
		}
		if c.status == Connected && (len(c.out) > 0 || len(c.receipts) > 0) {
			if len(c.receipts) > 0 {
				c.pingLocked(pongWait{receipts: c.receipts})
				c.receipts = nil
			}
			batch := c.out
			c.out, c.control, c.ponged = spare[:0], c.control[:0], false
			c.room.Broadcast()
			return batch
		}
		c.idle = true
		c.mu.Unlock()
		select {
		case <-c.kick:
		case <-gone:
			c.mu.Lock()
			return nil
		}
		c.mu.Lock()
	}
}

// checkPublishSubject refuses what would break the line or can only be a mistake. Wildcards
// are no mistake: servers deliver them literally.
func checkPublishSubject(subject string) error {
	dot := true // an empty token is one dot too many
	for i := range len(subject) {
		switch subject[i] {
		case ' ', '\t', '\r', '\n', 0:
			return wrap("subject", subject, ErrSubject)
		case '.':
			if dot {
				return wrap("subject", subject, ErrSubject)
			}
			dot = true
		default:
			dot = false
		}
	}
	if dot {
		return wrap("subject", subject, ErrSubject)
	}
	return nil
}
