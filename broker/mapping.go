package broker

import (
	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// Mappings. What clients and links publish to one subject goes to another, once: what a mapping has
// made is not mapped again. Tried against nats-server 2.15.2:
//
//   - Permissions are those for the subject a message is mapped to, and errors and the answer that
//     nobody is there name that one. The subject as published is not asked about.
//   - Weights below 100 in all leave the rest at the source, unless the source is one of the
//     destinations, which means that the rest shall be lost: it goes to the empty subject, which a list
//     of what may be published does not allow.
//   - Requests through a service import, and their answers, are mapped in the account where they come
//     out.
//   - A wildcard that is published is a token like another: "a.*" can be mapped by "a.*", and "a.>" by
//     "a.>" alone.

// A mapping has the subjects that a source is mapped to.
type mapping struct {
	source string
	to     []destination
}

// A destination is chosen if what is drawn below 100 is less than below, and not less than that of the
// one before it.
type destination struct {
	transform *subject.Transform
	below     int
}

// newMapping is nil if m cannot be carried out, which auth has refused already.
func newMapping(m auth.Mapping) *mapping {
	x := &mapping{source: m.Source}
	total := 0
	keeps := true
	for _, d := range m.Destinations {
		keeps = keeps && d.Subject != m.Source
		if d.Cluster != "" {
			continue // there are no clusters, so it is another's
		}
		total += d.Weight
		if !x.add(d.Subject, total) {
			return nil
		}
	}
	if total < 100 && keeps && !x.add(m.Source, 100) {
		return nil
	}
	return x
}

func (x *mapping) add(to string, below int) bool {
	t, err := subject.NewTransform(x.source, to)
	if err != nil {
		t, _, err = subject.NewReversible(x.source, to) // with a "*" where the source has one
	}
	x.to = append(x.to, destination{t, below})
	return err == nil
}

// mappingOf is the first mapping of those whose source matches; nil if none does.
func (r *rules) mappingOf(route []byte) *mapping {
	for _, m := range r.mappings {
		if subject.Subset(m.source, route) && subject.Valid(route) {
			return m
		}
	}
	return nil
}

// appendTo appends what a subject is mapped to this time, which is nothing if it is to be lost.
func (x *mapping) appendTo(dst, from []byte, l *Lane) []byte {
	drawn := 0
	if len(x.to) != 1 || x.to[0].below < 100 {
		drawn = l.draw(100)
	}
	for _, d := range x.to {
		if drawn < d.below {
			return d.transform.AppendMatched(dst, from)
		}
	}
	return dst
}

// Map maps m.Subject as Publish would, for an adapter that has to know beforehand. Publish does not map
// it again. The subject is good until the lane is used for another message.
func (p *Peer) Map(l *Lane, m *Msg) {
	s := l.find(p.account, m.Subject)
	if s.cross != nil && s.cross.mapping != nil && m.Route == nil {
		l.mapped(p.account, s, m)
		m.mapped = true
	}
}

// mapped maps m, and returns the slot of what it is mapped to.
func (l *Lane) mapped(a *Account, s *slot, m *Msg) *slot {
	l.mappedTo = s.cross.mapping.appendTo(l.mappedTo[:0], m.Subject, l)
	m.Subject = l.mappedTo
	return l.find(a, m.Subject)
}
