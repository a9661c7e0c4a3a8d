package daemon

import (
	"fmt"
	"strings"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/subject"
)

// links says of each link of the account whether the message goes there, and why not.
func (q *whyQuestion) links() {
	w := q.why
	subjects := []string{w.Subject}
	for _, way := range w.Ways {
		if way.Account == w.Account && way.Allowed && !way.Service {
			subjects = append(subjects, way.Subject)
		}
	}
	carried := subjects[len(subjects)-1]
	for _, p := range q.daemon.leaf.Passages(w.Account, carried) {
		l := WhyLink{ID: p.ID, Name: p.Name, Hub: p.Hub, Up: true, Sends: p.MayLeave && q.reached[p.ID], Takes: p.MayCome}
		switch {
		case !p.MayLeave && q.deniedHere(w.Account, carried):
			l.Reason, l.Remedy = "deny_exports of the remote keeps it here", "take the subject out of deny_exports of the remote"
		case !p.MayLeave:
			l.Reason, l.Remedy = "the permissions of the link keep it here", "widen what the user of the link may publish at the hub, or subscribe to if the other side is a leaf"
		case !l.Sends:
			l.Reason, l.Remedy = "no interest there", "nobody there has subscribed to it: look with `edgebus sub` at the other side, in the account that the link joins"
		}
		w.Links = append(w.Links, l)
	}
	for _, r := range q.daemon.leaf.Links(false).Remotes {
		if r.Account == w.Account && !r.Up {
			reason := r.Reason
			if reason == "" {
				reason = "it has not been joined yet"
			}
			w.Links = append(w.Links, WhyLink{URL: r.URL, Hub: true, Reason: reason, Remedy: r.Remedy})
		}
	}
}

// deniedHere reports whether our own configuration keeps a subject from leaving an account.
func (q *whyQuestion) deniedHere(account, literal string) bool {
	o := &q.daemon.shown.Load().options.Leaf
	for i := range o.Remotes {
		r := &o.Remotes[i]
		if r.Account != account && (r.Account != "" || account != broker.GlobalAccount) {
			continue
		}
		for _, denied := range r.DenyExports {
			if subject.Matches(denied, []byte(literal)) {
				return true
			}
		}
	}
	return false
}

// elsewhere looks for interest in other accounts: the commonest reason for silence in a server that has
// several of them.
func (q *whyQuestion) elsewhere() {
	accounts := q.daemon.shown.Load().directory.Accounts()
	for _, a := range accounts[:min(len(accounts), maxWhyAccounts)] {
		if a.Name == q.why.Account || a.System {
			continue
		}
		if e := q.daemon.broker.Explain(a.Name, q.why.Subject); len(e.To)+len(e.Groups) > 0 {
			q.why.Elsewhere = append(q.why.Elsewhere, a.Name)
		}
	}
}

// judge puts everything into one sentence.
func (q *whyQuestion) judge() {
	w := q.why
	denied := 0
	for _, way := range w.Ways {
		denied += way.Denied
	}
	switch {
	case !w.Accepted:
		q.refused()
		return
	case w.Delivered:
		w.Verdict = fmt.Sprintf("delivered: %d subscribers or groups here", q.here)
		if q.here == 1 {
			w.Verdict = "delivered: one subscriber or group here"
		}
		w.Verdict += q.linkWords()
		return
	case denied > 0:
		w.Verdict = fmt.Sprintf("not delivered: permission: subscriptions match %q, %d in all, but their users may not have it", w.Subject, denied)
		w.Remedy = "widen subscribe permissions of those users, or take the subject out of their deny list"
	default:
		w.Verdict = fmt.Sprintf("not delivered: no interest: nobody has subscribed to %q in account %s", w.Subject, w.Account)
		w.Remedy = "look for a slip in the subject, of the publisher's or of the subscriber's"
	}
	w.Verdict += q.linkWords()
	for _, l := range w.Links {
		if !l.Sends && (!l.Up || l.Reason != "no interest there") && l.Remedy != "" {
			w.Remedy = l.Remedy
		}
	}
	if len(w.Elsewhere) > 0 {
		w.Verdict += "; account " + strings.Join(w.Elsewhere, ", ") + " has subscribers for it"
		w.Remedy = "export the subject from account " + w.Account + " and import it there, or log in to the same account"
	}
}

// linkWords says how it is with the links, in half a sentence each.
func (q *whyQuestion) linkWords() string {
	var b strings.Builder
	for _, l := range q.why.Links {
		what := "leaf"
		if l.Hub {
			what = "hub"
		}
		switch {
		case !l.Up:
			fmt.Fprintf(&b, "; link down: %s %s: %s", what, l.URL, l.Reason)
		case l.Sends:
			fmt.Fprintf(&b, "; sent to %s %q", what, cut(l.Name))
		default:
			fmt.Fprintf(&b, "; not sent to %s %q: %s", what, cut(l.Name), l.Reason)
		}
	}
	return b.String()
}

// refused says which permission is missing.
func (q *whyQuestion) refused() {
	w := q.why
	to := w.Subject
	if len(w.Ways) > 0 {
		to = w.Ways[0].Subject
	}
	what := "no publish permission allows it"
	w.Remedy = "add the subject to publish.allow of the user"
	if p := q.perms.Options(); p != nil && p.Publish != nil {
		for _, entry := range p.Publish.Deny {
			if subject.Matches(entry, []byte(to)) {
				what = fmt.Sprintf("publish.deny has %q", cut(entry))
				w.Remedy = "take that entry out of publish.deny of the user"
			}
		}
	}
	w.Verdict = fmt.Sprintf("refused: permission: user %q may not publish to %q: %s", cut(w.User), cut(to), what)
	if _, answers := q.perms.Responses(); answers {
		w.Remedy += "; to a reply subject that it was sent it may answer"
	}
}
