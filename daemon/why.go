package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/subject"
)

// Where a message would go, and why it does not. What is delivered is asked of the broker, which matches
// as publishing does; what is not has its reason in permissions, in links and in other accounts.

const (
	// maxWhyRecipients bounds who is named; the rest are counted.
	maxWhyRecipients = 100
	// maxWhyAccounts bounds the other accounts that are looked through for interest.
	maxWhyAccounts = 200
)

// A WhyRequest is a message that somebody might publish. Without a user it is anybody's of the account,
// and without that of the global one.
type WhyRequest struct {
	Subject string `json:"subject"`
	User    string `json:"user,omitempty"`
	Account string `json:"account,omitempty"`
}

// A Why is what would become of it.
type Why struct {
	Subject string `json:"subject"`
	User    string `json:"user,omitempty"`
	Account string `json:"account"`

	Accepted  bool   `json:"accepted"`
	Delivered bool   `json:"delivered"`        // to anybody at all
	Verdict   string `json:"verdict"`          // all in one sentence, the cause included
	Remedy    string `json:"remedy,omitempty"` // what to do about it

	Ways  []WhyWay  `json:"ways,omitempty"`  // the subjects that it goes out under
	Links []WhyLink `json:"links,omitempty"` // of its account
	// Elsewhere are other accounts that have subscribers for this subject, and cannot get it.
	Elsewhere []string `json:"elsewhere,omitempty"`
	// Unasked: the server wants credentials, and no user was named whose permissions could be asked.
	Unasked bool `json:"unasked,omitempty"`
}

// A WhyWay is one subject in one account that the message is published to: its own, those that a mapping
// makes of it, and those of services that it asks.
type WhyWay struct {
	Account string `json:"account"`
	Subject string `json:"subject"`
	Percent int    `json:"percent,omitempty"` // of the messages, if a mapping chooses
	Service bool   `json:"service,omitempty"` // it comes here as a request
	Allowed bool   `json:"allowed"`

	To     []WhyRecipient `json:"to,omitempty"`
	Groups []WhyGroup     `json:"groups,omitempty"`
	More   int            `json:"more,omitempty"`   // recipients that are not named
	Denied int            `json:"denied,omitempty"` // subscriptions whose users may not see the subject
}

// A WhyGroup is a queue group, of which one member gets the message.
type WhyGroup struct {
	Queue   string         `json:"queue"`
	Members []WhyRecipient `json:"members"`
}

// A WhyRecipient is one subscription.
type WhyRecipient struct {
	CID     uint64 `json:"cid,omitempty"`
	Link    bool   `json:"link,omitempty"`
	Name    string `json:"name,omitempty"`
	User    string `json:"user,omitempty"`
	Account string `json:"account"`
	Filter  string `json:"filter"`         // what it has subscribed to
	Seen    string `json:"seen,omitempty"` // the subject that it sees, if that is another
}

