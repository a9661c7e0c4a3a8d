package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The environment that a supervisor speaks through: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
const (
	envSockets     = "LISTEN_FDS"
	envSocketPID   = "LISTEN_PID"
	envSocketNames = "LISTEN_FDNAMES"
	envNotify      = "NOTIFY_SOCKET"
	envWatchdog    = "WATCHDOG_USEC"
	envWatchdogPID = "WATCHDOG_PID"
	// envElder is the process that hands its sockets over to us. It cannot write our number into LISTEN_PID,
	// which it does not know before we are.
	envElder = "EDGEBUS_UPGRADE_FROM"
)

// Names of sockets in LISTEN_FDNAMES, which a socket unit sets with FileDescriptorName.
const (
	doorClients    = "clients"
	doorLeafnodes  = "leafnodes"
	doorMonitoring = "monitoring"
	// doorElder is where the one who hands over waits to hear how it goes.
	doorElder = "upgrade"
)

const (
	firstSocket = 3 // SD_LISTEN_FDS_START: those below are standard input, output and error
	maxSockets  = 16
)

// An Inheritance is what whoever started the process has left to it: sockets on which it is listened
// already, where to report to, and perhaps a server whose place it is to take.
type Inheritance struct {
	// Arguments are what another program is started with to serve what this one serves. Default: those of
	// this process.
	Arguments []string

	sockets  []*inherited
	notify   string
	watchdog time.Duration
	elder    net.Conn // nil: nobody's place is taken
	elderPID string
	alone    bool // the elder has died before we could speak to it
}

// An inherited socket waits for the door that takes it.
type inherited struct {
	name string
	ln   net.Listener // nil once it is taken
}

// Inherit takes what there is out of the environment. No process that is started later finds it there.
func Inherit() (*Inheritance, error) {
	in := &Inheritance{Arguments: os.Args[1:]}
	env := make(map[string]string)
	for _, name := range []string{envSockets, envSocketPID, envSocketNames, envNotify, envWatchdog, envWatchdogPID, envElder} {
		env[name] = os.Getenv(name)
		os.Unsetenv(name)
	}
	in.notify = env[envNotify]
	if mine(env[envWatchdogPID], os.Getpid()) {
		if n, err := strconv.ParseInt(env[envWatchdog], 10, 64); err == nil && n > 0 && n < int64(time.Hour/time.Microsecond)*24 {
			in.watchdog = time.Duration(n) * time.Microsecond
		}
	}
	in.elderPID = env[envElder]
	names := strings.Split(env[envSocketNames], ":")
	heir := in.elderPID != ""
	if heir && in.orphaned() {
		// It has died, and without us nobody is left who listens; or we are the child of a program between us.
		at := slices.Index(names, doorElder)
		in.alone = at >= 0 && at < maxSockets && hungUp(firstSocket+at)
		heir = in.alone
	}
	if env[envSockets] == "" || !heir && (env[envSocketPID] == "" || !mine(env[envSocketPID], os.Getpid())) {
		return in, nil // meant for another process
	}
	count, err := strconv.Atoi(env[envSockets])
	if err != nil || count < 0 || count > maxSockets {
		return nil, fmt.Errorf("%s is %q, and a number of sockets up to %d is wanted", envSockets, cut(env[envSockets]), maxSockets)
	}
	for i := range count {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		if err := in.adopt(firstSocket+i, name, heir); err != nil {
			return nil, fmt.Errorf("%s: socket %d (%q): %w", envSockets, firstSocket+i, cut(name), err)
		}
	}
	if in.alone {
		in.leaveElder()
	}
	return in, nil
}

// orphaned reports whether the elder is our parent no more. It is as long as it lives.
func (in *Inheritance) orphaned() bool { return !mine(in.elderPID, os.Getppid()) }

// leaveElder: there is nobody to speak to.
func (in *Inheritance) leaveElder() {
	if in.elder != nil {
		in.elder.Close()
	}
	in.elder, in.alone = nil, true
}

// mine reports whether a variable that names a process names this one; an empty one is for everybody.
func mine(text string, pid int) bool { return text == "" || text == strconv.Itoa(pid) }

// take gives a door its socket: the one of its name, else one that listens on its port and has no name of
// ours, else for clients the only one that there is. Nil: there is none.
func (in *Inheritance) take(door string, port int) net.Listener {
	if in == nil {
		return nil
	}
	var found *inherited
	for _, s := range in.sockets {
		if s.ln != nil && s.name == door {
			found = s
			break
		}
		if s.ln != nil && !isDoor(s.name) && (portOf(s.ln.Addr()) == port || door == doorClients && len(in.sockets) == 1) {
			found = s
		}
	}
	if found == nil {
		return nil
	}
	ln := found.ln
	found.ln = nil
	return ln
}

func isDoor(name string) bool {
	return name == doorClients || name == doorLeafnodes || name == doorMonitoring
}

// closeRest closes the sockets that no door has taken, and names them.
func (in *Inheritance) closeRest() (left []string) {
	if in == nil {
		return nil
	}
	for _, s := range in.sockets {
		if s.ln != nil {
			left = append(left, strings.TrimSpace(s.name+" "+s.ln.Addr().String()))
			s.ln.Close()
			s.ln = nil
		}
	}
	return left
}

// openDoor listens: on the socket that was left to us for the door, else on one of our own. Nobody but
// this machine reaches a door that is to be for this machine only, whoever made its socket.
func (d *Daemon) openDoor(door, host string, port int) (net.Listener, error) {
	ln := d.inheritance.take(door, port)
	if ln == nil {
		return net.Listen("tcp", listenAddress(host, port))
	}
	at := ln.Addr().String()
	if address, err := netip.ParseAddrPort(at); isLoopback(host) && (err != nil || !address.Addr().Unmap().IsLoopback()) {
		ln.Close()
		return nil, fmt.Errorf("the socket %s, which was handed to the server for %s, %w", at, door, errTooWide)
	}
	if have := portOf(ln.Addr()); port > 0 && have != port {
		d.logger.Warn(fmt.Sprintf("The socket for %s was handed to the server and is at %s, not at port %d as configured: that takes a restart, or another socket unit", door, at, port))
	}
	return ln, nil
}

func portOf(a net.Addr) int {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}
