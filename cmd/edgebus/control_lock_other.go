//go:build !unix

package main

import (
	"context"
	"errors"
)

// lock refuses: there is no control socket either, by which changes could be applied.
func (s site) lock(context.Context) (unlock func(), err error) {
	return nil, errors.New("this system has no control socket; write a configuration file and start it with -c")
}
