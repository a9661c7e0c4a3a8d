package server

import (
	"cmp"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

var _ broker.Informant = (*session)(nil)

// ClientInfo implements broker.Informant: it says of this client what nats-server 2.15.2 says. It runs
// where the client's messages are published, so on the connection's owner.
func (s *session) ClientInfo(details bool) broker.ClientInfo {
	i := broker.ClientInfo{RTT: time.Duration(s.rtt) * time.Microsecond, Server: s.door.server.Name()}
	if !details {
		return i
	}
	start := time.Now().Add(-s.age(engine.Now())).UTC()
	i.Start, i.ID, i.Kind, i.ClientType = &start, s.conn.ID(), "Client", "nats"
	if from := s.conn.RemoteAddr(); from.IsValid() {
		i.Host = from.Addr().String()
	}
	i.Account = s.peer.Account().Name()
	if a := s.about; a != nil {
		id := a.identity
		i.User, i.Name, i.Lang, i.Version = cmp.Or(id.User, a.claimed), a.name, a.lang, a.version
		i.JWT, i.IssuerKey, i.NameTag, i.Tags = a.jwt, issuerOf(id), id.Name, id.Tags
	}
	return i
}

// issuerOf is the key that has signed a user. Of a key that is configured it is the account, as in
// nats-server.
func issuerOf(id *auth.Identity) string {
	const keySize = 56
	if id.Issuer == "" && len(id.User) == keySize && id.User[0] == 'U' {
		return cmp.Or(id.Account, broker.GlobalAccount)
	}
	return id.Issuer
}
