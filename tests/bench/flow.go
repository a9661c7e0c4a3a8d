package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// writeBytes is about what a publisher that hurries hands to the kernel at once.
const writeBytes = 64 << 10

// A flow is publishers that publish as fast as they can and subscribers that read as fast as
// they can, on one subject or on one each.
type flow struct {
	publishers, subscribers int
	size, messages          int
	write                   int  // messages a write; 0: as many as make writeBytes
	queue                   bool // the subscribers are one queue group
	subjects                bool // a subject for each publisher, and a wildcard to subscribe
}

func (f flow) subject(publisher int) string {
	if !f.subjects {
		publisher = 0
	}
	return fmt.Sprintf("plant.line%04d.temp", publisher)
}

// publication is one message as a publisher writes it.
func publication(subject string, size int) []byte {
	return fmt.Appendf(nil, "PUB %s %d\r\n%s\r\n", subject, size, filler(size))
}

// delivered is the number of bytes of one message as a subscriber gets it.
func delivered(subject, sid string, size int) int {
	return len(fmt.Sprintf("MSG %s %s %d\r\n", subject, sid, size)) + size + len("\r\n")
}

func (f flow) subscription() string {
	filter := f.subject(0)
	if f.subjects {
		filter = "plant.*.temp"
	}
	if f.queue {
		filter += " workers"
	}
	return filter + " 1"
}

func (f flow) run(t *target) (map[string]float64, error) {
	readers := make([]*client, f.subscribers)
	for i := range readers {
		c, err := t.subscriber(f.subscription())
		if err != nil {
			return nil, err
		}
		readers[i] = c
	}
	writers, err := t.several(f.publishers)
	if err != nil {
		return nil, err
	}
	perWriter := max(1, t.n(f.messages)/f.publishers)
	total := perWriter * f.publishers
	want := total * delivered(f.subject(0), "1", f.size)

	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	var (
		group sync.WaitGroup
		errs  = make([]error, len(readers)+len(writers))
	)
	deliveries := total
	if f.queue {
		group.Go(func() { errs[0] = drainTogether(readers, want) })
	} else {
		deliveries = total * max(1, len(readers))
		for i, c := range readers {
			group.Go(func() { errs[i] = c.drain(want) })
		}
	}
	for i, c := range writers {
		group.Go(func() { errs[len(readers)+i] = f.publish(c, i, perWriter) })
	}
	group.Wait()
	cpu, wall, err := m.read()
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return map[string]float64{"cpu-ns/msg": each(cpu, deliveries), "msgs/s": float64(deliveries) / wall.Seconds()}, nil
}

// publish writes n messages and returns when the server has taken them.
func (f flow) publish(c *client, publisher, n int) error {
	one := publication(f.subject(publisher), f.size)
	write := f.write
	if write == 0 {
		write = max(1, writeBytes/len(one))
	}
	block := bytes.Repeat(one, write)
	for ; n > 0; n -= write {
		if err := c.write(block[:min(n, write)*len(one)]); err != nil {
			return err
		}
	}
	return c.settle()
}

// runChurn is a flow while other clients do what requesters do: make an inbox, drop the last one.
func runChurn(t *target) (map[string]float64, error) {
	const restless = 4
	others, err := t.several(restless)
	if err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	errs := make([]error, restless)
	for i, c := range others {
		group.Go(func() {
			every := time.NewTicker(restless * time.Millisecond)
			defer every.Stop()
			for sid := 1; ; sid++ {
				select {
				case <-stop:
					return
				case <-every.C:
					if errs[i] = c.send(fmt.Sprintf("SUB _INBOX.c%d.%d %d\r\nUNSUB %d\r\n", i, sid, sid, sid-1)); errs[i] != nil {
						return
					}
				}
			}
		})
	}
	figures, err := flow{publishers: 1, subscribers: 1, size: 128, messages: 2_000_000}.run(t)
	close(stop)
	group.Wait()
	return figures, errors.Join(append(errs, err)...)
}

// scalingCounts are the sizes of the crowds of the scaling shapes.
var scalingCounts = []int{1, 10, 100, 1000}

// scaling are the figures of the scaling shapes. The growth is the most that a message costs more
// in a larger crowd than in a smaller one. It is judged between any two rows: against the first
// alone, what a step costs by itself, which a crowd shares, would hide some of it.
func scaling(of string) []figure {
	figures := []figure{{"growth", value, 1.5, 1.5}, {name: "growth-from-1"}}
	for _, n := range scalingCounts {
		figures = append(figures, figure{name: scalingName(n, of)})
	}
	return figures
}

