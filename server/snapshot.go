package server

import (
	"runtime"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A Snapshot is what monitoring shows of a server. Names are those of nats-server's pages.
type Snapshot struct {
	ServerID         string            `json:"server_id"`
	ServerName       string            `json:"server_name"`
	Version          string            `json:"version"`
	OwnVersion       string            `json:"edgebus_version,omitempty"`
	Proto            int               `json:"proto"`
	Go               string            `json:"go"`
	Host             string            `json:"host"`
	Port             int               `json:"port"`
	AuthRequired     bool              `json:"auth_required,omitempty"`
	MaxConnections   int               `json:"max_connections"`
	PingInterval     time.Duration     `json:"ping_interval"`
	PingMax          int               `json:"ping_max"`
	AuthTimeout      float64           `json:"auth_timeout"` // seconds
	MaxControlLine   int               `json:"max_control_line"`
	MaxPayload       int               `json:"max_payload"`
	Start            time.Time         `json:"start"`
	Now              time.Time         `json:"now"`
	LameDuck         bool              `json:"lame_duck,omitempty"`
	Connections      int               `json:"connections"`
	TotalConnections uint64            `json:"total_connections"`
	InMsgs           uint64            `json:"in_msgs"`
	InBytes          uint64            `json:"in_bytes"`
	OutMsgs          uint64            `json:"out_msgs"`
	OutBytes         uint64            `json:"out_bytes"`
	SlowConsumers    uint64            `json:"slow_consumers"`
	StaleConnections uint64            `json:"stale_connections"`
	Refused          uint64            `json:"refused_connections"`
	Subscriptions    int               `json:"subscriptions"`
	Closed           map[string]uint64 `json:"closed"` // connections that have ended, by reason
	Clients          []ClientSnapshot  `json:"-"`
}

// A ClientSnapshot is one row of the page of connections.
type ClientSnapshot struct {
	ID            uint64        `json:"cid"`
	IP            string        `json:"ip"`
	Port          int           `json:"port"`
	Start         time.Time     `json:"start"`
	LastActivity  time.Time     `json:"last_activity"`
	RTT           time.Duration `json:"-"`
	PendingBytes  int           `json:"pending_bytes"`
	InMsgs        uint64        `json:"in_msgs"`
	OutMsgs       uint64        `json:"out_msgs"`
	InBytes       uint64        `json:"in_bytes"`
	OutBytes      uint64        `json:"out_bytes"`
	Subscriptions int           `json:"subscriptions"`
	Name          string        `json:"name,omitempty"`
	Lang          string        `json:"lang,omitempty"`
	Version       string        `json:"version,omitempty"`
	User          string        `json:"authorized_user,omitempty"`
	Account       string        `json:"account,omitempty"`
}

const (
	// snapshotBatch is how many connections are asked for their row at a time.
	snapshotBatch = 256
	// snapshotPatience is how long they may take. A row is missing if its connection closes
	// meanwhile, or if its loop is busy for so long.
	snapshotPatience = 250 * time.Millisecond
)

// Snapshot returns a *Snapshot. Each connection's row is made where its input is handled; nothing
// is stopped for it.
func (s *Server) Snapshot() any {
	set := s.settings.Load()
	p := &Snapshot{
		ServerID: s.id, ServerName: set.ServerName, Version: featureLevel, OwnVersion: set.Version,
		Proto: 1, Go: runtime.Version(), AuthRequired: set.guest == nil, MaxConnections: set.MaxConnections,
		PingInterval: set.PingInterval, PingMax: set.PingMax, AuthTimeout: set.directory.Timeout().Seconds(),
		MaxControlLine: set.MaxControlLine, MaxPayload: set.MaxPayload, Start: s.start, Now: time.Now(),
		LameDuck: s.lame.Load(), TotalConnections: s.total.Load(), SlowConsumers: s.slow.Load(),
		StaleConnections: s.stale.Load(), Refused: s.refused.Load(), Closed: make(map[string]uint64),
	}
	s.mu.Lock()
	for d := range s.doors {
		p.Host, p.Port = d.host, d.port
	}
	for word, n := range s.reasons {
		p.Closed[word] = n
	}
	past := s.past
	s.mu.Unlock()
	all := s.all()
	p.Connections = len(all)
	p.InMsgs, p.InBytes, p.OutMsgs, p.OutBytes = past.inMsgs, past.inBytes, past.outMsgs, past.outBytes
	for len(all) > 0 {
		n := min(len(all), snapshotBatch)
		p.Clients = rows(p.Clients, all[:n])
		all = all[n:]
	}
	for i := range p.Clients {
		c := &p.Clients[i]
		p.InMsgs += c.InMsgs
		p.InBytes += c.InBytes
		p.OutMsgs += c.OutMsgs
		p.OutBytes += c.OutBytes
		p.Subscriptions += c.Subscriptions
	}
	return p
}

// rows asks some sessions for their rows.
func rows(to []ClientSnapshot, of []*session) []ClientSnapshot {
	ready := make(chan ClientSnapshot, len(of)) // has room for all: who is late does not wait
	for _, c := range of {
		c.conn.Post(func(*engine.Loop) { ready <- c.row() })
	}
	patience := time.NewTimer(snapshotPatience)
	defer patience.Stop()
	for range of {
		select {
		case r := <-ready:
			to = append(to, r)
		case <-patience.C:
			return to
		}
	}
	return to
}

// row describes the session. Owner only.
func (s *session) row() ClientSnapshot {
	now, clock := engine.Now(), time.Now()
	from := s.conn.RemoteAddr()
	r := ClientSnapshot{
		ID: s.conn.ID(), Port: int(from.Port()),
		Start: clock.Add(-s.age(now)), LastActivity: clock.Add(-time.Duration(now - s.lastIn)),
		RTT: time.Duration(s.rtt) * time.Microsecond, InMsgs: s.inMsgs, InBytes: s.inBytes,
		PendingBytes: s.conn.Pending(),
	}
	if from.IsValid() {
		r.IP = from.Addr().String()
	}
	out := s.outTraffic()
	r.OutMsgs, r.OutBytes = out.outMsgs, out.outBytes
	if s.peer != nil {
		s.peer.Subs(func(*broker.Sub) { r.Subscriptions++ })
		r.Account = s.peer.Account().Name()
	}
	if s.about != nil {
		r.Name, r.Lang, r.Version, r.User = s.about.name, s.about.lang, s.about.version, s.about.identity.User
	}
	return r
}

// outTraffic reads what Deliver counts.
func (s *session) outTraffic() (t traffic) {
	if s.conn.Begin(0) {
		t.outMsgs, t.outBytes = s.outMsgs, s.outBytes
		s.conn.End()
	}
	return t
}
