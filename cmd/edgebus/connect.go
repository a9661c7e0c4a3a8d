package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

const connectionOptions = "Connection"

// clientFlags puts the flags of every command that connects behind its own. Names and
// environment variables are those of the nats tool.
func clientFlags(own ...option) []option {
	return append(own,
		&stringFlag{Name: "server", Aliases: []string{"s"}, EnvVars: []string{"NATS_URL"}, Value: "nats://127.0.0.1:4222", Usage: "`URL`s of the bus, with commas between them", Group: connectionOptions},
		&stringFlag{Name: "user", EnvVars: []string{"NATS_USER"}, Usage: "`NAME` to log in with; without a password it is a token", Group: connectionOptions},
		&stringFlag{Name: "password", EnvVars: []string{"NATS_PASSWORD"}, Usage: "`PASSWORD` of the user", Group: connectionOptions},
		&stringFlag{Name: "token", EnvVars: []string{"NATS_TOKEN"}, Usage: "`TOKEN` to log in with", Group: connectionOptions},
		&durationFlag{Name: "timeout", EnvVars: []string{"NATS_TIMEOUT"}, Value: 5 * time.Second, Usage: "`TIME` to wait for the bus and for answers", Group: connectionOptions},
		&stringFlag{Name: "connection-name", Usage: "`NAME` of the connection on monitoring pages", Group: connectionOptions},
		&stringFlag{Name: "inbox-prefix", EnvVars: []string{"NATS_INBOX_PREFIX"}, Usage: "`SUBJECT` that reply subjects begin with", Group: connectionOptions},
		&stringFlag{Name: "creds", EnvVars: []string{"NATS_CREDS"}, Usage: "`FILE` with a user's credentials", Group: connectionOptions},
		&stringFlag{Name: "nkey", EnvVars: []string{"NATS_NKEY"}, Usage: "`FILE` with a user's seed", Group: connectionOptions},
		&stringFlag{Name: "tlsca", EnvVars: []string{"NATS_CA"}, Usage: "`FILE` with the authority that has signed the bus' certificate", Group: connectionOptions},
		&stringFlag{Name: "tlscert", EnvVars: []string{"NATS_CERT"}, Usage: "`FILE` with a certificate to show", Group: connectionOptions},
		&stringFlag{Name: "tlskey", EnvVars: []string{"NATS_KEY"}, Usage: "`FILE` with its key", Group: connectionOptions},
		&boolFlag{Name: "tlsfirst", Usage: "begin with TLS, before the bus says anything", Group: connectionOptions},
		hidden("context", "NATS_CONTEXT"),
	)
}

// hidden is a flag of the nats tool that is not built yet. It is known, so that it can be
// refused with a reason.
func hidden(name, env string) option {
	return &stringFlag{Name: name, EnvVars: []string{env}, Hidden: true, Group: connectionOptions}
}

// connection turns the flags into a connected client. ctx ends with INT and TERM; call end.
func (p *program) connection(c *invocation, more ...client.Option) (ctx context.Context, conn *client.Conn, end func(), err error) {
	options, err := connectionFlags(c)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, stop := withInterrupt()
	conn, err = client.Connect(ctx, c.String("server"), append(options, more...)...)
	if err != nil {
		stop()
		return nil, nil, nil, connectHint(c, err)
	}
	return ctx, conn, func() { conn.Close(); stop() }, nil
}

func connectionFlags(c *invocation) ([]client.Option, error) {
	if c.String("context") != "" && !c.IsSet("server") {
		return nil, usageError("contexts of the nats tool are not known here; say --server (or NATS_URL)")
	}
	name := c.String("connection-name")
	if name == "" {
		name = c.name
	}
	if c.Duration("timeout") <= 0 {
		return nil, usageError("--timeout must be above zero")
	}
	options := []client.Option{client.Name(name), client.Timeout(c.Duration("timeout"))}
	user, password, token := c.String("user"), c.String("password"), c.String("token")
	switch {
	case token != "":
		options = append(options, client.Token(token))
	case user != "" && password == "":
		options = append(options, client.Token(user))
	case user != "":
		options = append(options, client.UserPassword(user, password))
	}
	if prefix := c.String("inbox-prefix"); prefix != "" {
		options = append(options, client.InboxPrefix(prefix))
	}
	secure, err := secureFlags(c)
	return append(options, secure...), err
}

// secureFlags are those about keys and certificates.
func secureFlags(c *invocation) (options []client.Option, err error) {
	creds, seed := c.String("creds"), c.String("nkey")
	authority, certificate, key := c.String("tlsca"), c.String("tlscert"), c.String("tlskey")
	switch {
	case creds != "" && seed != "":
		return nil, usageError("--creds and --nkey: one of them says who we are")
	case creds != "":
		options = append(options, client.Creds(creds))
	case seed != "":
		options = append(options, client.NKey(seed))
	}
	if (certificate == "") != (key == "") {
		return nil, usageError("--tlscert and --tlskey belong together")
	}
	if strings.Contains(c.String("server"), "tls://") {
		options = append(options, client.TLS(nil)) // in front: it would take away what the others add
	}
	if authority != "" {
		options = append(options, client.RootCAs(authority))
	}
	if certificate != "" {
		options = append(options, client.ClientCert(certificate, key))
	}
	if c.Bool("tlsfirst") {
		options = append(options, client.TLSFirst())
	}
	return options, nil
}

