package daemon

import (
	"cmp"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/subject"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// pages fills monitor's shapes from what the parts show of themselves. A page never waits for a
// reload: what it needs of the options stands behind one pointer.
type pages struct {
	d *Daemon
}

// shown is what pages need of a configuration. It never changes once made.
type shown struct {
	options   Options
	directory *auth.Directory
	certs     *certs.Server   // nil: no TLS
	leafCerts *certs.Server   // the same, of the door for leaves
	viewers   *auth.Directory // who may look; nil: everybody
	digest    string
	loaded    time.Time

	remoteCerts []*certs.Client // of each of the remotes
	watched     []watchedFiles  // all of these that have files
}

// table hands the pages to monitor.
func (p pages) table() monitor.Pages {
	return monitor.Pages{
		Varz: p.varz, Connz: p.connz, Subsz: p.subsz, Accountz: p.accountz, Accstatz: p.accstatz,
		Routez: p.routez, Gatewayz: p.gatewayz, Leafz: p.leafz, Jsz: p.jsz, Healthz: p.healthz,
	}
}

func (p pages) varz() *monitor.Varz {
	set := p.d.shown.Load()
	o := &set.options
	s := p.d.server.Snapshot().(*server.Snapshot)
	use := processUsage()
	v := &monitor.Varz{
		ServerID: s.ServerID, ServerName: s.ServerName, Version: s.Version, Proto: s.Proto, Go: s.Go,
		Host: s.Host, Port: s.Port, AuthRequired: s.AuthRequired, TLSRequired: s.TLSRequired, TLSVerify: s.TLSVerify,
		MaxConnections: s.MaxConnections, MaxSubscriptions: o.Broker.MaxSubscriptions,
		PingInterval: s.PingInterval, PingMax: s.PingMax, AuthTimeout: s.AuthTimeout,
		MaxControlLine: s.MaxControlLine, MaxPayload: s.MaxPayload, MaxPending: int64(o.Engine.MaxPending),
		TLSTimeout: cmp.Or(s.TLSTimeout, defaultTLSTimeout), WriteDeadline: o.Engine.WriteDeadline,
		Start: s.Start.UTC(), Now: s.Now.UTC(), Uptime: monitor.Duration(s.Now.Sub(s.Start)),
		Mem: use.resident, CPU: use.percent, Cores: runtime.NumCPU(), MaxProcs: runtime.GOMAXPROCS(0), MemLimit: memoryGoal(),
		Connections: s.Connections, TotalConnections: s.TotalConnections,
		InClientMsgs: int64(s.InMsgs), InClientBytes: int64(s.InBytes), OutClientMsgs: int64(s.OutMsgs), OutClientBytes: int64(s.OutBytes),
		SlowConsumers: int64(s.SlowConsumers), StaleConnections: int64(s.StaleConnections),
		SlowBy:         monitor.ByKind{Clients: s.SlowConsumers},
		StaleBy:        monitor.ByKind{Clients: s.StaleConnections},
		ConfigLoadTime: set.loaded.UTC(), ConfigDigest: set.digest, FeatureFlags: map[string]bool{},
		Leaf:           o.leafVarz(p.d.leafPort()),
		EdgebusVersion: o.Version,
		SystemAccount:  set.directory.SystemAccount(), Tags: o.Monitor.Tags, Metadata: o.Monitor.Metadata,
	}
	sent, received := p.traffic(s)
	v.InMsgs, v.InBytes, v.OutMsgs, v.OutBytes = received.Msgs, received.Bytes, sent.Msgs, sent.Bytes
	v.Subscriptions = p.subscriptions()
	v.LeafNodes, _ = p.d.leaf.Counts()
	v.HTTPHost, v.HTTPPort, v.HTTPSPort = p.d.monitorAddress()
	v.HTTPBasePath, v.HTTPRequests = o.Monitor.BasePath, map[string]uint64{}
	if shows := p.d.monitor.Load(); shows != nil {
		v.HTTPRequests = shows.Requests()
	}
	v.OperatorJWTs, v.OperatorClaims = set.directory.Operators()
	if set.certs != nil {
		v.TLSCertNotAfter = set.certs.NotAfter().UTC()
	}
	if set.leafCerts != nil {
		v.Leaf.TLSCertNotAfter = set.leafCerts.NotAfter().UTC()
	}
	for i, own := range set.remoteCerts {
		if at := own.NotAfter(); !at.IsZero() {
			v.Leaf.Remotes[i].TLSCertNotAfter = at.UTC()
		}
	}
	return v
}

// traffic is what clients and leaf links have moved together.
func (p pages) traffic(s *server.Snapshot) (sent, received monitor.DataStats) {
	sent.Msgs, sent.Bytes = int64(s.OutMsgs), int64(s.OutBytes)
	received.Msgs, received.Bytes = int64(s.InMsgs), int64(s.InBytes)
	for _, t := range p.d.leaf.Traffic() {
		sent.Msgs += int64(t.OutMsgs)
		sent.Bytes += int64(t.OutBytes)
		received.Msgs += int64(t.InMsgs)
		received.Bytes += int64(t.InBytes)
	}
	return sent, received
}

// subscriptions are those of all accounts together.
func (p pages) subscriptions() (n uint32) {
	for _, a := range p.d.broker.Accounts() {
		n += uint32(a.Subscriptions)
	}
	return n
}

// defaultTLSTimeout is shown where there is no TLS, in seconds.
const defaultTLSTimeout = 2

// memoryGoal is what the collector tries to stay below; 0: nothing.
func memoryGoal() int64 {
	const none = 1<<63 - 1
	if goal := debug.SetMemoryLimit(-1); goal < none {
		return goal
	}
	return 0
}

// subsz lists subscriptions: those of clients, and where somebody asks for one account, of that one.
func (p pages) subsz(o monitor.SubszOptions) (*monitor.Subsz, error) {
	o.Check()
	if o.Test != "" && !subject.ValidLiteral(o.Test) {
		return nil, o.BadTest()
	}
	z := &monitor.Subsz{ServerID: p.d.server.ID(), Now: time.Now().UTC(), Offset: o.Offset, Limit: o.Limit}
	for _, a := range p.d.broker.Accounts() {
		if o.Account == "" || o.Account == a.Name {
			z.SubStats.Subscriptions += uint32(a.Subscriptions)
			z.SubStats.Inserts += uint64(a.Subscriptions)
		}
	}
	if !o.Subscriptions {
		return z, nil
	}
	var fits func(string) bool
	if o.Test != "" {
		fits = func(heard string) bool { return subject.Matches(heard, []byte(o.Test)) }
	}
	tags, room := p.tags(), p.room()
	total, list, err := p.d.server.Subs(server.SubsQuery{Account: o.Account, Fits: fits, Offset: o.Offset, Limit: o.Limit, Room: room})
	if err != nil {
		return nil, err
	}
	z.Total = total
	z.List = make([]monitor.SubDetail, 0, len(list))
	for _, s := range list {
		one := subDetail(s)
		one.Account, one.AccountTag = s.Account, tags[s.Account]
		z.List = append(z.List, one)
	}
	p.d.leaf.EachSub(func(link uint64, account string, s *broker.Sub) {
		if o.Account != "" && o.Account != account || fits != nil && !fits(s.Subject()) {
			return
		}
		z.Total++
		if z.Total > o.Offset && len(z.List) < o.Limit && room.Take(len(s.Subject())+len(s.Queue())) {
			z.List = append(z.List, monitor.SubDetail{
				Subject: s.Subject(), Queue: s.Queue(), SID: s.Subject(), Msgs: int64(s.Delivered()), CID: link, Account: account, AccountTag: tags[account],
			})
		}
	})
	return z, room.Err()
}

// leastRoom and roomShare are what a page may take for subscriptions: so much of memory_limit. That is not in
// the budget, where subscriptions are not either.
const (
	leastRoom = 4 << 20
	roomShare = 16
)

func (p pages) room() *server.Room {
	limit := p.d.shown.Load().options.MemoryLimit
	if limit <= 0 {
		limit = unknownMemory
	}
	return server.NewRoom(max(leastRoom, limit/roomShare))
}

func subDetail(s server.SubSnapshot) monitor.SubDetail {
	return monitor.SubDetail{Subject: s.Subject, Queue: s.Queue, SID: s.SID, Msgs: int64(s.Msgs), Max: int64(s.Max), CID: s.CID}
}

// tags are the names that are shown of accounts.
func (p pages) tags() map[string]string {
	tags := make(map[string]string)
	for _, a := range p.d.shown.Load().directory.Accounts() {
		tags[a.Name] = cmp.Or(a.Tag, a.Name)
	}
	return tags
}

func (p pages) accstatz(o monitor.AccstatzOptions) *monitor.Accstatz {
	z := &monitor.Accstatz{ServerID: p.d.server.ID(), Now: time.Now().UTC(), Accounts: []monitor.AccountStat{}}
	tags, members, links := p.tags(), p.d.server.Status().Accounts, p.d.leaf.Traffic()
	for _, a := range p.d.broker.Accounts() {
		if _, known := tags[a.Name]; !known {
			continue
		}
		if len(o.Accounts) > 0 && !slices.Contains(o.Accounts, a.Name) || !o.Unused && members[a.Name] == 0 && a.Links == 0 {
			continue
		}
		z.Accounts = append(z.Accounts, accountStat(a, tags[a.Name], members[a.Name], links[a.Name]))
	}
	return z
}

// accountStat is one account's. What its leaf links have moved is part of what the account has.
func accountStat(a broker.AccountSnapshot, tag string, clients int, links leafnode.Traffic) monitor.AccountStat {
	maps.DeleteFunc(a.Drops, func(_ string, n uint64) bool { return n == 0 })
	none := func() *monitor.MsgBytes { return &monitor.MsgBytes{} }
	return monitor.AccountStat{
		Account: a.Name, Name: tag, Connections: clients, LeafNodes: a.Links, TotalConnections: clients + a.Links,
		Subscriptions: uint32(a.Subscriptions),
		Sent:          monitor.DataStats{Msgs: int64(a.OutMsgs), Bytes: int64(a.OutBytes), Gateways: none(), Routes: none(), Leafs: &monitor.MsgBytes{Msgs: int64(links.OutMsgs), Bytes: int64(links.OutBytes)}},
		Received:      monitor.DataStats{Msgs: int64(a.InMsgs), Bytes: int64(a.InBytes), Gateways: none(), Routes: none(), Leafs: &monitor.MsgBytes{Msgs: int64(links.InMsgs), Bytes: int64(links.InBytes)}},
		SlowConsumers: a.SlowPeers,
		Dropped:       a.Drops,
	}
}

func (p pages) routez() *monitor.Routez {
	return &monitor.Routez{ServerID: p.d.server.ID(), ServerName: p.d.server.Name(), Now: time.Now().UTC(), Routes: []struct{}{}}
}

func (p pages) gatewayz() *monitor.Gatewayz {
	return &monitor.Gatewayz{ServerID: p.d.server.ID(), Now: time.Now().UTC(), Outbound: map[string]struct{}{}, Inbound: map[string]struct{}{}}
}

func (p pages) jsz(o monitor.JszOptions) (*monitor.Jsz, error) {
	return o.NoStreams(p.d.server.ID(), time.Now())
}

func (p pages) healthz(o monitor.HealthzOptions) *monitor.Healthz {
	var ready error
	if _, port := p.d.server.Address(); port == 0 {
		ready = errNotListening
	}
	return o.Health(ready)
}
