package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const body = "0123456789abcdef" // of requests and answers

// A pair is a requester and a responder. Requests carry one fixed reply subject.
type pair struct {
	requester, responder      *client
	request, answer           []byte
	requestBytes, answerBytes int // as delivered
}

func (t *target) pair() (*pair, error) {
	responder, err := t.subscriber("svc 1")
	if err != nil {
		return nil, err
	}
	requester, err := t.subscriber("_INBOX.a.* 1")
	if err != nil {
		return nil, err
	}
	requester.buffers, responder.buffers = &smallBuffers, &smallBuffers
	return &pair{
		requester: requester, responder: responder,
		request:      fmt.Appendf(nil, "PUB svc _INBOX.a.1 %d\r\n%s\r\n", len(body), body),
		answer:       fmt.Appendf(nil, "PUB _INBOX.a.1 %d\r\n%s\r\n", len(body), body),
		requestBytes: len(fmt.Sprintf("MSG svc 1 _INBOX.a.1 %d\r\n%s\r\n", len(body), body)),
		answerBytes:  len(fmt.Sprintf("MSG _INBOX.a.1 1 %d\r\n%s\r\n", len(body), body)),
	}, nil
}

// respond answers until its connection is closed or a request is late; that is then the
// requester's error too.
func (p *pair) respond() {
	for p.responder.drain(p.requestBytes) == nil && p.responder.write(p.answer) == nil {
	}
}

// ask is the time of one round trip.
func (p *pair) ask() (time.Duration, error) {
	begun := time.Now()
	if err := p.requester.write(p.request); err != nil {
		return 0, err
	}
	err := p.requester.drain(p.answerBytes)
	return time.Since(begun), err
}

func runRequests(t *target) (map[string]float64, error) {
	p, err := t.pair()
	if err != nil {
		return nil, err
	}
	defer p.respondBeside()()
	n := t.n(40_000)
	times := make([]float64, 0, n)
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	for range n {
		d, err := p.ask()
		if err != nil {
			return nil, err
		}
		times = append(times, microseconds(d))
	}
	cpu, wall, err := m.read()
	slices.Sort(times)
	return map[string]float64{
		"cpu-us/rtt": each(cpu, n) / 1000,
		"rtt-us-p50": percentile(times, 50),
		"rtt-us-p99": percentile(times, 99),
		"rtts/s":     float64(n) / wall.Seconds(),
	}, err
}

// respondBeside starts the responder; the function returned ends it and waits.
func (p *pair) respondBeside() (stop func()) {
	var group sync.WaitGroup
	group.Go(p.respond)
	return func() {
		p.responder.conn.Close()
		group.Wait()
	}
}

// runUniqueRequests is what request clients do: a new reply subject each time, many at once.
func runUniqueRequests(t *target) (map[string]float64, error) {
	const outstanding = 64
	p, err := t.pair()
	if err != nil {
		return nil, err
	}
	p.requester.buffers, p.responder.buffers = &bigBuffers, &bigBuffers
	n := t.n(300_000)
	const inbox = "_INBOX.a.00000000"
	before := len("MSG svc 1 ")
	asked := before + len(inbox) + len(fmt.Sprintf(" %d\r\n%s\r\n", len(body), body))
	answered := len(fmt.Sprintf("MSG %s 1 %d\r\n%s\r\n", inbox, len(body), body))
	tail := fmt.Sprintf(" %d\r\n%s\r\n", len(body), body)

	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	responded := make(chan error, 1)
	go func() {
		var out []byte
		responded <- p.responder.frames(n, asked, func(requests []byte) error {
			out = out[:0]
			for ; len(requests) > 0; requests = requests[asked:] {
				out = append(out, "PUB "...)
				out = append(out, requests[before:before+len(inbox)]...)
				out = append(out, tail...)
			}
			return p.responder.write(out)
		})
	}()
	sent := 0
	var out []byte
	ask := func(k int) error {
		out = out[:0]
		for ; k > 0 && sent < n; k-- {
			out = fmt.Appendf(out, "PUB svc _INBOX.a.%08d%s", sent, tail)
			sent++
		}
		if len(out) == 0 {
			return nil
		}
		return p.requester.write(out)
	}
	err = ask(outstanding)
	if err == nil {
		err = p.requester.frames(n, answered, func(answers []byte) error { return ask(len(answers) / answered) })
	}
	if err != nil {
		p.responder.conn.Close() // it may wait for requests that never come
	}
	if err := errors.Join(err, <-responded); err != nil {
		return nil, err
	}
	cpu, wall, err := m.read()
	return map[string]float64{"cpu-us/rtt": each(cpu, n) / 1000, "rtts/s": float64(n) / wall.Seconds()}, err
}
