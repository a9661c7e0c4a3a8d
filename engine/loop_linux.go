package engine

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// inputSize is the size of a loop's input buffer: one read takes no more.
	inputSize = 128 << 10
	// inputDirect is the length of a message from which it is read into a buffer of its own,
	// instead of being copied out of and back into the loop's.
	inputDirect = 64 << 10
	// inputTight is what one read takes while half messages are near their bound.
	inputTight = 4 << 10
	maxEvents  = 256
)

// A poller is the part of a Loop that knows epoll.
type poller struct {
	epfd, wakefd int
	sleeping     atomic.Bool   // in the call that waits, or about to be
	slept        time.Duration // how long the last wait was
	in           []byte
	entries      []entry
	unused       []uint32 // indices of entries without a connection
	live         int
	count        atomic.Int32 // live, for whoever chooses a loop for a new connection
	stopping     bool
}

// An entry is what epoll's data points to. A late event of a closed connection has another
// generation and is dropped.
type entry struct {
	conn       *Conn
	door       *Listener
	generation uint32
}

// startLoops makes and starts the loops.
func (e *Engine) startLoops() error {
	for i := range e.options.Loops {
		l := &Loop{engine: e, id: i, now: Now()}
		var err error
		if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
			l.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		}
		if err == nil {
			err = unix.SetNonblock(l.epfd, true) // see idle
		}
		if err != nil {
			return fmt.Errorf("engine: start loop %d: %w", i, err)
		}
		l.wheel.done = l.now / slotWidth
		l.inbox.wake = l.wake
		l.insert(entry{}, l.wakefd, unix.EPOLLIN) // entry 0 is the eventfd
		e.loops = append(e.loops, l)
	}
	for _, l := range e.loops {
		e.wg.Add(1)
		go l.run()
	}
	return nil
}

// run serves the loop's connections until the engine is shut down.
func (l *Loop) run() {
	defer l.engine.wg.Done()
	l.in = make([]byte, inputSize)
	events := make([]unix.EpollEvent, maxEvents)
	for !l.stopping || l.live > 0 {
		n := l.poll(events)
		l.now = Now()
		l.runInbox() // first: who was closed by others gets no more input
		for i := range events[:n] {
			l.serve(&events[i])
		}
		l.runAgain()
		l.runTimers()
		l.engine.options.TurnEnd(l.Local())
		l.writeSoon()
		if l.engine.nursing() {
			l.engine.care(l.now)
		}
		if l.lulls > 0 && l.lulls == l.fed {
			nap()
		}
		l.lulls, l.fed = 0, 0
	}
	for _, p := range l.inbox.end() {
		if p.c == nil {
			p.f(l) // a connection that was to come here, for one
		}
	}
	unix.Close(l.epfd)
	unix.Close(l.wakefd)
}

// poll waits for events. First it looks without waiting, in a raw system call of which the
// scheduler is not told; if there is nothing others get their turn, and only then it waits.
// Telling the scheduler before each wait costs a sparse message three times the CPU.
func (l *Loop) poll(events []unix.EpollEvent) int {
	n := l.look(events)
	if n > 0 || len(l.again)+len(l.soon) > 0 {
		return n
	}
	runtime.Gosched()
	l.sleeping.Store(true) // before it looks what there is to wait for: who comes later wakes it
	defer l.sleeping.Store(false)
	wait := l.patience()
	l.inbox.mu.Lock()
	full := l.inbox.full
	l.inbox.mu.Unlock()
	if wait == 0 || full && !l.stopping {
		return 0
	}
	begin := Now()
	if idle, ok := l.idle(events, wait); ok {
		n = idle
	} else {
		milliseconds := -1
		if wait > 0 {
			milliseconds = int((wait + time.Millisecond - 1) / time.Millisecond)
		}
		n, _ = unix.EpollWait(l.epfd, events, milliseconds)
	}
	l.slept = time.Duration(Now() - begin)
	return max(n, 0)
}

