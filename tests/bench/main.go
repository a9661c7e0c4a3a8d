package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	exitMissed = 1 // a bar was missed, or a run failed
	exitUsage  = 2
)

// options are the command line.
type options struct {
	contenders []contender // edgebus first
	chosen     []shape
	rounds     int
	scale      float64
	span       time.Duration
	pin        bool
	check      bool
	markdown   bool
	all        bool
	record     string // file that runs are added to
	from       string // file that runs are taken from instead of measuring
}

func main() {
	if len(os.Args) == 3 && (os.Args[1] == floodUnread || os.Args[1] == floodRead) {
		if err := runFlooder(os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitMissed)
		}
		return
	}
	code, err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(code)
}

func run(args []string, stdout, stderr io.Writer) (int, error) {
	o, err := readOptions(args, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return exitUsage, err
	}
	if o == nil {
		return 0, nil // it was enough to list the shapes
	}
	var runs results
	if o.from != "" {
		if err := runs.load(o.from); err != nil {
			return exitUsage, err
		}
		o.adopt(runs)
	} else if err := measure(o, &runs, stderr); err != nil {
		return exitMissed, err
	}
	rows := judge(o, runs)
	if o.markdown {
		printMarkdown(stdout, o, rows)
	} else {
		printText(stdout, o, rows)
	}
	missed := missedBars(rows)
	switch {
	case runs.failed > 0:
		return exitMissed, fmt.Errorf("%d runs failed", runs.failed)
	case o.check && len(missed) > 0:
		return exitMissed, fmt.Errorf("bars missed: %s", strings.Join(missed, ", "))
	}
	return 0, nil
}

func readOptions(args []string, stdout, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	edgebus := flags.String("edgebus", "build/edgebus", "the server that is judged: a `command`; -a 127.0.0.1 -p PORT is added unless {port} is in it")
	var against, sizes listFlag
	flags.Var(&against, "against", "a server to compare with, `NAME=COMMAND`; may be given again")
	flags.Var(&sizes, "size", "program whose size the shape binary takes, `NAME=FILE`, NAME being edgebus or one of -against; may be given again")
	pick := flags.String("shapes", "table", "shapes, separated by commas, a * at the end stands for any rest; table: those with a row in the table; more: the others; all")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each shape; in each all servers take their turn")
	flags.Float64Var(&o.scale, "scale", 1, "multiply the number of messages and connections of each shape")
	flags.DurationVar(&o.span, "for", 0, "how long the shapes silent and cgroup take (default 5m and 10m), flood a tenth of it")
	flags.BoolVar(&o.pin, "pin", false, "server on processor 0, generator on processor 1 (needs taskset)")
	flags.BoolVar(&o.check, "check", false, "exit with 1 if a bar is missed")
	flags.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	flags.BoolVar(&o.all, "all", false, "print all figures, also those that are not judged")
	flags.StringVar(&o.record, "json", "", "add each run's figures to this `file`, a JSON object a line")
	flags.StringVar(&o.from, "from", "", "measure nothing, print the runs that -json left in this `file`")
	list := flags.Bool("list", false, "list the shapes and end")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected %q", flags.Arg(0))
	}
	if *list {
		for _, s := range shapes() {
			fmt.Fprintf(stdout, "%-14s %s\n", s.name, s.says)
		}
		return nil, nil
	}
	if o.rounds < 1 || o.scale <= 0 {
		return nil, fmt.Errorf("-rounds %d and -scale %g: want more than nothing", o.rounds, o.scale)
	}
	var err error
	if o.chosen, err = choose(*pick); err != nil {
		return nil, err
	}
	o.contenders, err = contenders(*edgebus, against, sizes)
	return o, err
}

// listFlag is an option that may be given several times.
type listFlag []string

func (l *listFlag) String() string     { return strings.Join(*l, " ") }
func (l *listFlag) Set(v string) error { *l = append(*l, v); return nil }

// adopt takes the servers from recorded runs: what is printed is what ran then.
func (o *options) adopt(runs results) {
	o.contenders = nil
	seen := map[string]bool{}
	for _, r := range runs.records {
		if !seen[r.Server] {
			seen[r.Server] = true
			c := contender{name: r.Server}
			if r.Server == judged {
				o.contenders = append([]contender{c}, o.contenders...)
			} else {
				o.contenders = append(o.contenders, c)
			}
		}
	}
}

// measure runs all that is asked for, one server at a time. An interrupt ends it after the run
// under way; what was recorded stays.
func measure(o *options, runs *results, stderr io.Writer) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	if o.pin {
		if err := pinProcess(os.Getpid(), generatorCPU); err != nil {
			return err
		}
	}
	var out *json.Encoder
	if o.record != "" {
		file, err := os.OpenFile(o.record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer file.Close()
		out = json.NewEncoder(file)
	}
	for _, s := range o.chosen {
		for round := range o.rounds {
			for _, i := range turns(len(o.contenders), round) {
				c := o.contenders[i]
				begun := time.Now()
				figures, notes, err := runOne(o, s, c)
				r := record{Shape: s.name, Server: c.name, Round: round, At: begun.UTC().Truncate(time.Second), Figures: figures}
				if err != nil {
					fmt.Fprintf(stderr, "bench: %s on %s failed: %v\n", s.name, c.name, err)
					r.Error = err.Error()
				} else {
					fmt.Fprintf(stderr, "%-14s round %d  %-20s %5.1f s  %s\n", s.name, round+1, c.name, time.Since(begun).Seconds(), strings.Join(notes, "; "))
				}
				runs.add(r)
				if out != nil {
					if err := out.Encode(r); err != nil {
						return err
					}
				}
				select {
				case <-interrupted:
					return errors.New("interrupted")
				default:
				}
			}
		}
	}
	return nil
}

// turns is the order of n servers in a round: every other round backwards, so that none always
// runs on what another has left warm or hot.
func turns(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
		if round%2 == 1 {
			order[i] = n - 1 - i
		}
	}
	return order
}

// runOne runs one shape on one fresh server.
func runOne(o *options, s shape, c contender) (figures map[string]float64, notes []string, err error) {
	t := &target{contender: c, scale: o.scale, span: o.span}
	if s.span > 0 && t.span == 0 {
		t.span = s.span
	}
	if !s.serverless {
		l := launch{pin: o.pin, config: s.config}
		if s.cgroupBytes > 0 {
			if l.group, err = newGroup(s.cgroupBytes); err != nil {
				return nil, nil, err
			}
			defer l.group.remove()
			t.group = l.group
		}
		if t.server, err = start(c, l); err != nil {
			return nil, nil, err
		}
		defer t.server.stop()
		defer t.hangUp()
	}
	figures, err = s.run(t)
	if err != nil && t.server != nil {
		err = fmt.Errorf("%w%s", err, t.server.lastWords())
	}
	return figures, t.notes, err
}
