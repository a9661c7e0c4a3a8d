package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A file whose handle is dead, since its medium was taken out and put in again, is opened anew by its name: with
// the next line, and no more often than once a second.
func TestLogFileThatTakesNoLineIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	var out page
	log := mustOpenLog(t, LogOptions{File: path, Time: off(), Stderr: &out})
	f := log.state.Load().out.(*logFile)
	now := time.Now().Add(time.Hour)
	f.nowFunc = func() time.Time { return now }
	for _, step := range []struct {
		text string
		dead bool // the handle is, before the line
		wait time.Duration
	}{
		{text: "first"}, {text: "lost 1", dead: true}, {text: "second"}, {text: "lost 2", dead: true}, {text: "lost 3"},
		{text: "third", wait: logAgain}, {text: "fourth"},
	} {
		if step.dead {
			f.file.Close()
		}
		now = now.Add(step.wait)
		log.Logger().Info(step.text)
	}
	content, err := os.ReadFile(path)
	var got []string
	for line := range strings.Lines(string(content)) {
		_, text, _ := strings.Cut(line, "[INF] ")
		got = append(got, strings.TrimSpace(text))
	}
	if want := "first, second, third, fourth"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("the file has %s, want %s (%v)", strings.Join(got, ", "), want, err)
	}
	if n := strings.Count(out.String(), "edgebus: log file "+path); n != 1 {
		t.Errorf("standard error hears of it %d times: %q", n, out.String())
	}
}

// A server starts although the file system of its log takes nothing, and the log finds its file later.
func TestLogGoesToStderrUntilItsFileSystemTakesSomething(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	var out page
	log := mustOpenLog(t, LogOptions{Time: off(), Stderr: &out})
	f := newLogFile(path, 0, 0, log.stderr, new(atomic.Bool))
	now, open, tries := time.Now(), f.open, 0
	fault := error(syscall.EROFS)
	f.nowFunc = func() time.Time { return now }
	f.open = func(path string) (*os.File, error) {
		if tries++; fault != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: fault}
		}
		return open(path)
	}
	if err := f.begin(); err != nil {
		t.Fatal(err)
	}
	state := *log.state.Load()
	state.out = f
	log.use(&state)
	log.Logger().Info("one")
	if tries != 1 || !strings.Contains(out.String(), "[ERR] The log file cannot be written, and lines go to standard error file="+path) || !strings.Contains(out.String(), "[INF] one\n") {
		t.Errorf("after %d tries standard error has %q", tries, out.String())
	}
	if err := log.Reopen(); err == nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	fault = nil
	log.Logger().Info("two")
	now = now.Add(logAgainFirst)
	log.Logger().Info("three")
	content, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(content), "two") || !strings.Contains(string(content), "[INF] three\n") || strings.Contains(out.String(), "three") {
		t.Errorf("the file has %q (%v), standard error %q", content, err, out.String())
	}

	for _, fatal := range []error{syscall.EACCES, syscall.ENOENT} {
		fault = fatal
		if err := f.begin(); !errors.Is(err, fatal) {
			t.Errorf("%v: %v", fatal, err)
		}
	}
}
