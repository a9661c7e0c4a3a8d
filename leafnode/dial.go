package leafnode

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Budgets where the configuration has none.
const (
	defaultConnect = 10 * time.Second // until there is a TCP connection
	defaultBudget  = 30 * time.Second // until the link is up
)

// maxGreeting bounds the first line of a hub, bytes.
const maxGreeting = 64 << 10

// dialOptions are what a hub is reached with.
type dialOptions struct {
	connect   time.Duration // until there is a TCP connection, all addresses of the name together
	firstInfo time.Duration // until the hub has greeted; 0: the budget
	budget    time.Duration // for all of it

	// tls makes what a connection to a host is secured with. Nil: a hub that asks for TLS is not reached.
	tls            func(host string) (*tls.Config, error)
	serverName     string // that the hub's certificate is for; empty: the URL's host
	secure         bool   // there is a tls block: a hub without TLS is not reached
	handshakeFirst bool
	tlsTimeout     time.Duration // for TLS alone; 0: the budget

	proxy    *Proxy        // nil, or without URL: none
	resolver *net.Resolver // nil: the system's

	clock func() time.Time // of the wall; nil: time.Now
}

// A dialed is a connection whose hub has greeted, and that is secured if it is to be.
type dialed struct {
	conn     net.Conn
	info     *info
	leftover []byte               // what came behind the INFO
	rtt      time.Duration        // a round trip to the hub
	tls      *tls.ConnectionState // with the hub, nil: it is plain
	address  string               // that conn goes to, the proxy's if there is one
}

// A dialer is one attempt.
type dialer struct {
	dialOptions
	url    *url.URL
	conn   net.Conn
	input  *bufio.Reader
	asked  time.Time     // when we last said what the hub's next bytes answer
	took   time.Duration // to connect to the hub itself, 0: there is a proxy
	secret *tls.ConnectionState
}

// dial reaches the hub at u, waits for its INFO and secures the connection. The error is a *dialError.
func dial(ctx context.Context, o dialOptions, u *url.URL) (*dialed, error) {
	ctx, cancel := context.WithTimeout(ctx, orElse(o.budget, defaultBudget))
	defer cancel()
	d := &dialer{dialOptions: o, url: u}
	if err := d.reach(ctx); err != nil {
		return nil, err
	}
	raw := d.conn
	// The exchange of lines knows deadlines and no context: ending ctx ends it by way of the deadline.
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Now()) })
	result, err := d.greet(ctx)
	if !stop() && err == nil {
		err = d.explain("info", context.Cause(ctx))
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	if err := d.conn.SetDeadline(time.Time{}); err != nil {
		raw.Close()
		return nil, d.explain("tcp", err)
	}
	return result, nil
}

