package client

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// A pongWait is who waits for one PONG; nobody does if all fields are zero.
type pongWait struct {
	answer   chan error // an outbox's, told of refusals; capacity 1
	receipts []receipt
	leave    bool     // the reader itself: everything before is done, change servers now
	refused  refusals // subjects that the server would not let us publish to since the PONG before
}

// A receipt is somebody who waits until the server has processed what was published before.
type receipt struct {
	subject string     // of the one message it is about; empty: all of them
	answer  chan error // capacity 1
}

// abandon forgets a receipt that nobody waits for any more, so that they do not pile up while the line
// is down.
func (c *Conn) abandon(answer chan error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receipts = slices.DeleteFunc(c.receipts, func(r receipt) bool { return r.answer == answer })
}

// refusals are subjects that the server refused, at most maxRefusals of them.
type refusals []string

const maxRefusals = flightMessages

func (refusals) Error() string { return "client: some messages were refused" }

// settle tells everybody who waits. What was refused was so before the PONG came.
func (p pongWait) settle(err error) {
	if p.answer != nil {
		if err == nil && len(p.refused) > 0 {
			p.answer <- p.refused
		} else {
			p.answer <- err
		}
	}
	for _, r := range p.receipts {
		if err == nil && slices.Contains(p.refused, r.subject) {
			r.answer <- wrap("publish to", r.subject, ErrPermission)
		} else {
			r.answer <- err
		}
	}
}

// refused takes note that the server would not let us publish. It complains in the order of what it
// was sent: this is about something before the oldest PING without a PONG.
func (c *Conn) refused(text string) {
	_, rest, ok := strings.Cut(text, "ermissions Violation for Publish to ")
	if !ok {
		return
	}
	name, _ := cutQuoted(rest)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pongs) == 0 {
		return
	}
	p := &c.pongs[0]
	if len(p.refused) < maxRefusals && !slices.Contains(p.refused, name) {
		p.refused = append(p.refused, name)
	}
}

// cutQuoted takes a name in quotes off the front, as servers write it: the way of Go.
func cutQuoted(text string) (name, rest string) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", text
	}
	name, _ = strconv.Unquote(quoted)
	return name, text[len(quoted):]
}

// PublishSync publishes and returns when the server has processed the message: it has handed it to
// everybody who listened, and a crash of this program or of the line loses nothing of it any more.
// Calls from several goroutines share their receipts, so that a hundred of them cost one round
// trip.
//
// ErrDisconnected: the line broke first, and the message may or may not have arrived; publish it
// again. ErrPermission: the server refused it. With an outbox a broken line is no error, as the
// message is sent again by itself; ErrDropped is. When ctx ends the message may still arrive later.
func (c *Conn) PublishSync(ctx context.Context, subject string, data []byte) error {
	return c.PublishMsgSync(ctx, &Msg{Subject: subject, Data: data})
}

// PublishMsgSync is PublishSync with everything a message may have.
func (c *Conn) PublishMsgSync(ctx context.Context, m *Msg) error {
	answer := make(chan error, 1)
	if err := c.publish(ctx, m.Subject, m.Reply, m.Header, m.Data, answer); err != nil {
		return err
	}
	select {
	case err := <-answer:
		if err == ErrDisconnected || err == ErrClosed {
			return wrap("publish to", m.Subject, err)
		}
		return err
	case <-ctx.Done():
		c.abandon(answer)
		return wrap("publish to", m.Subject, ctx.Err())
	case <-c.stopped:
		// The answer may have come just before.
		select {
		case err := <-answer:
			return err
		default:
			return wrap("publish to", m.Subject, ErrClosed)
		}
	}
}
