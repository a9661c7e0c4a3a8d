package auth

import (
	"fmt"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/subject"
)

// SystemQueue is a queue name that no user with permissions may join.
const SystemQueue = "_sys_"

// Permissions is what one user may do. nil means everything. It never changes once made, and all
// connections of a user share one, so a verdict may be cached with the pointer as its key.
type Permissions struct {
	publish   rules
	subscribe rules
	responses Responses
}

// Responses lets a user answer on reply subjects that it has received and could not publish to
// otherwise.
type Responses struct {
	Max     int           // answers to each reply subject; negative: any number
	Expires time.Duration // after receipt; negative: never
}

// rules is one direction.
type rules struct {
	allow []rule
	deny  []rule
	// closed: there is an allow list, so that only what stands in it is allowed, even if it is empty.
	closed bool
}

// A rule covers a subject filter, or with a queue only the members of that queue on it.
type rule struct {
	filter string
	queue  string
	wild   bool // the queue holds wildcards
}

// NewPermissions checks o and makes Permissions of it. nil options make nil permissions.
func NewPermissions(o *PermissionOptions) (*Permissions, error) {
	if o == nil {
		return nil, nil
	}
	p := &Permissions{}
	var err error
	if p.publish, err = newRules("publish", o.Publish, false); err != nil {
		return nil, err
	}
	if p.subscribe, err = newRules("subscribe", o.Subscribe, true); err != nil {
		return nil, err
	}
	if o.AllowResponses != nil {
		p.responses = o.AllowResponses.settled()
		if o.Publish == nil && p.responses.Max != 0 {
			// Someone who may answer and was given nothing else may only answer.
			p.publish.closed = true
		}
	}
	return p, nil
}

func newRules(what string, o *SubjectOptions, queues bool) (r rules, err error) {
	if o == nil {
		return r, nil
	}
	r.closed = o.Allow != nil
	if r.allow, err = parseRules(what+" allow", o.Allow, queues); err != nil {
		return r, err
	}
	r.deny, err = parseRules(what+" deny", o.Deny, queues)
	return r, err
}

func parseRules(what string, entries []string, queues bool) ([]rule, error) {
	var list []rule
	for _, entry := range entries {
		words := strings.Fields(entry)
		bad := len(words) == 0 || len(words) > 2 || len(words) == 2 && !queues
		if bad || !subject.ValidFilter(words[0]) {
			return nil, fmt.Errorf("%w: %s %q is not a valid subject", ErrOptions, what, cut(entry))
		}
		r := rule{filter: words[0]}
		if len(words) == 2 {
			r.queue = words[1]
			r.wild = subject.HasWildcard(r.queue) && subject.ValidFilter(r.queue)
		}
		list = append(list, r)
	}
	return list, nil
}

// MayPublish reports whether a message may be sent to this subject. A subject that looks like a
// filter is a literal here, as it is for whoever publishes it.
func (p *Permissions) MayPublish(literal []byte) bool {
	if p == nil {
		return true
	}
	for i := range p.publish.deny {
		if subject.Matches(p.publish.deny[i].filter, literal) {
			return false
		}
	}
	if !p.publish.closed {
		return true
	}
	for i := range p.publish.allow {
		if subject.Matches(p.publish.allow[i].filter, literal) {
			return true
		}
	}
	return false
}

// MaySubscribe reports whether a subscription to filter, as a member of queue if that is not
// empty, may be made. filtered: it may, but Denies must be asked for each subject delivered.
func (p *Permissions) MaySubscribe(filter, queue string) (ok, filtered bool) {
	if queue == SystemQueue {
		return false, false
	}
	if p == nil {
		return true, false
	}
	if !subject.Valid(filter) {
		return !p.subscribe.closed, false // no entry covers an empty token, to allow it or to deny it
	}
	if p.subscribe.closed && !p.subscribe.allows(filter, queue) {
		return false, false
	}
	for i := range p.subscribe.deny {
		r := &p.subscribe.deny[i]
		if !r.covers(queue) {
			continue
		}
		if subject.Subset(r.filter, filter) {
			return false, false
		}
		// Narrower than what is asked for: the rest is still allowed.
		filtered = filtered || subject.Overlap(r.filter, filter)
	}
	return true, filtered
}

// allows looks the whole list through, since entries that name a queue go before those that do
// not: as soon as one of them is about this filter, a queue must be named to be allowed.
func (r *rules) allows(filter, queue string) bool {
	plain, named, member := false, false, false
	for i := range r.allow {
		a := &r.allow[i]
		if !subject.Subset(a.filter, filter) {
			continue
		}
		if a.queue == "" {
			plain = true
			continue
		}
		named = true
		member = member || queue != "" && a.covers(queue)
	}
	if queue != "" && named {
		return member
	}
	return plain
}

// covers reports whether the rule is about members of queue, which may be empty.
func (r *rule) covers(queue string) bool {
	if r.queue == "" || r.queue == queue {
		return true
	}
	// A queue name that is no valid subject is compared as a word only.
	return r.wild && queue != "" && subject.ValidFilter(queue) && subject.Subset(r.queue, queue)
}

// Denies reports whether a message to this subject must be kept from a filtered subscription.
func (p *Permissions) Denies(literal []byte, queue string) bool {
	if p == nil {
		return false
	}
	for i := range p.subscribe.deny {
		r := &p.subscribe.deny[i]
		if r.covers(queue) && subject.Matches(r.filter, literal) {
			return true
		}
	}
	return false
}

// Responses tells what answers are allowed; ok is false if there are none.
func (p *Permissions) Responses() (r Responses, ok bool) {
	if p == nil {
		return Responses{}, false
	}
	return p.responses, p.responses.Max != 0
}

// cut shortens what goes into an error text.
func cut(s string) string {
	const limit = 64
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
