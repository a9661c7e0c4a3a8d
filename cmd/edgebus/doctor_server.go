package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// What there is to find about the server that runs, and about its hubs.

// maxGreeting bounds a server's first line.
const maxGreeting = 64 << 10

// A greeting is what is read of a server's INFO.
type greeting struct {
	ServerID     string `json:"server_id"`
	ServerName   string `json:"server_name"`
	Version      string `json:"version"`
	AuthRequired bool   `json:"auth_required"`
	TLSRequired  bool   `json:"tls_required"`
}

// address is where clients connect: as --server says, or the configuration.
func (e *examination) address() (host, port string) {
	if e.loaded != nil && !e.serverGiven() {
		o := &e.loaded.Options
		return localAddress(o.Host), strconv.Itoa(o.Port)
	}
	first, _, _ := strings.Cut(e.c.String("server"), ",")
	if !strings.Contains(first, "://") {
		first = "nats://" + first
	}
	u, err := url.Parse(strings.TrimSpace(first))
	if err != nil || u.Hostname() == "" {
		return "", ""
	}
	return u.Hostname(), cmp.Or(u.Port(), client.DefaultPort)
}

// serverGiven reports whether the server is named, and not only by the environment beside a configuration that
// the command line names.
func (e *examination) serverGiven() bool {
	if e.c.IsTyped("config") || e.c.IsTyped("dir") {
		return e.c.IsTyped("server")
	}
	return e.c.IsSet("server")
}

// server looks whether ours listens where it should, or somebody else.
func (e *examination) server(ctx context.Context) error {
	host, port := e.address()
	if host == "" {
		return usageError("--server wants a URL such as nats://127.0.0.1:4222")
	}
	if !e.serverGiven() && (port == "-1" || e.loaded == nil && e.c.String("monitor") != "") {
		// Where it listens its pages say.
		if host, port = e.addressByPages(ctx); port == "" {
			return nil
		}
	}
	at := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, e.c.Duration("timeout"))
	defer cancel()
	conn, err := e.dial(ctx, "tcp", at)
	if err != nil {
		e.nobody(at, err)
		return nil
	}
	defer conn.Close()
	if e.loaded != nil && e.loaded.Options.TLS != nil && bool(e.loaded.Options.TLS.HandshakeFirst.On) {
		e.answers = true // it may, once TLS is done
		e.add(isWell, "port", "", "%s takes connections, and wants TLS at once", at)
		return nil
	}
	hello, err := readGreeting(ctx, conn)
	switch name := e.ownName(); {
	case err != nil:
		e.add(isError, "port", fmt.Sprintf("stop that program, or choose another port for the server; `ss -ltnp 'sport = :%s'` shows who it is", port),
			"%s is taken by a program that is no NATS server (%v)", at, err)
	case name != "" && hello.ServerName != name:
		e.add(isError, "port", "stop the other one, or choose another port for this one", "%s is taken by another server, %q, and not by %q", at, clean(hello.ServerName, 64), name)
	default:
		e.answers, e.wantAuth, e.id = true, hello.AuthRequired || hello.TLSRequired, hello.ServerID
		e.add(isWell, "port", "", "%s is server %q (NATS %s)", at, clean(hello.ServerName, 64), clean(hello.Version, 32))
		e.login(ctx, at)
	}
	return nil
}

// addressByPages is where the running server has clients connect; nothing if it does not say.
func (e *examination) addressByPages(ctx context.Context) (host, port string) {
	from, err := pagesOf(e.c, e.loaded)
	var v varzPage
	if err == nil {
		err = from.get(ctx, "/varz", &v)
	}
	// The pages are there a moment before the port is.
	for began := time.Now(); err == nil && v.Port == 0 && time.Since(began) < e.c.Duration("timeout"); {
		pause(ctx, askEvery)
		err = from.get(ctx, "/varz", &v)
	}
	if err == nil && v.Port == 0 {
		err = errors.New("its pages name no port")
	}
	if err != nil {
		e.add(isError, "server", e.startRemedy(), "no server could be asked where it listens: %v", err)
		return "", ""
	}
	return from.at.Hostname(), strconv.Itoa(v.Port)
}

// ownName is the name that the server has by its configuration; empty: any.
func (e *examination) ownName() string {
	if e.loaded == nil {
		return ""
	}
	return e.loaded.Options.Server.ServerName
}

