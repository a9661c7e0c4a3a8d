package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func deviceCommand(p *program) *tool {
	return &tool{
		Name: "device",
		Description: `Says who may connect to a server, at once and without a restart: one that "edgebus up" has started, or one
whose configuration has authorization { include "devices.conf" }:

    add NAME       make a user and show its secret, this once
    list           show who may connect
    revoke NAME    take it back; its connections are closed

A device may publish and subscribe to what --allow says, in which {name} stands for its name. Answers to
requests of its own come to _INBOX_NAME.>, so its client needs that inbox prefix; it may answer any request.`,
		Words: []string{"add", "list", "revoke"},
		Flags: []option{
			dirFlag(),
			&stringsFlag{Name: "allow", Usage: "`SUBJECT` that it may use, may be repeated (default \"sensors.{name}.>\")"},
			&boolFlag{Name: "password", Usage: "it logs in with a password, the default"},
			&boolFlag{Name: "nkey", Usage: "it logs in with a key, which never travels"},
			&boolFlag{Name: "qr", Usage: "show the secret as a QR code as well, as on a terminal"},
			&boolFlag{Name: "json", Usage: "print JSON for programs"},
		},
		Action: p.device,
	}
}

// placeholder is what looks like one in a template.
var placeholder = regexp.MustCompile(`\{[^.{}]*\}`)

// defaultAllow is what a device may use if nothing is said.
const defaultAllow = "sensors.{name}.>"

func (p *program) device(c *invocation) error {
	s, err := siteOf(c)
	if err != nil {
		return err
	}
	switch action := c.Arg(0); action {
	case "add", "revoke":
		if len(c.Args()) != 2 {
			return usageError("device %s takes one name, as in \"device %s sensor-1\"", action, action)
		}
		if err := checkDeviceName(c.Arg(1)); err != nil {
			return err
		}
	case "list":
		if len(c.Args()) != 1 {
			return usageError("device list takes no arguments")
		}
	default:
		return usageError("device wants add NAME, list or revoke NAME; try %q", p.name+" device --help")
	}
	if err := s.mustExist(); err != nil {
		return err
	}
	if c.Arg(0) != "list" { // which reads one version of the file or the next
		unlock, err := s.lock(context.Background())
		if err != nil {
			return err
		}
		defer unlock()
	}
	list, err := s.readDevices()
	if err != nil {
		return err
	}
	switch c.Arg(0) {
	case "add":
		return p.deviceAdd(c, s, list)
	case "revoke":
		return p.deviceRevoke(c, s, list)
	}
	return p.deviceList(c, list)
}

// A newSecret is what a device needs to come in, shown once.
type newSecret struct {
	Name     string   `json:"name"`
	Allow    []string `json:"allow"`
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty"`
	NKey     string   `json:"nkey,omitempty"`
	Seed     string   `json:"seed,omitempty"`
	Inbox    string   `json:"inbox_prefix,omitempty"`
	URL      string   `json:"url,omitempty"`
	Applied  bool     `json:"applied"`           // a running server knows it
	Restart  bool     `json:"restart,omitempty"` // it must be started again for devices elsewhere to reach it
}

func (p *program) deviceAdd(c *invocation, s site, list []deviceEntry) error {
	name := c.Arg(1)
	if c.Bool("nkey") && c.Bool("password") {
		return usageError("--nkey and --password: a device has one of them")
	}
	if findDevice(list, name) >= 0 {
		return fmt.Errorf("%s is there already; \"%s device revoke %s\" takes it back, another name is another device", name, p.name, name)
	}
	if len(list) >= maxDevices {
		return fmt.Errorf("there are %d devices, and that is as many as one file takes; revoke those that are gone", len(list))
	}
	allow := c.StringSlice("allow")
	if len(allow) == 0 {
		allow = []string{defaultAllow}
	}
	for _, template := range allow {
		if other := placeholder.FindString(strings.ReplaceAll(template, "{name}", "")); other != "" {
			return usageError("--allow %q: %s stands for nothing, {name} stands for the device", template, other)
		}
		if subject := strings.ReplaceAll(template, "{name}", name); !daemon.ValidFilter(subject) {
			return usageError("--allow: %q is not a valid subject", subject)
		}
	}
	entry := newDevice(name, allow)
	secret, err := entry.makeSecret(c.Bool("nkey"))
	if err != nil {
		return err
	}
	began := time.Now()
	if secret.Applied, err = s.writeDevices(append(list, entry)); err != nil {
		return err
	}
	took := time.Since(began)
	secret.Inbox = deviceInbox(name)
	secret.locate(s)
	if c.Bool("json") {
		return p.printJSON(secret)
	}
	p.showSecret(&secret, took, c.Bool("qr") || isTerminal(p.stdout))
	return nil
}

// generatedCost is bcrypt's least: the passwords are made up, of 130 random bits, so that guessing them
// is hopeless at any price, and a small gateway should not take seconds for each login.
const generatedCost = minCost

