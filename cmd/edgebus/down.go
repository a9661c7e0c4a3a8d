package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func downCommand(p *program) *tool {
	return &tool{
		Name: "down",
		Description: `Stops the server that "edgebus up" has started, and its service. The configuration stays, and "up" starts
it again, unless --purge removes it with all users and devices; files that are not up's own stay.`,
		Flags: []option{
			dirFlag(),
			&boolFlag{Name: "purge", Usage: "remove configuration, users and devices as well"},
		},
		Action: p.down,
	}
}

// stopTime is how long a server may take to stop; it gives up on its clients after 10 s.
const stopTime = 20 * time.Second

func (p *program) down(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("down takes no arguments, and %q is one", c.Arg(0))
	}
	s, err := siteOf(c)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(s.config()); errors.Is(err, os.ErrPermission) {
		return unreadable(s.config())
	} else if err != nil {
		fmt.Fprintf(p.stdout, "there is no %s, so nothing is up\n", s.config())
		return nil
	}
	if err := s.isUps(); err != nil {
		return fmt.Errorf("%w; \"systemctl stop edgebus\" or what else has started its server stops it", err)
	}
	interrupted, stop := withInterrupt()
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, stopTime)
	defer cancel()
	if v := p.supervisor(); v != nil && v.owns(s) {
		if err := v.stop(ctx, c.Bool("purge")); err != nil {
			return err
		}
	}
	switch stopped, err := s.stop(ctx); {
	case err != nil:
		return err
	case stopped:
		fmt.Fprintln(p.stdout, "edgebus is down")
	default:
		fmt.Fprintln(p.stdout, "no server is running")
	}
	if !c.Bool("purge") {
		return nil
	}
	if err := s.remove(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "removed what up has written to %s\n", s.dir)
	return nil
}

// isUps keeps up and down from a folder of somebody else's, such as a package's: up writes all three files and
// has the socket beside them.
func (s site) isUps() error {
	if socket := s.socket(); socket != s.ownSocket() {
		return fmt.Errorf("%s was not written by \"edgebus up\": its control_socket is %q", s.config(), socket)
	}
	for _, path := range []string{s.devices(), s.uplink()} {
		if _, err := os.Lstat(path); err != nil {
			return fmt.Errorf("%s was not written by \"edgebus up\": there is no %s beside it", s.config(), filepath.Base(path))
		}
	}
	return nil
}

// stop stops the running server, if there is one, and waits until it has.
func (s site) stop(ctx context.Context) (stopped bool, err error) {
	socket := s.socket()
	if _, err := daemon.Control(ctx, socket, "stop", nil); errors.Is(err, daemon.ErrNoServer) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for tick := time.NewTicker(askEvery); ; {
		if _, err := statusAt(ctx, socket); errors.Is(err, daemon.ErrNoServer) {
			return true, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return true, errors.New("the server was told to stop and still runs; its log says why")
		}
	}
}
