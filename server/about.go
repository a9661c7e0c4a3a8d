package server

import (
	"slices"
	"sync"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/parser"
)

// An about is what a client said of itself, and who it turned out to be. It never changes once made.
type about struct {
	name, lang, version string
	identity            *auth.Identity
	claimed             string         // who it says it is, if identity has no user: nobody has looked, or it was refused
	jwt                 string         // what it has shown, if it is shown on; see jwtToKeep
	parser              *parser.Parser // for those who may send less than others; nil: everybody's
}

// An aboutKey is what makes clients without a name alike.
type aboutKey struct {
	lang, version string
	claimed       string
	identity      *auth.Identity
	maxPayload    int
}

// abouts are those that clients share.
type abouts struct {
	mu     sync.Mutex
	shared map[aboutKey]*about
}

// clear forgets them, so that identities of old are not kept.
func (a *abouts) clear() {
	a.mu.Lock()
	a.shared = nil
	a.mu.Unlock()
}

// describe makes the about of a client. Those that give themselves no name share it with all of
// their kind. What CONNECT does not say is taken from old, if that is not nil.
func (s *Server) describe(set *settings, c *connectRequest, old *about, id *auth.Identity) *about {
	if old != nil {
		c.name, c.lang, c.version = orOld(c.name, old.name), orOld(c.lang, old.lang), orOld(c.version, old.version)
	}
	most := set.maxPayload(id)
	jwt := set.jwtToKeep(c, old, id)
	claimed := ""
	if id.User == "" {
		if claimed = c.claims(); claimed == "" && old != nil {
			claimed = old.claimed
		}
	}
	s.abouts.mu.Lock()
	shared := s.abouts.shared[aboutKey{string(c.lang), string(c.version), claimed, id, most}]
	s.abouts.mu.Unlock()
	if shared == nil {
		shared = &about{lang: string(c.lang), version: string(c.version), claimed: claimed, identity: id}
		if most != set.MaxPayload {
			shared.parser = &parser.Parser{Dialect: parser.FromClient, MaxControlLine: set.MaxControlLine, MaxPayload: most}
		}
		s.abouts.mu.Lock()
		if s.abouts.shared == nil || len(s.abouts.shared) >= maxAbouts {
			s.abouts.shared = make(map[aboutKey]*about)
		}
		s.abouts.shared[aboutKey{shared.lang, shared.version, claimed, id, most}] = shared
		s.abouts.mu.Unlock()
	}
	if len(c.name) == 0 && jwt == "" {
		return shared
	}
	own := *shared
	own.name, own.jwt = string(c.name), jwt
	return &own
}

// jwtToKeep is the user JWT of a client whose account tells services of other accounts all about those
// who ask. Others' are not kept: they are as large as all that a connection takes besides. An account that
// is pushed with such an import later shows the JWTs of clients that come in after that.
func (set *settings) jwtToKeep(c *connectRequest, old *about, id *auth.Identity) string {
	if id.Issuer == "" || len(c.jwt) == 0 && (old == nil || old.jwt == "") {
		return ""
	}
	a := set.directory.Account(id.Account)
	if a == nil || !slices.ContainsFunc(a.Imports, func(i auth.Import) bool { return i.Service && i.Share }) {
		return ""
	}
	if len(c.jwt) == 0 {
		return old.jwt
	}
	return string(c.jwt)
}

func orOld(said []byte, old string) []byte {
	if said == nil {
		return []byte(old)
	}
	return said
}

// maxPayload is how large a message of id's may be: the least of what server, account and user say.
// Less than 0 means that only empty ones pass.
func (set *settings) maxPayload(id *auth.Identity) int {
	most := int64(set.MaxPayload)
	if n := id.Limits.MaxPayload; n != 0 {
		most = min(most, n)
	}
	if a := set.directory.Account(id.Account); a != nil && a.Limits.MaxPayload != 0 {
		most = min(most, a.Limits.MaxPayload)
	}
	return int(max(most, -1))
}

// reader is the parser of what this client sends.
func (s *session) reader(set *settings) *parser.Parser {
	if a := s.about; a != nil && a.parser != nil {
		return a.parser
	}
	return &set.parser
}
