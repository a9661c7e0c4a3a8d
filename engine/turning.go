package engine

import (
	"context"
	"fmt"
	"sync"
)

// probes are the questions that Turning has asked and loops have not answered yet: one for each loop at
// the most, however long it is stuck.
type probes struct {
	mu   sync.Mutex
	owed []chan struct{} // by loop; nil: nothing is asked. Under mu
}

// Turning asks every loop for a sign of life, and waits for the answers until ctx is over. The error says
// which loops owe one. Without loops there is nothing to ask.
func (e *Engine) Turning(ctx context.Context) error {
	p := &e.probes
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owed == nil {
		p.owed = make([]chan struct{}, len(e.loops))
	}
	for i, l := range e.loops {
		if p.owed[i] != nil {
			continue
		}
		answer := make(chan struct{})
		if l.inbox.put(post{nil, func(*Loop) { close(answer) }}) {
			p.owed[i] = answer
		}
	}
	var stuck []int
	for i, answer := range p.owed {
		if answer == nil {
			continue
		}
		select {
		case <-answer:
			p.owed[i] = nil
			continue
		default:
		}
		select {
		case <-answer:
			p.owed[i] = nil
		case <-ctx.Done():
			stuck = append(stuck, i)
		}
	}
	if len(stuck) > 0 {
		return fmt.Errorf("engine: of %d loops these do not turn: %v", len(e.loops), stuck)
	}
	return nil
}
