package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

func benchCommand(p *program) *tool {
	return &tool{
		Name: "bench",
		Description: `Measures a bus: how many messages a second it moves, and how long they are on their way.

Publishers and subscribers are connections of this one process, so that one clock measures
both ends; their work is part of the result. At full speed the latency is that of queues
filling up; --rate shows the one of a bus that keeps up. With --request every publisher asks
a question, waits for the answer and asks the next; the subscribers answer.`,
		Flags: clientFlags(
			&intFlag{Name: "msgs", Value: 100000, Usage: "`NUMBER` of messages in all"},
			&stringFlag{Name: "size", Value: "128", Usage: "`BYTES` of each body; k and m are 1024 and its square"},
			&intFlag{Name: "pub", Value: 1, Usage: "`NUMBER` of publishers"},
			&intFlag{Name: "sub", Value: 1, Usage: "`NUMBER` of subscribers; 0: only publish"},
			&boolFlag{Name: "request", Usage: "questions and answers"},
			&stringFlag{Name: "queue", Usage: "`GROUP` that the subscribers share the messages in"},
			&float64Flag{Name: "rate", Usage: "messages a second in all, at most `NUMBER`; 0: as fast as possible"},
			&boolFlag{Name: "no-progress", Usage: "no progress line on a terminal"},
			&boolFlag{Name: "json", Usage: "print JSON, times in seconds"},
		),
		Action: p.bench,
	}
}

const (
	maxPeers       = 1000
	stampBytes     = 8 // a body that holds them carries the time it was published at
	progressPeriod = 200 * time.Millisecond
	// benchQueue is room for a whole burst: a benchmark measures the bus, not our bound.
	benchQueueMessages = 1 << 20
	benchQueueBytes    = 512 << 20
)

// A bench is one run.
type bench struct {
	// Set by plan, never written again.
	subject, queue string
	msgs, size     int
	pubs, subs     int
	request        bool
	rate           float64
	patience       time.Duration // how long nothing may move before it is given up
	publishers     []*client.Conn
	subscribers    []*client.Conn
	want           int64 // messages or answers to be received
	began          time.Time
	allReceived    chan struct{}
	latencies      []*histogram // one writer each
	received       atomic.Int64
	published      atomic.Int64

	pubTook, subTook time.Duration // the runner's
}

func (p *program) bench(c *invocation) error {
	b, err := planBench(c)
	if err != nil {
		return err
	}
	options, err := connectionFlags(c)
	if err != nil {
		return err
	}
	ctx, stop := withInterrupt()
	defer stop()
	options = append(options, client.SubscriptionQueue(benchQueueMessages, benchQueueBytes))
	defer b.close()
	if err := b.connect(ctx, c.String("server"), options); err != nil {
		return connectHint(c, err)
	}
	asJSON := c.Bool("json")
	if !asJSON {
		fmt.Fprintln(p.stdout, b.title())
	}
	ended := p.progress(c, b)
	if b.request {
		err = b.runRequests(ctx)
	} else {
		err = b.runPublish(ctx)
	}
	ended()
	if err != nil {
		return err
	}
	if !asJSON {
		b.print(p)
	} else if err := p.printJSON(b.result()); err != nil {
		return err
	}
	return b.verdict()
}

