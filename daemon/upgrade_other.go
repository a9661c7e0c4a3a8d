//go:build !unix

package daemon

import (
	"errors"
	"net"
)

func (d *Daemon) startHeir(string) (*Heir, error) {
	return nil, errHandsNothingOn
}

func keep(net.Listener) (net.Listener, error) { return nil, errHandsNothingOn }

var errHandsNothingOn = errors.New("this system hands no sockets on: stop the server and start the new one")
