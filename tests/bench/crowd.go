package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// runBroadcast sends to everybody at once, again and again, and looks at what a neighbour who has
// nothing to do with it feels.
func runBroadcast(t *target) (map[string]float64, error) {
	const size, every = 128, 100 * time.Millisecond
	broadcasts := max(3, t.n(20))
	all, err := t.crowd(t.people(9_000))
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := errors.Join(c.send("SUB all.cmd 1\r\n"), c.settle()); err != nil {
			return nil, err
		}
	}
	publisher, err := t.dial()
	if err != nil {
		return nil, err
	}
	near, err := t.neighbour()
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(all))
	var group sync.WaitGroup
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	for i, c := range all {
		group.Go(func() { errs[i] = c.drain(broadcasts * delivered("all.cmd", "1", size)) })
	}
	stop := make(chan struct{})
	var times []float64
	felt := make(chan error, 1)
	go func() {
		var err error
		times, err = near(stop)
		felt <- err
	}()
	message := publication("all.cmd", size)
	var sending error
	for range broadcasts {
		if sending = publisher.write(message); sending != nil {
			break
		}
		time.Sleep(every)
	}
	group.Wait()
	close(stop)
	if err := errors.Join(append(errs, sending, <-felt)...); err != nil {
		return nil, err
	}
	cpu, wall, err := m.read()
	if err != nil {
		return nil, err
	}
	rss, err := t.server.rss()
	deliveries := broadcasts * len(all)
	return map[string]float64{
		"cpu-ns/msg":       each(cpu, deliveries),
		"neighbour-us-p50": percentile(times, 50),
		"neighbour-us-p99": percentile(times, 99),
		"rss-MB-end":       rss / 1e6,
		"msgs/s":           float64(deliveries) / wall.Seconds(),
	}, err
}

// neighbour is a client that sends itself a message and waits for it, some hundred times a second
// until stopped. It returns the sorted times.
func (t *target) neighbour() (func(stop <-chan struct{}) ([]float64, error), error) {
	c, err := t.subscriber("near 1")
	if err != nil {
		return nil, err
	}
	c.buffers = &smallBuffers
	message, want := publication("near", 2), delivered("near", "1", 2)
	return func(stop <-chan struct{}) (times []float64, err error) {
		for {
			select {
			case <-stop:
				slices.Sort(times)
				return times, nil
			case <-time.After(2 * time.Millisecond):
			}
			begun := time.Now()
			if err := errors.Join(c.write(message), c.drain(want)); err != nil {
				return nil, fmt.Errorf("neighbour: %w", err)
			}
			times = append(times, microseconds(time.Since(begun)))
		}
	}, nil
}

// stampDigits is the length of a time in nanoseconds, in a payload.
const stampDigits = 19

// A fleet publishes readings at a steady rate, its members in turn. Each reading carries the time
// at which it was written.
type fleet struct {
	members []*client
	rate    int // messages a second, of all together
	size    int
}

const burst = 20 // messages between two looks at the clock

func (f fleet) subject(member int) string { return fmt.Sprintf("sensors.%05d.reading", member) }

// publish sends n readings. A fleet that has fallen behind does not wait until it is level again.
func (f fleet) publish(n int) error {
	pad := filler(f.size - stampDigits)
	begun := time.Now()
	var out []byte
	for i := range n {
		if i%burst == 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(f.rate))))
		}
		k := i % len(f.members)
		out = fmt.Appendf(out[:0], "PUB %s %d\r\n%0*d%s\r\n", f.subject(k), f.size, stampDigits, time.Now().UnixNano(), pad)
		if err := f.members[k].write(out); err != nil {
			return err
		}
	}
	return nil
}

// receive takes n readings and hands over how old each is, in microseconds.
func (f fleet) receive(c *client, n int, aged func(us float64)) error {
	message := delivered(f.subject(0), "1", f.size)
	at := message - f.size - len("\r\n")
	return c.frames(n, message, func(whole []byte) error {
		now := time.Now().UnixNano()
		for ; len(whole) > 0; whole = whole[message:] {
			sent, err := strconv.ParseInt(string(whole[at:at+stampDigits]), 10, 64)
			if err != nil {
				return fmt.Errorf("no time in %.60q", whole)
			}
			aged(float64(now-sent) / 1000)
		}
		return nil
	})
}

