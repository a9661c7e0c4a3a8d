package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// A site is the folder that "edgebus up" keeps: a configuration and what it includes.
type site struct {
	dir string
}

func (s site) config() string  { return filepath.Join(s.dir, "edgebus.conf") }
func (s site) devices() string { return filepath.Join(s.dir, "devices.conf") }
func (s site) uplink() string  { return filepath.Join(s.dir, "uplink.conf") }
func (s site) socket() string  { return filepath.Join(s.dir, "control.sock") }

// files are all that up makes, the configuration first: without it there is no site. A killed server has
// left its socket.
func (s site) files() []string {
	return []string{s.config(), s.devices(), s.uplink(), s.socket(), s.lockFile()}
}

func (s site) lockFile() string { return filepath.Join(s.dir, ".lock") }

// exists reports whether up has been here.
func (s site) exists() bool {
	_, err := os.Lstat(s.config())
	return err == nil
}

const dirFlagUsage = "`FOLDER` of the configuration (default: /etc/edgebus for root, .config/edgebus in the home of others)"

func dirFlag() option {
	return &stringFlag{Name: "dir", EnvVars: []string{"EDGEBUS_DIR"}, Usage: dirFlagUsage}
}

// siteOf is the folder that a command line means.
func siteOf(c *invocation) (site, error) {
	dir := c.String("dir")
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		dir = "/etc/edgebus"
	default:
		own, err := os.UserConfigDir()
		if err != nil {
			return site{}, fmt.Errorf("%w; say --dir FOLDER", err)
		}
		dir = filepath.Join(own, "edgebus")
	}
	dir, err := filepath.Abs(dir)
	if err == nil && strings.ContainsAny(dir, "\"\\\n") {
		err = usageError("--dir: a path with quotes or backslashes cannot stand in a configuration")
	}
	return site{dir}, err
}

// mustExist is for commands that change what up has written.
func (s site) mustExist() error {
	if s.exists() {
		return nil
	}
	return fmt.Errorf("there is no %s; \"edgebus up\" writes one, --dir names another folder", s.config())
}

// controlPatience is how long a server may take for what it is asked.
const controlPatience = 10 * time.Second

// status asks the running server what it is. The error is daemon.ErrNoServer if there is none.
func (s site) status(ctx context.Context) (status daemon.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	answer, err := daemon.Control(ctx, s.socket(), "status", nil)
	if err == nil {
		err = json.Unmarshal(answer, &status)
	}
	return status, err
}

// apply has the running server read its configuration again; without one, what is in the files is checked.
func (s site) apply(ctx context.Context) (running bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	_, err = daemon.Control(ctx, s.socket(), "reload", nil)
	if !errors.Is(err, daemon.ErrNoServer) {
		return true, err
	}
	return false, s.check()
}

// check reports whether a server would start with the configuration.
func (s site) check() error {
	loaded, err := daemon.Load(s.config(), nil)
	if err != nil {
		return err
	}
	loaded.Close()
	return nil
}

// change replaces one file and applies it. What cannot be applied is taken back.
func (s site) change(ctx context.Context, path string, content []byte) (running bool, err error) {
	before, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if err := writeSecret(path, content); err != nil {
		return false, err
	}
	running, err = s.apply(ctx)
	if err != nil {
		err = errors.Join(err, writeSecret(path, before))
	}
	return running, err
}

// writeSecret writes a file that nobody else may read, as a whole or not at all.
func writeSecret(path string, content []byte) error {
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = aside.Write(content)
	if err == nil {
		err = aside.Sync() // a device that lost power must not have an empty file
	}
	if closed := aside.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(aside.Name(), path)
	}
	if err != nil {
		os.Remove(aside.Name())
	}
	return err
}
