package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/server"
)

// Levels beyond slog's own.
const (
	LevelTrace = server.LevelTrace
	LevelFatal = slog.LevelError + 4
)

// LogOptions say what is logged, where and how.
type LogOptions struct {
	// Debug adds lines that explain what happens to single connections. Default: off. A busy
	// server writes many of them; on an SD card they wear it out.
	Debug bool `conf:"debug"`
	// Trace adds every protocol line, credentials left out. Default: off. For a minute at a time.
	Trace bool `conf:"trace,alias=trace_verbose"`
	// Time puts the time in front of each line. Default: on.
	Time *bool `conf:"logtime"`
	// TimeUTC gives that time in UTC. Default: local time.
	TimeUTC bool `conf:"logtime_utc"`
	// Format is "text", the lines of nats-server, or "json", one object a line. Default: text.
	Format string `conf:"log_format"`
	// File is written instead of standard error. Default: none. It is opened anew on USR1.
	File string `conf:"log_file,alias=logfile"`
	// FileSizeLimit, in bytes, is when the file is renamed and begun anew. Default: 10 MiB;
	// negative: never, and a full disk is yours to prevent.
	FileSizeLimit int64 `conf:"logfile_size_limit,size,alias=log_size_limit"`
	// FileMaxNum is how many files there are at most, the one being written included; the oldest
	// are deleted. Default: 5; negative: any number.
	FileMaxNum int `conf:"logfile_max_num,alias=log_max_num"`
	// Syslog sends the log to this machine's syslog instead. Default: off.
	Syslog bool `conf:"syslog"`
	// RemoteSyslog sends it to a syslog server: udp://host:514, tcp://host:514 or
	// unix:///path. Default: none. It travels unencrypted.
	RemoteSyslog string `conf:"remote_syslog"`

	// Stderr stands for standard error in tests. Nil: os.Stderr.
	Stderr io.Writer `conf:"-"`
}

const (
	defaultLogFileSize = 10 << 20
	defaultLogFileNum  = 5
	minLogFileSize     = 4 << 10
)

func (o *LogOptions) fill() {
	if o.Time == nil {
		on := true
		o.Time = &on
	}
	if o.Format == "" {
		o.Format = "text"
	}
	if o.FileSizeLimit == 0 {
		o.FileSizeLimit = defaultLogFileSize
	}
	if o.FileMaxNum == 0 {
		o.FileMaxNum = defaultLogFileNum
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
}

func (o *LogOptions) check() (problems []optionError) {
	if o.Format != "text" && o.Format != "json" {
		problems = append(problems, optionError{"log_format", fmt.Errorf("log_format %q is neither text nor json", cut(o.Format))})
	}
	if o.FileSizeLimit > 0 && o.FileSizeLimit < minLogFileSize {
		problems = append(problems, optionError{"logfile_size_limit", fmt.Errorf("logfile_size_limit %d is less than %d bytes: a file would hold a few lines", o.FileSizeLimit, minLogFileSize)})
	}
	if o.RemoteSyslog != "" {
		if _, _, err := syslogAddress(o.RemoteSyslog); err != nil {
			problems = append(problems, optionError{"remote_syslog", err})
		}
	}
	return problems
}

// A Log is where all lines of the process go. Its parts can be changed while it is in use.
type Log struct {
	// Set by OpenLog, never written again.
	now    func() time.Time
	pid    int
	stderr *plainOutput // for lines, and for what is wrong with other outputs

	// Anyone's.
	state   atomic.Pointer[logState]
	follows atomic.Bool // another process begins the file anew when it has grown large
	repeats repeats
}

// A logState is what a reload replaces, as a whole.
type logState struct {
	options LogOptions
	format  lineFormat
	out     logOutput
}

// A logOutput takes whole lines. It may be called by several goroutines at once.
type logOutput interface {
	writeLine(level slog.Level, line []byte)
	reopen() error
	close()
}

// OpenLog makes the log that the options describe.
func OpenLog(o LogOptions) (*Log, error) {
	o.fill()
	l := &Log{now: time.Now, pid: os.Getpid()}
	l.stderr = newPlainOutput(o.Stderr, l.lostLine)
	state, err := l.open(o)
	if err != nil {
		return nil, err
	}
	l.use(state)
	return l, nil
}

// use has lines go where s says, and says so if they cannot.
func (l *Log) use(s *logState) {
	l.state.Store(s)
	f, isFile := s.out.(*logFile)
	if !isFile {
		return
	}
	if err := f.missing(); err != nil {
		l.Logger().Error("The log file cannot be written, and lines go to standard error", "file", f.path, "error", err,
			"remedy", "see that its file system has room and is mounted for writing; it is tried once a minute, and at USR1")
	}
}

func (l *Log) open(o LogOptions) (*logState, error) {
	o.fill()
	s := &logState{options: o, format: lineFormat{pid: l.pid, time: *o.Time, utc: o.TimeUTC, json: o.Format == "json"}}
	var err error
	switch {
	case o.File != "":
		f := newLogFile(o.File, o.FileSizeLimit, o.FileMaxNum, l.stderr, &l.follows)
		s.out, err = f, f.begin()
	case o.RemoteSyslog != "":
		s.format.bare = !s.format.json
		s.out, err = openSyslog(o.RemoteSyslog, l.stderr)
	case o.Syslog:
		s.format.bare = !s.format.json
		s.out, err = openSyslog("", l.stderr)
	default:
		s.format.journal = !s.format.json && isJournal(o.Stderr)
		s.format.color = !s.format.json && !s.format.journal && isTerminal(o.Stderr)
		s.out = l.stderr
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Logger is what the parts of the process log to.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l}) }