func runSensors(t *target) (map[string]float64, error) {
	f := fleet{rate: 4_000, size: 128}
	reader, err := t.subscriber("sensors.*.reading 1")
	if err != nil {
		return nil, err
	}
	before, err := t.server.rss()
	if err != nil {
		return nil, err
	}
	if f.members, err = t.crowd(t.people(2_000)); err != nil {
		return nil, err
	}
	n := t.n(40_000)
	ages := make([]float64, 0, n)
	received := make(chan error, 1)
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	go func() { received <- f.receive(reader, n, func(us float64) { ages = append(ages, us) }) }()
	if err := errors.Join(f.publish(n), <-received); err != nil {
		return nil, err
	}
	cpu, _, err := m.read()
	if err != nil {
		return nil, err
	}
	after, err := t.server.rss()
	slices.Sort(ages)
	return map[string]float64{
		"cpu-us/msg":     each(cpu, n) / 1000,
		"latency-us-p50": percentile(ages, 50),
		"latency-us-p99": percentile(ages, 99),
		"rss-B/sensor":   (after - before) / float64(len(f.members)),
	}, err
}

// runIdle measures clients that have done what clients do, once, and went quiet.
func runIdle(t *target) (map[string]float64, error) {
	before, err := t.server.rss()
	if err != nil {
		return nil, err
	}
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	all, err := t.crowd(t.people(10_000))
	if err != nil {
		return nil, err
	}
	cpu, _, err := m.read()
	if err != nil {
		return nil, err
	}
	if err := t.exercise(all); err != nil {
		return nil, err
	}
	time.Sleep(3 * time.Second) // what is let go of only after a while counts as let go
	after, err := t.server.rss()
	return map[string]float64{
		"rss-B/conn":     (after - before) / float64(len(all)),
		"cpu-us/connect": each(cpu, len(all)) / 1000,
	}, err
}

// exercise gives each client two subscriptions and lets it send one message and receive one.
func (t *target) exercise(all []*client) error {
	for i, c := range all {
		if err := errors.Join(c.send(fmt.Sprintf("SUB cmd.dev%05d 1\r\nSUB all.cmd 2\r\n", i)), c.settle()); err != nil {
			return err
		}
	}
	for i, c := range all {
		if err := c.write(publication(fmt.Sprintf("up.dev%05d", i), 128)); err != nil {
			return err
		}
	}
	publisher, err := t.dial()
	if err != nil {
		return err
	}
	if err := errors.Join(publisher.write(publication("all.cmd", 4)), publisher.settle()); err != nil {
		return err
	}
	for _, c := range all {
		if err := c.drain(delivered("all.cmd", "2", 4)); err != nil {
			return err
		}
	}
	return nil
}

func runStart(t *target) (map[string]float64, error) {
	time.Sleep(2 * time.Second)
	rss, err := t.server.rss()
	return map[string]float64{"rss-KiB": rss / 1024}, err
}

func runBinary(t *target) (map[string]float64, error) {
	if t.contender.size == "" {
		return map[string]float64{}, nil // there need not be one of each
	}
	info, err := os.Stat(t.contender.size)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"MB": float64(info.Size()) / 1e6}, nil
}

// answerPings reads from all until their connections are closed here; the function returned waits
// for that, and tells if the server closed one.
func answerPings(all []*client) (wait func() error) {
	var group sync.WaitGroup
	errs := make([]error, len(all))
	for i, c := range all {
		_ = c.conn.SetReadDeadline(time.Time{})
		group.Go(func() {
			buffer := make([]byte, smallRead)
			for err := error(nil); err == nil; {
				if _, err = c.read(buffer); err != nil && !errors.Is(err, net.ErrClosed) {
					errs[i] = fmt.Errorf("a silent client: %w", err)
				}
			}
		})
	}
	return func() error {
		group.Wait()
		return errors.Join(errs...)
	}
}

// runSilent measures what clients cost that do nothing.
func runSilent(t *target) (map[string]float64, error) {
	all, err := t.crowd(t.people(1_000))
	if err != nil {
		return nil, err
	}
	wait := answerPings(all)
	// Servers send their first PINGs soon and look after new clients; that is not what idling costs.
	time.Sleep(min(10*time.Second, t.span/4))
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	before, err := t.server.wakeUps()
	if err != nil {
		return nil, err
	}
	time.Sleep(t.span)
	after, err := t.server.wakeUps()
	if err != nil {
		return nil, err
	}
	cpu, err := t.server.cpu()
	if err != nil {
		return nil, err
	}
	wall := time.Since(m.begun)
	t.hangUp()
	if err := wait(); err != nil {
		return nil, err
	}
	return map[string]float64{
		"wake-ups/min": (after - before) / wall.Minutes(),
		"cpu-percent":  100 * (cpu - m.cpu).Seconds() / wall.Seconds(),
	}, nil
}