// nobody says why nothing could be connected to.
func (e *examination) nobody(at string, err error) {
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup):
		e.add(isError, "DNS", "look for a slip in the name, or at the DNS server that this machine uses (/etc/resolv.conf)", "the name %q cannot be looked up: %v", lookup.Name, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.add(isError, "server", e.startRemedy(), "no server runs at %s", at)
	default:
		e.add(isError, "server", "is the line up, and the address right? A firewall may drop the connection", "%s cannot be reached: %v", at, err)
	}
}

func (e *examination) startRemedy() string {
	if e.path == "" {
		return "start it (\"edgebus up\" makes a first one), or say where it is with --server or -c"
	}
	if e.isService() {
		return "start it: systemctl start edgebus; its log: journalctl -u edgebus"
	}
	return "start it: edgebus -c " + e.path
}

// isService reports whether the machine has a service with the configuration.
func (e *examination) isService() bool {
	path, err := filepath.Abs(e.path)
	if err != nil || !isThere(filepath.Join(e.root, "run/systemd/system")) {
		return false
	}
	for _, folder := range append([]string{ownUnits}, packagedUnits[:]...) {
		if text, err := os.ReadFile(filepath.Join(e.root, folder, unitName)); err == nil {
			return strings.Contains(string(text), " -c "+path+"\n") || strings.Contains(string(text), " -c "+unitWord(path)+"\n")
		}
	}
	return false
}

// readGreeting reads INFO. The error says what came instead.
func readGreeting(ctx context.Context, conn net.Conn) (g greeting, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetReadDeadline(deadline)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxGreeting)).ReadString('\n')
	text, isInfo := strings.CutPrefix(line, "INFO ")
	switch {
	case isInfo && json.Unmarshal([]byte(text), &g) == nil:
		return g, nil
	case line != "":
		return g, fmt.Errorf("it says %q", clean(firstLine(line), 40))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return g, errors.New("it says nothing")
	}
	return g, errors.New("it closes the connection")
}

// login tries the credentials of the command line.
func (e *examination) login(ctx context.Context, at string) {
	given := false
	for _, name := range []string{"user", "token", "creds", "nkey", "tlscert"} {
		given = given || e.c.String(name) != ""
	}
	if !given && e.wantAuth {
		e.add(wasSkipped, "login", "say --user and --password, or --creds, --nkey, --token or --tlscert, to have it tried", "the server wants credentials or TLS, and none were given")
		return
	}
	options, err := connectionFlags(e.c)
	if err != nil {
		e.add(isError, "login", "look at the options of this command", "%v", err)
		return
	}
	began := e.now()
	conn, err := client.Connect(ctx, at, append(options, client.NoReconnect())...)
	switch user := e.c.String("user"); {
	case errors.Is(err, client.ErrAuthorization) && user != "":
		e.add(isError, "login", "compare user and password with the configuration of the server; its log names the reason", "the server refuses user %q: wrong user or password", user)
	case errors.Is(err, client.ErrAuthorization):
		e.add(isError, "login", "compare them with the configuration of the server; its log names the reason", "the server refuses these credentials")
	case err != nil:
		e.add(isError, "login", "compare the options of this command with what the server wants; its log may say more", "%v", err)
	default:
		defer conn.Close()
		if _, err := conn.RTT(ctx); err != nil {
			e.add(isError, "login", "the server may be overloaded: look at `edgebus top`", "connected to %s, but it does not answer: %v", at, err)
			return
		}
		e.add(isWell, "login", "", "logged in within %v", roundDuration(e.now().Sub(began)))
	}
}

// pages asks the running server how it is.
func (e *examination) pages(ctx context.Context) {
	if !e.answers {
		return
	}
	from, err := pagesOf(e.c, e.loaded)
	if err != nil {
		e.add(wasSkipped, "pages", "add http: \"127.0.0.1:8222\" to it, so that the running server can be looked into", "%v", err)
		return
	}
	bad := isWarning
	if e.loaded == nil && e.c.String("monitor") == "" {
		bad = wasSkipped // nobody has said that there are any
	}
	var v varzPage
	if err := from.get(ctx, "/varz", &v); err != nil {
		e.add(bad, "pages", "start the server with -m 8222, or say where its pages are with --monitor, so that it can be looked into", "%v", err)
		return
	}
	if e.id != "" && v.ServerID != e.id {
		e.add(bad, "pages", "say with --monitor where the pages of this server are, or start it with -m", "%s shows another server, %q", from.at.Host, clean(v.ServerName, 64))
		return
	}
	e.load(&v)
	var leaves leafzPage
	if err := from.get(ctx, "/leafz", &leaves); err != nil {
		e.add(isWarning, "pages", "look at the log of the server", "%v", err)
		return
	}
	e.links(&leaves)
}

