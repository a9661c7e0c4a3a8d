package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/edgebus-io/edgebus/subject"
)

// maxTemplateSubjects bounds what one entry of a template may become, as nats-server does: tags
// multiply.
const maxTemplateSubjects = 4096

var (
	placeholder = regexp.MustCompile(`{{2}([^}]+)}{2}`)

	errTemplate = errors.New("the template of the signing key does not fit the user")
)

// A template fills the permissions that a scoped signing key gives its users.
//
//	{{name()}} {{subject()}}                  of the user's JWT: its name, its public key
//	{{account-name()}} {{account-subject()}}  of the account
//	{{tag(x)}} {{account-tag(x)}}             the rest of each tag "x:…" of the user or the account
//
// As soon as one entry of a list has a placeholder, entries that name a queue count as invalid:
// nats-server has it so.
type template struct {
	user    *jwt.UserClaims
	account *claimed
}

// fill returns the limits of the signing key with the permissions filled in.
func (t *template) fill(limits jwt.UserPermissionLimits) (jwt.UserPermissionLimits, error) {
	p := &limits.Permissions
	for _, list := range []struct {
		entries *jwt.StringList
		deny    *jwt.StringList // of an allow list: its other half
	}{{&p.Sub.Deny, nil}, {&p.Pub.Deny, nil}, {&p.Sub.Allow, &p.Sub.Deny}, {&p.Pub.Allow, &p.Pub.Deny}} {
		had := len(*list.entries) > 0
		filled, err := t.entries(*list.entries, list.deny == nil)
		if err != nil {
			return limits, err
		}
		*list.entries = filled
		if list.deny != nil && had && len(filled) == 0 {
			// An allow list of which nothing is left allows nothing. An empty one would allow all.
			*list.deny = append((*list.deny)[:len(*list.deny):len(*list.deny)], ">")
		}
	}
	return limits, nil
}

// entries fills a list. An entry that becomes no valid subject is left out, unless the list denies:
// then nobody gets in, since less would be denied than was meant.
func (t *template) entries(list jwt.StringList, denies bool) (jwt.StringList, error) {
	filled := false
	for _, entry := range list {
		filled = filled || placeholder.MatchString(entry)
	}
	if !filled {
		return list, nil
	}
	out := make(jwt.StringList, 0, len(list))
	for _, entry := range list {
		made, err := t.entry(entry, denies)
		if err != nil {
			return nil, err
		}
		if len(out)+len(made) > maxTemplateSubjects {
			return nil, fmt.Errorf("%w: it gives more than %d subjects", errTemplate, maxTemplateSubjects)
		}
		for _, s := range made {
			if subject.ValidFilter(s) {
				out = append(out, s)
			} else if denies {
				return nil, fmt.Errorf("%w: it gives no valid subject", errTemplate)
			}
		}
	}
	return out, nil
}

// entry returns all that one entry becomes: each placeholder multiplies it by its values.
func (t *template) entry(entry string, denies bool) ([]string, error) {
	made := []string{entry}
	for _, token := range placeholder.FindAllString(entry, -1) {
		values, err := t.values(strings.TrimSpace(token[2 : len(token)-2]))
		if err != nil {
			return nil, err
		}
		if len(values) == 0 {
			if denies {
				return nil, fmt.Errorf("%w: a tag is missing", errTemplate)
			}
			return nil, nil
		}
		if len(made) > maxTemplateSubjects/len(values) {
			return nil, fmt.Errorf("%w: it gives more than %d subjects", errTemplate, maxTemplateSubjects)
		}
		var next []string
		for _, s := range made {
			if !strings.Contains(s, token) {
				next = append(next, s) // the same placeholder stood earlier in the entry
				continue
			}
			for _, value := range values {
				next = append(next, strings.ReplaceAll(s, token, value))
			}
		}
		made = next
	}
	return made, nil
}

// values returns what a placeholder stands for; none if it is a tag that is not there.
func (t *template) values(call string) ([]string, error) {
	switch strings.ToLower(call) {
	case "name()":
		return []string{t.user.Name}, nil
	case "subject()":
		return []string{t.user.Subject}, nil
	case "account-name()":
		return []string{t.account.claims.Name}, nil
	case "account-subject()":
		return []string{t.account.name}, nil
	}
	if name, ok := tagCall(call, "tag("); ok {
		return tagValues(t.user.Tags, name), nil
	}
	if name, ok := tagCall(call, "account-tag("); ok {
		return tagValues(t.account.claims.Tags, name), nil
	}
	return nil, fmt.Errorf("%w: it calls %q, which is not known", errTemplate, cut(call))
}

// tagCall returns the tag's name. nats-server knows the call in any case of letters, but then looks
// for a tag that is never there.
func tagCall(call, name string) (tag string, ok bool) {
	if len(call) < len(name) || !strings.EqualFold(call[:len(name)], name) || !strings.HasSuffix(call, ")") {
		return "", false
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(call, name), ")")), true
}

func tagValues(tags jwt.TagList, name string) (values []string) {
	for _, tag := range tags {
		if value, ok := strings.CutPrefix(tag, name+":"); ok {
			values = append(values, value)
		}
	}
	return values
}
