package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Whoever reads standard error may hang: who logs does not wait for him. What did not fit is counted, and that
// is said where it is missing, as soon as he reads again.
func TestWhoDoesNotReadStderrStopsNobody(t *testing.T) {
	t.Parallel()
	const lines = 20000 // of 100 bytes; a pipe and the queue hold a third of them
	lostLines := 0
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	log := mustOpenLog(t, LogOptions{Time: off(), Stderr: w})
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for i := range lines {
			log.Logger().Info(fmt.Sprintf("line %d %s", i, strings.Repeat("x", 80)))
		}
	}()
	select {
	case <-logged:
	case <-time.After(patience):
		r.Close() // whoever waits for the pipe has an error
		<-logged
		t.Fatal("whoever logs waits for the reader")
	}
	r.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewScanner(r)
	for next := 0; next < lines; {
		if !in.Scan() {
			t.Fatalf("after line %d: %v", next, in.Err())
		}
		if _, count, lost := strings.Cut(in.Text(), "Log lines were lost: whoever reads standard error was away or did not read lines="); lost {
			n, _ := strconv.Atoi(count)
			next += n
			lostLines += n
			continue
		}
		if !strings.Contains(in.Text(), fmt.Sprintf(" line %d x", next)) {
			t.Fatalf("line %d is missing: %q", next, in.Text())
		}
		next++
	}
	if lostLines == 0 {
		t.Error("none is lost")
	}
	log.Logger().Info("after")
	if !in.Scan() || !strings.HasSuffix(in.Text(), "after") {
		t.Errorf("after that: %q, %v", in.Text(), in.Err())
	}
}

// The end waits for the last lines, and not for a reader who does not come.
func TestLastLinesAreOutWhenTheLogIsClosed(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := mustOpenLog(t, LogOptions{Stderr: file})
	for i := range 100 {
		log.Logger().Info(fmt.Sprintf("line %d", i))
	}
	log.Close()
	if content, err := os.ReadFile(file.Name()); strings.Count(string(content), "\n") != 100 || !strings.HasSuffix(string(content), "line 99\n") {
		t.Errorf("%q %v", content, err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stuck := mustOpenLog(t, LogOptions{Stderr: w})
	for range 1000 {
		stuck.Logger().Info(strings.Repeat("x", 200))
	}
	ended := make(chan struct{})
	go func() { stuck.Close(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the end waits for a reader who does not read")
	}
	r.Close()
	<-ended
}

// brokenPipe takes nothing while its reader is away.
type brokenPipe struct {
	page
	away atomic.Bool
}

func (b *brokenPipe) Write(line []byte) (int, error) {
	if b.away.Load() {
		return 0, errors.New("broken pipe")
	}
	return b.page.Write(line)
}

func TestLinesFlowAgainWhenTheReaderIsBack(t *testing.T) {
	t.Parallel()
	pipe := new(brokenPipe)
	out := newPlainOutput(pipe, func(lost int) []byte { return fmt.Appendf(nil, "%d lost\n", lost) })
	out.queues = true
	for i := range 9 {
		pipe.away.Store(i/3 == 1)
		fmt.Fprintf(out, "line %d\n", i)
		out.flush(patience)
	}
	if got, want := pipe.String(), "line 0\nline 1\nline 2\n3 lost\nline 6\nline 7\nline 8\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
