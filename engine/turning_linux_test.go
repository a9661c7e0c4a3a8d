package engine

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// A loop that is stuck owes an answer, however often it is asked; the others give theirs.
func TestTurningFindsTheLoopThatIsStuck(t *testing.T) {
	e, err := New(Options{Loops: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(t.Context())
	if err := e.Turning(t.Context()); err != nil {
		t.Fatalf("all loops turn, and Turning says %v", err)
	}
	stuck, held := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release() // before Shutdown, which waits for the loop
	e.loops[1].inbox.put(post{nil, func(*Loop) { close(stuck); <-held }})
	<-stuck
	for range 3 {
		var err error
		// The others may take their time on a busy machine; 1 has to be named each time.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && (err == nil || !strings.HasSuffix(err.Error(), ": [1]")); {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			err = e.Turning(ctx)
			cancel()
			if err == nil {
				t.Fatal("loop 1 is stuck, and Turning says that all turn")
			}
		}
		if !strings.HasSuffix(err.Error(), ": [1]") {
			t.Fatalf("only loop 1 is stuck, and Turning says %v", err)
		}
	}
	e.loops[1].inbox.mu.Lock()
	waiting := len(e.loops[1].inbox.posts)
	e.loops[1].inbox.mu.Unlock()
	if waiting != 1 {
		t.Errorf("%d questions wait for the loop that is stuck, want 1", waiting)
	}
	release()
	if err := e.Turning(t.Context()); err != nil {
		t.Errorf("the loop turns again, and Turning says %v", err)
	}
}

func TestTurningAsksNobodyAfterTheEnd(t *testing.T) {
	e, err := New(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Turning(t.Context()); err != nil {
		t.Errorf("Turning after Shutdown: %v", err)
	}
}
