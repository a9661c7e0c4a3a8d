package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/edgebus-io/edgebus/subject"
)

// exportsOf turns an account's exports into ours. What nats-server would leave out is left out.
func exportsOf(claims *jwt.AccountClaims) []Export {
	var list []Export
	for _, e := range claims.Exports {
		x := Export{
			Service:       e.IsService(),
			Subject:       string(e.Subject),
			TokenPosition: int(e.AccountTokenPosition),
		}
		if !subject.ValidFilter(x.Subject) || !tokenIsStar(x.Subject, x.TokenPosition) {
			continue
		}
		if e.TokenReq || x.TokenPosition > 0 {
			x.Accounts = []string{} // who may import it is decided by tokens
		}
		if x.Service {
			serviceOf(&x, e)
		}
		list = append(list, x)
	}
	return list
}

func serviceOf(x *Export, e *jwt.Export) {
	switch e.ResponseType {
	case jwt.ResponseTypeStream:
		x.Response = Stream
	case jwt.ResponseTypeChunked:
		x.Response = Chunked
	}
	x.Threshold, x.AllowTrace = e.ResponseThreshold, e.AllowTrace
	if l := e.Latency; l != nil && subject.ValidLiteral(string(l.Results)) && l.Sampling >= jwt.Headers && l.Sampling <= 100 {
		x.Latency = &Latency{Subject: string(l.Results), Sampling: int(l.Sampling)}
	}
}

// tokenIsStar reports whether the token at a place, counted from 1 on, is "*". Place 0 is no token
// and always right.
func tokenIsStar(filter string, place int) bool {
	if place == 0 {
		return true
	}
	tokens := strings.Split(filter, ".")
	return place > 0 && place <= len(tokens) && tokens[place-1] == "*"
}

// mappingsOf turns an account's mappings into ours. Those that cannot work are left out and their
// errors joined.
func mappingsOf(claims *jwt.AccountClaims) (list []Mapping, err error) {
	for source, to := range claims.Mappings {
		m := Mapping{Source: string(source)}
		for _, d := range to {
			m.Destinations = append(m.Destinations, Destination{Subject: string(d.Subject), Weight: int(d.GetWeight()), Cluster: d.Cluster})
		}
		if problem := m.checkClaim(); problem != nil {
			err = problem
			continue
		}
		list = append(list, m)
	}
	// The claims are a map; the same claims shall give the same account.
	slices.SortFunc(list, func(a, b Mapping) int { return strings.Compare(a.Source, b.Source) })
	return list, err
}

// checkClaim refuses a mapping in the words of nats-server, since tools show them.
func (m *Mapping) checkClaim() error {
	if !subject.ValidFilter(m.Source) {
		return fmt.Errorf("mapping %q: invalid subject", cut(m.Source))
	}
	seen, weights := map[string]bool{}, map[string]int{}
	for _, d := range m.Destinations {
		weights[d.Cluster] += d.Weight
		switch {
		case seen[d.Subject]:
			return fmt.Errorf("mapping %q: duplicate entry for %q", cut(m.Source), cut(d.Subject))
		case d.Weight > 100:
			return fmt.Errorf("mapping %q: individual weights need to be <= 100", cut(m.Source))
		case weights[d.Cluster] > 100:
			return fmt.Errorf("mapping %q: total weight needs to be <= 100", cut(m.Source))
		}
		seen[d.Subject] = true
		if _, err := subject.NewTransform(m.Source, d.Subject); err != nil {
			return fmt.Errorf("mapping %q -> %q: %w", cut(m.Source), cut(d.Subject), err)
		}
	}
	return nil
}

// limitsOf turns a JWT's limits, where -1 is none and 0 allows nothing, into ours.
func limitsOf(claims *jwt.AccountClaims) AccountLimits {
	l := &claims.Limits
	return AccountLimits{
		MaxConnections:   limitOf(l.Conn),
		MaxSubscriptions: limitOf(l.Subs),
		MaxPayload:       limitOf(l.Payload),
		MaxLeafNodes:     limitOf(l.LeafNodeConn),
	}
}

// limitOf is 0 for no limit and -1 for nothing at all. nats-server counts everything negative as
// no limit in JWTs.
func limitOf(claimed int64) int64 {
	switch {
	case claimed < 0:
		return 0
	case claimed == 0:
		return -1
	}
	return claimed
}

// permissionsOf turns a JWT's permissions into options; nil if it has none. Entries that are no
// subjects do nothing, as in nats-server.
func permissionsOf(p *jwt.Permissions) *PermissionOptions {
	if p.Pub.Empty() && p.Sub.Empty() && p.Resp == nil {
		return nil
	}
	o := &PermissionOptions{}
	if !p.Pub.Empty() {
		o.Publish = &SubjectOptions{Allow: subjectsOf(p.Pub.Allow, false), Deny: subjectsOf(p.Pub.Deny, false)}
	}
	if !p.Sub.Empty() {
		o.Subscribe = &SubjectOptions{Deny: subjectsOf(p.Sub.Deny, true)}
		if len(p.Sub.Allow) > 0 {
			o.Subscribe.Allow = subjectsOf(p.Sub.Allow, true)
		}
	}
	if p.Resp != nil {
		o.AllowResponses = &ResponseOptions{Max: p.Resp.MaxMsgs, Expires: p.Resp.Expires}
		// Who may answer may publish nothing else unless it is listed.
		if o.Publish == nil {
			o.Publish = &SubjectOptions{}
		}
		if o.Publish.Allow == nil {
			o.Publish.Allow = []string{}
		}
	}
	return o
}

// subjectsOf keeps the difference between no list and an empty one.
func subjectsOf(list jwt.StringList, queues bool) []string {
	if list == nil {
		return nil
	}
	kept := make([]string, 0, len(list))
	for _, entry := range list {
		if _, err := parseRules("", []string{entry}, queues); err == nil {
			kept = append(kept, entry)
		}
	}
	return kept
}

// revoked reports whether something issued to key at that time, in seconds, has been taken back.
func revoked(list jwt.RevocationList, key string, issued int64) bool {
	for _, k := range []string{key, jwt.All} {
		if at, ok := list[k]; ok && at >= issued {
			return true
		}
	}
	return false
}

// timeOf turns a claim's seconds into a time.
func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
