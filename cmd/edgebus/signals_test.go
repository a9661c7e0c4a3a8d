//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startWithStderr is startBus with a standard error of one's own.
func startWithStderr(t *testing.T, stderr *os.File, args ...string) *bus {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(edgebusBinary, append([]string{"-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", dir}, args...)...)
	cmd.Env, cmd.Stderr = cleanEnv(t), stderr
	p := &process{t: t, cmd: cmd, stdout: new(lockedBuffer), stderr: new(lockedBuffer), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		p.code = cmd.ProcessState.ExitCode()
		close(p.ended)
	}()
	t.Cleanup(func() { cmd.Process.Kill(); <-p.ended })
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(dir, "*.ports")); len(found) == 1 {
			return &bus{p, readPorts(t, found[0])}
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not start")
		}
	}
}

// ends waits for the process, and fails the test if it does not end.
func (p *process) ends(code int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
	if p.code != code {
		p.t.Errorf("it has ended with %d, want %d\n%s", p.code, code, p.stderr.String())
	}
}

// A server whose standard error is a full pipe serves, and ends when it is asked to.
func TestServerServesAndEndsThoughNobodyReadsItsLog(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Write(func(fd uintptr) bool {
		for err == nil {
			_, err = syscall.Write(int(fd), make([]byte, 512))
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	b := startWithStderr(t, w, "-DV")
	step{name: "publish", args: []string{"pub", "a", "hello"}, stderr: ".*Published.*"}.run(t, b.url)
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.ends(0)

	// Neither does one that cannot start wait for who reads why.
	failed := exec.Command(edgebusBinary, "-p", "70000")
	failed.Env, failed.Stderr = cleanEnv(t), w
	if err := failed.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { failed.Process.Kill() })
	defer late.Stop()
	if failed.Wait(); failed.ProcessState.ExitCode() != exitFailed {
		t.Error(failed.ProcessState)
	}
}

// A server whose log loses its reader goes on, and so does the log when there is a reader again.
func TestServerOutlivesWhoReadsItsLog(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(mode int) *os.File {
		file, err := os.OpenFile(pipe, mode|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	reader := open(os.O_RDONLY)
	writer := open(os.O_WRONLY)
	b := startWithStderr(t, writer, "-DV")
	writer.Close()
	reader.Close()
	b.cmd.Process.Signal(syscall.SIGHUP)
	step{name: "publish", args: []string{"pub", "a", "hello"}, stderr: ".*Published.*"}.run(t, b.url)
	reader = open(os.O_RDONLY)
	b.cmd.Process.Signal(syscall.SIGUSR1)
	reader.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewScanner(reader)
	for in.Scan() && !strings.Contains(in.Text(), "nothing to reopen") {
	}
	if in.Err() != nil || !strings.Contains(in.Text(), "nothing to reopen") {
		t.Errorf("no line comes any more: %v", in.Err())
	}
	go func() { // it may have more to say
		for in.Scan() {
		}
	}()
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.ends(0)
}

// slowReload makes a server reload, which lasts until what is returned is closed, and fails then.
func slowReload(t *testing.T) (b *bus, config string, reloading *os.File) {
	t.Helper()
	config = file(t, "slow.conf", "ping_max: 3\n")
	b = startBus(t, "-c", config)
	pipe := config + ".pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("operator: "+strconv.Quote(pipe)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		reloading, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0) // an error as long as nobody reads
		if err == nil {
			t.Cleanup(func() { reloading.Close() })
			return b, config, reloading
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestStopIsHeardDuringASlowReload(t *testing.T) {
	t.Parallel()
	b, _, _ := slowReload(t)
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.until(`Trapped "terminated" signal`)
	again := time.NewTicker(2 * sameWord) // what comes too soon is the same word
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; {
		b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.ended:
			if b.code != exitFailed || !strings.Contains(b.stderr.String(), "signal again: ending at once") {
				t.Error(b.wait())
			}
			return
		case <-again.C:
		}
		if time.Now().After(deadline) {
			t.Fatal("the second word is not heard")
		}
	}
}

// What is asked for during a reload is done after it: the file may have changed since it was read.
func TestReloadThatIsAskedForDuringAnotherComesAfterIt(t *testing.T) {
	t.Parallel()
	b, config, reloading := slowReload(t)
	next := file(t, "next.conf", "ping_max: 5\n")
	if err := os.Rename(next, config); err != nil {
		t.Fatal(err)
	}
	b.cmd.Process.Signal(syscall.SIGHUP)
	reloading.Close()
	b.until("(?s)nothing has changed.*ping_max = 5")
}
