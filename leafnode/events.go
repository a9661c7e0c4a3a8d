package leafnode

import (
	"maps"
	"net/netip"
	"time"
)

// Events is who wants to know of links that come and go, such as those who publish the server's own events.
// The methods may be called on a link's owner, so they must not wait for anything.
type Events interface {
	// Joined: a link is up, whoever has dialled.
	Joined(e LinkEvent)
	// Left: a link has ended that was up, or whose user we knew before it was refused. Stop and Reason are set.
	Left(e LinkEvent)
	// Refused: a leaf is about to be closed for its credentials. Reason is set.
	Refused(e LinkEvent)
}

// A LinkEvent is what there is to say of a link that comes or goes.
type LinkEvent struct {
	ID          uint64
	Remote      netip.AddrPort
	Solicited   bool // we have dialled
	Start, Stop time.Time
	Account     string // ours
	Name        string // of a leaf
	Version     string
	User        string // of a leaf; who was refused is who it says it is
	Issuer      string // who signed a leaf's JWT
	Tags        []string
	RTT         time.Duration
	Traffic     Traffic
	Reason      string
}

// Traffic counts messages, and the bytes of their headers and payloads.
type Traffic struct{ InMsgs, InBytes, OutMsgs, OutBytes uint64 }

func (t *Traffic) add(more Traffic) {
	t.InMsgs += more.InMsgs
	t.InBytes += more.InBytes
	t.OutMsgs += more.OutMsgs
	t.OutBytes += more.OutBytes
}

// Traffic is what links have carried since the Node was made, by our account.
func (n *Node) Traffic() map[string]Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := maps.Clone(n.past)
	for k := range n.links {
		if t, ok := k.traffic(); ok {
			t.add(all[k.facts.account])
			all[k.facts.account] = t
		}
	}
	return all
}

// keepLocked remembers what a link has carried that has ended. Accounts are as many as are configured.
func (n *Node) keepLocked(k *link) {
	if t, ok := k.traffic(); ok {
		t.add(n.past[k.facts.account])
		n.past[k.facts.account] = t
	}
}

// traffic is what a link has carried, if it was ever up.
func (k *link) traffic() (t Traffic, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Traffic{k.inMsgs.Load(), k.inBytes.Load(), k.outMsgs, k.outBytes}, k.up
}

// event is what there is to say of a link now.
func (k *link) event() LinkEvent {
	e := LinkEvent{ID: k.conn.ID(), Remote: k.conn.RemoteAddr(), Solicited: k.remote != nil, Start: k.started, Account: k.facts.account}
	e.Traffic, _ = k.traffic()
	k.mu.Lock()
	e.RTT = k.rtt
	k.mu.Unlock()
	if k.door != nil {
		e.Name, e.Version = k.facts.name, k.facts.version
	}
	if id := k.identity; id != nil {
		e.User, e.Issuer, e.Tags = id.User, id.Issuer, id.Tags
	}
	return e
}
