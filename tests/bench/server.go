package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	judged = "edgebus" // the name of the server that is judged; the others are what it is compared with

	startPatience = 20 * time.Second
	stopPatience  = 10 * time.Second
	keptWords     = 600 // bytes of a failed server's log that are shown

	serverCPU    = 0 // with -pin
	generatorCPU = 1
)

// A contender is one of the servers under comparison.
type contender struct {
	name    string
	command string
	size    string // path of the program whose size is compared, or empty
}

// contenders puts the command line's servers together, the judged one first.
func contenders(edgebus string, against, sizes []string) ([]contender, error) {
	all := []contender{{name: judged, command: edgebus}}
	for _, each := range against {
		name, command, ok := strings.Cut(each, "=")
		if !ok || name == "" || command == "" || name == judged {
			return nil, fmt.Errorf("-against %q: want NAME=COMMAND with a name of its own", each)
		}
		all = append(all, contender{name: name, command: command})
	}
next:
	for _, each := range sizes {
		name, path, _ := strings.Cut(each, "=")
		for i := range all {
			if all[i].name == name {
				all[i].size = path
				continue next
			}
		}
		return nil, fmt.Errorf("-size %q: no server of that name", each)
	}
	return all, nil
}

// arguments is the command with the port filled in.
func (c contender) arguments(port int) []string {
	command := c.command
	if !strings.Contains(command, "{port}") {
		command += " -a 127.0.0.1 -p {port}"
	}
	return strings.Fields(strings.ReplaceAll(command, "{port}", strconv.Itoa(port)))
}

// version is what the program says of itself, or nothing.
func (c contender) version() string {
	words := strings.Fields(c.command)
	for i, word := range words {
		// What stands before the program's own options: an "env NAME=value" and the program.
		if strings.HasPrefix(word, "-") {
			words = words[:i]
			break
		}
	}
	if len(words) == 0 {
		return ""
	}
	out, err := exec.Command(words[0], append(words[1:], "-v")...).Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}

// launch is how to start a server.
type launch struct {
	pin    bool
	group  *group // nil: the generator's own
	config string // a file's text; empty: none
}

// A server is one running process.
type server struct {
	address string
	cmd     *exec.Cmd
	done    chan struct{} // closed by the goroutine that waits for the process
	log     logTail
}

// start runs a server and returns when it greets with INFO.
func start(c contender, l launch) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	words := c.arguments(port)
	if l.config != "" {
		file, err := os.CreateTemp("", "bench-*.conf")
		if err != nil {
			return nil, err
		}
		defer os.Remove(file.Name())
		_, err = file.WriteString(l.config)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		words = append(words, "-c", file.Name())
	}
	if l.pin {
		words = append([]string{"taskset", "-c", strconv.Itoa(serverCPU)}, words...)
	}
	if l.group != nil {
		// The shell joins the group before the server begins, which thus finds its limit at start.
		words = append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(l.group.path, "cgroup.procs")}, words...)
	}
	s := &server{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), done: make(chan struct{})}
	s.cmd = exec.Command(words[0], words[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // it was told to end, or its log says why it did
	}()
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s.gone() {
			break
		}
		if s.greets() {
			return s, nil
		}
	}
	s.stop()
	return nil, fmt.Errorf("no INFO on %s%s", s.address, s.lastWords())
}

func (s *server) greets() bool {
	c, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	greeting := make([]byte, 5)
	n, _ := c.Read(greeting)
	return string(greeting[:n]) == "INFO "
}

func (s *server) gone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopPatience):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// lastWords is the end of the server's log, for an error about it.
func (s *server) lastWords() string {
	text := s.log.String()
	if s.gone() {
		text += "\n(it has ended: " + s.cmd.ProcessState.String() + ")"
	}
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "; its last words: " + text
}

// logTail keeps the end of what is written to it.
type logTail struct {
	mu   sync.Mutex
	kept []byte
}

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - keptWords; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.Clone(l.kept))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// pinProcess moves a process with all its threads to one processor.
func pinProcess(pid, cpu int) error {
	out, err := exec.Command("taskset", "-a", "-p", "-c", strconv.Itoa(cpu), strconv.Itoa(pid)).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("-pin needs taskset (Debian: apt-get install util-linux)")
	}
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
