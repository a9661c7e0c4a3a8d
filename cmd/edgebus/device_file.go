package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// devices.conf is a list of users in the configuration's grammar, of which JSON is a part: each entry is a
// line of JSON below a comment with its name and day, so that it can be read back without the grammar.

// maxDevices bounds the list: each change writes all of it.
const maxDevices = 10000

// A deviceEntry is one user.
type deviceEntry struct {
	name  string
	added string // day

	user deviceUser
}

type deviceUser struct {
	User        string             `json:"user,omitempty"`
	Password    string             `json:"password,omitempty"`
	NKey        string             `json:"nkey,omitempty"`
	Permissions *devicePermissions `json:"permissions,omitempty"` // nil: everything is allowed
}

type devicePermissions struct {
	Publish        deviceSubjects `json:"publish"`
	Subscribe      deviceSubjects `json:"subscribe"`
	AllowResponses bool           `json:"allow_responses"`
}

type deviceSubjects struct {
	Allow []string `json:"allow"`
}

const devicesHead = `# Who may connect. Written by "edgebus device" and "edgebus up", which keep nothing else that is written
# here: one user a line, its name and day above it. The server reads it anew with each change.
users: [
`

var (
	deviceName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)
	deviceComment = regexp.MustCompile(`^# ([A-Za-z0-9][A-Za-z0-9_-]{0,31}), added (\d{4}-\d\d-\d\d)$`)
)

func checkDeviceName(name string) error {
	if !deviceName.MatchString(name) {
		return usageError("%q is no name for a device: 32 letters, digits, _ and - at most, a letter or digit first", name)
	}
	return nil
}

// newDevice is an entry of today. allow are templates of subjects; none: everything.
func newDevice(name string, allow []string) deviceEntry {
	d := deviceEntry{name: name, added: time.Now().UTC().Format(time.DateOnly)}
	if len(allow) == 0 {
		return d
	}
	subjects := make([]string, len(allow))
	for i, template := range allow {
		subjects[i] = strings.ReplaceAll(template, "{name}", name)
	}
	// Answers to its own requests come to an inbox that no other device may listen at; answers that it
	// gives go wherever the request says.
	d.user.Permissions = &devicePermissions{
		Publish:        deviceSubjects{subjects},
		Subscribe:      deviceSubjects{append(slices.Clone(subjects), deviceInbox(name)+".>")},
		AllowResponses: true,
	}
	return d
}

func deviceInbox(name string) string { return "_INBOX_" + name }

// kind is how the device shows who it is.
func (d *deviceEntry) kind() string {
	if d.user.NKey != "" {
		return "nkey"
	}
	return "password"
}

// allowed is what list shows.
func (d *deviceEntry) allowed() []string {
	if d.user.Permissions == nil {
		return []string{">"}
	}
	return d.user.Permissions.Publish.Allow
}

// readDevices reads the list back. What another hand has written is refused: writing the list would lose it.
func readDevices(path string) (list []deviceEntry, err error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, unreadable(path)
	case err != nil:
		return nil, err
	}
	name, added := "", ""
	head := strings.Split(strings.TrimSpace(devicesHead), "\n")
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if slices.Contains(head, line) || line == "" || line == "]" {
			continue
		}
		if match := deviceComment.FindStringSubmatch(line); match != nil && name == "" {
			name, added = match[1], match[2]
			continue
		}
		entry := deviceEntry{name: name, added: added}
		decoder := json.NewDecoder(strings.NewReader(strings.TrimSuffix(line, ",")))
		decoder.DisallowUnknownFields()
		if name == "" || decoder.Decode(&entry.user) != nil || decoder.More() {
			return nil, fmt.Errorf("%s:%d: this line was not written by \"edgebus device\" and would be lost: take it out, \"edgebus device add\" makes users", path, number)
		}
		list, name = append(list, entry), ""
	}
	return list, nil
}

// readDevices reads the site's list, which is empty before the first device.
func (s site) readDevices() ([]deviceEntry, error) {
	list, err := readDevices(s.devices())
	if !errors.Is(err, os.ErrNotExist) {
		return list, err
	}
	if s.check() == nil {
		return nil, s.notIncluded() // it would miss the file
	}
	return nil, nil // what else may be wrong keeps the list from being applied
}

// notIncluded is the error of a list that would have no effect.
func (s site) notIncluded() error {
	return fmt.Errorf(`%[1]s does not read %[2]s, the list of who may connect. Put these lines into %[1]s (in place of an authorization block that is there) and try again:
  authorization {
    include "devices.conf"
  }
From then on everybody needs a password or a key: whoever connects without one now has to be a device too`, s.config(), filepath.Base(s.devices()))
}

// counts reports whether everybody of the list is in the configuration.
func (s site) counts(o *daemon.Options, list []deviceEntry) error {
	known := make(map[string]bool)
	for i := range o.Auth.Users {
		known[cmp.Or(o.Auth.Users[i].NKey, o.Auth.Users[i].User)] = true
	}
	for i := range list {
		if !known[cmp.Or(list[i].user.NKey, list[i].user.User)] {
			return s.notIncluded()
		}
	}
	return nil
}

// devicesText is the file with a list.
func devicesText(list []deviceEntry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(devicesHead)
	for i := range list {
		line := new(bytes.Buffer)
		encoder := json.NewEncoder(line)
		encoder.SetEscapeHTML(false) // the configuration's grammar has no \u003e
		if err := encoder.Encode(list[i].user); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "  # %s, added %s\n  %s,\n", list[i].name, list[i].added, bytes.TrimSpace(line.Bytes()))
	}
	b.WriteString("]\n")
	return b.Bytes(), nil
}

func findDevice(list []deviceEntry, name string) int {
	return slices.IndexFunc(list, func(d deviceEntry) bool { return d.name == name })
}