// tellOfLine says what happens to a connection that stays open for long. While the bus is away
// every try to reach it fails alike; that is said once.
func (p *program) tellOfLine() []client.Option {
	var mu sync.Mutex
	last := ""
	news := func(text string) bool {
		mu.Lock()
		defer mu.Unlock()
		old := last
		last = text
		return text != old
	}
	return []client.Option{
		client.OnError(func(_ *client.Conn, _ *client.Subscription, err error) {
			if news(err.Error()) {
				p.say("%v", err)
			}
		}),
		client.OnDisconnect(func(_ *client.Conn, err error) {
			news("")
			p.say("Disconnected: %v", err)
		}),
		client.OnReconnect(func(conn *client.Conn) {
			news("")
			p.say("Connected to %s again", conn.Server())
		}),
	}
}

func withInterrupt() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// connectHint says what to try.
func connectHint(c *invocation, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w; is the bus running there? \"edgebus\" starts one, --server names another", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w; what listens there closed the connection without a word: is it the port for clients, 4222 unless the server's configuration says otherwise?", err)
	case errors.Is(err, client.ErrAuthorization):
		return fmt.Errorf("%w; %s", err, loginHint(c))
	case errors.Is(err, client.ErrTLSMissing):
		return errors.New("the server asks for TLS: say --server tls://..., and --tlsca FILE if its authority is your own")
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("%w; that is --tlsca FILE here", err)
	}
	return err
}

// loginHint says what to do about a login that the server has refused, by what it was shown.
func loginHint(c *invocation) string {
	user := c.String("user")
	const compare = ": compare with the server's configuration; its log names the reason"
	switch {
	case c.String("creds") != "":
		return fmt.Sprintf("it does not take the credentials of %s%s", c.String("creds"), compare)
	case c.String("nkey") != "":
		return fmt.Sprintf("it does not take the key of %s%s", c.String("nkey"), compare)
	case c.String("token") != "":
		return "the token" + fromVariable(c, "token") + " is not the server's" + compare
	case user != "" && c.String("password") == "":
		return fmt.Sprintf("%q%s was shown as a token, as there is no password: say --password too, or set NATS_PASSWORD", user, fromVariable(c, "user"))
	case user != "":
		return fmt.Sprintf("wrong user or password for %q%s%s", user, fromVariable(c, "user", "password"), compare)
	case strings.Contains(c.String("server"), "@"):
		return "wrong user or password in the URL" + fromVariable(c, "server") + compare
	case c.String("password") != "":
		return "a password" + fromVariable(c, "password") + " counts only with its user: say --user too, or set NATS_USER"
	case c.String("tlscert") != "":
		return fmt.Sprintf("the certificate %s is not enough for it%s", c.String("tlscert"), compare)
	}
	return "nothing was said of who we are: say --user and --password (or set NATS_USER and NATS_PASSWORD), --token, --creds or --nkey"
}

// fromVariable names the environment variables that options have their values from, in parentheses.
func fromVariable(c *invocation, options ...string) string {
	var from []string
	for _, name := range options {
		if variable := c.from[name]; variable != "" {
			from = append(from, variable)
		}
	}
	if len(from) == 0 {
		return ""
	}
	return " (from " + strings.Join(from, " and ") + ")"
}

// checkTarget refuses a subject that nobody can have meant to publish to: servers take wildcards
// there as plain text, which subscribers of the same wildcard get and others do not.
func checkTarget(subject string) error {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "*" || token == ">" {
			return usageError("a message goes to one subject, and %q has a wildcard: those are for sub", subject)
		}
	}
	return nil
}

// headers reads -H flags, "Name: value".
func headers(list []string) (client.Header, error) {
	if len(list) == 0 {
		return nil, nil
	}
	h := make(client.Header)
	for _, one := range list {
		name, value, ok := strings.Cut(one, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usageError("header %q is not of the form Name:value", one)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

// maxBody bounds a body read from standard input; no server takes more.
const maxBody = 64 << 20

// body is the second argument, or standard input if that is no terminal, or nothing.
func (p *program) body(c *invocation) (string, error) {
	if len(c.Args()) > 1 && !c.Bool("force-stdin") {
		return c.Arg(1), nil
	}
	if isTerminal(p.stdin) && !c.Bool("force-stdin") {
		return "", nil
	}
	all, err := io.ReadAll(io.LimitReader(p.stdin, maxBody+1))
	if err != nil {
		return "", fmt.Errorf("reading the body from standard input: %w", err)
	}
	if len(all) > maxBody {
		return "", fmt.Errorf("the body on standard input is larger than %d MiB", maxBody>>20)
	}
	return string(all), nil
}

// isTerminal is good enough to decide on progress lines and prompts.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	// The null device is a character device as well, and nobody sits behind it.
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// say prints a line about what is going on, with the time before it, as the nats tool does.
// Messages go to standard output, so that they can be piped without these.
func (p *program) say(format string, values ...any) {
	fmt.Fprintf(p.stderr, time.Now().Format("15:04:05 ")+format+"\n", values...)
}
