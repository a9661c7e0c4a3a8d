package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childDoor in the environment makes the test binary the server of the test below.
const childDoor = "ENGINE_TEST_DOOR"

// A door that finds no descriptor left says so, rests without spinning, and goes on when there are
// some again. The server is a process of its own, which uses up what it may have.
func TestDoorRecoversWhenDescriptorsRunOut(t *testing.T) {
	if os.Getenv(childDoor) != "" {
		serveWithoutDescriptors(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestDoorRecoversWhenDescriptorsRunOut$")
	child.Env = append(os.Environ(), childDoor+"=1")
	child.Stderr = os.Stderr
	end, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); errors.Is(err, unix.ENOEXEC) {
		t.Skip("an emulated program cannot start another one here")
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() {
		end.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	next := func(word string) string {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), word+" "); ok {
				return rest
			}
		}
		t.Fatalf("the server ended before %q", word)
		return ""
	}
	addr := next("listens")
	next("full")
	c, err := net.Dial("tcp", addr) // the kernel takes it, the server cannot
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	next("refused")
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("after it has recovered: %q %v", got, err)
	}
	end.Write([]byte("\n"))
	if got, want := next("lines"), "ERROR cannot accept connections for now, INFO connections are accepted again"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}

// A drought that lasts is told of when it begins, once a minute and when it is over; those that begin and end
// all the time no more often.
func TestDroughtIsToldOfNowAndThen(t *testing.T) {
	const minute, pause = int64(time.Minute), int64(acceptPause)
	var w drought
	told, over := 0, 0
	try := func(from, to int64, between func()) {
		for now := from; now < to; now += pause {
			if w.goesOn(now) {
				told++
			}
			between()
		}
	}
	ends := func() {
		if w.over() {
			over++
		}
	}
	try(1, 10*minute, func() {})
	if lasted := w.lasted(10*minute + 1); told != 10 || w.tries != int(10*minute/pause) || lasted != 10*time.Minute {
		t.Errorf("told %d times of %d tries in %v", told, w.tries, lasted)
	}
	ends()
	ends()
	if told, over = 0, over-1; over != 0 || w.began != 0 || w.tries != 0 {
		t.Errorf("its end was told %d times, and left %+v", over+1, w)
	}
	try(20*minute, 30*minute, ends)
	if told != 10 || over != 10 {
		t.Errorf("of many in 10 minutes %d were told, and the end of %d", told, over)
	}
}

// report tells the test of each line that is logged.
type report struct {
	slog.Handler
	f func(slog.Record)
}

func (r report) Handle(_ context.Context, line slog.Record) error { r.f(line); return nil }

func serveWithoutDescriptors(t *testing.T) {
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 64)
	h := &house{t: t}
	h.open(Options{Loops: 1, Logger: slog.New(report{slog.Default().Handler(), func(r slog.Record) {
		text, _, _ := strings.Cut(r.Message, ";")
		lines <- r.Level.String() + " " + text
	}})}, func(c *Conn) *talk {
		tk := &talk{c: c, data: echo}
		tk.say("hello")
		return tk
	})
	fmt.Println("listens", h.addr)
	var files []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		files = append(files, fd)
	}
	fmt.Println("full", len(files))
	tries := make(chan int)
	for n := 0; n < 3; time.Sleep(10 * time.Millisecond) { // it tries again and again
		h.e.loops[0].inbox.put(post{nil, func(*Loop) {
			for d := range h.e.doors.all {
				tries <- d.drought.tries
			}
		}})
		n = <-tries
	}
	fmt.Println("refused", true)
	for _, fd := range files {
		unix.Close(fd)
	}
	os.Stdin.Read(make([]byte, 1))
	said := []string{<-lines}
	for len(lines) > 0 {
		said = append(said, <-lines)
	}
	fmt.Println("lines", strings.Join(said, ", "))
}

// Epoll may still hand out an event of a connection that has been closed meanwhile, when its place
// in the table is another one's.
func TestLateEventsAreDropped(t *testing.T) {
	h := &house{t: t}
	h.open(Options{Loops: 1}, func(*Conn) *talk { return &talk{data: echo} })
	h.dial()
	tk := <-h.talks
	gone := make(chan bool)
	for _, generations := range []int32{-1, +1, 0} {
		tk.c.Post(func(l *Loop) {
			tk.c.held = heldRest // with that, the end of a connection is believed without a read
			l.serve(&unix.EpollEvent{Events: unix.EPOLLHUP, Fd: int32(tk.c.index), Pad: int32(tk.c.generation) + generations})
			tk.c.held = 0
			was := tk.c.gone
			l.serve(&unix.EpollEvent{Events: unix.EPOLLHUP, Fd: int32(tk.c.index), Pad: int32(tk.c.generation) + generations})
			gone <- was
		})
		if was := <-gone; was != (generations == 0) {
			t.Errorf("event of another generation by %d: closed is %v", generations, was)
		}
	}
	if err := <-tk.closed; err != ErrPeerClosed {
		t.Error(err)
	}
}

func TestOpenMayCloseItsDoor(t *testing.T) {
	h := &house{t: t}
	door := make(chan *Listener, 1)
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		(<-door).Close()
		return &talk{data: echo}
	})
	h.e.doors.mu.Lock()
	for d := range h.e.doors.all {
		door <- d
	}
	h.e.doors.mu.Unlock()
	c := h.dial()
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", h.addr); err == nil {
		c.Close()
		t.Error("the door is still open")
	}
}
