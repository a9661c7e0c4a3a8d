package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
)

const (
	// watchdogShare of the supervisor's patience passes between two signs of life, as sd_watchdog_enabled(3)
	// advises.
	watchdogShare = 2
	// watchdogLeast is how long it is at the least: who wants to hear more often wants more than is possible.
	watchdogLeast = time.Millisecond
	// statusEvery is how often at the most the supervisor is told what goes on.
	statusEvery = 10 * time.Second
)

// report tells the supervisor that the server is ready, and from then on that it is alive, if it wants to
// know. Without a watchdog nobody wakes up for it.
func (d *Daemon) report(ctx context.Context) {
	d.notifier.ready()
	d.notifier.say("Serving on " + d.shownAddress())
	if d.notifier != nil && d.inheritance.watchdog > 0 {
		d.doors.Go(func() { d.feedWatchdog(ctx, d.inheritance.watchdog) })
	}
}

// feedWatchdog gives a sign of life each time all loops have given theirs, until ctx is over. A process in
// which one loop is stuck looks well from outside, and a part of its clients hear nothing any more: it is
// better started again.
func (d *Daemon) feedWatchdog(ctx context.Context, patience time.Duration) {
	pause := max(patience/watchdogShare, watchdogLeast)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	rate := meter{}
	rate.read(d.received(), time.Now())
	for {
		asked, cancel := context.WithTimeout(ctx, pause)
		err := d.engine.Turning(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			d.notifier.tell("WATCHDOG=1")
		default:
			d.logger.Error("The watchdog is not fed, since a part of the server does not move; the supervisor will start it anew", "error", err)
		}
		if now := time.Now(); now.Sub(rate.at) >= statusEvery {
			d.notifier.say(d.statusLine(rate.read(d.received(), now)))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// received counts the messages that clients have sent.
func (d *Daemon) received() uint64 { return d.server.Snapshot().(*server.Snapshot).InMsgs }

// A meter makes a rate of a count.
type meter struct {
	at    time.Time
	count uint64
}

// read notes what the count is now, and returns what it has grown by in a second since the last time.
func (m *meter) read(count uint64, now time.Time) (perSecond float64) {
	if passed := now.Sub(m.at); passed > 0 && count >= m.count {
		perSecond = float64(count-m.count) / passed.Seconds()
	}
	m.at, m.count = now, count
	return perSecond
}

// statusLine is what "systemctl status" shows.
func (d *Daemon) statusLine(perSecond float64) string {
	var b strings.Builder
	clients := d.server.Status().Connections
	fmt.Fprintf(&b, "%d clients, %.0f messages/s", clients, perSecond)
	if links, _ := d.leaf.Counts(); links > 0 {
		fmt.Fprintf(&b, ", %d leaf links", links)
	}
	remotes := (pages{d}).leafz(monitor.LeafzOptions{}).Remotes
	up := 0
	for i := range remotes {
		if remotes[i].Up {
			up++
		}
	}
	switch {
	case len(remotes) == 0:
	case up == len(remotes):
		b.WriteString(", uplink joined")
	default:
		fmt.Fprintf(&b, ", %d of %d uplinks joined", up, len(remotes))
	}
	return b.String()
}
