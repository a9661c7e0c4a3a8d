package server

import (
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/auth"
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
	TLSRequired      bool              `json:"tls_required,omitempty"`
	TLSVerify        bool              `json:"tls_verify,omitempty"`
	TLSTimeout       float64           `json:"tls_timeout,omitempty"` // seconds
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
	Accounts         map[string]int    `json:"-"`      // connections of each account that has any
	Clients          []ClientSnapshot  `json:"-"`
}

// A ClientSnapshot is one row of the page of connections.
type ClientSnapshot struct {
	ID            uint64        `json:"cid"`
	Kind          string        `json:"kind"`
	Type          string        `json:"type"`
	IP            string        `json:"ip"`
	Port          int           `json:"port"`
	Start         time.Time     `json:"start"`
	LastActivity  time.Time     `json:"last_activity"`
	Stop          time.Time     `json:"-"` // zero while it is open
	Reason        string        `json:"reason,omitempty"`
	RTT           time.Duration `json:"-"`
	Uptime        time.Duration `json:"-"`
	Idle          time.Duration `json:"-"`
	PendingBytes  int           `json:"pending_bytes"`
	InMsgs        uint64        `json:"in_msgs"`
	OutMsgs       uint64        `json:"out_msgs"`
	InBytes       uint64        `json:"in_bytes"`
	OutBytes      uint64        `json:"out_bytes"`
	Subscriptions int           `json:"subscriptions"`
	Name          string        `json:"name,omitempty"`
	Lang          string        `json:"lang,omitempty"`
	Version       string        `json:"version,omitempty"`
	TLSVersion    string        `json:"tls_version,omitempty"`
	TLSCipher     string        `json:"tls_cipher_suite,omitempty"`
	TLSFirst      bool          `json:"tls_first,omitempty"`
	TLSPeer       []byte        `json:"-"` // the client's certificate in DER, if Query.Certificates asked for it

	// User is a name, or the public key of an nkey or JWT user; of a token it only says that there
	// was one. Of a client that was refused, or that nobody asks who it is, it is who it says it is.
	User    string    `json:"authorized_user,omitempty"`
	Account string    `json:"account,omitempty"`
	NameTag string    `json:"name_tag,omitempty"`   // a user JWT's name claim
	Issuer  string    `json:"issuer_key,omitempty"` // who signed it
	Tags    []string  `json:"tags,omitempty"`       // its tags
	Expires time.Time `json:"-"`                    // zero: never

	Perms *auth.Permissions `json:"-"` // nil: everything; of an ended one it may be unknown

	Subs []SubSnapshot `json:"-"` // if Query.Subscriptions asked for them; of an ended one the first few
}

// A SubSnapshot is one subscription.
type SubSnapshot struct {
	Account, Subject, Queue, SID string
	Msgs, Max                    uint64 // Max 0: any number
	CID                          uint64
}

// A State says which connections a Query asks for.
type State uint8

// Connections that are open, that have ended, and both.
const (
	Open State = iota
	Closed
	Any
)

// A Query says which connections Clients describes, and how far. The zero value is all that are open.
type Query struct {
	State         State
	CID           uint64 // 0: any
	User          string // empty: any
	Account       string // empty: any
	Subscriptions bool   // list them
	Certificates  bool   // of clients that have shown one
}

const (
	// snapshotBatch is how many connections are asked for their row at a time.
	snapshotBatch = 256
	// snapshotPatience is how long they may take. A row is missing if its connection closes
	// meanwhile, or if its loop is busy for so long.
	snapshotPatience = 250 * time.Millisecond
)

