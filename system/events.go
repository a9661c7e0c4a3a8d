package system

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

// Types of events, as tools know them.
const (
	typeConnect    = "io.nats.server.advisory.v1.client_connect"
	typeDisconnect = "io.nats.server.advisory.v1.client_disconnect" // of failed logins as well
	typeConns      = "io.nats.server.advisory.v1.account_connections"
)

// A Client is what events say of a connection.
type Client struct {
	Start     time.Time     `json:"start"`
	Host      string        `json:"host,omitempty"`
	ID        uint64        `json:"id,omitempty"`
	Account   string        `json:"acc,omitempty"`
	User      string        `json:"user,omitempty"`
	Name      string        `json:"name,omitempty"`
	Lang      string        `json:"lang,omitempty"`
	Version   string        `json:"ver,omitempty"`
	RTT       time.Duration `json:"rtt,omitempty"`
	Stop      time.Time     `json:"stop,omitzero"`
	IssuerKey string        `json:"issuer_key,omitempty"`
	NameTag   string        `json:"name_tag,omitempty"`
	Tags      []string      `json:"tags,omitempty"`
	Kind      string        `json:"kind,omitempty"`
	Type      string        `json:"client_type,omitempty"`
}

// An End is what events say of a connection that has ended. Sent is what the client has sent.
type End struct {
	Client   Client
	Sent     Traffic
	Received Traffic
	Reason   string
}

// Traffic counts messages and their bytes.
type Traffic struct {
	Msgs  uint64 `json:"msgs"`
	Bytes uint64 `json:"bytes"`
}

// typed is the head of every event.
type typed struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Time time.Time `json:"timestamp"`
}

type connectEvent struct {
	typed
	Server serverInfo `json:"server"`
	Client Client     `json:"client"`
}

type endEvent struct {
	typed
	Server   serverInfo `json:"server"`
	Client   Client     `json:"client"`
	Sent     Traffic    `json:"sent"`
	Received Traffic    `json:"received"`
	Reason   string     `json:"reason"`
}

// Counted announces that an account has another number of connections. It does not wait.
func (s *System) Counted(account string) { s.tellConns(account) }

// Connected announces a client that has come in. It does not wait.
func (s *System) Connected(c Client) {
	s.Counted(c.Account)
	if !s.audience.wants(connects) {
		return
	}
	head := typed{typeConnect, s.options.NewID(), s.options.Now().UTC()}
	s.publish(&outgoing{subject: "$SYS.ACCOUNT." + c.Account + ".CONNECT", make: func(server serverInfo) []byte {
		return s.marshal(connectEvent{head, server, c})
	}})
}

// Disconnected announces a client that is gone. It does not wait.
func (s *System) Disconnected(e End) {
	s.tellConns(e.Client.Account)
	if s.audience.wants(disconnects) {
		s.publishEnd("$SYS.ACCOUNT."+e.Client.Account+".DISCONNECT", e)
	}
}

// AuthFailed announces a client that was not let in. It does not wait.
func (s *System) AuthFailed(e End) {
	if s.audience.wants(authErrors) {
		s.publishEnd("$SYS.SERVER."+s.options.Info().ID+".CLIENT.AUTH.ERR", e)
	}
}

func (s *System) publishEnd(subject string, e End) {
	head := typed{typeDisconnect, s.options.NewID(), s.options.Now().UTC()}
	if e.Client.Stop.IsZero() {
		e.Client.Stop = head.Time
	}
	s.publish(&outgoing{subject: subject, make: func(server serverInfo) []byte {
		return s.marshal(endEvent{head, server, e.Client, e.Sent, e.Received, e.Reason})
	}})
}

// LameDuck announces that clients are about to be closed.
func (s *System) LameDuck() {
	s.publish(s.bareMessage("$SYS.SERVER." + s.options.Info().ID + ".LAMEDUCK"))
}

// bareMessage says who we are and nothing else.
func (s *System) bareMessage(subject string) *outgoing {
	return &outgoing{subject: subject, make: func(server serverInfo) []byte { return s.marshal(server) }}
}

// statsMessage says how the server is.
func (s *System) statsMessage(subject string) *outgoing {
	return &outgoing{subject: subject, make: func(server serverInfo) []byte {
		return s.marshal(struct {
			Server serverInfo `json:"server"`
			Stats  any        `json:"statsz"`
		}{server, s.options.Stats()})
	}}
}

