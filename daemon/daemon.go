package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/system"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// An adapter is one protocol's door to the broker.
type adapter interface {
	Serve(ctx context.Context, ln net.Listener) error
	Shutdown(ctx context.Context) error
	Snapshot() any
}

var _ adapter = (*server.Server)(nil)

// A Daemon is one process: all its parts, and the order in which they start and stop.
type Daemon struct {
	// Set by New, never written again.
	log       *Log
	logger    *slog.Logger
	available int64         // memory, as found at start
	warnings  []string      // of the configuration, for the log
	ready     chan struct{} // closed by Run when clients can connect
	stopping  chan struct{} // closed by Stop
	lame      chan struct{} // closed by LameDuck
	heirs     chan *Heir    // who has taken our place; there is room for it
	reshown   chan struct{} // told when shown has changed

	certsEvery time.Duration    // the constant, but in tests
	clock      func() time.Time // of the wall, which dates go by: time.Now, but in tests

	stopOnce sync.Once
	lameOnce sync.Once

	// Run's alone until ready is closed; the same for everybody from then on.
	broker    *broker.Broker
	engine    *engine.Engine
	server    *server.Server
	key       *auth.ServerKey // never stored: another one with each start
	listener  net.Listener
	host      string
	address   net.Addr
	pidFile   string
	portsFile string
	sockets   []socket                       // of the doors, to be handed on; whoever has set upgrading may use them
	monitor   atomic.Pointer[monitor.Server] // nil: no pages

	// Run's alone.
	doors    sync.WaitGroup // goroutines of serve
	closeAll context.CancelFunc
	ending   <-chan struct{} // closed by closeAll; written before there are doors
	serving  bool            // the listener is the server's
	failed   chan error      // a door that closed by itself

	leaf         *leafnode.Node
	leafListener net.Listener
	leafServing  bool // the listener is the leaf links'

	monitorListener net.Listener
	monitorOptions  monitor.Options
	monitorServing  bool // the listener is the pages'

	control *control // nil: there is no control socket

	inheritance *Inheritance // set by Inherits; nil: there is none
	notifier    *notifier    // nil: nobody wants to hear
	follows     bool         // another server has given its place up for us

	upgrading atomic.Bool          // a new program is being started, or has taken our place
	heir      atomic.Pointer[Heir] // what has taken our place; nil: nothing has
	handing   sync.Mutex           // held while it is tried, and while stop removes what is put back if it fails; above mu

	// Written by Run and Reload, read by anyone.
	system atomic.Pointer[system.System] // nil: there is no system account
	shown  atomic.Pointer[shown]

	// Held for reading while account JWTs are pushed or deleted, and for writing while one directory
	// takes another's place: what the old one was told in between would be forgotten, a revocation too.
	pushing sync.RWMutex

	mu            sync.Mutex
	options       Options         // replaced by Reload; under mu once Run is ready
	directory     *auth.Directory // the same
	certs         *certs.Server   // the same; nil: no TLS
	leafDirectory *auth.Directory // of leaves; may be directory; the same
	running       bool            // under mu

	hashing     sync.Mutex    // held while the password of a viewer is hashed
	slowdown    auth.Slowdown // of logins at all doors
	slowViewers atomic.Int32  // viewers who wait because of it

	turnstile engine.Turnstile // of connections, at the doors for clients and leaves
}

// New checks the options and opens the log. The rest is Run's.
func New(o Options) (*Daemon, error) {
	l := &Loaded{Options: o, available: memoryAvailable("/")}
	if problems := l.settle(); len(problems) > 0 {
		return nil, problems
	}
	return FromLoaded(l)
}

// FromLoaded is New for what Load has read; its warnings go to the log.
func FromLoaded(l *Loaded) (*Daemon, error) {
	log, err := OpenLog(l.Options.Log)
	if err != nil {
		l.Close()
		return nil, err
	}
	d := &Daemon{
		log: log, logger: log.Logger(), available: l.available, options: l.Options, directory: l.directory, certs: l.certs, leafDirectory: l.leafDirectory,
		ready: make(chan struct{}), stopping: make(chan struct{}), lame: make(chan struct{}), heirs: make(chan *Heir, 1), failed: make(chan error, 1),
		reshown: make(chan struct{}, 1), certsEvery: certsEvery, clock: time.Now,
	}
	for _, warning := range l.Warnings {
		d.warnings = append(d.warnings, warning.String())
	}
	d.show(l)
	return d, nil
}

// Inherits gives the daemon what Inherit has found. It is called before Run, if at all.
func (d *Daemon) Inherits(in *Inheritance) {
	d.inheritance = in
	d.notifier = openNotifier(in.notify, d.logger)
	if in.elder != nil { // until it gives its place up, our end is not the service's
		d.notifier.fallSilent()
		d.log.Follow()
	}
}

