package main

import (
	"cmp"
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

// A site is a folder with a configuration and what it includes: one that "edgebus up" keeps, or that of a
// package.
type site struct {
	dir string
}

func (s site) config() string  { return filepath.Join(s.dir, "edgebus.conf") }
func (s site) devices() string { return filepath.Join(s.dir, "devices.conf") }
func (s site) uplink() string  { return filepath.Join(s.dir, "uplink.conf") }

// ownSocket is the control socket that up gives a site.
func (s site) ownSocket() string { return filepath.Join(s.dir, "control.sock") }

// socket is the control socket of the site's server. It reads the configuration.
func (s site) socket() string {
	return cmp.Or(daemon.ControlSocket(s.config()), s.ownSocket())
}

// files are all that up makes, the configuration first: without it there is no site. A killed server has
// left its socket.
func (s site) files() []string {
	return []string{s.config(), s.devices(), s.uplink(), s.ownSocket(), s.lockFile()}
}

func (s site) lockFile() string { return filepath.Join(s.dir, ".lock") }

// exists reports whether there is a configuration.
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
		dir = rootDir
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

// rootDir is the folder of root, and of packages.
const rootDir = "/etc/edgebus"

// mustExist is for commands that need a configuration.
func (s site) mustExist() error {
	_, err := os.Lstat(s.config())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return unreadable(s.config())
	}
	remedy := "\"edgebus up\" writes one, --dir names another folder"
	if _, err := os.Lstat(rootDir); err == nil && os.Geteuid() > 0 && s.dir != rootDir {
		remedy += "; for the one in " + rootDir + " try sudo"
	}
	return fmt.Errorf("there is no %s; %s", s.config(), remedy)
}

// unreadable is the error of a file that may not even be looked at. The configuration's reader says the same.
func unreadable(path string) error {
	return fmt.Errorf("%s may not be read by this user: try sudo, or change its owner or mode", path)
}

// controlPatience is how long a server may take for what it is asked.
const controlPatience = 10 * time.Second

// status asks the running server what it is. The error is daemon.ErrNoServer if there is none.
func (s site) status(ctx context.Context) (daemon.Status, error) { return statusAt(ctx, s.socket()) }

// statusAt is status for who asks again and again: it does not look the socket up.
func statusAt(ctx context.Context, socket string) (status daemon.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	answer, err := daemon.Control(ctx, socket, "status", nil)
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

// change writes one file, which need not be there yet, and applies it. What seen refuses (nil: nothing), of the
// configuration with the file, and what cannot be applied is taken back.
func (s site) change(ctx context.Context, path string, content []byte, seen func(*daemon.Options) error) (running bool, err error) {
	takeBack := func() error { return os.Remove(path) }
	switch before, err := os.ReadFile(path); {
	case err == nil:
		takeBack = func() error { return writeSecret(path, before) }
	case !errors.Is(err, os.ErrNotExist):
		return false, err
	}
	if err := writeSecret(path, content); err != nil {
		return false, err
	}
	if seen != nil {
		err = s.see(seen)
	}
	if err == nil {
		running, err = s.apply(ctx)
	}
	if err != nil {
		err = errors.Join(err, takeBack())
	}
	return running, err
}

// see has a look at the configuration as it is now; one with mistakes is for apply to refuse.
func (s site) see(look func(*daemon.Options) error) error {
	loaded, err := daemon.Load(s.config(), nil)
	if err != nil {
		return nil
	}
	defer loaded.Close()
	return look(&loaded.Options)
}
