package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/monitor"
)

// listenMonitor takes the address of the pages, if there is to be one.
func (d *Daemon) listenMonitor() error {
	o := &d.options.Monitor
	at, scheme := o.HTTP, "http"
	var secure *tls.Config
	switch {
	case o.HTTPS.Port != 0:
		at, scheme, secure = o.HTTPS, "https", d.pagesTLS()
	case o.HTTP.Port == 0:
		return nil
	}
	host := at.Host
	if host == "" {
		host = d.host
	}
	ln, err := d.openDoor(doorMonitoring, host, at.Port)
	if errors.Is(err, errTooWide) {
		return fmt.Errorf("%s: %w (%s)", scheme, err, listenRemedy(err))
	}
	if err != nil {
		return fmt.Errorf("%s: %w (is another server running there? choose another port with %s_port)", scheme, err, scheme)
	}
	d.monitorOptions = monitor.Options{BasePath: o.BasePath, TLS: secure, Logger: d.logger, Authorize: d.mayLook}
	d.monitor.Store(monitor.New(d.monitorOptions, pages{d}.table()))
	d.monitorListener, d.sockets = ln, append(d.sockets, socket{doorMonitoring, ln})
	d.logger.Info("Starting " + scheme + " monitor on " + ln.Addr().String())
	if warning := d.options.openPages(host, at); warning != "" {
		d.logger.Warn(warning)
	}
	return nil
}

// serveMonitor serves pages until ctx is over.
func (d *Daemon) serveMonitor(ctx context.Context) {
	if d.monitorListener == nil {
		return
	}
	d.monitorServing = true
	d.serveMonitorOn(ctx, d.monitorListener)
}

// serveMonitorOn serves pages at a socket.
func (d *Daemon) serveMonitorOn(ctx context.Context, ln net.Listener) {
	pages := d.monitor.Load()
	d.doors.Go(func() {
		if err := pages.Serve(ctx, ln); err != nil {
			d.logger.Error("Monitoring has ended", "error", err)
		}
	})
}

// closeMonitor ends the pages, last of all doors: how the server stops can be watched.
func (d *Daemon) closeMonitor(ctx context.Context) error {
	switch {
	case d.monitorListener == nil:
		return nil
	case !d.monitorServing:
		return d.monitorListener.Close()
	}
	return d.monitor.Load().Shutdown(ctx)
}

// monitorAddress is what the page about the server shows of its own address.
func (d *Daemon) monitorAddress() (host string, port, securePort int) {
	o := &d.shown.Load().options.Monitor
	host, port, securePort = o.HTTP.Host, o.HTTP.Port, o.HTTPS.Port
	if securePort != 0 {
		host = o.HTTPS.Host
	}
	if host == "" {
		host = d.host
	}
	if d.monitorListener == nil {
		return host, port, securePort
	}
	if tcp, ok := d.monitorListener.Addr().(*net.TCPAddr); ok {
		if securePort != 0 {
			return host, 0, tcp.Port
		}
		return host, tcp.Port, 0
	}
	return host, port, securePort
}

// maxSlowViewers bounds those who wait because of failed logins from their address. There are only 64
// connections to pages; whoever guesses must not have them all.
const maxSlowViewers = 8

// mayLook asks for the user and password that are configured now. Hashes are compared one after the
// other: strangers must not keep all processors busy.
func (d *Daemon) mayLook(from netip.Addr, user, password string) bool {
	shown := d.shown.Load()
	if shown.viewers == nil {
		return true
	}
	given := auth.Credentials{User: user, Password: password, Remote: from}
	most := shown.options.Server.MaxFailedLogins
	if !d.slowViewer(&given, most) {
		return false
	}
	_, slow, err := shown.viewers.Authenticate(given)
	if slow != nil {
		d.hashing.Lock()
		_, err = slow()
		d.hashing.Unlock()
	}
	d.slowdown.Note(&given, err, most, engine.Now())
	return err == nil
}

// slowViewer waits as long as failed logins from an address make it. False: too many wait.
func (d *Daemon) slowViewer(given *auth.Credentials, most int) bool {
	wait, ok := d.slowdown.Begin(given, most, engine.Now())
	if wait == 0 {
		return ok
	}
	defer d.slowdown.Waited(given.Remote)
	defer d.slowViewers.Add(-1)
	if d.slowViewers.Add(1) > maxSlowViewers {
		return false
	}
	select {
	case <-time.After(wait):
	case <-d.ending:
	}
	return true
}

// pagesTLS is the configuration of clients' listeners as it is now, but that nobody has to show a
// certificate: browsers and dashboards have none.
func (d *Daemon) pagesTLS() *tls.Config {
	config := d.certs.Config().Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := d.shown.Load().certs.Config().GetConfigForClient(hello)
		if err != nil || chosen == nil {
			return nil, err
		}
		chosen = chosen.Clone()
		chosen.ClientAuth, chosen.VerifyConnection, chosen.VerifyPeerCertificate = tls.NoClientCert, nil, nil
		return chosen, nil
	}
	return config
}

// errNotListening is what the health page says before there is a listener, in nats-server's words.
var errNotListening = errors.New("failed to be ready for connections after 1ms: server: not ok")
