package main

import (
	"github.com/edgebus-io/edgebus/client"
)

// A draft is what pub and request make their messages from.
type draft struct {
	subject, body string
	header        client.Header
	templates     bool
}

// draft reads the options that both commands have. The subject is the first argument.
func (p *program) draft(c *invocation) (*draft, error) {
	if c.Int("count") < 1 {
		return nil, usageError("--count must be above zero")
	}
	d := &draft{subject: c.Arg(0), templates: c.Bool("templates")}
	if err := checkTarget(d.subject); err != nil {
		return nil, err
	}
	var err error
	if d.body, err = p.body(c); err != nil {
		return nil, err
	}
	if d.header, err = headers(c.StringSlice("header")); err != nil {
		return nil, err
	}
	return d, nil
}

// message is the n-th message, counted from 1, its templates replaced.
func (d *draft) message(n int) *client.Msg {
	m := &client.Msg{Subject: d.subject, Header: d.header, Data: []byte(d.body)}
	if d.templates {
		m.Subject, m.Data = expand(d.subject, n, ""), []byte(expand(d.body, n, ""))
	}
	return m
}