func planBench(c *invocation) (*bench, error) {
	if len(c.Args()) > 1 {
		return nil, usageError("bench takes one subject at most")
	}
	if err := checkTarget(c.Arg(0)); err != nil {
		return nil, err
	}
	b := &bench{
		subject: c.Arg(0), queue: c.String("queue"), msgs: c.Int("msgs"), pubs: c.Int("pub"), subs: c.Int("sub"),
		request: c.Bool("request"), rate: c.Float64("rate"), patience: c.Duration("timeout"), allReceived: make(chan struct{}),
	}
	var err error
	if b.size, err = parseSize(c.String("size")); err != nil {
		return nil, err
	}
	switch {
	case b.msgs < 1 || b.rate < 0:
		return nil, usageError("--msgs must be above zero, and --rate not below it")
	case b.pubs < 1 || b.pubs > maxPeers || b.subs < 0 || b.subs > maxPeers:
		return nil, usageError("--pub wants 1 to %d, --sub 0 to %d", maxPeers, maxPeers)
	case b.request && b.subs == 0:
		return nil, usageError("--request needs somebody who answers; --sub 1")
	}
	if b.subject == "" {
		b.subject = "bench." + rand.Text()
	}
	if b.request && b.queue == "" {
		b.queue = "bench" // one answer to each question
	}
	switch {
	case b.request || b.queue != "" && b.subs > 0:
		b.want = int64(b.msgs)
	default:
		b.want = int64(b.msgs) * int64(b.subs)
	}
	return b, nil
}

// parseSize reads 128, 4k, 1m and the like.
func parseSize(text string) (int, error) {
	digits := strings.TrimRight(strings.ToLower(strings.TrimSpace(text)), "ib")
	unit := 1
	switch {
	case strings.HasSuffix(digits, "k"):
		unit = 1 << 10
	case strings.HasSuffix(digits, "m"):
		unit = 1 << 20
	}
	n, err := strconv.Atoi(strings.TrimRight(digits, "km"))
	if err != nil || n < 0 || n > maxBody/unit {
		return 0, usageError("size %q is not a number of bytes such as 128, 4k or 1m", text)
	}
	return n * unit, nil
}

func (b *bench) connect(ctx context.Context, url string, options []client.Option) error {
	for range b.subs {
		conn, err := client.Connect(ctx, url, options...)
		if err != nil {
			return err
		}
		b.subscribers = append(b.subscribers, conn)
	}
	for range b.pubs {
		conn, err := client.Connect(ctx, url, options...)
		if err != nil {
			return err
		}
		b.publishers = append(b.publishers, conn)
	}
	if most := b.publishers[0].MaxPayload(); most > 0 && b.size > most {
		return fmt.Errorf("the bus takes bodies up to %d bytes, --size asks for %d", most, b.size)
	}
	return nil
}

func (b *bench) close() {
	for _, conn := range append(b.publishers, b.subscribers...) {
		conn.Close()
	}
}

// runPublish is publishers and subscribers that do not answer.
func (b *bench) runPublish(ctx context.Context) error {
	b.began = time.Now()
	for _, conn := range b.subscribers {
		h := new(histogram)
		b.latencies = append(b.latencies, h)
		if err := b.subscribe(ctx, conn, func(m *client.Msg) { b.receive(h, m) }); err != nil {
			return err
		}
	}
	b.began = time.Now()
	err := b.each(b.publishers, func(i int, conn *client.Conn) error {
		return b.publish(ctx, conn, share(b.msgs, b.pubs, i))
	})
	b.pubTook = time.Since(b.began)
	if err != nil || b.want == 0 {
		return err
	}
	b.awaitReceived(ctx)
	b.subTook = time.Since(b.began)
	return ctx.Err()
}

