package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func subCommand(p *program) *tool {
	return &tool{
		Name: "sub",
		Description: `Prints messages on standard output until it is interrupted, --count have come, or none
came for --wait.`,
		Flags: clientFlags(
			&stringFlag{Name: "queue", Usage: "`GROUP` to share the messages with"},
			&uint64Flag{Name: "count", Usage: "end after this `NUMBER` of messages"},
			&durationFlag{Name: "wait", Usage: "end when nothing came for this `TIME`"},
			&boolFlag{Name: "raw", Aliases: []string{"r"}, Usage: "print bodies only"},
			&boolFlag{Name: "headers-only", Usage: "print no bodies"},
			&boolFlag{Name: "subjects-only", Usage: "print one line a message, and no bodies"},
			&boolFlag{Name: "json", Usage: "print JSON, one line a message"},
		),
		Action: p.sub,
	}
}

func (p *program) sub(c *invocation) error {
	if len(c.Args()) == 0 {
		return usageError("sub takes one subject or more; quote wildcards such as '>'")
	}
	ctx, conn, end, err := p.connection(c, p.tellOfLine()...)
	if err != nil {
		return err
	}
	defer end()
	// One channel for all, so that messages of several subjects are printed as they came.
	arrived := make(chan *client.Msg, client.DefaultQueueMessages)
	queue, subjects := c.String("queue"), c.Args()
	for _, subject := range subjects {
		s, err := conn.SubscribeChan(subject, queue, arrived)
		if err == nil && len(subjects) == 1 && c.Uint64("count") > 0 {
			// Those of the group who stay get what we would not print.
			err = s.AutoUnsubscribe(c.Uint64("count"))
		}
		if err != nil {
			return err
		}
	}
	if err := p.flush(ctx, c, conn); err != nil {
		return err
	}
	for _, subject := range subjects {
		switch {
		case c.Bool("raw") || c.Bool("json"):
		case queue == "":
			p.say("Subscribing on %s", subject)
		default:
			p.say("Subscribing on %s with queue group %s", subject, queue)
		}
	}
	return p.printAll(ctx, c, conn, arrived)
}

func (p *program) printAll(ctx context.Context, c *invocation, conn *client.Conn, arrived chan *client.Msg) error {
	out := bufio.NewWriter(p.stdout)
	defer out.Flush()
	show := printing{raw: c.Bool("raw"), headersOnly: c.Bool("headers-only"), subjectsOnly: c.Bool("subjects-only"), json: c.Bool("json")}
	most, wait := c.Uint64("count"), c.Duration("wait")
	for n := uint64(1); most == 0 || n <= most; n++ {
		if len(arrived) == 0 {
			if err := out.Flush(); err != nil {
				return fmt.Errorf("writing messages: %w", err)
			}
		}
		m, err := nextOf(ctx, conn, arrived, wait)
		if m == nil {
			return err
		}
		if err := show.message(out, m, n); err != nil {
			return err
		}
	}
	return nil
}

// nextOf waits for a message. It returns none when it is time to end.
func nextOf(ctx context.Context, conn *client.Conn, arrived <-chan *client.Msg, wait time.Duration) (*client.Msg, error) {
	var silence <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		silence = timer.C
	}
	select {
	case m := <-arrived:
		return m, nil
	case <-silence:
		return nil, nil
	case <-ctx.Done():
		return nil, nil
	case <-conn.Done():
		return nil, errors.Join(client.ErrClosed, conn.LastError())
	}
}

// printing says how messages are shown; zero is the way of the nats tool.
type printing struct{ raw, headersOnly, subjectsOnly, json bool }

func (s printing) message(w io.Writer, m *client.Msg, number uint64) error {
	if s.json {
		line, err := lineOf(newMessageLine(m, number, !s.headersOnly && !s.subjectsOnly))
		w.Write(line)
		return err
	}
	if s.raw {
		fmt.Fprintf(w, "%s\n", m.Data)
		return nil
	}
	if m.Reply == "" {
		fmt.Fprintf(w, "[#%d] Received on %q\n", number, m.Subject)
	} else {
		fmt.Fprintf(w, "[#%d] Received on %q with reply %q\n", number, m.Subject, m.Reply)
	}
	if s.subjectsOnly {
		return nil
	}
	printHeader(w, m)
	switch {
	case s.headersOnly:
	case len(m.Data) == 0:
		fmt.Fprint(w, "nil body\n\n")
	default:
		fmt.Fprintf(w, "%s\n\n", m.Data)
	}
	return nil
}

func printHeader(w io.Writer, m *client.Msg) {
	if m.Status != 0 {
		fmt.Fprintf(w, "Status: %d\n", m.Status)
	}
	if m.Description != "" {
		fmt.Fprintf(w, "Description: %s\n", m.Description)
	}
	for _, name := range m.Header.Names() {
		for _, value := range m.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, value)
		}
	}
	if len(m.Header) > 0 || m.Status != 0 {
		fmt.Fprintln(w)
	}
}
