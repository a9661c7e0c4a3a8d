package leafnode

import (
	"cmp"
	"errors"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// Who a leaf that joins us is.

// doConnect takes a leaf's CONNECT.
func (k *link) doConnect(args []byte) error {
	c, err := parseConnect(args)
	if err != nil {
		return k.failWith(err)
	}
	given := auth.Credentials{
		User: c.User, Password: c.Password, Token: c.Token, NKey: c.NKey, Signature: c.Signature, JWT: c.JWT, Nonce: k.nonce,
		Type: auth.LeafNode, Remote: k.conn.RemoteAddr().Addr(), TLS: k.conn.TLS(),
		Name: c.Name, Lang: c.Lang, Version: c.Version, Protocol: c.Proto, ID: k.conn.ID(),
	}
	wait, ok := k.node.slowdown.Begin(&given, k.node.settings.Load().mostFailed(), engine.Now())
	if !ok {
		return k.fail(errSlowedDown)
	}
	if wait > 0 {
		k.loginLater(&c, given, wait)
		return nil
	}
	return k.login(&c, given)
}

// mostFailed is how many failed logins of an address cost nothing. Where nobody has to say who he is,
// there is nothing to guess, and having come in means nothing.
func (set *settings) mostFailed() int {
	if !set.directory.Required() {
		return -1
	}
	return set.MaxFailedLogins
}

// loginLater is login after a while, for an address from which many logins have failed.
func (k *link) loginLater(c *connect, given auth.Credentials, wait time.Duration) {
	k.isAway = true
	k.conn.Rest(wait)
	time.AfterFunc(wait, func() {
		k.node.slowdown.Waited(given.Remote)
		k.conn.Post(func(l *engine.Loop) {
			k.isAway = false
			if err := k.login(c, given); err != nil {
				k.conn.Close(err)
				return
			}
			l.Again(k.conn)
		})
	})
}

// login finds out who brings these credentials. If that takes long it is done beside the loop, and
// input waits for it.
func (k *link) login(c *connect, given auth.Credentials) error {
	set := k.node.settings.Load()
	id, slow, err := set.directory.Authenticate(given)
	slowdown, most := k.node.slowdown, set.mostFailed()
	if slow == nil {
		slowdown.Note(&given, err, most, engine.Now())
		return k.finishLogin(c, &given, id, err)
	}
	changes := k.node.changes.Load()
	yields := func() bool { return slowdown.Yields(&given, most, engine.Now()) }
	away := k.conn.AwayYielding(yields, func() {
		id, err = slow()
		slowdown.Note(&given, err, most, engine.Now()) // of who hangs up meanwhile, too
	}, func(*engine.Loop) {
		k.isAway = false
		if err == nil && k.node.changes.Load() != changes { // which have passed by a link that was nobody's yet
			id, err = k.node.settings.Load().directory.Recheck(id)
		}
		if err := k.finishLogin(c, &given, id, err); err != nil {
			k.conn.Close(err)
		}
	})
	if !away {
		return k.fail(errBusy)
	}
	k.isAway = true
	return nil
}

// finishLogin lets in whom the directory lets in.
func (k *link) finishLogin(c *connect, given *auth.Credentials, id *auth.Identity, err error) error {
	set := k.node.settings.Load()
	switch {
	case errors.Is(err, auth.ErrNoAnswer):
		k.closeLater(whyNot(err), set.directory.Timeout())
		return nil
	case err != nil:
		why := whyNot(err)
		if c.Lang != "" {
			why.remedy = errClientHere.remedy // which is told it, as by nats-server, only if it may come in
		}
		k.tellRefused(c, given, why)
		return k.fail(why)
	case !id.Admits(auth.LeafNode):
		why := *errAuthorization
		why.remedy = "the leaf's user may not use this type of connection: add LEAFNODE to its allowed_connection_types"
		return k.fail(&why)
	}
	k.identity = id
	account := k.node.broker.Account(cmp.Or(id.Account, set.DefaultAccount))
	imports, exports := limitsOf(id.Perms)
	isSystem := account.Name() == set.directory.SystemAccount()
	welcome := func() { k.say(string(k.acceptor.welcome(account.Name(), isSystem, &imports, &exports))) }
	refusal := k.acceptor.connect(c)
	k.facts = facts{
		account: account.Name(), system: isSystem, name: c.Name, serverID: c.ServerID,
		cluster: c.Cluster, version: c.Version, theirs: c.RemoteAccount, hub: c.Hub, isolated: set.Isolate || c.Isolate, alone: c.Isolate,
		headers: c.Headers, mode: k.acceptor.mode(), secure: k.isSecured, own: k.acceptor.config.compression,
	}
	k.facts.offered, k.facts.offers = k.acceptor.offered(c)
	k.facts.toldPayload = k.acceptor.config.maxPayload
	if refusal != nil {
		var why *closing
		if errors.As(refusal, &why) && why.welcomed {
			welcome()
		}
		return k.failWith(refusal)
	}
	if k.filter, err = newFilter(exports, imports, nil, c.DenyPub, k.facts.system, true); err != nil {
		return k.failWith(err)
	}
	if err := k.settle(account); err != nil {
		return err
	}
	k.acceptor.config.cluster = k.facts.toldCluster // we may have begun to dial since we greeted
	welcome()
	return k.enter(account)
}

// tellRefused announces that a leaf has not shown who it is.
func (k *link) tellRefused(c *connect, given *auth.Credentials, why *closing) {
	if k.node.events == nil {
		return
	}
	e := k.event()
	e.Name, e.Version, e.Reason = c.Name, c.Version, why.reason
	e.User = cut(cmp.Or(given.NKey, given.User))
	k.node.events.Refused(e)
}

// closeLater is close for a leaf about which there is nobody to ask. nats-server waits for an answer that
// does not come, and until the service is back leaves ask no more often than they do of it.
func (k *link) closeLater(why *closing, wait time.Duration) {
	k.isAway = true
	k.conn.Rest(wait + time.Second) // longer than the timer
	time.AfterFunc(wait, func() { k.conn.Post(func(*engine.Loop) { k.close(why) }) })
}

// whyNot is errAuthorization with what there is to do about an error of a login. Leaves are told the same
// about all of them.
func whyNot(err error) *closing {
	why := *errAuthorization
	switch err {
	case auth.ErrNoCredentials:
		why.remedy = "the leaf brings no credentials: give its remote a url with user and password, or credentials or nkey"
	case auth.ErrProxyRequired:
		why.remedy = "the leaf's user may only come through a trusted proxy, which there is none of here: use another user"
	case auth.ErrExpired:
		why.remedy = errExpired.remedy
	case auth.ErrAccountExpired:
		why.remedy = "the account of the leaf's user has expired: push a new account JWT. Is the clock right?"
	case auth.ErrRevoked:
		why.remedy = "the leaf's user was revoked in its account's JWT: give the leaf new credentials"
	case auth.ErrBearer:
		why.remedy = "the account does not allow bearer tokens: give the leaf credentials with a key"
	default:
		if detail := auth.Detail(err); detail != "" {
			why.remedy = cut(detail)
		}
	}
	return &why
}
