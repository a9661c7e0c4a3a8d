package daemon

import (
	"context"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLogValue bounds one value in a line: what a client calls itself is up to the client.
	maxLogValue = 1024
	// maxKeptLine is the longest line whose buffer is kept for the next.
	maxKeptLine = 16 << 10
)

// A handler turns slog's records into lines of a Log.
type handler struct {
	log    *Log
	attrs  []slog.Attr // of With, names already joined with their groups
	prefix string      // of WithGroup, with its dot
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	options := &h.log.state.Load().options
	switch {
	case level >= slog.LevelInfo:
		return true
	case level >= slog.LevelDebug:
		return options.Debug
	}
	// Tracing and debugging are switched apart, as in nats-server.
	return options.Trace
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = slices.Clip(next.attrs)
	for _, a := range attrs {
		next.attrs = appendFlat(next.attrs, h.prefix, a)
	}
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.prefix += name + "."
	return &next
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	now := r.Time
	if now.IsZero() {
		now = h.log.now()
	}
	attrs := h.attrs
	if r.NumAttrs() > 0 {
		attrs = slices.Clip(attrs)
		r.Attrs(func(a slog.Attr) bool {
			attrs = appendFlat(attrs, h.prefix, a)
			return true
		})
	}
	if !h.log.tooOften(r.Level, r.Message, attrs, now) {
		h.log.write(r.Level, now, r.Message, attrs)
	}
	return nil
}

// write formats one line and hands it on.
func (l *Log) write(level slog.Level, now time.Time, text string, attrs []slog.Attr) {
	state := l.state.Load()
	buffer := lineBuffers.Get().(*[]byte)
	line := state.format.append((*buffer)[:0], level, now, text, attrs)
	state.out.writeLine(level, line)
	if cap(line) <= maxKeptLine {
		*buffer = line
		lineBuffers.Put(buffer)
	}
}

var lineBuffers = sync.Pool{New: func() any { return new([]byte) }}

// appendFlat resolves a and appends it under its full name, groups as their members.
func appendFlat(attrs []slog.Attr, prefix string, a slog.Attr) []slog.Attr {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			attrs = appendFlat(attrs, prefix, inner)
		}
		return attrs
	}
	if a.Key == "" && value.Kind() == slog.KindAny && value.Any() == nil {
		return attrs
	}
	return append(attrs, slog.Attr{Key: prefix + a.Key, Value: value})
}

// A lineFormat is the shape of a line.
type lineFormat struct {
	pid       int
	time, utc bool
	color     bool // for a terminal
	journal   bool // priorities for journald, which knows the time itself
	bare      bool // nothing but the text: syslog has its own header
	json      bool
}

// append adds one line with its end.
func (f *lineFormat) append(line []byte, level slog.Level, now time.Time, text string, attrs []slog.Attr) []byte {
	if f.utc {
		now = now.UTC()
	}
	if f.json {
		return f.appendJSON(line, level, now, text, attrs)
	}
	word, priority, color := levelWords(level)
	switch {
	case f.bare:
	case f.journal:
		line = append(line, '<')
		line = strconv.AppendInt(line, int64(priority), 10)
		line = append(line, '>')
	default:
		line = append(line, '[')
		line = strconv.AppendInt(line, int64(f.pid), 10)
		line = append(line, "] "...)
		if f.time {
			line = now.AppendFormat(line, "2006/01/02 15:04:05.000000 ")
		}
	}
	if !f.bare {
		line = append(line, '[')
		if f.color {
			line = append(append(append(line, color...), word...), "\x1b[0m"...)
		} else {
			line = append(line, word...)
		}
		line = append(line, "] "...)
	}
	line = appendClean(line, text)
	for _, a := range attrs {
		line = append(line, ' ')
		line = appendClean(line, a.Key)
		line = append(line, '=')
		line = appendValue(line, a.Value)
	}
	return append(line, '\n')
}

