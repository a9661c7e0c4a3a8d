package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

const (
	// commandTimeout bounds one run of --command.
	commandTimeout = time.Minute
	// maxEnvironment is the largest question put into an environment variable: Linux starts no
	// command with one above 128 KiB. Standard input has it all.
	maxEnvironment = 64 << 10
)

func replyCommand(p *program) *tool {
	return &tool{
		Name: "reply",
		Description: `Answers each message on SUBJECT: with BODY, with what was asked (--echo), or with what a
command prints (--command).

BODY may hold the templates of pub, and {{.Request}} for what was asked. A command finds the
question on its standard input, and subject and body (up to 64 KiB) in NATS_REQUEST_SUBJECT
and NATS_REQUEST_BODY; no part of the question is ever put into the command line.`,
		Flags: clientFlags(
			&boolFlag{Name: "echo", Usage: "answer with the question"},
			&stringFlag{Name: "command", Usage: "answer with what this shell `COMMAND` prints"},
			&stringFlag{Name: "queue", Aliases: []string{"q"}, Value: "NATS-RPLY-22", Usage: "`GROUP` to share the questions with"},
			&uint64Flag{Name: "count", Usage: "end after this `NUMBER` of answers"},
			&durationFlag{Name: "sleep", Usage: "`TIME` to wait before each answer"},
			&stringsFlag{Name: "header", Aliases: []string{"H"}, Usage: "`NAME:VALUE`, may be given again"},
		),
		Action: p.reply,
	}
}

func (p *program) reply(c *invocation) error {
	ways := 0
	for _, chosen := range []bool{c.Bool("echo"), c.String("command") != "", len(c.Args()) == 2} {
		if chosen {
			ways++
		}
	}
	if n := len(c.Args()); n < 1 || n > 2 || ways != 1 {
		return usageError("reply takes a subject, and one of: a body, --echo, --command")
	}
	header, err := headers(c.StringSlice("header"))
	if err != nil {
		return err
	}
	ctx, conn, end, err := p.connection(c, p.tellOfLine()...)
	if err != nil {
		return err
	}
	defer end()
	subject, queue := c.Arg(0), c.String("queue")
	questions := make(chan *client.Msg, client.DefaultQueueMessages)
	s, err := conn.SubscribeChan(subject, queue, questions)
	if err == nil && c.Uint64("count") > 0 {
		err = s.AutoUnsubscribe(c.Uint64("count"))
	}
	if err != nil {
		return err
	}
	if err := p.flush(ctx, c, conn); err != nil {
		return err
	}
	p.say("Listening on %q in group %q", subject, queue)
	most := c.Uint64("count")
	for n := uint64(1); most == 0 || n <= most; n++ {
		m, err := nextOf(ctx, conn, questions, 0)
		if m == nil {
			return err
		}
		p.say("[#%d] Received on subject %q", n, m.Subject)
		pause(ctx, c.Duration("sleep"))
		answer := &client.Msg{Header: header}
		if answer.Data, err = p.answerTo(ctx, c, m, int(n)); err != nil {
			p.say("%v", err)
			continue
		}
		if err := m.RespondMsg(answer); err != nil && !errors.Is(err, client.ErrNoReply) {
			p.say("Could not answer: %v", err)
		}
	}
	return p.flush(context.WithoutCancel(ctx), c, conn)
}

func (p *program) answerTo(ctx context.Context, c *invocation, m *client.Msg, n int) ([]byte, error) {
	switch {
	case c.Bool("echo"):
		return m.Data, nil
	case c.String("command") != "":
		return runCommand(ctx, c.String("command"), m)
	}
	return []byte(expand(c.Arg(1), n, string(m.Data))), nil
}

func runCommand(ctx context.Context, line string, m *client.Msg) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	run := exec.CommandContext(ctx, shell[0], shell[1], line)
	run.Stdin = bytes.NewReader(m.Data)
	run.Stderr = os.Stderr
	run.Env = append(os.Environ(), "NATS_REQUEST_SUBJECT="+m.Subject)
	if len(m.Data) <= maxEnvironment {
		run.Env = append(run.Env, "NATS_REQUEST_BODY="+string(bytes.ReplaceAll(m.Data, []byte{0}, nil)))
	}
	run.WaitDelay = time.Second
	out, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("command %q: %w", line, err)
	}
	return bytes.TrimSuffix(out, []byte("\n")), nil
}
