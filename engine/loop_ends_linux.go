package engine

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// lingerTime is how long a socket swallows input after its last line, so that the line is not lost
// to a reset.
const lingerTime = time.Second

// enter gives a socket to this loop.
func (l *Loop) enter(fd int, remote netip.AddrPort, open Open) {
	if l.stopping {
		unix.Close(fd)
		return
	}
	c := l.engine.newConn(remote)
	c.loop, c.fd = l, int32(fd)
	c.out.mask = unix.EPOLLIN
	var err error
	if c.index, err = l.insert(entry{conn: c}, fd, c.out.mask); err != nil {
		l.engine.options.Logger.Error("connection refused", "error", err)
		unix.Close(fd)
		return
	}
	c.generation = l.entries[c.index].generation
	l.live++
	l.count.Add(1)
	c.session = c.opened(open)
	if c.session == nil {
		l.finish(c, ErrShutdown)
	}
}

// finish closes c for the session. reason gives way to one that is already there.
func (l *Loop) finish(c *Conn, reason error) {
	if c.gone || c.loop != l {
		return
	}
	c.gone = true
	o := &c.out
	o.mu.Lock()
	if o.reason == nil {
		o.reason = reason
	}
	reason = o.reason
	there := !errors.Is(reason, ErrPeerClosed) && !errors.Is(reason, ErrWrite) && !errors.Is(reason, ErrRead)
	if there {
		n, _ := c.writeChunks(nil)
		c.taken(n)
	}
	c.dropOut()
	o.inOff = false
	o.mu.Unlock()
	c.dropRest()
	c.leaveQueue()
	c.noteFilling(false)
	c.WakeAt(0)
	if there && c.shutdown() && !l.stopping {
		c.linger = true
		c.wakeAt = l.now + int64(lingerTime)
		l.wheel.add(c)
		o.mu.Lock()
		c.setMask()
		o.mu.Unlock()
	} else {
		l.bury(c)
	}
	if c.session != nil {
		c.session.Closed(reason)
	}
}

// bury closes the descriptor.
func (l *Loop) bury(c *Conn) {
	if c.fd < 0 {
		return
	}
	c.linger = false
	c.WakeAt(0)
	l.free(c.index)
	l.live--
	l.count.Add(-1)
	c.out.mu.Lock()
	c.closeSocket()
	c.fd = -1
	c.out.mu.Unlock()
}
