package daemon

import (
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/system"
)

// leafEvents passes what happens to leaf links on to whoever is the system account now. What nats-server says
// on $SYS.ACCOUNT.<account>.LEAFNODE.CONNECT is for gateways only, which there are none of.
type leafEvents struct{ d *Daemon }

var _ leafnode.Events = leafEvents{}

func (e leafEvents) Joined(l leafnode.LinkEvent) {
	s := e.d.system.Load()
	switch {
	case s == nil:
	case !l.Solicited && e.d.shown.Load().options.Leaf.Auth.hasUsers():
		s.Counted(l.Account) // nats-server tells of its accounts' users only
	default:
		s.Connected(e.client(&l))
	}
}

func (e leafEvents) Left(l leafnode.LinkEvent) {
	if s := e.d.system.Load(); s != nil {
		s.Disconnected(e.end(&l))
	}
}

func (e leafEvents) Refused(l leafnode.LinkEvent) {
	if s := e.d.system.Load(); s != nil {
		end := e.end(&l)
		end.Client.Account, end.Client.NameTag = "N/A", "" // of clients it is the global account, in nats-server too
		s.AuthFailed(end)
	}
}

func (e leafEvents) client(l *leafnode.LinkEvent) system.Client {
	c := system.Client{
		Start: l.Start.UTC(), ID: l.ID, Account: l.Account, User: l.User, Name: l.Name, Version: l.Version,
		IssuerKey: l.Issuer, NameTag: e.d.accountTag(l.Account), Tags: l.Tags, Kind: "Leafnode",
	}
	if l.Remote.IsValid() {
		c.Host = l.Remote.Addr().String()
	}
	return c
}

func (e leafEvents) end(l *leafnode.LinkEvent) system.End {
	c := e.client(l)
	c.RTT, c.Stop = l.RTT, l.Stop.UTC()
	return system.End{
		Client: c, Reason: l.Reason, Sent: system.Traffic{Msgs: l.Traffic.InMsgs, Bytes: l.Traffic.InBytes},
		Received: system.Traffic{Msgs: l.Traffic.OutMsgs, Bytes: l.Traffic.OutBytes},
	}
}
