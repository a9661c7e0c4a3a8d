package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A page collects what is written to standard error.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func mustOpenLog(t *testing.T, o LogOptions) *Log {
	t.Helper()
	l, err := OpenLog(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func off() *bool { return new(bool) }

var lineTime = time.Date(2026, 1, 2, 15, 4, 5, 6007000, time.FixedZone("", 3600))

func TestLinesAreThoseOfNATSServer(t *testing.T) {
	attrs := []slog.Attr{
		slog.String("user", "a"), slog.String("name", "x \"y\"\n[1] forged"), slog.Int("n", -1), slog.Uint64("u", 2),
		slog.Duration("wait", 90*time.Second), slog.Any("error", errors.New("no")), slog.Bool("b", true), slog.String("empty", ""),
	}
	for name, test := range map[string]struct {
		format lineFormat
		level  slog.Level
		text   string
		attrs  []slog.Attr
		want   string
	}{
		"plain":   {lineFormat{pid: 7, time: true}, slog.LevelInfo, "Server is ready", nil, "[7] 2026/01/02 15:04:05.006007 [INF] Server is ready\n"},
		"utc":     {lineFormat{pid: 7, time: true, utc: true}, slog.LevelError, "x", nil, "[7] 2026/01/02 14:04:05.006007 [ERR] x\n"},
		"no time": {lineFormat{pid: 7}, slog.LevelWarn, "x", nil, "[7] [WRN] x\n"},
		"color":   {lineFormat{pid: 7, color: true}, slog.LevelDebug, "x", nil, "[7] [\x1b[36mDBG\x1b[0m] x\n"},
		"trace":   {lineFormat{pid: 7}, LevelTrace, "x", nil, "[7] [TRC] x\n"},
		"fatal":   {lineFormat{pid: 7}, LevelFatal, "x", nil, "[7] [FTL] x\n"},
		"journal": {lineFormat{pid: 7, time: true, journal: true}, slog.LevelError, "x", nil, "<3>[ERR] x\n"},
		"bare":    {lineFormat{pid: 7, time: true, bare: true}, slog.LevelError, "x", nil, "x\n"},
		"forged":  {lineFormat{pid: 7}, slog.LevelInfo, "a\nb\x1b[2J\xff\u202e", nil, `[7] [INF] a\nb\x1b[2J\xff\u202e` + "\n"},
		"attrs": {lineFormat{pid: 7}, slog.LevelInfo, "x", attrs,
			`[7] [INF] x user=a name="x \"y\"\n[1] forged" n=-1 u=2 wait=1m30s error=no b=true empty=""` + "\n"},
		"json": {lineFormat{pid: 7, time: true, json: true}, slog.LevelInfo, "x", attrs,
			`{"time":"2026-01-02T15:04:05.006007+01:00","level":"INF","pid":7,"msg":"x","user":"a","name":"x \"y\"\u000a[1] forged","n":-1,"u":2,"wait":"1m30s","error":"no","b":true,"empty":""}` + "\n"},
	} {
		if got := string(test.format.append(nil, test.level, lineTime, test.text, test.attrs)); got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, test.want)
		}
	}
}

func FuzzLineIsOneLine(f *testing.F) {
	f.Add("text", "key", "value")
	f.Add("a\nb", "\x00", "\xff\xfe\"\\")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		attrs := []slog.Attr{slog.String(key, value)}
		plain := (&lineFormat{pid: 1}).append(nil, slog.LevelInfo, lineTime, text, attrs)
		if i := bytes.IndexAny(plain, "\n\r\x1b"); i != len(plain)-1 {
			t.Errorf("control character at %d of %q", i, plain)
		}
		var object map[string]any
		line := (&lineFormat{pid: 1, json: true}).append(nil, slog.LevelInfo, lineTime, text, attrs)
		if err := json.Unmarshal(line, &object); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	})
}

func TestLevelsAreSwitchedApart(t *testing.T) {
	var out page
	for _, test := range []struct {
		debug, trace bool
		want         string
	}{{false, false, "i"}, {true, false, "id"}, {false, true, "it"}, {true, true, "idt"}} {
		out.text.Reset()
		log := mustOpenLog(t, LogOptions{Debug: test.debug, Trace: test.trace, Stderr: &out}).Logger()
		log.Info("line i")
		log.Debug("line d")
		log.Log(context.Background(), LevelTrace, "line t")
		got := ""
		for line := range strings.Lines(out.String()) {
			got += strings.TrimSpace(line)[len(strings.TrimSpace(line))-1:]
		}
		if got != test.want {
			t.Errorf("debug %v trace %v: wrote %q, want %q", test.debug, test.trace, got, test.want)
		}
	}
}

