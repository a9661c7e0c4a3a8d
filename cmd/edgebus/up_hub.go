package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// An uplink is a hub as the command line names it.
type uplink struct {
	hub   string // its URL; empty: none
	creds string // an absolute path; empty: none
}

// newUplink completes what people type. hub may be empty.
func newUplink(hub, creds string) (u uplink, err error) {
	if hub == "" {
		return u, nil
	}
	if u.hub, err = hubURL(hub); err != nil || creds == "" {
		return u, err
	}
	if u.creds, err = filepath.Abs(creds); err != nil {
		return u, err
	}
	if _, err := os.Stat(u.creds); err != nil {
		return u, fmt.Errorf("--creds: %w", err)
	}
	if strings.ContainsAny(u.creds, "\"\\\n") {
		return u, usageError("--creds: a path with quotes or backslashes cannot stand in a configuration")
	}
	return u, nil
}

const uplinkHead = `# The hub that this server joins. Written by "edgebus up --hub URL --creds FILE".
`

// text is the file about the hub.
func (u uplink) text() []byte {
	if u.hub == "" {
		return []byte(uplinkHead + "remotes: [ ]\n")
	}
	line := fmt.Sprintf("urls: [ \"%s\" ]", u.hub)
	if u.creds != "" {
		line += fmt.Sprintf(", credentials: \"%s\"", u.creds)
	}
	return []byte(uplinkHead + "remotes: [\n  { " + line + " }\n]\n")
}

// hubURL completes what people type: a name alone is a hub at the usual port.
func hubURL(text string) (string, error) {
	whole := text
	if !strings.Contains(whole, "://") {
		whole = "nats-leaf://" + whole
	}
	u, err := url.Parse(whole)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(whole, "\"\\ \t\n") {
		return "", usageError("--hub wants an address such as tls://hub.example.com:7422") // it may hold a password
	}
	if u.Port() == "" && (u.Scheme == "tls" || strings.HasPrefix(u.Scheme, "nats")) {
		u.Host += ":7422"
	}
	return u.String(), nil
}

// changeHub writes another hub and joins it. Under lock.
func (s site) changeHub(ctx context.Context, hub, creds string, force bool) error {
	u, err := newUplink(hub, creds)
	if err != nil {
		return err
	}
	text := u.text()
	if before, err := os.ReadFile(s.uplink()); err == nil && !force && !bytes.Equal(before, text) {
		if err := s.mayReplaceHub(ctx, u); err != nil {
			return err
		}
	}
	_, err = s.change(ctx, s.uplink(), text, nil)
	return err
}

// hubPatience is how long a hub may take to let us in before another one gives way to it.
const hubPatience = 15 * time.Second

// mayReplaceHub refuses a hub that cannot be joined where there is one already, which may work: a slip in an
// address must not cut a site off. A first hub may be one that will be there later.
func (s site) mayReplaceHub(ctx context.Context, u uplink) error {
	if u.hub == "" {
		return nil
	}
	var present daemon.RemoteOptions
	loaded, err := daemon.Load(s.config(), func(o *daemon.Options) {
		if len(o.Leaf.Remotes) == 0 {
			return
		}
		present = o.Leaf.Remotes[0]
		var next daemon.RemoteOptions
		next.URLs, next.Credentials = []string{u.hub}, u.creds
		o.Leaf.Remotes = []daemon.RemoteOptions{next}
	})
	if err != nil {
		return err
	}
	defer loaded.Close()
	if len(present.URLs) == 0 {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, hubPatience)
	defer cancel()
	trials, err := loaded.TryRemotes(soon)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer within %v", hubPatience)
	case err != nil:
	case len(trials) == 1 && !trials[0].Up:
		err = errors.New(trials[0].Reason)
		if remedy := trials[0].Remedy; remedy != "" {
			err = fmt.Errorf("%w (%s)", err, remedy)
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s cannot be joined: %w; the hub is still %s; --force takes the new one all the same", hubShown(u.hub), err, hubShown(present.URLs[0]))
}

// hubShown is the address of a hub without secrets.
func hubShown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the one before"
	}
	u.User = nil
	return u.String()
}
