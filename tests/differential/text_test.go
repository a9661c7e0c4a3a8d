//go:build linux

package differential

import (
	"fmt"
	"strconv"
	"strings"
)

// text writes a world as a configuration.
func (w *world) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: differential\nmax_payload: %d\n", w.payload)
	switch w.mode {
	case tokenMode:
		if w.single != nil {
			fmt.Fprintf(&b, "authorization { timeout: 20, user: %q, password: %q%s }\n", w.single.name, w.single.password, w.defaultText())
		} else {
			fmt.Fprintf(&b, "authorization { timeout: 20, token: %q%s }\n", w.token, w.defaultText())
		}
	case usersMode:
		fmt.Fprintf(&b, "authorization {\n  timeout: 20%s\n  users: [\n%s  ]\n}\n", w.defaultText(), usersText(w.users))
	case accountsMode:
		fmt.Fprintf(&b, "authorization { timeout: 20%s }\naccounts {\n", w.defaultText())
		for _, a := range w.accounts {
			b.WriteString(a.text())
		}
		b.WriteString("}\n")
	case operatorMode:
		b.WriteString("authorization { timeout: 20 }\n" + w.preload())
	}
	if len(w.mappings) > 0 {
		b.WriteString(mappingsText(w.mappings))
	}
	if w.noAuth != nil {
		fmt.Fprintf(&b, "no_auth_user: %s\n", w.noAuth.login())
	}
	return b.String() + w.wrong
}

// login is how other parts of a configuration name a user.
func (u *user) login() string {
	if u.key != nil {
		return u.key.public()
	}
	return u.name
}

// hashedPassword is the password of all users who have a hash of it: making hashes needs a library,
// and takes time.
const hashedPassword, passwordHash = "pw", "$2b$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW"

// secret is what the configuration has for a password.
func (u *user) secret() string {
	if u.hashed && u.password == hashedPassword {
		return passwordHash
	}
	return u.password
}

func (w *world) defaultText() string {
	if w.defaults == nil {
		return ""
	}
	return ", default_permissions: " + w.defaults.text()
}

func usersText(users []*user) string {
	var b strings.Builder
	for _, u := range users {
		if u.key != nil {
			fmt.Fprintf(&b, "    {nkey: %s", u.key.public())
		} else {
			fmt.Fprintf(&b, "    {user: %q, password: %q", u.name, u.secret())
		}
		if u.permissions != nil {
			b.WriteString(", permissions: " + u.permissions.text())
		}
		if u.types != nil {
			b.WriteString(", allowed_connection_types: " + list(u.types))
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (p *permissions) text() string {
	var parts []string
	if p.publish != nil {
		parts = append(parts, "publish: "+p.publish.text())
	}
	if p.subscribe != nil {
		parts = append(parts, "subscribe: "+p.subscribe.text())
	}
	if r := p.responses; r != nil {
		text := "allow_responses: true"
		if r.max != 0 {
			text = fmt.Sprintf("allow_responses: {max: %d, expires: %q}", r.max, r.expires)
		}
		parts = append(parts, text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (s *subjects) text() string {
	switch {
	case s.deny == nil && len(s.allow) == 1:
		return strconv.Quote(s.allow[0])
	case s.deny == nil:
		return list(s.allow)
	case s.allow == nil:
		return "{deny: " + list(s.deny) + "}"
	}
	return "{allow: " + list(s.allow) + ", deny: " + list(s.deny) + "}"
}

func list(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (a *account) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s {\n    users: [\n%s    ]\n", a.name, usersText(a.users))
	if len(a.exports) > 0 {
		b.WriteString("    exports: [\n")
		for _, e := range a.exports {
			b.WriteString("      " + e.text() + "\n")
		}
		b.WriteString("    ]\n")
	}
	if len(a.imports) > 0 {
		b.WriteString("    imports: [\n")
		for _, i := range a.imports {
			b.WriteString("      " + i.text() + "\n")
		}
		b.WriteString("    ]\n")
	}
	if len(a.mappings) > 0 {
		b.WriteString("    " + mappingsText(a.mappings))
	}
	if a.defaults != nil {
		b.WriteString("    default_permissions: " + a.defaults.text() + "\n")
	}
	if l := a.limits; l != (limits{}) {
		var parts []string
		for _, each := range []struct {
			name  string
			value int
		}{{"max_connections", l.connections}, {"max_subscriptions", l.subscriptions}, {"max_payload", l.payload}} {
			if each.value != 0 {
				parts = append(parts, fmt.Sprintf("%s: %d", each.name, each.value))
			}
		}
		b.WriteString("    limits: {" + strings.Join(parts, ", ") + "}\n")
	}
	b.WriteString("  }\n")
	return b.String()
}

func (e *export) text() string {
	parts := []string{fmt.Sprintf("%s: %q", kindText(e.service), e.subject)}
	if e.private {
		var names []string
		for _, to := range e.to {
			names = append(names, to.name)
		}
		parts = append(parts, "accounts: "+list(names))
	}
	if e.position != 0 {
		parts = append(parts, fmt.Sprintf("account_token_position: %d", e.position))
	}
	if e.response != "" {
		parts = append(parts, "response_type: "+e.response)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func kindText(service bool) string {
	if service {
		return "service"
	}
	return "stream"
}

func (i *imported) text() string {
	text := fmt.Sprintf("{%s: {account: %s, subject: %q}", kindText(i.service), i.from.name, i.subject)
	switch {
	case i.prefix != "":
		text += fmt.Sprintf(", prefix: %q", i.prefix)
	case i.local != "":
		text += fmt.Sprintf(", to: %q", i.local)
	}
	if i.share {
		text += ", share: true"
	}
	return text + "}"
}

func mappingsText(mappings []mapping) string {
	var b strings.Builder
	b.WriteString("mappings: {\n")
	for _, m := range mappings {
		fmt.Fprintf(&b, "      %q: ", m.source)
		if m.weight == 0 && len(m.destinations) == 1 {
			fmt.Fprintf(&b, "%q\n", m.destinations[0])
			continue
		}
		var parts []string
		for _, destination := range m.destinations {
			parts = append(parts, fmt.Sprintf("{destination: %q, weight: %d%%}", destination, m.weight))
		}
		b.WriteString("[" + strings.Join(parts, ", ") + "]\n")
	}
	b.WriteString("    }\n")
	return b.String()
}
