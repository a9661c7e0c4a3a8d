package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func whyCommand(p *program) *tool {
	return &tool{
		Name: "why",
		Description: `Asks a running server what would become of a message on SUBJECT, without sending one: may the user publish
it, what does a mapping make of it, who gets it here, does a hub or leaf want it, and if nobody gets it, why.

It reaches the server by its control socket, which the configuration names (control_socket; "edgebus up" does
it), and which only the user that runs the server may use.

Exit code 0: somebody gets it; 1: nobody does; 2: it could not be asked.`,
		Flags: []option{
			&stringFlag{Name: "from", Usage: "the `USER` that publishes; without one, permissions are not looked at"},
			&stringFlag{Name: "account", Usage: "the `ACCOUNT` that it is published in, if no user says so"},
			&stringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE` that the server runs with, which names its control socket"},
			dirFlag(),
			&stringFlag{Name: "control", EnvVars: []string{"EDGEBUS_CONTROL"}, Usage: "`PATH` of the control socket"},
			&boolFlag{Name: "json", Usage: "print JSON"},
			&durationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "`TIME` to wait for the answer"},
		},
		Action: p.why,
	}
}

// exitUnasked is for a question that could not be asked.
const exitUnasked = 2

func (p *program) why(c *invocation) error {
	if len(c.Args()) != 1 {
		return usageError("why takes one subject, such as sensors.kitchen.temperature")
	}
	socket, err := whySocket(c)
	if err != nil {
		return &exitError{exitUnasked, err}
	}
	ctx, stop := withInterrupt()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	question := daemon.WhyRequest{Subject: c.Arg(0), User: c.String("from"), Account: c.String("account")}
	answer, err := daemon.Control(ctx, socket, "why", question)
	if errors.Is(err, daemon.ErrNoServer) {
		err = fmt.Errorf("%w; is the server running, with this control_socket?", err)
	}
	var w daemon.Why
	if err == nil {
		err = json.Unmarshal(answer, &w)
	}
	if err != nil {
		return &exitError{exitUnasked, err}
	}
	if c.Bool("json") {
		_, err = fmt.Fprintf(p.stdout, "%s\n", answer)
	} else {
		_, err = io.WriteString(p.stdout, whyText(&w))
	}
	if err == nil && !w.Delivered {
		err = &exitError{code: exitFailed}
	}
	return err
}

// A fileError is what is wrong with a configuration.
type fileError struct{ error }

// whySocket finds the control socket of the server.
func whySocket(c *invocation) (string, error) {
	if path := c.String("control"); path != "" {
		return path, nil
	}
	path, err := configPath(c)
	if err == nil && path == "" {
		err = errors.New("say which server: its configuration with -c FILE, or its control socket with --control PATH")
	}
	if err != nil {
		return "", err
	}
	loaded, err := loadedFrom(path)
	if err != nil {
		return "", fileError{err}
	}
	defer loaded.Close()
	socket := loaded.Options.ControlSocket
	if socket == "" {
		return "", fmt.Errorf("%s names no control socket: add a line such as control_socket: /run/edgebus/control.sock, and start the server again", path)
	}
	return socket, nil
}

// whyText is the answer for people: the verdict, what to do, and how it comes about.
func whyText(w *daemon.Why) string {
	var b strings.Builder
	b.WriteString(clean(w.Verdict, maxVerdict) + "\n")
	if w.Remedy != "" {
		b.WriteString("  " + w.Remedy + "\n")
	}
	b.WriteString("\n")
	who := "anybody"
	if w.User != "" {
		who = fmt.Sprintf("user %q", clean(w.User, 64))
	}
	fmt.Fprintf(&b, "%s publishes to %q in account %s\n", who, w.Subject, clean(w.Account, 64))
	if w.Unasked {
		b.WriteString("permissions were not looked at: say --from USER\n")
	}
	for i := range w.Ways {
		whyWay(&b, w, &w.Ways[i])
	}
	for _, l := range w.Links {
		whyLink(&b, &l)
	}
	return b.String()
}

// maxVerdict bounds a line that may name many links.
const maxVerdict = 2000

func whyWay(b *strings.Builder, w *daemon.Why, way *daemon.WhyWay) {
	switch {
	case !way.Allowed:
		fmt.Fprintf(b, "refused: %q may not be published\n", way.Subject)
		return
	case way.Service:
		fmt.Fprintf(b, "as a request: %q in account %s\n", way.Subject, clean(way.Account, 64))
	case way.Percent != 0:
		fmt.Fprintf(b, "mapped: %d%% of the messages become %q\n", way.Percent, way.Subject)
	}
	for _, r := range way.To {
		fmt.Fprintf(b, "delivered to %s\n", recipientText(w, &r))
	}
	for _, g := range way.Groups {
		fmt.Fprintf(b, "delivered to one of %d of queue %q:\n", len(g.Members), clean(g.Queue, 64))
		for _, r := range g.Members {
			fmt.Fprintf(b, "  %s\n", recipientText(w, &r))
		}
	}
	if way.More > 0 {
		fmt.Fprintf(b, "and to %d more\n", way.More)
	}
	if way.Denied > 0 {
		fmt.Fprintf(b, "kept from %s, whose users may not have it\n", plural(way.Denied, "subscription"))
	}
}

// recipientText names a subscriber by all that is known of it.
func recipientText(w *daemon.Why, r *daemon.WhyRecipient) string {
	var b strings.Builder
	switch {
	case r.Link:
		fmt.Fprintf(&b, "link %d", r.CID)
	case r.CID == 0:
		b.WriteString("the server itself")
	default:
		fmt.Fprintf(&b, "client %d", r.CID)
	}
	if r.Name != "" {
		fmt.Fprintf(&b, " %q", clean(r.Name, 64))
	}
	if r.User != "" {
		fmt.Fprintf(&b, " of user %q", clean(r.User, 64))
	}
	if r.Account != w.Account {
		fmt.Fprintf(&b, " in account %s", clean(r.Account, 64))
	}
	fmt.Fprintf(&b, ", which has subscribed to %q", r.Filter)
	if r.Seen != "" {
		fmt.Fprintf(&b, " and sees it as %q", r.Seen)
	}
	return b.String()
}

func whyLink(b *strings.Builder, l *daemon.WhyLink) {
	what := "leaf"
	if l.Hub {
		what = "hub"
	}
	switch {
	case !l.Up:
		fmt.Fprintf(b, "%s %s is not joined: %s\n", what, l.URL, l.Reason)
		return
	case l.Sends:
		fmt.Fprintf(b, "sent to %s %q", what, clean(l.Name, 64))
	default:
		fmt.Fprintf(b, "not sent to %s %q: %s", what, clean(l.Name, 64), l.Reason)
	}
	if l.Takes {
		b.WriteString("; what is published there may come here\n")
	} else {
		b.WriteString("; what is published there may not come here\n")
	}
}
