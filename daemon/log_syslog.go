package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// syslogQueue bounds the lines that wait for a syslog server; beyond it they are counted and
	// lost, for a log must not stop what it tells of.
	syslogQueue = 1024
	// maxSyslogLine is what every receiver must take in one datagram, by RFC 5424 section 6.1 and
	// its advice to take more.
	maxSyslogLine = 2048
	syslogTimeout = 5 * time.Second
	// syslogRetry is how long a server that cannot be reached is left alone.
	syslogRetry = 5 * time.Second
	// syslogFarewell bounds how long the last lines may take at the end.
	syslogFarewell = 2 * time.Second
	// facilityDaemon is syslog's facility "system daemons".
	facilityDaemon = 3
	defaultPort514 = "514"
)

// localSyslogs are where the syslog of a system listens.
var localSyslogs = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// syslogAddress splits a remote_syslog value into network and address.
func syslogAddress(text string) (network, address string, err error) {
	bad := fmt.Errorf("remote_syslog %q is none of udp://host:port, tcp://host:port, unix:///path", cut(text))
	if !strings.Contains(text, "://") {
		text = "udp://" + text // what nats-server takes it for
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", "", bad
	}
	switch u.Scheme {
	case "unix", "unixgram":
		if u.Path == "" {
			return "", "", bad
		}
		return u.Scheme, u.Path, nil
	case "udp", "tcp":
		if u.Hostname() == "" || u.Path != "" {
			return "", "", bad
		}
		port := u.Port()
		if port == "" {
			port = defaultPort514
		}
		return u.Scheme, net.JoinHostPort(u.Hostname(), port), nil
	}
	return "", "", bad
}

// A syslogOutput sends lines to a syslog server, by RFC 5424. Whoever logs only puts the line in a
// queue; one goroutine sends.
type syslogOutput struct {
	// Set by openSyslog, never written again.
	remote string // as configured; empty: this machine's
	host   string
	stderr io.Writer
	queue  chan []byte   // closed by nobody: done ends the reader
	done   chan struct{} // closed by close
	ended  sync.WaitGroup
	once   sync.Once

	// Anyone's.
	lost atomic.Int64

	// The sending goroutine's.
	conn      net.Conn
	framed    bool // a stream needs to be told where a line ends
	notBefore time.Time
}

// openSyslog starts sending to remote, or to this machine's syslog if that is empty. A server that
// is not there yet is no error: it may come later than we do.
func openSyslog(remote string, stderr io.Writer) (*syslogOutput, error) {
	if remote != "" {
		if _, _, err := syslogAddress(remote); err != nil {
			return nil, err
		}
	}
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsAny(host, " \t") {
		host = "-"
	}
	s := &syslogOutput{remote: remote, host: host, stderr: stderr,
		queue: make(chan []byte, syslogQueue), done: make(chan struct{})}
	s.ended.Add(1)
	go s.run()
	return s, nil
}

// writeLine puts a copy of the line in the queue.
func (s *syslogOutput) writeLine(level slog.Level, line []byte) {
	_, priority, _ := levelWords(level)
	message := make([]byte, 0, len(line)+64)
	message = append(message, '<')
	message = strconv.AppendInt(message, int64(facilityDaemon*8+priority), 10)
	message = append(message, ">1 "...)
	message = time.Now().AppendFormat(message, "2006-01-02T15:04:05.000000Z07:00")
	message = append(append(append(message, ' '), s.host...), " edgebus "...)
	message = strconv.AppendInt(message, int64(os.Getpid()), 10)
	message = append(message, " - - "...)
	message = append(message, line[:len(line)-1]...) // without the line's end
	if len(message) > maxSyslogLine {
		message = message[:maxSyslogLine]
	}
	select {
	case <-s.done:
		return
	default:
	}
	select {
	case s.queue <- message:
	default:
		s.lost.Add(1)
	}
}

// run sends until close is called, and then what is queued already.
func (s *syslogOutput) run() {
	defer s.ended.Done()
	for {
		select {
		case message := <-s.queue:
			s.send(message)
			continue
		case <-s.done:
		}
		break
	}
	end := time.Now().Add(syslogFarewell)
	for len(s.queue) > 0 && time.Now().Before(end) {
		s.send(<-s.queue)
	}
	if s.conn != nil {
		s.conn.Close()
	}
}

// send sends one message, or counts it as lost.
func (s *syslogOutput) send(message []byte) {
	if s.conn == nil && !s.dial() {
		s.lost.Add(1)
		return
	}
	if lost := s.lost.Swap(0); lost > 0 {
		note := fmt.Appendf(nil, "<%d>1 %s %s edgebus %d - - %d log lines were lost before this one",
			facilityDaemon*8+4, time.Now().Format(time.RFC3339), s.host, os.Getpid(), lost)
		if !s.transmit(note) {
			s.lost.Add(lost + 1)
			return
		}
	}
	if !s.transmit(message) {
		s.lost.Add(1)
	}
}

func (s *syslogOutput) transmit(message []byte) bool {
	s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	if s.framed { // RFC 6587, octet counting
		message = append(strconv.AppendInt(nil, int64(len(message)), 10), append([]byte{' '}, message...)...)
	}
	_, err := s.conn.Write(message)
	if err != nil {
		s.failed(err)
		s.conn.Close()
		s.conn = nil
	}
	return err == nil
}

func (s *syslogOutput) dial() bool {
	if time.Now().Before(s.notBefore) {
		return false
	}
	var err error
	if s.remote != "" {
		network, address, _ := syslogAddress(s.remote) // openSyslog has checked it
		if network == "unix" {
			err = s.dialLocal(address)
		} else {
			s.conn, err = net.DialTimeout(network, address, syslogTimeout)
			s.framed = network == "tcp"
		}
	} else {
		err = s.dialLocal(localSyslogs...)
	}
	if err != nil {
		s.conn = nil
		s.failed(err)
		return false
	}
	return true
}

// dialLocal takes the first of the sockets that is there. Nothing in a path says which of its two
// kinds a socket is; most are for datagrams.
func (s *syslogOutput) dialLocal(paths ...string) (err error) {
	for _, path := range paths {
		for _, network := range []string{"unixgram", "unix"} {
			s.conn, err = net.DialTimeout(network, path, syslogTimeout)
			if err == nil {
				s.framed = network == "unix"
				return nil
			}
		}
	}
	return err
}

// failed says so on standard error and lets some time pass until the next try.
func (s *syslogOutput) failed(err error) {
	s.notBefore = time.Now().Add(syslogRetry)
	fmt.Fprintf(s.stderr, "edgebus: syslog: %v (lines are lost, %d until now; next try in %v)\n", err, s.lost.Load()+1, syslogRetry)
}

func (s *syslogOutput) reopen() error { return nil }

func (s *syslogOutput) close() {
	s.once.Do(func() { close(s.done) })
	s.ended.Wait()
}
