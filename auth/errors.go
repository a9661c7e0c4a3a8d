package auth

import (
	"errors"
	"fmt"
	"strings"
)

// When a client connects. What went wrong is for our log; the client is told the same in most cases.
var (
	// ErrNoCredentials: authentication is required and the client brought nothing.
	ErrNoCredentials = errors.New("auth: no credentials")
	// ErrCredentials: unknown user, wrong password, token or signature, or another connection type
	// than the user may use.
	ErrCredentials = errors.New("auth: wrong credentials")
	// ErrNoAnswer: there is nobody to ask about the client. Errors that wrap it wrap ErrCredentials too.
	ErrNoAnswer = errors.New("there is nobody to ask")
	// ErrProxyRequired: the user may only come through a trusted proxy.
	ErrProxyRequired = errors.New("auth: proxy required")
	// ErrExpired: what the client shows was valid once.
	ErrExpired = errors.New("auth: expired")
	// ErrAccountExpired: so was its account.
	ErrAccountExpired = errors.New("auth: account expired")
	// ErrBearer: the account no longer takes users who do not sign. Only Recheck says so.
	ErrBearer = errors.New("auth: bearer tokens are not allowed")
	// ErrRevoked: somebody has taken back what the client shows.
	ErrRevoked = errors.New("auth: revoked")
)

// IsGuess reports whether a login has failed for what was brought, which somebody may have guessed. An error
// that has another one behind ErrCredentials is about finding out: a resolver or a callout's service that
// cannot be reached, or what a key has to be, which nobody guesses. Who comes back when such an outage is
// over must not wait for it.
func IsGuess(err error) bool {
	_, more := err.(interface{ Unwrap() []error })
	return !more && errors.Is(err, ErrCredentials)
}

// Detail is what an error of a login says besides that the credentials are wrong, for a log that says
// that already; empty if there is no more to it. A peer may have put something into it, of any length.
func Detail(err error) string {
	if err == ErrCredentials {
		return ""
	}
	return strings.TrimPrefix(err.Error(), ErrCredentials.Error()+": ")
}

// When options are read.
var (
	// ErrOptions is wrapped by everything that New and the UnmarshalConf methods return. Its text is
	// part of none of them: they are shown with their place in a file.
	ErrOptions = errors.New("auth: bad options")
)

// An OptionError is a mistake in options.
type OptionError struct {
	// Key is the key at the top of a configuration under which the mistake is; empty: the options
	// were not told.
	Key   string
	text  string
	cause error
}

func (e *OptionError) Error() string   { return e.text }
func (e *OptionError) Unwrap() []error { return []error{ErrOptions, e.cause} }

// badf is an OptionError with a text, in which %w is allowed once.
func badf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &OptionError{text: err.Error(), cause: err}
}

// under says which top-level key an error is about, unless it knows that already.
func under(key string, err error) error {
	if err == nil {
		return nil
	}
	var known *OptionError
	if errors.As(err, &known) && known.Key != "" {
		return err
	}
	return &OptionError{Key: key, text: err.Error(), cause: err}
}
