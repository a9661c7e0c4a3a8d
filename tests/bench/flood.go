package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// The flood comes from a process of its own, this program started again with one of these words
// and an address.
const (
	floodUnread = "flood-unread" // nobody subscribes
	floodRead   = "flood-read"   // one client does
)

// runFlood asks once a millisecond, first in peace, then while another client publishes without
// pause: to a subject that nobody wants, then to one with a subscriber.
func runFlood(t *target) (map[string]float64, error) {
	p, err := t.pair()
	if err != nil {
		return nil, err
	}
	defer p.respondBeside()()
	figures := map[string]float64{}
	for _, flood := range []struct {
		name, mode string
	}{{"quiet", ""}, {"unread", floodUnread}, {"read", floodRead}} {
		stop := func() error { return nil }
		if flood.mode != "" {
			if stop, err = t.flood(flood.mode); err != nil {
				return nil, err
			}
		}
		times, err := p.askFor(t.span / 10 / 3)
		if err := errors.Join(err, stop()); err != nil {
			return nil, fmt.Errorf("%s: %w", flood.name, err)
		}
		figures[flood.name+"-us-p50"] = percentile(times, 50)
		figures[flood.name+"-us-p99"] = percentile(times, 99)
	}
	return figures, nil
}

// askFor asks once a millisecond, or as often as answers come, and returns the sorted times.
func (p *pair) askFor(span time.Duration) ([]float64, error) {
	var times []float64
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d, err := p.ask()
		if err != nil {
			return nil, err
		}
		times = append(times, microseconds(d))
	}
	slices.Sort(times)
	return times, nil
}

// flood starts the flooding process; the function returned ends it. The process has the lowest
// priority: it takes what processor time the server and the requester leave, else a fast server,
// whose flood is never held up, would be measured by what the flood takes from the requester.
func (t *target) flood(mode string) (stop func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("nice", "-n", "19", program, mode, t.server.address)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		in.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("flood: %w: %s", err, said.Bytes())
		}
		return nil
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return nil, errors.Join(fmt.Errorf("flood: %w", err), stop())
	}
	return stop, nil
}

// runFlooder is the flooding process: it publishes until its standard input ends, which also
// happens when whoever started it is gone.
func runFlooder(mode, address string) error {
	const size, messagesWrite = 128, 400
	writer, err := dial(address)
	if err != nil {
		return err
	}
	defer writer.conn.Close()
	var reading sync.WaitGroup
	hangUp := func() {}
	if mode == floodRead {
		reader, err := dial(address)
		if err != nil {
			return err
		}
		if err := errors.Join(reader.send("SUB flood 1\r\n"), reader.settle()); err != nil {
			return err
		}
		_ = reader.conn.SetReadDeadline(time.Time{})
		hangUp = func() { reader.conn.Close() }
		reading.Go(func() { // takes whatever comes until it is hung up
			buffer := make([]byte, bigRead)
			for err := error(nil); err == nil; {
				_, err = reader.read(buffer)
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	block := bytes.Repeat(publication("flood", size), messagesWrite)
	fmt.Print(".") // it begins
	for flooding := true; flooding && err == nil; {
		select {
		case <-ended:
			flooding = false
		default:
			err = writer.write(block)
		}
	}
	if err == nil {
		err = writer.settle()
	}
	hangUp()
	reading.Wait()
	return err
}
