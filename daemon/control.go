package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// The control socket is how commands on this machine reach a running server: a line of JSON in, a line of
// JSON out, one of each for a connection. Who may write to the socket may do everything, so that it is its
// owner's alone.

const (
	controlMode = 0o600
	// controlLine bounds what is read of one command.
	controlLine = 64 << 10
	// controlCalls is how many commands may run at once; one more waits to be accepted.
	controlCalls = 8
	// controlReminder is how often it is said that nobody can be heard, as long as that lasts.
	controlReminder = time.Minute
	// controlPatience is how long a command may take to arrive, and its answer to leave.
	controlPatience = 10 * time.Second
	// longestSocket is what a path may have: sun_path is 104 bytes on some systems, one of them for the end,
	// and the socket is made in a folder beside the place where it ends up.
	longestSocket = 103 - len("/.edgebus1234567890/s")
)

// A controlRequest is the line that comes in.
type controlRequest struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// A controlReply is the line that goes out.
type controlReply struct {
	OK     bool   `json:"ok"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// controls is what the socket can be asked to do. Each may be called by several goroutines at once, from
// when the server is ready until it has stopped.
func (d *Daemon) controls() map[string]func(args json.RawMessage) (any, error) {
	return map[string]func(args json.RawMessage) (any, error){
		"reload":  func(json.RawMessage) (any, error) { return nil, d.Reload() },
		"status":  func(json.RawMessage) (any, error) { return d.status(), nil },
		"stop":    func(json.RawMessage) (any, error) { d.Stop(); return nil, nil },
		"upgrade": d.upgrade,
		"why":     d.why,
	}
}

// A control is the socket and those who serve it.
type control struct {
	// Set when made, never written again.
	path string
	room chan struct{} // for calls
	ops  map[string]func(json.RawMessage) (any, error)

	ending context.Context // over when the server ends: nobody who is silent then is waited for
	end    context.CancelFunc

	doors, calls sync.WaitGroup // who accepts; who is answered

	mu       sync.Mutex
	made     os.FileInfo  // of the socket: what is at path may be another server's by the end; under mu
	listener net.Listener // under mu
	closed   bool         // under mu
}

// listenControl makes the socket, if there is to be one. It comes into its place by a rename, with its mode
// set: nobody finds it open for a moment, and one that a killed server left is replaced.
func (d *Daemon) listenControl() error {
	path := d.options.ControlSocket
	if path == "" {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("control_socket: %w", err) }
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return fail(fmt.Errorf("%s is there and is no socket: remove it, or name another path", path))
		}
		if conn, err := net.Dial("unix", path); err == nil && d.follows {
			conn.Close() // it is the socket of the server whose place we take
		} else if err == nil {
			conn.Close()
			return fail(fmt.Errorf("another server is running with %s: stop it, or name another path", path))
		}
	}
	listener, made, err := makeControl(path)
	if err != nil {
		return fail(err)
	}
	c := &control{path: path, room: make(chan struct{}, controlCalls), ops: d.controls(), made: made, listener: listener}
	c.ending, c.end = context.WithCancel(context.Background())
	d.control = c
	return nil
}

// makeControl puts a socket at path, in the place of one that is there.
func makeControl(path string) (net.Listener, os.FileInfo, error) {
	aside, err := os.MkdirTemp(filepath.Dir(path), ".edgebus")
	if err != nil {
		return nil, nil, fmt.Errorf("%w (the folder must be there, and the server must be allowed to write to it)", err)
	}
	defer os.RemoveAll(aside)
	at := filepath.Join(aside, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false) // it moves
	var made os.FileInfo
	if err = os.Chmod(at, controlMode); err == nil {
		if made, err = os.Lstat(at); err == nil {
			err = os.Rename(at, path)
		}
	}
	if err != nil {
		listener.Close()
		return nil, nil, err
	}
	return listener, made, nil
}

// serveControl answers until closeControl.
func (d *Daemon) serveControl() {
	if c := d.control; c != nil {
		listener := c.listener
		c.doors.Go(func() { c.serve(listener, d.logger) })
	}
}

// serve answers those who come to a listener until it is closed.
func (c *control) serve(listener net.Listener, logger *slog.Logger) {
	var told time.Time
	for {
		c.room <- struct{}{}
		conn, err := listener.Accept()
		if err == nil {
			c.calls.Go(func() {
				defer func() { <-c.room }()
				c.answer(conn)
			})
			continue
		}
		<-c.room
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if told.IsZero() || time.Since(told) > controlReminder { // no descriptor left, most likely: that lasts
			told = time.Now()
			logger.Warn("The control socket could not be accepted from", "error", reasonOf(err))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// reasonOf is what the system said, without the address: that is the name that the socket had when it was made.
func reasonOf(err error) error {
	if known := new(net.OpError); errors.As(err, &known) {
		return known.Err
	}
	return err
}

// renewControl makes the socket anew if it is gone: a program that took our place has put its own there, and
// did not live.
func (d *Daemon) renewControl() error {
	c := d.control
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if info, err := os.Lstat(c.path); c.closed || err == nil && os.SameFile(info, c.made) {
		return nil
	}
	listener, made, err := makeControl(c.path)
	if err != nil {
		return err
	}
	c.listener.Close()
	c.listener, c.made = listener, made
	c.doors.Go(func() { c.serve(listener, d.logger) })
	return nil
}

// answer is one connection of the socket.
func (c *control) answer(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlPatience))
	heard := context.AfterFunc(c.ending, func() { conn.SetReadDeadline(time.Now()) })
	result, err := obeyControl(conn, c.ops)
	heard()
	reply := controlReply{OK: err == nil, Result: result}
	if err != nil {
		reply.Error = err.Error()
	}
	line, err := json.Marshal(reply)
	if err != nil {
		line, _ = json.Marshal(controlReply{Error: err.Error()})
	}
	conn.SetDeadline(time.Now().Add(controlPatience)) // the command may have taken its time
	conn.Write(append(line, '\n'))
}

func obeyControl(r io.Reader, ops map[string]func(json.RawMessage) (any, error)) (any, error) {
	line, err := bufio.NewReader(io.LimitReader(r, controlLine)).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("a command is a line of at most %d bytes", controlLine)
	}
	var request controlRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, fmt.Errorf("a command is a line such as {\"op\":\"reload\"}: %w", err)
	}
	do, ok := ops[request.Op]
	if !ok {
		return nil, fmt.Errorf("it knows nothing of %q: is the running server of another version?", cut(request.Op))
	}
	return do(request.Args)
}

// closeControl is the last of the doors, so that whoever has asked for the stop sees its end: the socket is gone.
func (d *Daemon) closeControl() error {
	c := d.control
	if c == nil {
		return nil
	}
	c.mu.Lock()
	c.closed = true
	if info, err := os.Lstat(c.path); err == nil && os.SameFile(info, c.made) {
		if err := os.Remove(c.path); err != nil {
			d.logger.Warn("The control socket could not be removed", "error", err)
		}
	}
	err := c.listener.Close()
	c.mu.Unlock()
	c.end()
	c.doors.Wait()
	c.calls.Wait()
	return err
}

// checkControl looks at the key control_socket.
func (o *Options) checkControl() (problems OptionErrors) {
	switch path := o.ControlSocket; {
	case path == "":
	case runtime.GOOS == "windows":
		problems = append(problems, optionError{"control_socket", errors.New("control_socket: this system cannot keep a socket to its owner: remove the line")})
	case len(path) > longestSocket:
		problems = append(problems, optionError{"control_socket", fmt.Errorf("control_socket: the path has %d bytes, and the system takes sockets of at most %d: choose a shorter one", len(path), longestSocket)})
	}
	return problems
}

// Control asks the server behind the socket at path to do something, and returns its answer. ErrNoServer:
// nobody answers there. args may be nil.
func Control(ctx context.Context, path, op string, args any) (json.RawMessage, error) {
	request := controlRequest{Op: op}
	if args != nil {
		var err error
		if request.Args, err = json.Marshal(args); err != nil {
			return nil, err
		}
	}
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("%w; only who runs the server may use its socket: try sudo", err)
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrNoServer, path, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var reply struct {
		OK     bool            `json:"ok"`
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: the server has not answered: %w", err), ctx.Err())
	}
	if !reply.OK {
		return nil, fmt.Errorf("%w: %s", ErrControl, reply.Error)
	}
	return reply.Result, nil
}
