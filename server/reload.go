package server

import (
	"strconv"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// Reload replaces options and directory. New connections see them at once; the others are looked at
// by their own loops: who is no longer known is closed, and subscriptions that are no longer
// allowed are removed. A changed password is asked for when a client connects again.
func (s *Server) Reload(o Options, d *auth.Directory) error {
	set, err := newSettings(s.id, o, d)
	if err != nil {
		return err
	}
	s.install(set)
	s.abouts.mu.Lock()
	s.abouts.shared = nil
	s.abouts.mu.Unlock()
	for _, c := range s.all() {
		c.conn.Post(func(*engine.Loop) { c.doReload(set) })
	}
	return nil
}

// doReload finds out what has become of the session's identity.
func (s *session) doReload(set *settings) {
	s.setTraced(set.Trace)
	if s.about == nil || s.peer == nil {
		return
	}
	old := s.about.identity
	id := set.directory.Lookup(old.User)
	if id == nil && old.User == "" {
		id = set.guest
	}
	switch {
	case id == old:
		return
	case id == nil, id.Account != old.Account:
		s.close(errRevoked)
		return
	}
	now := *s.about
	now.identity = id
	s.about = &now
	for _, sub := range s.peer.Reauthorize(id) {
		after := " (sid " + strconv.Quote(sub.Tag()) + ")"
		if sub.Queue() != "" {
			after = " using queue " + strconv.Quote(sub.Queue()) + after
		}
		s.complain(wireDeniedSubscribe, []byte(sub.Subject()), after)
	}
	s.settle()
}
