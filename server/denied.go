package server

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// What the log says of a client that was not let do something: the words of nats-server, which
// operators look for.
const (
	deniedPublish   = "Publish Violation"
	deniedSubscribe = "Subscription Violation"
	deniedTokens    = "Subscription Violation Too Many Tokens"
	deniedMore      = wireMaxSubscriptions
)

// What the operator can do about it.
const (
	remedyPublish   = "edgebus why SUBJECT --from USER says which permission is missing"
	remedyReply     = "such subjects are the servers' own: have the client wait for answers at another one"
	remedySubscribe = "widen subscribe in the permissions of the user, or take the subject out of its deny"
	remedyTokens    = "raise max_sub_tokens, or use subjects with fewer dots"
	remedyMore      = "raise max_subscriptions, or have the client subscribe to wildcards"
)

// denyPublish tells a client, and the log, that it may not publish to a subject, or with a reply.
func (s *session) denyPublish(text string, subject []byte) {
	s.complainOf(text, subject, "")
	key, remedy := "subject", remedyPublish
	if text == wireDeniedReply {
		key, remedy = "reply", remedyReply
	}
	s.logDenied(deniedPublish, remedy, key, subject, nil)
}

// denySub tells a client, and the log, why it does not get a subscription.
func (s *session) denySub(op *parser.Op, err error) {
	switch err {
	case broker.ErrSubscribeDenied:
		after := ""
		if len(op.Queue) > 0 {
			after = " using queue " + strconv.Quote(string(op.Queue))
		}
		s.complainOf(wireDeniedSubscribe, op.Subject, after)
		s.logDenied(deniedSubscribe, remedySubscribe, "subject", op.Subject, op)
	case broker.ErrTooManyTokens:
		s.complainOf(wireDeniedSubscribe, op.Subject, ", too many tokens")
		s.logDenied(deniedTokens, remedyTokens, "subject", op.Subject, op)
	case broker.ErrMaxSubscriptions:
		s.complain(wireMaxSubscriptions)
		s.logDenied(deniedMore, remedyMore, "subject", op.Subject, op)
	default:
		s.complain(wireInvalidSubject)
	}
}

// logDenied writes one line about what a client may not do, if there have not been too many; a device
// that tries again and again must not fill a disk. op is nil unless it is about a subscription.
func (s *session) logDenied(what, remedy, key string, subject []byte, op *parser.Op) {
	write, left := s.door.server.denials.may(s.conn.ID(), maxDenialLines)
	if !write {
		return
	}
	attrs := append(s.whoIs(), slog.String(key, cutText(string(subject))))
	if op != nil {
		if len(op.Queue) > 0 {
			attrs = append(attrs, slog.String("queue", cutText(string(op.Queue))))
		}
		attrs = append(attrs, slog.String("sid", cutText(string(op.Sid))))
	}
	s.logLine(slog.LevelError, what, append(attrs, slog.String("remedy", remedy)), left)
}

// dropSubs tells a client, and the log, which subscriptions it had until the configuration changed.
func (s *session) dropSubs(subs []*broker.Sub) {
	const shown = 8
	var list []string
	for _, sub := range subs {
		after := " (sid " + strconv.Quote(sub.Tag()) + ")"
		if sub.Queue() != "" {
			after = " using queue " + strconv.Quote(sub.Queue()) + after
		}
		s.complainOf(wireDeniedSubscribe, []byte(sub.Subject()), after)
		if len(list) < shown {
			list = append(list, cutText(sub.Subject()))
		}
	}
	if len(subs) == 0 {
		return
	}
	write, left := s.door.server.removals.may(s.conn.ID(), maxRemovalLines)
	if !write {
		return
	}
	attrs := append(s.whoIs(), slog.Int("count", len(subs)), slog.String("subjects", strings.Join(list, " ")))
	s.logLine(slog.LevelInfo, "Removed subscriptions that are no longer authorized", attrs, left)
}

// whoIs names the client in the log.
func (s *session) whoIs() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 8), slog.String("client", s.conn.RemoteAddr().String()), slog.Uint64("cid", s.conn.ID()))
	about, identity := s.about, (*auth.Identity)(nil)
	switch {
	case about != nil:
		identity = about.identity
	case s.peer != nil:
		identity = s.door.server.settings.Load().guest
	}
	user, name := "", ""
	if identity != nil {
		user = identity.User
	}
	if about != nil {
		user, name = cmp.Or(user, about.claimed), about.name
	}
	if user != "" {
		attrs = append(attrs, slog.String("user", user))
	}
	if name != "" {
		attrs = append(attrs, slog.String("name", cutText(name)))
	}
	return attrs
}

// logLine writes one line, and how many like it were not written.
func (s *session) logLine(level slog.Level, message string, attrs []slog.Attr, left int) {
	if left > 0 {
		attrs = append(attrs, slog.Int("more_like_this", left))
	}
	s.door.server.log.LogAttrs(context.Background(), level, message, attrs...)
}

// A lineLimit bounds lines of the log that clients can cause.
type lineLimit struct {
	mu     sync.Mutex
	window int64          // when it began
	lines  int            // written in it
	left   int            // not written since the last one that was
	of     map[uint64]int // lines by client; no more entries than lines
}

// may decides whether another line about client is written now, and how many were not since the last
// one. Half of the lines are for others, so that one client does not hide them.
func (l *lineLimit) may(client uint64, most int) (write bool, left int) {
	now := engine.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now-l.window >= refusalWindow {
		l.window, l.lines = now, 0
		clear(l.of)
	}
	if l.lines >= most || l.of[client] >= most/2 {
		l.left++
		return false, 0
	}
	if l.of == nil {
		l.of = make(map[uint64]int)
	}
	l.lines++
	l.of[client]++
	left, l.left = l.left, 0
	return true, left
}

// rest is how many lines were left out at the end.
func (l *lineLimit) rest() (left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left, l.left = l.left, 0
	return left
}
