// Package script plays wire transcripts against anything that accepts connections.
//
// A transcript is a text file that a person can read as a conversation. Each line belongs to
// a client by name; ">" is what the client sends, "<" what it must receive:
//
//	# Two workers share one queue: each message arrives once, at either.
//	# config:
//	#   max_payload: 1024
//	a> SUB jobs workers 7
//	b> SUB jobs workers 9
//	c> PUB jobs 2
//	c> hi
//	a|b< MSG jobs 7|9 2
//	a|b< hi
//	c< (nothing)
//
// # Clients
//
// A client is introduced where it is first named: the player connects, reads INFO, sends a
// quiet CONNECT (see DefaultConnect) and a PING, and waits for the PONG. None of that shows.
// A client that begins with "(connect)" is a bare connection instead, and everything it is
// sent must be written down, INFO first.
//
// Before one client sends, every other introduced client that has sent something meanwhile
// exchanges PING and PONG unseen. So a transcript's order is the server's order, and no step
// ever sleeps. PINGs of the server are answered and do not show (but see "pings").
//
// # What is sent
//
// Text after "> " is sent with CRLF; lines of one client that follow each other leave in one
// piece. "\n", "\r", "\t", "\\", "\xHH" stand for bytes; "\" at the end leaves the CRLF out and
// ends the piece; "<300*x>" is x three hundred times, and "<name>" what was captured under that
// name. In brackets stand acts that are no text:
//
//	a> (connect)       connect, and show everything from the first byte
//	a> (close)         close the connection
//	a> (wait 1.1s)     let time pass that the configuration names, an expiry for instance
//	server> (reload)   an act on the server, passed to Player.Act; the rest of the words is its argument
//
// # What is expected
//
// Lines are compared as bytes, but for "<name>", which captures a run of bytes without a space
// the first time and must be equal from then on ("<>" is not kept), and for INFO: its JSON
// object must hold the members shown, and with "..." as the last word it may hold others.
// The values "(any)" and "(absent)" say so of a member. Payload is shown like lines, cut at
// each CRLF. In brackets:
//
//	a< (nothing)       proved by a PING: its PONG comes before anything else
//	a< (closed)        the server has closed, and nothing is unread
//	a< (refused)       the last "(connect)" found nobody listening
//
// "a|b<" is a block for exactly one of several clients; a word with as many "|" parts is
// that client's part. At the end no client may have anything unread.
//
// # Servers that differ
//
// "a@edgebus<" or "a@nats-server>" is a line for the server of that name only.
//
// # Head
//
// Comment lines before the first step may set, each with its text indented below or behind it:
//
//	# config:          the server's configuration; "# config NAME:" is another, for "(reload NAME)"
//	# connect:         CONNECT of introduced clients; "# connect NAME:" of one client
//	# pings: shown     PINGs of the server show, and nobody answers
//	# only SERVER:     the server it is for, and the reason
package script
