//go:build linux

package differential

import (
	"fmt"
	"strings"
)

// accounts makes two to four accounts, what they export, and imports that mostly fit.
func (g *generator) accounts(w *world) {
	operator := w.mode == operatorMode
	for i := range 2 + g.IntN(3) {
		a := &account{name: string(rune('A' + i))}
		if operator {
			a.key = newKey(accountKey, fmt.Sprint(g.seed, a.name))
		}
		w.accounts = append(w.accounts, a)
	}
	if operator {
		w.operator = newKey(operatorKey, fmt.Sprint(g.seed))
		w.trusted = g.chance(0.15)
		if !w.trusted && g.chance(0.3) {
			w.deputy = newKey(operatorKey, fmt.Sprint(g.seed, "deputy"))
		}
		w.system = &account{name: "SYS", key: newKey(accountKey, fmt.Sprint(g.seed, "SYS"))}
	}
	for _, a := range w.accounts {
		a.dropped, a.byDeputy = g.chance(0.03), g.chance(0.5)
		g.members(w, a)
		g.exports(w, a)
		if g.chance(0.35) {
			a.mappings = g.mappings()
		}
		if g.mark(fDefaults, g.chance(0.25)) {
			a.defaults = g.permissions()
		}
		if g.mark(fLimits, g.chance(0.2)) {
			g.limits(a)
		}
	}
	for _, a := range w.accounts {
		g.imports(w, a)
	}
	for _, a := range w.accounts {
		g.allowOwn(a.template, a)
		g.allowOwn(a.defaults, a)
		for _, u := range a.users {
			g.allowOwn(u.permissions, a)
		}
	}
}

// allowOwn adds to what is allowed some of what the account imports and exports: permissions that
// forbid all of it would leave nothing to compare.
func (g *generator) allowOwn(p *permissions, a *account) {
	own := a.own()
	if p == nil || len(own) == 0 {
		return
	}
	for _, s := range []*subjects{p.publish, p.subscribe} {
		if s == nil || s.allow == nil || g.chance(0.3) {
			continue
		}
		for range 1 + g.IntN(3) {
			s.allow = append(s.allow, own[g.IntN(len(own))])
		}
	}
	if p.publish != nil && p.publish.allow != nil && g.chance(0.3) {
		p.publish.allow = append(p.publish.allow, "_R_.>", "_INBOX.>")
	}
}

// own are the filters that mean something in an account.
func (a *account) own() (list []string) {
	for _, e := range a.exports {
		list = append(list, e.subject)
	}
	for _, i := range a.imports {
		list = append(list, i.localFilter())
	}
	for _, m := range a.mappings {
		list = append(list, m.source)
	}
	return list
}

func (g *generator) members(w *world, a *account) {
	for range 1 + g.IntN(2) {
		u := g.user(len(w.users))
		u.account = a
		w.users, a.users = append(w.users, u), append(a.users, u)
		if u.signer == bySigningKey && a.signing == nil {
			a.signing = newKey(accountKey, fmt.Sprint(g.seed, a.name, "signing"))
		}
		if u.signer == byScopedKey && a.scoped == nil {
			a.scoped = newKey(accountKey, fmt.Sprint(g.seed, a.name, "scoped"))
			a.template = g.permissions()
			g.useTemplates(a.template)
		}
	}
}

// useTemplates writes variables into some of a scoped key's subjects.
func (g *generator) useTemplates(p *permissions) {
	for _, s := range []*subjects{p.publish, p.subscribe} {
		if s == nil || s.allow == nil || g.chance(0.4) {
			continue
		}
		s.allow = append(s.allow, g.pick("a.{{name()}}.>", "a.{{account-name()}}", "b.{{subject()}}.*", "{{tag(team)}}.x", "a.{{account-subject()}}"))
	}
}

func (g *generator) limits(a *account) {
	switch g.IntN(3) {
	case 0:
		a.limits.connections = 1 + g.IntN(2)
	case 1:
		a.limits.subscriptions = 1 + g.IntN(5)
	case 2:
		a.limits.payload = 50
	}
}

func (g *generator) exports(w *world, a *account) {
	for range 1 + g.IntN(3) {
		e := &export{service: g.chance(0.5)}
		if e.service {
			e.subject = g.pick("s.x", "s.*", "s.>", "s.x.*", "s.*.y")
			if g.mark(fResponse, g.chance(0.4)) {
				e.response = g.pick("single", "stream", "chunked")
			}
		} else {
			e.subject = g.pick("a.>", "a.*", "a.x", "b.*", "b.>", "a.*.y", "a.x.*")
		}
		if g.mark(fPosition, g.chance(0.15)) {
			e.position = 2
			e.subject = map[bool]string{true: "s", false: "b"}[e.service] + ".*." + g.pick("x", "*", ">")
		} else if e.private = g.chance(0.4); e.private {
			for _, other := range w.accounts {
				if other != a && g.chance(0.8) {
					e.to = append(e.to, other)
				}
			}
			if len(e.to) == 0 {
				e.private = false
			}
		}
		if g.overlaps(a, e) {
			continue
		}
		g.mark(fPublic, !e.private)
		g.mark(fPrivate, e.private)
		a.exports = append(a.exports, e)
	}
}

