package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func upgradeCommand(p *program) *tool {
	return &tool{
		Name: "upgrade",
		Description: `Has a running server replaced by FILE, another edgebus, without a moment in which nobody can connect. FILE
is started with the server's own sockets and command line and reads the configuration anew; when it is ready
the old server tells its clients to come back and ends. If FILE does not start, the old one goes on and says why.

Without FILE it is the program that you are running: after an update, "edgebus upgrade" is all there is to do.

It reaches the server by its control socket, as "why" does. The port and the other addresses stay what they are.`,
		Flags: []option{
			&stringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE` that the server runs with, which names its control socket"},
			dirFlag(),
			&stringFlag{Name: "control", EnvVars: []string{"EDGEBUS_CONTROL"}, Usage: "`PATH` of the control socket"},
			&boolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: p.upgrade,
	}
}

// upgradeTime is how long an upgrade may take; a program has 30 s to be ready.
const upgradeTime = time.Minute

func (p *program) upgrade(c *invocation) error {
	if len(c.Args()) > 1 {
		return usageError("upgrade takes one program, and %q is another", c.Arg(1))
	}
	file, err := newProgram(c.Arg(0))
	if err != nil {
		return err
	}
	socket, err := whySocket(c)
	if errors.As(err, new(fileError)) {
		err = fmt.Errorf("%w; the running server goes on", err)
	}
	if err != nil {
		return err
	}
	ctx, stop := withInterrupt()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	answer, err := daemon.Control(ctx, socket, "upgrade", daemon.UpgradeRequest{File: file})
	if errors.Is(err, daemon.ErrNoServer) {
		err = fmt.Errorf("%w; is the server running, with this control_socket?", err)
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		_, err = fmt.Fprintf(p.stdout, "%s\n", answer)
		return err
	}
	var done daemon.Upgrade
	if err := json.Unmarshal(answer, &done); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s (process %d) serves now in place of %s, whose %d clients are told to come back\n", done.Version, done.PID, done.Before, done.Clients)
	return err
}

// newProgram is the path of the program as the server sees it.
func newProgram(file string) (string, error) {
	if file == "" {
		return os.Executable()
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no program", file)
	}
	return file, nil
}
