//go:build unix

package daemon

import (
	"bufio"
	"errors"
	"net"
	"os"
	"syscall"
)

// startHeir starts a program with our sockets, in the way of socket activation.
func (d *Daemon) startHeir(file string) (h *Heir, err error) {
	var descriptors []int
	defer func() {
		for _, fd := range descriptors {
			syscall.Close(fd)
		}
	}()
	var names []string
	for _, door := range d.sockets {
		fd, err := duplicate(door.ln)
		if err != nil {
			return nil, err
		}
		descriptors, names = append(descriptors, fd), append(names, door.name)
	}
	ours, theirs, err := elderPair()
	if err != nil {
		return nil, err
	}
	descriptors, names = append(descriptors, theirs), append(names, doorElder)
	files := []uintptr{0, 1, 2}
	for _, fd := range descriptors {
		files = append(files, uintptr(fd))
	}
	// Not os/exec: an os.File would take the sockets out of their non-blocking mode, for us as well.
	pid, err := syscall.ForkExec(file, d.heirArguments(), &syscall.ProcAttr{Env: d.heirEnv(names), Files: files})
	if err != nil {
		ours.Close()
		return nil, err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		ours.Close()
		return nil, err
	}
	h = &Heir{process: process, conn: ours, in: bufio.NewReaderSize(ours, elderLine), ended: make(chan struct{}), died: make(chan string, 1)}
	go func() { // ends with the program, or with us
		h.state, _ = process.Wait()
		close(h.ended)
	}()
	return h, nil
}

// keep makes a second listener on a socket: it stays when the first one is closed.
func keep(ln net.Listener) (net.Listener, error) {
	fd, err := duplicate(ln)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), ln.Addr().String())
	defer file.Close() // the listener has a descriptor of its own
	return net.FileListener(file)
}

// duplicate is a descriptor of a listener's socket that is ours to close.
func duplicate(door any) (fd int, err error) {
	socket, ok := door.(syscall.Conn)
	if !ok {
		return -1, errors.New("a door has no socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlled := raw.Control(func(from uintptr) {
		syscall.ForkLock.RLock() // no program is started between these two
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(from)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return fd, errors.Join(controlled, err)
}

// elderPair is a connection with two ends, one of them for the program that is started.
func elderPair() (ours net.Conn, theirs int, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, -1, err
	}
	file := os.NewFile(uintptr(pair[0]), doorElder)
	defer file.Close() // the connection has a descriptor of its own
	if ours, err = net.FileConn(file); err != nil {
		syscall.Close(pair[1])
		return nil, -1, err
	}
	return ours, pair[1], nil
}
