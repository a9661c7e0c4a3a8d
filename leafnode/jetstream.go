package leafnode

import "bytes"

const (
	ackPrefix = "$JS.ACK."
	// ackDots are in $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>.
	// With fewer, an @ belongs to a name.
	ackDots = 8
)

// splitAt takes apart a reply of the form $JS.ACK.…@<subject>. A JetStream server sends what it
// delivers over a link to the subject that the consumer listens on, with the message's own subject
// hidden behind the @, so recipients are found by the former and shown the latter.
func splitAt(reply []byte) (ack, original []byte, ok bool) {
	if len(reply) <= len(ackPrefix) || string(reply[:len(ackPrefix)]) != ackPrefix {
		return reply, nil, false
	}
	// Names of streams and consumers may hold an @ as well, so it is the first after the last dot.
	rest := reply
	for range ackDots {
		dot := bytes.IndexByte(rest, '.')
		if dot < 0 {
			return reply, nil, false
		}
		rest = rest[dot+1:]
	}
	at := bytes.IndexByte(rest, '@')
	if at < 0 {
		return reply, nil, false
	}
	at += len(reply) - len(rest)
	return reply[:at], reply[at+1:], true
}

// joinAt appends the form that splitAt takes apart.
func joinAt(dst, reply, original []byte) []byte {
	dst = append(dst, reply...)
	dst = append(dst, '@')
	return append(dst, original...)
}
