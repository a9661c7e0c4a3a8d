package script

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// DefaultConnect is what an introduced client says unless the head says otherwise: no +OK,
// no checks of subjects, no second INFO.
const DefaultConnect = `{"verbose":false,"pedantic":false,"protocol":0,"echo":true,"headers":true,"no_responders":true}`

// A Transcript is one file, parsed.
type Transcript struct {
	Name        string            // path without its ending
	About       string            // the comment at its head
	Config      string            // the server's configuration, empty for its defaults
	Configs     map[string]string // by name, for a reload
	Connect     string
	ConnectOf   map[string]string // by client
	PingsShown  bool
	Only        string // the one server it is for, or empty
	OnlyBecause string
	Steps       []Step

	lines []string // of the file, for Record
}

// A Step is one line of a conversation.
type Step struct {
	Line    int      // from 1
	Clients []string // more than one: exactly one of them
	Server  string   // for that server only, or empty
	Send    bool
	Text    string // with its escapes
}

var (
	stepForm = regexp.MustCompile(`^([a-z][a-z0-9]*(?:\|[a-z][a-z0-9]*)*)(?:@([a-z][a-z0-9.-]*))?([<>])(?: (.*))?$`)
	headForm = regexp.MustCompile(`^(config|connect|pings|only)(?: ([a-z][a-z0-9.-]*))?:\s*(.*)$`)
)

// Parse reads one transcript.
func Parse(name string, text []byte) (*Transcript, error) {
	t := &Transcript{Name: name, Connect: DefaultConnect, Configs: map[string]string{}, ConnectOf: map[string]string{}}
	head := true
	var block func(string) // takes the lines indented below a head word
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		t.lines = append(t.lines, line)
		switch {
		case strings.TrimSpace(line) == "":
			block = nil
		case line[0] == '#':
			if !head {
				continue
			}
			next, err := t.headLine(strings.TrimSuffix(line[1:], "\r"), block)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, len(t.lines), err)
			}
			block = next
		default:
			head = false
			step, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, len(t.lines), err)
			}
			step.Line = len(t.lines)
			t.Steps = append(t.Steps, step)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(t.Steps) == 0 {
		return nil, fmt.Errorf("%s: no step in it", name)
	}
	return t, nil
}

// headLine takes one comment line of the head and returns who takes the indented ones below it.
func (t *Transcript) headLine(line string, block func(string)) (func(string), error) {
	if block != nil && strings.HasPrefix(line, "   ") {
		block(strings.TrimPrefix(line, "   "))
		return block, nil
	}
	parts := headForm.FindStringSubmatch(strings.TrimSpace(line))
	if parts == nil {
		t.About += strings.TrimSpace(line) + "\n"
		return nil, nil
	}
	word, name, rest := parts[1], parts[2], parts[3]
	switch word {
	case "config":
		if name == "" {
			t.Config += rest
			return func(l string) { t.Config += l + "\n" }, nil
		}
		t.Configs[name] = rest
		return func(l string) { t.Configs[name] += l + "\n" }, nil
	case "connect":
		if name == "" {
			t.Connect = rest
		} else {
			t.ConnectOf[name] = rest
		}
	case "pings":
		if rest != "shown" {
			return nil, fmt.Errorf("pings: %q: only \"shown\" is known", rest)
		}
		t.PingsShown = true
	case "only":
		if name == "" || rest == "" {
			return nil, fmt.Errorf("only: needs a server and a reason")
		}
		t.Only, t.OnlyBecause = name, rest
	}
	return nil, nil
}

func parseStep(line string) (Step, error) {
	parts := stepForm.FindStringSubmatch(line)
	if parts == nil {
		return Step{}, fmt.Errorf("%q is neither a step nor a comment", line)
	}
	s := Step{Clients: strings.Split(parts[1], "|"), Server: parts[2], Send: parts[3] == ">", Text: parts[4]}
	if s.Send && len(s.Clients) > 1 {
		return Step{}, fmt.Errorf("%q: only one client at a time can send", line)
	}
	if _, _, act := s.act(); act {
		return s, nil
	}
	if s.Send {
		_, _, err := unescape(s.Text, nil)
		return s, err
	}
	_, err := compile(s.Text, nil)
	return s, err
}

// act splits a step in brackets into its word and its argument.
func (s Step) act() (word, argument string, ok bool) {
	if len(s.Text) < 2 || s.Text[0] != '(' || s.Text[len(s.Text)-1] != ')' {
		return "", "", false
	}
	word, argument, _ = strings.Cut(s.Text[1:len(s.Text)-1], " ")
	return word, argument, true
}

// Differs reports whether a line of the transcript is for one server only.
func (t *Transcript) Differs() bool {
	return t.Only != "" || slices.ContainsFunc(t.Steps, func(s Step) bool { return s.Server != "" })
}

// ReadAll parses every .txt file below the root of files, in order of their names.
func ReadAll(files fs.FS) ([]*Transcript, error) {
	var all []*Transcript
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txt") {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		t, err := Parse(strings.TrimSuffix(path, ".txt"), text)
		if err != nil {
			return err
		}
		all = append(all, t)
		return nil
	})
	return all, err
}