// levelWords gives a level's word, its syslog priority and its colour.
func levelWords(level slog.Level) (word string, priority int, color string) {
	switch {
	case level >= LevelFatal:
		return "FTL", 2, "\x1b[31m"
	case level >= slog.LevelError:
		return "ERR", 3, "\x1b[31m"
	case level >= slog.LevelWarn:
		return "WRN", 4, "\x1b[0;93m"
	case level >= slog.LevelInfo:
		return "INF", 6, "\x1b[32m"
	case level >= slog.LevelDebug:
		return "DBG", 7, "\x1b[36m"
	}
	return "TRC", 7, "\x1b[33m"
}

// appendClean adds text without anything that would end the line or move a terminal's cursor: a
// client must not be able to write lines of its own into the log.
func appendClean(line []byte, text string) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			line = append(line, `\x`...)
			line = append(line, "0123456789abcdef"[text[0]>>4], "0123456789abcdef"[text[0]&15])
		case unicode.IsPrint(r):
			line = append(line, text[:n]...)
		default:
			quoted := strconv.QuoteRune(r)
			line = append(line, quoted[1:len(quoted)-1]...)
		}
		text = text[n:]
	}
	return line
}

// appendValue adds a value, in quotes if it would be misread without.
func appendValue(line []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(line, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(line, v.Uint64(), 10)
	case slog.KindTime:
		return v.Time().AppendFormat(line, time.RFC3339Nano)
	}
	text := cutTo(v.String(), maxLogValue)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	}) {
		return strconv.AppendQuote(line, text)
	}
	return append(line, text...)
}

// appendJSON adds one object with its line end. Numbers and booleans stay what they are.
func (f *lineFormat) appendJSON(line []byte, level slog.Level, now time.Time, text string, attrs []slog.Attr) []byte {
	word, _, _ := levelWords(level)
	line = append(line, '{')
	if f.time {
		line = append(line, `"time":"`...)
		line = now.AppendFormat(line, time.RFC3339Nano)
		line = append(line, `",`...)
	}
	line = append(append(append(line, `"level":"`...), word...), `","pid":`...)
	line = strconv.AppendInt(line, int64(f.pid), 10)
	line = append(line, `,"msg":`...)
	line = appendJSONText(line, text)
	for _, a := range attrs {
		line = append(line, ',')
		line = appendJSONText(line, a.Key)
		line = append(line, ':')
		switch v := a.Value; v.Kind() {
		case slog.KindInt64, slog.KindUint64:
			line = appendValue(line, v)
		case slog.KindBool:
			line = strconv.AppendBool(line, v.Bool())
		case slog.KindFloat64:
			if number := v.Float64(); !math.IsNaN(number) && !math.IsInf(number, 0) {
				line = strconv.AppendFloat(line, number, 'g', -1, 64)
				break
			}
			line = appendJSONText(line, v.String())
		case slog.KindTime:
			line = appendJSONText(line, v.Time().Format(time.RFC3339Nano))
		default:
			line = appendJSONText(line, cutTo(v.String(), maxLogValue))
		}
	}
	return append(line, "}\n"...)
}

// appendJSONText adds text as a JSON string. Bytes that are not UTF-8 become the replacement sign.
func appendJSONText(line []byte, text string) []byte {
	const hex = "0123456789abcdef"
	line = append(line, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			line = append(line, '\\', byte(r))
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			line = append(line, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			line = utf8.AppendRune(line, r)
		}
	}
	return append(line, '"')
}

// cut shortens what somebody else wrote for an error text.
func cut(text string) string { return cutTo(text, 64) }

func cutTo(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "..."
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	// The null device is a character device as well, and needs no colour.
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && info.Name() != os.DevNull
}

// isJournal reports whether w is the stream that systemd connected to its journal.
func isJournal(w io.Writer) bool {
	stream, file := os.Getenv("JOURNAL_STREAM"), w
	if stream == "" {
		return false
	}
	stderr, ok := file.(*os.File)
	if !ok {
		return false
	}
	id, ok := fileIdentity(stderr)
	// Where the system has no such numbers, the variable is believed.
	return !ok || id == stream
}
