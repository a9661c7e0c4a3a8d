package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"
)

// Command lines stand on the standard library's flag package: the libraries for this link its templates,
// with which the linker can leave out no method of any type. docs/adr/0008 has the figures.

// A tool is how one command is called and what runs it.
type tool struct {
	Name        string
	Description string
	Words       []string // the first argument is one of these; empty: it may be anything
	Flags       []option
	Action      func(*invocation) error
}

// An option is one flag of a command line; the kinds are below.
type option interface {
	about() *aboutFlag
	// register makes the flag known under all its names.
	register(set *flag.FlagSet)
	// takesValue is false for switches.
	takesValue() bool
	// wants is what a value looks like; empty: anything is one.
	wants() string
	// defaultText shows the default; empty: there is none worth showing.
	defaultText() string
}

// aboutFlag is what is shown of a flag.
type aboutFlag struct {
	Name    string
	Aliases []string
	EnvVars []string // where its value comes from if it is not given, the first that is not empty
	Usage   string   // a word in backquotes names the value
	Group   string   // of the page of help
	Hidden  bool
	Words   []string // what its value may be; empty: anything
}

func (a *aboutFlag) names() []string { return append([]string{a.Name}, a.Aliases...) }

// A valueFlag is a flag of one of the types that the accessors of invocation have.
type valueFlag[T any] struct {
	Name    string
	Aliases []string
	EnvVars []string
	Usage   string
	Group   string
	Hidden  bool
	Words   []string // what its value may be, for the completion of a shell
	Value   T        // the default
}

type (
	boolFlag     = valueFlag[bool]
	intFlag      = valueFlag[int]
	int64Flag    = valueFlag[int64]
	uint64Flag   = valueFlag[uint64]
	float64Flag  = valueFlag[float64]
	durationFlag = valueFlag[time.Duration]
	stringFlag   = valueFlag[string]
	stringsFlag  = valueFlag[[]string] // may be given again
)

func (f *valueFlag[T]) about() *aboutFlag {
	return &aboutFlag{f.Name, f.Aliases, f.EnvVars, f.Usage, f.Group, f.Hidden, f.Words}
}

func (f *valueFlag[T]) takesValue() bool {
	_, isSwitch := any(f.Value).(bool)
	return !isSwitch
}

func (f *valueFlag[T]) wants() string {
	switch any(f.Value).(type) {
	case time.Duration:
		return "a time with its unit, such as 500ms, 5s or 2m,"
	case int, int64, uint64, float64:
		return "a number"
	case bool:
		return "true or false behind a =, or nothing,"
	}
	return ""
}

func (f *valueFlag[T]) defaultText() string {
	switch v := any(f.Value).(type) {
	case []string:
		return ""
	case string:
		if v == "" {
			return ""
		}
		return strconv.Quote(v)
	case bool:
		if !v {
			return ""
		}
	}
	text := fmt.Sprint(f.Value)
	if text == "0" || text == "0s" {
		return ""
	}
	return text
}

// register has all names share one value.
func (f *valueFlag[T]) register(set *flag.FlagSet) {
	v := &held[T]{value: f.Value}
	for _, name := range f.about().names() {
		set.Var(v, name, f.Usage)
	}
}

// held is a flag's value while a command line is read: a flag.Value.
type held[T any] struct {
	value T
}

func (h *held[T]) String() string { return fmt.Sprint(h.value) }

// IsBoolFlag tells the flag package that a switch needs no value.
func (h *held[T]) IsBoolFlag() bool {
	_, isSwitch := any(h.value).(bool)
	return isSwitch
}

func (h *held[T]) Set(text string) (err error) {
	switch v := any(&h.value).(type) {
	case *string:
		*v = text
	case *[]string:
		*v = append(*v, text)
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *int:
		var n int64
		n, err = strconv.ParseInt(text, 0, strconv.IntSize)
		*v = int(n)
	case *int64:
		*v, err = strconv.ParseInt(text, 0, 64)
	case *uint64:
		*v, err = strconv.ParseUint(text, 0, 64)
	case *float64:
		*v, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		*v, err = time.ParseDuration(text)
	}
	return err
}

// An invocation is one command line as it was read.
type invocation struct {
	name   string // the program and the command
	set    *flag.FlagSet
	typed  map[string]bool   // by first name, what the command line gives
	given  map[string]bool   // that, and what the environment gives
	from   map[string]string // by first name, the variable of what the environment gives
	firsts map[string]string // first names by all names
}

// read parses a command line, flags in front.
func (t *tool) read(args []string) (*invocation, error) {
	c := &invocation{
		name: "edgebus " + t.Name, set: flag.NewFlagSet(t.Name, flag.ContinueOnError),
		typed: make(map[string]bool), given: make(map[string]bool), from: make(map[string]string), firsts: make(map[string]string),
	}
	c.set.SetOutput(io.Discard)
	c.set.Usage = func() {}
	for _, f := range t.Flags {
		f.register(c.set)
		about := f.about()
		for _, name := range about.names() {
			c.firsts[name] = about.Name
		}
	}
	if err := c.set.Parse(args); err != nil {
		return nil, t.unknownFlag(badValue(t.Flags, err))
	}
	c.set.Visit(func(f *flag.Flag) { c.typed[c.firsts[f.Name]] = true })
	maps.Copy(c.given, c.typed)
	return c, c.fromEnvironment(t.Flags)
}

// fromEnvironment takes from variables what the command line does not give.
func (c *invocation) fromEnvironment(flags []option) error {
	for _, f := range flags {
		about := f.about()
		for _, variable := range about.EnvVars {
			text := os.Getenv(variable)
			if text == "" || c.typed[about.Name] {
				continue
			}
			if err := c.set.Set(about.Name, text); err != nil {
				return fmt.Errorf("$%s wants %s and is %q", variable, strings.TrimSuffix(f.wants(), ","), text)
			}
			c.given[about.Name], c.from[about.Name] = true, variable
			break
		}
	}
	return nil
}

// IsTyped reports whether the command line itself gives the flag.
func (c *invocation) IsTyped(name string) bool { return c.typed[c.firsts[name]] }

// IsSet reports whether the command line or the environment gives the flag.
func (c *invocation) IsSet(name string) bool { return c.given[c.firsts[name]] }

// value is a flag's value. A name or a type that is not the tool's is a mistake in the source.
func value[T any](c *invocation, name string) T { return c.set.Lookup(name).Value.(*held[T]).value }

func (c *invocation) Bool(name string) bool              { return value[bool](c, name) }
func (c *invocation) Int(name string) int                { return value[int](c, name) }
func (c *invocation) Int64(name string) int64            { return value[int64](c, name) }
func (c *invocation) Uint64(name string) uint64          { return value[uint64](c, name) }
func (c *invocation) Float64(name string) float64        { return value[float64](c, name) }
func (c *invocation) Duration(name string) time.Duration { return value[time.Duration](c, name) }
func (c *invocation) String(name string) string          { return value[string](c, name) }
func (c *invocation) StringSlice(name string) []string   { return value[[]string](c, name) }

// Args are the arguments that are no flags.
func (c *invocation) Args() []string { return c.set.Args() }

// Arg is one of Args, or nothing.
func (c *invocation) Arg(i int) string { return c.set.Arg(i) }
