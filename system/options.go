package system

import (
	"crypto/rand"
	"log/slog"
	"time"
)

// Options say what there is to tell. All functions are called from goroutines of this package.
type Options struct {
	// Account is the system account.
	Account string

	// Info is what every answer and event says of the server. It is asked each time, since a reload
	// may change it.
	Info func() Info

	// Pages answer $SYS.REQ.SERVER.PING.NAME and $SYS.REQ.SERVER.<id>.NAME, by that name. What they
	// return is shown as JSON under "data". body is what was asked with, mostly empty.
	Pages map[string]func(body []byte) (any, error)

	// AccountPages answer $SYS.REQ.ACCOUNT.<account>.NAME.
	AccountPages map[string]func(account string, body []byte) (any, error)

	// PingStatz answers $SYS.REQ.ACCOUNT.PING.STATZ in the system account.
	PingStatz func(body []byte) (any, error)

	// Commands answer $SYS.REQ.SERVER.<id>.NAME and nothing else, each on a goroutine of its own and
	// one at a time, so that they may take seconds.
	Commands map[string]func(body []byte) (any, error)

	// UserInfo answers $SYS.REQ.USER.INFO. Nil: nobody does.
	UserInfo func(Requester) (any, error)

	// Claims serve the store of account JWTs. Nil: there is none.
	Claims *Claims

	// Stats is how the server is, for STATSZ.
	Stats func() any

	// AccountStat is what an account does, as an object, and how many connections it has. Connected
	// lists the accounts that have some. Nil: none of it is announced.
	AccountStat func(account string) (stat any, connections int)
	Connected   func() []string

	// Now and NewID are for tests. Nil: the clock, and random ones.
	Now   func() time.Time
	NewID func() string

	// Logger gets what goes wrong. Nil: nobody.
	Logger *slog.Logger
}

// Claims is a store of account JWTs. It may wait for a disk.
type Claims struct {
	Subjects []string // on which requests come, some with wildcards
	// Answer answers a request that has come on one of them, each message of the answer by a call of reply.
	Answer func(subject string, body []byte, reply func(ClaimsReply))
}

// A ClaimsReply is one message of an answer: Data or Error in the usual envelope, or Raw as it stands.
type ClaimsReply struct {
	Data, Error any
	Raw         []byte
}

// Info is what is said of the server.
type Info struct {
	Name         string            `json:"name"`
	Host         string            `json:"host"`
	ID           string            `json:"id"`
	Cluster      string            `json:"cluster,omitempty"`
	Domain       string            `json:"domain,omitempty"`
	Version      string            `json:"ver"`
	Tags         []string          `json:"tags,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	FeatureFlags map[string]bool   `json:"feature_flags,omitempty"`
	JetStream    bool              `json:"jetstream"`
	Flags        uint64            `json:"flags"`
}

// A Requester is who has asked by an import that shares: the broker has written it into the request.
type Requester struct {
	Account string `json:"acc"`
	Service string `json:"svc"`
	User    string `json:"user"`
	ID      uint64 `json:"id"` // of the connection
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// newID makes an id in nats-server's form: 22 letters and digits.
func newID() string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var id [22]byte
	rand.Read(id[:])
	for i := range id {
		id[i] = letters[int(id[i])%len(letters)]
	}
	return string(id[:])
}

// An ImportedService is a service of the system account that every other account imports.
type ImportedService struct {
	Subject string // in the system account
	To      string // in the other one
	Share   bool   // the request says who asks
}

// Imports are what the users of an account can ask of the server. They are nats-server's.
func Imports(account string) []ImportedService {
	connz, statz := "$SYS.REQ.ACCOUNT."+account+".CONNZ", "$SYS.REQ.ACCOUNT."+account+".STATZ"
	return []ImportedService{
		{Subject: connz, To: "$SYS.REQ.ACCOUNT.PING.CONNZ"},
		{Subject: connz, To: "$SYS.REQ.SERVER.PING.CONNZ"},
		{Subject: statz, To: "$SYS.REQ.ACCOUNT.PING.STATZ"},
		{Subject: "$SYS.REQ.USER." + account + ".INFO", To: "$SYS.REQ.USER.INFO", Share: true},
	}
}

// An ExportedService is what the system account offers so that Imports work. The token at
// TokenPosition, counted from 1 on, must be the importer's name.
type ExportedService struct {
	Subject       string
	TokenPosition int
	Many          bool // answers may be many
}

// Exports are what the system account offers.
func Exports() []ExportedService {
	return []ExportedService{
		{Subject: "$SYS.REQ.ACCOUNT.*.CONNZ", TokenPosition: 4, Many: true},
		{Subject: "$SYS.REQ.ACCOUNT.*.STATZ", TokenPosition: 4, Many: true},
		{Subject: "$SYS.DEBUG.SUBSCRIBERS"},
		{Subject: "$SYS.REQ.USER.*.INFO"},
	}
}
