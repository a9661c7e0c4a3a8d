package peers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// upgradeClients is how many are connected when the server is replaced; EDGEBUS_LONG has it 500.
func upgradeClients() int {
	if long() {
		return 500
	}
	return 200
}

// An upgradeClient is somebody who is there before and after.
type upgradeClient struct {
	*nats.Conn
	sub                       *nats.Subscription
	disconnects, failed, back atomic.Int32
}

// A server gives its place up to another under load: nobody is refused meanwhile, and nobody has to come back
// twice.
func TestUpgradeUnderLoadRefusesNobody(t *testing.T) {
	s, socket := upgradable(t)
	clients := upgradeCrowd(t, s)
	var load sync.WaitGroup
	defer load.Wait()
	ended := make(chan struct{})
	defer sync.OnceFunc(func() { close(ended) })()
	var sent, dials, refused atomic.Int64
	for i := range 10 {
		load.Go(func() {
			for n := i; ; n += 10 {
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
				if clients[i].Publish(fmt.Sprintf("client.%d", n%len(clients)), []byte("load")) == nil {
					sent.Add(1)
				}
			}
		})
	}
	var why sync.Map
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				if err := shortVisit(s); err != nil {
					refused.Add(1)
					why.Store(err.Error(), true)
				}
				dials.Add(1)
			}
		})
	}
	begin := time.Now()
	output, err := exec.Command(process.Binary(t, process.Edgebus), "upgrade", "--json", "--control", socket).CombinedOutput()
	if err != nil {
		t.Fatalf("upgrade: %v: %s", err, output)
	}
	took := time.Since(begin)
	var done struct{ PID, Clients int }
	if err := json.Unmarshal(output, &done); err != nil || done.PID == s.Pid() || done.Clients < len(clients) {
		t.Errorf("%s: %v", output, err)
	}
	process.Eventually(t, patience, "everybody is back", func() bool {
		for i := range clients {
			if clients[i].back.Load() == 0 {
				return false
			}
		}
		return true
	})
	moved := time.Since(begin)
	process.Eventually(t, patience, "the end of the first server", func() bool {
		return s.Logged("Server Exiting..")
	})
	for range 100 { // and some after that
		if err := shortVisit(s); err != nil {
			t.Errorf("after the upgrade: %v", err)
		}
	}
	t.Logf("%d clients: the new server served after %v, all were back after %v; %d messages published and %d more connections made meanwhile, %d refused",
		len(clients), took.Round(time.Millisecond), moved.Round(time.Millisecond), sent.Load(), dials.Load(), refused.Load())
	if refused.Load() > 0 {
		why.Range(func(text, _ any) bool { t.Errorf("refused: %v", text); return true })
	}
	for i := range clients {
		c := &clients[i]
		if c.disconnects.Load() != 1 || c.back.Load() != 1 || c.failed.Load() != 0 {
			t.Errorf("client %d was disconnected %d times, came back %d times and failed %d times", i, c.disconnects.Load(), c.back.Load(), c.failed.Load())
		}
	}
	delivers(t, clients)
}

// upgradable starts a server that can be told by its control socket to give its place up.
func upgradable(t *testing.T) (s *process.Server, socket string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "eb") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket, pidFile := filepath.Join(folder, "s"), filepath.Join(folder, "pid")
	s = process.Start(t, process.Options{Kind: process.Edgebus, Config: fmt.Sprintf("control_socket: %q\npid_file: %q\n", socket, pidFile)})
	t.Cleanup(func() { // before the end of the first, whose output the second one holds
		if text, err := os.ReadFile(pidFile); err == nil {
			if pid, err := strconv.Atoi(string(text)); err == nil && pid != s.Pid() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return s, socket
}

// The new server is killed while clients go over to it: the old one takes them back, and nobody finds the door
// shut meanwhile.
func TestUpgradeToAServerThatDiesRefusesNobody(t *testing.T) {
	s, socket := upgradable(t)
	clients := upgradeCrowd(t, s)
	var load sync.WaitGroup
	defer load.Wait()
	ended := make(chan struct{})
	defer sync.OnceFunc(func() { close(ended) })()
	var dials, refused, cut atomic.Int64
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				switch err := shortVisit(s); {
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
				case err != nil: // it was in at the server that was killed
					cut.Add(1)
				}
				dials.Add(1)
			}
		})
	}
	output, err := exec.Command(process.Binary(t, process.Edgebus), "upgrade", "--json", "--control", socket).CombinedOutput()
	var done struct{ PID int }
	if err != nil || json.Unmarshal(output, &done) != nil || done.PID == 0 {
		t.Fatalf("upgrade: %v: %s", err, output)
	}
	process.Eventually(t, patience, "the first are at the new server", func() bool {
		for i := range clients {
			if clients[i].back.Load() > 0 {
				return true
			}
		}
		return false
	})
	if err := syscall.Kill(done.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	process.Eventually(t, patience, "the old server serves again", func() bool {
		return s.Logged("and this one comes back") && shortVisit(s) == nil
	})
	process.Eventually(t, patience, "everybody is connected", func() bool {
		for i := range clients {
			if !clients[i].IsConnected() {
				return false
			}
		}
		return true
	})
	t.Logf("%d clients: all were back %v after the new server was killed; %d more connections made meanwhile, %d cut by its death, %d refused",
		len(clients), time.Since(begin).Round(time.Millisecond), dials.Load(), cut.Load(), refused.Load())
	if refused.Load() > 0 {
		t.Errorf("%d of %d were refused", refused.Load(), dials.Load())
	}
	delivers(t, clients)
}

// upgradeCrowd connects everybody, each with a subscription of his own.
func upgradeCrowd(t *testing.T, s *process.Server) []upgradeClient {
	t.Helper()
	clients := make([]upgradeClient, upgradeClients())
	for i := range clients {
		c := &clients[i]
		c.Conn = connect(t, s, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.DisconnectErrHandler(func(*nats.Conn, error) { c.disconnects.Add(1) }),
			nats.ReconnectErrHandler(func(*nats.Conn, error) { c.failed.Add(1) }),
			nats.ReconnectHandler(func(*nats.Conn) { c.back.Add(1) }))
		var err error
		if c.sub, err = c.SubscribeSync(fmt.Sprintf("client.%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range clients {
		flush(t, clients[i].Conn)
	}
	return clients
}

// delivers has the first client write to each, and each get it.
func delivers(t *testing.T, clients []upgradeClient) {
	t.Helper()
	for i := range clients {
		flush(t, clients[i].Conn) // subscribed again
		publish(t, clients[0].Conn, fmt.Sprintf("client.%d", i), "after")
	}
	flush(t, clients[0].Conn)
	for i := range clients {
		for {
			m, err := clients[i].sub.NextMsg(patience)
			if err != nil {
				t.Fatalf("client %d gets nothing after the upgrade: %v", i, err)
			}
			if string(m.Data) == "after" {
				break
			}
		}
	}
}

// shortVisit connects, asks for a sign of life and leaves. Its errors are what a client that comes at that
// moment would have.
func shortVisit(s *process.Server) error {
	conn, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false}\r\nPING\r\n"); err != nil {
		return err
	}
	for in := bufio.NewReader(conn); ; {
		switch line, err := in.ReadString('\n'); {
		case err != nil:
			return errors.Join(errors.New("closed before it answered"), err)
		case line == "PONG\r\n":
			return nil
		}
	}
}
