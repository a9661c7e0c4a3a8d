//go:build unix

package transcripts

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// TestNoiseIsAnsweredAlike says nearly sensible things to both servers and compares all that
// they answer. NOISE_SEED repeats a run, NOISE_COUNT makes it longer.
func TestNoiseIsAnsweredAlike(t *testing.T) {
	if *serverFlag != "" {
		t.Skip("needs both servers")
	}
	seed, count := rand.Uint64(), uint64(300)
	if text := os.Getenv("NOISE_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	if text := os.Getenv("NOISE_COUNT"); text != "" {
		count, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("seed %d", seed)
	for name, config := range noiseConfigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareNoise(t, config, seed, count)
		})
	}
}

const noiseLimits = "max_payload: 2000\nmax_control_line: 1000\n"

var noiseConfigs = map[string]string{
	"open":   noiseLimits,
	"limits": noiseLimits + "max_subscriptions: 3\nmax_sub_tokens: 2",
	"permissions": noiseLimits + `
		authorization { users: [{user: u, password: p, permissions: {
			publish: {allow: ["a", "a.>", "*.b", "$SYS.>", "_INBOX.*"], deny: ["a.b.c", "a.*.>"]}
			subscribe: {allow: ["a.>", "a", "b", "*.b", "> q1", "_INBOX.>", "c.b.c *"], deny: ["a.b", "b q2", "a.x"]}
			allow_responses: {max: 2, expires: "1m"}
		}}] }
		no_auth_user: u`,
	"denials": noiseLimits + `
		authorization { users: [{user: u, password: p, permissions: {
			publish: {deny: ["a.*", "_R_.>"]}
			subscribe: {deny: ["a.b", "b", "$JS.>", "b.> q1"]}
		}}] }
		no_auth_user: u`,
}

func compareNoise(t *testing.T, config string, seed, count uint64) {
	reference := process.Start(t, process.Options{Kind: process.Reference, Config: config})
	ours := process.Start(t, process.Options{Kind: process.Edgebus, Config: config})
	for i := range count {
		n := &noise{Rand: rand.New(rand.NewPCG(seed, i))}
		said := n.conversation()
		want, got := answers(t, reference, said), answers(t, ours, said)
		if !slices.Equal(want, got) {
			t.Errorf("seed %d, conversation %d\nsaid: %q\nnats-server: %q\nedgebus:     %q", seed, i, said, want, got)
		}
	}
}

// answers says everything at once, ends its side and gives all lines that came back, in order
// of the alphabet: which of several subscriptions comes first is nobody's promise.
func answers(t *testing.T, s *process.Server, said string) []string {
	t.Helper()
	conn, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write([]byte(said))
	conn.(*net.TCPConn).CloseWrite()
	heard, err := io.ReadAll(conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Fatalf("%s does not close after %q; it said %q", s.Kind, said, heard)
	}
	_, rest, _ := bytes.Cut(heard, []byte("\r\n")) // INFO is each server's own
	lines := strings.Split(string(rest), "\r\n")
	// Which of several subscriptions gets a 503 is the server's choice.
	for i, line := range lines {
		if words := strings.Split(line, " "); words[0] == "HMSG" && len(words) > 2 {
			words[2] = "?"
			lines[i] = strings.Join(words, " ")
		}
	}
	slices.Sort(lines)
	return lines
}

// A noise makes up conversations. It keeps away from what differences.md explains.
type noise struct {
	*rand.Rand
	groups int
	bare   bool // no CONNECT: no headers, and pedantic
}

func (n *noise) conversation() string {
	var b strings.Builder
	if n.bare = n.IntN(10) == 0; !n.bare {
		fmt.Fprintf(&b, "CONNECT {\"verbose\":%v,\"pedantic\":false,\"headers\":true,\"no_responders\":%v,\"echo\":%v}\r\n",
			n.IntN(4) == 0, n.IntN(3) > 0, n.IntN(5) > 0)
	}
	for range 1 + n.IntN(20) {
		b.WriteString(n.operation())
	}
	return b.String()
}

