package engine

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleAfter is how long a loop must have slept last time for the next wait to be an idle one.
	idleAfter = 20 * time.Millisecond
	// napTime is how long a loop sleeps after a turn that brought nothing but answers to its own
	// PINGs: more of them are on their way, and nobody waits for what is done with them.
	napTime = 2 * time.Millisecond
)

// idle waits for events for wait, or for ever if that is negative; false: this is none for it. It
// parks the goroutine in the runtime's own poller, because one in a blocking system call keeps its
// processor for 10 ms, in which the runtime's monitor wakes some fifty times to see whether it
// should be taken away. Parking is the dearer of the two where waits are short. The epoll
// descriptor, which can be polled itself, is registered for this wait only: otherwise every event
// would wake the runtime's poller too.
func (l *Loop) idle(events []unix.EpollEvent, wait time.Duration) (n int, ok bool) {
	if l.slept < idleAfter {
		return 0, false
	}
	fd, err := unix.FcntlInt(uintptr(l.epfd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return 0, false
	}
	return park(fd, wait, func() int { return l.look(events) })
}

// park calls look each time something may have come at the descriptor fd, which it closes, until
// that reports more than 0 or wait is over.
func park(fd int, wait time.Duration, look func() int) (n int, ok bool) {
	file := os.NewFile(uintptr(fd), "epoll") // it does not block, and is polled for that reason
	defer file.Close()
	if wait >= 0 && file.SetReadDeadline(time.Now().Add(wait)) != nil {
		return 0, false
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Read(func(uintptr) bool {
		n = look()
		return n > 0
	})
	return n, err == nil || os.IsTimeout(err)
}

// nap sleeps without telling the scheduler, which would wake others to stand in.
func nap() {
	t := unix.NsecToTimespec(int64(napTime))
	nanosleep(&t)
}