func TestGroupsAndWithKeepTheirNames(t *testing.T) {
	var out page
	log := mustOpenLog(t, LogOptions{Time: off(), Stderr: &out}).Logger()
	log.With("a", 1).WithGroup("g").With("b", 2).Info("x", slog.Group("h", "c", 3), "d", 4)
	if want := " [INF] x a=1 g.b=2 g.h.c=3 g.d=4\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestRepeatedErrorsAreHeldBackAndCounted(t *testing.T) {
	var out page
	log := mustOpenLog(t, LogOptions{Time: off(), Stderr: &out})
	now := time.Unix(1000, 0)
	log.now = func() time.Time { return now }
	h := log.Logger().Handler()
	say := func(level slog.Level, text string, attrs ...slog.Attr) {
		r := slog.NewRecord(now, level, text, 0)
		r.AddAttrs(attrs...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		say(slog.LevelError, "disk full", slog.Int("cid", i))
		say(slog.LevelWarn, "refused", slog.String("reason", strconv.Itoa(i%2)))
		say(slog.LevelInfo, "fine")
	}
	count := func(s string) int { return strings.Count(out.String(), s) }
	if count("disk full") != repeatBurst || count("reason=0") != repeatBurst || count("reason=1") != repeatBurst || count("fine") != 100 {
		t.Errorf("%d, %d, %d and %d lines", count("disk full"), count("reason=0"), count("reason=1"), count("fine"))
	}
	now = now.Add(repeatWindow)
	say(slog.LevelError, "other")
	if !strings.Contains(out.String(), "[ERR] disk full left_out=80\n") || !strings.Contains(out.String(), "[WRN] refused reason=1 left_out=30\n") {
		t.Errorf("no count of what was left out:\n%s", out.String())
	}
	for i := range 10 * maxRepeats {
		say(slog.LevelError, fmt.Sprint("text ", i))
	}
	if n := len(log.repeats.seen); n > maxRepeats {
		t.Errorf("%d texts are kept, want %d at most", n, maxRepeats)
	}
}

// Who is refused may say each time that he is somebody else: that is still one complaint. Who has come in is
// somebody, and what he may not do does not hide what others may not.
func TestNamesOfThoseWhoAreRefusedMakeNoOtherComplaint(t *testing.T) {
	var out page
	log := mustOpenLog(t, LogOptions{Time: off(), Stderr: &out})
	now := time.Unix(1000, 0)
	log.now = func() time.Time { return now }
	say := func(text string, attrs ...slog.Attr) {
		r := slog.NewRecord(now, slog.LevelWarn, text, 0)
		r.AddAttrs(attrs...)
		if err := log.Logger().Handler().Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		name := strconv.Itoa(i)
		say("client refused", slog.String("reason", "Authentication Failure"), slog.String("user", name), slog.String("remedy", "quotes "+name))
		say("Publish Violation", slog.String("user", strconv.Itoa(i%2)))
	}
	for text, want := range map[string]int{"client refused": repeatBurst, "Publish Violation user=0": repeatBurst, "Publish Violation user=1": repeatBurst} {
		if n := strings.Count(out.String(), text); n != want {
			t.Errorf("%d lines have %q, want %d", n, text, want)
		}
	}
	now = now.Add(repeatWindow)
	say("other")
	if want := "[WRN] client refused reason=Authentication Failure left_out=80\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %s in\n%s", want, out.String())
	}
}

func TestLogFileBeginsAnewAndOldOnesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	other := path + ".1.gz"
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := mustOpenLog(t, LogOptions{File: path, FileSizeLimit: minLogFileSize, FileMaxNum: 3})
	stamp := lineTime
	l.state.Load().out.(*logFile).nowFunc = func() time.Time { stamp = stamp.Add(time.Second); return stamp }
	log := l.Logger()
	for i := range 1000 {
		log.Info("a line of some length, to fill files", "number", i)
	}
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) != 4 { // three and the one that is not ours
		t.Fatalf("files %v, error %v", names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > minLogFileSize {
			t.Errorf("%s has %d bytes (%v)", name, info.Size(), err)
		}
	}
	text, _ := os.ReadFile(path)
	if !strings.HasSuffix(string(text), "number=999\n") {
		t.Errorf("the newest file ends with %q", text[max(0, len(text)-80):])
	}
}

func TestLogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.log")
	l := mustOpenLog(t, LogOptions{File: path})
	l.Logger().Info("before")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("still before")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("after")
	moved, _ := os.ReadFile(path + ".moved")
	text, _ := os.ReadFile(path)
	if strings.Count(string(moved), "before\n") != 2 || !strings.Contains(string(text), "after\n") || strings.Contains(string(text), "before") {
		t.Errorf("moved %q, new %q", moved, text)
	}
}

func TestLogFileThatCannotBeOpenedIsAnError(t *testing.T) {
	if _, err := OpenLog(LogOptions{File: filepath.Join(t.TempDir(), "no", "x.log")}); err == nil {
		t.Error("no error")
	}
}

