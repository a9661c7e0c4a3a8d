package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

func checkCommand(p *program) *tool {
	return &tool{
		Name: "check",
		Description: `Checks a configuration file (-c), or whether a bus answers (--connect). With both, every hub that the
file names under leafnodes is joined once and left again, with a sentence about each; if it names none, the
server that runs with the file has to answer.

Exit code 0: all is well, or there are only warnings (1 with --strict); 1: something is wrong; 2: the command line makes no sense.`,
		Flags: clientFlags(
			&stringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE` to check"},
			&boolFlag{Name: "t", Hidden: true},
			&boolFlag{Name: "strict", Usage: "warnings are errors"},
			&boolFlag{Name: "json", Usage: "print JSON, times in seconds"},
			&boolFlag{Name: "connect", Usage: "connect to the bus and measure the round trip"},
			&durationFlag{Name: "max-rtt", Usage: "fail if the round trip takes more than this `TIME`"},
		),
		Action: p.check,
	}
}

func (p *program) check(c *invocation) error {
	if len(c.Args()) > 0 {
		return usageError("check takes no arguments; a configuration file is given with -c")
	}
	if c.String("config") == "" && !c.Bool("connect") {
		return usageError("nothing to check; say -c FILE, or --connect, or both")
	}
	if !c.Bool("json") {
		return p.checkAll(c, p.stdout, new(checkResult))
	}
	found := new(checkResult)
	err := p.checkAll(c, io.Discard, found)
	if failed := p.printJSON(found); err == nil {
		err = failed
	}
	return err
}

// checkAll checks what it is asked to, says so on w and notes it in found.
func (p *program) checkAll(c *invocation, w io.Writer, found *checkResult) error {
	path := c.String("config")
	loaded, err := loadedFrom(path)
	if loaded != nil {
		defer loaded.Close()
		loaded.Warnings = append(loaded.Warnings, loaded.Exposures()...) // not with -t, which says what nats-server's says
	}
	if path != "" {
		found.note(path, loaded, err)
		if err != nil {
			return err
		}
		if err := p.reportFile(w, path, loaded, c.Bool("strict")); err != nil {
			return err
		}
	}
	if !c.Bool("connect") {
		return nil
	}
	if path != "" {
		// The bus of a file is the server that runs with it, or will: what it needs are its hubs.
		if tried, err := p.checkRemotes(w, loaded, found); tried > 0 || err != nil {
			return err
		}
		if !c.IsTyped("server") {
			if err := serverOfFile(c, path, &loaded.Options); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "%s names no hub under leafnodes: trying the server itself\n", path)
	}
	return p.checkConnection(c, w, found)
}

// serverOfFile has a command connect where clients of the file at path do, which says o.
func serverOfFile(c *invocation, path string, o *daemon.Options) error {
	if o.Port < 0 {
		return fmt.Errorf("%s names no hub under leafnodes, and leaves the port to the system: say with --server where it listens", path)
	}
	scheme := "nats://"
	if o.TLS != nil {
		scheme = "tls://"
	}
	return c.set.Set("server", scheme+net.JoinHostPort(localAddress(o.Host), strconv.Itoa(o.Port)))
}

// roundTrips is how often the round trip is measured; the shortest counts.
const roundTrips = 3

func (p *program) checkConnection(c *invocation, w io.Writer, found *checkResult) error {
	ctx, conn, end, err := p.connection(c)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	var best time.Duration
	for i := range roundTrips {
		took, err := conn.RTT(ctx)
		if err != nil {
			return fmt.Errorf("connected to %s, but it does not answer: %w", conn.Server(), err)
		}
		if i == 0 || took < best {
			best = took
		}
	}
	found.Bus = &checkBus{conn.Server(), conn.ServerName(), conn.ServerVersion(), best.Seconds()}
	fmt.Fprintf(w, "connected to %s (%s, NATS %s), round trip %v\n", conn.Server(), conn.ServerName(), conn.ServerVersion(), best.Round(time.Microsecond))
	if most := c.Duration("max-rtt"); most > 0 && best > most {
		return fmt.Errorf("round trip %v is above %v", best.Round(time.Microsecond), most)
	}
	return nil
}
