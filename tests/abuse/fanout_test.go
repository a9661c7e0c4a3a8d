//go:build linux

package abuse

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// One message to many that do not read may not take what all of them together are allowed, though it
// is handed to the last of them before the first one's owner has its turn.
func TestFanOutToManyThatDoNotRead(t *testing.T) {
	const subscribers, messages = 200, 40
	s := start(t, "memory_limit: 32MB")
	p := newPair(t, s)
	for range subscribers {
		w := client(t, s)
		if err := w.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		w.send("SUB a 1\r\n")
		w.settle()
	}
	pub := client(t, s)
	line := fmt.Sprintf("PUB a %d\r\n%s\r\n", mib, strings.Repeat("x", mib))
	for range messages {
		pub.send(line)
	}
	pub.settle()
	p.check()
	under(t, s, 64*mib)
}
