package engine

import (
	"io"
	"testing"
	"time"
)

// A loop that has little to do waits in another way: timers, input and posts must reach it there too.
func TestIdleLoopHearsEverything(t *testing.T) {
	h := &house{t: t}
	turns := make(chan time.Duration, 1)
	h.open(Options{Loops: 1}, func(c *Conn) *talk {
		left := 4
		again := func() { c.WakeAt(Now() + int64(idleAfter+idleAfter/2)) }
		again()
		return &talk{data: echo, due: func(_ *talk, l *Loop) {
			if left--; left > 0 {
				again()
			} else {
				turns <- l.slept
			}
		}}
	})
	c := h.dial()
	tk := <-h.talks
	if slept := <-turns; slept < idleAfter {
		t.Fatalf("the loop slept for %v only: this tests nothing", slept)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ran := make(chan bool)
	for range 3 {
		tk.c.Post(func(l *Loop) { tk.c.WakeAt(0); ran <- true })
		<-ran
		// Long enough asleep for the next wait to be an idle one.
		tk.c.Post(func(l *Loop) { tk.due = func(*talk, *Loop) { ran <- true }; tk.c.WakeAt(Now() + int64(2*idleAfter)) })
		<-ran
	}
}

// Answers that nobody waits for gather; a question among them is answered all the same.
func TestLullDelaysNothingThatMatters(t *testing.T) {
	h := &house{t: t}
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
			if in[len(in)-1] == '?' {
				t.say("!")
			} else {
				l.Lull()
			}
			return len(in), nil
		}}
	})
	quiet, asks := h.dial(), h.dial()
	for range 20 {
		quiet.Write([]byte("."))
		asks.Write([]byte("?"))
		if _, err := io.ReadFull(asks, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}
