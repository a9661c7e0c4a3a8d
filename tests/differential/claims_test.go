//go:build linux

package differential

import (
	"fmt"
	"strings"
	"time"
)

// Times of JWTs are fixed, so that a seed gives the same text again.
const (
	issuedAt  = 1700000000
	longAgo   = 1700000100
	farAhead  = int64(4000000000) // more than an int holds on 32 bits
	unlimited = -1
)

type claims = map[string]any

// preload writes what the operator, the accounts and the resolver need.
func (w *world) preload() string {
	var b strings.Builder
	if w.trusted {
		fmt.Fprintf(&b, "trusted_keys: [%s]\n", w.operator.public())
	} else {
		nats := claims{"type": "operator", "version": 2}
		if w.deputy != nil {
			nats["signing_keys"] = []string{w.deputy.public()}
		}
		fmt.Fprintf(&b, "operator: %s\n", w.operator.jwt(claims{"name": "op", "sub": w.operator.public(), "iat": issuedAt, "jti": "op", "nats": nats}))
	}
	fmt.Fprintf(&b, "system_account: %s\nresolver: MEMORY\nresolver_preload: {\n", w.system.key.public())
	for _, a := range append([]*account{w.system}, w.accounts...) {
		by := w.operator
		if a.byDeputy && w.deputy != nil {
			by = w.deputy
		}
		if !a.dropped {
			fmt.Fprintf(&b, "  %s: %s\n", a.key.public(), by.jwt(a.claims()))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (a *account) claims() claims {
	orUnlimited := func(n int) int {
		if n == 0 {
			return unlimited
		}
		return n
	}
	nats := claims{"type": "account", "version": 2, "limits": claims{
		"subs": orUnlimited(a.limits.subscriptions), "conn": orUnlimited(a.limits.connections), "payload": orUnlimited(a.limits.payload),
		"data": unlimited, "imports": unlimited, "exports": unlimited, "wildcards": true, "leaf": unlimited,
	}}
	var exports, imports []claims
	for _, e := range a.exports {
		exports = append(exports, e.claims())
	}
	for _, i := range a.imports {
		imports = append(imports, i.claims(a))
	}
	if exports != nil {
		nats["exports"] = exports
	}
	if imports != nil {
		nats["imports"] = imports
	}
	if a.defaults != nil {
		nats["default_permissions"] = a.defaults.claims()
	}
	if len(a.mappings) > 0 {
		mappings := claims{}
		for _, m := range a.mappings {
			var list []claims
			for _, destination := range m.destinations {
				list = append(list, claims{"subject": destination, "weight": m.weight})
			}
			mappings[m.source] = list
		}
		nats["mappings"] = mappings
	}
	var keys []any
	if a.signing != nil {
		keys = append(keys, a.signing.public())
	}
	if a.scoped != nil {
		template := a.template.claims()
		for _, name := range []string{"subs", "data", "payload"} {
			template[name] = unlimited
		}
		keys = append(keys, claims{"kind": "user_scope", "key": a.scoped.public(), "role": "r", "template": template})
	}
	if keys != nil {
		nats["signing_keys"] = keys
	}
	revocations := claims{}
	for _, u := range a.users {
		if u.revoked {
			revocations[u.key.public()] = longAgo
		}
	}
	if len(revocations) > 0 {
		nats["revocations"] = revocations
	}
	return claims{"name": a.name, "sub": a.key.public(), "iat": issuedAt, "jti": a.name, "nats": nats}
}

func (p *permissions) claims() claims {
	c := claims{}
	if p == nil {
		return c
	}
	for name, s := range map[string]*subjects{"pub": p.publish, "sub": p.subscribe} {
		if s == nil {
			continue
		}
		lists := claims{}
		if s.allow != nil {
			lists["allow"] = s.allow
		}
		if s.deny != nil {
			lists["deny"] = s.deny
		}
		c[name] = lists
	}
	if r := p.responses; r != nil {
		ttl, err := time.ParseDuration(r.expires)
		if err != nil {
			panic(err)
		}
		c["resp"] = claims{"max": max(r.max, 1), "ttl": int64(ttl)}
	}
	return c
}

func (e *export) claims() claims {
	c := claims{"name": e.subject, "subject": e.subject, "type": kindText(e.service)}
	if e.private {
		c["token_req"] = true
	}
	if e.position != 0 {
		c["account_token_position"] = e.position
	}
	if e.response != "" {
		c["response_type"] = map[string]string{"single": "Singleton", "stream": "Stream", "chunked": "Chunked"}[e.response]
	}
	return c
}

// claims of an import name the exporter's subject, and as local_subject ours: the older "to" means
// different things for streams and services.
func (i *imported) claims(a *account) claims {
	c := claims{"name": i.subject, "subject": i.subject, "account": i.from.key.public(), "type": kindText(i.service)}
	local := i.local
	if i.prefix != "" {
		local = i.prefix + "." + references(i.subject)
	}
	if local != "" {
		c["local_subject"] = local
	}
	if i.share {
		c["share"] = true
	}
	for _, e := range i.from.exports {
		if e.private && e.service == i.service && !i.noToken {
			issuer := i.from.key
			if i.wrongIssuer {
				issuer = a.key
			}
			c["token"] = issuer.jwt(claims{
				"name": "activation", "sub": a.key.public(), "iat": issuedAt, "jti": "activation",
				"nats": claims{"type": "activation", "version": 2, "subject": i.subject, "kind": kindText(i.service)},
			})
		}
	}
	return c
}

// references writes a filter's stars as $1, $2.
func references(filter string) string {
	words, n := strings.Split(filter, "."), 0
	for i, word := range words {
		if word == "*" {
			n++
			words[i] = fmt.Sprint("$", n)
		}
	}
	return strings.Join(words, ".")
}

// jwt is what a user shows.
func (u *user) jwt() string {
	nats := claims{"type": "user", "version": 2}
	if u.signer != byScopedKey {
		nats = u.permissions.claims()
		nats["type"], nats["version"] = "user", 2
		for name, value := range map[string]int{"subs": u.subscriptions, "data": 0, "payload": u.payload} {
			if value == 0 {
				value = unlimited
			}
			nats[name] = value
		}
		if u.bearer {
			nats["bearer_token"] = true
		}
		if u.types != nil {
			nats["allowed_connection_types"] = u.types
		}
		if u.source != "" {
			nats["src"] = []string{u.source}
		}
	}
	by := u.account.key
	switch u.signer {
	case bySigningKey:
		by = u.account.signing
	case byScopedKey:
		by = u.account.scoped
	case byStranger:
		by = newKey(accountKey, "stranger")
	}
	if len(u.tags) > 0 {
		nats["tags"] = u.tags
	}
	if u.signer != byAccount {
		nats["issuer_account"] = u.account.key.public()
	}
	c := claims{"name": u.name, "sub": u.key.public(), "iat": issuedAt, "jti": u.name, "nats": nats}
	if u.expired {
		c["exp"] = longAgo
	} else if u.bearer {
		c["exp"] = farAhead
	}
	return by.jwt(c)
}
