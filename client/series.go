package client

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Messages goes over what a subscription made by SubscribeSync receives. It ends without an error
// when the subscription does, and with one when ctx does or the connection. Leaving the loop leaves
// the subscription as it is: what waits is there for the next one.
//
//	for m, err := range sub.Messages(ctx) {
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*Msg, error] {
	return func(yield func(*Msg, error) bool) {
		for {
			m, err := s.NextMsg(ctx)
			if errors.Is(err, ErrSubscriptionClosed) {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Replies say when a question that many answer is answered. The end of ctx is the end of every one.
type Replies struct {
	Max        int           // so many are enough; 0: any number
	Gap        time.Duration // so long after one none follows any more; 0: no such bound
	UntilEmpty bool          // an answer without data is the last, and not handed out
}

// RequestMany publishes m and goes over the answers of all who give one. Its reply subject is not
// used. The end of ctx is an error only where no answer came; ErrNoResponders is one always.
func (c *Conn) RequestMany(ctx context.Context, m *Msg, until Replies) iter.Seq2[*Msg, error] {
	return func(yield func(*Msg, error) bool) {
		inbox := c.NewInbox()
		sub, err := c.SubscribeSync(inbox, "")
		if err != nil {
			yield(nil, err)
			return
		}
		defer sub.Unsubscribe()
		if err := c.send(m.Subject, inbox, m.Header, m.Data, nil); err != nil {
			yield(nil, err)
			return
		}
		for n := 0; until.Max == 0 || n < until.Max; n++ {
			got, err := sub.nextWithin(ctx, until.Gap, n > 0)
			switch {
			case err == nil && n == 0 && got.IsNoResponders():
				err = wrap("request to", m.Subject, ErrNoResponders)
			case err == nil && until.UntilEmpty && len(got.Data) == 0:
				return
			case n > 0 && errors.Is(err, context.DeadlineExceeded):
				return
			case err != nil:
				err = wrap("request to", m.Subject, err)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(got, nil) {
				return
			}
		}
	}
}

// nextWithin is NextMsg with a bound of its own, where there is one and it counts already.
func (s *Subscription) nextWithin(ctx context.Context, gap time.Duration, counts bool) (*Msg, error) {
	if gap > 0 && counts {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, gap)
		defer cancel()
	}
	return s.NextMsg(ctx)
}
