package engine

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// childVault in the environment makes the test binary the server of the test below.
	childVault = "ENGINE_TEST_VAULT"
	// idleTLS bounds in bytes what an idle connection over TLS may add to the process. crypto/tls
	// keeps some 7 KB of it.
	idleTLS = 14 << 10
)

// An idle connection over TLS has no goroutine, no descriptor but its own, and costs little. The
// server is a process of its own, so that what the system counts is what it needs.
func TestIdleTLSConnectionIsSmall(t *testing.T) {
	if os.Getenv(childVault) != "" {
		serveVault(t)
		return
	}
	conns := 2000
	if testing.Short() || raceEnabled {
		conns = 300
	}
	child := exec.Command(os.Args[0], "-test.run=^TestIdleTLSConnectionIsSmall$")
	child.Env = append(os.Environ(), childVault+"=1")
	child.Stderr = os.Stderr
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if err := child.Start(); errors.Is(err, unix.ENOEXEC) {
		t.Skip("an emulated program cannot start another one here")
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	next := func(word string) []string {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), word+" "); ok {
				return strings.Fields(rest)
			}
		}
		t.Fatalf("the server ended before %q", word)
		return nil
	}
	addr := next("listens")[0]
	ask := func() (rss, heap, goroutines, files int) {
		fmt.Fprintln(in, "look")
		n := make([]int, 4)
		for i, word := range next("looked") {
			n[i], _ = strconv.Atoi(word)
		}
		return n[0], n[1], n[2], n[3]
	}
	dial := dialers(t, addr)
	dial(20) // what is made once
	rss, heap, goroutines, files := ask()
	began := time.Now()
	dial(conns)
	took := time.Since(began)
	rss2, heap2, goroutines2, files2 := ask()
	for end := time.Now().Add(patience / 6); goroutines2 > goroutines && time.Now().Before(end); { // of the last handshakes
		rss2, heap2, goroutines2, files2 = ask()
	}
	each := (rss2 - rss) / conns
	t.Logf("%d connections in %v: each %d bytes of RSS, %d of live heap, %d goroutines, %.2f descriptors",
		conns, took.Round(time.Millisecond), each, (heap2-heap)/conns, goroutines2-goroutines, float64(files2-files)/float64(conns))
	if goroutines2 > goroutines {
		t.Errorf("%d goroutines for connections that are silent", goroutines2-goroutines)
	}
	if n := files2 - files; n > conns+8 { // a loop that sleeps may hold one more
		t.Errorf("%d descriptors for %d connections", n, conns)
	}
	if !raceEnabled && each > idleTLS {
		t.Errorf("an idle TLS connection costs %d bytes, at most %d", each, idleTLS)
	}
}

// dialers opens connections, and has each exchange a message, as clients do.
func dialers(t *testing.T, addr string) func(n int) {
	var mu sync.Mutex
	var all []*tls.Conn
	t.Cleanup(func() {
		for _, c := range all {
			c.NetConn().Close()
		}
	})
	return func(n int) {
		var wait sync.WaitGroup
		slots := make(chan struct{}, 32)
		for range n {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				c, err := tls.Dial("tcp", addr, anyServer())
				if err != nil {
					t.Error(err)
					return
				}
				hello := make([]byte, 300)
				c.Write(hello)
				for got := 0; got < len(hello)+len("secret\n"); {
					n, err := c.Read(hello)
					if got += n; err != nil {
						t.Error(err)
						break
					}
				}
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
			})
		}
		wait.Wait()
	}
}

func serveVault(t *testing.T) {
	v := openVault(&house{t: t}, Options{}, &Security{Timeout: time.Minute}, nil) // a busy machine is not what is looked at
	fmt.Println("listens", v.addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		for len(v.all) > 0 {
			<-v.all
		}
		for range 3 {
			runtime.GC()
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		files, _ := os.ReadDir("/proc/self/fd")
		fmt.Println("looked", ownRSS(), m.HeapAlloc, runtime.NumGoroutine(), len(files))
	}
}

// ownRSS is this process's resident memory in bytes.
func ownRSS() int {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n << 10
		}
	}
	return 0
}
