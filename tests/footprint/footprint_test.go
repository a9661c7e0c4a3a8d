//go:build linux

package footprint

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	patience = 20 * time.Second

	// startBudget is the resident set of a server that nobody has connected to.
	startBudget = 8_500 << 10
	// clientBudget is what an idle client with two subscriptions may add to it, in bytes, after it has
	// sent and received.
	clientBudget = 1_500
	clients      = 5_000
)

func TestMain(m *testing.M) { process.Main(m) }

func start(t *testing.T) *process.Server {
	t.Helper()
	if process.Raced() {
		t.Skip("the race detector takes several times as much")
	}
	s := process.Start(t, process.Options{Kind: process.Edgebus, Config: `ping_interval: "10m"`})
	// Its doors are open a moment before it lets go of what the start has touched.
	process.Eventually(t, patience, fmt.Sprintf("%d KiB at most, %d at first", startBudget>>10, s.RSS()>>10), func() bool {
		return s.Logged("Server is ready") && s.RSS() <= startBudget
	})
	return s
}

func TestServerThatHasJustStartedIsSmall(t *testing.T) {
	t.Logf("%d KiB", start(t).RSS()>>10)
}

// settle sends lines and a PING, and waits for the answer to the latter.
func settle(t *testing.T, c net.Conn, lines string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, lines+"PING\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "-ERR") {
			t.Fatal(line)
		}
		if strings.HasPrefix(line, "PONG") {
			return
		}
	}
}

func TestIdleClientsAreSmall(t *testing.T) {
	s := start(t)
	dial := func() net.Conn {
		c, err := s.Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	settle(t, dial(), "CONNECT {}\r\n") // what the first client costs once
	before := s.RSS()
	for i := range clients {
		settle(t, dial(), fmt.Sprintf("CONNECT {\"verbose\":false,\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n"+
			"SUB sensors.%d.commands 1\r\nSUB _INBOX.%d.* 2\r\nPUB sensors.%d.commands 2\r\nok\r\n", i, i, i))
	}
	// What the burst took is given back after a while.
	process.Eventually(t, patience, fmt.Sprintf("%d bytes a client at most", clientBudget), func() bool {
		return (s.RSS()-before)/clients <= clientBudget
	})
	t.Logf("%d bytes a client", (s.RSS()-before)/clients)
}
