package main

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst moves flags before the other arguments, because the parser stops at the first
// of those, and people write `pub subject body --count 3`.
func flagsFirst(flags []cli.Flag, args []string) []string {
	ordered := make([]string, 0, len(args)+1)
	var others []string
	walkArgs(flags, args, func(flag []string) { ordered = append(ordered, flag...) },
		func(other string) { others = append(others, other) })
	return append(append(ordered, "--"), others...)
}

// wantsHelp reports whether -h or --help stands where a flag may stand.
func wantsHelp(flags []cli.Flag, args []string) bool {
	found := false
	walkArgs(flags, args, func(flag []string) {
		switch flag[0] {
		case "-h", "-help", "--help":
			found = true
		}
	}, func(string) {})
	return found
}

// walkArgs calls isFlag for each flag, with its value if that is an argument of its own, and
// isOther for the rest.
func walkArgs(flags []cli.Flag, args []string, isFlag func([]string), isOther func(string)) {
	takesValue := make(map[string]bool)
	for _, f := range flags {
		value := true
		if d, ok := f.(cli.DocGenerationFlag); ok {
			value = d.TakesValue()
		}
		for _, name := range f.Names() {
			takesValue[name] = value
		}
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			for _, rest := range args[i+1:] {
				isOther(rest)
			}
			return
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		needs, known := takesValue[name]
		switch {
		case !strings.HasPrefix(arg, "-") || arg == "-":
			isOther(arg)
		case !known && isNumber(arg):
			isOther(arg) // a body such as -3
		case needs && !hasValue && i+1 < len(args):
			isFlag([]string{arg, args[i+1]})
			i++
		default:
			_ = value
			isFlag([]string{arg})
		}
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