func (b *bench) subscribe(ctx context.Context, conn *client.Conn, f func(*client.Msg)) (err error) {
	if b.queue == "" {
		_, err = conn.Subscribe(b.subject, f)
	} else {
		_, err = conn.QueueSubscribe(b.subject, b.queue, f)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if err := conn.Flush(ctx); err != nil {
		return err
	}
	return conn.LastError()
}

func (b *bench) receive(h *histogram, m *client.Msg) {
	if len(m.Data) >= stampBytes {
		sent := time.Duration(binary.LittleEndian.Uint64(m.Data))
		h.add(time.Since(b.began) - sent)
	}
	if b.received.Add(1) == b.want {
		close(b.allReceived)
	}
}

// publish sends n messages. At a given rate each is stamped with the moment it was due: a bus
// that holds the publisher up is late, not the publisher slow.
func (b *bench) publish(ctx context.Context, conn *client.Conn, n int) error {
	body := make([]byte, b.size)
	pace := newPace(b.rate/float64(b.pubs), b.began)
	for i := range n {
		due := pace.wait(ctx, i)
		if i&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if b.size >= stampBytes {
			binary.LittleEndian.PutUint64(body, uint64(due))
		}
		if err := conn.Publish(b.subject, body); err != nil {
			return err
		}
		b.published.Add(1)
	}
	if err := conn.Flush(ctx); err != nil {
		return err
	}
	return conn.LastError()
}

// runRequests is publishers that wait for an answer to each message.
func (b *bench) runRequests(ctx context.Context) error {
	for _, conn := range b.subscribers {
		if err := b.subscribe(ctx, conn, func(m *client.Msg) { m.Respond(m.Data) }); err != nil {
			return err
		}
	}
	for range b.publishers {
		b.latencies = append(b.latencies, new(histogram))
	}
	b.began = time.Now()
	err := b.each(b.publishers, func(i int, conn *client.Conn) error {
		body := make([]byte, b.size)
		pace := newPace(b.rate/float64(b.pubs), b.began)
		for n := range share(b.msgs, b.pubs, i) {
			due := pace.wait(ctx, n)
			if err := b.ask(ctx, conn, body); err != nil {
				return err
			}
			b.latencies[i].add(time.Since(b.began) - due)
			b.received.Add(1)
		}
		return nil
	})
	b.subTook = time.Since(b.began)
	return err
}

// ask is one question. Without an answer in time the run ends: what was lost, not how slow it
// is, is the news then.
func (b *bench) ask(ctx context.Context, conn *client.Conn, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	_, err := conn.Request(ctx, b.subject, body)
	return err
}

// each runs f for all connections at once and returns the first error.
func (b *bench) each(list []*client.Conn, f func(int, *client.Conn) error) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, conn := range list {
		all.Go(func() { errs[i] = f(i, conn) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitReceived waits for the last message, or until nothing has come for a while.
func (b *bench) awaitReceived(ctx context.Context) {
	last := int64(-1)
	for {
		timer := time.NewTimer(b.patience)
		select {
		case <-b.allReceived:
			timer.Stop()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		now := b.received.Load()
		if now == last {
			return
		}
		last = now
	}
}

// verdict is the error of a run in which messages were lost.
func (b *bench) verdict() error {
	lost := b.want - b.received.Load()
	if lost <= 0 {
		return nil
	}
	err := fmt.Errorf("%s of %s messages did not arrive", thousands(lost), thousands(b.want))
	for _, conn := range b.subscribers {
		if dropped := conn.Stats().Dropped; dropped > 0 {
			return fmt.Errorf("%w: subscribers dropped them, they are slower than the bus; try --rate", err)
		}
		if complaint := conn.LastError(); complaint != nil {
			return errors.Join(err, complaint)
		}
		if conn.Stats().Reconnects > 0 {
			return fmt.Errorf("%w: the bus closed a subscriber that was too slow; try --rate", err)
		}
	}
	return err
}

// share divides n among some, the first ones taking what is left over.
func share(n, among, i int) int {
	part := n / among
	if i < n%among {
		part++
	}
	return part
}

// A pace spreads messages evenly over time.
type pace struct {
	gap   float64 // nanoseconds between two; 0: none
	began time.Time
}

func newPace(rate float64, began time.Time) pace {
	if rate <= 0 {
		return pace{began: began}
	}
	return pace{float64(time.Second) / rate, began}
}

// shortestSleep is what the system sleeps at least, roughly; what is due sooner goes at once.
const shortestSleep = 100 * time.Microsecond

// wait returns when message n is due, as the time since began.
func (p pace) wait(ctx context.Context, n int) time.Duration {
	if p.gap == 0 {
		return time.Since(p.began)
	}
	due := time.Duration(p.gap * float64(n))
	ahead := due - time.Since(p.began)
	if ahead <= shortestSleep {
		return min(due, time.Since(p.began))
	}
	pause(ctx, ahead)
	return due
}
