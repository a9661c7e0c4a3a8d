package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crypto/x509"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A goClient is what c/drive.c and js/drive.mjs are, with nats.go.
type goClient struct {
	url     string
	options []nats.Option
	nc      *nats.Conn
	leaving atomic.Bool
	ended   chan bool // closed at the end of nc

	// Shared with the callbacks, under mu.
	mu  sync.Mutex
	out io.Writer
}

// drive obeys until there are no more lines.
func (c *goClient) drive(in io.Reader) {
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		verb, rest, _ := strings.Cut(scanner.Text(), " ")
		c.say("= %s", c.obey(verb, rest))
	}
	if c.nc != nil {
		c.nc.Close()
	}
}

func (c *goClient) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, format+"\n", args...)
}

func (c *goClient) obey(verb, rest string) string {
	first, second, _ := strings.Cut(rest, " ")
	switch verb {
	case "fresh":
		c.options = nil
	case "set":
		a, b, _ := strings.Cut(second, " ")
		return done(c.set(first, a, b))
	case "connect":
		return c.connect()
	case "sub":
		_, err := c.nc.QueueSubscribe(first, second, func(m *nats.Msg) { c.say("! msg %s %s", m.Subject, m.Data) })
		return done(err)
	case "pub":
		return done(c.nc.Publish(first, []byte(second)))
	case "request":
		m, err := c.nc.Request(first, []byte(second), patience)
		if err != nil {
			class, _, _ := strings.Cut(described(err), " | ")
			return "failed " + class
		}
		return "answer " + string(m.Data)
	case "flush":
		if c.nc.FlushTimeout(patience) != nil {
			return "failed"
		}
	case "close":
		c.close()
	default:
		return "what " + verb
	}
	return "done"
}

func done(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

func (c *goClient) set(what, a, b string) error {
	var o nats.Option
	switch what {
	case "user":
		o = nats.UserInfo(a, b)
	case "token":
		o = nats.Token(a)
	case "nkey":
		seed, err := os.ReadFile(b)
		if err != nil {
			return err
		}
		pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
		if err != nil {
			return err
		}
		o = nats.Nkey(a, pair.Sign)
	case "creds":
		o = nats.UserCredentials(a)
	case "bearer":
		o = nats.UserJWT(func() (string, error) { return a, nil }, func([]byte) ([]byte, error) { return nil, nil })
	case "tls":
		o = nats.Secure()
	case "ca":
		o = nats.RootCAs(a)
	case "cert":
		o = nats.ClientCert(a, b)
	case "once":
		o = nats.NoReconnect()
	case "patience":
		o = nats.Timeout(must(time.ParseDuration(a + "ms")))
	case "first":
		o = nats.TLSHandshakeFirst()
	default:
		return fmt.Errorf("no setting %s", what)
	}
	c.options = append(c.options, o)
	return nil
}

func (c *goClient) connect() string {
	ended := make(chan bool)
	all := append([]nats.Option{
		nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.say("! error %s", described(err)) }),
		nats.ReconnectHandler(func(*nats.Conn) { c.say("! reconnected") }),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !c.leaving.Load() {
				c.say("! disconnected")
			}
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			if !c.leaving.Load() {
				c.say("! ended %s", described(nc.LastError()))
			}
			close(ended)
		}),
	}, c.options...)
	nc, err := nats.Connect(c.url, all...)
	if err != nil {
		return "refused " + described(err)
	}
	c.nc, c.ended = nc, ended
	return "connected"
}

func (c *goClient) close() {
	if c.nc == nil {
		return
	}
	c.leaving.Store(true)
	c.nc.Close()
	<-c.ended
	c.leaving.Store(false)
	c.nc = nil
}

// described shows an error: its class, and its text if it is the server's.
func described(err error) string {
	class := "broken"
	for _, each := range []struct {
		is   error
		name string
	}{
		{nats.ErrAuthorization, "authorization"},
		{nats.ErrAuthExpired, "expired"},
		{nats.ErrAccountAuthExpired, "expired"},
		{nats.ErrAuthRevoked, "revoked"},
		{nats.ErrPermissionViolation, "permissions"},
		{nats.ErrNoResponders, "nobody"},
		{nats.ErrTimeout, "timeout"},
		{nats.ErrMaxConnectionsExceeded, "full"},
		{nats.ErrMaxAccountConnectionsExceeded, "full"},
		{nats.ErrMaxSubscriptionsExceeded, "other"},
	} {
		if errors.Is(err, each.is) {
			class = each.name
			break
		}
	}
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "certificate"
	case class == "broken":
		return class // what the socket says depends on the moment
	}
	return class + " | " + err.Error()
}