// Reopen closes the log's file and opens one of the same name, for tools that rename it.
func (l *Log) Reopen() error { return l.state.Load().out.reopen() }

// Follow leaves it to another process to begin the log's file anew: both write to it while one server takes
// another's place, and what one renames the other must not rename again. Lead takes it back.
func (l *Log) Follow() {
	l.follows.Store(true)
	if f, ok := l.state.Load().out.(*logFile); ok {
		f.finish()
	}
}

// Lead begins the log's file anew when it has grown large, as is usual.
func (l *Log) Lead() { l.follows.Store(false) }

// IsFile reports whether the log goes to a file.
func (l *Log) IsFile() bool { return l.state.Load().options.File != "" }

// IsStderr reports whether the log goes to standard error.
func (l *Log) IsStderr() bool { _, plain := l.state.Load().out.(*plainOutput); return plain }

// Flush returns when standard error has all lines that were meant for it, or has taken none for too long.
func (l *Log) Flush() { l.stderr.flush(stderrFarewell) }

// Close writes what is left and closes file or connection. Later lines go to standard error.
func (l *Log) Close() {
	old := l.state.Load()
	rest := *old
	rest.format.bare = false
	rest.out = l.stderr
	l.flushRepeats()
	l.state.Store(&rest)
	old.out.close()
	l.Flush()
}

// prepare opens what new options ask for. Nothing changes until the returned function is called;
// drop undoes it instead.
func (l *Log) prepare(o LogOptions) (change, drop func(), err error) {
	o.fill()
	old := l.state.Load()
	if sameOutput(old.options, o) {
		next := *old
		next.options = o
		next.format.time, next.format.utc, next.format.json = *o.Time, o.TimeUTC, o.Format == "json"
		return func() { l.state.Store(&next) }, func() {}, nil
	}
	next, err := l.open(o)
	if err != nil {
		return nil, nil, err
	}
	return func() { l.use(next); old.out.close() }, next.out.close, nil
}

// sameOutput reports whether lines of both would go to the same place in the same shape.
func sameOutput(a, b LogOptions) bool {
	return a.File == b.File && a.FileSizeLimit == b.FileSizeLimit && a.FileMaxNum == b.FileMaxNum &&
		a.Syslog == b.Syslog && a.RemoteSyslog == b.RemoteSyslog && a.Format == b.Format
}
