package script

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// A Player plays transcripts against one server.
type Player struct {
	Server   string                            // its name, for lines that are for one server only
	Dial     func() (net.Conn, error)          // reaches it
	Act      func(word, argument string) error // does what "server> (word argument)" says; nil: no transcript may
	Patience time.Duration                     // for each line expected; default 5 s
	Cut      int                               // write at most so many bytes at once; default whole lines
}

// defaultPatience is long because a busy machine is no finding.
const defaultPatience = 5 * time.Second

// Play plays one transcript, and returns the first difference.
func (p Player) Play(t *Transcript) error {
	g := p.begin(t)
	defer g.end()
	for _, s := range t.Steps {
		if s.Server != "" && s.Server != p.Server {
			continue
		}
		if err := g.step(s); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", t.Name, s.Line, cut(t.lines[s.Line-1]), err)
		}
	}
	return g.nothingLeft()
}

// A game is one transcript being played.
type game struct {
	Player
	t       *Transcript
	clients map[string]*client
	names   []string // in order of their first lines
	talking *client  // whose lines are being gathered, to leave in one piece; or nil
	kept    map[string]string
	refused map[string]error
}

func (p Player) begin(t *Transcript) *game {
	if p.Patience == 0 {
		p.Patience = defaultPatience
	}
	return &game{Player: p, t: t, clients: map[string]*client{}, kept: map[string]string{}, refused: map[string]error{}}
}

func (g *game) end() {
	for _, c := range g.clients {
		c.close()
	}
}

func (g *game) step(s Step) error {
	word, argument, act := s.act()
	if talks := s.Send && !act && g.talking != nil && g.talking.name == s.Clients[0]; !talks {
		g.deliver()
	}
	if s.Clients[0] == "server" {
		if !s.Send || !act || g.Act == nil {
			return errors.New("the player cannot do that to the server")
		}
		if err := g.settle(""); err != nil {
			return err
		}
		return g.Act(word, argument)
	}
	switch {
	case s.Send && act:
		return g.sendAct(s.Clients[0], word, argument)
	case s.Send:
		return g.send(s.Clients[0], s.Text)
	case act:
		return g.expectAct(s.Clients, word)
	case len(s.Clients) > 1:
		return g.expectOneOf(s.Clients, s.Text)
	default:
		return g.expect(s.Clients[0], s.Text)
	}
}

// client gives the named client, introducing it if it is new.
func (g *game) client(name string) (*client, error) {
	if c, ok := g.clients[name]; ok {
		return c, nil
	}
	c, err := g.open(name)
	if err != nil {
		return nil, err
	}
	if _, err := c.next(g.Patience); err != nil {
		return nil, fmt.Errorf("introducing %s: no INFO: %w", name, err)
	}
	connect, ok := g.t.ConnectOf[name]
	if !ok {
		connect = g.t.Connect
	}
	c.write([]byte("CONNECT " + connect + "\r\n"))
	if err := c.barrier(g.Patience); err != nil {
		return nil, fmt.Errorf("introducing %s: %w, after %q", name, err, c.unread())
	}
	if line, ok := c.peek(); ok && string(line) == "+OK" {
		c.next(0) // of a CONNECT that asks for verbose
	}
	c.taken = nil
	return c, nil
}

func (g *game) open(name string) (*client, error) {
	conn, err := g.Dial()
	if err != nil {
		return nil, err
	}
	c := newClient(name, conn, g.t.PingsShown)
	g.clients[name] = c
	g.names = append(g.names, name)
	return c, nil
}

// settle waits until the server has dealt with what every other introduced client has sent.
func (g *game) settle(sender string) error {
	for _, name := range g.names {
		c := g.clients[name]
		if name == sender || c == nil || c.bare || !c.dirty {
			continue
		}
		if err := c.barrier(g.Patience); err != nil && err != errClosed {
			return err
		}
	}
	return nil
}

func (g *game) send(name, text string) error {
	c, err := g.client(name)
	if err != nil {
		return err
	}
	if err := g.settle(name); err != nil {
		return err
	}
	wire, open, err := unescape(text, g.kept)
	if err != nil {
		return err
	}
	if !open {
		wire = append(wire, "\r\n"...)
	}
	if len(wire) >= 4 && strings.EqualFold(string(wire[:4]), "PING") {
		c.ping(false)
	}
	c.dirty = true
	c.said = append(c.said, wire...)
	g.talking = c
	if open {
		g.deliver()
	}
	return nil
}

// deliver writes what was gathered from one client. In one piece, because a real client's
// operations are, and because the reference says some errors twice when a PUB line and its
// payload come apart.
func (g *game) deliver() {
	c := g.talking
	if c == nil {
		return
	}
	step := len(c.said)
	if g.Cut > 0 {
		step = g.Cut
	}
	for piece := range slices.Chunk(c.said, max(step, 1)) {
		c.write(piece)
	}
	c.said, g.talking = nil, nil
}

