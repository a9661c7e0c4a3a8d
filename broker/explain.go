package broker

import "bytes"

// What publishing would do, without doing it: for people who ask where a message goes, or why it does not.

// maxExplained bounds the ways that are told of one message: accounts may pass requests on to many.
const maxExplained = 64

// An Explanation is where messages to one subject go now.
type Explanation struct {
	Account string
	Subject string

	// Mapped are the subjects that a mapping makes of it, in place of everything below.
	Mapped []MappedTo

	To       []Recipient   // who gets each message
	Groups   []GroupWay    // of each of them one member does
	Denied   int           // subscriptions that match, and whose permissions deny the subject
	Services []Explanation // where it goes on as a request, in other accounts
	Answer   bool          // it is an answer to a request from another account
}

// MappedTo is one of the subjects that a mapping makes of another.
type MappedTo struct {
	Percent int // of the messages
	Explanation
}

// A Recipient is a subscription, and the subject that it sees.
type Recipient struct {
	Sub  *Sub
	Seen string
}

// A GroupWay is one queue group. Links are asked if no member is here.
type GroupWay struct {
	Queue         string
	Members       []Recipient // here
	RemoteMembers []Recipient // behind links
}

// Explain tells where messages to a literal subject of an account go now. It matches as Publish does, by
// the same functions, with a lane of its own.
func (b *Broker) Explain(account, subject string) Explanation {
	l := b.NewLane()
	defer l.Close()
	left := maxExplained
	return l.explain(b.Account(account), []byte(subject), &left, false)
}

// explain is Explain on a lane. mapped: it has come from a mapping, and is not mapped again.
func (l *Lane) explain(a *Account, route []byte, left *int, mapped bool) (e Explanation) {
	e.Account, e.Subject = a.name, string(route)
	if *left--; *left < 0 {
		return e
	}
	s := l.find(a, route)
	if x := s.cross; x != nil && x.mapping != nil && !mapped {
		m, below := x.mapping, 0 // x is void once the lane goes on
		for _, d := range m.to {
			to := d.transform.AppendMatched(nil, route)
			e.Mapped = append(e.Mapped, MappedTo{d.below - below, l.explain(a, to, left, true)})
			below = d.below
		}
		return e
	}
	e.Denied = int(s.denied)
	for _, sub := range s.subs[:s.plain] {
		e.To = append(e.To, Recipient{sub, e.Subject})
	}
	for _, sub := range s.links {
		e.To = append(e.To, Recipient{sub, e.Subject})
	}
	for i := range s.groups {
		e.Groups = append(e.Groups, s.explainGroup(&s.groups[i], e.Subject))
	}
	if s.cross != nil {
		l.explainCrossing(&e, s.cross, left)
	}
	return e
}

func (s *slot) explainGroup(g *group, subject string) GroupWay {
	w := GroupWay{Queue: g.queue}
	for at := int(g.from); at < int(g.to); at++ {
		r := Recipient{s.subs[at], subject}
		if as := s.shownTo(at); as != nil {
			r.Seen = string(as)
		}
		if at < int(g.remotes) {
			w.Members = append(w.Members, r)
		} else {
			w.RemoteMembers = append(w.RemoteMembers, r)
		}
	}
	return w
}

// explainCrossing adds what happens in other accounts. The slot is void once the lane is used for them.
func (l *Lane) explainCrossing(e *Explanation, x *crossing, left *int) {
	e.Answer = x.answers
	for _, list := range [][]imported{x.imported, x.links} {
		for i := range list {
			e.To = append(e.To, Recipient{list[i].sub, string(x.bytes(list[i].span))})
		}
	}
	type onward struct {
		to   *Account
		text []byte
	}
	var ways []onward
	for i := range x.services {
		ways = append(ways, onward{x.services[i].service.exporter, bytes.Clone(x.bytes(x.services[i].span))})
	}
	for _, w := range ways {
		e.Services = append(e.Services, l.explain(w.to, w.text, left, false))
	}
}
