package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	routeSubjects      = 200_000
	routeSubscriptions = 100_000
	routeReaders       = 20
	routeMessages      = 600_000
	routeSize          = 64
	routeWrite         = 500 // messages
)

func routeSubject(i int) string { return fmt.Sprintf("site%03d.line%02d.dev%06d.t", i%997, i%89, i) }

// routes are subscriptions spread over many subjects. Every server gets the same.
type routes struct {
	random    *rand.Rand
	audience  []int // how many subscriptions each subject has
	perReader int
}

// subscribe gives a reader its share: one in ten has a wildcard.
func (r *routes) subscribe(c *client) error {
	var wanted strings.Builder
	for k := range r.perReader {
		i := r.random.IntN(routeSubjects)
		r.audience[i]++
		filter := routeSubject(i)
		if k%10 == 0 {
			// Site and device are enough to tell this one from all others.
			tokens := strings.Split(filter, ".")
			tokens[1] = "*"
			filter = strings.Join(tokens, ".")
		}
		fmt.Fprintf(&wanted, "SUB %s %06d\r\n", filter, k)
	}
	return errors.Join(c.send(wanted.String()), c.settle())
}

// publications are n messages to random subjects, cut into writes, and the bytes that are due.
func (r *routes) publications(n int) (writes [][]byte, due int) {
	var write []byte
	for k := range n {
		i := r.random.IntN(routeSubjects)
		due += r.audience[i] * delivered(routeSubject(i), "000000", routeSize)
		write = append(write, publication(routeSubject(i), routeSize)...)
		if (k+1)%routeWrite == 0 || k+1 == n {
			writes = append(writes, write)
			write = nil
		}
	}
	return writes, due
}

// runRoutes measures routing where subjects seldom come again, so that no cache of results holds
// them all.
func runRoutes(t *target) (map[string]float64, error) {
	r := &routes{random: rand.New(rand.NewPCG(1, 1)), audience: make([]int, routeSubjects),
		perReader: max(10, t.people(routeSubscriptions)/routeReaders)}
	before, err := t.server.rss()
	if err != nil {
		return nil, err
	}
	all, err := t.several(routeReaders)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if err := r.subscribe(c); err != nil {
			return nil, err
		}
	}
	time.Sleep(500 * time.Millisecond) // garbage of subscribing may be collected, it is the server's choice
	after, err := t.server.rss()
	if err != nil {
		return nil, err
	}
	publisher, err := t.dial()
	if err != nil {
		return nil, err
	}
	n := t.n(routeMessages)
	writes, due := r.publications(n)
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	arrived := make(chan error, 1)
	go func() { arrived <- drainTogether(all, due) }()
	var sending error
	for _, w := range writes {
		if sending = publisher.write(w); sending != nil {
			break
		}
	}
	if err := errors.Join(sending, publisher.settle(), <-arrived); err != nil {
		return nil, err
	}
	cpu, wall, err := m.read()
	return map[string]float64{
		"cpu-ns/msg": each(cpu, n),
		"rss-B/sub":  (after - before) / float64(r.perReader*routeReaders),
		"msgs/s":     float64(n) / wall.Seconds(),
	}, err
}