func TestLogGoesToStderrAfterClose(t *testing.T) {
	var out page
	l := mustOpenLog(t, LogOptions{File: filepath.Join(t.TempDir(), "x.log"), Stderr: &out})
	l.Close()
	l.Logger().Error("too late")
	if !strings.Contains(out.String(), "too late") {
		t.Errorf("got %q", out.String())
	}
}

var syslogLine = regexp.MustCompile(`^<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d) \S+ edgebus \d+ - - (.*)$`)

func TestSyslogOverDatagrams(t *testing.T) {
	for _, scheme := range []string{"udp", "unixgram", "unix"} {
		t.Run(scheme, func(t *testing.T) {
			network, address := "udp", "127.0.0.1:0"
			if scheme != "udp" {
				network, address = "unixgram", filepath.Join(t.TempDir(), "log")
			}
			server, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			url := scheme + "://" + server.LocalAddr().String()
			l := mustOpenLog(t, LogOptions{RemoteSyslog: url, Stderr: io.Discard})
			l.Logger().Warn("careful", "n", 1)
			l.Logger().Info(strings.Repeat("x", 2*maxSyslogLine))
			buffer := make([]byte, 64<<10)
			server.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, _, err := server.ReadFrom(buffer)
			if match := syslogLine.FindSubmatch(buffer[:n]); err != nil || match == nil || string(match[1]) != "28" || string(match[3]) != "careful n=1" {
				t.Errorf("got %q, error %v", buffer[:n], err)
			}
			if n, _, err = server.ReadFrom(buffer); err != nil || n > maxSyslogLine {
				t.Errorf("got %d bytes, error %v", n, err)
			}
		})
	}
}

func TestSyslogOverTCPCountsOctets(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l := mustOpenLog(t, LogOptions{RemoteSyslog: "tcp://" + server.Addr().String(), Stderr: io.Discard})
	l.Logger().Error("one")
	l.Logger().Info("two")
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	for _, want := range []string{"one", "two"} {
		count, err := in.ReadString(' ')
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || n > maxSyslogLine {
			t.Fatalf("count %q", count)
		}
		message := make([]byte, n)
		if _, err := io.ReadFull(in, message); err != nil {
			t.Fatal(err)
		}
		if match := syslogLine.FindSubmatch(message); match == nil || string(match[3]) != want {
			t.Errorf("got %q, want %q", message, want)
		}
	}
}

func TestSyslogThatIsNotThereStopsNobody(t *testing.T) {
	var out page
	address := filepath.Join(t.TempDir(), "nobody")
	l := mustOpenLog(t, LogOptions{RemoteSyslog: "unix://" + address, Stderr: &out})
	begin := time.Now()
	for i := range 10 * syslogQueue {
		l.Logger().Info("x", "i", i)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("logging to nobody took %v", took)
	}
	s := l.state.Load().out.(*syslogOutput)
	l.Close()
	if s.lost.Load() == 0 || !strings.Contains(out.String(), "syslog") {
		t.Errorf("%d lines are counted as lost, standard error says %q", s.lost.Load(), out.String())
	}
}

func TestSyslogAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"udp://h:1514": "udp h:1514", "tcp://h": "tcp h:514", "h": "udp h:514", "h:99": "udp h:99", "unix:///dev/log": "unix /dev/log",
		"udp://[::1]:514": "udp [::1]:514", "http://h": "", "udp://": "", "unix://": "", "udp://h/x": "", "udp://\x00": "",
	} {
		network, address, err := syslogAddress(text)
		if got := network + " " + address; (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestJournalIsKnownByItsStream(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	identity, ok := fileIdentity(file)
	if !ok {
		t.Skip("this system gives files no numbers")
	}
	for stream, want := range map[string]string{identity: "<4>[WRN] x\n", "1:2": fmt.Sprintf("[%d] [WRN] x\n", os.Getpid()), "": fmt.Sprintf("[%d] [WRN] x\n", os.Getpid())} {
		t.Setenv("JOURNAL_STREAM", stream)
		if err := file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		log := mustOpenLog(t, LogOptions{Time: off(), Stderr: file})
		log.Logger().Warn("x")
		log.Close()
		if got, err := os.ReadFile(file.Name()); err != nil || string(got) != want {
			t.Errorf("JOURNAL_STREAM=%q: %q, want %q, %v", stream, got, want, err)
		}
	}
}

func TestFullDiskIsSaidOnStderrNowAndThen(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	var out page
	log := mustOpenLog(t, LogOptions{File: "/dev/full", Stderr: &out}).Logger()
	for range 100 {
		log.Info("x")
	}
	if strings.Count(out.String(), "log file /dev/full") != 1 {
		t.Errorf("standard error says %q", out.String())
	}
}
