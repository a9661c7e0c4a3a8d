package server

import "github.com/edgebus-io/edgebus/broker"

// doCarefulPub is doPub with checks that a client asks for, or of subjects that are not for clients.
// Reserved is, as denied, what a message is mapped to, and not what it was published to.
func (s *session) doCarefulPub(lane *broker.Lane, m *broker.Msg) {
	if s.is(isPedantic) && !isLiteral(m.Subject) {
		s.complain(wireInvalidPublishSubject) // and goes on
	}
	s.peer.Map(lane, m)
	allowed := s.about.identity.Perms.MayPublish(m.Subject)
	switch {
	case s.isReserved(m.Subject), !allowed && isReservedReply(m.Reply):
		s.denyPublish(wireDeniedPublish, m.Subject)
		*m = broker.Msg{} // it was mapped, and will not be published
		return
	case isReservedReply(m.Reply):
		s.denyPublish(wireDeniedReply, m.Reply)
		*m = broker.Msg{}
		return
	}
	// +OK goes out before a MSG that the message may cause here. Only for an answer that
	// allow_responses may permit it is not known yet.
	if allowed {
		s.sayOK()
	}
	if ok := s.publish(lane, m); ok && !allowed {
		s.sayOK()
	}
}

// isReserved reports whether this client may not publish to a subject, whatever its permissions say.
// The groups of servers are the system account's business.
func (s *session) isReserved(subject []byte) bool {
	if !isReserved(subject) {
		return false
	}
	return !hasPrefix(subject, groupPrefix) || s.peer.Account().Name() != s.door.server.settings.Load().directory.SystemAccount()
}

const groupPrefix = "$NRG."

// isReserved reports whether only servers publish to this subject.
func isReserved(subject []byte) bool {
	return len(subject) > 3 && (subject[0] == '_' || subject[0] == '$') &&
		(hasPrefix(subject, "_GR_.") || hasPrefix(subject, "$GR.") || hasPrefix(subject, groupPrefix))
}

// isReservedReply reports whether answers to this subject would reach what is not a client.
func isReservedReply(reply []byte) bool {
	return len(reply) > 3 && (reply[0] == '_' || reply[0] == '$') &&
		(hasPrefix(reply, "_R_.") || hasPrefix(reply, "$JS.ACK.") || hasPrefix(reply, "_GR_.") || hasPrefix(reply, "$GR."))
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
