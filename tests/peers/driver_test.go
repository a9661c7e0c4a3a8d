//go:build linux

package peers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// The three client libraries obey the same commands, a line each, and answer each with one line:
//
//	fresh                  forget all settings
//	set WHAT VALUES...     user NAME PASSWORD, token T, nkey KEY SEEDFILE, creds FILE, bearer JWT,
//	                       tls, ca FILE, cert FILE KEYFILE, first, once (no reconnect), patience MILLISECONDS
//	connect                connected, or refused and the class of the error
//	sub SUBJECT [QUEUE]
//	pub SUBJECT TEXT
//	request SUBJECT TEXT   answer and its text, or failed and the class of the error
//	flush                  done after a round trip
//	close
//
// What a library reports by itself comes between: msg, error, disconnected, reconnected, ended. A
// story is played with each library against the reference and edgebus, and what was said must be
// the same, line by line.
var libraries = []*library{
	{"nats.go", func(t *testing.T) func(string) *driver { return driveGo }},
	{"libnats", func(t *testing.T) func(string) *driver {
		program := driverInC(t)
		return func(url string) *driver { return driveProgram(exec.Command(program, url)) }
	}},
	{"nats.js", func(t *testing.T) func(string) *driver {
		node := findNode(t)
		return func(url string) *driver { return driveProgram(exec.Command(node, "js/drive.mjs", url)) }
	}},
}

type library struct {
	name  string
	start func(t *testing.T) func(url string) *driver
}

// A driver is a client that does as it is told.
type driver struct {
	in    io.WriteCloser
	lines chan string // closed at the client's end
	end   func()
}

func driveGo(url string) *driver {
	fromUs, in := io.Pipe()
	out, fromIt := io.Pipe()
	d := &driver{in: in, lines: make(chan string, linesKept), end: func() { in.Close() }}
	go func() {
		(&goClient{url: url, out: fromIt}).drive(fromUs)
		fromIt.Close()
	}()
	go d.read(out)
	return d
}

func driveProgram(cmd *exec.Cmd) *driver {
	in := must(cmd.StdinPipe())
	out, fromIt := io.Pipe()
	cmd.Stdout, cmd.Stderr = fromIt, fromIt
	d := &driver{in: in, lines: make(chan string, linesKept)}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	ended := make(chan bool)
	go func() {
		cmd.Wait()
		fromIt.Close()
		close(ended)
	}()
	go d.read(out)
	d.end = func() {
		cmd.Process.Kill()
		<-ended
	}
	return d
}

// linesKept is more than any story has, so that a reader never waits for the test.
const linesKept = 4096

func (d *driver) read(out io.Reader) {
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		d.lines <- scanner.Text()
	}
	close(d.lines)
}

// compileDriver makes c/drive.c a program, once in each run. The file is removed at once and the program
// started by way of our descriptor, so that nothing is left whatever becomes of the run.
var compileDriver = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "edgebus-drive-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "drive")
	out, err := exec.Command("gcc", "-D_GNU_SOURCE", "-Wall", "-O1", "-o", path, "c/drive.c", "-lnats").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("gcc: %v\n%s", err, out)
	}
	return os.Open(path)
})

func driverInC(t *testing.T) string {
	t.Helper()
	needC(t)
	file, err := compileDriver()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd())
}

// A play is one run of a story: with one library, against one server.
type play struct {
	*testing.T
	library string
	s       *process.Server
	logFile string // of the server
	d       *driver
	waiting []string // events that nobody has looked at
	log     []string // what was done and what came of it
}

// tell plays a story with every library against both servers, and compares what each library has
// reported.
func tell(t *testing.T, config string, story func(p *play)) {
	tellWith(t, process.Options{Config: config}, story)
}

func tellWith(t *testing.T, o process.Options, story func(p *play)) {
	t.Helper()
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.tell(t, o, story)
		})
	}
}

// tell plays a story with one library.
func (l *library) tell(t *testing.T, o process.Options, story func(p *play)) {
	start := l.start(t)
	var logs [][]string
	for _, kind := range []process.Kind{process.Reference, process.Edgebus} {
		t.Run(string(kind), func(t *testing.T) {
			p := &play{T: t, library: l.name, logFile: filepath.Join(t.TempDir(), "log")}
			o := o
			o.Kind, o.Args = kind, append([]string{"-l", p.logFile}, o.Args...)
			p.s = process.Start(t, o)
			p.d = start(p.s.URL())
			t.Cleanup(p.close)
			defer func() { logs = append(logs, p.log) }()
			story(p)
		})
	}
	if len(logs) == 2 {
		compareLogs(t, logs[0], logs[1])
	}
}

func compareLogs(t *testing.T, reference, ours []string) {
	t.Helper()
	for i := range min(len(reference), len(ours)) {
		if reference[i] != ours[i] {
			t.Errorf("after %q\nnats-server: %s\nedgebus:     %s", reference[max(0, i-2):i], reference[i], ours[i])
		}
	}
	if both := min(len(reference), len(ours)); both < max(len(reference), len(ours)) {
		t.Errorf("nats-server goes on with %q, edgebus with %q", reference[both:], ours[both:])
	}
}

// varying is what differs from run to run: addresses, inboxes and times.
var varying = regexp.MustCompile(`_INBOX\.[A-Za-z0-9.]+|127\.0\.0\.1:\d+`)

func (p *play) note(line string) string {
	line = varying.ReplaceAllString(line, "*")
	p.log = append(p.log, line)
	return line
}

