package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// stopDeadline bounds the stop: whoever waits for us, systemd for one, kills after a while.
const stopDeadline = 10 * time.Second

// A step is one line of the lists below.
type step struct {
	what string
	do   func() error
}

// Run starts everything, serves until ctx is over, Stop or LameDuck is called or a door fails, and
// stops everything. It can be called once.
func (d *Daemon) Run(ctx context.Context) error {
	serving, closeAll := context.WithCancel(context.WithoutCancel(ctx))
	d.closeAll, d.ending = closeAll, serving.Done()

	// Bottom up, doors last.
	for _, s := range []step{
		{"memory", func() error {
			paceCollector(d.options.MemoryLimit)
			d.doors.Go(func() { trim(serving) })
			d.doors.Go(func() { d.watchCerts(serving) })
			return nil
		}},
		{"broker", d.makeBroker},
		{"engine", d.startEngine},
		{"server", d.makeServer},
		{"leaf links", d.makeLeaf},
		{"announce", d.announce},
		{"system", func() error {
			d.callThrough(d.directory)
			return d.startSystem(&d.options, d.directory)
		}},
		{"", d.listen}, // these seven name what they are about
		{"", d.listenLeaf},
		{"", d.listenMonitor},
		{"", func() error { return d.follow(serving) }},
		{"", d.orWithout(d.listenControl)},
		{"", d.orWithout(d.writePid)},
		{"", d.orWithout(d.writePorts)},
		{"doors", func() error { return d.serve(serving) }},
		{"doors", func() error { d.serveLeaf(serving); d.serveMonitor(serving); return nil }},
	} {
		if err := s.do(); err != nil {
			if s.what != "" {
				err = fmt.Errorf("%s: %w", s.what, err)
			}
			d.sayFatal(err)
			return errors.Join(err, d.stop())
		}
	}
	d.open()
	d.serveControl()
	d.report(serving)
	d.tellElder("taken")
	err := d.wait(ctx, serving)
	if err != nil {
		d.sayFatal(err)
	} else {
		d.tellElder("over") // if it is still there, our end is no reason to come back
	}
	return errors.Join(err, d.stop())
}

// sayFatal writes why we end into a log that is kept somewhere. Whoever called Run shows the error
// on standard error, so that a log which goes there does not need it again.
func (d *Daemon) sayFatal(err error) {
	if !d.log.IsStderr() {
		d.logger.Log(context.Background(), LevelFatal, err.Error())
	}
}

// stop is the other list: doors first, what they stand on after them. It works however far the
// start has come.
func (d *Daemon) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopDeadline)
	defer cancel()
	d.logger.Info("Initiating Shutdown...")
	d.notifier.stopping()
	defer d.notifier.close()
	d.mu.Lock()
	d.running = false
	d.mu.Unlock()

	var errs []error
	for _, s := range []step{
		{"ports file", func() error { d.removePorts(); return nil }},
		{"system", func() error { return d.stopSystem(ctx) }},
		{"doors", d.closeDoors},
		{"server", func() error {
			if d.server == nil {
				return nil
			}
			return d.server.Shutdown(ctx)
		}},
		{"leaf links", func() error { return d.closeLeaf(ctx) }},
		{"monitor", func() error { return d.closeMonitor(ctx) }},
		{"doors", func() error { d.doors.Wait(); return nil }},
		{"engine", func() error {
			if d.engine == nil {
				return nil
			}
			return d.engine.Shutdown(ctx)
		}},
		{"accounts", func() error { d.directory.Close(); return nil }},
		{"pid file", func() error {
			d.handing.Lock()
			defer d.handing.Unlock()
			d.removePid()
			return nil
		}},
		{"control socket", d.closeControl},
	} {
		if err := s.do(); err != nil {
			errs = append(errs, fmt.Errorf("stop: %s: %w", s.what, err))
		}
	}
	d.logger.Info("Server Exiting..")
	d.log.Close()
	return errors.Join(errs...)
}

