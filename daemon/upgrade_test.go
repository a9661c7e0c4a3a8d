package daemon

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// Whoever was there before us hears how far we have come, and that our end is no death.
func TestServerThatIsToldToStopSaysThatItIsOver(t *testing.T) {
	elder, ours := net.Pipe()
	defer elder.Close()
	elder.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(elder)
	heard := make(chan string, 3)
	go func() {
		defer close(heard)
		for range 3 {
			line, err := in.ReadString('\n')
			if err != nil {
				heard <- err.Error()
				return
			}
			heard <- line
			if line == "ready v9\n" {
				elder.Write([]byte("go\n"))
			}
		}
	}()
	r := mustRunWith(t, Options{Version: "v9"}, func(d *Daemon) { d.Inherits(&Inheritance{elder: ours}) })
	for _, want := range []string{"ready v9\n", "taken\n"} {
		if got := <-heard; got != want {
			t.Fatalf("it says %q, want %q", got, want)
		}
	}
	r.Stop()
	if got := <-heard; got != "over\n" {
		t.Errorf("told to stop it says %q", got)
	}
	r.mustEnd(t)
}

// The server before dies while this one starts: the last one that listens must not end for that.
func TestServerWhoseElderDiesBeforeItIsReadyServes(t *testing.T) {
	for _, ready := range []bool{false, true} {
		elder, ours := net.Pipe()
		gone := make(chan error, 1)
		if !ready {
			elder.Close()
			gone <- nil
		} else {
			go func() {
				elder.SetDeadline(time.Now().Add(patience))
				_, err := bufio.NewReader(elder).ReadString('\n')
				elder.Close()
				gone <- err
			}()
		}
		r := mustRunWith(t, Options{}, func(d *Daemon) { d.Inherits(&Inheritance{elder: ours, elderPID: "1000000000"}) })
		if err := <-gone; err != nil {
			t.Error(err)
		}
		mustConnect(t, r, "")
		if text := "the server before has died, and this one takes its place"; !strings.Contains(r.out.String(), text) {
			t.Errorf("no %q in\n%s", text, r.out)
		}
		r.Stop()
		r.mustEnd(t)
	}
}