// A WhyLink is a link of the account, or one that there should be.
type WhyLink struct {
	ID     uint64 `json:"id,omitempty"`
	Name   string `json:"name,omitempty"` // of the other side
	URL    string `json:"url,omitempty"`  // of a hub that is not joined
	Hub    bool   `json:"hub,omitempty"`
	Up     bool   `json:"up"`
	Sends  bool   `json:"sends"` // the message goes there
	Takes  bool   `json:"takes"` // what is published there to this subject may come here
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

var (
	errWhySubject = errors.New("a message goes to one subject, without wildcards, blanks and empty words")
	errWhyUser    = errors.New("is neither configured nor connected")
	errWhyAccount = errors.New("is not one of the accounts")
)

// why answers one question; args are a WhyRequest.
func (d *Daemon) why(args json.RawMessage) (any, error) {
	var r WhyRequest
	if err := json.Unmarshal(args, &r); err != nil {
		return nil, fmt.Errorf("why: %w", err)
	}
	return d.Why(r)
}

// Why tells what would become of a message. Nothing is sent.
func (d *Daemon) Why(r WhyRequest) (*Why, error) {
	if !subject.ValidLiteral(r.Subject) || strings.ContainsAny(r.Subject, " \t\r\n") {
		return nil, fmt.Errorf("%q: %w", cut(r.Subject), errWhySubject)
	}
	w := &Why{Subject: r.Subject, User: r.User}
	perms, err := d.whose(&r, w)
	if err != nil {
		return nil, err
	}
	q := whyQuestion{daemon: d, why: w, perms: perms, left: maxWhyRecipients}
	q.way(d.broker.Explain(w.Account, r.Subject), 0, false)
	w.Accepted = len(w.Ways) == 0 || slices.ContainsFunc(w.Ways, func(way WhyWay) bool { return way.Allowed })
	q.links()
	w.Delivered = q.here > 0 || slices.ContainsFunc(w.Links, func(l WhyLink) bool { return l.Sends })
	if !w.Delivered {
		q.elsewhere()
	}
	q.judge()
	return w, nil
}

// whose finds the account and the permissions of whoever publishes: those of a connection if there is one,
// which may have got them from elsewhere than the configuration.
func (d *Daemon) whose(r *WhyRequest, w *Why) (*auth.Permissions, error) {
	directory := d.shown.Load().directory
	if r.User != "" {
		for _, c := range d.server.Clients(server.Query{User: r.User}) {
			if r.Account == "" || r.Account == c.Account {
				w.Account = c.Account
				return c.Perms, nil
			}
		}
		id := directory.Lookup(r.User)
		if id == nil || r.Account != "" && id.Account != r.Account {
			return nil, fmt.Errorf("user %q %w", cut(r.User), errWhyUser)
		}
		w.Account = cmp.Or(id.Account, broker.GlobalAccount)
		return id.Perms, nil
	}
	w.Account = cmp.Or(r.Account, broker.GlobalAccount)
	w.Unasked = directory.Required()
	if w.Account != broker.GlobalAccount && directory.Account(w.Account) == nil {
		return nil, fmt.Errorf("account %q %w", cut(w.Account), errWhyAccount)
	}
	return nil, nil
}

// A whyQuestion is a Why while it is made.
type whyQuestion struct {
	daemon  *Daemon
	why     *Why
	perms   *auth.Permissions
	here    int // subscribers and groups, without the links of the account
	left    int // recipients that may still be named
	clients map[uint64]server.ClientSnapshot
	reached map[uint64]bool // connections that get it
}

// way takes in what the broker says of one subject. Permissions are those for what a mapping has made of
// it, and count once: not where it goes on as a request.
func (q *whyQuestion) way(e broker.Explanation, percent int, service bool) {
	for _, m := range e.Mapped {
		q.way(m.Explanation, m.Percent, service)
	}
	if len(e.Mapped) > 0 {
		return
	}
	w := WhyWay{Account: e.Account, Subject: e.Subject, Percent: percent, Service: service, Denied: e.Denied}
	w.Allowed = service || q.perms.MayPublish([]byte(e.Subject))
	if !w.Allowed {
		q.why.Ways = append(q.why.Ways, w)
		return
	}
	for _, r := range e.To {
		one, ok := q.recipient(&r, e.Subject)
		if !one.Link || one.Account != q.why.Account {
			q.here++
		}
		if ok {
			w.To = append(w.To, one)
		} else {
			w.More++
		}
	}
	for _, g := range e.Groups {
		group := WhyGroup{Queue: g.Queue, Members: []WhyRecipient{}}
		members := g.Members
		if len(members) == 0 {
			members = g.RemoteMembers
		} else {
			q.here++
		}
		for _, r := range members {
			if one, ok := q.recipient(&r, e.Subject); ok {
				group.Members = append(group.Members, one)
			} else {
				w.More++
			}
		}
		w.Groups = append(w.Groups, group)
	}
	q.why.Ways = append(q.why.Ways, w)
	for _, next := range e.Services {
		q.way(next, percent, true)
	}
}

// recipient describes a subscription, as long as there is room.
func (q *whyQuestion) recipient(r *broker.Recipient, published string) (one WhyRecipient, ok bool) {
	peer := r.Sub.Peer()
	one = WhyRecipient{Link: peer.Remote(), Account: peer.Account().Name(), Filter: r.Sub.Subject()}
	if r.Seen != published {
		one.Seen = r.Seen
	}
	if numbered, known := peer.Sink().(interface{ ID() uint64 }); known {
		one.CID = numbered.ID()
		if q.reached == nil {
			q.reached = make(map[uint64]bool)
		}
		q.reached[one.CID] = true
	}
	if q.left--; q.left < 0 {
		return one, false
	}
	if !one.Link && one.CID != 0 {
		if q.clients == nil {
			q.clients = make(map[uint64]server.ClientSnapshot)
			for _, c := range q.daemon.server.Clients(server.Query{}) {
				q.clients[c.ID] = c
			}
		}
		c := q.clients[one.CID]
		one.Name, one.User = c.Name, c.User
	}
	return one, true
}