// look is epoll's call that does not wait.
func (l *Loop) look(events []unix.EpollEvent) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// patience is how long poll may wait; negative is for ever.
func (l *Loop) patience() time.Duration {
	now := Now()
	wait := l.wheel.next(now)
	if len(l.alarms) > 0 {
		if d := time.Duration(max(0, l.alarms[0].at-now)); wait < 0 || d < wait {
			wait = d
		}
	}
	if l.engine.nursing() && (wait < 0 || wait > time.Duration(crowdGrain)) {
		wait = time.Duration(crowdGrain)
	}
	return wait
}

// wake ends the loop's wait, if it is in one. Under inbox.mu.
func (l *Loop) wake() {
	if l.sleeping.Load() {
		one := uint64(1)
		unix.Write(l.wakefd, (*[8]byte)(unsafe.Pointer(&one))[:])
	}
}

// rouse wakes a loop if all of them sleep: one that is awake sees for itself what is new.
func (e *Engine) rouse() {
	for _, l := range e.loops {
		if !l.sleeping.Load() {
			return
		}
	}
	e.loops[0].inbox.nudge()
}

// insert gives e a place in the table and has epoll watch fd for it.
func (l *Loop) insert(e entry, fd int, mask uint32) (index uint32, err error) {
	if n := len(l.unused); n > 0 {
		index = l.unused[n-1]
		l.unused = l.unused[:n-1]
	} else {
		index = uint32(len(l.entries))
		l.entries = append(l.entries, entry{})
	}
	e.generation = l.entries[index].generation
	l.entries[index] = e
	ev := unix.EpollEvent{Events: mask, Fd: int32(index), Pad: int32(e.generation)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.free(index)
		return 0, fmt.Errorf("engine: watch descriptor: %w", err)
	}
	return index, nil
}

func (l *Loop) free(index uint32) {
	l.entries[index] = entry{generation: l.entries[index].generation + 1}
	l.unused = append(l.unused, index)
}

// serve handles one event.
func (l *Loop) serve(ev *unix.EpollEvent) {
	e := l.entries[ev.Fd]
	if e.generation != uint32(ev.Pad) {
		return
	}
	switch c := e.conn; {
	case ev.Fd == 0:
		var b [8]byte
		unix.Read(l.wakefd, b[:])
	case e.door != nil:
		l.acceptAll(e.door)
	case c == nil:
	default:
		if ev.Events&unix.EPOLLOUT != 0 {
			c.writable()
		}
		if ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 || c.gone && !c.linger {
			return
		}
		if c.held == 0 || c.linger {
			l.readable(c)
		} else if ev.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.held != heldAgain {
			l.finish(c, ErrPeerClosed) // always reported: it must not spin
		}
	}
}

// readable takes one read's worth of input and hands it on.
func (l *Loop) readable(c *Conn) {
	if c.linger {
		if n, err := read(c.fd, l.in); n == 0 && err != unix.EAGAIN || err != nil && err != unix.EAGAIN {
			l.bury(c)
		}
		return
	}
	have := c.restLen()
	if c.need > inputDirect || have >= inputDirect {
		l.readDirect(c)
		return
	}
	room := l.in
	if partial, most := l.engine.partial.Load(), l.engine.options.PartialTotal; partial > most/8*7 {
		if have >= inputTight && partial >= most {
			l.refuse(c)
			return
		}
		room = l.in[:have/inputTight*inputTight+inputTight]
	}
	if have > 0 {
		copy(room, c.rest.buf[c.rest.r:c.rest.w])
	}
	n, err := c.read(room[have:])
	if n <= 0 {
		l.ended(c, n, err)
		return
	}
	if have+n < c.need {
		c.appendRest(room[have : have+n])
		return
	}
	c.dropRest()
	l.feed(c, room[:have+n], false)
}

