package daemon

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// written are the lines of a log file and of all that were renamed, and how many files there are.
func written(t *testing.T, path string) (lines map[string]int, files int) {
	t.Helper()
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	lines = make(map[string]int)
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			lines[string(line)]++
		}
	}
	return lines, len(names)
}

// Two servers write to one log file while one takes the other's place, and which of them renames it changes in
// between, twice: no line is lost, none is there twice, and nobody renames what the other one has just begun.
func TestOneOfTwoServersBeginsTheLogAnew(t *testing.T) {
	t.Parallel()
	const lines, limit = 2000, 8 << 10
	path := filepath.Join(t.TempDir(), "log")
	o := LogOptions{File: path, FileSizeLimit: limit, FileMaxNum: -1, Time: off(), Stderr: new(page)}
	elder, heir := mustOpenLog(t, o), mustOpenLog(t, o)
	heir.Follow()
	var writing sync.WaitGroup
	half := make(chan struct{}, 2)
	for name, log := range map[string]*Log{"elder": elder, "heir": heir} {
		logger := log.Logger()
		writing.Go(func() {
			for i := range lines {
				if i == lines/3 || i == 2*lines/3 {
					half <- struct{}{}
				}
				logger.Info(fmt.Sprintf("line %d of the %s", i, name))
			}
		})
	}
	for _, turn := range [][2]*Log{{elder, heir}, {heir, elder}} {
		<-half
		turn[0].Follow()
		<-half
		turn[1].Lead()
	}
	writing.Wait()
	found, files := written(t, path)
	if len(found) != 2*lines {
		t.Errorf("%d lines of %d are there", len(found), 2*lines)
	}
	size := 0
	for line, times := range found {
		size += len(line)
		if times != 1 {
			t.Errorf("%d times: %q", times, line)
		}
	}
	// Of a file each is at least as long as its bound, but for the last.
	if most := size/limit + 2; files > most {
		t.Errorf("%d bytes are in %d files, want at most %d: two have renamed", size, files, most)
	}
	if text := o.Stderr.(*page).String(); text != "" {
		t.Errorf("standard error has %q", text)
	}
}

// Who follows writes where the other one has begun anew, and not into the file that was renamed: it may be
// deleted any moment.
func TestWhoFollowsWritesWhereItWasBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o := LogOptions{File: path, FileSizeLimit: minLogFileSize, FileMaxNum: 1, Time: off(), Stderr: new(page)}
	leads, follows := mustOpenLog(t, o), mustOpenLog(t, o)
	follows.Follow()
	follows.Logger().Info("before")
	for i := range 100 {
		leads.Logger().Info(fmt.Sprintf("%d %s", i, strings.Repeat("x", 100)))
	}
	follows.Logger().Info("after")
	for i := range 2 * minLogFileSize / 100 { // it never renames
		follows.Logger().Info(fmt.Sprintf("more %d %s", i, strings.Repeat("y", 100)))
	}
	found, files := written(t, path)
	text := fmt.Sprint(found)
	if strings.Contains(text, "before") || !strings.Contains(text, "after") || !strings.Contains(text, "more 0 ") || files != 1 {
		t.Errorf("%d files with %s", files, text)
	}

	// It sees how long the file has become meanwhile when its turn comes.
	follows.Lead()
	follows.Logger().Info("first of its own")
	if found, files := written(t, path); len(found) != 1 || files != 1 {
		t.Errorf("%d files with %d lines", files, len(found))
	}
}

// A board that starts in 1970 deletes the oldest lines too, and not those that it has just written.
func TestOldestLinesGoHoweverTheClockIsSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := mustOpenLog(t, LogOptions{File: path, FileSizeLimit: minLogFileSize, FileMaxNum: 4, Time: off(), Stderr: new(page)})
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	log.state.Load().out.(*logFile).nowFunc = func() time.Time { now = now.Add(time.Second); return now }
	line := strings.Repeat("x", minLogFileSize*2/3) // each is a file of its own
	n := 0
	for _, from := range []time.Time{now, time.Unix(5, 0).UTC(), now.AddDate(9, 0, 0), now.AddDate(0, 0, 1)} {
		now = from
		for range 6 {
			n++
			log.Logger().Info(fmt.Sprintf("line %d. %s", n, line))
			found, _ := written(t, path)
			text := fmt.Sprint(found)
			for i := max(1, n-3); i <= n; i++ {
				if !strings.Contains(text, fmt.Sprintf("line %d. ", i)) {
					t.Fatalf("line %d of %d is not there any more", i, n)
				}
			}
			if len(found) > 4 {
				t.Fatalf("%d lines are there", len(found))
			}
		}
	}
}
