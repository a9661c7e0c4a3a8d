package leafnode

import (
	"net/netip"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// A Snapshot is what there is to show of a Node.
type Snapshot struct {
	Links   []LinkSnapshot
	Remotes []RemoteSnapshot
	TooBig  uint64 // messages that were larger than the other side takes

	// Of links that were cut: messages that waited, and those that no receipt had come for. They may
	// have arrived or not.
	LostWaiting, LostUnconfirmed uint64
}

// A LinkSnapshot is one link that is up. Counts are since then.
type LinkSnapshot struct {
	ID                                 uint64
	Name                               string // of the other side
	Account                            string // ours
	TheirAccount                       string
	Spoke                              bool // we are the spoke, the other side our hub
	Isolated                           bool
	Solicited                          bool // we have dialled
	Remote                             netip.AddrPort
	Start                              time.Time
	RTT                                time.Duration
	InMsgs, OutMsgs, InBytes, OutBytes uint64 // of payloads and headers

	Subscriptions int           // of the other side
	Subs          []SubSnapshot // these, if asked for
	Announced     int           // of ours, that the other side was told of

	Compression      string
	RawIn, WireIn    uint64 // bytes, where there is compression
	RawOut, WireOut  uint64
	WaitingMsgs      int // that have not been sent
	WaitingBytes     int
	UnconfirmedMsgs  int // that have been, and no receipt has come for
	UnconfirmedBytes int
	Window           int           // bytes that may be unconfirmed
	ReceiptAge       time.Duration // since the last; -1: there was none
	Dropped          uint64        // because they would have waited too long
	LastIn           time.Duration // ago
}

// A SubSnapshot is something that the other side of a link wants.
type SubSnapshot struct {
	Subject, Queue string
	Msgs           uint64
}

// A RemoteSnapshot is one hub that we want to be joined with.
type RemoteSnapshot struct {
	URL      string // that is or was tried last, without secrets
	Account  string
	Up       bool
	Since    time.Time
	Attempts int    // since it was up
	Reason   string // why it is down
	Remedy   string
	RetryAt  time.Time
}

// Snapshot implements what the daemon expects of every adapter.
func (n *Node) Snapshot() any { return n.Links(false) }

// Links is what there is to show; with subjects it has those that the other sides have subscribed to.
func (n *Node) Links(subjects bool) Snapshot {
	s := Snapshot{TooBig: n.tooBig.Load(), LostWaiting: n.lostWaiting.Load(), LostUnconfirmed: n.lostFlying.Load()}
	for _, k := range n.all() {
		if shown, ok := k.snapshot(subjects); ok {
			s.Links = append(s.Links, shown)
		}
	}
	n.mu.Lock()
	remotes := append([]*remote(nil), n.remotes...)
	n.mu.Unlock()
	for _, r := range remotes {
		r.mu.Lock()
		t := &r.state
		s.Remotes = append(s.Remotes, RemoteSnapshot{
			URL: t.url, Account: r.options.account(), Up: t.up, Since: t.since, Attempts: t.attempts, Reason: t.reason, Remedy: t.remedy, RetryAt: t.retryAt,
		})
		r.mu.Unlock()
	}
	return s
}

// EachSub calls f for everything that the other sides of links want, with the link's number and account,
// one link after the other. f must neither wait nor call back.
func (n *Node) EachSub(f func(link uint64, account string, sub *broker.Sub)) {
	for _, k := range n.all() {
		if s, ok := k.counts(); ok {
			k.peer.Subs(func(sub *broker.Sub) { f(s.ID, s.Account, sub) })
		}
	}
}

// ShownURLs are URLs of hubs without secrets.
func ShownURLs(texts []string) []string {
	shown := make([]string, 0, len(texts))
	for _, text := range texts {
		if u, err := parseURL(text, defaultPort); err == nil {
			shown = append(shown, hideSecrets(u))
		}
	}
	return shown
}

// Counts are how many links there are, for pages that need no more.
func (n *Node) Counts() (links, remotes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k := range n.links {
		if k.isUp() {
			links++
		}
	}
	return links, len(n.remotes)
}

func (k *link) isUp() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.up && !k.over
}

func (k *link) snapshot(subjects bool) (s LinkSnapshot, ok bool) {
	if s, ok = k.counts(); !ok || !subjects {
		return s, ok
	}
	// Without the link's lock: there may be a hundred thousand.
	s.Subs = make([]SubSnapshot, 0, s.Subscriptions)
	k.peer.Subs(func(sub *broker.Sub) {
		s.Subs = append(s.Subs, SubSnapshot{Subject: sub.Subject(), Queue: sub.Queue(), Msgs: sub.Delivered()})
	})
	return s, true
}

func (k *link) counts() (s LinkSnapshot, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.up || k.over {
		return s, false
	}
	f := &k.facts
	now := engine.Now()
	s = LinkSnapshot{
		ID: k.conn.ID(), Name: f.name, Account: f.account, TheirAccount: f.theirs, Spoke: f.hub, Isolated: f.isolated, Solicited: k.remote != nil,
		Remote: k.conn.RemoteAddr(), Start: k.started, RTT: k.rtt,
		InMsgs: k.inMsgs.Load(), InBytes: k.inBytes.Load(), OutMsgs: k.outMsgs, OutBytes: k.outBytes,
		Subscriptions: int(k.subscriptions.Load()), Announced: k.member.told(), Compression: f.mode.String(),
		WaitingMsgs: k.queue.msgs, WaitingBytes: k.queue.bytes, Window: k.receipts.size(), Dropped: k.dropped, ReceiptAge: -1,
		LastIn: time.Duration(now - k.lastIn.Load()),
	}
	if k.packs {
		s.Compression = k.level.mode.String()
		s.RawOut, s.WireOut = k.encoder.raw, k.encoder.wire
		s.RawIn, s.WireIn = k.rawIn.Load(), k.wireIn.Load()
	}
	s.UnconfirmedBytes, s.UnconfirmedMsgs = k.receipts.inFlight()
	if at, known := k.receipts.last(); known {
		s.ReceiptAge = time.Duration(now - at)
	}
	return s, true
}
