package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A running server gives its place up to another program in five steps: it starts that program with its
// sockets; the program makes itself ready, serves clients and says "ready"; it hears "go", opens what there
// can be only one of, and says "taken"; only then the first one lets its clients go. Up to "taken" everything
// can be undone by ending the program, and nobody has noticed anything. From then on the first one keeps its
// sockets without accepting, and if the program dies before all is over, it comes back: upgrade_yield.go.

const (
	// upgradePatience is how long a program may take to be ready.
	upgradePatience = 30 * time.Second
	// takePatience is how long either of both may take for the rest.
	takePatience = 10 * time.Second
	// dyingPatience is how long a server may be there still whose connections are closed.
	dyingPatience = time.Second
	// elderLine bounds what one of both says at a time.
	elderLine = 4 << 10
	// pagesPatience is how long pages that are on their way may take once the new server has the door.
	pagesPatience = time.Second
)

// An UpgradeRequest names the program that is to take the server's place.
type UpgradeRequest struct {
	File string `json:"file"` // an absolute path
}

// An Upgrade is how that went.
type Upgrade struct {
	PID     int    `json:"pid"`     // of the new server
	Version string `json:"version"` // what it calls itself
	Before  string `json:"before"`  // and what this one does
	Clients int    `json:"clients"` // who are being told to come back
}

// upgrade is what the control socket can be asked for.
func (d *Daemon) upgrade(args json.RawMessage) (any, error) {
	var request UpgradeRequest
	if err := json.Unmarshal(args, &request); err != nil || !filepath.IsAbs(request.File) {
		return nil, errors.New("upgrade wants {\"file\":\"/path/of/a/program\"}")
	}
	d.mu.Lock()
	running := d.running
	d.mu.Unlock()
	select {
	case <-d.stopping:
		running = false
	case <-d.lame:
		running = false
	default:
	}
	switch {
	case !running:
		return nil, ErrNotRunning
	case os.Getpid() == 1:
		return nil, errors.New("this server is the first process of its container, which ends with it: start a container with the new program instead")
	case d.notifier == nil && ownedBySystemd():
		return nil, errors.New("systemd would take this server's end for the service's, and end the new one as well: its unit needs Type=notify; add it, and restart the service this once")
	case d.notifier == nil && restarter() != "":
		return nil, fmt.Errorf("this server was started by %s, which would start another one when it ends, or end what is left: replace the program and restart the service", restarter())
	case !d.upgrading.CompareAndSwap(false, true):
		return nil, errors.New("another upgrade is under way")
	}
	h, done, err := d.handOver(request.File)
	if err != nil {
		d.upgrading.Store(false)
		if errors.Is(err, errStops) {
			return nil, err
		}
		d.logger.Error("Upgrade: this server goes on", "program", request.File, "error", err)
		return nil, fmt.Errorf("%w; the running server goes on", err)
	}
	d.logger.Info(fmt.Sprintf("Upgrade: process %d has taken over, version %s", done.PID, done.Version), "program", request.File)
	d.heir.Store(h)
	d.heirs <- h
	trial := time.NewTimer(trialTime)
	defer trial.Stop()
	select {
	case <-trial.C:
	case <-d.ending:
	case how := <-h.died:
		return nil, fmt.Errorf("the new program has ended as soon as it had taken over (%s): what it had to say is in the server's log or on its standard error; the running server goes on", how)
	}
	return done, nil
}

// ownedBySystemd reports whether systemd has started this very process (systemd.exec(5)).
func ownedBySystemd() bool { return os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) }

// An Heir is the program that is to take our place, a child of this process.
type Heir struct {
	process *os.Process
	conn    net.Conn
	in      *bufio.Reader

	ended chan struct{}    // closed by who waits for it, once it has ended
	state *os.ProcessState // set before that; nil: unknown

	died chan string // told when we are back because it has died; there is room for it
}

// Heir is what has taken this server's place; nil: nothing has, or it has died and this server is back.
func (d *Daemon) Heir() *Heir { return d.heir.Load() }

// PID is its process.
func (h *Heir) PID() int { return h.process.Pid }

// Signal sends it a signal.
func (h *Heir) Signal(s os.Signal) error { return h.process.Signal(s) }

// Wait returns when it has ended, and says how; nil: that is unknown.
func (h *Heir) Wait() *os.ProcessState {
	<-h.ended
	return h.state
}

// how it has ended, in words.
func (h *Heir) how() string {
	if h.state == nil {
		return "unknown"
	}
	return h.state.String()
}

