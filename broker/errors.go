package broker

import "errors"

// When publishing.
var (
	// ErrPublishDenied: the peer's permissions do not cover the subject.
	ErrPublishDenied = errors.New("broker: publish denied")
)

// When subscribing.
var (
	// ErrInvalidSubject: the subject is no valid filter, or a text is too long to be kept.
	ErrInvalidSubject = errors.New("broker: invalid subject")
	// ErrSubscribeDenied: the peer's permissions do not cover the subject, or not this queue on it.
	ErrSubscribeDenied = errors.New("broker: subscribe denied")
	// ErrMaxSubscriptions: the peer has as many subscriptions as it may have.
	ErrMaxSubscriptions = errors.New("broker: maximum subscriptions exceeded")
	// ErrTooManyTokens: the subject has more tokens than a subscription may have.
	ErrTooManyTokens = errors.New("broker: too many tokens")
	// ErrTagInUse: the peer has a live subscription with this tag, which is returned as well.
	ErrTagInUse = errors.New("broker: tag in use")
	// ErrDetached: the peer is gone.
	ErrDetached = errors.New("broker: peer is detached")
)
