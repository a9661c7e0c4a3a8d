package monitor

import (
	"fmt"
	"time"
)

// Subsz is the page of subscriptions.
type Subsz struct {
	ServerID string    `json:"server_id"`
	Now      time.Time `json:"now"`
	SubStats
	Total  int         `json:"total"`
	Offset int         `json:"offset"`
	Limit  int         `json:"limit"`
	List   []SubDetail `json:"subscriptions_list,omitempty"`
}

// SubStats is about an index of subscriptions.
type SubStats struct {
	Subscriptions uint32  `json:"num_subscriptions"`
	Cache         uint32  `json:"num_cache"`
	Inserts       uint64  `json:"num_inserts"`
	Removes       uint64  `json:"num_removes"`
	Matches       uint64  `json:"num_matches"`
	HitRate       float64 `json:"cache_hit_rate"`
	MaxFanout     uint32  `json:"max_fanout"`
	AvgFanout     float64 `json:"avg_fanout"`
}

// SubszOptions choose what of Subsz is shown.
type SubszOptions struct {
	Offset        int    `json:"offset"`
	Limit         int    `json:"limit"`
	Subscriptions bool   `json:"subscriptions"`
	Account       string `json:"account,omitempty"`
	Test          string `json:"test,omitempty"` // only what a message to this subject would reach
}

// Check fills in defaults.
func (o *SubszOptions) Check() {
	o.Offset = max(0, o.Offset)
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
}

// BadTest says that the subject to test is none.
func (o *SubszOptions) BadTest() error {
	return fmt.Errorf("invalid test subject, must be valid publish subject: %s", o.Test)
}

// Accountz is the page of accounts, or of one of them.
type Accountz struct {
	ServerID      string       `json:"server_id"`
	Now           time.Time    `json:"now"`
	SystemAccount string       `json:"system_account,omitempty"`
	Accounts      []string     `json:"accounts,omitempty"`
	Detail        *AccountInfo `json:"account_detail,omitempty"`
}

// AccountzOptions choose an account; none is the list of them.
type AccountzOptions struct {
	Account string `json:"account"`
}

// UnknownAccount says that there is no such account.
func UnknownAccount(name string) error { return fmt.Errorf("Account %s does not exist", name) }

// AccountInfo is one account.
type AccountInfo struct {
	Name          string               `json:"account_name"`
	Updated       time.Time            `json:"update_time"`
	IsSystem      bool                 `json:"is_system,omitempty"`
	Expired       bool                 `json:"expired"`
	Complete      bool                 `json:"complete"`
	JetStream     bool                 `json:"jetstream_enabled"`
	LeafNodes     int                  `json:"leafnode_connections"`
	Clients       int                  `json:"client_connections"`
	Subscriptions uint32               `json:"subscriptions"`
	Mappings      map[string][]MapDest `json:"mappings,omitempty"`
	Exports       []Export             `json:"exports,omitempty"`
	Imports       []Import             `json:"imports,omitempty"`
	JWT           string               `json:"jwt,omitempty"`
	IssuerKey     string               `json:"issuer_key,omitempty"`
	NameTag       string               `json:"name_tag,omitempty"`
	Tags          []string             `json:"tags,omitempty"`
	Claims        any                  `json:"decoded_jwt,omitempty"`
	RevokedUsers  map[string]time.Time `json:"revoked_user,omitempty"`
	Sublist       *SubStats            `json:"sublist_stats,omitempty"`
}

// A MapDest is where a mapping leads. Weight is the sum of its own percent and of those before it.
type MapDest struct {
	Subject string `json:"subject"`
	Weight  int    `json:"weight"`
	Cluster string `json:"cluster,omitempty"`
}

// An Export is what an account offers.
type Export struct {
	Subject      string   `json:"subject"`
	Type         string   `json:"type"`
	TokenReq     bool     `json:"token_req,omitempty"`
	ResponseType string   `json:"response_type,omitempty"`
	Latency      *Latency `json:"service_latency,omitempty"`
	Approved     []string `json:"approved_accounts,omitempty"`
}

// An Import is what an account takes.
type Import struct {
	Subject      string   `json:"subject"`
	Account      string   `json:"account"`
	To           string   `json:"to,omitempty"`
	LocalSubject string   `json:"local_subject,omitempty"`
	Type         string   `json:"type"`
	Invalid      bool     `json:"invalid"`
	Share        bool     `json:"share"`
	Tracking     bool     `json:"tracking"`
	Latency      *Latency `json:"latency,omitempty"`
}

// Latency says where measurements of a service go, and of how many requests in a hundred.
type Latency struct {
	Sampling int    `json:"sampling"`
	Results  string `json:"results"`
}

