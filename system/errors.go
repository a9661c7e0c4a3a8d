package system

import "errors"

var (
	// ErrSilent: a page does not answer this request, and nothing is sent.
	ErrSilent = errors.New("system: not for us")
	// errBusy: so many requests of our own are waiting for answers, or so much to publish.
	errBusy = errors.New("system: too much is waiting")
	// errNobody: nobody has subscribed to what Request asks.
	errNobody = errors.New("system: nobody answers there")
	// ErrStopped: Request was called after Shutdown.
	ErrStopped = errors.New("system: stopped")
)

// BadRequest marks an error as a mistake in the request: it is shown as 400 and not as 500.
type BadRequest struct{ Err error }

func (b BadRequest) Error() string { return b.Err.Error() }
func (b BadRequest) Unwrap() error { return b.Err }
