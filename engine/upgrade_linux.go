package engine

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// upgrade moves c from this loop to the stream driver, which puts the layer in place.
func (l *Loop) upgrade(c *Conn) {
	nc, err := connOf(int(c.fd))
	if err != nil {
		l.finish(c, fmt.Errorf("%w: move to the stream driver: %w", ErrRead, err))
		return
	}
	if c.timerSlot != timerOff {
		l.wheel.remove(c) // wakeAt stays: the reader looks at it
	}
	s := l.engine.newStream(c, nc) // posts and closes go there from now on
	c.out.mu.Lock()
	c.out.waiting = false
	_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, int(c.fd), nil) // nc keeps the socket open
	unix.Close(int(c.fd))
	c.fd = -1
	c.out.mu.Unlock()
	l.engine.behind.remove(c)
	l.free(c.index)
	l.live--
	l.count.Add(-1)
	l.engine.startStream(c, s, nil)
}

// connOf is a net.Conn on a duplicate of fd.
func connOf(fd int) (net.Conn, error) {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(own), "socket")
	defer file.Close()
	return net.FileConn(file)
}
