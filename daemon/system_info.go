package daemon

import (
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/system"
)

// Said to who asks on the system account, in nats-server's words.
var (
	errNoJetStream = errors.New("jetstream not enabled")
	errNoClient    = errors.New("no such client id")
	errNoNotice    = errors.New("client does not support Lame Duck Mode or is not ready to receive the notification")

	errNoClientOrLeaf = errors.New("no such client or leafnode id")
)

// withSystem gives every account what nats-server gives it: services of the system account that say
// who one is and who else is connected, and the system account what others take of it. The accounts
// handed in stay as they are.
func withSystem(accounts []*auth.Account, name string) []*auth.Account {
	if name == "" {
		return accounts
	}
	with := make([]*auth.Account, len(accounts))
	for i, a := range accounts {
		with[i] = oneWithSystem(a, name)
	}
	return with
}

// oneWithSystem does it for one account.
func oneWithSystem(a *auth.Account, name string) *auth.Account {
	if name == "" {
		return a
	}
	own := *a
	if a.Name == name {
		for _, e := range system.Exports() {
			export := auth.Export{Service: true, Subject: e.Subject, TokenPosition: e.TokenPosition}
			if e.Many {
				export.Response = auth.Stream
			}
			if !slices.ContainsFunc(a.Exports, func(x auth.Export) bool { return x.Service && x.Subject == e.Subject }) {
				own.Exports = append(slices.Clip(own.Exports), export)
			}
		}
		// Its own users have no import from elsewhere to say who they are.
		own.Imports = append(slices.Clip(own.Imports), auth.Import{
			Service: true, From: name, Subject: "$SYS.REQ.USER." + name + ".INFO", To: "$SYS.REQ.USER.INFO", Share: true,
		})
		return &own
	}
	for _, i := range system.Imports(a.Name) {
		if !slices.ContainsFunc(a.Imports, func(x auth.Import) bool { return x.Service && x.From == name && x.To == i.To }) {
			own.Imports = append(slices.Clip(own.Imports), auth.Import{Service: true, From: name, Subject: i.Subject, To: i.To, Share: i.Share})
		}
	}
	return &own
}

// serverStats is how the server is, for STATSZ.
type serverStats struct {
	Start               time.Time         `json:"start"`
	Mem                 int64             `json:"mem"`
	Cores               int               `json:"cores"`
	CPU                 float64           `json:"cpu"`
	Connections         int               `json:"connections"`
	TotalConnections    uint64            `json:"total_connections"`
	ActiveAccounts      int               `json:"active_accounts"`
	Subscriptions       uint32            `json:"subscriptions"`
	Sent                monitor.DataStats `json:"sent"`
	SentToClients       monitor.DataStats `json:"sent_to_clients"`
	Received            monitor.DataStats `json:"received"`
	ReceivedFromClients monitor.DataStats `json:"received_from_clients"`
	SlowConsumers       int64             `json:"slow_consumers"`
	SlowBy              *monitor.ByKind   `json:"slow_consumer_stats,omitempty"`
	StaleConnections    int64             `json:"stale_connections,omitempty"`
	StaleBy             *monitor.ByKind   `json:"stale_connection_stats,omitempty"`
	ActiveServers       int               `json:"active_servers,omitempty"`
	MemLimit            int64             `json:"gomemlimit,omitempty"`
	MaxProcs            int               `json:"gomaxprocs,omitempty"`
}

func (p pages) stats() any {
	s := p.d.server.Snapshot().(*server.Snapshot)
	use := processUsage()
	clientsSent := monitor.DataStats{Msgs: int64(s.OutMsgs), Bytes: int64(s.OutBytes)}
	clientsReceived := monitor.DataStats{Msgs: int64(s.InMsgs), Bytes: int64(s.InBytes)}
	sent, received := p.traffic(s)
	z := &serverStats{
		Start: s.Start.UTC(), Mem: use.resident, CPU: use.percent, Cores: runtime.NumCPU(), MaxProcs: runtime.GOMAXPROCS(0), MemLimit: memoryGoal(),
		Connections: s.Connections, TotalConnections: s.TotalConnections, ActiveAccounts: len(s.Accounts),
		Sent: sent, SentToClients: clientsSent, Received: received, ReceivedFromClients: clientsReceived,
		SlowConsumers: int64(s.SlowConsumers), StaleConnections: int64(s.StaleConnections), ActiveServers: 1,
	}
	if s.SlowConsumers > 0 {
		z.SlowBy = &monitor.ByKind{Clients: s.SlowConsumers}
	}
	if s.StaleConnections > 0 {
		z.StaleBy = &monitor.ByKind{Clients: s.StaleConnections}
	}
	z.Subscriptions = p.subscriptions()
	return z
}

// userInfo is what a user may know of itself.
type userInfo struct {
	User        string           `json:"user"`
	Account     string           `json:"account"`
	AccountName string           `json:"account_name,omitempty"`
	UserName    string           `json:"user_name,omitempty"`
	Permissions *userPermissions `json:"permissions,omitempty"`
	Expires     time.Duration    `json:"expires,omitempty"` // from now
}

type userPermissions struct {
	Publish   *subjectLists   `json:"publish,omitempty"`
	Subscribe *subjectLists   `json:"subscribe,omitempty"`
	Responses *responseLimits `json:"responses,omitempty"`
}

type subjectLists struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

type responseLimits struct {
	Max     int           `json:"max"`
	Expires time.Duration `json:"ttl"`
}

// userInfo answers who somebody is. The broker has written into the request who that is; all but
// name and account is looked up by the number of the connection.
func (p pages) userInfo(who system.Requester) (any, error) {
	u := userInfo{User: who.User, Account: who.Account}
	if who.Account != "" {
		u.AccountName = p.d.accountTag(who.Account)
	}
	if who.ID == 0 {
		return u, nil
	}
	for _, c := range p.d.server.Clients(server.Query{CID: who.ID}) {
		u.UserName = c.NameTag
		if !c.Expires.IsZero() {
			u.Expires = time.Until(c.Expires).Truncate(time.Second)
		}
		u.Permissions = shownPermissions(c.Perms)
	}
	return u, nil
}

// shownPermissions lists what a user may do; nil is everything.
func shownPermissions(perms *auth.Permissions) *userPermissions {
	if perms == nil {
		return nil
	}
	o := perms.Options()
	lists := func(o *auth.SubjectOptions) *subjectLists {
		if o == nil {
			return &subjectLists{}
		}
		return &subjectLists{o.Allow, o.Deny}
	}
	u := &userPermissions{Publish: lists(o.Publish), Subscribe: lists(o.Subscribe)}
	if r := o.AllowResponses; r != nil {
		u.Responses = &responseLimits{r.Max, r.Expires}
	}
	return u
}
