package auth

import "time"

// SystemAccount is the name of the system account unless another one is configured.
const SystemAccount = "$SYS"

// An Account is what is configured of one account. It never changes once made.
type Account struct {
	Name     string // in operator mode the public key
	Tag      string // operator mode: the name claim
	NKey     string // the public key that a configured account may have
	Imports  []Import
	Exports  []Export
	Mappings []Mapping
	Limits   AccountLimits
	System   bool
	Expires  time.Time // zero: never
}

// An Import is what an account takes from another one.
type Import struct {
	Service bool
	From    string // the exporter's name
	Subject string // in the exporter's name space
	To      string // in the importer's name space; may hold wildcards, and $1 where nats-server takes it

	Share      bool // services: the request's header shows more of the requester
	AllowTrace bool // streams
}

// An Export is what an account offers to others.
type Export struct {
	Service  bool
	Subject  string
	Accounts []string // who may import; nil: everybody

	// TokenPosition is the place of the token that holds the importer's name, counted from 1 on;
	// 0: there is none.
	TokenPosition int

	// Services.
	Response   ResponseType
	Threshold  time.Duration // how long an answer may take; 0: the default of 2 minutes
	AllowTrace bool
	Latency    *Latency // nil: not measured
}

// Latency says where measurements of a service go, and of how many requests in a hundred.
type Latency struct {
	Subject  string
	Sampling int // 0: of requests with a tracing header
}

// A ResponseType says how many messages answer a request to a service.
type ResponseType uint8

const (
	Singleton ResponseType = iota // one
	Stream                        // many, with an empty one at the end
	Chunked                       // one in pieces, with an empty one at the end
)

func (r ResponseType) String() string {
	switch r {
	case Stream:
		return "Stream"
	case Chunked:
		return "Chunked"
	}
	return "Singleton"
}

// A Mapping gives what is published to Source other subjects, by weight. Where the weights, of those
// without a cluster or of one cluster, are below 100 in all, the rest is as it was; unless Source is
// among the destinations itself, then the rest is lost.
type Mapping struct {
	Source       string
	Destinations []Destination
}

// A Destination is one of the subjects of a mapping.
type Destination struct {
	Subject string
	Weight  int    // in percent
	Cluster string // not empty: only on servers of that cluster
}

// AccountLimits are bounds of an account. 0 is no limit, negative allows none.
type AccountLimits struct {
	MaxConnections   int64 // of clients and leaf nodes together
	MaxLeafNodes     int64
	MaxSubscriptions int64 // of each connection, as in nats-server
	MaxPayload       int64 // of each message
}