// Accstatz is the page of what accounts do.
type Accstatz struct {
	ServerID string        `json:"server_id"`
	Now      time.Time     `json:"now"`
	Accounts []AccountStat `json:"account_statz"`
}

// AccountStat is what one account does.
type AccountStat struct {
	Account          string    `json:"acc"`
	Name             string    `json:"name"`
	Connections      int       `json:"conns"`
	LeafNodes        int       `json:"leafnodes"`
	TotalConnections int       `json:"total_conns"`
	Subscriptions    uint32    `json:"num_subscriptions"`
	Sent             DataStats `json:"sent"`
	Received         DataStats `json:"received"`
	SlowConsumers    int64     `json:"slow_consumers"`

	// Messages that somebody did not get, by reason, where there are any. nats-server has no such thing.
	Dropped map[string]uint64 `json:"dropped_msgs,omitempty"`
}

// DataStats counts messages and their bytes, and how many of them went over links.
type DataStats struct {
	Msgs     int64     `json:"msgs"`
	Bytes    int64     `json:"bytes"`
	Gateways *MsgBytes `json:"gateways,omitempty"`
	Routes   *MsgBytes `json:"routes,omitempty"`
	Leafs    *MsgBytes `json:"leafs,omitempty"`
}

// MsgBytes counts messages and their bytes.
type MsgBytes struct {
	Msgs  int64 `json:"msgs"`
	Bytes int64 `json:"bytes"`
}

// AccstatzOptions choose accounts; none is all that have connections.
type AccstatzOptions struct {
	Accounts []string `json:"accounts"`
	Unused   bool     `json:"include_unused"`
}

// Routez is the page of routes, of which there are none: this server has no clusters.
type Routez struct {
	ServerID   string     `json:"server_id"`
	ServerName string     `json:"server_name"`
	Now        time.Time  `json:"now"`
	Count      int        `json:"num_routes"`
	Routes     []struct{} `json:"routes"`
}

// Gatewayz is the page of gateways, of which there are none.
type Gatewayz struct {
	ServerID string              `json:"server_id"`
	Now      time.Time           `json:"now"`
	Outbound map[string]struct{} `json:"outbound_gateways"`
	Inbound  map[string]struct{} `json:"inbound_gateways"`
}

// Leafz is the page of leaf links.
type Leafz struct {
	ServerID string    `json:"server_id"`
	Now      time.Time `json:"now"`
	Count    int       `json:"leafnodes"`
	Leafs    []Leaf    `json:"leafs"`

	// Remotes are the hubs to be joined, whether they are or not: edgebus' own.
	Remotes []LeafRemote `json:"remotes,omitempty"`

	// Messages that did not cross: too large for the other side, waiting when a link was cut, or sent and
	// without a receipt then, so that nobody knows. edgebus' own.
	TooBig          uint64 `json:"too_big_msgs,omitempty"`
	LostWaiting     uint64 `json:"lost_waiting_msgs,omitempty"`
	LostUnconfirmed uint64 `json:"lost_unconfirmed_msgs,omitempty"`
}

// A Leaf is one link.
type Leaf struct {
	ID            uint64   `json:"id"`
	Name          string   `json:"name"`
	IsSpoke       bool     `json:"is_spoke"`
	IsIsolated    bool     `json:"is_isolated,omitempty"`
	Account       string   `json:"account"`
	IP            string   `json:"ip"`
	Port          int      `json:"port"`
	RTT           string   `json:"rtt,omitempty"`
	InMsgs        int64    `json:"in_msgs"`
	OutMsgs       int64    `json:"out_msgs"`
	InBytes       int64    `json:"in_bytes"`
	OutBytes      int64    `json:"out_bytes"`
	Subscriptions uint32   `json:"subscriptions"`
	Subs          []string `json:"subscriptions_list,omitempty"`
	Compression   string   `json:"compression,omitempty"`
	WebSocket     bool     `json:"websocket,omitempty"`

	Link *LeafLink `json:"link,omitempty"`
}

