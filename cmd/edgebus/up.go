package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func upCommand(p *program) *tool {
	return &tool{
		Name: "up",
		Description: `Starts a server on a machine that has none yet: writes a configuration, makes a user and a password,
joins a hub if there is one, and says how to connect. Where systemd runs, root gets a service; others, and
with --foreground root as well, get the server itself, until Ctrl-C or "edgebus down".

Run again it changes nothing but what it is asked to: --hub joins another hub, --new-password makes another
password. The password is shown once; the configuration has its hash. A hub that is there already gives way only
to one that can be joined, unless --force says otherwise.`,
		Flags: []option{
			dirFlag(),
			&stringFlag{Name: "hub", Usage: "`URL` of a hub to join, such as tls://hub.example.com:7422"},
			&stringFlag{Name: "creds", Usage: "`FILE` with the credentials for the hub"},
			&boolFlag{Name: "force", Usage: "put the hub in another's place even if it cannot be joined now"},
			&stringFlag{Name: "user", Value: "admin", Usage: "`NAME` of the user who may do everything"},
			&boolFlag{Name: "new-password", Usage: "give that user another password"},
			&stringFlag{Name: "addr", Aliases: []string{"a"}, Value: "0.0.0.0", Usage: "`ADDRESS` of this machine for clients, 0.0.0.0 for all"},
			&intFlag{Name: "port", Aliases: []string{"p"}, Value: 4222, Usage: "`PORT` for clients, -1 for any free one"},
			&intFlag{Name: "http_port", Aliases: []string{"m"}, Value: 8222, Usage: "`PORT` of the monitoring pages, -1 for any free one"},
			&boolFlag{Name: "json", Usage: "print JSON for programs"},
			&boolFlag{Name: "foreground", Usage: "run here, even if there is systemd"},
		},
		Action: p.up,
	}
}

func (p *program) up(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("up takes no arguments, and %q is one", c.Arg(0))
	}
	for _, name := range []string{"creds", "force"} {
		if c.IsSet(name) && !c.IsSet("hub") {
			return usageError("--%s goes with --hub", name)
		}
	}
	s, err := siteOf(c)
	if err != nil {
		return err
	}
	ctx, stop := withInterrupt()
	defer stop()
	v := p.supervisor()
	if c.Bool("foreground") {
		v = nil
	}
	if err := s.mayBeUps(ctx, v); err != nil {
		return err
	}
	stop()
	var draft *siteDraft
	if !s.exists() {
		// It may ask, which Ctrl-C ends at once: nothing is written yet, and signals are not ours yet.
		if draft, err = p.draftSite(c); err != nil {
			return err
		}
	}
	ctx, stop = withInterrupt()
	defer stop()
	login, err := p.prepare(ctx, c, s, draft)
	if err != nil {
		return err
	}
	tell := func(ctx context.Context, status daemon.Status) error {
		status = s.settled(ctx, status)
		if c.Bool("json") {
			return p.printJSON(upResult{status, login.User, login.known()})
		}
		return p.tellUp(s, dirTyped(c, s), status, login)
	}
	if status, err := s.status(ctx); err == nil {
		return tell(ctx, status)
	} else if !errors.Is(err, daemon.ErrNoServer) {
		return err
	}
	if v != nil {
		if err := v.install(ctx, s); err != nil {
			return err
		}
		return s.awaitUp(ctx, tell)
	}
	stop() // from here on signals are the server's
	return p.runHere(s, tell)
}

// prepare makes the site of a draft, or changes what it is asked to of one that is there.
func (p *program) prepare(ctx context.Context, c *invocation, s site, draft *siteDraft) (login *newSecret, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch made := s.exists(); {
	case made && draft != nil || !made && draft == nil:
		return nil, fmt.Errorf("another command has just made or removed %s: try again", s.config())
	case !made:
		login, err = s.firstTime(c.String("user"), draft)
		if err != nil {
			os.Remove(s.lockFile())
			os.Remove(s.dir)
		}
		return login, err
	}
	for _, name := range []string{"addr", "port", "http_port"} {
		if c.IsSet(name) {
			return nil, usageError("--%s: %s is there already and up leaves it as it is: change that line there", name, s.config())
		}
	}
	if c.IsSet("hub") {
		if err := s.changeHub(ctx, c.String("hub"), c.String("creds"), c.Bool("force")); err != nil {
			return nil, err
		}
	}
	return s.administrator(c)
}

// mayBeUps refuses, before anything is written, a machine on which the service is somebody else's, and
// configurations that up cannot work with. v may be nil.
func (s site) mayBeUps(ctx context.Context, v *supervisor) error {
	if v != nil {
		if _, err := s.status(ctx); errors.Is(err, daemon.ErrNoServer) || !s.exists() {
			if err := v.mayInstall(s); err != nil {
				return err
			}
		}
	}
	if !s.exists() {
		return nil
	}
	if err := s.isUps(); err != nil {
		return fmt.Errorf("%w; start it with its service or \"edgebus -c\", or say --dir", err)
	}
	loaded, err := daemon.Load(s.config(), nil)
	if err != nil {
		return err
	}
	defer loaded.Close()
	if loaded.Options.ControlSocket != s.ownSocket() {
		return fmt.Errorf("%s has no control_socket any more: put control_socket: %q there", s.config(), s.ownSocket())
	}
	return nil
}

