package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func pubCommand(p *program) *tool {
	return &tool{
		Name: "pub",
		Description: `Publishes BODY, or what comes on standard input, to SUBJECT.

Both may hold {{.Count}}, {{.TimeStamp}}, {{.Time}}, {{.Unix}}, {{.UnixNano}}, {{.ID}} and
{{Random 10 20}}, which are replaced for each message.`,
		Flags: clientFlags(
			&intFlag{Name: "count", Value: 1, Usage: "`NUMBER` of messages"},
			&durationFlag{Name: "sleep", Usage: "`TIME` between messages"},
			&stringFlag{Name: "reply", Usage: "`SUBJECT` for answers"},
			&stringsFlag{Name: "header", Aliases: []string{"H"}, Usage: "`NAME:VALUE`, may be given again"},
			&boolFlag{Name: "force-stdin", Usage: "read the body from standard input even if it is a terminal"},
			&boolFlag{Name: "templates", Value: true, Usage: "replace templates; --templates=false leaves them"},
			&boolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing"},
		),
		Action: p.pub,
	}
}

func (p *program) pub(c *invocation) error {
	if n := len(c.Args()); n < 1 || n > 2 {
		return usageError("pub takes a subject and a body; a body of several words needs quotes")
	}
	draft, err := p.draft(c)
	if err != nil {
		return err
	}
	ctx, conn, end, err := p.connection(c)
	if err != nil {
		return err
	}
	defer end()

	count, sleep := c.Int("count"), c.Duration("sleep")
	each := (count == 1 || sleep > 0) && !c.Bool("quiet")
	done := 0
	for ; done < count && ctx.Err() == nil; done++ {
		m := draft.message(done + 1)
		m.Reply = c.String("reply")
		if err := conn.PublishMsg(m); err != nil {
			return tooLarge(err, conn, m)
		}
		if each {
			p.say("Published %d bytes to %q", len(m.Data), m.Subject)
		}
		if sleep > 0 && done+1 < count {
			if err := p.flush(ctx, c, conn); err != nil {
				return err
			}
			pause(ctx, sleep)
		}
	}
	if err := p.flush(context.WithoutCancel(ctx), c, conn); err != nil {
		return err
	}
	if !each && !c.Bool("quiet") {
		p.say("Published %d messages to %q", done, draft.subject)
	}
	return nil
}

// tooLarge adds the limit to an error that is about it.
func tooLarge(err error, conn *client.Conn, m *client.Msg) error {
	if errors.Is(err, client.ErrMaxPayload) {
		return fmt.Errorf("%w: the body has %d bytes, and max_payload of the server is %d, headers included", err, len(m.Data), conn.MaxPayload())
	}
	return err
}

// flush waits until the bus has everything, and returns what it complained of meanwhile.
func (p *program) flush(ctx context.Context, c *invocation, conn *client.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	if err := conn.Flush(ctx); err != nil {
		return fmt.Errorf("the bus did not confirm that it has the messages: %w", err)
	}
	return conn.LastError()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
