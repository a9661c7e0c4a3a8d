package leafnode

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// What the log is told. A line says what happened and, where something can be done, what.

// tellEvery is how often the same trouble of a link is said.
const tellEvery = int64(time.Minute)

// attrs are who a link is with.
func (k *link) attrs() []any {
	f := &k.facts
	at := f.address
	if k.door != nil {
		at = k.conn.RemoteAddr().String()
	}
	list := []any{"account", f.account, "name", f.name, "address", at}
	if k.remote != nil {
		k.remote.mu.Lock()
		list = append(list, "url", k.remote.state.url)
		k.remote.mu.Unlock()
	}
	return list
}

func (n *Node) tellUp(k *link) {
	f := &k.facts
	side := "leaf joined us"
	if k.remote != nil {
		side = "joined a hub"
	}
	n.log.Info("leaf link up: "+side, append(k.attrs(), "their_account", f.theirs, "version", f.version, "compression", f.mode.String(),
		"rtt", k.rtt.Round(time.Microsecond))...)
}

// tellGiven writes that a hub's permissions are others than before.
func (n *Node) tellGiven(k *link) {
	n.log.Info("the hub has changed what our user may do: the link goes by that from now on",
		append(k.attrs(), "may_receive", k.given[0].String(), "may_send", k.given[1].String())...)
}

// tellDown writes what a link has ended for. Of one that we dialled its remote writes the reason.
func (n *Node) tellDown(k *link, reason error, l lost) {
	why, remedy := explain(reason)
	n.lostWaiting.Add(uint64(l.waiting))
	n.lostFlying.Add(uint64(l.flying))
	if k.peer == nil {
		if k.door != nil {
			level := slog.LevelWarn
			if remedy == "" || errors.Is(reason, engine.ErrPeerClosed) {
				level, remedy = slog.LevelDebug, "" // somebody who looks what is there, or a leaf that is stopped
			}
			n.logLimited(level, "leaf refused", "address", k.conn.RemoteAddr().String(), "name", k.facts.name, "reason", why, "remedy", remedy)
		}
		return
	}
	list := append(k.attrs(), "reason", why, "up_for", time.Since(k.started).Round(time.Second))
	if l.waiting > 0 {
		list = append(list, "lost_waiting", l.waiting)
	}
	if l.flying > 0 {
		list = append(list, "unconfirmed", l.flying)
	}
	if remedy != "" {
		list = append(list, "remedy", remedy)
	}
	n.log.Warn("leaf link down", list...)
}

// tellNoLink writes why a hub is not reached; the same reason again and again is for debugging.
func (n *Node) tellNoLink(r *remote, u *url.URL, reason, remedy string, attempts int, wait time.Duration, again bool) {
	level := slog.LevelWarn
	if again && attempts&(attempts-1) != 0 { // attempts 1, 2, 4, 8 ... are always said
		level = slog.LevelDebug
	}
	list := []any{"url", hideSecrets(u), "reason", reason, "attempts", attempts, "retry_in", wait.Round(10 * time.Millisecond)}
	if remedy != "" {
		list = append(list, "remedy", remedy)
	}
	n.log.Log(r.ctx, level, "no leaf link to the hub", list...)
}

// tellErr writes what the other side complains of, unless the link ends for it and says so then.
func (n *Node) tellErr(k *link, why *closing) {
	if why.stays {
		n.logLimited(slog.LevelWarn, "the other side of a leaf link complains", append(k.attrs(), "error", why.reason, "remedy", why.remedy)...)
	}
}

func (n *Node) tellDuplicate(k, old *link) {
	n.logLimited(slog.LevelWarn, "two leaves have the same server_name: the older link is closed. If these are two machines, give each its own name",
		"name", k.facts.name, "account", k.facts.account, "address", k.conn.RemoteAddr().String(), "older", old.conn.RemoteAddr().String())
}

// tellShed writes that a link drops messages. Under link.mu.
func (n *Node) tellShed(k *link) {
	if now := engine.Now(); k.told == 0 || now-k.told > tellEvery {
		k.told = now
		n.log.Warn("leaf link is too slow for what is to be sent: the oldest messages are dropped", "name", k.facts.name,
			"account", k.facts.account, "dropped", k.dropped, "waiting_bytes", k.queue.bytes,
			"remedy", "narrow what the other side subscribes to, or deny_exports, or raise leafnodes.max_pending for bursts")
	}
}

// tellTooBig writes that a message was larger than the other side takes.
func (n *Node) tellTooBig(k *link, m *broker.Msg) {
	n.tooBig.Add(1)
	n.logLimited(slog.LevelWarn, "a message is too large for the other side of a leaf link and stays here", "name", k.facts.name,
		"subject", cut(string(m.Subject)), "bytes", len(m.Header)+len(m.Payload), "max_payload", k.maxPayload.Load(),
		"remedy", "raise max_payload there")
}

// logLimited writes some of what strangers or publishers can cause as often as they like. Who only looks
// what is there, which is for debugging, hides no warning.
func (n *Node) logLimited(level slog.Level, text string, args ...any) {
	of := &n.details
	if level >= slog.LevelWarn {
		of = &n.warnings
	}
	write, left := of.may(engine.Now())
	if !write {
		return
	}
	if left > 0 {
		args = append(args, "more_like_this", left)
	}
	n.log.Log(context.Background(), level, text, args...)
}

// lines bounds how many are written in linesWindow.
type lines struct {
	mu          sync.Mutex
	window      int64 // when it began; under mu
	count, left int   // written in it, and not written since the last one that was; under mu
}

const (
	mostLines   = 20
	linesWindow = int64(10 * time.Second)
)

// may decides whether another line is written now, and how many were not since the last one.
func (l *lines) may(now int64) (write bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now-l.window >= linesWindow {
		l.window, l.count = now, 0
	}
	if l.count >= mostLines {
		l.left++
		return false, 0
	}
	l.count++
	left, l.left = l.left, 0
	return true, left
}

// handshakeRemedy says what to do about a leaf's TLS handshake that did not come about.
func handshakeRemedy(err error, now time.Time) string {
	return auth.HandshakeRemedy(cut(strings.TrimPrefix(err.Error(), engine.ErrHandshake.Error()+": ")), "leaf", now)
}