// Logger is the log of the process.
func (d *Daemon) Logger() *slog.Logger { return d.logger }

// FlushLog returns when standard error has all lines that were meant for it, or has taken none for too long.
func (d *Daemon) FlushLog() { d.log.Flush() }

// Ready is closed when clients can connect.
func (d *Daemon) Ready() <-chan struct{} { return d.ready }

// Addr is what clients connect to. It is known once Ready is closed.
func (d *Daemon) Addr() net.Addr {
	<-d.ready
	return d.address
}

// Stop lets Run end, closing all clients. It does not wait.
func (d *Daemon) Stop() { d.stopOnce.Do(func() { close(d.stopping) }) }

// LameDuck lets Run end slowly: the doors close, clients are told to go elsewhere and closed one
// by one. It does not wait.
func (d *Daemon) LameDuck() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running {
		return ErrNotRunning
	}
	d.lameOnce.Do(func() { close(d.lame) })
	return nil
}

// ReopenLog closes the log file and opens one of the same name.
func (d *Daemon) ReopenLog() error {
	if !d.log.IsFile() {
		d.logger.Info("The log is no file, so there is nothing to reopen")
		return nil
	}
	if err := d.log.Reopen(); err != nil {
		return err
	}
	d.logger.Info("Log file reopened")
	return nil
}

// startEngine makes the loops, each with a lane of the broker that it flushes at every turn's end.
func (d *Daemon) startEngine() (err error) {
	o := &d.options
	d.engine, err = engine.New(engine.Options{
		Loops:         o.Engine.Loops,
		MaxPending:    o.Engine.MaxPending,
		PendingTotal:  o.Engine.PendingTotal,
		PartialTotal:  o.Engine.PartialTotal,
		WriteDeadline: o.Engine.WriteDeadline,
		Local:         func() any { return d.broker.NewLane() },
		TurnEnd:       func(lane any) { lane.(*broker.Lane).Flush() },
		TuneProcs:     true,
		Logger:        d.logger,
	})
	return err
}

func (d *Daemon) makeBroker() error {
	d.broker = broker.New(d.options.Broker)
	d.configureBroker(d.directory) // before the server's: its clients come into what is there
	return nil
}

func (d *Daemon) makeServer() (err error) {
	if d.key, err = auth.NewServerKey(); err != nil {
		return err
	}
	o := &d.options
	o.Server.Events, o.Server.ID, o.Server.XKey, o.Server.Slowdown = systemEvents{d}, d.key.ID(), d.key.XKey(), &d.slowdown
	o.Server.Turnstile = &d.turnstile
	d.server, err = server.New(o.Server, d.broker, d.engine, d.directory, d.logger)
	if err == nil {
		d.introduce(d.directory, o)
	}
	return err
}

// introduce tells a directory who we are, for the services that it asks.
func (d *Daemon) introduce(directory *auth.Directory, o *Options) {
	host, _, _ := o.listenHost()
	directory.SetServer(auth.Server{
		Key: d.key, Name: cmp.Or(o.Server.ServerName, d.key.ID()), Host: cmp.Or(o.Server.AdvertiseHost, host),
		Version: d.server.Version(), Tags: o.Monitor.Tags,
	})
}

// listen takes the address, so that a port in use is found before anything is announced.
func (d *Daemon) listen() error {
	o := &d.options
	host, info, warning := o.listenHost()
	ln, err := d.openDoor(doorClients, host, o.Port)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, listenRemedy(err))
	}
	d.listener, d.host, d.address = ln, hostOf(ln, host), ln.Addr()
	d.sockets = append(d.sockets, socket{doorClients, ln})
	if info != "" {
		d.logger.Info(info)
	}
	if warning != "" {
		d.logger.Warn(warning)
	}
	return nil
}

// hostOf is what a listener listens on: as asked for, unless somebody else has made it for one address.
func hostOf(ln net.Listener, asked string) string {
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() && net.ParseIP(asked).IsUnspecified() {
		return tcp.IP.String()
	}
	return asked
}

// serve lets clients in, if it has not yet.
func (d *Daemon) serve(ctx context.Context) error {
	if d.serving {
		return nil
	}
	d.serving = true
	return d.serveOn(ctx, d.listener)
}

// serveOn lets clients in at a socket.
func (d *Daemon) serveOn(ctx context.Context, ln net.Listener) error {
	wait, err := d.server.Open(ln)
	if err != nil {
		return err
	}
	d.doors.Go(func() {
		if err := wait(ctx); err != nil {
			d.failed <- err // of one door there is one error at most
		}
	})
	return nil
}
