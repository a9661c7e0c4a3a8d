package auth

import (
	"cmp"
	"encoding/base64"

	"github.com/nats-io/nkeys"
)

// Authenticate decides who brings these credentials. If that takes long, slow is not nil and the
// rest is nil: call it beside the loop, its answer is final. The errors are those of errors.go.
func (d *Directory) Authenticate(c Credentials) (id *Identity, slow func() (*Identity, error), err error) {
	id, later, err := d.authenticate(c)
	if later == nil {
		return d.heard.remember(id), nil, err
	}
	return nil, func() (*Identity, error) {
		id, err := later()
		return d.heard.remember(id), err
	}, nil
}

func (d *Directory) authenticate(c Credentials) (id *Identity, slow func() (*Identity, error), err error) {
	if d.operator != nil {
		return d.operator.authenticate(c)
	}
	named, id, slow, err := d.decide(&c)
	if d.callout == nil {
		return id, slow, err
	}
	return d.callout.authenticate(c, named, id, slow, err)
}

// decide goes by what is configured. named is the entry that the credentials are about, whether
// they are right or not.
func (d *Directory) decide(c *Credentials) (named *entry, id *Identity, slow func() (*Identity, error), err error) {
	if d.anyone != nil {
		return nil, d.anyone.identity, nil, nil
	}
	e, offered := d.find(c)
	byKey := c.NKey != "" && len(d.nkeys) > 0
	switch {
	case e == nil && byKey:
		return nil, nil, nil, refuse("nkey %s is not one of the users", cut(c.NKey))
	case e == nil && len(d.users) > 0 && d.mapsCertificate(c):
		return nil, nil, nil, refuseCertificate(c)
	case e == nil && c.none():
		return nil, nil, nil, ErrNoCredentials
	case e == nil && c.JWT != "" && c.User == "" && c.Password == "" && c.Token == "":
		return nil, nil, nil, refuse("the client shows a user JWT, and without operator there is nobody who could have signed it: give it a configured user")
	case e == nil && d.decoy != "":
		return nil, nil, func() (*Identity, error) {
			matches(d.decoy, offered)
			return nil, ErrCredentials
		}, nil
	case e == nil:
		return nil, nil, nil, ErrCredentials
	case !e.identity.Admits(c.Type):
		return e, nil, nil, refuse("user %q may not use a %s connection: see its allowed_connection_types", cut(e.identity.User), cmp.Or(c.Type, Standard))
	case e.proxied:
		return e, nil, nil, ErrProxyRequired
	case e.key && e == d.guest:
		return e, e.identity, nil, nil
	case e.key:
		nonce, signature := c.Nonce, c.Signature
		return e, nil, func() (*Identity, error) { return e.verify(nonce, signature) }, nil
	case e.secret.configured == "" && (d.mapped || d.mapsLeaves) && !d.mapsCertificate(c):
		return e, nil, nil, ErrCredentials // a user that only a certificate can be
	}
	right, known := e.secret.compare(offered)
	switch {
	case !known:
		return e, nil, func() (*Identity, error) {
			if !e.secret.compareHash(offered) {
				return nil, ErrCredentials
			}
			return e.identity, nil
		}, nil
	case !right:
		return e, nil, nil, ErrCredentials
	}
	return e, e.identity, nil, nil
}

// find looks for whom the credentials are about, and what they offer as a password, in the order
// in which nats-server looks.
func (d *Directory) find(c *Credentials) (e *entry, offered string) {
	offered = c.Password
	bare := c.User == "" && c.Password == "" && c.Token == ""
	if len(d.nkeys) > 0 {
		if c.NKey != "" {
			return d.nkeys[c.NKey], ""
		}
		if bare && d.guest != nil && d.guest.key {
			return d.guest, ""
		}
	}
	if len(d.users) > 0 {
		switch {
		case d.mapsCertificate(c):
			return d.fromCertificate(c), offered
		case bare && d.guest != nil && !d.guest.key:
			// What is configured is offered, and is no password if it is a hash.
			return d.guest, d.guest.secret.configured
		case c.User != "":
			return d.users[c.User], offered
		}
	}
	switch {
	case d.single == nil || c.none():
		return nil, offered
	case d.byToken:
		return d.single, c.Token
	case d.single.identity.User == c.User:
		return d.single, offered
	}
	return nil, offered
}

// verify checks the signature of the nonce.
func (e *entry) verify(nonce, signature string) (*Identity, error) {
	if !signed(e.identity.User, nonce, signature) {
		return nil, refuse("the signature of nkey %s is wrong or missing: does the client have its seed?", e.identity.User)
	}
	return e.identity, nil
}

// signed reports whether signature, in base64 of either alphabet, is that of text by the owner of
// a public key.
func signed(public, text, signature string) bool {
	if text == "" || signature == "" {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(signature); err != nil {
			return false
		}
	}
	key, err := nkeys.FromPublicKey(public)
	return err == nil && key.Verify([]byte(text), raw) == nil
}

// Refresh tells what has become of somebody that was let in before, after a reload or when its
// account has changed; nil if it may no longer be here. Who has shown a password that is no longer
// right may not, and nobody moves from one account to another.
func (d *Directory) Refresh(old *Identity) *Identity { return d.heard.remember(d.refresh(old)) }

func (d *Directory) refresh(old *Identity) *Identity {
	if d.operator != nil {
		id, _ := d.operator.refresh(old)
		return id
	}
	was := old.entry
	if was == nil {
		return d.callout.refresh(old)
	}
	now := d.successor(was)
	switch {
	case now == nil || now.proxied || now.identity.Account != old.Account:
		return nil
	case !was.stranger && !was.key && !was.secret.stillOpens(now.secret):
		return nil
	}
	return d.callout.restrict(now.identity)
}

// successor is the entry that an entry of an earlier Directory would be about now.
func (d *Directory) successor(was *entry) *entry {
	name := was.identity.User
	switch {
	case was.stranger && d.anyone != nil:
		return d.anyone
	case was.stranger:
		return d.guest
	case was.key:
		return d.nkeys[name]
	case d.single != nil:
		if d.single.identity.User == name { // a token has no name
			return d.single
		}
		return nil
	}
	return d.users[name]
}

// Lookup finds a user's identity by name.
func (d *Directory) Lookup(user string) *Identity {
	e := d.users[user]
	switch {
	case d.single != nil && d.single.identity.User == user:
		e = d.single
	case e == nil:
		e = d.nkeys[user]
	}
	if e == nil && user == "" {
		e = d.anyone
	}
	if e == nil {
		return nil
	}
	return e.identity
}
