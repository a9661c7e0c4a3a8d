package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// The monitoring pages of a running server, read with a GET of HTTP/1.0: one request a connection, which
// the answer ends. docs/adr/0009 says why net/http is not here.

const (
	// maxPage bounds a page: ten thousand connections take a tenth of it.
	maxPage = 64 << 20
	// maxPageHead bounds the status line and headers before it.
	maxPageHead = 16 << 10
	// defaultMonitor is where nats-server and we are told to have pages in most examples.
	defaultMonitor = "http://127.0.0.1:8222"
)

var (
	errNoPages    = errors.New("no monitoring pages")
	errPageRefuse = errors.New("the pages want a user and a password: say --monitor http://USER:PASSWORD@HOST:PORT")
)

// monitorFlags are those of every command that reads pages.
func monitorFlags(own ...option) []option {
	return append(own,
		&stringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE` that the server runs with, which says where its pages are"},
		dirFlag(),
		&stringFlag{Name: "monitor", Aliases: []string{"m"}, EnvVars: []string{"EDGEBUS_MONITOR"}, Usage: "`URL` of the monitoring pages, or their port on this machine, if that is not " + defaultMonitor},
	)
}

// configPath is the configuration of the server that a command is about: what -c names, or else what up has
// written, unless one of these other flags says which server. Empty: there is none.
func configPath(c *invocation, others ...string) (string, error) {
	if path := c.String("config"); path != "" {
		return path, nil
	}
	s, err := siteOf(c)
	// What is typed counts for more than what the environment says.
	for _, isSet := range []func(string) bool{c.IsTyped, c.IsSet} {
		if isSet("dir") {
			if err == nil {
				err = s.mustExist()
			}
			return s.config(), err
		}
		if slices.ContainsFunc(others, isSet) {
			return "", nil
		}
	}
	if err != nil || !s.exists() {
		return "", nil
	}
	return s.config(), nil
}

// loadedFrom loads a configuration; nil without one.
func loadedFrom(path string) (*daemon.Loaded, error) {
	if path == "" {
		return nil, nil
	}
	return daemon.Load(path, nil)
}

// pages are the monitoring pages at one address.
type pages struct {
	at      *url.URL
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// newPages takes a URL as people write it: with or without scheme and port, or as the port alone that -m is
// for the server.
func newPages(text string, timeout time.Duration) (*pages, error) {
	if port, err := strconv.ParseUint(text, 10, 16); err == nil && port > 0 {
		text = "127.0.0.1:" + text
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	at, err := url.Parse(text)
	if err != nil || at.Hostname() == "" || at.Scheme != "http" && at.Scheme != "https" {
		// Without the text, which may hold a password.
		return nil, usageError("--monitor wants a URL such as %s, or a port of this machine", defaultMonitor)
	}
	if at.Port() == "" {
		at.Host = net.JoinHostPort(at.Hostname(), "8222")
	}
	return &pages{at: at, timeout: timeout, dial: new(net.Dialer).DialContext}, nil
}

// pagesOf finds the pages by --monitor, or else by the configuration, or else where they mostly are.
func pagesOf(c *invocation, loaded *daemon.Loaded) (*pages, error) {
	if given := c.String("monitor"); given != "" {
		return newPages(given, c.Duration("timeout"))
	}
	if loaded == nil {
		return newPages(defaultMonitor, c.Duration("timeout"))
	}
	o := &loaded.Options
	where := monitorURL(o)
	if where == nil && o.ControlSocket != "" {
		// The system has chosen a port, and the server knows it.
		if at := monitorNow(o.ControlSocket, c.Duration("timeout")); at != "" {
			return newPages(at, c.Duration("timeout"))
		}
	}
	if where == nil {
		return nil, fmt.Errorf("%w: the configuration names no port for them", errNoPages)
	}
	return newPages(where.String(), c.Duration("timeout"))
}

// monitorURL is where a configuration has its pages; nil: nowhere that could be known.
func monitorURL(o *daemon.Options) *url.URL {
	at, scheme := o.Monitor.HTTP, "http"
	if o.Monitor.HTTPS.Port > 0 {
		at, scheme = o.Monitor.HTTPS, "https"
	}
	if at.Port <= 0 {
		return nil
	}
	host := at.Host
	if host == "" {
		host = o.Host
	}
	u := &url.URL{Scheme: scheme, Host: net.JoinHostPort(localAddress(host), strconv.Itoa(at.Port)), Path: o.Monitor.BasePath}
	if o.Monitor.User != "" && !strings.HasPrefix(o.Monitor.Password, "$2") { // of a hash nobody can make a password
		u.User = url.UserPassword(o.Monitor.User, o.Monitor.Password)
	}
	return u
}

// monitorNow is where a running server has its pages; empty if it does not say.
func monitorNow(socket string, timeout time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var status daemon.Status
	answer, err := daemon.Control(ctx, socket, "status", nil)
	if err != nil || json.Unmarshal(answer, &status) != nil || len(status.Monitoring) == 0 {
		return ""
	}
	return status.Monitoring[0]
}

// hintPages says what to try when there are no pages where they were looked for.
func hintPages(c *invocation, err error) error {
	if !errors.Is(err, errNoPages) {
		return err
	}
	if c.String("monitor") != "" {
		if at := pagesOfUp(c); at != "" {
			return fmt.Errorf("%w; the server that is up on this machine has them at %s: --monitor %[2]s, or leave it away", err, at)
		}
		return fmt.Errorf("%w; is that the port of the pages, which the server's log names (\"Starting http monitor\"), and not another's? A server without pages gets some with -m 8222, or http: \"127.0.0.1:8222\" in its configuration", err)
	}
	return fmt.Errorf("%w; start the server with -m 8222 or http: \"127.0.0.1:8222\" in its configuration, or say where its pages are with --monitor", err)
}

// pagesOfUp is where a running server has its pages that -c, --dir or what up has written leads to; empty: none.
func pagesOfUp(c *invocation) string {
	path, err := configPath(c)
	if err != nil || path == "" {
		return ""
	}
	socket := daemon.ControlSocket(path)
	if socket == "" {
		return ""
	}
	return monitorNow(socket, c.Duration("timeout"))
}

// localAddress is an address of this machine for a host that is listened on.
func localAddress(host string) string {
	switch host {
	case "", "0.0.0.0", "::", "[::]":
		return "127.0.0.1"
	}
	return strings.Trim(host, "[]")
}

// shown is the address without secrets.
func (p *pages) shown() string { return p.at.Scheme + "://" + p.at.Host }

// get reads a page, such as "/varz", into a value.
func (p *pages) get(ctx context.Context, page string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", p.at.Host)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", errNoPages, p.shown(), err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if p.at.Scheme == "https" {
		secured := tls.Client(conn, &tls.Config{ServerName: p.at.Hostname()})
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.shown(), err)
		}
		conn = secured
	}
	body, err := p.exchange(conn, page)
	if ctx.Err() != nil {
		return fmt.Errorf("%w at %s: nothing came within %v", errNoPages, p.shown(), p.timeout)
	}
	if errors.Is(err, errPageRefuse) {
		return fmt.Errorf("%s: %w", p.shown(), err)
	}
	if err != nil {
		return fmt.Errorf("%w at %s: %w", errNoPages, p.shown(), err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w at %s: its %s is none of a NATS server", errNoPages, p.shown(), page)
	}
	return nil
}

// exchange asks for a page and returns what it holds.
func (p *pages) exchange(conn net.Conn, page string) ([]byte, error) {
	request := "GET " + strings.TrimSuffix(p.at.EscapedPath(), "/") + page + " HTTP/1.0\r\nHost: " + p.at.Host + "\r\n"
	if p.at.User != nil {
		password, _ := p.at.User.Password()
		request += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.at.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxPage+maxPageHead))
	status, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	words := strings.Fields(status)
	if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") {
		return nil, errors.New("what answers there does not speak HTTP")
	}
	for read := 0; ; {
		line, err := in.ReadString('\n')
		if read += len(line); err != nil || read > maxPageHead {
			return nil, fmt.Errorf("the answer's headers have no end")
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	body, err := io.ReadAll(in)
	switch {
	case words[1] == "401":
		return nil, errPageRefuse
	case words[1] != "200":
		return nil, fmt.Errorf("%s: the answer is %s %s", page, words[1], strings.TrimSpace(firstLine(string(body))))
	case err != nil:
		return nil, err
	case len(body) > maxPage:
		return nil, fmt.Errorf("%s is larger than %d MiB", page, maxPage>>20)
	}
	return body, nil
}

// firstLine is the beginning of a text, for an error.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	const most = 200
	return strings.ToValidUTF8(line[:min(len(line), most)], "?")
}
