package process

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// Ports are taken from below those that the system gives to outgoing connections: a server that is
// down for a while finds its port free again, and nobody who dials it meets himself. A block of ports
// belongs to who holds the abstract socket of its name, so that two runs on one machine do not meet.
const firstPort, lastPort, portBlock = 20_000, 32_000, 100

// mostBlocks is how many a run takes before it begins anew with its first.
const mostBlocks = 100

var claim struct {
	mu        sync.Mutex
	next, end int            // of the block in use; under mu
	block     int            // the newest; under mu
	blocks    []int          // first ports of those that are held; under mu
	held      []net.Listener // until the process ends; under mu
}

// FreePort is a port at which nobody listens, and nobody of these tests will begin to.
func FreePort(t testing.TB) int {
	t.Helper()
	if runtime.GOOS == "linux" { // where listening needs no such lock of its own
		syscall.ForkLock.RLock() // no program that is just started may have the listener
		defer syscall.ForkLock.RUnlock()
	}
	ln := ListenFree(t)
	ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// ListenFree listens at a free port. Who listens himself must not close and listen again: a program that
// another test starts just then has the first listener until it has become that program.
func ListenFree(t testing.TB) net.Listener {
	t.Helper()
	if runtime.GOOS != "linux" { // there are no abstract sockets
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	claim.mu.Lock()
	defer claim.mu.Unlock()
	for range lastPort - firstPort {
		if claim.next == claim.end {
			claimBlockLocked(t)
		}
		port := claim.next
		claim.next++
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return ln
		}
	}
	t.Fatal("no free port")
	return nil
}

func claimBlockLocked(t testing.TB) {
	t.Helper()
	const blocks = (lastPort - firstPort) / portBlock
	if len(claim.held) == 0 {
		claim.block = os.Getpid()
	}
	if len(claim.held) >= mostBlocks {
		again := claim.blocks[claim.block%mostBlocks]
		claim.block++
		claim.next, claim.end = again, again+portBlock
		return
	}
	for range blocks {
		claim.block++
		first := firstPort + claim.block%blocks*portBlock
		if ln, err := net.Listen("unix", fmt.Sprintf("@edgebus-test-ports-%d", first)); err == nil {
			claim.held, claim.blocks = append(claim.held, ln), append(claim.blocks, first)
			claim.next, claim.end = first, first+portBlock
			return
		}
	}
	t.Fatalf("all %d blocks of ports are taken", blocks)
}
