package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// notifyPatience is how long a line to the supervisor may take to leave: it must not hold us up.
const notifyPatience = time.Second

// A notifier tells whoever supervises the process what it does, in the words of sd_notify(3). A nil one
// tells nobody.
type notifier struct {
	conn net.Conn

	mu     sync.Mutex
	mute   bool   // another process speaks for the service; under mu
	status string // as told last; under mu
}

// openNotifier dials the socket that NOTIFY_SOCKET named: a path, or behind an @ an abstract name.
func openNotifier(address string, logger *slog.Logger) *notifier {
	if address == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		logger.Warn("NOTIFY_SOCKET cannot be used, so that the supervisor does not hear when the server is ready", "error", err)
		return nil
	}
	return &notifier{conn: conn}
}

// tell sends assignments as one message. Who does not listen misses it: nothing depends on an answer.
func (n *notifier) tell(assignments ...string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tellLocked(assignments...)
}

func (n *notifier) tellLocked(assignments ...string) {
	if n.mute {
		return
	}
	n.conn.SetWriteDeadline(time.Now().Add(notifyPatience))
	n.conn.Write([]byte(strings.Join(assignments, "\n")))
}

// say sends the one line that people see of the service, if it differs from the last.
func (n *notifier) say(status string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if status != n.status && !n.mute {
		n.status = status
		n.tellLocked("STATUS=" + status)
	}
}

// ready says that the doors are open, at first and after each reload.
func (n *notifier) ready() { n.tell("READY=1") }

// reloading says that the configuration is being read. The time is what a supervisor tells this reload
// from the last one by.
func (n *notifier) reloading() {
	assignments := []string{"RELOADING=1"}
	if now := monotonicMicroseconds(); now > 0 {
		assignments = append(assignments, fmt.Sprintf("MONOTONIC_USEC=%d", now))
	}
	n.tell(assignments...)
}

// stopping says that the end has begun, and how long it may take.
func (n *notifier) stopping() {
	n.tell("STOPPING=1", "STATUS=Stopping", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", stopDeadline.Microseconds()))
}

// handOver makes another process the service's, and takeBack ourselves again.
func (n *notifier) handOver(pid int) { n.tell(fmt.Sprintf("MAINPID=%d", pid)) }
func (n *notifier) takeBack()        { n.tell(fmt.Sprintf("MAINPID=%d", os.Getpid())) }

// fallSilent is for a process that speaks for the service no more.
func (n *notifier) fallSilent() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.mute = true
	n.mu.Unlock()
}

// speakUp ends the silence of a process that speaks for the service now.
func (n *notifier) speakUp() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.mute = false
	n.mu.Unlock()
}

// close lets go of the socket.
func (n *notifier) close() {
	if n == nil {
		return
	}
	n.fallSilent()
	n.conn.Close()
}
