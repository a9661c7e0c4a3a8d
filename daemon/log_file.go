package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// backupStamp is the end of a renamed log file's name, as nats-server writes it.
	backupStamp = "2006.01.02.15.04.05.000000000"
	// logComplaintEvery bounds how often standard error is told that the file takes nothing.
	logComplaintEvery = time.Minute
	// logAgain bounds how often a file that failed is opened again, logAgainFirst one that never could be.
	logAgain      = time.Second
	logAgainFirst = time.Minute
)

// A logFile is a file that begins anew when it has grown large.
type logFile struct {
	// Set by openLogFile, never written again.
	path    string
	limit   int64 // bytes; not positive: none
	maxNum  int   // files; not positive: any number
	stderr  io.Writer
	nowFunc func() time.Time
	follows *atomic.Bool // another process begins it anew
	open    func(path string) (*os.File, error)

	mu         sync.Mutex
	closed     bool
	file       *os.File  // nil while it cannot be opened
	broken     error     // the last line was not written for it; nil: it was
	tried      time.Time // when it was opened last, or could not be
	away       bool      // it could not be opened yet: lines go to standard error
	size       int64
	followed   bool // when a line was written last
	complained time.Time
	lost       int // lines, since the last complaint
}

func newLogFile(path string, limit int64, maxNum int, stderr io.Writer, follows *atomic.Bool) *logFile {
	return &logFile{path: path, limit: limit, maxNum: maxNum, stderr: stderr, nowFunc: time.Now, follows: follows, open: func(path string) (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	}}
}

// begin opens the file. A file system that takes nothing is no error, for the sake of a log nothing else is
// kept from starting.
func (f *logFile) begin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.openLocked()
	if err == nil {
		return nil
	}
	if diskRemedy(err) == "" {
		return fmt.Errorf("log_file: %w", err)
	}
	f.broken, f.away = err, true
	return nil
}

// missing is why the file could not be opened yet; nil if it could.
func (f *logFile) missing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away {
		return nil
	}
	return f.broken
}

func (f *logFile) openLocked() error {
	f.tried = f.nowFunc()
	file, err := f.open(f.path)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.size = file, info.Size()
	if f.away {
		f.away = false
		fmt.Fprintf(f.stderr, "edgebus: log file %s: it can be written, and has the lines from now on\n", f.path)
	}
	return nil
}

func (f *logFile) writeLine(_ slog.Level, line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed { // by a reload, which this line has overtaken
		f.stderr.Write(line)
		return
	}
	follows := f.follows.Load()
	if follows || f.followed {
		f.catchUpLocked()
	}
	f.followed = follows
	if !follows && f.limit > 0 && f.file != nil && f.size > 0 && f.size+int64(len(line)) > f.limit {
		f.rotateLocked()
	}
	if f.broken = f.writeLocked(line); f.broken == nil {
		return
	}
	if f.away {
		f.stderr.Write(line)
		return
	}
	f.complainLocked(f.broken)
}

// writeLocked writes a line, and opens the file before if need be.
func (f *logFile) writeLocked(line []byte) error {
	if f.file == nil {
		pause := logAgain
		if f.away {
			pause = logAgainFirst
		}
		if f.broken != nil && f.nowFunc().Sub(f.tried) < pause {
			return f.broken
		}
		if err := f.openLocked(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		// The medium may have been taken out, or mounted anew: what has its name then is another file.
		f.file.Close()
		f.file = nil
	}
	return err
}

// finish returns when no line is being written that was begun before.
func (f *logFile) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
}

// catchUpLocked sees what another process has done with the file: made it longer, or begun it anew.
func (f *logFile) catchUpLocked() {
	if f.file == nil {
		return
	}
	own, err := f.file.Stat()
	if err != nil {
		return
	}
	if there, err := os.Stat(f.path); err == nil && os.SameFile(own, there) {
		f.size = own.Size()
		return
	}
	f.file.Close() // the next line opens what is there, or makes it
	f.file = nil
}

// rotateLocked renames the file and leaves opening a new one to the next write. If it cannot be
// renamed it is cut instead: its bound is what keeps the disk from filling.
func (f *logFile) rotateLocked() {
	if f.file != nil {
		f.file.Close() // before the renaming, which Windows refuses otherwise
		f.file = nil
	}
	backups, err := f.backups()
	if err != nil {
		f.complainLocked(err)
	}
	backup := f.nextBackup(backups)
	if err := os.Rename(f.path, filepath.Join(filepath.Dir(f.path), backup)); err != nil {
		f.complainLocked(err)
		if err := os.Truncate(f.path, 0); err != nil {
			f.complainLocked(err)
		}
	} else {
		backups = append(backups, backup)
	}
	f.size = 0
	f.deleteOldLocked(backups)
}

// backups are the names of the files that were renamed, the oldest first.
func (f *logFile) backups() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(f.path))
	for _, entry := range entries {
		stamp, ok := strings.CutPrefix(entry.Name(), filepath.Base(f.path)+".")
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		if _, err := time.Parse(backupStamp, stamp); err == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names) // the stamp sorts by time
	return names, err
}

// nextBackup is a name behind all of them. A clock that stands in 1970, or was set back, would give one in
// front, and what was written last would be deleted first.
func (f *logFile) nextBackup(backups []string) string {
	base := filepath.Base(f.path) + "."
	next := base + f.nowFunc().Format(backupStamp)
	if len(backups) == 0 {
		return next
	}
	last := backups[len(backups)-1]
	if at, err := time.Parse(backupStamp, last[len(base):]); err == nil && next <= last {
		next = base + at.Add(1).Format(backupStamp)
	}
	return next
}

// deleteOldLocked keeps maxNum files, the one being written included.
func (f *logFile) deleteOldLocked(backups []string) {
	for f.maxNum > 0 && len(backups) > f.maxNum-1 {
		if err := os.Remove(filepath.Join(filepath.Dir(f.path), backups[0])); err != nil {
			f.complainLocked(err)
		}
		backups = backups[1:]
	}
}

// complainLocked tells standard error, now and then, that lines are lost. It is the log itself
// that is broken, so there is no better place.
func (f *logFile) complainLocked(err error) {
	f.lost++
	now := f.nowFunc()
	if now.Sub(f.complained) < logComplaintEvery {
		return
	}
	fmt.Fprintf(f.stderr, "edgebus: log file %s: %v (%d since the last such line)\n", f.path, err, f.lost)
	f.complained, f.lost = now, 0
}

func (f *logFile) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.file
	if err := f.openLocked(); err != nil {
		return fmt.Errorf("log_file: %w", err)
	}
	f.broken = nil
	if old != nil {
		old.Close()
	}
	return nil
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
