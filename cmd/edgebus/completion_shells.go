package main

import (
	"fmt"
	"strings"
)

// zshCompletion is a function for zsh, which its own _arguments does the work of.
func zshCompletion(name string, rows []manualRow) string {
	var b strings.Builder
	function := shellFunction(name)
	fmt.Fprintf(&b, "#compdef %[1]s\n# Completion of zsh for %[1]s, printed by \"%[1]s completion zsh\".\n\ncompdef _%[2]s %[1]s\n\n", name, function)
	fmt.Fprintf(&b, "_%s() {\n    local -a commands\n    commands=(\n        'help:tell more of a command'\n", function)
	for i := range rows {
		fmt.Fprintf(&b, "        %s\n", zshWord(rows[i].name+":"+strings.ReplaceAll(rows[i].summary, ":", `\:`)))
	}
	fmt.Fprintf(&b, `    )
    local command=%s
    if [[ $words[2] != -* ]]; then
        if (( CURRENT == 2 )); then
            _describe command commands
            return
        fi
        command=$words[2]
        shift words
        (( CURRENT-- ))
    fi
    case $command in
    help) _describe command commands ;;
`, serveName)
	for i := range rows {
		row := &rows[i]
		fmt.Fprintf(&b, "    %s)\n        _arguments", strings.Join(row.names(), "|"))
		for k := range row.options {
			for _, spec := range zshOption(&row.options[k]) {
				b.WriteString(" \\\n            " + spec)
			}
		}
		b.WriteString(" \\\n            '(- *)'{-h,--help}'[show help]'")
		if len(row.cmd.Words) > 0 {
			fmt.Fprintf(&b, " \\\n            %s", zshWord("1: :("+strings.Join(row.cmd.Words, " ")+")"))
		}
		if row.takesFile() {
			b.WriteString(" \\\n            '1:file:_files'")
		}
		if row.name == "device" {
			fmt.Fprintf(&b, " \\\n            '2:device:($(%s device list 2>/dev/null | cut -d\" \" -f1))'", name)
		}
		b.WriteString("\n        ;;\n")
	}
	fmt.Fprintf(&b, "    esac\n}\n\n# Found by the name of its file it is called at once, and read with source it is not.\nif [[ $funcstack[1] == _%[1]s ]]; then\n    _%[1]s \"$@\"\nfi\n", function)
	return b.String()
}

// zshOption is a specification of _arguments for each name of an option, which rule each other out.
func zshOption(r *optionRow) []string {
	specs := make([]string, len(r.names))
	for i, name := range r.names {
		spec := name
		if len(r.names) > 1 && !strings.Contains(r.text, "again") && !strings.Contains(r.text, "repeated") {
			spec = "(" + strings.Join(r.names, " ") + ")" + spec
		} else if r.value != "" {
			spec = "*" + spec
		}
		if r.value != "" && strings.HasPrefix(name, "--") {
			spec += "="
		}
		spec += "[" + strings.NewReplacer("[", `\[`, "]", `\]`).Replace(r.text) + "]"
		if r.value != "" {
			action := " "
			switch {
			case r.takesFile():
				action = "_files"
			case len(r.words) > 0:
				action = "(" + strings.Join(r.words, " ") + ")"
			}
			spec += ":" + strings.ReplaceAll(r.value, ":", `\:`) + ":" + action
		}
		specs[i] = zshWord(spec)
	}
	return specs
}

// zshWord is a word for zsh as it is.
func zshWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fishCompletion is a list for fish.
func fishCompletion(name string, rows []manualRow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of fish for %[1]s, printed by \"%[1]s completion fish\".\n\ncomplete -c %[1]s -f\ncomplete -c %[1]s -l help -d 'show help'\n", name)
	line := func(condition, rest string) {
		fmt.Fprintf(&b, "complete -c %s -n %s %s\n", name, fishWord(condition), rest)
	}
	line("__fish_use_subcommand", "-a help -d 'tell more of a command'")
	line("__fish_seen_subcommand_from help", "-a "+fishWord(strings.Join(rowNames(rows), " ")))
	for i := range rows {
		row := &rows[i]
		line("__fish_use_subcommand", "-a "+row.name+" -d "+fishWord(row.summary))
		condition := "__fish_seen_subcommand_from " + strings.Join(row.names(), " ")
		if row.name == serveName {
			condition = "__fish_use_subcommand; or " + condition
		}
		for k := range row.options {
			line(condition, fishOption(&row.options[k]))
		}
		if len(row.cmd.Words) > 0 {
			line(condition+"; and not __fish_seen_subcommand_from "+strings.Join(row.cmd.Words, " "), "-a "+fishWord(strings.Join(row.cmd.Words, " ")))
		}
		if row.takesFile() {
			line(condition, "-F")
		}
		if row.name == "device" {
			line(condition+"; and __fish_seen_subcommand_from revoke", fmt.Sprintf("-a \"(%s device list 2>/dev/null | cut -d' ' -f1)\"", name))
		}
	}
	return b.String()
}

func fishOption(r *optionRow) string {
	var words []string
	for _, name := range r.names {
		bare := strings.TrimLeft(name, "-")
		switch {
		case strings.HasPrefix(name, "--"):
			words = append(words, "-l "+bare)
		case len(bare) == 1:
			words = append(words, "-s "+bare)
		default: // -DV is one option
			words = append(words, "-o "+bare)
		}
	}
	switch {
	case r.value == "":
	case r.takesFile():
		words = append(words, "-r -F")
	case len(r.words) > 0:
		words = append(words, "-x -a "+fishWord(strings.Join(r.words, " ")))
	default:
		words = append(words, "-x")
	}
	return strings.Join(words, " ") + " -d " + fishWord(r.text)
}

// fishWord is a word for fish as it is.
func fishWord(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}
