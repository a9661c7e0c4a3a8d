package leafnode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// limits is what one direction of a link may carry, as a user's permissions or the hub's INFO say it.
// The zero value is everything.
type limits struct {
	allow, deny []string
	closed      bool // there is an allow list, even an empty one: nothing else is allowed
}

// String is l for the log.
func (l limits) String() string {
	text := "anything"
	if l.closed {
		text = strings.Join(l.allow, " ")
	}
	if len(l.deny) > 0 {
		text += " but not " + strings.Join(l.deny, " ")
	}
	return cut(text)
}

// What stays on its side, whatever the other side asks for. Both ends apply it, so that each has a
// JetStream of its own and reaches the other's by its domain, as $JS.<domain>.API.>.
var jetStreamOnly = [...]string{"$JS.API.>", "$KV.>", "$OBJ.>"}

// Every server answers these itself. One that let them pass would have its clients answered twice.
var answeredHere = [...]string{
	"$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.STATZ",
}

// Interest in these is told and taken whatever the permissions: they are between servers.
var serverInterest = [...]string{"$LDS.", "_GR_.", "$GR."}

// Messages on these are answers of servers, which came into being because the request was allowed.
var serverReplies = [...]string{"_R_.", "_GR_.", "$JS.ACK."}

// A filter says what may cross a link. It never changes once made; nil lets everything pass.
type filter struct {
	accepting bool // it is ours to enforce the limits, and to close the link over them
	system    bool // the system account's link, which carries what others answer themselves

	incoming, outgoing crossing
}

// A crossing is one direction of a link.
type crossing struct {
	allow, deny []string          // without the queues that entries may name
	closed      bool              // as in limits
	verdicts    *auth.Permissions // the same for messages; nil if nothing is forbidden
}

// newFilter makes a filter of what may come in and what may leave, and of what is denied besides. On
// the soliciting side these are import and export of the hub's INFO, deny_imports and deny_exports. On
// the accepting side they are what the leaf's user may publish and subscribe to, and its deny_pub is
// denied on the way out.
func newFilter(in, out limits, denyIn, denyOut []string, system, accepting bool) (*filter, error) {
	f := &filter{accepting: accepting, system: system}
	var err error
	if f.incoming, err = newCrossing(in, denyIn); err != nil {
		return nil, fmt.Errorf("leafnode: what may come in: %w", err)
	}
	if f.outgoing, err = newCrossing(out, denyOut); err != nil {
		return nil, fmt.Errorf("leafnode: what may leave: %w", err)
	}
	return f, nil
}

func newCrossing(l limits, denied []string) (c crossing, err error) {
	c.closed = l.closed || len(l.allow) > 0
	c.allow = withoutQueues(l.allow)
	// Who is denied a subject as a member of a queue only may have it otherwise.
	for _, entry := range l.deny {
		if words := strings.Fields(entry); len(words) != 2 {
			c.deny = append(c.deny, entry)
		}
	}
	c.deny = append(c.deny, denied...)
	if !c.closed && len(c.deny) == 0 {
		return c, nil
	}
	o := &auth.SubjectOptions{Deny: c.deny}
	if c.closed {
		o.Allow = append([]string{}, c.allow...)
	}
	c.verdicts, err = auth.NewPermissions(&auth.PermissionOptions{Publish: o})
	return c, err
}

// withoutQueues leaves the subjects of a list whose entries may name a queue as well.
func withoutQueues(entries []string) (list []string) {
	for _, entry := range entries {
		if words := strings.Fields(entry); len(words) == 2 {
			entry = words[0]
		}
		list = append(list, entry)
	}
	return list
}

// tell reports whether interest in filter may be announced to the other side. It takes care of what
// nobody wants announced and, on the soliciting side, of what the hub would close the link for: a
// literal that is not allowed. Of a filter with wildcards the hub sends what is allowed.
func (f *filter) tell(filter, queue string) bool {
	switch {
	case f == nil || hasPrefix(filter, serverInterest[:]):
		return true
	case !f.system && (insideAny(jetStreamOnly[:], filter) || slices.Contains(answeredHere[:], filter)):
		return false
	}
	return f.accepting || f.incoming.some(filter)
}

// subscribe reports whether interest of the other side is taken, that is whether any message of filter
// may leave. violation: it is a literal that may not, for which the accepting side closes the link.
func (f *filter) subscribe(filter string) (take, violation bool) {
	switch {
	case f == nil || hasPrefix(filter, serverInterest[:]):
		return true, false
	case !f.outgoing.some(filter):
		return false, f.accepting && !subject.HasWildcard(filter)
	}
	return f.system || !insideAny(jetStreamOnly[:], filter) && !slices.Contains(answeredHere[:], filter), false
}

// some reports whether any message of filter may cross.
func (c *crossing) some(filter string) bool {
	if c.verdicts == nil {
		return true
	}
	if c.closed && !slices.ContainsFunc(c.allow, func(allowed string) bool { return subject.Overlap(allowed, filter) }) {
		return false
	}
	return !insideAny(c.deny, filter)
}

// out reports whether a message with this subject may leave.
func (f *filter) out(literal []byte) bool {
	if f == nil {
		return true
	}
	if !f.system && len(literal) > 0 && literal[0] == '$' && staysHere(literal) {
		return false
	}
	return f.outgoing.verdicts == nil || f.outgoing.passes(literal)
}

// in reports whether a message that has come may be delivered.
func (f *filter) in(literal []byte) bool {
	return f == nil || f.incoming.verdicts == nil || f.incoming.passes(literal)
}

func (c *crossing) passes(literal []byte) bool {
	return c.verdicts.MayPublish(literal) || hasPrefix(literal, serverReplies[:])
}

// staysHere reports whether a subject that begins with $ is one that does not leave.
func staysHere(literal []byte) bool {
	for _, kept := range jetStreamOnly {
		if root := kept[:len(kept)-1]; len(literal) > len(root) && string(literal[:len(root)]) == root {
			return true
		}
	}
	if len(literal) < len("$SYS.") || literal[1] != 'S' {
		return false
	}
	for _, own := range answeredHere {
		if string(literal) == own {
			return true
		}
	}
	return false
}

// insideAny reports whether everything that filter matches is matched by one of the list.
func insideAny(list []string, filter string) bool {
	for _, outer := range list {
		if subject.Subset(outer, filter) {
			return true
		}
	}
	return false
}

func hasPrefix[S subject.Text](s S, prefixes []string) bool {
	if len(s) == 0 || s[0] != '$' && s[0] != '_' {
		return false
	}
	for _, prefix := range prefixes {
		if len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}
