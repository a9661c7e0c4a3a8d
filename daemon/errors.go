package daemon

import (
	"errors"
	"strings"

	"github.com/edgebus-io/edgebus/config"
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// When a Daemon is made.
var (
	// ErrOptions is wrapped by everything that is wrong with options but not with a file.
	ErrOptions = errors.New("bad options")
	// ErrMemory: all bounds together are above memory_limit.
	ErrMemory = errors.New("the worst case is above memory_limit")
)

// While it runs.
var (
	// ErrNotRunning: Reload or LameDuck was called before Run was ready, or after its end.
	ErrNotRunning = errors.New("daemon: not running")
	// ErrRestart: a reload would change what only a restart can. Nothing has changed.
	ErrRestart = errors.New("needs a restart")
	// ErrControl: the server has refused what the control socket was asked for.
	ErrControl = errors.New("the server refuses")
	// ErrNoServer: nobody answers at the control socket.
	ErrNoServer = errors.New("no server is running")
)

// errStops: nothing is begun any more.
var errStops = errors.New("the server stops")

// errTooWide: a socket that somebody else has made is open to more than the configuration lets in.
var errTooWide = errors.New("can be reached by other machines, and only this one may connect")

// An optionError is what is wrong with the option of one key.
type optionError struct {
	key string
	err error
}

// text is the error without the name of the part that has found it, which says nothing to an operator.
func (o optionError) text() string {
	text := o.err.Error()
	for _, sentinel := range []error{server.ErrOptions, leafnode.ErrOptions, certs.ErrOptions} {
		text = strings.ReplaceAll(text, sentinel.Error()+": ", "")
	}
	return text
}

// OptionErrors is everything that is wrong with options.
type OptionErrors []optionError

func (o OptionErrors) Error() string {
	texts := make([]string, len(o))
	for i, one := range o {
		texts[i] = one.text()
	}
	return strings.Join(texts, "\n")
}

func (o OptionErrors) Unwrap() []error {
	errs := []error{ErrOptions}
	for _, one := range o {
		errs = append(errs, one.err)
	}
	return errs
}

// placed gives every error the place of its key in a configuration.
func (o OptionErrors) placed(result *config.Result) config.Problems {
	problems := make(config.Problems, len(o))
	for i, one := range o {
		problems[i] = result.At(errors.New(one.text()), one.key)
	}
	return problems
}
