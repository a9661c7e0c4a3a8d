package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func requestCommand(p *program) *tool {
	return &tool{
		Name: "request",
		Description: `Publishes BODY, or what comes on standard input, to SUBJECT and prints the answer.

Fails when nobody listens, and when no answer came within --timeout.`,
		Flags: clientFlags(
			&intFlag{Name: "replies", Value: 1, Usage: "`NUMBER` of answers to wait for; 0: all until --timeout or --reply-timeout"},
			&durationFlag{Name: "reply-timeout", Value: 300 * time.Millisecond, Usage: "`TIME` between answers, when more than one is waited for"},
			&stringsFlag{Name: "header", Aliases: []string{"H"}, Usage: "`NAME:VALUE`, may be given again"},
			&intFlag{Name: "count", Value: 1, Usage: "`NUMBER` of requests, one after the other"},
			&boolFlag{Name: "raw", Aliases: []string{"r"}, Usage: "print bodies only"},
			&boolFlag{Name: "json", Usage: "print JSON, one line an answer, times in seconds"},
			&boolFlag{Name: "force-stdin", Usage: "read the body from standard input even if it is a terminal"},
			&boolFlag{Name: "templates", Value: true, Usage: "replace templates, see pub; --templates=false leaves them"},
		),
		Action: p.request,
	}
}

func (p *program) request(c *invocation) error {
	if n := len(c.Args()); n < 1 || n > 2 {
		return usageError("request takes a subject and a body; a body of several words needs quotes")
	}
	if c.Int("replies") < 0 || c.Duration("reply-timeout") <= 0 {
		return usageError("--replies must not be negative, and --reply-timeout must be above zero")
	}
	draft, err := p.draft(c)
	if err != nil {
		return err
	}
	refusal, refuse := context.WithCancelCause(context.Background())
	defer refuse(nil)
	ctx, conn, end, err := p.connection(c, client.OnError(func(_ *client.Conn, _ *client.Subscription, err error) {
		if errors.Is(err, client.ErrPermission) {
			refuse(err)
		}
	}))
	if err != nil {
		return err
	}
	defer end()
	for n := 1; n <= c.Int("count") && ctx.Err() == nil; n++ {
		if err := p.ask(ctx, c, conn, draft.message(n), refusal); err != nil {
			return err
		}
	}
	return nil
}

// ask publishes one question and prints its answers. refusal is over, and says why, when the server does not
// let us ask, or listen for answers.
func (p *program) ask(ctx context.Context, c *invocation, conn *client.Conn, m *client.Msg, refusal context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	defer context.AfterFunc(refusal, cancel)()
	m.Reply = conn.NewInbox()
	answers, err := conn.SubscribeSync(m.Reply, "")
	if err != nil {
		return err
	}
	defer answers.Unsubscribe()
	raw, asJSON, want := c.Bool("raw"), c.Bool("json"), c.Int("replies")
	if !raw && !asJSON {
		p.say("Sending request on %q", m.Subject)
	}
	began := time.Now()
	if err := conn.PublishMsg(m); err != nil {
		return tooLarge(err, conn, m)
	}
	for got := 0; want == 0 || got < want; got++ {
		answer, err := nextAnswer(ctx, answers, got, c.Duration("reply-timeout"))
		switch {
		case err != nil && refusal.Err() != nil:
			return inboxHint(c, m.Reply, context.Cause(refusal))
		case err == nil && answer.IsNoResponders():
			return fmt.Errorf("no responders: nobody listens on %q", m.Subject)
		case err == nil && asJSON:
			line := newMessageLine(answer, uint64(got+1), true)
			line.RTT = time.Since(began).Seconds()
			text, err := lineOf(line)
			if err == nil {
				_, err = p.stdout.Write(text)
			}
			if err != nil {
				return err
			}
		case err == nil && raw:
			fmt.Fprintf(p.stdout, "%s\n", answer.Data)
		case err == nil:
			p.say("Received with rtt %v", time.Since(began).Round(time.Microsecond))
			printHeader(p.stdout, answer)
			fmt.Fprintf(p.stdout, "%s\n\n", answer.Data)
		case errors.Is(err, context.DeadlineExceeded) && want == 0 && got > 0:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			if complaint := conn.LastError(); complaint != nil {
				return complaint
			}
			return fmt.Errorf("%d of %d answers came in time; --timeout waits longer", got, max(want, 1))
		default:
			return err
		}
	}
	return nil
}

func nextAnswer(ctx context.Context, answers *client.Subscription, got int, pause time.Duration) (*client.Msg, error) {
	if got > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pause)
		defer cancel()
	}
	return answers.NextMsg(ctx)
}

// inboxHint says what to do where the server does not let us listen for answers.
func inboxHint(c *invocation, inbox string, err error) error {
	if !strings.Contains(err.Error(), "Subscription to \""+inbox+"\"") {
		return err
	}
	own := "_INBOX_NAME"
	if name := userName(c); name != "" {
		own = deviceInbox(name)
	}
	return fmt.Errorf("%w; answers could not come in: say with --inbox-prefix where this user may listen (devices of \"edgebus device add\": --inbox-prefix %s)", err, own)
}

// userName is who the command line logs in as; empty: a key or a file says it.
func userName(c *invocation) string {
	if user := c.String("user"); user != "" {
		return user
	}
	first, _, _ := strings.Cut(c.String("server"), ",")
	if u, err := url.Parse(strings.TrimSpace(first)); err == nil {
		return u.User.Username()
	}
	return ""
}