// overlaps refuses a second export of the same sort whose subjects meet: operators may not do that.
func (g *generator) overlaps(a *account, e *export) bool {
	for _, other := range a.exports {
		if other.service == e.service && filtersMeet(other.subject, e.subject) {
			return true
		}
	}
	return false
}

func filtersMeet(a, b string) bool { return meet(strings.Split(a, "."), strings.Split(b, ".")) }

func meet(a, b []string) bool {
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a) == len(b)
	case a[0] == ">" || b[0] == ">":
		return true
	case a[0] != b[0] && a[0] != "*" && b[0] != "*":
		return false
	}
	return meet(a[1:], b[1:])
}

func (g *generator) imports(w *world, a *account) {
	for _, from := range w.accounts {
		if from == a {
			continue
		}
		for _, e := range from.exports {
			if g.chance(0.65) && (!e.private || contains(e.to, a) || w.mode == operatorMode && g.chance(0.1)) {
				if i := g.imported(a, from, e); !g.circular(w, a, i) {
					a.imports = append(a.imports, i)
				}
			}
		}
	}
}

func contains(list []*account, a *account) bool {
	for _, each := range list {
		if each == a {
			return true
		}
	}
	return false
}

func (g *generator) imported(a, from *account, e *export) *imported {
	i := &imported{service: e.service, from: from, subject: e.subject}
	g.mark(fService, i.service)
	g.mark(fStream, !i.service)
	if e.position != 0 {
		words := strings.Split(e.subject, ".")
		words[e.position-1] = a.name
		if a.key != nil {
			words[e.position-1] = a.key.public()
		}
		i.subject = strings.Join(words, ".")
	} else if g.chance(0.3) {
		i.subject = g.fill(e.subject)
	}
	if e.private {
		g.mark(fActivation, a.key != nil)
		i.noToken = a.key != nil && g.chance(0.1)
		i.wrongIssuer = a.key != nil && g.chance(0.1)
	}
	form := g.IntN(10)
	// Who imports the same subject from two accounts must tell them apart, as must services whose
	// own subject is one's own export.
	if i.service && form < 3 {
		form = 3 + g.IntN(7)
	}
	switch {
	case form < 3:
	case form < 5 && !i.service:
		g.features[fPrefix] = true
		i.prefix = g.pick("i", "i.from", "p") + "." + strings.ToLower(from.name)
	default:
		g.features[fTo] = true
		i.local = g.localName(i.subject, from.name)
	}
	i.share = i.service && g.chance(0.2)
	return i
}

// localName makes a subject with the same wildcards, in one of the ways they may be written.
func (g *generator) localName(subject, from string) string {
	words := []string{g.pick("i", "s", "a"), strings.ToLower(from)}
	stars := strings.Count(subject, "*")
	order := g.Perm(stars)
	for _, n := range order {
		words = append(words, fmt.Sprint("$", n+1))
	}
	g.mark(fReferences, stars > 0)
	if stars == 0 && g.chance(0.3) {
		words = append(words, "x")
	}
	if strings.HasSuffix(subject, ">") {
		words = append(words, ">")
	}
	return strings.Join(words, ".")
}

// circular reports an import that could close a circle of accounts, going by whether subjects meet.
// Where there is no real circle the reference finds one or not as chance orders its accounts, so
// there is nothing to compare; real ones are among the wrong configurations.
func (g *generator) circular(w *world, a *account, i *imported) bool {
	a.imports = append(a.imports, i)
	defer func() { a.imports = a.imports[:len(a.imports)-1] }()
	for _, start := range w.accounts {
		for _, first := range start.imports {
			if first.service == i.service && first.returns([]string{first.localFilter(), first.subject}, map[*account]bool{start: true}) {
				return true
			}
		}
	}
	return false
}

// returns follows imports whose subjects meet one of those given until it comes to an account again.
func (i *imported) returns(subjects []string, visited map[*account]bool) bool {
	if visited[i.from] {
		return true
	}
	visited[i.from] = true
	defer delete(visited, i.from)
	for _, next := range i.from.imports {
		if next.service != i.service {
			continue
		}
		for _, subject := range subjects {
			if (filtersMeet(subject, next.subject) || filtersMeet(subject, next.localFilter())) &&
				next.returns(append(subjects, next.localFilter()), visited) {
				return true
			}
		}
	}
	return false
}

// localFilter is what an import's subjects look like in the importing account.
func (i *imported) localFilter() string {
	switch {
	case i.prefix != "":
		return i.prefix + "." + i.subject
	case i.local != "":
		return starred(i.local)
	}
	return i.subject
}