func (g *game) sendAct(name, word, argument string) error {
	switch word {
	case "connect":
		if old := g.clients[name]; old != nil {
			old.close()
			delete(g.clients, name)
			g.names = slices.DeleteFunc(g.names, func(n string) bool { return n == name })
		}
		if err := g.settle(name); err != nil {
			return err
		}
		c, err := g.open(name)
		g.refused[name] = err
		if err == nil {
			c.bare = true
		}
		return nil
	case "close":
		c, err := g.client(name)
		if err != nil {
			return err
		}
		if err := g.settle(""); err != nil {
			return err
		}
		c.close()
		delete(g.clients, name)
		g.names = slices.DeleteFunc(g.names, func(n string) bool { return n == name })
		return nil
	case "wait":
		if err := g.settle(""); err != nil {
			return err
		}
		d, err := time.ParseDuration(argument)
		if err == nil {
			<-time.After(d)
		}
		return err
	}
	return fmt.Errorf("(%s) is nothing a client can do", word)
}

func (g *game) expectAct(names []string, word string) error {
	for _, name := range names {
		if err := g.expectState(name, word); err != nil {
			return err
		}
	}
	return nil
}

func (g *game) expectState(name, word string) error {
	if word == "refused" {
		if g.refused[name] == nil {
			return errors.New("it was not refused")
		}
		return nil
	}
	if err := g.refused[name]; err != nil {
		return err
	}
	c, err := g.client(name)
	if err != nil {
		return err
	}
	switch word {
	case "nothing":
		if err := g.settle(name); err != nil {
			return err
		}
		if err := c.barrier(g.Patience); err != nil {
			return err
		}
		return c.nothing()
	case "closed":
		line, err := c.next(g.Patience)
		if err == nil {
			return fmt.Errorf("got %s", cut(show(line)))
		}
		if err == errClosed {
			return nil
		}
		return err
	}
	return fmt.Errorf("(%s) is nothing that can be expected", word)
}

func (c *client) nothing() error {
	if unread := c.unread(); len(unread) > 0 {
		return fmt.Errorf("%s has unread:\n\t%s", c.name, strings.Join(unread, "\n\t"))
	}
	return nil
}

func (g *game) expect(name, text string) error {
	if err := g.refused[name]; err != nil {
		return err
	}
	c, err := g.client(name)
	if err != nil {
		return err
	}
	want, err := compile(text, g.kept)
	if err != nil {
		return err
	}
	got, err := c.next(g.Patience)
	if err != nil {
		return err
	}
	if !want.match(got, g.kept) {
		return fmt.Errorf("got %s%s", cut(show(got)), after(c))
	}
	return nil
}

// after says what else has come, which often explains the line that did not match.
func after(c *client) string {
	if unread := c.unread(); len(unread) > 0 {
		return "\n\tthen " + strings.Join(unread, "\n\tthen ")
	}
	return ""
}

// expectOneOf takes one line of a block for exactly one of several clients. Everybody has
// settled, so who has a matching line has it now.
func (g *game) expectOneOf(names []string, text string) error {
	var holders, seen []string
	for i, name := range names {
		c, err := g.client(name)
		if err != nil {
			return err
		}
		if err := g.settle(""); err != nil {
			return err
		}
		if err := c.barrier(g.Patience); err != nil && err != errClosed {
			return err
		}
		want, err := compile(choose(text, i, len(names)), g.kept)
		if err != nil {
			return err
		}
		line, ok := c.peek()
		if ok && want.match(line, g.kept) {
			holders = append(holders, name)
		}
		if ok {
			seen = append(seen, name+": "+cut(show(line)))
		}
	}
	if len(holders) != 1 {
		return fmt.Errorf("exactly one of %q must have it, not %q; next lines are %q", names, holders, seen)
	}
	_, err := g.clients[holders[0]].next(0)
	return err
}

// nothingLeft asks of every client that is still connected whether all was expected.
func (g *game) nothingLeft() error {
	g.deliver()
	if err := g.settle(""); err != nil {
		return fmt.Errorf("%s: at the end: %w", g.t.Name, err)
	}
	for _, name := range g.names {
		c := g.clients[name]
		if !c.bare {
			if err := c.barrier(g.Patience); err != nil && err != errClosed {
				return fmt.Errorf("%s: at the end: %w", g.t.Name, err)
			}
		}
		if err := c.nothing(); err != nil {
			return fmt.Errorf("%s: at the end: %w", g.t.Name, err)
		}
	}
	return nil
}

// cut shortens what is shown of a long line.
func cut(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + fmt.Sprintf("... (%d bytes)", len(s))
}