// tellConns announces how many connections an account has. Nobody is told of the global account's.
func (s *System) tellConns(account string) {
	if account == "" || account == broker.GlobalAccount || !s.audience.wants(conns) || s.options.AccountStat == nil {
		return
	}
	for _, o := range s.connsMessages(account) {
		s.publish(o)
	}
}

// connsMessages are on the older and the newer subject.
func (s *System) connsMessages(account string) []*outgoing {
	id := s.options.NewID()
	return []*outgoing{
		s.connsMessage("$SYS.SERVER.ACCOUNT."+account+".CONNS", account, id),
		s.connsMessage("$SYS.ACCOUNT."+account+".SERVER.CONNS", account, id),
	}
}

// connsMessage joins the head of an event and an account's statistics into one object.
func (s *System) connsMessage(subject, account, id string) *outgoing {
	at := s.options.Now().UTC()
	return &outgoing{subject: subject, make: func(server serverInfo) []byte {
		head := s.marshal(struct {
			typed
			Server serverInfo `json:"server"`
		}{typed{typeConns, id, at}, server})
		stat, _ := s.options.AccountStat(account)
		rest := s.marshal(stat)
		if len(rest) <= len("{}") {
			return head
		}
		return append(append(bytes.TrimSuffix(head, []byte("}")), ','), rest[1:]...)
	}}
}

// connsOf answers how many connections an account has, if it has any.
func (s *System) connsOf(r *request) {
	account := token(r.subject, 3)
	if r.reply == "" {
		return
	}
	if _, n := s.options.AccountStat(account); n > 0 {
		s.send(s.connsMessage(r.reply, account, s.options.NewID()))
	}
}

// What there is to listen to.
const (
	connects = iota
	disconnects
	conns
	authErrors
	stats
	kinds
)

// An audience knows what events somebody would hear.
type audience struct {
	// Set by init, never written again.
	subjects [kinds][]string
	changed  chan struct{} // has a place for one word that there may be somebody new

	// Written under the account's lock, read by anyone.
	listeners [kinds]atomic.Int64
}

func (a *audience) init(id string) {
	a.changed = make(chan struct{}, 1)
	a.subjects = [kinds][]string{
		connects:    {"$SYS.ACCOUNT.*.CONNECT"},
		disconnects: {"$SYS.ACCOUNT.*.DISCONNECT"},
		conns:       {"$SYS.ACCOUNT.*.SERVER.CONNS", "$SYS.SERVER.ACCOUNT.*.CONNS"},
		authErrors:  {"$SYS.SERVER." + id + ".CLIENT.AUTH.ERR"},
		stats:       {"$SYS.SERVER." + id + ".STATSZ"},
	}
}

// wants reports whether somebody listens. Without anybody, an event costs this.
func (a *audience) wants(kind int) bool { return a.listeners[kind].Load() > 0 }

// notice counts one change of interest in the system account. It runs under the account's lock.
func (a *audience) notice(i broker.Interest) {
	some := false
	for kind, subjects := range a.subjects {
		for _, subject := range subjects {
			if collide(i.Subject, subject) {
				a.listeners[kind].Add(int64(i.Delta))
				some = true
				break
			}
		}
	}
	if some && i.Delta > 0 {
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

// A heartbeat is when to announce again how we are, and how many connections there are. It stands
// still while nobody listens.
type heartbeat struct {
	stats, conns *time.Timer
	next         time.Duration // of stats; zero while it stands still
	connsRuns    bool
}

func newHeartbeat() *heartbeat {
	b := &heartbeat{stats: time.NewTimer(statsEvery), conns: time.NewTimer(connsEvery)}
	b.stop()
	return b
}

func (b *heartbeat) stop() {
	b.stats.Stop()
	b.conns.Stop()
}

// begin starts what has somebody to listen now.
func (b *heartbeat) begin(a *audience) {
	if b.next == 0 && a.wants(stats) {
		b.next = firstStats
		b.stats.Reset(b.next)
	}
	if !b.connsRuns && a.wants(conns) {
		b.connsRuns = true
		b.conns.Reset(connsEvery)
	}
}

// statsDue reports whether to announce, and sets the next time: a little later each time.
func (b *heartbeat) statsDue(a *audience) bool {
	if !a.wants(stats) {
		b.next = 0
		return false
	}
	b.next = min(2*b.next, statsEvery)
	b.stats.Reset(b.next)
	return true
}

func (b *heartbeat) connsDue(a *audience) bool {
	if b.connsRuns = a.wants(conns); b.connsRuns {
		b.conns.Reset(connsEvery)
	}
	return b.connsRuns
}