// handOver starts a program and gives it everything. After an error it is gone.
func (d *Daemon) handOver(file string) (*Heir, *Upgrade, error) {
	d.handing.Lock()
	defer d.handing.Unlock()
	select {
	case <-d.ending: // stop may have removed already what we would put in place again
		return nil, nil, errStops
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() { // a server that stops does not wait for its heir
		defer close(watched)
		select {
		case <-d.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()

	h, err := d.startHeir(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s cannot be started: %w", file, err)
	}
	stop := context.AfterFunc(ctx, func() { h.conn.Close() })
	defer stop()
	version, err := h.expect("ready", upgradePatience)
	if err == nil {
		d.notifier.handOver(h.PID())
		d.log.Follow() // before it leads: two that rename one file lose lines
		if err = h.say("go"); err == nil {
			_, err = h.expect("taken", takePatience)
		}
		if err != nil {
			d.notifier.takeBack()
		}
	}
	if err != nil {
		h.process.Kill()
		<-h.ended // nothing of it is left that could take our files
		h.conn.Close()
		d.reclaim(h)
		return nil, nil, err
	}
	d.notifier.fallSilent()
	clients := d.server.Status().Connections
	return h, &Upgrade{PID: h.PID(), Version: version, Before: d.shown.Load().options.Version, Clients: clients}, nil
}

// reclaim takes back what there can be only one of, however much of it a program that is gone has taken.
func (d *Daemon) reclaim(h *Heir) {
	d.log.Lead()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.writePid(); err != nil {
		d.logger.Error("The pid file could not be written anew", "error", err)
	}
	if err := d.renewControl(); err != nil {
		d.logger.Error("The control socket could not be made anew: that takes a restart", "error", err)
	}
	if d.portsFile != "" {
		os.Remove(d.portsPath(h.PID())) // it had no time to
	}
}

// expect waits for a word of the heir, and returns what follows it.
func (h *Heir) expect(word string, patience time.Duration) (rest string, err error) {
	h.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := h.in.ReadSlice('\n')
	said, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
	switch {
	case err == nil && said == word:
		return rest, nil
	case err == nil && said == "failed":
		return "", fmt.Errorf("the new program does not start: %s", strings.ReplaceAll(rest, "\r", "\n"))
	case err == nil || errors.Is(err, bufio.ErrBufferFull):
		return "", errors.New("the new program says something that no edgebus does")
	case errors.Is(err, os.ErrDeadlineExceeded):
		if word == "taken" {
			return "", fmt.Errorf("the new program was ready, and has not taken over within %v", patience)
		}
		return "", fmt.Errorf("the new program was not ready within %v", patience)
	case errors.Is(err, net.ErrClosed):
		return "", errStops
	}
	select {
	case <-h.ended:
		return "", fmt.Errorf("the new program has ended before it was ready (%s): is it an edgebus, and one for this machine? What it had to say is in the server's log or on its standard error", h.how())
	case <-time.After(time.Second):
		return "", errors.New("the new program has nothing to say: is it an edgebus that knows how to take over?")
	}
}

func (h *Heir) say(word string) error {
	h.conn.SetWriteDeadline(time.Now().Add(takePatience))
	_, err := h.conn.Write([]byte(word + "\n"))
	return err
}

// heirEnv is the environment of a program that takes over; count and names are of the sockets.
func (d *Daemon) heirEnv(names []string) []string {
	env := append(os.Environ(), envSockets+"="+strconv.Itoa(len(names)), envSocketNames+"="+strings.Join(names, ":"), envElder+"="+strconv.Itoa(os.Getpid()))
	if in := d.inheritance; in != nil && in.notify != "" {
		env = append(env, envNotify+"="+in.notify)
		if in.watchdog > 0 {
			env = append(env, envWatchdog+"="+strconv.FormatInt(in.watchdog.Microseconds(), 10))
		}
	}
	return env
}

// heirArguments are what a program is started with to serve what we serve, the name in front: what we do
// may depend on it.
func (d *Daemon) heirArguments() []string {
	rest := os.Args[1:]
	if d.inheritance != nil {
		rest = d.inheritance.Arguments
	}
	return append([]string{os.Args[0]}, rest...)
}

// follow takes the place of the server that has started us, if there is one: clients are served, it is told
// so, and gives up what there can be only one of.
func (d *Daemon) follow(ctx context.Context) error {
	for _, left := range d.inheritance.closeRest() {
		d.logger.Warn("A socket was handed to the server, and nothing of what is configured is for it: " + left)
	}
	if d.inheritance == nil || d.inheritance.elder == nil && !d.inheritance.alone {
		return nil
	}
	if !d.inheritance.alone {
		if err := d.serve(ctx); err != nil {
			return err
		}
		if err := d.askElder(); err != nil && !d.outlives() {
			return err
		} else if err != nil {
			d.inheritance.leaveElder()
		}
	}
	if d.inheritance.alone {
		d.logger.Warn("Upgrade: the server before has died, and this one takes its place all the same", "process", d.inheritance.elderPID)
	}
	d.follows = true
	d.log.Lead()
	d.notifier.speakUp()
	return nil
}

// askElder says that we are ready, and returns when we may take over.
func (d *Daemon) askElder() error {
	if err := d.tellElder("ready " + d.options.Version); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	elder := d.inheritance.elder
	elder.SetReadDeadline(time.Now().Add(takePatience))
	answer := make([]byte, len("go\n"))
	if n, err := elder.Read(answer); err != nil || string(answer[:n]) != "go\n" {
		return errors.Join(errors.New("upgrade: the server whose place was to be taken has kept it"), err)
	}
	return nil
}

// outlives reports whether the elder, to whom we cannot speak any more, has died: one that does not want us ends
// us, and one that dies is gone a moment after its connections.
func (d *Daemon) outlives() bool {
	for end := time.Now().Add(dyingPatience); !d.inheritance.orphaned(); time.Sleep(dyingPatience / 100) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// tellElder says something to the server whose place we take.
func (d *Daemon) tellElder(line string) error {
	if d.inheritance == nil || d.inheritance.elder == nil {
		return nil
	}
	elder := d.inheritance.elder
	elder.SetWriteDeadline(time.Now().Add(takePatience))
	_, err := elder.Write([]byte(line + "\n"))
	return err
}

// Failed tells the server that has started us why it is to go on; nothing if there is none, or no error.
func (in *Inheritance) Failed(err error) {
	if in == nil || in.elder == nil {
		return
	}
	if err != nil {
		text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "\r")
		text = text[:min(len(text), elderLine-len("failed \n"))]
		in.elder.SetWriteDeadline(time.Now().Add(takePatience))
		in.elder.Write([]byte("failed " + text + "\n"))
	}
	in.elder.Close()
}
