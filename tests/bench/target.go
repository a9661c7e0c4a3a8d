package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// coarseTicks is below what a reading in ticks can be a twentieth wrong.
	coarseTicks = 20
	dialsAtOnce = 16
)

// A target is what one run of a shape loads: a fresh server and the clients opened on it.
type target struct {
	contender contender
	server    *server
	group     *group // that the server runs in, or nil
	scale     float64
	span      time.Duration // of shapes that take a given time

	clients []*client // all that were opened, to be closed at the end
	notes   []string  // for whoever reads the figures
}

// n scales a number of messages or connections.
func (t *target) n(full int) int { return max(1, int(math.Round(float64(full)*t.scale))) }

// people scales the number of a crowd down, never up: the crowd is the shape.
func (t *target) people(full int) int { return min(full, t.n(full)) }

func (t *target) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *target) dial() (*client, error) {
	c, err := dial(t.server.address)
	if err != nil {
		return nil, err
	}
	t.clients = append(t.clients, c)
	return c, nil
}

// dialAs is dial as a user of the shape's configuration.
func (t *target) dialAs(user, password string) (*client, error) {
	c, err := dialAs(t.server.address, fmt.Sprintf(`,"user":%q,"pass":%q}`+"\r\n", user, password))
	if err != nil {
		return nil, err
	}
	t.clients = append(t.clients, c)
	return c, nil
}

// subscriber is a client with these subscriptions in place, each a subject, perhaps with a queue,
// and a sid.
func (t *target) subscriber(subscriptions ...string) (*client, error) {
	c, err := t.dial()
	if err != nil {
		return nil, err
	}
	for _, each := range subscriptions {
		if err := c.send("SUB " + each + "\r\n"); err != nil {
			return nil, err
		}
	}
	return c, c.settle()
}

// several opens a handful of clients.
func (t *target) several(n int) ([]*client, error) {
	all := make([]*client, n)
	for i := range all {
		c, err := t.dial()
		if err != nil {
			return nil, err
		}
		all[i] = c
	}
	return all, nil
}

// crowd opens many clients, some at once, that read a little at a time.
func (t *target) crowd(n int) ([]*client, error) {
	all := make([]*client, n)
	errs := make([]error, dialsAtOnce)
	var group sync.WaitGroup
	for w := range dialsAtOnce {
		group.Go(func() {
			for i := w; i < n; i += dialsAtOnce {
				c, err := dial(t.server.address)
				if err != nil {
					errs[w] = fmt.Errorf("client %d of %d: %w", i+1, n, err)
					return
				}
				c.buffers = &smallBuffers
				all[i] = c
			}
		})
	}
	group.Wait()
	for _, c := range all {
		if c != nil {
			t.clients = append(t.clients, c)
		}
	}
	return all, errors.Join(errs...)
}

func (t *target) hangUp() {
	for _, c := range t.clients {
		c.conn.Close()
	}
}

// A meter measures from a moment on: time on the wall and processor time of the server.
type meter struct {
	target *target
	begun  time.Time
	cpu    time.Duration
}

func (t *target) meter() (meter, error) {
	cpu, err := t.server.cpu()
	return meter{target: t, begun: time.Now(), cpu: cpu}, err
}

// read is what has passed since. A reading of few ticks is noted: the run was too short for it.
func (m meter) read() (cpu, wall time.Duration, err error) {
	wall = time.Since(m.begun)
	now, err := m.target.server.cpu()
	if err != nil {
		return 0, 0, err
	}
	cpu = now - m.cpu
	if cpu < coarseTicks*tick {
		m.target.note("coarse, only %d ms of processor time", cpu.Milliseconds())
	}
	return cpu, wall, nil
}

// each divides a duration by a count, in nanoseconds.
func each(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / float64(n) }

// percentile wants sorted values.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