// do gives a command and returns the answer.
func (p *play) do(format string, args ...any) string {
	p.Helper()
	command := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(p.d.in, command+"\n"); err != nil {
		p.Fatalf("%s: %v", command, err)
	}
	for {
		line := p.line(command)
		if answer, ok := strings.CutPrefix(line, "= "); ok {
			return answer
		}
		p.keep(line)
	}
}

// must is do for what cannot fail.
func (p *play) must(format string, args ...any) {
	p.Helper()
	if answer := p.do(format, args...); answer != "done" {
		p.Fatalf("%s: %s", fmt.Sprintf(format, args...), answer)
	}
}

func (p *play) line(doing string) string {
	p.Helper()
	select {
	case line, ok := <-p.d.lines:
		if !ok {
			p.Fatalf("%s: the client has ended", doing)
		}
		return line
	case <-time.After(2 * patience):
		p.Fatalf("%s: no answer; so far %q, waiting %q", doing, p.log, p.waiting)
		panic("not reached")
	}
}

func (p *play) keep(line string) {
	event, ok := strings.CutPrefix(line, "! ")
	if !ok {
		p.Fatalf("the client says %q", line)
	}
	p.waiting = append(p.waiting, event)
}

// connect logs in and returns "connected", or "refused" with the class of the error.
func (p *play) connect(settings ...string) string {
	p.Helper()
	p.must("fresh")
	for _, each := range settings {
		if each != soon || p.library == "nats.js" {
			p.must("set %s", each)
		}
	}
	class, _, _ := strings.Cut(p.note(p.do("connect")), " | ")
	return class
}

// enter is connect for who must be let in.
func (p *play) enter(settings ...string) {
	p.Helper()
	if got := p.connect(settings...); got != "connected" {
		p.Fatal(got)
	}
}

// login tries credentials: whether they are taken, why not, and as whom.
func (p *play) login(what, want string, settings ...string) {
	p.Helper()
	p.note("login: " + what)
	got := p.connect(settings...)
	if got != want {
		p.Errorf("%s: %s, want %s", what, got, want)
	}
	if got != "connected" {
		return
	}
	p.note(whoAmI(p.do("request $SYS.REQ.USER.INFO")))
	p.must("close")
}

// whoAmI is what the server says of the user, without what differs from run to run.
func whoAmI(answer string) string {
	text, ok := strings.CutPrefix(answer, "answer ")
	if !ok {
		return answer
	}
	var info struct {
		Data  map[string]any
		Error any
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return err.Error() + ": " + text
	}
	sortLists(info.Data)
	if _, limited := info.Data["expires"]; limited {
		info.Data["expires"] = "sometime"
	}
	return string(must(json.Marshal(info)))
}

// sortLists sorts what is a list of words: the server's order of permissions is that of a map.
func sortLists(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, each := range v {
			sortLists(each)
		}
	case []any:
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
}

// expect waits for the events, in any order, told by how they begin. All that has come before the
// last of them is noted.
func (p *play) expect(events ...string) {
	p.Helper()
	p.await(events...)
	p.noteWaiting()
}

// ends waits for the end of a connection where the reasons given for it depend on the moment: they are not noted.
func (p *play) ends() {
	p.Helper()
	p.await("ended")
	p.waiting = nil
	p.note("ended")
}

func (p *play) await(events ...string) {
	p.Helper()
	left := slices.Clone(events)
	seen := 0
	for len(left) > 0 {
		for ; seen < len(p.waiting); seen++ {
			for i, each := range left {
				if strings.HasPrefix(p.waiting[seen], each) {
					left = slices.Delete(left, i, i+1)
					break
				}
			}
		}
		if len(left) > 0 {
			p.keep(p.line(fmt.Sprintf("waiting for %q", left)))
		}
	}
}

// settle notes what has come by the end of a round trip.
func (p *play) settle() {
	p.Helper()
	p.must("flush")
	p.noteWaiting()
}

// noteWaiting notes events in an order of their own: libraries report from several threads. How often
// they try again before they give up depends on the moment, so what repeats is noted once.
func (p *play) noteWaiting() {
	slices.Sort(p.waiting)
	for _, each := range slices.Compact(p.waiting) {
		p.note(each)
	}
	p.waiting = nil
}

func (p *play) close() {
	p.d.end()
	if text, err := os.ReadFile(p.logFile); p.Failed() {
		p.Logf("said: %q, waiting %q", p.log, p.waiting)
		p.Logf("log of %s: %v\n%s", p.s.Kind, err, text[max(0, len(text)-8<<10):])
	}
}

// reload gives the server a new configuration and waits until its log says that it is in force.
func (p *play) reload(config string) {
	p.Helper()
	p.note("reload")
	p.hangUp(config, reloaded)
}

// badReload gives it one that must be refused.
func (p *play) badReload(config string) {
	p.Helper()
	p.note("bad reload")
	p.hangUp(config, notReloaded)
}

var (
	reloaded    = regexp.MustCompile("Reloaded server configuration")
	notReloaded = regexp.MustCompile("Failed to reload server configuration|reload: nothing has changed")
)

func (p *play) hangUp(config string, word *regexp.Regexp) {
	p.Helper()
	before := p.logged(word)
	p.s.SetConfig(config)
	p.s.Signal(syscall.SIGHUP)
	process.Eventually(p, patience, "the log says "+word.String(), func() bool { return p.logged(word) > before })
}

func (p *play) logged(word *regexp.Regexp) int {
	text, err := os.ReadFile(p.logFile)
	if err != nil {
		p.Fatal(err)
	}
	return len(word.FindAllIndex(text, -1))
}
