//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// hungUp reports whether a descriptor is a connection that its other end has closed. It takes nothing.
func hungUp(fd int) bool {
	n, _, err := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n == 0
}

// adopt takes one descriptor over. Programs that we start do not get it.
func (in *Inheritance) adopt(fd int, name string, heir bool) error {
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return errors.New("there is none")
	}
	defer file.Close() // what is made of it has a descriptor of its own
	if heir && name == doorElder {
		conn, err := net.FileConn(file)
		in.elder = conn
		return err
	}
	if listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err == nil && listens == 0 {
		return errors.New("nobody listens on it: a socket unit needs Accept=no and ListenStream")
	}
	ln, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("nobody listens on it: %w", err)
	}
	if _, ok := ln.(*net.TCPListener); !ok {
		ln.Close()
		return fmt.Errorf("it is at %s, and only TCP is served", ln.Addr())
	}
	in.sockets = append(in.sockets, &inherited{name, ln})
	return nil
}
