package server

import (
	"math/rand/v2"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// open begins a conversation: the server speaks first.
func (d *door) open(c *engine.Conn) engine.Session {
	set := d.server.settings.Load()
	now := engine.Now()
	s := &session{conn: c, door: d, started: uint32(now / hundredth), lastIn: now, flags: beforeConnect}
	if set.Trace {
		s.output |= isTraced
	}
	welcome := d.server.enter(s, set.MaxConnections)
	s.sayInfo(set, infoFirst)
	if !welcome {
		s.flags |= isRefused
		s.close(errMaxConnections)
		return s
	}
	if set.guest == nil {
		s.authBy = now + int64(set.directory.Timeout())
	}
	wait := min(set.firstPing, set.PingInterval)
	s.pingAt = now + int64(wait) + rand.Int64N(int64(wait)/5+1)
	s.arm()
	s.settle()
	return s
}

// sayInfo queues an INFO.
func (s *session) sayInfo(set *settings, kind infoKind) {
	var account []byte
	if kind == infoConnect {
		account = s.door.server.globalJSON
		if a := s.peer.Account(); a != s.door.server.global {
			account = appendJSON(nil, a.Name())
		}
	}
	size := len(set.infoHead) + len(s.door.address) + len(set.infoBody) + len(account) + infoRoom
	c := s.conn
	if !c.Begin(size) {
		return
	}
	if size <= engine.RoomMax {
		c.Put(s.door.appendInfo(c.Room(size), set, kind, c.ID(), c.RemoteAddr().Addr(), account))
	} else {
		c.Write(s.door.appendInfo(nil, set, kind, c.ID(), c.RemoteAddr().Addr(), account))
	}
	c.End()
	s.flags |= owesFlush
}

// mayBegin decides about an operation that begins with b, from a client that is nobody yet. CONNECT
// always may. Others make it the guest, if there is one.
func (s *session) mayBegin(set *settings, b byte) error {
	if s.is(isRefused) {
		return errMaxConnections // said already
	}
	if b|0x20 == 'c' {
		return nil
	}
	if set.guest == nil {
		return s.fail(errNotConnected)
	}
	s.about = s.door.server.describe(&connectRequest{}, nil, set.guest)
	s.attach(set.guest)
	return nil
}

// attach puts the session into the account of its identity, without subscriptions.
func (s *session) attach(id *auth.Identity) {
	if s.peer != nil {
		s.peer.Detach()
	}
	if s.authBy != 0 {
		s.authBy = 0
		s.arm()
	}
	s.peer = s.door.server.account(id.Account).Attach(id, s, broker.Traits{NoEcho: !s.is(wantsEcho)})
}

// doConnect reads who the client is. Another CONNECT amends the one before and begins anew with
// credentials and subscriptions.
func (s *session) doConnect(set *settings, w *work, args []byte) error {
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
		return s.admit(c, s.about.identity)
	}
	var given auth.Credentials
	if set.directory.Required() {
		given = auth.Credentials{User: string(c.user), Password: string(c.password), Token: string(c.token)}
	}
	id, slow, err := set.directory.Authenticate(given)
	switch {
	case slow != nil:
		return s.admitLater(set, c, slow)
	case err != nil:
		return s.refuse(c, err)
	}
	return s.admit(c, id)
}

// refuse turns an error of the directory into what the client is told, and remembers for the log who
// it said it was.
func (s *session) refuse(c *connectRequest, err error) error {
	s.about = &about{name: string(c.name), claimed: string(c.user[:min(len(c.user), maxClaimed)]), identity: &auth.Identity{}}
	if err == auth.ErrNoCredentials {
		return s.fail(errNoCredentials)
	}
	return s.fail(errCredentials)
}

// admitLater has slow run beside the loop; input waits for it.
func (s *session) admitLater(set *settings, c *connectRequest, slow func() (*auth.Identity, error)) error {
	kept := c.clone()
	var id *auth.Identity
	var err error
	away := s.conn.Away(func() { id, err = slow() }, func(*engine.Loop) {
		s.flags &^= isAway
		if now := s.door.server.settings.Load(); err == nil && now.directory != set.directory {
			// Reload has passed by a client that was nobody yet. It is treated as one that had just
			// come in: its user may be gone by now, or be allowed less.
			if id = now.directory.Lookup(id.User); id == nil {
				err = auth.ErrCredentials
			}
		}
		if err != nil {
			err = s.refuse(kept, err)
		} else {
			err = s.admit(kept, id)
		}
		if err != nil {
			s.conn.Close(err)
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

// admit lets the client in as id, if the rest of its CONNECT is right.
func (s *session) admit(c *connectRequest, id *auth.Identity) error {
	switch {
	case len(c.account) > 0 || c.newAccount:
		return s.fail(errForeignAccount)
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
	s.about = s.door.server.describe(c, s.about, id)
	if stays {
		s.peer.SetNoEcho(!s.is(wantsEcho)) // what it subscribed to before CONNECT stays
	} else {
		s.attach(id)
	}
	s.flags |= isConnected
	s.sayOK()
	return nil
}

// doPing answers, and tells a client that has just connected who it is: INFO comes behind the PONG,
// because client libraries read the PONG themselves while they connect.
func (s *session) doPing(set *settings) {
	s.say(linePong)
	if s.flags&(isConnected|hasPonged) == isConnected {
		s.flags |= hasPonged
		if s.is(takesInfo) {
			s.sayInfo(set, infoConnect)
		}
	}
}

// doPong notes that the client is there, and how long its answer took.
func (s *session) doPong() {
	if s.pingsOut > 0 && s.pingSent != 0 {
		micros := (engine.Now() - s.pingSent) / int64(time.Microsecond)
		s.rtt = uint32(min(max(1, micros), 1<<32-1))
	}
	s.pingsOut = 0
}

// clone copies what points into the line that is being read.
func (c *connectRequest) clone() *connectRequest {
	k := &connectRequest{newAccount: c.newAccount, protocol: c.protocol, noResponders: c.noResponders}
	k.name = append(k.name, c.name...)
	k.lang = append(k.lang, c.lang...)
	k.version = append(k.version, c.version...)
	k.account = append(k.account, c.account...)
	return k
}

// forget lets go of the line, and of the password that decoding may have copied.
func (c *connectRequest) forget() {
	clear(c.scratch[:cap(c.scratch)])
	*c = connectRequest{scratch: c.scratch[:0]}
}