// draftSite is what a new site is to be, by the command line and by what is asked.
func (p *program) draftSite(c *invocation) (*siteDraft, error) {
	if err := checkDeviceName(c.String("user")); err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(c.String("addr")); err != nil {
		return nil, usageError("--addr wants an address of this machine, such as 192.168.1.5, and got %q", c.String("addr"))
	}
	draft := &siteDraft{host: c.String("addr"), port: c.Int("port"), monitorPort: c.Int("http_port"), hub: c.String("hub"), creds: c.String("creds")}
	for _, address := range []string{net.JoinHostPort(draft.host, strconv.Itoa(draft.port)), "127.0.0.1:" + strconv.Itoa(draft.monitorPort)} {
		if err := checkFree(address); err != nil {
			return nil, err
		}
	}
	if !c.IsSet("hub") && isTerminal(p.stdin) && isTerminal(p.stdout) {
		var err error
		if draft.hub, draft.creds, err = p.askHub(); err != nil {
			return nil, err
		}
	}
	return draft, nil
}

// firstTime writes the site of a draft and says who may do everything there. Under lock.
func (s site) firstTime(name string, draft *siteDraft) (*newSecret, error) {
	user := newDevice(name, nil)
	secret, err := user.makeSecret(false)
	if err != nil {
		return nil, err
	}
	return &secret, s.write(draft, user)
}

// checkFree finds a port in use before anything is written.
func checkFree(address string) error {
	if strings.HasSuffix(address, ":-1") {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w (is another server running there? choose other ports with -p and -m)", err)
	}
	return listener.Close()
}

// askHub asks for what the command line could have said.
func (p *program) askHub() (hub, creds string, err error) {
	in := bufio.NewReaderSize(p.stdin, maxPasswordLine)
	for _, question := range []struct {
		text string
		into *string
	}{{"Hub to join, such as tls://hub.example.com:7422 (empty: none): ", &hub}, {"File with its credentials (empty: none): ", &creds}} {
		fmt.Fprint(p.stdout, question.text)
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", fmt.Errorf("reading the answer: %w", err)
		}
		if *question.into = strings.TrimSpace(line); *question.into == "" {
			break
		}
	}
	return hub, creds, nil
}

// administrator finds who may do everything, and gives it another password if asked. Under lock.
func (s site) administrator(c *invocation) (*newSecret, error) {
	list, err := readDevices(s.devices())
	if err != nil {
		return nil, err
	}
	for i := range list {
		if d := &list[i]; d.user.Permissions == nil && (!c.IsSet("user") || d.name == c.String("user")) {
			if !c.Bool("new-password") {
				return &newSecret{Name: d.name, User: d.name, Password: unknownPassword}, nil
			}
			secret, err := d.makeSecret(false)
			if err == nil {
				_, err = s.writeDevices(list)
			}
			return &secret, err
		}
	}
	return nil, usageError("--user: nobody in %s who may do everything has that name", s.devices())
}

// A tellFunc says how to connect to a server that runs.
type tellFunc func(context.Context, daemon.Status) error

// runHere is the server in this process, and stays as long as one that takes its place.
func (p *program) runHere(s site, tell tellFunc) error {
	p.becomeServer()
	loaded, err := daemon.Load(s.config(), nil)
	if err != nil {
		return err
	}
	loaded.Options.Version = version
	d, err := daemon.FromLoaded(loaded)
	if err != nil {
		return err
	}
	inheritance, err := daemon.Inherit()
	if err != nil {
		return err
	}
	inheritance.Arguments = []string{"-c", s.config()} // who takes our place has nothing to say of passwords
	d.Inherits(inheritance)
	f := &follower{site: s, own: d}
	adoptOrphans()
	stop := handleSignals(d, f.pass)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{})
	go func() {
		defer close(told)
		select {
		case <-d.Ready():
			if status, err := s.status(ctx); err == nil {
				tell(ctx, status) // who has closed standard output has a server all the same
			}
		case <-ctx.Done():
		}
	}()
	err = d.Run(context.Background())
	cancel()
	<-told
	if heir := d.Heir(); heir != nil {
		p.complain(fmt.Sprintf("%s: process %d is the server now, and this one waits for it: Ctrl-C and \"edgebus down\" stop both\n", p.name, heir.PID()))
		err = errors.Join(err, f.follow(heir))
	}
	return err
}

const (
	// settleTime is how long up waits for hubs before it says how they are.
	settleTime = 5 * time.Second
	// startTime is how long a service may take to start.
	startTime = 20 * time.Second
	askEvery  = 50 * time.Millisecond
)

// settled waits until every hub is joined or says why not.
func (s site) settled(ctx context.Context, status daemon.Status) daemon.Status {
	socket := s.socket()
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for tick := time.NewTicker(askEvery); ; {
		open := false
		for _, r := range status.Remotes {
			open = open || !r.Up && r.Reason == ""
		}
		if !open {
			return status
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return status
		}
		if next, err := statusAt(ctx, socket); err == nil {
			status = next
		}
	}
}

// awaitUp waits for a service that was started.
func (s site) awaitUp(ctx context.Context, tell tellFunc) error {
	socket := s.socket()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for tick := time.NewTicker(askEvery); ; {
		status, err := statusAt(ctx, socket)
		if err == nil {
			return tell(ctx, status)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the service does not answer; \"journalctl -u edgebus\" has its log: %w", err)
		}
	}
}
