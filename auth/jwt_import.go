package auth

import (
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/edgebus-io/edgebus/subject"
)

// maxImportSearch bounds the accounts that a search for circles of imports visits.
const maxImportSearch = 1024

// importOf turns an import's claim into ours. What it calls from and to depends on its type.
func importOf(i *jwt.Import) Import {
	x := Import{Service: i.IsService(), From: i.Account, Subject: string(i.Subject), Share: i.Share, AllowTrace: i.AllowTrace}
	local, to := string(i.LocalSubject), i.GetTo()
	switch {
	case local != "":
		x.To = local
	case x.Service && to != "":
		// The old form: the subject is the importer's, "to" the exporter's.
		x.Subject, x.To = to, x.Subject
	case x.Service || to == "":
		x.To = x.Subject
	default:
		x.To = strings.TrimSuffix(to, ".") + "." + x.Subject
		if !subject.ValidLiteral(strings.TrimSuffix(to, ".")) {
			x.To = "" // a prefix with wildcards: check refuses it
		}
	}
	return x
}

// authorizes reports whether a lets importer have what x imports, and until when.
func (a *claimed) authorizes(importer *claimed, x *Import, claim *jwt.Import, now time.Time) (until time.Time, ok bool) {
	var export *jwt.Export
	exact := false
	for _, e := range a.claims.Exports {
		if e.IsService() != x.Service || !tokenIsStar(string(e.Subject), int(e.AccountTokenPosition)) {
			continue
		}
		if string(e.Subject) == x.Subject {
			export, exact = e, true
			break
		}
		if export == nil && subject.Subset(string(e.Subject), x.Subject) {
			export = e
		}
	}
	switch {
	case export == nil:
		return until, false
	case export.AccountTokenPosition > 0:
		// The subject itself says who may have it; the export's own subject says everybody.
		tokens := strings.Split(x.Subject, ".")
		place := int(export.AccountTokenPosition)
		return until, !exact && place <= len(tokens) && tokens[place-1] == importer.name
	case export.TokenReq:
		return a.activates(importer, claim, export, now)
	}
	return until, true
}

// activates reports whether the import shows a valid activation token of a.
func (a *claimed) activates(importer *claimed, claim *jwt.Import, export *jwt.Export, now time.Time) (until time.Time, ok bool) {
	token := importer.tokens[claim]
	if token == nil {
		return until, false
	}
	if token.IssuerAccount != "" {
		if _, known := a.signers[token.Issuer]; token.IssuerAccount != a.name || !known {
			return until, false
		}
	}
	results := jwt.CreateValidationResults()
	token.Validate(results)
	if results.IsBlocking(true) || token.Expires != 0 && token.Expires <= now.Unix() {
		return until, false
	}
	return timeOf(token.Expires), !revoked(export.Revocations, token.Subject, token.IssuedAt)
}

// tokensOf checks the activation tokens of an account's imports as far as that does not depend on
// time or on the exporter, since signatures take long. Those that are wrong are left out.
func tokensOf(claims *jwt.AccountClaims) map[*jwt.Import]*jwt.ActivationClaims {
	var tokens map[*jwt.Import]*jwt.ActivationClaims
	for _, i := range claims.Imports {
		if i.Token == "" {
			continue
		}
		results := jwt.CreateValidationResults()
		i.Validate(claims.Subject, results)
		token, err := jwt.DecodeActivationClaims(i.Token)
		if err != nil || results.IsBlocking(true) {
			continue
		}
		if tokens == nil {
			tokens = make(map[*jwt.Import]*jwt.ActivationClaims)
		}
		tokens[i] = token
	}
	return tokens
}

// formsCircle reports whether importer would get back, by way of other accounts' imports, what it
// imports with x. get returns an account as it is now.
func formsCircle(importer string, x *Import, get func(name string) *Account) bool {
	visited := map[string]bool{importer: true}
	if x.Service {
		return circleOf(x.From, unnumbered(x.To), true, visited, get)
	}
	return circleOf(x.From, x.To, false, visited, get) || circleOf(x.From, x.Subject, false, map[string]bool{importer: true}, get)
}

// circleOf follows the imports of an account that touch filter, as nats-server does.
func circleOf(name, filter string, service bool, visited map[string]bool, get func(name string) *Account) bool {
	a := get(name)
	if a == nil || !service && !a.exportsStream(filter) {
		return false
	}
	if len(visited) >= maxImportSearch {
		return true
	}
	for i := range a.Imports {
		x := &a.Imports[i]
		if x.Service != service {
			continue
		}
		touched, becomes := x.Subject, unnumbered(x.To)
		if !service {
			touched = becomes
		}
		if !subject.Overlap(filter, touched) {
			continue
		}
		if visited[x.From] {
			return true
		}
		visited[name] = true
		next := filter
		if subject.Subset(filter, becomes) {
			next = becomes
		}
		if circleOf(x.From, next, service, visited, get) {
			return true
		}
	}
	return false
}

// exportsStream reports whether all of filter is exported.
func (a *Account) exportsStream(filter string) bool {
	for i := range a.Exports {
		if !a.Exports[i].Service && subject.Subset(a.Exports[i].Subject, filter) {
			return true
		}
	}
	return false
}
