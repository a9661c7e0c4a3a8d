package daemon

import (
	"cmp"
	"crypto/x509"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/subject"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// connz lists connections, open ones and those that have ended.
func (p pages) connz(o monitor.ConnzOptions) (*monitor.Connz, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	now := time.Now()
	tags := p.tags()
	if _, known := tags[o.Account]; o.Account != "" && !known {
		// What nats-server answers: no server and no list.
		return &monitor.Connz{Now: now.UTC(), Offset: o.Offset, Limit: o.Limit}, nil
	}
	wanted := map[monitor.ConnState]server.State{monitor.Open: server.Open, monitor.Closed: server.Closed, monitor.All: server.Any}
	clients := p.d.server.Clients(server.Query{
		State: wanted[o.State], Account: o.Account, // open ones, if there is no such state
		Subscriptions: o.Lists(), Certificates: o.Auth, Hears: overlap(o.FilterSubject),
	})
	var rows []*monitor.Connection
	for i := range clients {
		c := &clients[i]
		// Those that have ended are not asked what they have heard.
		if o.Shows(c.ID, c.User, "") && (o.FilterSubject == "" || c.Hears || !c.Stop.IsZero()) {
			rows = append(rows, sortable(c, i, now))
		}
	}
	page := o.Page(p.d.server.ID(), now, len(clients), rows)
	if o.Lists() {
		if err := p.listSubs(clients, page.Connections); err != nil {
			return nil, err
		}
	}
	for _, r := range page.Connections {
		describe(r, &clients[r.Place], &o, tags)
	}
	return page, nil
}

// listSubs fetches the subscriptions of those connections that are on a page, and of no others: there may
// be a million.
func (p pages) listSubs(clients []server.ClientSnapshot, rows []*monitor.Connection) error {
	counts := make(map[uint64]int)
	for _, r := range rows {
		if c := &clients[r.Place]; c.Stop.IsZero() {
			counts[c.ID] = c.Subscriptions
		}
	}
	lists, err := p.d.server.SubsOf(counts, p.room())
	if err != nil {
		return err
	}
	for _, r := range rows {
		if c := &clients[r.Place]; c.Stop.IsZero() {
			c.Subs = lists[c.ID]
		}
	}
	return nil
}

// overlap makes of a filter what a Query asks; nil of none.
func overlap(filter string) func(string) bool {
	if filter == "" {
		return nil
	}
	return func(heard string) bool { return subject.Overlap(filter, heard) }
}

// sortable is a row with what rows are sorted by. The rest costs, and most rows are on no page.
func sortable(c *server.ClientSnapshot, place int, now time.Time) *monitor.Connection {
	until := now
	r := &monitor.Connection{
		CID: c.ID, LastActivity: c.LastActivity.UTC(), Reason: c.Reason, RoundTrip: c.RTT, PendingBytes: c.PendingBytes,
		InMsgs: int64(c.InMsgs), OutMsgs: int64(c.OutMsgs), InBytes: int64(c.InBytes), OutBytes: int64(c.OutBytes),
		Subscriptions: uint32(c.Subscriptions), Place: place,
	}
	if !c.Stop.IsZero() {
		stop := c.Stop.UTC()
		r.Stop, until = &stop, stop
	}
	r.Lasted = until.Sub(c.Start)
	return r
}

// describe adds the rest of a row.
func describe(r *monitor.Connection, c *server.ClientSnapshot, o *monitor.ConnzOptions, tags map[string]string) {
	r.Kind, r.Type, r.IP, r.Port, r.Start = c.Kind, c.Type, c.IP, c.Port, c.Start.UTC()
	r.Name, r.Lang, r.Version = c.Name, c.Lang, c.Version
	r.TLSVersion, r.TLSCipher, r.TLSFirst = c.TLSVersion, c.TLSCipher, c.TLSFirst
	r.RTT, r.Uptime = monitor.RoundTrip(c.RTT), monitor.Duration(r.Lasted)
	r.Idle = monitor.Duration(r.Lasted - c.LastActivity.Sub(c.Start))
	switch {
	case o.Detail:
		r.SubsDetail = make([]monitor.SubDetail, 0, len(c.Subs))
		for _, s := range c.Subs {
			r.SubsDetail = append(r.SubsDetail, subDetail(s))
		}
	case o.Subscriptions:
		r.Subs = make([]string, 0, len(c.Subs))
		for _, s := range c.Subs {
			r.Subs = append(r.Subs, s.Subject)
		}
	}
	if o.Auth {
		r.User, r.IssuerKey, r.Tags = c.User, c.Issuer, c.Tags
		r.NameTag = cmp.Or(tags[c.Account], c.Account)
		if c.Account != broker.GlobalAccount {
			r.Account = c.Account
		}
		r.TLSPeerCerts = peerCerts(c.TLSPeer)
	}
}

// peerCerts shows a client's certificate by its name and fingerprints.
func peerCerts(der []byte) []monitor.PeerCert {
	if len(der) == 0 {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil // it has been parsed before
	}
	return []monitor.PeerCert{{
		Subject: cert.Subject.String(), SPKISHA256: certs.KeyFingerprint(cert), CertSHA256: certs.Fingerprint(cert),
	}}
}
