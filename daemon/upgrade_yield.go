package daemon

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/edgebus-io/edgebus/monitor"
)

// A program that has taken over may be no good after all: it finds a disk full, or a message that ends it. As
// long as there is anything left of the server before it, that one can come back. It keeps its sockets, on
// which nobody is refused meanwhile: who connects after the program's death waits in the system's queue until
// somebody accepts again.

const (
	// trialTime is how long whoever has asked for an upgrade waits to hear that it was one. No client is closed
	// in it.
	trialTime = time.Second
	// provingTime is how long a server stays ready to come back at least, even if all its clients have gone.
	// It is past what a program does at its start, such as dialling its hubs.
	provingTime = 5 * time.Second
	// lastWord is how long it may take to read what a program has said before its end; it is there already.
	lastWord = 100 * time.Millisecond
)

// A socket is one that is listened on, and the name of its door.
type socket struct {
	name string
	ln   net.Listener
}

// yield lets clients and links go to the program that has taken our place, and returns when they have and the
// program has proved to live. back: it has died, and we serve again.
func (d *Daemon) yield(ctx, serving context.Context, h *Heir) (back bool, err error) {
	d.tellElder("over") // whoever was there before us has nothing to wait for: if our heir dies, it is we who come back
	kept := d.keepSockets()
	defer func() {
		h.conn.Close()
		closeSockets(kept)
	}()
	seen, cancel := context.WithTimeout(ctx, pagesPatience)
	d.closeMonitor(seen) // whoever looks now wants to see the new one
	cancel()
	d.sayLame()
	leaving, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan error, 1)
	d.doors.Go(func() { gone <- d.server.HandOver(leaving) })
	proving := time.NewTimer(provingTime)
	defer proving.Stop()
	ended := h.ended
	for left, proved := false, false; !left || !proved; {
		select {
		case err = <-gone:
			left = true
			d.leaf.LetGo()
		case <-proving.C:
			proved = true
		case <-ended:
			if kept == nil || h.state != nil && h.state.Success() || h.saidOver() {
				closeSockets(kept) // nobody will accept there
				kept, proved, ended = nil, true, nil
				continue
			}
			cancel()
			if !left {
				<-gone
			}
			came := kept
			kept = nil
			err := d.comeBack(serving, h, h.how(), came)
			return err == nil, err
		case <-ctx.Done():
			return false, nil
		case <-d.stopping:
			return false, nil
		}
	}
	return false, err
}

// keepSockets has listeners of the same sockets that nobody accepts from. Nil: that cannot be.
func (d *Daemon) keepSockets() (kept []socket) {
	for _, each := range d.sockets {
		ln, err := keep(each.ln)
		if err != nil {
			d.logger.Warn("Upgrade: this server could not come back if the new one died", "error", err)
			closeSockets(kept)
			return nil
		}
		kept = append(kept, socket{each.name, ln})
	}
	return kept
}

func closeSockets(all []socket) {
	for _, each := range all {
		each.ln.Close()
	}
}

// saidOver reports whether a program that has ended was told to, or has given its place up itself.
func (h *Heir) saidOver() bool {
	h.conn.SetReadDeadline(time.Now().Add(lastWord))
	line, err := h.in.ReadSlice('\n')
	return err == nil && string(line) == "over\n"
}

// comeBack serves again, after the program that had taken our place has died.
func (d *Daemon) comeBack(serving context.Context, h *Heir, how string, kept []socket) error {
	d.logger.Error("Upgrade: the new server has died, and this one comes back", "process", h.PID(), "ended", how)
	d.reclaim(h)
	d.sockets = kept
	d.server.Return()
	d.leaf.Return()
	var err error
	for _, each := range kept {
		switch each.name {
		case doorClients:
			err = d.serveOn(serving, each.ln)
		case doorLeafnodes:
			d.serveLeafOn(serving, each.ln)
		case doorMonitoring:
			d.monitor.Store(monitor.New(d.monitorOptions, pages{d}.table()))
			d.serveMonitorOn(serving, each.ln)
		}
	}
	if err != nil {
		return fmt.Errorf("doors: %w", err)
	}
	d.notifier.speakUp()
	d.notifier.takeBack()
	d.notifier.say("Serving on " + d.shownAddress() + ", after an upgrade that has failed")
	d.logger.Info("Server is ready")
	d.heir.Store(nil)
	d.upgrading.Store(false)
	h.died <- how
	return nil
}