// makeSecret gives the entry a password or a key.
func (d *deviceEntry) makeSecret(nkey bool) (secret newSecret, err error) {
	secret = newSecret{Name: d.name, Allow: d.allowed()}
	if nkey {
		secret.NKey, secret.Seed, err = daemon.NewUserKey()
		d.user.NKey = secret.NKey
		return secret, err
	}
	secret.User, secret.Password = d.name, rand.Text()
	d.user.User = d.name
	d.user.Password, err = daemon.HashPassword(secret.Password, generatedCost)
	return secret, err
}

// locate fills in where the device connects, if the server runs and says so.
func (n *newSecret) locate(s site) {
	status, err := s.status(context.Background())
	if err != nil {
		return
	}
	addresses := fromOutside(status.Clients)
	if len(addresses) == 0 {
		return
	}
	n.URL = n.login(addresses[0])
	// A server that was started when anybody could come in listens on this machine only until it is started
	// again, unless the configuration says where.
	s.see(func(o *daemon.Options) error {
		n.Restart = o.Host == "" && !slices.ContainsFunc(addresses, func(a string) bool { return !onLoopback(a) })
		return nil
	})
}

func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// login is an address with the user's name and password, if it has them.
func (n *newSecret) login(address string) string {
	u, err := url.Parse(address)
	if err != nil || n.User == "" {
		return address
	}
	u.User = url.UserPassword(n.User, n.Password)
	return u.String()
}

func (s site) writeDevices(list []deviceEntry) (running bool, err error) {
	text, err := devicesText(list)
	if err != nil {
		return false, err
	}
	return s.change(context.Background(), s.devices(), text, func(o *daemon.Options) error { return s.counts(o, list) })
}

func (p *program) showSecret(n *newSecret, took time.Duration, qr bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s may use %s.\n\n", n.Name, strings.Join(n.Allow, " "))
	content := n.URL
	if n.Seed != "" {
		content = n.Seed
		fmt.Fprintf(&b, "  nkey seed     %s\n  public key    %s\n", n.Seed, n.NKey)
	} else {
		fmt.Fprintf(&b, "  user          %s\n  password      %s\n", n.User, n.Password)
		if content == "" {
			content = n.Password
		}
	}
	fmt.Fprintf(&b, "  inbox prefix  %s\n", n.Inbox)
	if n.URL != "" {
		fmt.Fprintf(&b, "  url           %s\n", n.URL)
	}
	b.WriteString("\nThe secret is shown this once; the server keeps only what it needs to check it.\n")
	if n.Applied {
		fmt.Fprintf(&b, "The running server knows it since %v.\n", took.Round(time.Millisecond))
	} else {
		b.WriteString("No server is running; it counts from the next start.\n")
	}
	if n.Restart {
		b.WriteString("The server listens on this machine only, as it was started when nobody needed a password: restart it, and\ndevices elsewhere reach it.\n")
	}
	if picture, err := qrCode(content); qr && err == nil {
		b.WriteString("\n" + picture)
	}
	io.WriteString(p.stdout, b.String())
}

func (p *program) deviceRevoke(c *invocation, s site, list []deviceEntry) error {
	name := c.Arg(1)
	at := findDevice(list, name)
	switch {
	case at < 0:
		return fmt.Errorf("there is no device %s; \"%s device list\" shows who there is", name, p.name)
	case list[at].user.Permissions == nil:
		return fmt.Errorf("%s may do everything, and without it nobody could; \"%s up --new-password\" gives it another password", name, p.name)
	case len(list) == 1:
		return fmt.Errorf("%s is the only one, and where nobody is named anybody may come in: \"%s device add\" another one first", name, p.name)
	}
	running, err := s.writeDevices(append(list[:at:at], list[at+1:]...))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(struct {
			Name    string `json:"name"`
			Applied bool   `json:"applied"` // by a running server
		}{name, running})
	}
	if running {
		fmt.Fprintf(p.stdout, "%s is revoked, its connections are closed\n", name)
	} else {
		fmt.Fprintf(p.stdout, "%s is revoked; no server is running\n", name)
	}
	return nil
}

func (p *program) deviceList(c *invocation, list []deviceEntry) error {
	type row struct {
		Name  string   `json:"name"`
		Kind  string   `json:"kind"`
		Added string   `json:"added"`
		Allow []string `json:"allow"`
	}
	rows := make([]row, len(list))
	for i := range list {
		d := &list[i]
		rows[i] = row{d.name, d.kind(), d.added, d.allowed()}
	}
	if c.Bool("json") {
		return p.printJSON(rows)
	}
	for _, r := range rows {
		fmt.Fprintf(p.stdout, "%-32s %-8s %s  %s\n", r.Name, r.Kind, r.Added, strings.Join(r.Allow, " "))
	}
	return nil
}

// printJSON prints one value for a program.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
