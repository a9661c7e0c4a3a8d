package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// A restartKey is what a reload would have to change and cannot.
type restartKey struct {
	key     string
	places  []string // other keys that it may be written with
	was, is any
}

// checkReload refuses what a reload cannot change, and names it with its place in the file.
func (d *Daemon) checkReload(next *Loaded) error {
	o := &next.Options
	if keys := d.options.restartKeys(o); len(keys) > 0 {
		var texts []string
		for _, k := range keys {
			text := fmt.Sprintf("%s: %v -> %v", k.key, k.was, k.is)
			texts = append(texts, next.file.At(errors.New(text), append([]string{k.key}, k.places...)...).String())
		}
		return fmt.Errorf("%s %w", strings.Join(texts, "; "), ErrRestart)
	}
	if o.open() && !d.options.open() && !isLoopback(d.host) && o.Host == "" {
		return fmt.Errorf("without authorization the server listens on this machine only, and it listens on %s now: changing that %w", d.host, ErrRestart)
	}
	return nil
}

// restartKeys lists what differs and cannot be changed while running, in the order of the manual.
func (o *Options) restartKeys(next *Options) (keys []restartKey) {
	for _, k := range []restartKey{
		{"host", []string{"listen"}, quoted(o.Host), quoted(next.Host)},
		{"port", []string{"listen"}, o.Port, next.Port},
		{"server_name", nil, quoted(o.Server.ServerName), quoted(next.Server.ServerName)},
		{"http", []string{"http_port"}, o.Monitor.HTTP.shown(), next.Monitor.HTTP.shown()},
		{"https", []string{"https_port"}, o.Monitor.HTTPS.shown(), next.Monitor.HTTPS.shown()},
		{"http_base_path", nil, quoted(o.Monitor.BasePath), quoted(next.Monitor.BasePath)},
		{"leafnodes.listen", []string{"leafnodes.port", "leafnodes.host", "leafnodes"}, Address{o.Leaf.Host, o.Leaf.Port}.shown(), Address{next.Leaf.Host, next.Leaf.Port}.shown()},
		{"loops", nil, o.Engine.Loops, next.Engine.Loops},
		{"max_pending", nil, o.Engine.MaxPending, next.Engine.MaxPending},
		{"pending_total", nil, o.Engine.PendingTotal, next.Engine.PendingTotal},
		{"partial_total", nil, o.Engine.PartialTotal, next.Engine.PartialTotal},
		{"write_deadline", nil, o.Engine.WriteDeadline, next.Engine.WriteDeadline},
		{"memory_limit", nil, o.MemoryLimit, next.MemoryLimit},
		{"control_socket", nil, quoted(o.ControlSocket), quoted(next.ControlSocket)},
		{"pid_file", nil, quoted(o.PidFile), quoted(next.PidFile)},
		{"ports_file_dir", nil, quoted(o.PortsFileDir), quoted(next.PortsFileDir)},
	} {
		if k.was != k.is {
			keys = append(keys, k)
		}
	}
	return keys
}

// shown is an address as a message has it.
func (a Address) shown() string {
	if a.Port == 0 {
		return "none"
	}
	return net.JoinHostPort(strings.Trim(a.Host, "[]"), strconv.Itoa(a.Port))
}

// quoted is a text as a message has it.
func quoted(text string) string {
	if text == "" {
		return "none"
	}
	return strconv.Quote(cut(text))
}

// reloadedHost says when the server goes on listening where it was started to, although it would listen
// elsewhere now.
func (d *Daemon) reloadedHost(o *Options) {
	host, _, _ := o.listenHost()
	if host == d.host || o.Host != "" {
		return
	}
	d.logger.Warn(fmt.Sprintf("Reload: the server still listens on %s, as it was started without authorization: it will listen on %s after the next restart", d.host, cmp.Or(host, anyHost)))
}
