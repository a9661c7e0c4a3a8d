package server

import (
	"cmp"
	"runtime"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A Snapshot is what there is to show of a server. How it is shown is up to whoever asks.
type Snapshot struct {
	ServerID         string
	ServerName       string
	Version          string
	Proto            int
	Go               string
	Host             string
	Port             int
	AuthRequired     bool
	TLSRequired      bool
	TLSVerify        bool
	TLSTimeout       float64 // seconds
	MaxConnections   int
	PingInterval     time.Duration
	PingMax          int
	AuthTimeout      float64 // seconds
	MaxControlLine   int
	MaxPayload       int
	Start            time.Time
	Now              time.Time
	Connections      int
	TotalConnections uint64
	InMsgs           uint64
	InBytes          uint64
	OutMsgs          uint64
	OutBytes         uint64
	SlowConsumers    uint64
	StaleConnections uint64
	Subscriptions    int
	Closed           map[string]uint64 // connections that have ended, by reason
	Accounts         map[string]int    // connections of each account that has any
}

// A ClientSnapshot is one row of the page of connections.
type ClientSnapshot struct {
	ID            uint64
	Kind          string
	Type          string
	IP            string
	Port          int
	Start         time.Time
	LastActivity  time.Time
	Stop          time.Time // zero while it is open
	Reason        string
	RTT           time.Duration
	PendingBytes  int
	InMsgs        uint64
	OutMsgs       uint64
	InBytes       uint64
	OutBytes      uint64
	Subscriptions int
	Name          string
	Lang          string
	Version       string
	TLSVersion    string
	TLSCipher     string
	TLSFirst      bool
	TLSPeer       []byte // the client's certificate in DER, if Query.Certificates asked for it

	// User is a name, or the public key of an nkey or JWT user; of a token it only says that there
	// was one. Of a client that was refused, or that nobody asks who it is, it is who it says it is.
	User    string
	Account string
	NameTag string    // a user JWT's name claim
	Issuer  string    // who signed it
	Tags    []string  // its tags
	Expires time.Time // zero: never

	Perms *auth.Permissions // nil: everything; of an ended one it may be unknown

	Subs  []SubSnapshot // the first few of one that has ended, if Query.Subscriptions asked for them
	Hears bool          // Query.Hears takes one of its subscriptions
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
	Subscriptions bool   // list those of connections that have ended; SubsOf has those of others
	Certificates  bool   // of clients that have shown one

	// Hears is asked about subjects of subscriptions, until it takes one. It runs where input is handled,
	// several times at once, and must not wait. Nil: nobody wants to know.
	Hears func(subject string) bool
}

const (
	// snapshotBatch is how many connections are asked for their row at a time.
	snapshotBatch = 256
	// snapshotPatience is how long they may take. A row is missing if its connection closes
	// meanwhile, or if its loop is busy for so long.
	snapshotPatience = 250 * time.Millisecond
)

// Snapshot returns a *Snapshot. It asks each connection for what it has moved.
func (s *Server) Snapshot() any {
	p := s.Status()
	s.mu.Lock()
	past := s.past
	s.mu.Unlock()
	p.InMsgs, p.InBytes, p.OutMsgs, p.OutBytes = past.inMsgs, past.inBytes, past.outMsgs, past.outBytes
	q := Query{}
	q.each(s.all(), func(r *record) {
		p.InMsgs += r.traffic.inMsgs
		p.InBytes += r.traffic.inBytes
		p.OutMsgs += r.traffic.outMsgs
		p.OutBytes += r.traffic.outBytes
		p.Subscriptions += r.subscriptions
	})
	return p
}

// Status is a Snapshot without what connections would have to be asked for: messages, bytes and
// subscriptions. It costs the same however many there are.
func (s *Server) Status() *Snapshot {
	set := s.settings.Load()
	p := &Snapshot{
		ServerID: s.id, ServerName: set.ServerName, Version: featureLevel,
		Proto: 1, Go: runtime.Version(), AuthRequired: set.directory.Required(), MaxConnections: set.MaxConnections,
		PingInterval: set.PingInterval, PingMax: set.PingMax, AuthTimeout: set.directory.Timeout().Seconds(),
		MaxControlLine: set.MaxControlLine, MaxPayload: set.MaxPayload, Start: s.start, Now: time.Now(),
		TotalConnections: s.total.Load(), SlowConsumers: s.slow.Load(),
		StaleConnections: s.stale.Load(), Closed: make(map[string]uint64), Accounts: make(map[string]int),
	}
	if t := set.TLS; t != nil {
		p.TLSRequired, p.TLSVerify, p.TLSTimeout = !t.Security.MayBePlain, t.Verify, t.Security.Timeout.Seconds()
	}
	p.Host, p.Port = s.Address()
	s.mu.Lock()
	defer s.mu.Unlock()
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
		q.each(all, func(r *record) { to = append(to, r.show()) })
	}
	slices.SortStableFunc(to, func(a, b ClientSnapshot) int { return cmp.Compare(a.ID, b.ID) })
	return to
}

// wants reports whether r is one of those that are asked for.
func (q *Query) wants(r *record) bool {
	if q.CID != 0 && q.CID != r.id || q.Account != "" && q.Account != r.account {
		return false
	}
	return q.User == "" || r.about != nil && (r.about.identity.User == q.User || r.about.claimed == q.User)
}

// each calls f with a record of each of these sessions that is asked for.
func (q *Query) each(of []*session, f func(*record)) {
	ask(of, func(c *session) (record, bool) {
		r := c.record()
		wanted := q.wants(&r)
		if wanted {
			q.addDetails(&r, c)
		}
		return r, wanted
	}, func(r record) { f(&r) })
}

// ask calls on where the input of each of these connections is handled, and then with what it returned,
// here. Who answers false is left out.
func ask[T any](of []*session, on func(*session) (T, bool), with func(T)) {
	for len(of) > 0 {
		n := min(len(of), snapshotBatch)
		askBatch(of[:n], on, with)
		of = of[n:]
	}
}

// askBatch is ask for sessions that are asked at the same time.
func askBatch[T any](of []*session, on func(*session) (T, bool), with func(T)) {
	type answer struct {
		row T
		ok  bool
	}
	ready := make(chan answer, len(of)) // has room for all: who is late does not wait
	for _, c := range of {
		c.conn.Post(func(*engine.Loop) {
			row, ok := on(c)
			ready <- answer{row, ok}
		})
	}
	patience := time.NewTimer(snapshotPatience)
	defer patience.Stop()
	for range of {
		select {
		case a := <-ready:
			if a.ok {
				with(a.row)
			}
		case <-patience.C:
			return
		}
	}
}

// addDetails puts into r what not every row has. Owner only.
func (q *Query) addDetails(r *record, c *session) {
	if q.Hears != nil {
		c.eachSub(func(sub *broker.Sub) { r.hears = r.hears || q.Hears(sub.Subject()) })
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

// Version is the version of nats-server that clients are told.
func (s *Server) Version() string { return featureLevel }

// Address is what INFO says of where clients connect; nothing while nobody can.
func (s *Server) Address() (host string, port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.doors {
		host, port = d.host, d.port
	}
	return host, port
}

// Connections is how many connections an account has.
func (s *Server) Connections(account string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.members[account])
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