func (n *noise) operation() string {
	switch n.IntN(14) {
	case 0, 1, 2:
		return n.line("SUB", n.subject(), n.sid())
	case 3:
		n.groups++ // a group of one: which of several is chosen is chance
		return n.line("SUB", n.subject(), fmt.Sprint("q", n.groups), n.sid())
	case 4:
		return n.line("UNSUB", n.sid())
	case 5:
		return n.line("UNSUB", n.sid(), n.number(3))
	case 6, 7, 8:
		return n.publish()
	case 9:
		if n.bare {
			return n.publish()
		}
		return n.publishWithHeader()
	case 10:
		return n.line(n.pick("PING", "PONG", "+OK"))
	case 11:
		return n.line("INFO", "{}")
	case 12:
		if n.IntN(6) > 0 {
			return n.line("PING")
		}
		return n.line(n.pick("MSG", "PIN", "", "CONNECT", "X", "SUBS", "PINGS"), n.pick("", "{}", "a b"))
	default:
		if n.IntN(4) > 0 {
			return n.line("PING")
		}
		return n.line(n.pick("SUB", "UNSUB", "PUB"), n.some(n.subject, 5)...)
	}
}

func (n *noise) publish() string {
	if n.bare {
		return n.line("PUB", n.pick("a", "b", "a.b"), "2") + "hi\r\n"
	}
	text := strings.Repeat("x", n.IntN(20))
	if n.IntN(20) == 0 {
		text = strings.Repeat("y", 1995+n.IntN(10))
	}
	size := fmt.Sprint(len(text))
	if n.IntN(30) == 0 {
		size = n.number(30)
	}
	words := []string{n.subject(), size}
	if n.IntN(2) == 0 {
		words = []string{n.subject(), n.subject(), size}
	}
	return n.line("PUB", words...) + text + n.end()
}

func (n *noise) publishWithHeader() string {
	header := n.pick("NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\n\r\n", "NATS/1.0 404\r\n\r\n", "", "xyz")
	text := strings.Repeat("x", n.IntN(20))
	sizes := []string{fmt.Sprint(len(header)), fmt.Sprint(len(header) + len(text))}
	if n.IntN(20) == 0 {
		sizes[n.IntN(2)] = n.number(30)
	}
	words := []string{n.subject()}
	if n.IntN(2) == 0 {
		words = append(words, n.subject())
	}
	return n.line("HPUB", append(words, sizes...)...) + header + text + n.end()
}

// line joins words with blanks of many sorts and ends the line somehow.
func (n *noise) line(verb string, words ...string) string {
	if len(words) == 0 && (verb == "SUB" || verb == "UNSUB" || verb == "PUB" || verb == "HPUB") {
		// Behind such a word and a blank the reference takes LF for a letter.
		return verb + "\r\n"
	}
	if n.IntN(5) == 0 {
		verb = strings.ToLower(verb)
	}
	var b strings.Builder
	b.WriteString(verb)
	for _, word := range words {
		b.WriteString(n.pick(" ", " ", " ", " ", "  ", "\t", " \t "))
		b.WriteString(word)
	}
	b.WriteString(n.pick("", "", "", "", " ", "\t"))
	return b.String() + n.pick("\r\n", "\r\n", "\r\n", "\r\n", "\n")
}

// end follows a payload; once in a while wrongly.
func (n *noise) end() string {
	if n.IntN(60) == 0 {
		return n.pick("\n", "", "\r", "x\r\n")
	}
	return "\r\n"
}

func (n *noise) subject() string {
	if n.IntN(40) == 0 {
		return strings.Repeat("s", 980+n.IntN(30))
	}
	return n.pick("a", "b", "a.b", "a.*", "a.>", ">", "*", "a.b.c", "*.b", "a..b", ".a", "a.", "a.>.b", "a*", "ab>", "A", "\xff", "_INBOX.1", "_R_.x", "$JS.ACK.x", "$GR.x", "$NRG.x", "$SYS.x")
}

func (n *noise) sid() string { return n.pick("1", "2", "3", "x", "1.5") }

func (n *noise) number(most int) string {
	if n.IntN(8) == 0 {
		return n.pick("-1", "+1", "x", "1x", "00", "2001", "999999999", "1000000000")
	}
	return fmt.Sprint(n.IntN(most))
}

func (n *noise) pick(from ...string) string { return from[n.IntN(len(from))] }

func (n *noise) some(f func() string, most int) (words []string) {
	for range n.IntN(most + 1) {
		words = append(words, f())
	}
	return words
}
