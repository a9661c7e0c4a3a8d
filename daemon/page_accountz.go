package daemon

import (
	"cmp"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/monitor"
)

func (p pages) accountz(o monitor.AccountzOptions) (*monitor.Accountz, error) {
	directory := p.d.shown.Load().directory
	z := &monitor.Accountz{ServerID: p.d.server.ID(), Now: time.Now().UTC(), SystemAccount: directory.SystemAccount()}
	if o.Account != "" {
		var err error
		z.Detail, err = p.account(o.Account)
		if err != nil {
			return nil, err
		}
		return z, nil
	}
	z.Accounts = []string{}
	for _, a := range directory.Accounts() {
		z.Accounts = append(z.Accounts, a.Name)
	}
	return z, nil
}

// account shows one account: what is configured, and what there is of it.
func (p pages) account(name string) (*monitor.AccountInfo, error) {
	set := p.d.shown.Load()
	a := set.directory.Account(name)
	if a == nil {
		return nil, monitor.UnknownAccount(name)
	}
	lives := p.d.broker.Account(name)
	if rules := lives.Rules(); rules != nil {
		a = rules // with what every account has
	}
	now := lives.Snapshot()
	return &monitor.AccountInfo{
		Name: name, Updated: set.loaded.UTC(), IsSystem: name == set.directory.SystemAccount(),
		Expired: !a.Expires.IsZero() && a.Expires.Before(time.Now()), Complete: true,
		LeafNodes: now.Links, Clients: p.d.server.Connections(name), Subscriptions: uint32(now.Subscriptions),
		Mappings: shownMappings(a.Mappings), Exports: shownExports(a.Exports), Imports: shownImports(a.Imports),
		NameTag: cmp.Or(a.Tag, name),
		Sublist: &monitor.SubStats{Subscriptions: uint32(now.Subscriptions), Inserts: uint64(now.Subscriptions)},
	}, nil
}

// shownMappings adds weights up as nats-server shows them: lighter ones first, and what is left over
// goes to the source itself.
func shownMappings(mappings []auth.Mapping) map[string][]monitor.MapDest {
	list := make(map[string][]monitor.MapDest)
	for _, m := range mappings {
		byCluster := make(map[string][]auth.Destination)
		for _, d := range m.Destinations {
			byCluster[d.Cluster] = append(byCluster[d.Cluster], d)
		}
		for cluster, destinations := range byCluster {
			sum := 0
			for _, d := range destinations {
				sum += d.Weight
			}
			named := slices.ContainsFunc(destinations, func(d auth.Destination) bool { return d.Subject == m.Source })
			if sum < wholeWeight && !named {
				destinations = append(destinations, auth.Destination{Subject: m.Source, Weight: wholeWeight - sum})
			}
			slices.SortStableFunc(destinations, func(x, y auth.Destination) int { return cmp.Compare(x.Weight, y.Weight) })
			sum = 0
			for _, d := range destinations {
				sum += d.Weight
				list[m.Source] = append(list[m.Source], monitor.MapDest{Subject: d.Subject, Weight: sum, Cluster: cluster})
			}
		}
	}
	return list
}

const wholeWeight = 100 // percent

const (
	typeService = "service"
	typeStream  = "stream"
)

func shownExports(exports []auth.Export) (list []monitor.Export) {
	for _, e := range exports {
		one := monitor.Export{Subject: e.Subject, Type: typeStream, Approved: e.Accounts}
		if e.Service {
			one.Type, one.Latency = typeService, shownLatency(e.Latency)
			one.ResponseType = e.Response.String()
			if e.Response == auth.Stream {
				one.ResponseType = "Streamed" // the word of JWTs
			}
		}
		list = append(list, one)
	}
	return list
}

func shownImports(imports []auth.Import) (list []monitor.Import) {
	for _, i := range imports {
		one := monitor.Import{Subject: i.Subject, Account: i.From, LocalSubject: i.To, Type: typeStream}
		if i.Service {
			one.Type, one.To, one.Share = typeService, i.To, i.Share
		}
		list = append(list, one)
	}
	return list
}

func shownLatency(l *auth.Latency) *monitor.Latency {
	if l == nil {
		return nil
	}
	return &monitor.Latency{Sampling: l.Sampling, Results: l.Subject}
}

// accountOf is the statistics of one account, and how many connections they are about.
func (p pages) accountOf(name string) (stat any, connections int) {
	if p.d.shown.Load().directory.Account(name) == nil && name != broker.GlobalAccount {
		return nil, 0
	}
	s := accountStat(p.d.broker.Account(name).Snapshot(), p.d.accountTag(name), p.d.server.Connections(name), p.d.leaf.Traffic()[name])
	return s, s.TotalConnections
}
