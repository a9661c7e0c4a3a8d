package server

import (
	"errors"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// doConnect reads who the client is. Another CONNECT amends the one before and begins anew with
// credentials and subscriptions.
func (s *session) doConnect(set *settings, w *work, args []byte) error {
	if s.rtt == 0 { // a guess until the first PONG, as nats-server makes it
		s.rtt = microseconds(engine.Now() - s.lastIn)
	}
	c := &w.connect
	*c = connectRequest{
		verbose: s.is(isVerbose), pedantic: s.is(isPedantic), echo: s.is(wantsEcho),
		headers: s.is(hasHeaders), noResponders: s.is(wantsNoResponders), scratch: c.scratch,
	}
	if s.is(takesInfo) {
		c.protocol = 1
	}
	ok := c.parse(args)
	defer c.forget()
	if !ok {
		return s.fail(errBadConnect)
	}
	s.set(isVerbose, c.verbose)
	s.set(isPedantic, c.pedantic)
	s.set(wantsEcho, c.echo)
	s.set(wantsNoResponders, c.noResponders)
	s.set(hasHeaders, c.headers && !set.NoHeaderSupport)
	s.set(takesInfo, c.protocol == 1)

	if s.about != nil && !c.hasUser && !c.hasPassword && !c.hasSecret {
		return s.admit(set, c, s.about.identity)
	}
	if !set.directory.Required() {
		id, _, _ := set.directory.Authenticate(auth.Credentials{})
		return s.admit(set, c, id)
	}
	given := s.credentials(set, c)
	wait, ok := s.door.server.slowdown.Begin(&given, set.MaxFailedLogins, engine.Now())
	if !ok {
		return s.refuse(c, errSlowedDown)
	}
	if wait > 0 {
		return s.loginLater(c, given, wait)
	}
	return s.login(set, c, given)
}

// credentials is what a CONNECT brings, and what is known of the connection besides.
func (s *session) credentials(set *settings, c *connectRequest) auth.Credentials {
	given := auth.Credentials{
		User: string(c.user), Password: string(c.password), Token: string(c.token),
		NKey: string(c.nkey), Signature: string(c.signature), JWT: string(c.jwt),
		Type: auth.Standard, Remote: s.conn.RemoteAddr().Addr(), TLS: s.conn.TLS(),
		Name: string(c.name), Lang: string(c.lang), Version: string(c.version), Protocol: int(c.protocol), ID: s.conn.ID(),
	}
	if set.needNonce {
		given.Nonce = string(s.door.server.appendNonce(nil, s.conn.ID()))
	}
	return given
}

// loginLater is login after a while, for an address from which many logins have failed.
func (s *session) loginLater(c *connectRequest, given auth.Credentials, wait time.Duration) error {
	kept := c.clone()
	s.flags |= isAway
	s.conn.Rest(wait)
	time.AfterFunc(wait, func() {
		s.door.server.slowdown.Waited(given.Remote)
		s.conn.Post(func(l *engine.Loop) {
			s.flags &^= isAway
			if err := s.login(s.door.server.settings.Load(), kept, given); err != nil {
				s.end(err)
				return
			}
			l.Again(s.conn)
			s.settle()
		})
	})
	return nil
}

// login finds out who brings these credentials. If that takes long it is done beside the loop, and
// input waits for it.
func (s *session) login(set *settings, c *connectRequest, given auth.Credentials) error {
	id, slow, err := set.directory.Authenticate(given)
	server := s.door.server
	if slow == nil {
		server.slowdown.Note(&given, err, set.MaxFailedLogins, engine.Now())
		return s.finishLogin(set, c, id, err)
	}
	kept, changes := c.clone(), server.changes.Load()
	yields := func() bool { return server.slowdown.Yields(&given, set.MaxFailedLogins, engine.Now()) }
	away := s.conn.AwayYielding(yields, func() {
		id, err = slow()
		server.slowdown.Note(&given, err, set.MaxFailedLogins, engine.Now()) // of who hangs up meanwhile, too
	}, func(*engine.Loop) {
		s.flags &^= isAway
		now := server.settings.Load()
		if err == nil && (now != set || server.changes.Load() != changes) {
			// Reload has passed by a client that was nobody yet. It is treated as one that had just
			// come in: its user may be gone by now, or be allowed less.
			id, err = now.directory.Recheck(id)
			if err == auth.ErrCredentials && now != set {
				// That directory may not know its account yet, and never waits to find out.
				if err := s.login(now, kept, given); err != nil {
					s.end(err)
					return
				}
				s.settle()
				return
			}
		}
		if err := s.finishLogin(now, kept, id, err); err != nil {
			s.end(err)
			return
		}
		s.settle()
	})
	if !away {
		return s.fail(errBusy)
	}
	s.flags |= isAway
	return nil
}

// finishLogin lets in whom the directory lets in.
func (s *session) finishLogin(set *settings, c *connectRequest, id *auth.Identity, err error) error {
	if err == nil {
		return s.admit(set, c, id)
	}
	why := errCredentials
	switch err {
	case auth.ErrNoCredentials:
		why = noCredentials(set.directory)
	case auth.ErrProxyRequired:
		why = errProxyRequired
	case auth.ErrExpired:
		why = errExpired
	case auth.ErrAccountExpired:
		why = errAccountExpiredAtLogin
	case auth.ErrRevoked:
		why = errRevokedAtLogin
	case auth.ErrBearer:
		why = errBearer
	default:
		why = whyNot(err)
		if errors.Is(err, auth.ErrNoAnswer) {
			return s.refuseLater(c, why, set.directory.Timeout())
		}
	}
	return s.refuse(c, why)
}

// noCredentials is errNoCredentials with what would do.
func noCredentials(d *auth.Directory) *closing {
	why := *errNoCredentials
	why.remedy += ": give it " + d.Wanted()
	return &why
}

// whyNot is errCredentials with what else an error says, for the log.
func whyNot(err error) *closing {
	detail := auth.Detail(err)
	if detail == "" {
		return errCredentials
	}
	why := *errCredentials
	why.remedy = cutText(detail)
	return &why
}

// refuseLater is refuse for a client about which there is nobody to ask. nats-server waits for an answer
// that does not come, and what clients do depends on that: some give up for good when they have been
// refused twice, which must take longer than a service needs to come back.
func (s *session) refuseLater(c *connectRequest, why *closing, wait time.Duration) error {
	kept := c.clone()
	s.flags |= isAway
	s.conn.Rest(wait + time.Second) // longer than the timer
	time.AfterFunc(wait, func() {
		s.conn.Post(func(*engine.Loop) { s.end(s.refuse(kept, why)) })
	})
	return nil
}

// refuse tells a client that it does not come in, and remembers for the log who it said it was.
func (s *session) refuse(c *connectRequest, why *closing) error {
	s.about = &about{name: string(c.name), lang: string(c.lang), version: string(c.version), claimed: c.claims(), identity: &auth.Identity{}}
	err := s.fail(why)
	if events := s.door.server.events; events != nil {
		events.AuthFailed(s.ending(why).show())
	}
	return err
}

// claims is who a CONNECT says it is from. Of secrets it only says that there was one.
func (c *connectRequest) claims() string {
	switch {
	case len(c.nkey) > 0:
		return string(c.nkey[:min(len(c.nkey), maxClaimed)])
	case len(c.user) > 0:
		return string(c.user[:min(len(c.user), maxClaimed)])
	case len(c.token) > 0:
		return "[REDACTED]"
	}
	return ""
}

// admit lets the client in as id, if the rest of its CONNECT is right.
func (s *session) admit(set *settings, c *connectRequest, id *auth.Identity) error {
	switch {
	case len(c.account) > 0 || c.newAccount:
		return s.refuse(c, errForeignAccount)
	case c.protocol != 0 && c.protocol != 1:
		return s.fail(errClientProtocol)
	case c.noResponders && !s.is(hasHeaders):
		return s.fail(errNoResponders)
	}
	if !s.conn.Begin(0) {
		return errShutdown // closed meanwhile, for a reason that goes before this one
	}
	s.output &^= takesHeaders
	if s.is(hasHeaders) {
		s.output |= takesHeaders
	}
	s.conn.End()
	stays := s.peer != nil && !s.is(isConnected) && s.about.identity == id
	s.about = s.door.server.describe(set, c, s.about, id)
	if stays {
		s.peer.SetNoEcho(!s.is(wantsEcho)) // what it subscribed to before CONNECT stays
	} else if err := s.attach(set, id); err != nil {
		return err
	}
	s.flags |= isConnected
	s.sayOK()
	if events := s.door.server.events; events != nil {
		events.Connected(s.record().show())
	}
	return nil
}

// clone copies what points into the line that is being read.
func (c *connectRequest) clone() *connectRequest {
	k := &connectRequest{newAccount: c.newAccount, protocol: c.protocol, noResponders: c.noResponders}
	k.name = append(k.name, c.name...)
	k.lang = append(k.lang, c.lang...)
	k.version = append(k.version, c.version...)
	k.account = append(k.account, c.account...)
	k.user = append(k.user, c.user...)
	k.nkey = append(k.nkey, c.nkey...)
	k.jwt = append(k.jwt, c.jwt...)
	if len(c.token) > 0 {
		k.token = []byte{0} // there was one
	}
	return k
}

// forget lets go of the line, and of the password that decoding may have copied.
func (c *connectRequest) forget() {
	clear(c.scratch[:cap(c.scratch)])
	*c = connectRequest{scratch: c.scratch[:0]}
}
