package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

const usage = `usage: gateway publish|watch [flags]

  publish   publish this machine's readings, once every -interval
  watch     show the readings of all machines as a table

Run "gateway publish -h" or "gateway watch -h" for the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// options are what both commands can be told.
type options struct {
	server   string
	machine  string
	interval time.Duration
	seconds  int
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	var o options
	flags := flag.NewFlagSet("gateway "+args[0], flag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&o.server, "server", defaultServer(), "where to connect; user:password@ may stand before the host")
	flags.DurationVar(&o.interval, "interval", time.Second, "time between two readings, or two tables")
	flags.IntVar(&o.seconds, "seconds", 0, "end after so many seconds; 0: at Ctrl-C")
	flags.StringVar(&o.machine, "machine", hostname(), "this machine's name in subjects (publish)")
	command := map[string]func(context.Context, options, *nats.Conn, io.Writer, io.Writer) error{
		"publish": publish, "watch": watch,
	}[args[0]]
	if command == nil {
		return errUsage
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.interval <= 0 {
		return errUsage
	}
	if o.seconds > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
		defer cancel()
	}
	nc, err := connect(o.server, "gateway "+args[0])
	if err != nil {
		return err
	}
	defer nc.Close()
	return command(ctx, o, nc, out, log)
}

// connect returns at once, whether or not the server is there yet, and never gives up: a gateway is
// often switched on before what it talks to.
func connect(server, name string) (*nats.Conn, error) {
	nc, err := nats.Connect(server, nats.Name(name), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", server, err)
	}
	return nc, nil
}

func defaultServer() string {
	if server := os.Getenv("NATS_URL"); server != "" {
		return server
	}
	return nats.DefaultURL
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "machine"
	}
	name, _, _ = strings.Cut(name, ".")
	return token(name)
}

// token makes one subject token of a name: what would end a token or match others becomes a dash.
func token(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '.' || r == '*' || r == '>' || r == 0x7f {
			return '-'
		}
		return r
	}, name)
}
