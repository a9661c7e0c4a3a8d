//go:build linux

package reload

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manyUsers is a configuration of a thousand, with permissions that depend on the turn.
func manyUsers(users, turn int) string {
	var text strings.Builder
	text.WriteString("authorization { users: [\n")
	for i := range users {
		fmt.Fprintf(&text, `{user: u%d, password: p, permissions: {publish: [`, i)
		for rule := range 10 {
			fmt.Fprintf(&text, `"a.%d.%d.%d.>", `, turn, i, rule)
		}
		fmt.Fprintf(&text, `"all"], subscribe: ["in.%d.>", "turn.%d"]}}`+"\n", i, turn)
	}
	text.WriteString("] }")
	return text.String()
}

func TestReloadOfAThousandUsersIsQuick(t *testing.T) {
	const users, turns = 1000, 5
	const aim = 300 * time.Millisecond // as long as nothing else runs here
	s := start(t, manyUsers(users, 0))
	all := gather(s, users, func(i int) (*client, error) {
		c, err := join(s, "u"+strconv.Itoa(i), "p", func([]byte, []byte) {})
		if err != nil {
			return nil, err
		}
		c.send("SUB in.%d.x 1\r\nSUB in.%d.> 2\r\nSUB turn.0 3\r\n", i, i)
		return c, c.settle()
	})
	for turn := 1; turn <= turns; turn++ {
		seen, own := s.reload(manyUsers(users, turn))
		t.Logf("reload %d: %v by the server's clock, %v until we saw it", turn, own, seen)
		if own > 10*aim {
			t.Errorf("reload %d took %v, the aim is %v", turn, own, aim)
		}
	}
	for _, c := range all {
		if err := c.settle(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if n := c.failed.Load(); n != 1 {
			t.Fatalf("%s has been told %d errors, the last %q, want one: that turn.0 is no longer allowed", c.name, n, c.last)
		}
	}
}
