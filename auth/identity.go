package auth

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"slices"
	"time"
)

// GlobalAccount is where users without an account of their own belong.
const GlobalAccount = "$G"

// Identity is who a peer is. It never changes once made.
type Identity struct {
	User    string       // a user's name, or the public key of an nkey or JWT user; empty: nobody in particular
	Account string       // its name; in operator mode the account's public key
	Perms   *Permissions // nil: everything is allowed
	Name    string       // a JWT's name claim, if any
	Issuer  string       // JWT: who signed, an account or one of its signing keys
	Tags    []string     // JWT
	Expires time.Time    // zero: never
	Limits  UserLimits   // the zero value: none
	Types   []string     // connection types that are allowed, such as Standard; nil: all

	entry  *entry      // whom the configuration has of this name; nil: none
	claims *userClaims // operator mode and callouts: what this was made of
}

// UserLimits are bounds of one user's connections. 0 is none.
type UserLimits struct {
	MaxSubscriptions int64
	MaxPayload       int64
}

// Credentials is what a client brought along, and what is known of its connection. Empty fields
// were not given.
type Credentials struct {
	User, Password string
	Token          string

	NKey, Signature string // the public key, and the signature of Nonce in base64, URL-safe or not
	JWT             string

	Nonce  string               // as it was shown in INFO
	Type   string               // connection type; empty: Standard
	Remote netip.Addr           // where it connects from
	TLS    *tls.ConnectionState // nil: not encrypted

	// What a client says of itself, and its connection's number, for callouts and events.
	Name, Lang, Version string
	Protocol            int
	ID                  uint64
}

// Connection types, as they stand in allowed_connection_types.
const (
	Standard   = "STANDARD"
	WebSocket  = "WEBSOCKET"
	LeafNode   = "LEAFNODE"
	LeafNodeWS = "LEAFNODE_WS"
	MQTT       = "MQTT"
	MQTTWS     = "MQTT_WS"
	InProcess  = "IN_PROCESS"
)

// allTypes are all connection types.
func allTypes() []string {
	return []string{Standard, WebSocket, LeafNode, LeafNodeWS, MQTT, MQTTWS, InProcess}
}

// none reports whether a client has brought nothing to say who it is.
func (c *Credentials) none() bool {
	return c.User == "" && c.Password == "" && c.Token == "" && c.NKey == "" && c.Signature == "" && c.JWT == ""
}

// Admits reports whether the identity may be used over a connection of that type; empty is Standard.
func (id *Identity) Admits(connectionType string) bool {
	return id.Types == nil || slices.Contains(id.Types, cmp.Or(connectionType, Standard))
}
