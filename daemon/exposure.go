package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/edgebus-io/edgebus/config"
)

// What is open to more people than an operator may have meant. It is no mistake, and the server says it at the
// start, beside the address in question; who only checks a file is told by Exposures.

// unguardedLeaf is what to say of a leaf port where nobody has to log in; empty: somebody has to, or nobody
// else reaches it.
func (o *Options) unguardedLeaf() string {
	l := &o.Leaf
	if l.Port == 0 || !o.unguarded() || knowsPeers(l.TLS) || l.Auth.hasUsers() || isLoopback(o.leafHost()) {
		return ""
	}
	return fmt.Sprintf("anybody who reaches %s may join as a leaf, and read and write everything: add leafnodes.authorization, or listen on 127.0.0.1", shownDoor(o.leafHost(), l.Port))
}

// leafHost is where leaves may join: without a word about it and without authorization at this machine only.
func (o *Options) leafHost() string {
	l := &o.Leaf
	switch {
	case l.Host != "":
		return l.Host
	case o.unguarded() && !knowsPeers(l.TLS) && !o.NATSServerDefaults && !l.Auth.hasUsers():
		return loopbackHost
	}
	return anyHost
}

// openPages is what to say of pages at a host that everybody may look at; empty: not everybody may.
func (o *Options) openPages(host string, at Address) string {
	if at.Port == 0 || o.Monitor.HTTPS.Port != 0 || o.Monitor.User != "" || isLoopback(host) {
		return ""
	}
	return fmt.Sprintf("anybody who reaches %s sees who is connected: set http_user and http_password, or listen on 127.0.0.1", shownDoor(host, at.Port))
}

// shownDoor is an address for people; a port that is not known yet is left out.
func shownDoor(host string, port int) string {
	if port <= 0 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// nameless says which users come in by their name alone; empty: none.
func nameless(users []string) string {
	const shown = 5
	if len(users) == 0 {
		return ""
	}
	list := strings.Join(users[:min(shown, len(users))], ", ")
	if more := len(users) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return "users without a password: " + list + ": whoever knows such a name comes in; give them one (edgebus passwd)"
}

// Exposures says what in the file, or in what overrides it, is open to more people than may be meant: what the
// server warns of when it starts, with the places of the keys.
func (l *Loaded) Exposures() (found []config.Problem) {
	o := &l.Options
	add := func(text string, keys ...string) {
		if text != "" {
			found = append(found, l.file.At(errors.New(text), keys...))
		}
	}
	host, _, warning := o.listenHost()
	add(warning, "host", "net", "listen", "port")
	pages := host
	if o.Monitor.HTTP.Host != "" {
		pages = o.Monitor.HTTP.Host
	}
	add(o.openPages(pages, o.Monitor.HTTP), "http", "http_port", "monitor_port")
	add(o.unguardedLeaf(), "leafnodes.listen", "leafnodes.host", "leafnodes.port", "leafnodes")
	add(nameless(l.directory.WithoutPassword()), "authorization", "accounts")
	if l.directory.HasPlaintext() {
		add(plaintextPasswords, "authorization", "accounts")
		if info, err := os.Stat(o.ConfigFile); err == nil && info.Mode().Perm()&0o004 != 0 {
			add("anybody on this machine may read this file, with its passwords: chmod o-r it")
		}
	}
	return found
}
