package engine

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iovMax is how many chunks one system call writes.
const iovMax = 32

// read is read(2), raw: the descriptor does not block, so the scheduler need not know.
func read(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return -1, errno
		}
	}
}

// write is write(2), raw. It takes 0 bytes when the kernel takes none now.
func write(fd int32, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, explainErrno(errno)
		}
	}
}

// explainErrno is what a write's error means; nil when the kernel takes nothing now.
func explainErrno(errno unix.Errno) error {
	switch errno {
	case unix.EAGAIN:
		return nil
	case unix.EPIPE, unix.ECONNRESET:
		return fmt.Errorf("%w: %w", ErrPeerClosed, errno)
	}
	return fmt.Errorf("%w: %w", ErrWrite, errno)
}

// read is read(2) on c's socket, through its layer if it has one.
func (c *Conn) read(b []byte) (int, error) {
	if c.layer != nil {
		return c.layer.read(b)
	}
	return read(c.fd, b)
}

// shutdown tells the peer that no more will come. False: it cannot be told, or its handshake is going on.
func (c *Conn) shutdown() bool {
	if y := c.layer; y != nil {
		c.out.mu.Lock()
		shaking := y.nc != nil
		c.out.mu.Unlock()
		if shaking {
			return false
		}
		y.closeWrite()
	}
	return unix.Shutdown(int(c.fd), unix.SHUT_WR) == nil
}

// closeSocket closes the descriptor, and the handshake's. Under out.mu.
func (c *Conn) closeSocket() {
	if c.layer != nil && c.layer.nc != nil {
		c.layer.nc.Close()
	}
	unix.Close(int(c.fd))
}

// writeChunks hands pending chunks, and p behind them if all of them fit, to the kernel in one
// call of at most writeMax bytes, p not counted. It returns how many bytes the kernel took, 0 when
// it takes none now. Under out.mu.
func (c *Conn) writeChunks(p []byte) (int, error) {
	if c.layer != nil {
		return c.layer.seal()
	}
	var iov [iovMax]unix.Iovec
	k, total := 0, 0
	at := c.out.head
	for ; at != nil && k < iovMax-1 && total < writeMax; at = at.next {
		if n := at.w - at.r; n > 0 {
			iov[k].Base = &at.buf[at.r]
			iov[k].SetLen(n)
			total += n
			k++
		}
	}
	if at == nil && len(p) > 0 {
		iov[k].Base = &p[0]
		iov[k].SetLen(len(p))
		k++
	}
	if k == 0 {
		return 0, nil
	}
	for {
		var n uintptr
		var errno unix.Errno
		if k == 1 {
			n, _, errno = unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(iov[0].Base)), uintptr(iov[0].Len))
		} else {
			n, _, errno = unix.RawSyscall(unix.SYS_WRITEV, uintptr(c.fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(k))
		}
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, explainErrno(errno)
		}
	}
}

// setMask has epoll watch what is wanted now. Under out.mu.
func (c *Conn) setMask() {
	o := &c.out
	var want uint32
	if !o.inOff {
		want |= unix.EPOLLIN
	}
	if o.waiting && (c.layer == nil || c.layer.tls != nil) {
		want |= unix.EPOLLOUT
	}
	if want == o.mask || c.fd < 0 || o.stream != nil {
		return
	}
	o.mask = want
	ev := unix.EpollEvent{Events: want, Fd: int32(c.index), Pad: int32(c.generation)}
	// It fails only when the descriptor is closed, and then there is nothing to watch.
	_ = unix.EpollCtl(c.loop.epfd, unix.EPOLL_CTL_MOD, int(c.fd), &ev)
}

// watchInput watches input, or not, as held says.
func (c *Conn) watchInput() {
	c.out.mu.Lock()
	if off := c.held&^heldAgain != 0; off != c.out.inOff {
		c.out.inOff = off
		c.setMask()
	}
	c.out.mu.Unlock()
}

// nanosleep is nanosleep(2), raw.
func nanosleep(t *unix.Timespec) {
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(t)), 0, 0)
}
