package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// errRemotes ends a check that has found a hub which cannot be joined. What is the matter has been said.
var errRemotes = errors.New("not every hub can be joined")

// checkRemotes tries every hub that a configuration names, and says in a sentence how each went.
func (p *program) checkRemotes(w io.Writer, loaded *daemon.Loaded, found *checkResult) (tried int, err error) {
	ctx, stop := withInterrupt()
	defer stop()
	trials, err := loaded.TryRemotes(ctx)
	failed := 0
	for _, t := range trials {
		found.Hubs = append(found.Hubs, checkHub{
			URL: t.URL, Up: t.Up, Hub: t.Hub, HubVersion: t.HubVersion, Address: t.Address, Secure: t.Secure,
			Account: t.Account, Compression: t.Compression, RTT: t.RTT.Seconds(), Reason: t.Reason, Remedy: t.Remedy,
		})
		if t.Up {
			secured := "without TLS"
			if t.Secure {
				secured = "over TLS"
			}
			fmt.Fprintf(w, "joined %s: hub %s (NATS %s) at %s %s, its account %s with ours %s, compression %s, round trip %v\n",
				t.URL, t.Hub, t.HubVersion, t.Address, secured, t.TheirAccount, t.Account, t.Compression, t.RTT.Round(10*time.Microsecond))
			continue
		}
		failed++
		fmt.Fprintf(w, "cannot join %s: %s\n", t.URL, t.Reason)
		if t.Remedy != "" {
			fmt.Fprintf(w, "  %s\n", t.Remedy)
		}
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%w: %d of %d attempts failed", errRemotes, failed, len(trials))
	}
	return len(trials), err
}
