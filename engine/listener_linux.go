package engine

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptMax is how many connections a door takes in one turn.
const acceptMax = 64

// A socket is the listening descriptor of a door on a loop.
type socket struct {
	loop  *Loop
	fd    int // under Listener.mu; -1 once closed
	index uint32
}

// duplicate returns a descriptor of our own for c's socket; it does not block, as Go's do not.
func duplicate(c any) (fd int, ok bool) {
	sc, isConn := c.(syscall.Conn)
	if !isConn {
		return -1, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, false
	}
	fd = -1
	if err := raw.Control(func(old uintptr) {
		fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	}); err != nil || fd < 0 {
		return -1, false
	}
	return fd, true
}

// listenSocket puts d on the first loop. False: it is not a socket that a loop can watch.
func (e *Engine) listenSocket(d *Listener) (bool, error) {
	switch d.ln.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return false, nil
	}
	if len(e.loops) == 0 {
		return false, nil
	}
	fd, ok := duplicate(d.ln)
	if !ok {
		return false, nil
	}
	if _, tcp := d.ln.(*net.TCPListener); tcp {
		// Inherited by what is accepted: a system call less for each connection.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	d.loop, d.fd = e.loops[0], fd
	ready := make(chan error, 1)
	d.loop.inbox.put(post{nil, func(l *Loop) {
		var err error
		d.mu.Lock()
		if d.fd >= 0 {
			d.index, err = l.insert(entry{door: d}, d.fd, unix.EPOLLIN)
		}
		d.mu.Unlock()
		ready <- err
	}})
	if err := <-ready; err != nil {
		unix.Close(fd)
		return true, err
	}
	return true, nil
}

// closeSocket has the kernel refuse what comes from now on. Under mu.
func (d *Listener) closeSocket() {
	if d.loop == nil || d.fd < 0 {
		return
	}
	_ = unix.EpollCtl(d.loop.epfd, unix.EPOLL_CTL_DEL, d.fd, nil)
	unix.Close(d.fd)
	d.fd = -1
	d.loop.inbox.put(post{nil, func(l *Loop) { l.free(d.index) }})
}

// acceptAll takes what waits at the door, each for the loop that has fewest connections.
func (l *Loop) acceptAll(d *Listener) {
	for range acceptMax {
		d.mu.Lock() // not over open, which may close the door
		if d.fd < 0 {
			d.mu.Unlock()
			return
		}
		fd, from, err := unix.Accept4(d.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		d.mu.Unlock()
		switch err {
		case nil:
			d.accepts()
			to := l.engine.leastLoop(l)
			if remote := addrOfSockaddr(from); to == l {
				l.enter(fd, remote, d.open)
			} else {
				to.count.Add(1) // now, or a burst would all go there
				if !to.inbox.put(post{nil, func(to *Loop) {
					to.count.Add(-1)
					to.enter(fd, remote, d.open)
				}}) {
					unix.Close(fd)
				}
			}
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default:
			d.cannotAccept(err)
			l.watchDoor(d, 0)
			l.alarms.push(alarm{at: l.now + int64(acceptPause), kind: alarmDoor, door: d})
			return
		}
	}
}

// watchDoor has epoll watch d, or not.
func (l *Loop) watchDoor(d *Listener, mask uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return
	}
	ev := unix.EpollEvent{Events: mask, Fd: int32(d.index), Pad: int32(l.entries[d.index].generation)}
	_ = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, d.fd, &ev)
}

// leastLoop is the loop with the fewest connections; at equality it is the one given.
func (e *Engine) leastLoop(at *Loop) *Loop {
	least := at
	n := at.count.Load()
	for _, l := range e.loops {
		if m := l.count.Load(); m < n {
			least, n = l, m
		}
	}
	return least
}

// adoptSocket gives nc's descriptor to a loop, if it has one that a loop can watch.
func (e *Engine) adoptSocket(nc net.Conn, open Open) (bool, error) {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return false, nil
	}
	if len(e.loops) == 0 {
		return false, nil
	}
	fd, ok := duplicate(nc)
	if !ok {
		return false, nil
	}
	remote := addrOf(nc.RemoteAddr())
	if err := nc.Close(); err != nil {
		unix.Close(fd)
		return false, err
	}
	to := e.leastLoop(e.loops[0])
	if !to.inbox.put(post{nil, func(l *Loop) { l.enter(fd, remote, open) }}) {
		unix.Close(fd)
		return false, ErrShutdown
	}
	return true, nil
}

func addrOfSockaddr(s unix.Sockaddr) netip.AddrPort {
	switch a := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
