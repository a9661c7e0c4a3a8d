package client

import "context"

// Drain ends the connection in order: subscriptions get no more, callbacks finish what is
// here, what they and others published is sent, and the connection closes. When ctx ends
// first, the connection is closed as it is. Subscriptions read with NextMsg hand out what is
// left even after that.
//
// Called from a callback it would wait for that callback until ctx ends.
func (c *Conn) Drain(ctx context.Context) error {
	defer c.Close()
	c.mu.Lock()
	switch {
	case c.status == Closed:
		c.mu.Unlock()
		return ErrClosed
	case c.draining:
		c.mu.Unlock()
		select {
		case <-c.stopped:
		case <-ctx.Done():
		}
		return ErrDraining
	}
	c.draining = true
	c.mu.Unlock()

	var leaving []*Subscription
	for _, s := range c.snapshot() {
		// The inbox of requests stays: a callback may be waiting for an answer.
		if s.inline == nil && c.unsubscribe(s, 0) {
			leaving = append(leaving, s)
		}
	}
	err := c.Flush(ctx)
	for _, s := range leaving {
		if e := s.drained(ctx, nil); err == nil {
			err = e
		}
	}
	if err == nil {
		return c.Flush(ctx)
	}
	for _, s := range leaving {
		if s.callback != nil {
			s.end(ErrClosed)
		}
	}
	return err
}
