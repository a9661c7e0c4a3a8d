// Package parser turns NATS text protocol bytes into operations, and operations into bytes.
//
// It does no I/O, starts no goroutine, takes no lock and imports nothing of ours; server,
// client and leafnode all speak through it.
//
// One grammar has three dialects, by who is speaking: FromClient, FromServer (for those who
// write a client) and FromLeaf, either end of a leaf link. They differ in the verbs they
// admit, and HMSG has other arguments on a leaf link.
//
// # Reading
//
// Next reads one operation from the head of a slice. It keeps no position: when an operation
// is not complete it reports that nothing was used, and the caller comes back with the same
// bytes and more behind them. So any cut of the input gives the same operations, and an idle
// connection owns no parser state. Op.Need says how many bytes to wait for as soon as that is
// known, so a long payload is not looked at again and again.
//
// Every []byte in an Op points into the slice given to Next and is good only as long as that
// slice. Whoever needs it longer copies it.
//
// A mistake is reported as early as the bytes allow: an unknown verb at its first impossible
// byte, a line that is too long without waiting for its end, a payload that is too large when
// its line is there. What the peer is told, and that it loses the connection, is in the
// ProtocolError.
//
// # Exactness
//
// The rules are those of nats-server 2.15: verbs in any case; runs of blanks and tabs between
// arguments; control lines end in LF with or without CR before it; payloads end in exactly
// CRLF; sizes are one to nine digits; the limit of a control line counts its arguments only,
// from the first to the end of the line. Two bounds are ours, because nats-server has none
// there: the blanks between a verb and its first argument, and what follows PING, PONG and
// +OK, count against the same limit.
//
// # Writing
//
// Encoders are named AppendX and append to a slice of the caller's. Those of operations with a
// payload write the control line only; the caller appends header, payload and CRLF. They do
// not check their arguments: a subject, reply, queue or sid with a blank in it, or an empty
// subject, makes a broken line.
package parser
