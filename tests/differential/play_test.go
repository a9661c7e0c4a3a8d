//go:build linux

package differential

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// An outcome is what all peers have seen of each step, in the order of the alphabet: in which order
// two subscriptions are served is nobody's promise.
type outcome [][]string

// refused is the outcome of a configuration that a server does not take.
var refused = outcome{{"configuration refused"}}

// play plays a scenario against a new server. The expected outcome, nil if there is none, only says
// for what to wait after a reload.
func play(t testing.TB, kind process.Kind, s *scenario, expected outcome) (outcome, error) {
	server, err := start(t, kind, s.configs[0])
	if errors.Is(err, errRefused) {
		return refused, err
	}
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	p := &player{server: server, scenario: s, crowded: s.crowded(), peers: make(map[string]*peer)}
	defer p.hangUp()
	seen, err := p.doAll(s.steps, expected)
	if server.Logged("WARNING: DATA RACE") { // built with EDGEBUS_RACE=1
		err = errors.Join(err, errors.New("a data race in the server"))
	}
	if err != nil {
		err = fmt.Errorf("%s, %w\n%s", kind, err, tail(server.Log()))
	}
	return seen, err
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

type player struct {
	server   *server
	scenario *scenario
	crowded  map[string]bool
	peers    map[string]*peer // those that are connected
	seen     []string         // in this step
}

func (p *player) doAll(steps []step, expected outcome) (seen outcome, err error) {
	for i, step := range steps {
		var want []string
		if i < len(expected) {
			want = expected[i]
		}
		lines, err := p.do(step, want)
		if err != nil {
			return seen, fmt.Errorf("step %v: %w", step, err)
		}
		seen = append(seen, lines)
	}
	return seen, nil
}

func (p *player) hangUp() {
	for _, peer := range p.peers {
		peer.conn.Close()
	}
}

// do does one step and says what everybody has seen of it.
func (p *player) do(s step, expected []string) ([]string, error) {
	p.seen = nil
	var err error
	switch peer := p.peers[s.peer]; {
	case s.verb == "reload":
		err = p.reload(s, expected)
	case s.peer == "*":
		for _, name := range slices.Sorted(maps.Keys(p.peers)) {
			if peer := p.peers[name]; peer != nil && err == nil {
				err = p.answer(peer, s.number)
			}
		}
	case s.verb == "login":
		if peer != nil {
			peer.leave()
			delete(p.peers, s.peer)
		}
		err = p.login(s)
	case peer == nil:
		return []string{"not connected"}, nil
	case s.verb == "leave":
		peer.leave()
		delete(p.peers, s.peer)
		err = p.settle("")
	case s.verb == "answer":
		err = p.answer(peer, s.number)
	default:
		text, bad := line(s)
		if bad != nil {
			return nil, bad
		}
		if s.verb == "sub" && len(s.words) == 2 && p.crowded[s.words[1]] {
			peer.queues[strconv.Itoa(s.number)] = s.words[1]
		}
		peer.send(text)
		err = p.settle(s.peer)
	}
	slices.Sort(p.seen)
	return p.seen, err
}

// answer publishes to the reply subject of the last message that had one.
func (p *player) answer(peer *peer, number int) error {
	if peer.asked == "" {
		return nil
	}
	text := "r" + strconv.Itoa(number)
	peer.send(fmt.Sprintf("PUB %s %d\r\n%s\r\n", peer.asked, len(text), text))
	return p.settle(peer.name)
}

// settle ends a step: after the first peer's PONG all that it said has been worked off, and after the
// others' all that this caused has been read.
func (p *player) settle(first string) error {
	if peer := p.peers[first]; peer != nil {
		if err := p.exchange(peer); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.peers)) {
		if err := p.exchange(p.peers[name]); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) exchange(peer *peer) error {
	peer.send("PING\r\n")
	return p.hear(peer)
}

func (p *player) hear(peer *peer) error {
	lines, open, err := peer.hear()
	p.seen = append(p.seen, lines...)
	if err == nil && !open {
		p.seen = append(p.seen, peer.name+": closed")
		peer.conn.Close()
		delete(p.peers, peer.name)
	}
	return err
}

func (p *player) login(s step) error {
	conn, err := p.server.dial(s.number)
	if err != nil {
		return err
	}
	peer, err := greet(s.peer, conn)
	if err != nil {
		return err
	}
	p.peers[s.peer] = peer
	p.seen = append(p.seen, fmt.Sprintf("%s: first %s, nonce %v", peer.name, peer.info, peer.nonce != ""))
	if err := peer.connect(strings.Join(s.words, " ")); err != nil {
		return err
	}
	if err := p.hear(peer); err != nil {
		return err
	}
	if p.peers[s.peer] != nil {
		p.seen = append(p.seen, peer.name+": in")
	}
	return p.settle("")
}

// reload gives a configuration and lets the server work it off. That its log says so does not mean
// that every connection has been looked at: one settles until what is expected has come, or, where
// nothing is known, until two exchanges in a row have brought nothing.
func (p *player) reload(s step, expected []string) error {
	n, err := strconv.Atoi(s.words[0])
	if err != nil || n >= len(p.scenario.configs) {
		return fmt.Errorf("no configuration %q", s.words[0])
	}
	taken, err := p.server.reload(p.scenario.configs[n])
	if err != nil {
		return err
	}
	p.seen = append(p.seen, map[bool]string{true: "reloaded", false: "reload refused"}[taken])
	if strings.Contains(p.scenario.configs[n], "operator:") {
		for _, peer := range p.peers {
			peer.asked = "" // see differences.md: an account that changes
		}
	}
	for quiet := 0; quiet < quietExchanges; quiet++ {
		before := len(p.seen)
		if err := p.settle(""); err != nil {
			return err
		}
		if len(p.seen) != before {
			quiet = 0
		}
		if slices.Sort(p.seen); expected != nil && slices.Equal(p.seen, expected) {
			return nil
		}
	}
	return nil
}

// quietExchanges is how many exchanges without news end a reload.
const quietExchanges = 20

// line is what a peer sends for a step.
func line(s step) (string, error) {
	text := "m" + strconv.Itoa(s.number)
	switch {
	case s.verb == "sub" && len(s.words) > 0:
		return fmt.Sprintf("SUB %s %d\r\n", strings.Join(s.words, " "), s.number), nil
	case s.verb == "unsub" && len(s.words) > 0:
		return fmt.Sprintf("UNSUB %s\r\n", strings.Join(s.words, " ")), nil
	case s.verb == "pub" && len(s.words) > 0:
		return fmt.Sprintf("PUB %s %d\r\n%s\r\n", strings.Join(s.words, " "), len(text), text), nil
	case s.verb == "big" && len(s.words) > 0:
		text += strings.Repeat("x", 200)
		return fmt.Sprintf("PUB %s %d\r\n%s\r\n", strings.Join(s.words, " "), len(text), text), nil
	case s.verb == "hpub" && len(s.words) > 0:
		header := "NATS/1.0\r\nA: " + text + "\r\n\r\n"
		return fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", strings.Join(s.words, " "), len(header), len(header)+len(text), header, text), nil
	}
	return "", fmt.Errorf("no such step")
}
