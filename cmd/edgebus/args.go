package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// flagsFirst moves flags before the other arguments, because the parser stops at the first
// of those, and people write `pub subject body --count 3`. A flag at the end that lacks its value
// is an error here, because the parser would take what follows for it.
func flagsFirst(flags []option, args []string) ([]string, error) {
	ordered := make([]string, 0, len(args)+1)
	var others []string
	var incomplete error
	walkArgs(flags, args, func(flag []string, complete bool) {
		ordered = append(ordered, flag...)
		if !complete {
			incomplete = fmt.Errorf("%s needs a value behind it", flag[0])
		}
	}, func(other string) { others = append(others, other) })
	return append(append(ordered, "--"), others...), incomplete
}

// badValue says what a flag wants, where the parser only says that it could not read it.
func badValue(flags []option, err error) error {
	found := parseError.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	value, name := found[1], found[2]
	for _, f := range flags {
		if !slices.Contains(f.about().names(), name) || f.wants() == "" {
			continue
		}
		if len(name) > 1 {
			name = "-" + name
		}
		return fmt.Errorf("-%s wants %s and got %s", name, f.wants(), value)
	}
	return err
}

// parseError is the text of the standard library's flag package; it has no type to ask for.
var parseError = regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]+): `)

// wantsHelp reports whether -h or --help stands where a flag may stand.
func wantsHelp(flags []option, args []string) bool {
	found := false
	walkArgs(flags, args, func(flag []string, _ bool) {
		switch flag[0] {
		case "-h", "-help", "--help":
			found = true
		}
	}, func(string) {})
	return found
}

// walkArgs calls isFlag for each flag, with its value if that is an argument of its own, and
// isOther for the rest. A flag that lacks its value is not complete.
func walkArgs(flags []option, args []string, isFlag func(flag []string, complete bool), isOther func(string)) {
	takesValue := make(map[string]bool)
	for _, f := range flags {
		for _, name := range f.about().names() {
			takesValue[name] = f.takesValue()
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
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		needs, known := takesValue[name]
		switch {
		case !strings.HasPrefix(arg, "-") || arg == "-":
			isOther(arg)
		case !known && isNumber(arg):
			isOther(arg) // a body such as -3
		case needs && !hasValue && i+1 < len(args):
			isFlag([]string{arg, args[i+1]}, true)
			i++
		default:
			isFlag([]string{arg}, hasValue || !needs)
		}
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}