// Snapshot returns a *Snapshot with a row for each open connection, and their sums.
func (s *Server) Snapshot() any {
	p := s.Status()
	s.mu.Lock()
	past := s.past
	s.mu.Unlock()
	p.InMsgs, p.InBytes, p.OutMsgs, p.OutBytes = past.inMsgs, past.inBytes, past.outMsgs, past.outBytes
	p.Clients = s.Clients(Query{})
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

// Status is a Snapshot without what connections would have to be asked for: rows, messages and bytes.
// It costs the same however many there are.
func (s *Server) Status() *Snapshot {
	set := s.settings.Load()
	p := &Snapshot{
		ServerID: s.id, ServerName: set.ServerName, Version: featureLevel, OwnVersion: set.Version,
		Proto: 1, Go: runtime.Version(), AuthRequired: set.directory.Required(), MaxConnections: set.MaxConnections,
		PingInterval: set.PingInterval, PingMax: set.PingMax, AuthTimeout: set.directory.Timeout().Seconds(),
		MaxControlLine: set.MaxControlLine, MaxPayload: set.MaxPayload, Start: s.start, Now: time.Now(),
		LameDuck: s.lame.Load(), TotalConnections: s.total.Load(), SlowConsumers: s.slow.Load(),
		StaleConnections: s.stale.Load(), Refused: s.refused.Load(), Closed: make(map[string]uint64), Accounts: make(map[string]int),
	}
	if t := set.TLS; t != nil {
		p.TLSRequired, p.TLSVerify, p.TLSTimeout = !t.Security.MayBePlain, t.Verify, t.Security.Timeout.Seconds()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.doors {
		p.Host, p.Port = d.host, d.port
	}
	for word, n := range s.reasons {
		p.Closed[word] = n
	}
	for name, n := range s.members {
		p.Accounts[name] = int(n)
	}
	p.Connections = len(s.sessions)
	return p
}

// Clients describes the connections that q asks for, in the order of their numbers. Each row is made
// where the connection's input is handled; nothing is stopped for it.
func (s *Server) Clients(q Query) (to []ClientSnapshot) {
	if q.State != Open {
		graves := s.graves.list()
		for i := range graves {
			r := &graves[i]
			if q.wants(r) {
				if !q.Subscriptions {
					r.subs = nil
				}
				to = append(to, r.show())
			}
		}
	}
	if q.State != Closed {
		all := s.all()
		if q.CID != 0 {
			all = nil
			if c := s.find(q.CID); c != nil {
				all = []*session{c}
			}
		}
		for len(all) > 0 {
			n := min(len(all), snapshotBatch)
			to = q.rows(to, all[:n])
			all = all[n:]
		}
	}
	slices.SortStableFunc(to, func(a, b ClientSnapshot) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return to
}

// wants reports whether r is one of those that are asked for.
func (q *Query) wants(r *record) bool {
	if q.CID != 0 && q.CID != r.id || q.Account != "" && q.Account != r.account {
		return false
	}
	return q.User == "" || r.about != nil && (r.about.identity.User == q.User || r.about.claimed == q.User)
}

// rows asks some sessions for their rows.
func (q *Query) rows(to []ClientSnapshot, of []*session) []ClientSnapshot {
	type row struct {
		record
		wanted bool
	}
	ready := make(chan row, len(of)) // has room for all: who is late does not wait
	for _, c := range of {
		c.conn.Post(func(*engine.Loop) {
			r := row{record: c.record()}
			if r.wanted = q.wants(&r.record); r.wanted {
				q.addDetails(&r.record, c)
			}
			ready <- r
		})
	}
	patience := time.NewTimer(snapshotPatience)
	defer patience.Stop()
	for range of {
		select {
		case r := <-ready:
			if r.wanted {
				to = append(to, r.show())
			}
		case <-patience.C:
			return to
		}
	}
	return to
}

// addDetails puts into r what takes much room. Owner only.
func (q *Query) addDetails(r *record, c *session) {
	if q.Subscriptions {
		r.subs = c.listSubs(math.MaxInt)
	}
	if state := c.conn.TLS(); q.Certificates && state != nil && len(state.PeerCertificates) > 0 {
		r.tlsPeer = state.PeerCertificates[0].Raw
	}
}

// outTraffic reads what Deliver counts.
func (s *session) outTraffic() (t traffic) {
	if s.conn.Begin(0) {
		t.outMsgs, t.outBytes = s.outMsgs, s.outBytes
		s.conn.End()
	}
	return t
}

// find is the session of a connection, or nil.
func (s *Server) find(cid uint64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.sessions {
		if c.conn.ID() == cid {
			return c
		}
	}
	return nil
}

// Kick closes a client without a word.
func (s *Server) Kick(cid uint64) error {
	c := s.find(cid)
	if c == nil {
		return ErrNoClient
	}
	c.conn.Close(errKicked)
	return nil
}

// LameDuckClient tells one client to go elsewhere, as LameDuck tells all.
func (s *Server) LameDuckClient(cid uint64) error {
	c := s.find(cid)
	if c == nil {
		return ErrNoClient
	}
	told := make(chan bool, 1)
	c.conn.Post(func(*engine.Loop) { told <- c.doLameDuck(s.settings.Load()) })
	patience := time.NewTimer(snapshotPatience)
	defer patience.Stop()
	select {
	case ok := <-told:
		if !ok {
			return ErrNotListening
		}
	case <-patience.C: // closed meanwhile, or its loop has much to do and will come to it
	}
	return nil
}
