package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

func completionCommand(p *program) *tool {
	return &tool{
		Name: "completion",
		Description: `Prints what a shell needs to complete command lines of this program with the Tab key. For one session:

    source <(edgebus completion bash)
    source <(edgebus completion zsh)
    edgebus completion fish | source

and for good, where the shell looks for such files:

    edgebus completion bash > /usr/share/bash-completion/completions/edgebus
    edgebus completion zsh > "${fpath[1]}/_edgebus"
    edgebus completion fish > ~/.config/fish/completions/edgebus.fish`,
		Words:  shellNames(),
		Action: p.completion,
	}
}

func shellNames() []string { return []string{"bash", "zsh", "fish"} }

func (p *program) completion(c *invocation) error {
	rows := p.manualRows()
	name := p.name
	if !scriptName.MatchString(name) {
		name = "edgebus"
	}
	shell := c.Arg(0)
	if len(c.Args()) > 1 || !slices.Contains(shellNames(), shell) {
		return usageError("completion takes one shell: %s", strings.Join(shellNames(), ", "))
	}
	text := ""
	switch shell {
	case "bash":
		text = bashCompletion(name, rows)
	case "zsh":
		text = zshCompletion(name, rows)
	case "fish":
		text = fishCompletion(name, rows)
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

// scriptName is a program's name that may stand in a script as it is.
var scriptName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// bashCompletion is a function for bash, which needs none of the functions of the package bash-completion, nor
// what bash 3.2 lacks: other systems have that.
func bashCompletion(name string, rows []manualRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of bash for %[1]s, printed by \"%[1]s completion bash\".\n\n", name)
	fmt.Fprintf(&b, `_%s() {
    local word=${COMP_WORDS[COMP_CWORD]} at=$((COMP_CWORD - 1)) command=%s options= words= second= other
    # The shell takes a = for a word of its own.
    if [[ $word == = ]]; then
        word=
    elif [[ ${COMP_WORDS[at]} == = ]]; then
        at=$((at - 1))
    fi
    local before=${COMP_WORDS[at]}
    [[ $before == -* ]] && before=${before#-} before=-${before#-} || before=
    COMPREPLY=()
    if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} != -* ]]; then
        command=${COMP_WORDS[1]}
    fi
    case $command in
`, shellFunction(name), serveName)
	for i := range rows {
		b.WriteString(bashCommand(name, &rows[i]))
	}
	fmt.Fprintf(&b, `    help)
        words="%[1]s"
        ;;
    *)
        return
        ;;
    esac
    if [[ $COMP_CWORD -eq 1 ]]; then
        words="help %[1]s"
    else
        for other in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
            [[ " $words " == *" $other "* ]] && words=$second # the first is there
        done
    fi
    [[ $word == -* ]] && words=$options
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}

complete -F _%[2]s %[3]s
`, strings.Join(rowNames(rows), " "), shellFunction(name), name)
	return b.String()
}

// bashFiles offers files, whose names may have blanks in them, and ends.
const bashFiles = `{ local IFS=$'\n'; compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); return; }`

// bashCommand is one command's branch: what it has, and what a value in front of the cursor may be.
func bashCommand(name string, row *manualRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s)\n        options=\"%s\" words=\"%s\"\n", strings.Join(row.names(), "|"), strings.Join(optionNames(row.options), " "), strings.Join(row.cmd.Words, " "))
	if row.name == "device" {
		fmt.Fprintf(&b, "        [[ \" ${COMP_WORDS[*]} \" == *\" revoke \"* ]] && second=$(%s device list 2>/dev/null | cut -d' ' -f1)\n", name)
	}
	var files, guesses []string
	for i := range row.options {
		r := &row.options[i]
		var before []string
		for _, each := range r.names {
			before = append(before, "-"+strings.TrimLeft(each, "-"))
		}
		switch {
		case r.value == "":
		case r.takesFile():
			files = append(files, before...)
		case len(r.words) > 0:
			fmt.Fprintf(&b, "        case $before in %s) COMPREPLY=($(compgen -W \"%s\" -- \"$word\")); return ;; esac\n", strings.Join(before, "|"), strings.Join(r.words, " "))
		default:
			guesses = append(guesses, before...)
		}
	}
	if len(files)+len(guesses) > 0 {
		b.WriteString("        case $before in\n")
		if len(files) > 0 {
			fmt.Fprintf(&b, "        %s) %s ;;\n", strings.Join(files, "|"), bashFiles)
		}
		if len(guesses) > 0 {
			fmt.Fprintf(&b, "        %s) return ;;\n", strings.Join(guesses, "|"))
		}
		b.WriteString("        esac\n")
	}
	if row.takesFile() {
		b.WriteString("        [[ $word == -* ]] || " + bashFiles + "\n")
	}
	b.WriteString("        ;;\n")
	return b.String()
}

// optionNames are all that may be typed as an option.
func optionNames(options []optionRow) []string {
	names := []string{"--help"}
	for i := range options {
		names = append(names, options[i].names...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rowNames are the commands, without other names for them.
func rowNames(rows []manualRow) []string {
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].name
	}
	return names
}

// shellFunction is a program's name as part of a function's.
func shellFunction(name string) string { return strings.NewReplacer("-", "_", ".", "_").Replace(name) }
