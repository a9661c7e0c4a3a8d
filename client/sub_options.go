package client

import "errors"

// A SubOption changes one thing about a subscription, before it is made.
type SubOption func(*Subscription) error

// Limit bounds what waits for this subscription's callback or NextMsg, instead of the connection's
// SubscriptionQueue.
func Limit(messages, bytes int) SubOption {
	return func(s *Subscription) error {
		if messages < 1 || bytes < 1 {
			return errors.New("client: Limit needs at least one message and one byte")
		}
		s.limitMessages, s.limitBytes = messages, bytes
		return nil
	}
}

// WhenFull says what a subscription loses that is too slow: with DropNewest, the default, what comes;
// with DropOldest what has waited longest. The reader of a connection waits for no subscription, so
// the other policies of an outbox are none of a subscription.
func WhenFull(p Policy) SubOption {
	return func(s *Subscription) error {
		if p != DropNewest && p != DropOldest {
			return errors.New("client: WhenFull knows DropNewest and DropOldest")
		}
		s.policy = p
		return nil
	}
}
