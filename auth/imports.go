package auth

import (
	"slices"
	"strconv"
	"strings"

	"github.com/edgebus-io/edgebus/subject"
)

// checkImports refuses imports from accounts that are not among these or do not export to the
// importer what it imports, and circles of imports, in which a message would go round for ever.
func checkImports(accounts []*Account) error {
	byName := make(map[string]*Account, len(accounts))
	for _, a := range accounts {
		byName[a.Name] = a
	}
	for _, a := range accounts {
		for i := range a.Imports {
			if err := a.Imports[i].allowed(a.Name, byName[a.Imports[i].From]); err != nil {
				return badf("account %q: %w", cut(a.Name), err)
			}
		}
	}
	return checkCircles(accounts)
}

// what is the kind of an import or export, in words.
func what(service bool) string {
	if service {
		return "service"
	}
	return "stream"
}

// allowed reports what keeps an account from importing i.
func (i *Import) allowed(importer string, exporter *Account) error {
	kind := what(i.Service)
	if exporter == nil {
		return badf("imports %s %q of account %q, which is not defined", kind, cut(i.Subject), cut(i.From))
	}
	e := exporter.ExportOf(i.Service, i.Subject)
	switch {
	case e == nil:
		return badf("imports %s %q, which account %q does not export: add it to its exports", kind, cut(i.Subject), cut(i.From))
	case !e.admits(importer, i.Subject):
		return badf("imports %s %q, which account %q exports to others only", kind, cut(i.Subject), cut(i.From))
	}
	return nil
}

// ExportOf finds what a exports an imported subject by: the same subject, or the narrowest that
// covers it; nil if there is none.
func (a *Account) ExportOf(service bool, imported string) *Export {
	var best *Export
	for i := range a.Exports {
		e := &a.Exports[i]
		switch {
		case e.Service != service:
		case e.Subject == imported:
			return e
		case subject.Subset(e.Subject, imported) && (best == nil || subject.Subset(best.Subject, e.Subject)):
			best = e
		}
	}
	return best
}

// admits reports whether an account may import a subject that the export covers.
func (e *Export) admits(importer, imported string) bool {
	if e.TokenPosition > 0 {
		tokens := strings.Split(imported, ".")
		return e.TokenPosition <= len(tokens) && tokens[e.TokenPosition-1] == importer
	}
	return e.Accounts == nil || slices.Contains(e.Accounts, importer)
}

// check refuses subjects that cannot be turned into one another.
func (i *Import) check() error {
	switch {
	case !subject.ValidFilter(i.Subject):
		return badf("it is not a valid subject")
	case !subject.ValidFilter(i.To):
		return badf("%q is not a valid subject in this account", cut(i.To))
	case !subject.HasWildcard(i.Subject) || i.To == i.Subject:
		return nil
	}
	return reversible(unnumbered(i.Subject), numbered(i.To))
}

// numbered turns each "*" of a filter into $1, $2 and so on.
func numbered(filter string) string {
	tokens := strings.Split(filter, ".")
	n := 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = "$" + strconv.Itoa(n)
		}
	}
	return strings.Join(tokens, ".")
}

// unnumbered turns each $1 or {{wildcard(1)}} of a destination into "*".
func unnumbered(destination string) string {
	tokens := strings.Split(destination, ".")
	for i, token := range tokens {
		if isPlace(token) {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// isPlace reports whether a token of a destination stands for a wildcard of the source.
func isPlace(token string) bool {
	if len(token) > 1 && token[0] == '$' {
		return token[1] >= '1' && token[1] <= '9'
	}
	inner, opened := strings.CutPrefix(token, "{{")
	inner, closed := strings.CutSuffix(inner, "}}")
	inner = strings.TrimSpace(inner)
	return opened && closed && len(inner) > len("wildcard") && strings.EqualFold(inner[:len("wildcard")], "wildcard")
}

// reversible refuses destinations that do not say all about what they were made of, as imports
// must: an answer, or a subscription, goes the other way.
func reversible(source, destination string) error {
	if _, err := subject.NewTransform(source, destination); err != nil {
		return err
	}
	stars, places := 0, 0
	for _, token := range strings.Split(source, ".") {
		if token == "*" {
			stars++
		}
	}
	for _, token := range strings.Split(destination, ".") {
		switch {
		case isPlace(token):
			places++
		case strings.HasPrefix(token, "{{") && strings.HasSuffix(token, "}}"):
			return badf("%q cannot be used in an import, only wildcards can", cut(token))
		}
	}
	if places < stars {
		return badf("%q does not use all wildcards of %q", cut(destination), cut(source))
	}
	return nil
}

// A hop is one import on a message's way: it enters one account and comes out in another.
type hop struct {
	service          bool
	enters, leaves   string // accounts
	enterAs, leaveAs string // subjects there, with wildcards
	importer         string
	imported         *Import
	state            hopState
}

type hopState uint8

const (
	unseen hopState = iota
	onPath
	done
)

// checkCircles looks for a way of imports that comes back to itself.
func checkCircles(accounts []*Account) error {
	byEntry := map[string][]*hop{} // by the account that a message enters in
	var all []*hop
	for _, a := range accounts {
		for i := range a.Imports {
			h := newHop(a.Name, &a.Imports[i])
			byEntry[h.enters] = append(byEntry[h.enters], h)
			all = append(all, h)
		}
	}
	for _, h := range all {
		if circle := h.follow(byEntry, nil); circle != nil {
			return circleError(circle)
		}
	}
	return nil
}

func newHop(importer string, i *Import) *hop {
	h := &hop{service: i.Service, importer: importer, imported: i}
	here, there := unnumbered(i.To), unnumbered(i.Subject)
	if i.Service { // a request goes from the importer to the exporter
		h.enters, h.enterAs, h.leaves, h.leaveAs = importer, here, i.From, there
	} else {
		h.enters, h.enterAs, h.leaves, h.leaveAs = i.From, there, importer, here
	}
	return h
}

// follow walks on from h, and returns the way from the first hop that it comes to twice.
func (h *hop) follow(byEntry map[string][]*hop, path []*hop) []*hop {
	switch h.state {
	case done:
		return nil
	case onPath:
		return path[slices.Index(path, h):]
	}
	h.state = onPath
	path = append(path, h)
	for _, next := range byEntry[h.leaves] {
		if next.service == h.service && subject.Overlap(h.leaveAs, next.enterAs) {
			if circle := next.follow(byEntry, path); circle != nil {
				return circle
			}
		}
	}
	h.state = done
	return nil
}

func circleError(circle []*hop) error {
	steps := make([]string, len(circle))
	for i, h := range circle {
		steps[i] = cut(h.importer) + " imports " + what(h.service) + " " + strconv.Quote(cut(h.imported.Subject)) + " from " + cut(h.imported.From)
	}
	return badf("imports form a cycle: %s", strings.Join(steps, ", "))
}
