package auth

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/subject"
)

// systemQueue is a queue name that nobody may join.
const systemQueue = "_sys_"

// Permissions is what one user may do. nil means everything. It never changes once made, and all
// connections of a user share one, so a verdict may be cached with the pointer as its key.
type Permissions struct {
	publish   rules
	subscribe rules
	responses Responses
	salt      uint64 // tells verdicts of these permissions from those of others

	// Anyone's. Set when somebody has come in: where verdicts are remembered. nil: nowhere.
	verdicts atomic.Pointer[verdicts]
}

// Both directions follow nats-server to the letter, which looks a subject up among the entries as
// if it were a literal, even when it is the filter of a subscription. So "*" in an entry covers the
// last word of "x.>" and "x.*" alike: who is allowed x.* may subscribe to x.> and gets all of it,
// and who is denied x.* may not subscribe to x.>.

// Responses lets a user answer on reply subjects that it has received and could not publish to
// otherwise.
type Responses struct {
	Max     int           // answers to each reply subject; negative: any number
	Expires time.Duration // after receipt; negative: never
}

// rules is one direction.
type rules struct {
	// closed: there is an allow list, so that only what stands in it is allowed, even if it is empty.
	closed bool
	// tree has all entries without a queue, allow and deny.
	tree ruleTree

	// All of them, in their order. Only a subscription looks through them.
	allow []rule
	deny  []rule
}

func (r *rules) rules() int { return len(r.allow) + len(r.deny) }

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
	p := &Permissions{salt: rand.Uint64()}
	var err error
	if p.publish, err = newRules("publish", o.Publish, false); err != nil {
		return nil, err
	}
	if p.subscribe, err = newRules("subscribe", o.Subscribe, true); err != nil {
		return nil, err
	}
	if o.AllowResponses != nil {
		p.responses = o.AllowResponses.settled()
		// Who may answer, and was not told what to publish besides, may only answer.
		p.publish.closed = p.publish.closed || p.responses.Max != 0
	}
	return p, nil
}

// Equal reports whether both allow and deny the same, by the same entries.
func (p *Permissions) Equal(other *Permissions) bool {
	if p == nil || other == nil {
		return p == other
	}
	return p.responses == other.responses && p.publish.equal(&other.publish) && p.subscribe.equal(&other.subscribe)
}

func (r *rules) equal(other *rules) bool {
	return r.closed == other.closed && slices.Equal(r.allow, other.allow) && slices.Equal(r.deny, other.deny)
}

// withDenied is p with one more subject that may not be published to. p may be nil.
func (p *Permissions) withDenied(filter string) *Permissions {
	made := &Permissions{salt: rand.Uint64()}
	if p != nil {
		made.publish, made.subscribe, made.responses = p.publish, p.subscribe, p.responses
		made.publish.tree.root = *p.publish.tree.root.clone()
	}
	made.publish.tree.add(filter, denied)
	made.publish.deny = append(slices.Clip(made.publish.deny), rule{filter: filter})
	return made
}

func newRules(what string, o *SubjectOptions, queues bool) (r rules, err error) {
	if o == nil {
		return r, nil
	}
	r.closed = o.Allow != nil
	if r.allow, err = parseRules(what+" allow", o.Allow, queues); err != nil {
		return r, err
	}
	if r.deny, err = parseRules(what+" deny", o.Deny, queues); err != nil {
		return r, err
	}
	for i := range r.allow {
		r.tree.add(r.allow[i].filter, allowed)
	}
	for i := range r.deny {
		if r.deny[i].queue == "" {
			r.tree.add(r.deny[i].filter, denied)
		}
	}
	return r, nil
}

func parseRules(what string, entries []string, queues bool) ([]rule, error) {
	var list []rule
	for _, entry := range entries {
		r := rule{filter: entry}
		if words := strings.Fields(entry); queues && len(words) == 2 {
			r.filter, r.queue = words[0], words[1]
			r.wild = subject.HasWildcard(r.queue)
		}
		if !subject.ValidFilter(r.filter) || r.queue != "" && !subject.ValidFilter(r.queue) {
			return nil, badf("%s %q is not a valid subject", what, cut(entry))
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
	if v := p.verdicts.Load(); v != nil {
		return v.mayPublish(p, literal)
	}
	return p.decide(literal)
}

// decide is MayPublish, by the rules.
func (p *Permissions) decide(literal []byte) bool {
	v := p.publish.tree.match(literal)
	return v&denied == 0 && (v&allowed != 0 || !p.publish.closed)
}

// MaySubscribe reports whether a subscription to filter, as a member of queue if that is not
// empty, may be made. filtered: it may, but Denies must be asked for each subject delivered.
func (p *Permissions) MaySubscribe(filter, queue string) (ok, filtered bool) {
	if queue == systemQueue {
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
		if subject.Matches(r.filter, filter) {
			return false, false
		}
		// Part of what is asked for: the rest is still allowed.
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
		if !subject.Matches(a.filter, filter) {
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
	return r.wild && queue != "" && subject.Valid(queue) && subject.Subset(r.queue, queue)
}

// Denies reports whether a message to this subject must be kept from a filtered subscription.
func (p *Permissions) Denies(literal []byte, queue string) bool {
	if p == nil {
		return false
	}
	if p.subscribe.tree.match(literal)&denied != 0 {
		return true
	}
	for i := range p.subscribe.deny {
		r := &p.subscribe.deny[i]
		if r.queue != "" && r.covers(queue) && subject.Matches(r.filter, literal) {
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

// Options are the entries that p was made of, for those who show them.
func (p *Permissions) Options() *PermissionOptions {
	if p == nil {
		return nil
	}
	o := &PermissionOptions{Publish: p.publish.options(), Subscribe: p.subscribe.options()}
	if r, ok := p.Responses(); ok {
		o.AllowResponses = &ResponseOptions{Max: r.Max, Expires: r.Expires}
	}
	return o
}

func (r *rules) options() *SubjectOptions {
	list := func(rules []rule) (entries []string) {
		for i := range rules {
			entries = append(entries, strings.TrimSpace(rules[i].filter+" "+rules[i].queue))
		}
		return entries
	}
	if r.rules() == 0 && !r.closed {
		return nil
	}
	o := &SubjectOptions{Allow: list(r.allow), Deny: list(r.deny)}
	if r.closed && o.Allow == nil {
		o.Allow = []string{}
	}
	return o
}

// cut shortens what goes into an error text.
func cut(s string) string {
	const limit = 64
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
