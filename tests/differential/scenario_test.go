//go:build linux

package differential

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A scenario is a configuration and what is done under it.
type scenario struct {
	configs []string // [0] is started with, the others are for reloads
	steps   []step
}

// A step is one thing that is done. As text: "7 ann sub a.b q".
//
//	N ann login {"user":"ann",…}   CONNECT; "seed" becomes the signature of the nonce
//	N ann login USER               with that user's name and the password p
//	N ann sub SUBJECT [QUEUE]      the sid is N
//	N ann unsub SID [MAX]
//	N ann pub SUBJECT [REPLY]      the payload is mN
//	N ann hpub SUBJECT [REPLY]     with a header
//	N ann big SUBJECT              with a long payload
//	N ann answer                   to the last message that asked for it
//	N ann leave
//	N * answer                     all who have been asked, one after the other
//	N * reload CONFIG
type step struct {
	number int // names what the step makes, so that others can be left out
	peer   string
	verb   string
	words  []string
}

func (s step) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s %s", s.number, s.peer, s.verb, strings.Join(s.words, " ")))
}

// readSteps reads steps as String writes them, one a line.
func readSteps(t testing.TB, text string) (steps []step) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		number, err := strconv.Atoi(words[0])
		if err != nil || len(words) < 3 {
			t.Fatalf("not a step: %q", line)
		}
		if words[2] == "login" && len(words) == 4 && words[3][0] != '{' {
			words[3] = fmt.Sprintf(`{"verbose":false,"pedantic":false,"protocol":1,"headers":true,"no_responders":true,"name":%q,"user":%q,"pass":"p"}`, words[1], words[3])
		}
		steps = append(steps, step{number: number, peer: words[1], verb: words[2], words: words[3:]})
	}
	return steps
}

// String is the scenario as it is printed when servers differ.
func (s *scenario) String() string {
	var b strings.Builder
	for i, config := range s.configs {
		fmt.Fprintf(&b, "--- configuration %d\n%s\n", i, strings.TrimSpace(config))
	}
	b.WriteString("--- steps\n")
	for _, step := range s.steps {
		b.WriteString(step.String() + "\n")
	}
	return b.String()
}

// without is the scenario with steps left out.
func (s *scenario) without(from, to int) *scenario {
	less := *s
	less.steps = append(append([]step{}, s.steps[:from]...), s.steps[to:]...)
	return &less
}

// crowded are the queues that several steps join: which member is chosen is chance.
func (s *scenario) crowded() map[string]bool {
	seen, crowded := map[string]bool{}, map[string]bool{}
	for _, step := range s.steps {
		if step.verb == "sub" && len(step.words) == 2 {
			crowded[step.words[1]] = crowded[step.words[1]] || seen[step.words[1]]
			seen[step.words[1]] = true
		}
	}
	return crowded
}
