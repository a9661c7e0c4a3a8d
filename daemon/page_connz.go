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
	total := 0
	var rows []*monitor.Connection
	clients := p.d.server.Clients(server.Query{
		State: wanted[o.State], Account: o.Account, // open ones, if there is no such state
		Subscriptions: o.Subscriptions || o.Detail || o.FilterSubject != "", Certificates: o.Auth,
	})
	for i := range clients {
		c := &clients[i]
		total++
		if !o.Shows(c.ID, c.User, "") || !hears(c, o.FilterSubject) {
			continue
		}
		rows = append(rows, connection(c, now, &o, tags))
	}
	return o.Page(p.d.server.ID(), now, total, rows), nil
}

// hears reports whether a client has a subscription that overlaps a filter. Those that have ended
// are not asked.
func hears(c *server.ClientSnapshot, filter string) bool {
	if filter == "" || !c.Stop.IsZero() {
		return true
	}
	for _, s := range c.Subs {
		if subject.Overlap(filter, s.Subject) {
			return true
		}
	}
	return false
}

// connection makes a row.
func connection(c *server.ClientSnapshot, now time.Time, o *monitor.ConnzOptions, tags map[string]string) *monitor.Connection {
	until := now
	r := &monitor.Connection{
		CID: c.ID, Kind: c.Kind, Type: c.Type, IP: c.IP, Port: c.Port, Start: c.Start.UTC(), LastActivity: c.LastActivity.UTC(),
		Reason: c.Reason, RTT: monitor.RoundTrip(c.RTT), RoundTrip: c.RTT, PendingBytes: c.PendingBytes,
		InMsgs: int64(c.InMsgs), OutMsgs: int64(c.OutMsgs), InBytes: int64(c.InBytes), OutBytes: int64(c.OutBytes),
		Subscriptions: uint32(c.Subscriptions), Name: c.Name, Lang: c.Lang, Version: c.Version,
		TLSVersion: c.TLSVersion, TLSCipher: c.TLSCipher, TLSFirst: c.TLSFirst,
	}
	if !c.Stop.IsZero() {
		stop := c.Stop.UTC()
		r.Stop, until = &stop, stop
	}
	r.Lasted = until.Sub(c.Start)
	r.Uptime, r.Idle = monitor.Duration(r.Lasted), monitor.Duration(until.Sub(c.LastActivity))
	if o.Detail || o.Subscriptions {
		for _, s := range c.Subs {
			if o.Detail {
				r.SubsDetail = append(r.SubsDetail, subDetail(s))
			} else {
				r.Subs = append(r.Subs, s.Subject)
			}
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
	return r
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