// load looks at what the server has to carry.
func (e *examination) load(v *varzPage) {
	before := len(e.findings)
	if v.MemLimit > 0 && v.Mem >= v.MemLimit/100*nearlyAll {
		e.add(isWarning, "memory", "raise memory_limit, or lower max_connections and max_pending", "the server uses %s of the %s that it may", volume(float64(v.Mem)), volume(float64(v.MemLimit)))
	}
	if v.MaxConnections > 0 && v.Connections*100 >= v.MaxConnections*nearlyAll {
		e.add(isWarning, "server", "raise max_connections, or look with `edgebus top` who they are", "%d of %d connections are taken", v.Connections, v.MaxConnections)
	}
	if v.SlowConsumers > 0 {
		e.add(isWarning, "server", "the log names them: their lines are too thin, or they do not keep up with what they subscribe to", "%d clients were closed because they did not take what they had asked for", v.SlowConsumers)
	}
	if e.loaded != nil && v.ConfigDigest != "" && e.loaded.Digest != "" && v.ConfigDigest != e.loaded.Digest {
		e.add(isWarning, "configuration", "have the server read it: kill -HUP, or edgebus --signal reload=PIDFILE", "%s has changed since the running server has read it, or it runs with another file", e.path)
	}
	if len(e.findings) == before {
		e.add(isWell, "server", "", "up %s, %s, %s of memory", v.Uptime, plural(v.Connections, "connection"), volume(float64(v.Mem)))
	}
}

// links says how the running server stands with its hubs.
func (e *examination) links(z *leafzPage) {
	for i := range z.Remotes {
		r := &z.Remotes[i]
		e.told = true
		switch {
		case r.Up:
			e.add(isWell, "hub", "", "joined to %s since %s", r.URL, r.Since.Local().Format("2006-01-02 15:04:05"))
		case r.Reason == "":
			e.add(isWarning, "hub", "wait a moment and look again", "%s has not been joined yet", r.URL)
		default:
			e.add(isError, "hub", cmp.Or(r.Remedy, "look at the log of the server and at that of the hub"), "%s is not joined: %s", r.URL, r.Reason)
		}
	}
	for i := range z.Leafs {
		if k := z.Leafs[i].Link; k != nil && k.Dropped > 0 {
			e.add(isWarning, "hub", "the line is too thin for what is to cross it: narrow what crosses with deny_exports, or raise max_pending", "%d messages for %q were dropped because too many waited", k.Dropped, clean(z.Leafs[i].Name, 64))
		}
	}
	if z.TooBig > 0 {
		e.add(isWarning, "hub", "use the same max_payload on both sides", "%d messages were larger than the other side of a link takes", z.TooBig)
	}
	if lost := z.LostWaiting + z.LostUnconfirmed; lost > 0 {
		e.add(isWarning, "hub", "look at the line: what has to arrive needs a publisher that waits for an answer", "%d messages waited or were under way when a link was cut", lost)
	}
}

// hubs tries each hub, unless a running server has told of them.
func (e *examination) hubs(ctx context.Context) {
	if e.loaded == nil || e.told || e.c.Bool("no-hubs") {
		return
	}
	trials, err := e.loaded.TryRemotes(ctx)
	for i := range trials {
		t := &trials[i]
		if t.Up {
			e.add(isWell, "hub", "", "%s can be joined: %q (NATS %s), round trip %v", t.URL, clean(t.Hub, 64), clean(t.HubVersion, 32), t.RTT.Round(10*time.Microsecond))
			continue
		}
		e.add(isError, "hub", cmp.Or(t.Remedy, "look at the log of the hub"), "%s cannot be joined: %s", t.URL, t.Reason)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		e.add(wasSkipped, "hub", "mend the others first, or look at each with edgebus check -c FILE --connect", "not every hub was tried in the time that there was")
	case err != nil:
		e.add(isError, "hub", "try again, or leave hubs out with --no-hubs", "not every hub was tried: %v", err)
	}
}
