package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/daemon"
)

// fromOutside are the addresses by which other machines come, those that people type first; of a machine
// without a network, those of itself.
func fromOutside(urls []string) []string {
	rank := func(text string) int {
		u, err := url.Parse(text)
		if err != nil {
			return 4
		}
		switch addr, err := netip.ParseAddr(u.Hostname()); {
		case err != nil:
			return 0
		case addr.IsLinkLocalUnicast():
			return 4 // it wants a zone, which is another one on each machine
		case addr.IsLoopback():
			return 3
		case addr.Is4():
			return 1
		default:
			return 2
		}
	}
	sorted := slices.DeleteFunc(slices.Clone(urls), func(u string) bool { return rank(u) > 3 })
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	if len(sorted) > 0 && rank(sorted[0]) < 3 {
		sorted = slices.DeleteFunc(sorted, func(u string) bool { return rank(u) == 3 })
	}
	return sorted
}

// tellUp says how to connect to a server that runs. more is what our own commands need to find its site.
func (p *program) tellUp(s site, more string, status daemon.Status, login *newSecret) error {
	var b strings.Builder
	typed := p.typed()
	fmt.Fprintf(&b, "\nedgebus is up (process %d), configured by %s\n\n", status.PID, s.config())
	for _, address := range fromOutside(status.Clients) {
		fmt.Fprintf(&b, "  reached at   %s\n", address)
	}
	fmt.Fprintf(&b, "  user         %s\n", login.User)
	shown := login.Password
	if login.Password == unknownPassword {
		shown = "was shown when it was made; \"" + typed + " up --new-password" + more + "\" makes another"
	}
	fmt.Fprintf(&b, "  password     %s\n", shown)
	for _, address := range fromOutside(status.Monitoring) {
		fmt.Fprintf(&b, "  monitoring   %s\n", address)
	}
	if len(status.Remotes) == 0 {
		fmt.Fprintf(&b, "  hub          none; \"%s up --hub URL --creds FILE%s\" joins one\n", typed, more)
	}
	for _, r := range status.Remotes {
		fmt.Fprintf(&b, "  hub          %s\n", remoteState(r))
	}
	address := "nats://127.0.0.1:4222"
	if all := fromOutside(status.Clients); len(all) > 0 {
		address = all[0]
	}
	fmt.Fprintf(&b, `
Publish, from here or another machine:

  %[1]s pub -s %[2]s --user %[3]s --password %[4]s hello world
  nats pub -s %[2]s --user %[3]s --password %[4]s hello world

In Go, with github.com/edgebus-io/edgebus/client:

  conn, err := client.Connect(ctx, "%[2]s", client.UserPassword("%[3]s", "%[4]s"))

"%[1]s device add sensor-1%[5]s" lets a device in that may do less.
`, typed, address, login.User, login.Password, more)
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// unknownPassword stands where a password goes that is not known any more.
const unknownPassword = "PASSWORD"

// known is the password, if it is known.
func (n *newSecret) known() string {
	if n.Password == unknownPassword {
		return ""
	}
	return n.Password
}

// remoteState is a sentence about a hub.
func remoteState(r daemon.RemoteStatus) string {
	switch {
	case r.Up:
		return r.URL + " is joined"
	case r.Reason == "":
		return r.URL + " has not answered yet"
	case r.Remedy == "":
		return r.URL + " is down: " + r.Reason
	}
	return r.URL + " is down: " + r.Reason + "\n               " + r.Remedy
}

// typed is what people type to run this program: its name alone, if the shell finds it by that.
func (p *program) typed() string {
	own, err := os.Executable()
	if err != nil {
		return p.name
	}
	found, err := exec.LookPath(p.name)
	if err == nil {
		if found, err = filepath.EvalSymlinks(found); err == nil && found == own {
			return p.name
		}
	}
	return shellWord(own)
}

// plainWord is a word that a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// shellWord is a word as it is typed.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// dirTyped is the option that finds a site again, if it takes one.
func dirTyped(c *invocation, s site) string {
	if !c.IsTyped("dir") {
		return ""
	}
	return " --dir " + shellWord(s.dir)
}