// readDirect reads a long message into the buffer that holds its beginning.
func (l *Loop) readDirect(c *Conn) {
	if !c.growRest() {
		l.refuse(c)
		return
	}
	k := c.rest
	n, err := c.read(k.buf[k.w:])
	if n <= 0 {
		l.ended(c, n, err)
		return
	}
	k.w += n
	if k.w-k.r >= c.need {
		l.feed(c, k.buf[k.r:k.w], true)
	}
}

// refuse lets c's input wait for room for half messages.
func (l *Loop) refuse(c *Conn) {
	c.noteRefused()
	c.hold(heldFull)
	l.alarms.push(alarm{at: l.now + int64(fullRetry), kind: alarmRest, conn: c})
}

// feed hands input to the session and carries out what it asked for.
func (l *Loop) feed(c *Conn, in []byte, isRest bool) {
	l.fed++
	if err := c.feed(l, in, isRest); err != nil {
		l.finish(c, err)
	} else if c.wrap != nil {
		l.upgrade(c)
	}
}

// ended looks at a read that brought nothing.
func (l *Loop) ended(c *Conn, n int, err error) {
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err == nil && n == 0, err == unix.ECONNRESET:
		l.finish(c, ErrPeerClosed)
	default:
		l.finish(c, fmt.Errorf("%w: %w", ErrRead, err))
	}
}

// runInbox does what others have asked for.
func (l *Loop) runInbox() {
	posts, soon, stop := l.inbox.take(l.posts[:0], l.soon)
	l.soon = soon
	for _, p := range posts {
		switch {
		case p.c != nil && p.c.loop != l: // the stream driver has it, which looks at the reason itself
			if p.f != nil {
				p.c.Post(p.f)
			}
		case p.c != nil && p.c.gone:
		case p.f != nil:
			p.f(l)
			if c := p.c; c != nil && c.loop == l && c.wrap != nil && !c.gone {
				l.upgrade(c)
			}
		default:
			l.finish(p.c, nil)
		}
	}
	clear(posts)
	l.posts = shorten(posts)
	if stop && !l.stopping {
		l.stopping = true
		for i := range l.entries {
			if c := l.entries[i].conn; c != nil && c.linger {
				l.bury(c)
			} else if c != nil {
				l.finish(c, ErrShutdown)
			}
		}
	}
}

// runAgain calls Data of those that had more than their share of a turn.
func (l *Loop) runAgain() {
	all := l.again
	l.again = l.spare[:0]
	for _, c := range all {
		if c.loop != l {
			continue // the stream driver's by now
		}
		c.held &^= heldAgain
		if c.gone || c.held != 0 || c.rest == nil {
			continue
		}
		l.feed(c, c.rest.buf[c.rest.r:c.rest.w], true)
	}
	clear(all)
	l.spare = all[:0]
}

// runTimers calls those whose time has come.
func (l *Loop) runTimers() {
	for len(l.alarms) > 0 && l.alarms[0].at <= l.now {
		switch a := l.alarms.pop(); {
		case a.kind == alarmDoor:
			l.watchDoor(a.door, unix.EPOLLIN) // descriptors may be had again
		case a.conn.loop != l: // the stream driver's by now
		case a.kind == alarmRest:
			if l.now >= a.conn.restEnd {
				a.conn.release(heldRest)
			}
			a.conn.release(heldFull)
		case a.conn.wakeAt == a.at && a.conn.timerSlot == timerOff:
			l.due(a.conn)
		}
	}
	l.wheel.expire(l.now, l.due)
}

func (l *Loop) due(c *Conn) {
	c.wakeAt = 0
	if c.linger {
		l.bury(c)
	} else if !c.gone && c.loop == l {
		c.session.Due(l, l.now)
	}
}

// writeSoon writes some of the connections that a large fan-out has left to this loop.
func (l *Loop) writeSoon() {
	n := min(len(l.soon), maxSoon)
	for _, c := range l.soon[:n] {
		c.out.mu.Lock()
		c.out.soon = false
		c.write(true)
		c.account()
		c.out.mu.Unlock()
	}
	left := copy(l.soon, l.soon[n:])
	clear(l.soon[left:])
	l.soon = l.soon[:left]
}