// plaintextPasswords is in nats-server's words.
const plaintextPasswords = "Plaintext passwords detected, use nkeys or bcrypt"

// announce writes the head of the log, as nats-server does.
func (d *Daemon) announce() error {
	o := &d.options
	d.logger.Info("Starting edgebus")
	if o.Version != "" {
		d.logger.Info("  Version:  " + o.Version)
	}
	d.logger.Info("  Go:       " + runtime.Version())
	d.logger.Info("  Name:     " + d.server.Name())
	d.logger.Info("  ID:       " + d.server.ID())
	if o.ConfigFile != "" {
		config := o.ConfigFile
		if digest := d.shown.Load().digest; digest != "" {
			config += " (" + digest + ")" // as nats-server and -t show it
		}
		d.logger.Info("  Config:   " + config)
	}
	if d.directory.HasPlaintext() {
		d.logger.Warn(plaintextPasswords)
	}
	if warning := nameless(d.directory.WithoutPassword()); warning != "" {
		d.logger.Warn(warning)
	}
	for _, warning := range d.warnings {
		d.logger.Warn(warning)
	}
	if flaw := auth.ClockFlaw(d.clock()); flaw != "" {
		d.logger.Warn(flaw + ": until it is set, certificates and credentials with dates in them are not valid")
	}
	return nil
}

// open says that clients can connect.
func (d *Daemon) open() {
	d.options.budget().log(d.logger, d.options.MemoryLimit)
	if text := d.options.fewDescriptors(maxDescriptors()); text != "" {
		d.logger.Info(text)
	}
	d.logger.Info("Listening for client connections on " + d.shownAddress())
	d.announceTLS()
	d.logger.Info("Server is ready")
	shedProgram()
	d.mu.Lock()
	d.running = true
	d.mu.Unlock()
	close(d.ready)
}

// announceTLS says what clients have to do about TLS, in nats-server's words.
func (d *Daemon) announceTLS() {
	o := &d.options
	switch {
	case o.TLS == nil:
		return
	case o.AllowNonTLS && !o.onlyTLSFirst():
		d.logger.Info("TLS available for client connections")
	default:
		d.logger.Info("TLS required for client connections")
	}
	if o.onlyTLSFirst() {
		d.logger.Warn("Clients that are not using \"TLS Handshake First\" option will fail to connect")
	}
}

// shownAddress is the host as it was asked for: the system says [::] for all addresses.
func (d *Daemon) shownAddress() string {
	if tcp, ok := d.address.(*net.TCPAddr); ok {
		return net.JoinHostPort(d.host, strconv.Itoa(tcp.Port))
	}
	return d.address.String()
}

// wait is all that happens between start and stop. It may be told that another server has taken our place,
// and that it has died.
func (d *Daemon) wait(ctx, serving context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.stopping:
			return nil
		case err := <-d.failed:
			return err
		case <-d.lame:
			return d.leave(ctx)
		case h := <-d.heirs:
			if back, err := d.yield(ctx, serving, h); !back {
				return err
			}
		}
	}
}

// leave lets the clients go elsewhere.
func (d *Daemon) leave(ctx context.Context) error {
	d.sayLame()
	leaving, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	d.doors.Go(func() { done <- d.server.LameDuck(leaving) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-d.stopping:
	}
	return nil
}

// sayLame tells everybody but the clients that the doors close.
func (d *Daemon) sayLame() {
	d.logger.Info("Entering lame duck mode, stop accepting new clients")
	d.notifier.say("Lame duck: clients are being told to go elsewhere")
	if s := d.system.Load(); s != nil {
		s.LameDuck()
	}
	d.leaf.LameDuck()
}

// closeDoors ends serve, or closes the listener that it was never given.
func (d *Daemon) closeDoors() error {
	d.closeAll()
	if d.listener == nil || d.serving {
		return nil
	}
	return d.listener.Close()
}
