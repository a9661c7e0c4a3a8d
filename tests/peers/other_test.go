//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A scenario is one conversation that the programs in c/ and js/ know by name.
type scenario struct {
	name   string
	config string
	server func(t *testing.T, p *peer, s *process.Server) // what is done meanwhile; may be nil
}

var scenarios = []scenario{
	{name: "pubsub"},
	{name: "wildcards"},
	{name: "queue"},
	{name: "request"},
	{name: "noresponders"},
	{name: "headers"},
	{name: "drain"},
	{name: "echo"},
	{name: "autounsubscribe"},
	{name: "maxpayload", config: "max_payload: 1024"},
	{name: "authfail", config: permissionsConfig},
	{name: "permissions", config: permissionsConfig},
	{name: "reconnect", server: func(t *testing.T, p *peer, s *process.Server) {
		p.await(t, "ready")
		s.Kill()
		s.Again()
		fmt.Fprintln(p.in, "again")
	}},
	{name: "lameduck", config: "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"",
		server: func(t *testing.T, p *peer, s *process.Server) {
			p.await(t, "ready")
			s.Signal(syscall.SIGUSR2)
			p.await(t, "lame")
		}},
}

func TestClientInC(t *testing.T) {
	program := buildC(t)
	playAll(t, func(url, name string) *exec.Cmd { return exec.Command(program, url, name) })
}

func TestClientInJavaScript(t *testing.T) {
	node := findNode(t)
	playAll(t, func(url, name string) *exec.Cmd { return exec.Command(node, "js/peer.mjs", url, name) })
}

func findNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		process.Absent(t, "nodejs", err.Error())
	}
	if _, err := os.Stat("js/node_modules/@nats-io/transport-node"); err != nil {
		process.Absent(t, "nats.js", err.Error())
	}
	return node
}

// buildC compiles the C client. Its library may be missing; a program that does not compile
// with the library there is a failure.
func buildC(t *testing.T) string {
	t.Helper()
	needC(t)
	program := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("gcc", "-Wall", "-O1", "-o", program, "c/peer.c", "-lnats").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

func needC(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		process.Absent(t, "gcc", err.Error())
	}
	check := exec.Command("gcc", "-E", "-xc", "-")
	check.Stdin = strings.NewReader("#include <nats/nats.h>\n")
	if err := check.Run(); err != nil {
		process.Absent(t, "libnats", "no nats/nats.h: "+err.Error())
	}
}

func playAll(t *testing.T, command func(url, name string) *exec.Cmd) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			onEach(t, sc.config, func(t *testing.T, s *process.Server) {
				p := startPeer(t, command(s.URL(), sc.name))
				if sc.server != nil {
					sc.server(t, p, s)
				}
				p.await(t, "ok")
				if err := p.wait(t); err != nil {
					t.Fatalf("%v\n%s", err, p.output())
				}
			})
		})
	}
}

// A peer is a client's process.
type peer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{} // closed when the process has ended; err is set then
	err   error

	// Shared by the reader and the test, under mu.
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

func startPeer(t *testing.T, cmd *exec.Cmd) *peer {
	t.Helper()
	p := &peer{cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}
	out, into := io.Pipe()
	cmd.Stdout, cmd.Stderr = into, into
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, scanner.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
		io.Copy(io.Discard, out)
	}()
	go func() {
		p.err = cmd.Wait()
		into.Close()
		close(p.ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// await waits until the program has printed the line.
func (p *peer) await(t *testing.T, line string) {
	t.Helper()
	deadline := time.After(3 * patience)
	ended := p.ended
	for {
		p.mu.Lock()
		more := p.more
		found := false
		for _, l := range p.lines {
			found = found || l == line
		}
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-ended:
			// Its last lines may be on their way; the scanner has them at once.
			ended = nil
			deadline = time.After(time.Second)
		case <-deadline:
			t.Fatalf("it has not said %q:\n%s", line, p.output())
		}
	}
}

func (p *peer) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", p.output())
		return nil
	}
}

func (p *peer) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}