func scalingName(n int, of string) string { return fmt.Sprintf("ns/msg-%d-%s", n, of) }

// Steps are the equal portions of the scaling shapes. Only one is under way at a time, so that
// the server reads and writes alike in every row: what a crowd saves by larger writes and loses
// by itself could not be told apart otherwise. The step outwards is small, or a server that
// pauses between deliveries to look after others would cut it up for a large crowd alone.
const (
	stepIn   = 64 // messages
	stepOut  = 4
	stepSize = 128 // bytes of each
)

func runScaleIn(t *target) (map[string]float64, error) {
	const messages = 1_000_000
	figures := map[string]float64{}
	f := flow{subjects: true}
	reader, err := t.subscriber(f.subscription())
	if err != nil {
		return nil, err
	}
	want := stepIn * delivered(f.subject(0), "1", stepSize)
	var writers []*client
	var blocks [][]byte
	for _, n := range scalingCounts {
		newcomers, err := t.crowd(n - len(writers))
		if err != nil {
			return nil, err
		}
		for _, c := range newcomers {
			blocks = append(blocks, bytes.Repeat(publication(f.subject(len(writers)), stepSize), stepIn))
			writers = append(writers, c)
		}
		step := func(i int) error {
			if err := writers[i%n].write(blocks[i%n]); err != nil {
				return err
			}
			return reader.drain(want)
		}
		if figures[scalingName(n, "publishers")], err = timeSteps(t, n, t.n(messages/stepIn), step, stepIn); err != nil {
			return nil, err
		}
	}
	figures["growth"], figures["growth-from-1"] = growth(figures, "publishers")
	return figures, nil
}

// timeSteps is the cost of a message in that many steps, after each of the crowd has had its first.
func timeSteps(t *target, first, steps int, step func(i int) error, perStep int) (float64, error) {
	for i := range first {
		if err := step(i); err != nil {
			return 0, err
		}
	}
	m, err := t.meter()
	if err != nil {
		return 0, err
	}
	for i := range steps {
		if err := step(i); err != nil {
			return 0, err
		}
	}
	cpu, _, err := m.read()
	return each(cpu, steps*perStep), err
}

func runScaleOut(t *target) (map[string]float64, error) {
	const deliveries = 1_000_000
	figures := map[string]float64{}
	subject := flow{}.subject(0)
	writer, err := t.dial()
	if err != nil {
		return nil, err
	}
	block := bytes.Repeat(publication(subject, stepSize), stepOut)
	want := stepOut * delivered(subject, "1", stepSize)
	var readers []*client
	for _, n := range scalingCounts {
		newcomers, err := t.crowd(n - len(readers))
		if err != nil {
			return nil, err
		}
		for _, c := range newcomers {
			if err := errors.Join(c.send("SUB "+subject+" 1\r\n"), c.settle()); err != nil {
				return nil, err
			}
		}
		readers = append(readers, newcomers...)
		step := func(int) error {
			if err := writer.write(block); err != nil {
				return err
			}
			// One after the other: the first read waits, the rest mostly find what is there.
			for _, c := range readers {
				if err := c.drain(want); err != nil {
					return err
				}
			}
			return nil
		}
		steps := max(1, t.n(deliveries/stepOut)/n)
		if figures[scalingName(n, "subscribers")], err = timeSteps(t, 1, steps, step, stepOut*n); err != nil {
			return nil, err
		}
	}
	figures["growth"], figures["growth-from-1"] = growth(figures, "subscribers")
	return figures, nil
}

// growth compares every row with all smaller crowds, and with the first alone.
func growth(figures map[string]float64, of string) (most, fromFirst float64) {
	for i, larger := range scalingCounts {
		for k, smaller := range scalingCounts[:i] {
			low := figures[scalingName(smaller, of)]
			if low == 0 {
				continue // less than a tick
			}
			grown := figures[scalingName(larger, of)] / low
			most = max(most, grown)
			if k == 0 {
				fromFirst = max(fromFirst, grown)
			}
		}
	}
	return most, fromFirst
}

// filler is payload for messages whose bytes do not matter.
func filler(n int) string { return strings.Repeat("x", n) }