// A LeafLink is what edgebus knows of a link besides: bytes are on the wire unless it says otherwise.
type LeafLink struct {
	Solicited        bool   `json:"solicited"`
	TheirAccount     string `json:"their_account,omitempty"`
	Uptime           string `json:"uptime"`
	Announced        int    `json:"announced"` // subjects that the other side was told we want
	WaitingMsgs      int    `json:"waiting_msgs"`
	WaitingBytes     int    `json:"waiting_bytes"`
	UnconfirmedMsgs  int    `json:"unconfirmed_msgs"` // sent, and no receipt has come for them
	UnconfirmedBytes int    `json:"unconfirmed_bytes"`
	Window           int    `json:"window"` // bytes that may be unconfirmed
	ReceiptAge       string `json:"receipt_age,omitempty"`
	LastIn           string `json:"last_in"`
	Dropped          uint64 `json:"dropped_msgs"`           // the oldest, because too many waited
	RawIn            uint64 `json:"raw_in_bytes,omitempty"` // before compression
	WireIn           uint64 `json:"wire_in_bytes,omitempty"`
	RawOut           uint64 `json:"raw_out_bytes,omitempty"`
	WireOut          uint64 `json:"wire_out_bytes,omitempty"`
}

// A LeafRemote is a hub to be joined.
type LeafRemote struct {
	URL      string     `json:"url"`
	Account  string     `json:"account"`
	Up       bool       `json:"up"`
	Since    time.Time  `json:"since"`
	Attempts int        `json:"attempts,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Remedy   string     `json:"remedy,omitempty"`
	RetryAt  *time.Time `json:"retry_at,omitempty"`
}

// LeafzOptions choose links.
type LeafzOptions struct {
	Subscriptions bool   `json:"subscriptions"`
	Account       string `json:"account"`
}

// Jsz is the page of streams where there are none.
type Jsz struct {
	Memory          uint64    `json:"memory"`
	Storage         uint64    `json:"storage"`
	ReservedMemory  uint64    `json:"reserved_memory"`
	ReservedStorage uint64    `json:"reserved_storage"`
	Accounts        int       `json:"accounts"`
	HAAssets        int       `json:"ha_assets"`
	API             JszAPI    `json:"api"`
	ServerID        string    `json:"server_id"`
	Now             time.Time `json:"now"`
	Disabled        bool      `json:"disabled,omitempty"`
	Config          JszConfig `json:"config"`
	Streams         int       `json:"streams"`
	Consumers       int       `json:"consumers"`
	Messages        uint64    `json:"messages"`
	Bytes           uint64    `json:"bytes"`
	Total           int       `json:"total"`
}

// JszAPI counts requests about streams.
type JszAPI struct {
	Level  int    `json:"level"`
	Total  uint64 `json:"total"`
	Errors uint64 `json:"errors"`
}

// JszConfig is what streams may use.
type JszConfig struct {
	MaxMemory  int64 `json:"max_memory"`
	MaxStorage int64 `json:"max_storage"`
}

// JszOptions are read for their mistakes; there is nothing to choose from yet.
type JszOptions struct {
	Account    string `json:"account,omitempty"`
	LeaderOnly bool   `json:"leader_only,omitempty"`
}

// NoStreams is Jsz of a server without them. It does not answer who asks for leaders only.
func (o JszOptions) NoStreams(serverID string, now time.Time) (*Jsz, error) {
	if o.LeaderOnly {
		return nil, errNotLeader
	}
	return &Jsz{ServerID: serverID, Now: now.UTC(), Disabled: true}, nil
}

// Healthz says whether the server works.
type Healthz struct {
	Status string        `json:"status"`
	Code   int           `json:"status_code,omitempty"` // of HTTP, where it is not HTTP that says it
	Error  string        `json:"error,omitempty"`
	Errors []HealthError `json:"errors,omitempty"`
}

// A HealthError is one thing that is wrong.
type HealthError struct {
	Type  string `json:"type"`
	Error string `json:"error,omitempty"`
}

// HealthzOptions choose what is looked at.
type HealthzOptions struct {
	Account  string `json:"account,omitempty"`
	Stream   string `json:"stream,omitempty"`
	Consumer string `json:"consumer,omitempty"`
	Details  bool   `json:"details,omitempty"`
}

// Health makes the answer. ready says why the server does not take connections; nil: it does.
func (o HealthzOptions) Health(ready error) *Healthz {
	const badRequest, broken = 400, 500
	switch {
	case o.Account == "" && o.Stream != "":
		return o.ill(badRequest, "BAD_REQUEST", `"account" must not be empty when checking stream health`)
	case o.Stream == "" && o.Consumer != "":
		return o.ill(badRequest, "BAD_REQUEST", `"stream" must not be empty when checking consumer health`)
	case ready != nil:
		return o.ill(broken, "CONNECTION", ready.Error())
	}
	return &Healthz{Status: "ok", Code: 200}
}

func (o HealthzOptions) ill(code int, kind, text string) *Healthz {
	h := &Healthz{Status: "error", Code: code}
	if o.Details {
		h.Errors = []HealthError{{Type: kind, Error: text}}
	} else {
		h.Error = text
	}
	return h
}
