package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	path     string
	made     os.FileInfo // of the socket: what is at path may be another server's by the end
	listener net.Listener
	calls    sync.WaitGroup
	ended    chan struct{} // closed when nobody is accepted any more
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
	aside, err := os.MkdirTemp(filepath.Dir(path), ".edgebus")
	if err != nil {
		return fail(fmt.Errorf("%w (the folder must be there, and the server must be allowed to write to it)", err))
	}
	defer os.RemoveAll(aside)
	made := filepath.Join(aside, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	listener.SetUnlinkOnClose(false) // it moves
	c := &control{path: path, listener: listener, ended: make(chan struct{})}
	if err = os.Chmod(made, controlMode); err == nil {
		if c.made, err = os.Lstat(made); err == nil {
			err = os.Rename(made, path)
		}
	}
	if err != nil {
		listener.Close()
		return fail(err)
	}
	d.control = c
	return nil
}

// serveControl answers until closeControl.
func (d *Daemon) serveControl() {
	c := d.control
	if c == nil {
		return
	}
	d.controlServing = true
	ops := d.controls()
	go func() {
		defer close(c.ended)
		room := make(chan struct{}, controlCalls)
		for {
			room <- struct{}{}
			conn, err := c.listener.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // no descriptor left, most likely
				d.logger.Warn("The control socket could not be accepted from", "error", err)
				time.Sleep(100 * time.Millisecond)
				<-room
				continue
			}
			c.calls.Go(func() {
				defer func() { <-room }()
				answerControl(conn, ops)
			})
		}
	}()
}

// answerControl is one connection of the socket.
func answerControl(conn net.Conn, ops map[string]func(json.RawMessage) (any, error)) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(controlPatience))
	result, err := obeyControl(conn, ops)
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
	if info, err := os.Lstat(c.path); err == nil && os.SameFile(info, c.made) {
		if err := os.Remove(c.path); err != nil {
			d.logger.Warn("The control socket could not be removed", "error", err)
		}
	}
	err := c.listener.Close()
	if d.controlServing {
		<-c.ended
		c.calls.Wait()
	}
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