func orElse(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// now is the time that certificates are judged by.
func (o *dialOptions) now() time.Time {
	if o.clock == nil {
		return time.Now()
	}
	return o.clock()
}

// target is host:port of the hub.
func (d *dialer) target() string {
	return net.JoinHostPort(d.url.Hostname(), cmp.Or(d.url.Port(), strconv.Itoa(defaultPort)))
}

// reach makes the connection, through the proxy if there is one.
func (d *dialer) reach(ctx context.Context) error {
	if d.proxy != nil && d.proxy.URL != "" {
		return d.reachByProxy(ctx)
	}
	begun := time.Now()
	conn, err := d.connectTo(ctx, d.target(), d.connect)
	if err != nil {
		return d.explain("tcp", err)
	}
	d.took = time.Since(begun)
	d.use(conn)
	return nil
}

// connectTo looks the name up anew, and tries all of its addresses: the second kind, IPv4 or IPv6, begins
// when the first has had a moment.
func (d *dialer) connectTo(ctx context.Context, address string, limit time.Duration) (net.Conn, error) {
	with := net.Dialer{
		Timeout:   orElse(limit, defaultConnect),
		Resolver:  d.resolver,
		KeepAlive: -1, // links have PINGs, and on some lines every byte is paid for
	}
	return with.DialContext(ctx, "tcp", address)
}

func (d *dialer) use(conn net.Conn) {
	d.conn, d.input, d.asked = conn, bufio.NewReaderSize(conn, maxGreeting), time.Now()
}

// greet reads the INFO, with TLS before or behind it.
func (d *dialer) greet(ctx context.Context) (*dialed, error) {
	if d.handshakeFirst {
		if err := d.shake(ctx); err != nil {
			return nil, err
		}
	}
	limit := time.Now().Add(orElse(d.firstInfo, orElse(d.budget, defaultBudget)))
	if end, ok := ctx.Deadline(); ok && end.Before(limit) {
		limit = end
	}
	if err := d.conn.SetReadDeadline(limit); err != nil {
		return nil, d.explain("info", err)
	}
	if err := ctx.Err(); err != nil { // it may have ended just before the deadline was set
		return nil, d.explain("info", err)
	}
	first, err := d.readInfo()
	if err != nil {
		return nil, err
	}
	rtt := time.Since(d.asked)
	if d.took > 0 {
		rtt = min(rtt, d.took) // a hub may wait a while whether TLS comes first, and a lookup may take long
	}
	switch {
	case d.secret != nil:
	case first.TLSRequired:
		if err := d.shake(ctx); err != nil {
			return nil, err
		}
	case d.wantsTLS():
		return nil, &dialError{"tls", errPlainHub,
			"switch TLS on in the hub's leafnodes block; if it does TLS before it says anything, write handshake_first: true; if it is to be plain, remove tls here"}
	}
	var leftover []byte
	if n := d.input.Buffered(); n > 0 {
		leftover, _ = d.input.Peek(n)
	}
	return &dialed{
		conn: d.conn, info: first, leftover: leftover, rtt: rtt, tls: d.secret, address: d.conn.RemoteAddr().String(),
	}, nil
}

func (d *dialer) wantsTLS() bool { return d.secure || d.url.Scheme == "tls" }

// readInfo reads the hub's first line.
func (d *dialer) readInfo() (*info, error) {
	line, err := d.input.ReadSlice('\n')
	if err != nil {
		return nil, d.explainGreeting(line, err)
	}
	word, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	switch {
	case strings.EqualFold(word, "INFO"):
	case strings.EqualFold(word, "-ERR"):
		return nil, refused(rest)
	default:
		return nil, d.explainGreeting(line, errNotNATS)
	}
	first, err := parseInfo([]byte(rest))
	if err != nil {
		return nil, &dialError{"info", err, "what answers is no nats-server: look at host and port of the remote"}
	}
	if !first.fromLeafPort() {
		return nil, wrongPort(&first)
	}
	return &first, nil
}

// refused is what a hub that does not even greet says.
func refused(text string) *dialError {
	c := reasonOf(strings.Trim(text, "' "))
	remedy := c.remedy
	if remedy == "" {
		remedy = "look at the log of the hub"
	}
	return &dialError{"info", errors.New("the hub says: " + cut(strings.Trim(text, "' "))), remedy}
}

// shake does TLS on the connection.
func (d *dialer) shake(ctx context.Context) error {
	if d.tls == nil {
		return &dialError{"tls", errNoTLS, "write a tls block into the remote"}
	}
	if d.input.Buffered() > 0 {
		// Somebody on the way could have put it there, to be taken for what the hub says in secret.
		return &dialError{"tls", errBeforeTLS, "there is something between us and the hub that must not be there"}
	}
	host := cmp.Or(d.serverName, d.url.Hostname())
	config, err := d.tls(host)
	if err != nil {
		return &dialError{"tls", err, "mend the tls block of the remote"}
	}
	config = config.Clone()
	config.ServerName = cmp.Or(config.ServerName, host)
	if d.clock != nil {
		config.Time = d.clock
	}
	if d.tlsTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.tlsTimeout)
		defer cancel()
	}
	secret := tls.Client(d.conn, config)
	if err := secret.HandshakeContext(ctx); err != nil {
		return d.explain("tls", err)
	}
	state := secret.ConnectionState()
	d.secret = &state
	d.use(secret)
	return nil
}
