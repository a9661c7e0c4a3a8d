package server

import (
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// reloadPatience bounds how long Reload waits for sessions. Their loops come by within milliseconds,
// unless something is very wrong.
const reloadPatience = 2 * time.Second

// Reload replaces options and directory. New connections see them at once; the others are looked at
// by their own loops: who is no longer known is closed, and subscriptions that are no longer
// allowed are removed. Where a limit was lowered, the clients that came last are too many. TLS is for
// connections to come. When Reload returns all have been looked at, so that nobody can do any more
// what is now forbidden.
func (s *Server) Reload(o Options, d *auth.Directory) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.settings.Load()
	o.ID, o.XKey = before.ID, before.XKey
	set, err := newSettings(o, d)
	if err != nil {
		return err
	}
	s.install(set)
	// Whoever came in until now may have brought an account with him that d has not heard of yet.
	d.Inherit(before.directory)
	s.changes.Add(1)
	s.abouts.clear()
	all, seen := s.allUnseen()
	for i, c := range all {
		surplus := i < len(all)-set.MaxConnections
		c.conn.Post(func(*engine.Loop) {
			if surplus {
				c.close(errMaxConnections)
			} else {
				c.doReload(false)
			}
			s.noteSeen(c)
		})
	}
	s.waitSeen(seen)
	if left := s.removals.rest(); left > 0 {
		s.log.Info("More clients lost subscriptions that are no longer authorized", "clients", left)
	}
	return nil
}

// allUnseen is youngestFirst, and begins to count who has been looked at. Whoever is in no account yet
// has nothing to lose, and may be in the middle of a handshake: seen is closed without them.
func (s *Server) allUnseen() (all []*session, seen chan struct{}) {
	seen = make(chan struct{})
	s.mu.Lock()
	all = append(all, s.sessions...)
	s.seen, s.unseen = seen, make(map[*session]struct{}, s.joined)
	for _, c := range all[:s.joined] {
		s.unseen[c] = struct{}{}
	}
	s.noteSeenLocked(nil)
	s.mu.Unlock()
	sortYoungestFirst(all)
	return all, seen
}

// noteSeen says that a session has been looked at.
func (s *Server) noteSeen(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteSeenLocked(c)
}

// noteSeenLocked is noteSeen, for those too that are gone: what was posted to them is dropped.
func (s *Server) noteSeenLocked(c *session) {
	if s.unseen == nil {
		return
	}
	if delete(s.unseen, c); len(s.unseen) == 0 {
		s.unseen = nil
		close(s.seen)
	}
}

// waitSeen waits until seen is closed, but not for ever.
func (s *Server) waitSeen(seen chan struct{}) {
	patience := time.NewTimer(reloadPatience)
	defer patience.Stop()
	select {
	case <-seen:
	case <-patience.C:
		s.mu.Lock()
		left := len(s.unseen)
		s.unseen = nil
		s.mu.Unlock()
		if left > 0 {
			s.log.Warn("reload: some clients could not be looked at in time and go by the old configuration a moment longer: the machine is overloaded",
				"clients", left, "waited", reloadPatience)
		}
	}
}

// doReload closes the session if it may not stay as it is, after a reload or when its account has
// changed.
func (s *session) doReload(pushed bool) {
	set := s.door.server.settings.Load() // not that of whoever asks, which may be late
	s.setTraced(set.Trace)
	if s.about == nil || s.peer == nil || s.is(isOver) {
		return
	}
	if why := s.recheck(set, pushed); why != nil {
		s.close(why)
		return
	}
	s.settle()
}

// recheck finds out what has become of the session's identity, and of its account. pushed says that it
// is the account that has changed, and not the configuration. It returns why the session may not stay.
func (s *session) recheck(set *settings, pushed bool) *closing {
	old := s.about.identity
	id, err := set.directory.Recheck(old)
	if err != nil || set.account(id) != s.peer.Account().Name() {
		return s.lost(set, err, pushed)
	}
	if !id.Admits(auth.Standard) {
		return errNoLonger
	}
	s.about = s.door.server.describe(set, &connectRequest{}, s.about, id)
	if why := s.heed(set); why != nil {
		return why
	}
	s.arm()
	if !s.door.server.mayStay(s, set.maxConnections(s.peer.Account().Name())) {
		return errMaxAccountConnections
	}
	renew := s.peer.Reauthorize
	if pushed {
		renew = s.peer.Renew
	}
	s.dropSubs(renew(id))
	if most := set.maxSubscriptions(id); most > 0 && int64(s.countSubs(nil)) > most {
		return errMaxSubscriptions
	}
	return nil
}

// account is the name of the account that id belongs to.
func (set *settings) account(id *auth.Identity) string {
	if id.Account == "" {
		return broker.GlobalAccount
	}
	return id.Account
}

// lost says why a client may not stay. Some are closed without a word, as nats-server does it.
func (s *session) lost(set *settings, err error, pushed bool) *closing {
	switch old := s.about.identity; {
	case err == nil:
		return errGone // to another account
	case err == auth.ErrAccountExpired, pushed && set.directory.Account(old.Account) == nil:
		return errAccountExpired
	case err == auth.ErrExpired:
		return errExpired
	case err == auth.ErrRevoked:
		return errRevoked
	case err == auth.ErrBearer:
		return errBearer
	case pushed:
		return errUnsigned
	case old.User == "" || old.Issuer != "":
		return errNoLonger
	default:
		if id := set.directory.Lookup(old.User); id != nil && set.account(id) == s.peer.Account().Name() {
			return errNoLonger // with another password
		}
		return errGone
	}
}

// maxSubscriptions is how many subscriptions a client may have, by what its user or its account
// says; 0 is any number. That of the server is the broker's, and closes nobody.
func (set *settings) maxSubscriptions(id *auth.Identity) int64 {
	most := max(0, id.Limits.MaxSubscriptions)
	if a := set.directory.Account(id.Account); a != nil && a.Limits.MaxSubscriptions > 0 && (most == 0 || a.Limits.MaxSubscriptions < most) {
		most = a.Limits.MaxSubscriptions
	}
	return most
}
