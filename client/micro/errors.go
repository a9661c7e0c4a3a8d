package micro

import (
	"errors"
	"fmt"

	"github.com/edgebus-io/edgebus/client"
)

// Errors of making a service and its endpoints.
var (
	ErrName      = errors.New("needs a name of letters, digits, dashes and underscores")
	ErrVersion   = errors.New("needs a version such as 1.0.0 (semver.org)")
	ErrHandler   = errors.New("needs a function that handles requests")
	ErrGroup     = errors.New("a group has no subject of its own: its name is the beginning of its endpoints' subjects")
	ErrStopped   = errors.New("service is stopped")
	ErrEndpoints = fmt.Errorf("service has %d endpoints already", MaxEndpoints)
)

// ErrArgument: an error answer has a code and a description, or requesters cannot tell it from a result.
var ErrArgument = errors.New("an error answer needs a code and a description")

// An Error is what a service answered instead of a result.
type Error struct {
	Code        string // by convention as in HTTP: 400, 404, 500
	Description string
}

func (e *Error) Error() string { return "the service says: " + e.Code + ": " + e.Description }

// ErrorOf returns the *Error that an answer carries, or nil.
func ErrorOf(answer *client.Msg) error {
	code, description := answer.Header.Get(ErrorCodeHeader), answer.Header.Get(ErrorHeader)
	if code == "" && description == "" {
		return nil
	}
	return &Error{Code: code, Description: description}
}

// longestName bounds what of a name goes into an error text.
const longestName = 64

func wrap(what, name string, err error) error {
	if len(name) > longestName {
		name = name[:longestName] + "..."
	}
	return fmt.Errorf("micro: %s %q: %w", what, name, err)
}
