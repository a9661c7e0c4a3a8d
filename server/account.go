package server

import (
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// account finds the account of a name.
func (s *Server) account(name string) *broker.Account {
	if name == "" || name == broker.GlobalAccount {
		return s.global
	}
	return s.broker.Account(name)
}

// attach puts the session into the account of its identity, without subscriptions. The error says
// that the account is full, or over.
func (s *session) attach(set *settings, id *auth.Identity) error {
	server := s.door.server
	to := server.account(id.Account)
	if !server.join(s, to, set.maxConnections(to.Name())) {
		return s.fail(errMaxAccountConnections)
	}
	if s.peer != nil {
		s.peer.Detach()
	}
	s.peer = to.Attach(id, s, broker.Traits{NoEcho: !s.is(wantsEcho)})
	old := s.until
	if why := s.heed(set); why != nil {
		return s.fail(why)
	}
	if s.until != old {
		s.arm()
	}
	if now := server.settings.Load(); now != set {
		// A reload has come in between, and may not have seen this one in an account.
		if why := s.recheck(now, false); why != nil {
			return s.fail(why)
		}
	}
	return nil
}

// maxConnections is how many connections an account may have, leaf links included; 0 is any number, less than
// 0 none. Links are not refused for it: they have a limit of their own.
func (set *settings) maxConnections(account string) int64 {
	if a := set.directory.Account(account); a != nil {
		return a.Limits.MaxConnections
	}
	return 0
}

// join counts a session among those of an account, in place of the one where it was. False: the
// account has as many as it may have.
func (s *Server) join(c *session, to *broker.Account, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partLocked(c)
	account := to.Name()
	if limit != 0 && s.members[account]+int64(to.Links()) >= limit {
		return false
	}
	s.members[account]++
	s.moveLocked(c, s.joined)
	s.joined++
	return true
}

// partLocked takes a session out of the count of its account.
func (s *Server) partLocked(c *session) {
	if int(c.place) >= s.joined {
		return
	}
	s.joined--
	s.moveLocked(c, s.joined)
	account := c.peer.Account().Name()
	if s.members[account]--; s.members[account] == 0 {
		delete(s.members, account)
	}
}

// mayStay decides about a member of an account whose limit may have been lowered: those who ask
// first have to go.
func (s *Server) mayStay(c *session, limit int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	account := c.peer.Account()
	if limit == 0 || s.members[account.Name()]+int64(account.Links()) <= max(0, limit) {
		return true
	}
	s.partLocked(c)
	return false
}

// accountChanged has the sessions of an account looked at, once operator mode knows more of it.
func (s *Server) accountChanged(a *auth.Account) {
	s.changes.Add(1)
	s.mu.Lock()
	none := s.members[a.Name] == 0
	s.mu.Unlock()
	if none {
		return
	}
	s.abouts.clear()
	for _, c := range s.youngestFirst() {
		c.conn.Post(func(*engine.Loop) {
			if c.peer != nil && c.peer.Account().Name() == a.Name {
				c.doReload(true)
			}
		})
	}
}

// forEver is so far away that the sum with now is still a time.
const forEver = 100 * 365 * 24 * time.Hour

// heed notes when the session's identity or its account expires. The error says that it has. The
// clock of the wall is asked each time: on a small device it may be set long after the start.
func (s *session) heed(set *settings) *closing {
	s.until = 0
	id := s.about.identity
	at, why := id.Expires, errExpired
	if a := set.directory.Account(id.Account); a != nil && !a.Expires.IsZero() && (at.IsZero() || a.Expires.Before(at)) {
		at, why = a.Expires, errAccountExpired
	}
	if at.IsZero() {
		return nil
	}
	left := at.Sub(set.clock())
	s.until = engine.Now() + int64(max(0, min(left, forEver)))
	if left > 0 {
		return nil
	}
	return why
}
