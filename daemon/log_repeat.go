package daemon

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// repeatWindow and repeatBurst bound how often one warning or error is logged: a device that
	// fails ten times a second must not fill the card that the log is on.
	repeatWindow = 10 * time.Second
	repeatBurst  = 20
	// maxRepeats bounds the texts that are watched; beyond it, the oldest window is forgotten.
	maxRepeats = 64
)

// repeats counts warnings and errors by their text.
type repeats struct {
	mu   sync.Mutex
	seen map[repeatKey]*repeat
}

type repeatKey struct {
	level slog.Level
	text  string
}

type repeat struct {
	since  time.Time
	logged int
	held   int // not logged
}

// A heldBack is how often a line was left out.
type heldBack struct {
	repeatKey
	times int
}

// causes are the attributes that say what a line is about. Two lines that differ in others, as in
// the address of a client, are the same complaint.
var causes = []string{"error", "remedy", "user"}

// causeOfRefusal is such an attribute as well, and in a line that has it the only one: who was refused may
// call himself what he likes, and a remedy may quote him, so that each line would be another complaint.
const causeOfRefusal = "reason"

// tooOften reports whether a line is to be left out, and logs how many were as windows end.
func (l *Log) tooOften(level slog.Level, text string, attrs []slog.Attr, now time.Time) bool {
	if level < slog.LevelWarn {
		return false
	}
	tooOften, held := l.repeats.count(repeatKey{level, complaint(text, attrs)}, now)
	l.writeHeld(held, now)
	return tooOften
}

// complaint is what a line is about: its text with its causes.
func complaint(text string, attrs []slog.Attr) string {
	if i := slices.IndexFunc(attrs, func(a slog.Attr) bool { return a.Key == causeOfRefusal }); i >= 0 {
		attrs = attrs[i : i+1]
	}
	for _, a := range attrs {
		if a.Key == causeOfRefusal || slices.Contains(causes, a.Key) {
			text += " " + a.Key + "=" + cutTo(a.Value.String(), maxLogValue)
		}
	}
	return text
}

// flushRepeats logs what is still held back, at the end.
func (l *Log) flushRepeats() {
	now := l.now()
	l.repeats.mu.Lock()
	held := l.repeats.expireLocked(now.Add(2 * repeatWindow))
	l.repeats.mu.Unlock()
	l.writeHeld(held, now)
}

func (l *Log) writeHeld(held []heldBack, now time.Time) {
	for _, h := range held {
		l.write(h.level, now, h.text, []slog.Attr{slog.Int("left_out", h.times)})
	}
}

func (r *repeats) count(key repeatKey, now time.Time) (tooOften bool, held []heldBack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held = r.expireLocked(now)
	one := r.seen[key]
	if one == nil {
		if len(r.seen) >= maxRepeats {
			held = append(held, r.dropOldestLocked()...)
		}
		if r.seen == nil {
			r.seen = make(map[repeatKey]*repeat)
		}
		one = &repeat{since: now}
		r.seen[key] = one
	}
	if one.logged < repeatBurst {
		one.logged++
		return false, held
	}
	one.held++
	return true, held
}

// expireLocked ends the windows that are over.
func (r *repeats) expireLocked(now time.Time) (held []heldBack) {
	for key, one := range r.seen {
		if now.Sub(one.since) >= repeatWindow {
			held = appendHeld(held, key, one)
			delete(r.seen, key)
		}
	}
	return held
}

func (r *repeats) dropOldestLocked() []heldBack {
	var oldest repeatKey
	var since time.Time
	for key, one := range r.seen {
		if since.IsZero() || one.since.Before(since) {
			oldest, since = key, one.since
		}
	}
	held := appendHeld(nil, oldest, r.seen[oldest])
	delete(r.seen, oldest)
	return held
}

func appendHeld(held []heldBack, key repeatKey, one *repeat) []heldBack {
	if one.held == 0 {
		return held
	}
	return append(held, heldBack{key, one.held})
}
