package client

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
)

// requests are the questions of one connection that wait for an answer. One wildcard
// subscription serves them all: the last token of the reply subject says whose answer it is.
type requests struct {
	opening sync.Mutex // held while the subscription is made, which may wait for the writer

	mu      sync.Mutex
	prefix  string // "_INBOX.<random>."; empty until the first request
	next    uint64
	waiting map[uint64]chan *Msg // capacity 1 each
}

const (
	tokenBase          = 36
	statusNoResponders = 503
)

// NewInbox makes up a subject that nobody else uses.
func (c *Conn) NewInbox() string { return c.options.inboxPrefix + "." + rand.Text() }

// Request publishes data and waits for the first answer. It returns ErrNoResponders if the
// server says that nobody listens. A request without an answer ends with ctx, so ctx should
// have a deadline.
func (c *Conn) Request(ctx context.Context, subject string, data []byte) (*Msg, error) {
	return c.RequestMsg(ctx, &Msg{Subject: subject, Data: data})
}

// RequestMsg is Request with headers. The reply subject of m is not used.
func (c *Conn) RequestMsg(ctx context.Context, m *Msg) (*Msg, error) {
	token, reply, answer, err := c.openRequest()
	if err != nil {
		return nil, err
	}
	defer c.requests.forget(token)
	if err := c.send(m.Subject, reply, m.Header, m.Data, nil); err != nil {
		return nil, err
	}
	select {
	case got := <-answer:
		if got.IsNoResponders() {
			return nil, wrap("request to", m.Subject, ErrNoResponders)
		}
		return got, nil
	case <-ctx.Done():
		return nil, wrap("request to", m.Subject, ctx.Err())
	case <-c.stopped:
		return nil, wrap("request to", m.Subject, ErrClosed)
	}
}

// IsNoResponders reports whether the message is the server's own answer that nobody listens.
func (m *Msg) IsNoResponders() bool { return m.Status == statusNoResponders && len(m.Data) == 0 }

func (c *Conn) openRequest() (token uint64, reply string, answer chan *Msg, err error) {
	r := &c.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.prefix == "" {
		r.mu.Unlock()
		err = c.openInbox()
		r.mu.Lock()
		if err != nil {
			return 0, "", nil, err
		}
	}
	r.next++
	answer = make(chan *Msg, 1)
	r.waiting[r.next] = answer
	return r.next, r.prefix + strconv.FormatUint(r.next, tokenBase), answer, nil
}

// openInbox makes the subscription, unless somebody else just did. The reader needs mu to hand
// answers out, so mu is not held while the writer may be waited for.
func (c *Conn) openInbox() error {
	r := &c.requests
	r.opening.Lock()
	defer r.opening.Unlock()
	r.mu.Lock()
	open := r.prefix != ""
	r.mu.Unlock()
	if open {
		return nil
	}
	prefix := c.NewInbox() + "."
	if _, err := c.subscribe(&Subscription{subject: prefix + "*", inline: r.answered}); err != nil {
		return err
	}
	r.mu.Lock()
	r.prefix, r.waiting = prefix, make(map[uint64]chan *Msg)
	r.mu.Unlock()
	return nil
}

func (r *requests) forget(token uint64) {
	r.mu.Lock()
	delete(r.waiting, token)
	r.mu.Unlock()
}

// answered runs on the reader's goroutine. Second answers, and late ones, are nobody's.
func (r *requests) answered(m *Msg) {
	token, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], tokenBase, 64)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer := r.waiting[token]; answer != nil {
		select {
		case answer <- m:
		default:
		}
	}
}
