package engine

import "golang.org/x/sys/unix"

// lastRecord is the longest record in which TLS says that a peer ends, and which nobody has read yet.
const lastRecord = 32

// presence looks at the socket: while input is held, epoll tells of no peer that has only ended.
func (c *Conn) presence() presence {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	switch {
	case c.out.reason != nil:
		return absent
	case c.out.stream != nil || c.fd < 0:
		return present
	}
	p := [1]unix.PollFd{{Fd: c.fd, Events: unix.POLLRDHUP}}
	if n, err := unix.Poll(p[:], 0); n <= 0 || err != nil {
		return present
	}
	if p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
		return absent
	}
	return ended
}

// unread is how much input the kernel has. Owner only.
func (c *Conn) unread() int {
	n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCINQ)
	if err != nil || c.layer != nil && n <= lastRecord {
		return 0
	}
	return n
}
