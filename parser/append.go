package parser

import "strconv"

// Whole lines that have no arguments.
const (
	PingLine = "PING\r\n"
	PongLine = "PONG\r\n"
	OKLine   = "+OK\r\n"
	CRLF     = "\r\n"
)

// bytestring is what subjects, queues and sids come as.
type bytestring interface{ ~string | ~[]byte }

// What either side may send.

func AppendPing(dst []byte) []byte { return append(dst, PingLine...) }
func AppendPong(dst []byte) []byte { return append(dst, PongLine...) }
func AppendOK(dst []byte) []byte   { return append(dst, OKLine...) }

// AppendErr puts text in quotes.
func AppendErr[S bytestring](dst []byte, text S) []byte {
	dst = append(dst, "-ERR '"...)
	dst = append(dst, text...)
	return append(dst, "'\r\n"...)
}

// AppendInfo and AppendConnect take JSON of one line.
func AppendInfo[S bytestring](dst []byte, json S) []byte {
	dst = append(dst, "INFO "...)
	dst = append(dst, json...)
	return append(dst, CRLF...)
}

func AppendConnect[S bytestring](dst []byte, json S) []byte {
	dst = append(dst, "CONNECT "...)
	dst = append(dst, json...)
	return append(dst, CRLF...)
}

// What a client sends.

// AppendPub writes the line of a PUB; size bytes and CRLF must follow. reply may be empty.
func AppendPub[S, R bytestring](dst []byte, subject S, reply R, size int) []byte {
	dst = append(dst, "PUB "...)
	dst = append(dst, subject...)
	return appendEnd(appendReply(dst, reply), size)
}

// AppendHPub writes the line of an HPUB; total counts the header in.
func AppendHPub[S, R bytestring](dst []byte, subject S, reply R, headerSize, total int) []byte {
	dst = append(dst, "HPUB "...)
	dst = append(dst, subject...)
	return appendEnd(appendSize(appendReply(dst, reply), headerSize), total)
}

// AppendSub writes a SUB. queue may be empty.
func AppendSub[S, Q, I bytestring](dst []byte, subject S, queue Q, sid I) []byte {
	dst = append(dst, "SUB "...)
	dst = append(dst, subject...)
	if len(queue) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, queue...)
	}
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	return append(dst, CRLF...)
}

// AppendUnsub writes an UNSUB, with its maximum of deliveries unless that is 0.
func AppendUnsub[I bytestring](dst []byte, sid I, max uint64) []byte {
	dst = append(dst, "UNSUB "...)
	dst = append(dst, sid...)
	if max > 0 {
		dst = append(dst, ' ')
		dst = appendUint(dst, max)
	}
	return append(dst, CRLF...)
}

// What a server sends.

// AppendMsg writes the line of a MSG; size bytes and CRLF must follow. reply may be empty.
func AppendMsg[S, I bytestring](dst []byte, subject S, sid I, reply []byte, size int) []byte {
	dst = append(dst, "MSG "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	return appendEnd(appendReply(dst, reply), size)
}

// AppendHMsg writes the line of an HMSG; total counts the header in.
func AppendHMsg[S, I bytestring](dst []byte, subject S, sid I, reply []byte, headerSize, total int) []byte {
	dst = append(dst, "HMSG "...)
	dst = append(dst, subject...)
	dst = append(dst, ' ')
	dst = append(dst, sid...)
	return appendEnd(appendSize(appendReply(dst, reply), headerSize), total)
}

// What a leaf link carries.

// AppendLeafSub writes an LS+. Without a queue there is no weight.
func AppendLeafSub[S, Q bytestring](dst []byte, subject S, queue Q, weight int32) []byte {
	dst = append(dst, "LS+ "...)
	dst = append(dst, subject...)
	if len(queue) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, queue...)
		dst = append(dst, ' ')
		dst = appendUint(dst, uint64(max(1, weight)))
	}
	return append(dst, CRLF...)
}

// AppendLeafUnsub writes an LS-. queue may be empty.
func AppendLeafUnsub[S, Q bytestring](dst []byte, subject S, queue Q) []byte {
	dst = append(dst, "LS- "...)
	dst = append(dst, subject...)
	if len(queue) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, queue...)
	}
	return append(dst, CRLF...)
}

// AppendLeafMsg writes the line of an LMSG; size bytes and CRLF must follow. reply and queues
// may be empty.
func AppendLeafMsg[S, Q bytestring](dst []byte, subject S, reply []byte, queues []Q, size int) []byte {
	dst = append(dst, "LMSG "...)
	dst = append(dst, subject...)
	return appendEnd(appendQueues(dst, reply, queues), size)
}

// AppendLeafHMsg writes the line of a leaf's HMSG; total counts the header in.
func AppendLeafHMsg[S, Q bytestring](dst []byte, subject S, reply []byte, queues []Q, headerSize, total int) []byte {
	dst = append(dst, "HMSG "...)
	dst = append(dst, subject...)
	return appendEnd(appendSize(appendQueues(dst, reply, queues), headerSize), total)
}

// appendReply writes a reply, if there is one, with the blank in front of it.
func appendReply[R bytestring](dst []byte, reply R) []byte {
	if len(reply) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, reply...)
	}
	return dst
}

// appendQueues writes a leaf's reply and queues. With queues, the word in front of them says
// whether a reply comes first.
func appendQueues[Q bytestring](dst, reply []byte, queues []Q) []byte {
	if len(queues) == 0 {
		return appendReply(dst, reply)
	}
	if len(reply) > 0 {
		dst = append(dst, " + "...)
		dst = append(dst, reply...)
	} else {
		dst = append(dst, " |"...)
	}
	for _, queue := range queues {
		dst = append(dst, ' ')
		dst = append(dst, queue...)
	}
	return dst
}

// appendSize writes a size with the blank in front of it, and appendEnd the line's end too.
func appendSize(dst []byte, size int) []byte {
	return appendUint(append(dst, ' '), uint64(size))
}

func appendEnd(dst []byte, size int) []byte {
	return append(appendSize(dst, size), CRLF...)
}

func appendUint(dst []byte, n uint64) []byte {
	// Three digits without a buffer are most sizes that an edge sees.
	switch {
	case n < 10:
		return append(dst, byte('0'+n))
	case n < 100:
		return append(dst, byte('0'+n/10), byte('0'+n%10))
	case n < 1000:
		return append(dst, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
	}
	return strconv.AppendUint(dst, n, 10)
}
