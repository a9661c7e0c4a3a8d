package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

const uplinkHead = `# The hub that this server joins. Written by "edgebus up --hub URL --creds FILE".
`

// uplinkText is the file about the hub. hub may be empty.
func uplinkText(hub, creds string) (string, error) {
	if hub == "" {
		return uplinkHead + "remotes: [ ]\n", nil
	}
	hub, err := hubURL(hub)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("urls: [ \"%s\" ]", hub)
	if creds != "" {
		path, err := filepath.Abs(creds)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("--creds: %w", err)
		}
		if strings.ContainsAny(path, "\"\\\n") {
			return "", usageError("--creds: a path with quotes or backslashes cannot stand in a configuration")
		}
		line += fmt.Sprintf(", credentials: \"%s\"", path)
	}
	return uplinkHead + "remotes: [\n  { " + line + " }\n]\n", nil
}

// hubURL completes what people type: a name alone is a hub at the usual port.
func hubURL(text string) (string, error) {
	whole := text
	if !strings.Contains(whole, "://") {
		whole = "nats-leaf://" + whole
	}
	u, err := url.Parse(whole)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(whole, "\"\\ \t\n") {
		return "", usageError("--hub wants an address such as tls://hub.example.com:7422") // it may hold a password
	}
	if u.Port() == "" && (u.Scheme == "tls" || strings.HasPrefix(u.Scheme, "nats")) {
		u.Host += ":7422"
	}
	return u.String(), nil
}

// write makes a new site. The configuration comes last: without it there is none.
func (s site) write(d *siteDraft, user deviceEntry) error {
	uplink, err := uplinkText(d.hub, d.creds)
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
	}{{s.devices(), string(devices)}, {s.uplink(), uplink}, {s.config(), s.configText(d)}} {
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
