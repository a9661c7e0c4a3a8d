package leafnode

import (
	"net"
	"strconv"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// Leaves that join us.

// open begins a conversation with a leaf: we speak first, unless it is TLS that comes first.
func (d *door) open(c *engine.Conn) engine.Session {
	n := d.node
	set := n.settings.Load()
	now := engine.Now()
	k := &link{node: n, door: d, conn: c, started: time.Now(), nonce: newNonce(), greetedAt: now, until: now + int64(set.HandshakeTimeout)}
	k.lastIn.Store(now)
	k.parser = set.parser(0)
	k.acceptor = newAcceptor(d.acceptConfig(set, c.ID(), k.nonce))
	var err error
	if k.isCounted, err = n.turnstile.Enter(c.RemoteAddr().Addr(), set.Limits, now); err != nil {
		k.say(string(k.acceptor.hello()))
		k.close(turnedAway(err))
		return k
	}
	if !n.admit(k) {
		k.close(errShutdown)
		return k
	}
	if set.TLS != nil && set.TLS.First {
		k.isMute = true
	} else {
		k.say(string(k.acceptor.hello()))
	}
	if set.TLS != nil {
		k.isSecuring = true
		c.Secure(set.TLS.Security)
	} else {
		k.arm()
	}
	return k
}

// acceptConfig is what a leaf is told of us.
func (d *door) acceptConfig(set *settings, id uint64, nonce string) acceptConfig {
	c := acceptConfig{
		serverID: set.ServerID, name: set.ServerName, version: set.Version, domain: set.Domain, jetstream: set.JetStream,
		host: d.host, port: d.port, id: id, nonce: nonce, maxPayload: set.MaxPayload,
		urls: []string{d.advertised(set)}, minVersion: set.MinVersion, compression: set.Compression, cluster: set.toldCluster(),
	}
	if set.TLS != nil {
		c.tlsRequired, c.tlsVerify = true, set.TLS.Verify
	}
	return c
}

// toldCluster is what leaves are told of our cluster: nothing while we dial nobody, as by nats-server.
func (set *settings) toldCluster() string {
	if len(set.Remotes) == 0 {
		return ""
	}
	return set.cluster()
}

// advertised is where leaves are told to come back to. Some of them leave at once if they are told
// of no address, so no_advertise tells of the one that they have come to.
func (d *door) advertised(set *settings) string {
	if set.Advertise != "" && !set.NoAdvertise {
		return set.Advertise
	}
	return net.JoinHostPort(d.host, strconv.Itoa(d.port))
}

// parser reads a link. theirs is what the other side says that it takes, 0 if it does not: a message
// that it may send and we do not take is dropped, and not the link.
func (set *settings) parser(theirs int) parser.Parser {
	const most = 64 << 20
	return parser.Parser{
		Dialect: parser.FromLeaf, MaxControlLine: parser.LeafControlLineFactor * max(set.MaxLine, parser.DefaultMaxControlLine),
		MaxPayload: max(set.MaxPayload, min(theirs, most)),
	}
}

// limitsOf is what permissions let a leaf receive and send.
func limitsOf(p *auth.Permissions) (imports, exports limits) {
	if p == nil {
		return limits{}, limits{}
	}
	o := p.Options()
	of := func(s *auth.SubjectOptions) limits {
		if s == nil {
			return limits{}
		}
		return limits{allow: s.Allow, deny: s.Deny, closed: s.Allow != nil}
	}
	return of(o.Subscribe), of(o.Publish)
}

// forEver is so far away that the sum with now is still a time.
const forEver = 100 * 365 * 24 * time.Hour

// bound notes when a leaf's user or its account expires. The closing says that it has. The clock of the
// wall is asked each time: on a small device it may be set long after the start.
func (k *link) bound(set *settings) *closing {
	k.until = 0
	if k.identity == nil {
		return nil
	}
	at := k.identity.Expires
	if a := set.directory.Account(k.identity.Account); a != nil && !a.Expires.IsZero() && (at.IsZero() || a.Expires.Before(at)) {
		at = a.Expires
	}
	if at.IsZero() {
		return nil
	}
	left := at.Sub(set.Clock())
	k.until = engine.Now() + int64(max(0, min(left, forEver)))
	if left > 0 {
		return nil
	}
	return errExpired
}
