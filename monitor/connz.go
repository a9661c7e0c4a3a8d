package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Connz is the page of connections.
type Connz struct {
	ServerID    string        `json:"server_id"`
	Now         time.Time     `json:"now"`
	Count       int           `json:"num_connections"` // on this page
	Total       int           `json:"total"`
	Offset      int           `json:"offset"`
	Limit       int           `json:"limit"`
	Connections []*Connection `json:"connections"`
}

// A Connection is one row of Connz.
type Connection struct {
	CID           uint64      `json:"cid"`
	Kind          string      `json:"kind,omitempty"`
	Type          string      `json:"type,omitempty"`
	IP            string      `json:"ip"`
	Port          int         `json:"port"`
	Start         time.Time   `json:"start"`
	LastActivity  time.Time   `json:"last_activity"`
	Stop          *time.Time  `json:"stop,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	RTT           string      `json:"rtt,omitempty"`
	Uptime        string      `json:"uptime"`
	Idle          string      `json:"idle"`
	PendingBytes  int         `json:"pending_bytes"`
	InMsgs        int64       `json:"in_msgs"`
	OutMsgs       int64       `json:"out_msgs"`
	InBytes       int64       `json:"in_bytes"`
	OutBytes      int64       `json:"out_bytes"`
	Stalls        int64       `json:"stalls,omitempty"`
	Subscriptions uint32      `json:"subscriptions"`
	Name          string      `json:"name,omitempty"`
	Lang          string      `json:"lang,omitempty"`
	Version       string      `json:"version,omitempty"`
	TLSVersion    string      `json:"tls_version,omitempty"`
	TLSCipher     string      `json:"tls_cipher_suite,omitempty"`
	TLSPeerCerts  []PeerCert  `json:"tls_peer_certs,omitempty"`
	TLSFirst      bool        `json:"tls_first,omitempty"`
	User          string      `json:"authorized_user,omitempty"`
	Account       string      `json:"account,omitempty"`
	Subs          []string    `json:"subscriptions_list,omitempty"`
	SubsDetail    []SubDetail `json:"subscriptions_list_detail,omitempty"`
	JWT           string      `json:"jwt,omitempty"`
	IssuerKey     string      `json:"issuer_key,omitempty"`
	NameTag       string      `json:"name_tag,omitempty"`
	Tags          []string    `json:"tags,omitempty"`
	MQTTClient    string      `json:"mqtt_client,omitempty"`

	RoundTrip time.Duration `json:"-"` // what RTT shows
	Lasted    time.Duration `json:"-"` // what Uptime shows
	Place     int           `json:"-"` // where whoever made the row has the rest of it
}

// A PeerCert is what is shown of a certificate.
type PeerCert struct {
	Subject    string `json:"subject,omitempty"`
	SPKISHA256 string `json:"spki_sha256,omitempty"`
	CertSHA256 string `json:"cert_sha256,omitempty"`
}

// A SubDetail is one subscription.
type SubDetail struct {
	Account    string `json:"account,omitempty"`
	AccountTag string `json:"account_tag,omitempty"`
	Subject    string `json:"subject"`
	Queue      string `json:"qgroup,omitempty"`
	SID        string `json:"sid"`
	Msgs       int64  `json:"msgs"`
	Max        int64  `json:"max,omitempty"`
	CID        uint64 `json:"cid"`
}

// A ConnState chooses between connections that are open and those that have ended.
type ConnState int

// The states, as requests on the system account number them.
const (
	Open ConnState = iota
	Closed
	All
)

// ConnzOptions choose what of Connz is shown. The keys are those of requests on the system account.
type ConnzOptions struct {
	Sort          string    `json:"sort"`
	Auth          bool      `json:"auth"`
	Subscriptions bool      `json:"subscriptions"`
	Detail        bool      `json:"subscriptions_detail"`
	Offset        int       `json:"offset"`
	Limit         int       `json:"limit"`
	CID           uint64    `json:"cid"`
	MQTTClient    string    `json:"mqtt_client"`
	State         ConnState `json:"state"`
	User          string    `json:"user"`
	Account       string    `json:"acc"`
	FilterSubject string    `json:"filter_subject"`
}

// defaultLimit is how many rows a page has, as in nats-server.
const defaultLimit = 1024

// orders are the ways to sort connections. Most begin with the greatest.
var orders = map[string]func(a, b *Connection) int{
	"cid":        func(a, b *Connection) int { return cmp.Compare(a.CID, b.CID) },
	"start":      func(a, b *Connection) int { return cmp.Compare(a.CID, b.CID) },
	"subs":       func(a, b *Connection) int { return cmp.Compare(b.Subscriptions, a.Subscriptions) },
	"pending":    func(a, b *Connection) int { return cmp.Compare(b.PendingBytes, a.PendingBytes) },
	"msgs_to":    func(a, b *Connection) int { return cmp.Compare(b.OutMsgs, a.OutMsgs) },
	"msgs_from":  func(a, b *Connection) int { return cmp.Compare(b.InMsgs, a.InMsgs) },
	"bytes_to":   func(a, b *Connection) int { return cmp.Compare(b.OutBytes, a.OutBytes) },
	"bytes_from": func(a, b *Connection) int { return cmp.Compare(b.InBytes, a.InBytes) },
	"last":       func(a, b *Connection) int { return b.LastActivity.Compare(a.LastActivity) },
	"idle":       func(a, b *Connection) int { return a.LastActivity.Compare(b.LastActivity) },
	"uptime":     func(a, b *Connection) int { return cmp.Compare(a.Lasted, b.Lasted) },
	"stop":       func(a, b *Connection) int { return b.stopped().Compare(a.stopped()) },
	"reason":     func(a, b *Connection) int { return cmp.Compare(a.Reason, b.Reason) },
	"rtt":        func(a, b *Connection) int { return cmp.Compare(b.RoundTrip, a.RoundTrip) },
}

func (c *Connection) stopped() time.Time {
	if c.Stop == nil {
		return time.Time{}
	}
	return *c.Stop
}

// Check fills in defaults, and says what is wrong in nats-server's words.
func (o *ConnzOptions) Check() error {
	if o.Sort == "" {
		o.Sort = "cid"
	}
	if orders[o.Sort] == nil {
		return fmt.Errorf("invalid sorting option: %s", o.Sort)
	}
	if (o.Sort == "stop" || o.Sort == "reason") && o.State != Closed {
		return fmt.Errorf("sort by %s only valid on closed connections", o.Sort)
	}
	if o.FilterSubject == ">" {
		o.FilterSubject = ""
	}
	if o.FilterSubject != "" && o.Account == "" {
		return errFilterNeedsAccount
	}
	o.Offset = max(0, o.Offset)
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.CID > 0 {
		o.Limit = 1
	}
	return nil
}

// Page sorts rows, which have been chosen by the options already, and cuts the page out of them.
// total is how many there are of that state and account.
func (o *ConnzOptions) Page(serverID string, now time.Time, total int, rows []*Connection) *Connz {
	compare := orders[o.Sort]
	slices.SortFunc(rows, func(a, b *Connection) int { return cmp.Or(compare(a, b), cmp.Compare(a.CID, b.CID)) })
	p := &Connz{ServerID: serverID, Now: now.UTC(), Total: total, Offset: o.Offset, Limit: o.Limit}
	from := min(o.Offset, len(rows))
	p.Connections = slices.Clip(append([]*Connection{}, rows[from:from+min(o.Limit, len(rows)-from)]...))
	p.Count = len(p.Connections)
	return p
}

// Lists reports whether subscriptions are shown.
func (o *ConnzOptions) Lists() bool { return o.Subscriptions || o.Detail }

// Shows reports whether a row of that state and account is one of those asked for.
func (o *ConnzOptions) Shows(cid uint64, user, mqttClient string) bool {
	return (o.CID == 0 || o.CID == cid) && (o.User == "" || o.User == user) &&
		(o.MQTTClient == "" || o.MQTTClient == mqttClient)
}

// Duration shows how long something has lasted, as all pages do: 1y2d3h4m5s, to the second.
func Duration(d time.Duration) string {
	seconds := max(0, int64(d/time.Second))
	years, days := seconds/(365*86400), seconds/86400%365
	hours, minutes := seconds/3600%24, seconds/60%60
	switch {
	case years > 0:
		return fmt.Sprintf("%dy%dd%dh%dm%ds", years, days, hours, minutes, seconds%60)
	case seconds >= 86400:
		return fmt.Sprintf("%dd%dh%dm%ds", days, hours, minutes, seconds%60)
	case seconds >= 3600:
		return fmt.Sprintf("%dh%dm%ds", hours, minutes, seconds%60)
	case seconds >= 60:
		return fmt.Sprintf("%dm%ds", minutes, seconds%60)
	}
	return fmt.Sprintf("%ds", seconds)
}

// RoundTrip shows a round trip: below a millisecond to the microsecond.
func RoundTrip(d time.Duration) string {
	if d > time.Microsecond && d < time.Millisecond {
		d = d.Truncate(time.Microsecond)
	}
	return d.String()
}
