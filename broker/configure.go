package broker

import (
	"slices"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// What is configured of an account, made ready for publishing. Nothing here asks whether an import is
// allowed: package auth has, and hands over only what is.

// rules are what is configured of one account. They never change once made.
type rules struct {
	of       *auth.Account
	mappings []*mapping
	streams  []*streamImport
	services []*serviceImport
}

// noRules are those of an account of which nothing is configured.
var noRules = &rules{of: &auth.Account{}}

// Rules is what is configured of the account now, nil if nothing is. It must not be changed.
func (a *Account) Rules() *auth.Account {
	if r := a.rules.Load(); r != nil {
		return r.of
	}
	return nil
}

// Configure replaces what is configured of all accounts at once. Accounts that are not among them
// lose their imports, exports and mappings; their peers stay. Publishers match everything anew; what
// is allowed before and after is delivered meanwhile.
func (b *Broker) Configure(accounts []*auth.Account) {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	b.configured = make(map[string]*auth.Account, len(accounts))
	for _, a := range accounts {
		b.configured[a.Name] = a
		b.Account(a.Name)
	}
	all := b.all()
	for _, a := range all {
		a.install(b.compile(b.configured[a.name]))
	}
	for _, a := range all {
		a.castAll()
	}
}

// ConfigureAccount replaces what is configured of one account, which may be a new one.
func (b *Broker) ConfigureAccount(configured *auth.Account) {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	if b.configured == nil {
		b.configured = make(map[string]*auth.Account)
	}
	b.configured[configured.Name] = configured
	changed := []*Account{b.Account(configured.Name)}
	for _, a := range b.all() {
		// Whoever imports its services holds on to its exports.
		if a != changed[0] && importsServiceOf(b.configured[a.name], configured.Name) {
			changed = append(changed, a)
		}
	}
	for _, a := range changed {
		a.install(b.compile(b.configured[a.name]))
	}
	changed[0].castAll()
}

func importsServiceOf(a *auth.Account, exporter string) bool {
	return a != nil && slices.ContainsFunc(a.Imports, func(i auth.Import) bool {
		return i.Service && i.From == exporter
	})
}

// compile makes rules of a configured account; nil for nil. Under configuring.
func (b *Broker) compile(a *auth.Account) *rules {
	if a == nil {
		return nil
	}
	r := &rules{of: a}
	for _, m := range a.Mappings {
		if m := newMapping(m); m != nil {
			r.mappings = append(r.mappings, m)
		}
	}
	for i := range a.Imports {
		im := &a.Imports[i]
		if im.From == a.Name && !im.Service {
			continue
		}
		exporter := b.Account(im.From)
		forward, back, err := transforms(im)
		if err != nil {
			continue // auth has refused it already
		}
		if !im.Service {
			r.streams = append(r.streams, &streamImport{of: im, exporter: exporter, forward: forward, back: back})
			continue
		}
		from := im.To
		if back != nil {
			from = back.Source()
		}
		s := &serviceImport{of: im, exporter: exporter, from: from, back: back}
		if of := b.configured[im.From]; of != nil {
			s.export = of.ExportOf(true, im.Subject)
		}
		r.services = append(r.services, s)
	}
	return r
}

// transforms are those of an import, forward into the importer's name space. They are nil if it is
// about one subject, which then stands for whatever matches im.To.
func transforms(im *auth.Import) (forward, back *subject.Transform, err error) {
	if !subject.HasWildcard(im.Subject) {
		return nil, nil, nil
	}
	return subject.NewReversible(im.Subject, im.To)
}

// install makes r the account's rules.
func (a *Account) install(r *rules) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.rules.Load()
	if old == nil && r == nil {
		return
	}
	a.rules.Store(r)
	before := a.services
	a.services = nil
	if r != nil {
		for _, s := range r.services {
			a.insertServiceLocked(s)
		}
	}
	// Afterwards, so that nobody who watches sees interest go away that stays.
	for _, s := range before {
		a.takeOutLocked(s.sub)
	}
	a.moveAllLocked()
}

// takeOutLocked takes a Sub out of the index that belongs to none of the account's peers.
func (a *Account) takeOutLocked(s *Sub) {
	s.state.Or(subClosed)
	a.index.Remove(s.Subject(), s.Queue(), s)
	a.generations[generationOf(s.Subject())].Add(1)
	a.tellLocked(s, -s.members())
}

// all are the accounts there are.
func (b *Broker) all() []*Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*Account, 0, len(b.accounts))
	for _, a := range b.accounts {
		all = append(all, a)
	}
	return all
}
