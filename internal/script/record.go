package script

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// quiet is how long nothing must come before Record takes what it has. Playing never sleeps;
// recording is done by hand, against a server that is known.
const quiet = 300 * time.Millisecond

// Record plays t and returns its text with every expectation that did not hold replaced by
// what really came; "a< ?" is one that never holds. It fails only where playing cannot go on.
func (p Player) Record(t *Transcript) ([]byte, error) {
	if p.Patience == 0 {
		p.Patience = 2 * time.Second
	}
	g := p.begin(t)
	defer g.end()
	became := map[int][]string{} // by line number; lines that stay are not in it
	for i := 0; i < len(t.Steps); i++ {
		s := t.Steps[i]
		if s.Server != "" && s.Server != p.Server {
			continue
		}
		for _, c := range g.clients {
			c.taken = nil
		}
		err := g.step(s)
		if s.Text == "?" {
			err = errors.New("a gap to be filled")
		}
		if err == nil {
			continue
		}
		if s.Send || len(s.Clients) > 1 {
			return nil, err
		}
		prefix := t.lines[s.Line-1][:strings.IndexByte(t.lines[s.Line-1], '<')+1]
		became[s.Line] = g.heard(s, prefix)
		for i+1 < len(t.Steps) && sameBlock(s, t.Steps[i+1]) {
			i++
			became[t.Steps[i].Line] = nil
		}
	}
	var out []string
	for i, line := range t.lines {
		if now, ok := became[i+1]; ok {
			out = append(out, now...)
			continue
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, "\n") + "\n"), nil
}

func sameBlock(a, b Step) bool {
	return !b.Send && slices.Equal(a.Clients, b.Clients) && a.Server == b.Server
}

// heard gives what a client has received, from the line that was not as expected on.
func (g *game) heard(s Step, prefix string) (lines []string) {
	c, err := g.client(s.Clients[0])
	if err != nil {
		return []string{prefix + " (refused)"}
	}
	if line, ok := c.last(); ok {
		lines = append(lines, strings.TrimRight(prefix+" "+show(line), " "))
	}
	for {
		line, err := c.next(quiet)
		if err == errClosed {
			return append(lines, prefix+" (closed)")
		}
		if err != nil {
			break
		}
		lines = append(lines, strings.TrimRight(prefix+" "+show(line), " "))
	}
	if len(lines) == 0 {
		return []string{prefix + " (nothing)"}
	}
	return lines
}
