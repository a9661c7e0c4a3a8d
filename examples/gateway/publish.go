package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// A message is what is published of a reading; its name is in the subject.
type message struct {
	Value float64   `json:"value"`
	Unit  string    `json:"unit,omitempty"`
	At    time.Time `json:"at"`
}

const subjects = "gateway."

// publish reads and publishes until ctx is done. A reading that fails is said once, not each second.
func publish(ctx context.Context, o options, nc *nats.Conn, _, log io.Writer) error {
	machine := os.DirFS("/")
	first, err := readAll(machine)
	if len(first) == 0 {
		return errors.Join(errors.New("this machine shows no readings under /proc and /sys"), err)
	}
	fmt.Fprintf(log, "publishing %d readings under %s%s.> every %v\n", len(first), subjects, o.machine, o.interval)

	said := ""
	ticker := time.NewTicker(o.interval)
	defer ticker.Stop()
	for readings := first; ; readings, err = readAll(machine) {
		if err != nil && err.Error() != said {
			said = err.Error()
			fmt.Fprintln(log, "cannot read everything:", said)
		}
		if err := publishAll(nc, o.machine, readings, time.Now()); err != nil {
			fmt.Fprintln(log, "not published:", err)
		}
		select {
		case <-ctx.Done():
			return flush(nc)
		case <-ticker.C:
		}
	}
}

func publishAll(nc *nats.Conn, machine string, readings []Reading, now time.Time) error {
	for _, r := range readings {
		payload, err := json.Marshal(message{r.Value, r.Unit, now})
		if err != nil {
			return err
		}
		if err := nc.Publish(subjects+machine+"."+r.Name, payload); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

// flush waits a moment for what is still on its way out; a server that is not there is no error.
func flush(nc *nats.Conn) error {
	if nc.IsConnected() {
		nc.FlushTimeout(time.Second)
	}
	return nil
}
