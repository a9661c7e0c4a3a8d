package main

import (
	"errors"
	"fmt"
	"os"
)

// A siteDraft is what up has been told of a first configuration.
type siteDraft struct {
	host              string
	port, monitorPort int
	hub, creds        string
}

// configText is the configuration: short, so that it is read.
func (s site) configText(d *siteDraft) string {
	return fmt.Sprintf(`# Written by "edgebus up". Yours to change: up leaves it as it is from now on. Every key that there is stands
# in configs/edgebus.conf of the source; "edgebus check -c" looks for mistakes.

# Clients connect here, by default from the whole network: nobody comes in without a password or a key.
host: "%s"
port: %d

# Pages with the server's state, for this machine only: /varz, /connz, /leafz and others.
http: "127.0.0.1:%d"

# By this, "edgebus device", "edgebus down" and other commands reach the server. Only you may use it.
control_socket: "%s"

# Who may connect: "edgebus device add" and "revoke" write the list.
authorization {
  include "devices.conf"
}

# The hub to join: "edgebus up --hub URL --creds FILE" writes it.
leafnodes {
  include "uplink.conf"
}
`, d.host, d.port, d.monitorPort, s.ownSocket())
}

// write makes a new site. The configuration comes last: without it there is none.
func (s site) write(d *siteDraft, user deviceEntry) error {
	hub, err := newUplink(d.hub, d.creds)
	if err != nil {
		return err
	}
	devices, err := devicesText([]deviceEntry{user})
	if err != nil {
		return err
	}
	for _, file := range []struct {
		path string
		text string
	}{{s.devices(), string(devices)}, {s.uplink(), string(hub.text())}, {s.config(), s.configText(d)}} {
		if err := writeSecret(file.path, []byte(file.text)); err != nil {
			return err
		}
	}
	if err := s.check(); err != nil {
		return errors.Join(err, s.remove())
	}
	return nil
}

// remove takes away what up writes, and the folder if nothing else is in it.
func (s site) remove() error {
	for _, path := range s.files() {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	os.Remove(s.dir) // fails if there is something else in it, as it should
	return nil
}
