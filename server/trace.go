package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/parser"
)

// LevelTrace is the level of the lines that tracing writes, one for each operation.
const LevelTrace = slog.LevelDebug - 4

// secretKeys are the keys of CONNECT whose values are nobody's business.
var secretKeys = [][]byte{[]byte("pass"), []byte("auth_token"), []byte("jwt"), []byte("sig")}

// setTraced notes whether the session's operations are logged. Owner only.
func (s *session) setTraced(on bool) {
	if on != (s.output&isTraced != 0) && s.conn.Begin(0) {
		s.output ^= isTraced
		s.conn.End()
	}
}

// traceIn logs an operation of the client, as it came, credentials left out.
func (s *session) traceIn(set *settings, line []byte, op *parser.Op) {
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	line = bytes.TrimRight(line, "\r")
	if op.Verb == parser.Connect {
		line = withoutSecrets(line)
	}
	s.trace("<<- [%s]", line)
	if op.Verb == parser.Pub || op.Verb == parser.HPub {
		s.tracePayload(set, "<<-", op.Header, op.Payload)
	}
}

// traceLine logs a line for the client.
func (s *session) traceLine(line []byte) {
	s.trace("->> [%s]", bytes.TrimRight(line, "\r\n"))
}

// traceMessage logs a delivery. It runs on the publisher's goroutine.
func (s *session) traceMessage(m *broker.Msg, sid string, header []byte, size int) {
	s.traceLine(appendMessage(nil, m, sid, header, size))
	s.tracePayload(s.door.server.settings.Load(), "->>", header, m.Payload)
}

func (s *session) tracePayload(set *settings, arrow string, header, payload []byte) {
	shown := header
	if !set.TraceHeaders {
		shown = append(bytes.Clone(header), payload...)
	} else if len(header) == 0 {
		return
	}
	more := ""
	if most := set.MaxTracedMsgLen; most > 0 && len(shown) > most {
		shown, more = shown[:most], "..."
	}
	s.trace("%s MSG_PAYLOAD: [%q%s]", arrow, shown, more)
}

func (s *session) trace(format string, args ...any) {
	line := fmt.Sprintf("%s - cid:%d - ", s.conn.RemoteAddr(), s.conn.ID()) + fmt.Sprintf(format, args...)
	s.door.server.log.Log(context.Background(), LevelTrace, line)
}

// withoutSecrets returns a CONNECT line whose secret values are replaced. It goes by the text and
// not by the JSON: a line that is no JSON may hold a password all the same.
func withoutSecrets(line []byte) []byte {
	var out []byte
	for len(line) > 0 {
		i := bytes.IndexByte(line, '"')
		if i < 0 {
			break
		}
		key := stringEnd(line[i+1:])
		end := i + 1 + key
		// A key with an escape in it may be any of them.
		secret := bytes.IndexByte(line[i+1:end], '\\') >= 0
		for _, k := range secretKeys {
			secret = secret || bytes.EqualFold(bytes.Trim(line[i+1:end], `"`), k)
		}
		out = append(out, line[:end]...)
		line = line[end:]
		if !secret {
			continue
		}
		rest := bytes.TrimLeft(line, jsonBlanks)
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], jsonBlanks)
		if len(rest) > 0 && rest[0] == '"' {
			rest = rest[1+stringEnd(rest[1:]):]
		} else if stop := bytes.IndexAny(rest, ",}"); stop >= 0 {
			rest = rest[stop:]
		} else {
			rest = nil
		}
		out = append(out, `:"[REDACTED]"`...)
		line = rest
	}
	return append(out, line...)
}

// jsonBlanks may stand between any two things of JSON (RFC 8259, section 2).
const jsonBlanks = " \t\r\n"

// stringEnd is how much of b belongs to the JSON string that b is inside of, its last quote included.
func stringEnd(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}
