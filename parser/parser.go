package parser

import (
	"bytes"
	"encoding/binary"
)

// A Parser holds limits only, no position: one may serve any number of connections. It must
// not be changed while it is in use.
type Parser struct {
	Dialect Dialect

	// MaxControlLine bounds the arguments of one control line, in bytes. 0 means
	// DefaultMaxControlLine.
	MaxControlLine int

	// MaxPayload bounds header and payload of one message together, in bytes. 0 means
	// DefaultMaxPayload, and less than 0 that only empty ones pass.
	MaxPayload int
}

// Verbs as the first four bytes of a line in little-endian order, letters folded to lower
// case. Folding sets bit 5, which also turns NUL into a blank and CR into a hyphen; whoever
// goes on from here looks at what is not a letter again.
const (
	foldLetters = 0x20202020
	startPub    = 'p' | 'u'<<8 | 'b'<<16 | ' '<<24
	startHPub   = 'h' | 'p'<<8 | 'u'<<16 | 'b'<<24
	startSub    = 's' | 'u'<<8 | 'b'<<16 | ' '<<24
	startUnsu   = 'u' | 'n'<<8 | 's'<<16 | 'u'<<24
	startPing   = 'p' | 'i'<<8 | 'n'<<16 | 'g'<<24
	startPong   = 'p' | 'o'<<8 | 'n'<<16 | 'g'<<24
	startMsg    = 'm' | 's'<<8 | 'g'<<16 | ' '<<24
	startHMsg   = 'h' | 'm'<<8 | 's'<<16 | 'g'<<24
	startLMsg   = 'l' | 'm'<<8 | 's'<<16 | 'g'<<24
)

// Next reads one operation from the head of in and reports how many bytes it took. Nothing
// used and no error means that the operation is incomplete: call again with the same bytes
// and more behind them. After an error the stream cannot be read any further.
func (p *Parser) Next(in []byte, op *Op) (used int, err error) {
	// Clients may write verbs in any case, and some do. Folding four bytes at once makes
	// the frequent verbs one comparison each; name finds the others.
	if len(in) >= 4 {
		switch start := binary.LittleEndian.Uint32(in) | foldLetters; {
		case start == startPub && p.Dialect == FromClient:
			return p.message(in, 3, Pub, op)
		case start == startHPub && p.Dialect == FromClient:
			return p.message(in, 4, HPub, op)
		case start == startMsg && p.Dialect == FromServer:
			return p.message(in, 3, Msg, op)
		case start == startHMsg && p.Dialect == FromServer:
			return p.message(in, 4, HMsg, op)
		case start == startLMsg && p.Dialect == FromLeaf:
			return p.message(in, 4, LeafMsg, op)
		case start == startHMsg && p.Dialect == FromLeaf:
			return p.message(in, 4, LeafHMsg, op)
		case start == startSub && p.Dialect == FromClient:
			return p.interest(in, 3, Sub, op)
		case start == startUnsu && p.Dialect == FromClient && len(in) > 4 && in[4]|0x20 == 'b':
			return p.interest(in, 5, Unsub, op)
		case start == startPing:
			return p.plain(in, 4, Ping, op)
		case start == startPong:
			return p.plain(in, 4, Pong, op)
		}
	}
	verb, at, err := p.name(in)
	switch verb {
	case None:
		op.Verb, op.Need = None, 0
		return 0, err
	case Pub, HPub, Msg, HMsg, LeafMsg, LeafHMsg:
		return p.message(in, at, verb, op)
	case Sub, Unsub, LeafSub, LeafUnsub:
		return p.interest(in, at, verb, op)
	}
	return p.plain(in, at, verb, op)
}

// forms are the message lines by verb: subject, sid if a server says so, perhaps a reply,
// header size if there is a header, and the size of all.
var forms = [...]struct {
	kind          shape
	before, after uint8 // words in front of the reply's place, and behind it
}{
	Pub: {clientShape, 1, 1}, HPub: {clientShape, 1, 2},
	Msg: {serverShape, 2, 1}, HMsg: {serverShape, 2, 2},
	LeafMsg: {leafShape, 1, 1}, LeafHMsg: {leafShape, 1, 2},
}

// message reads the operations that bring a payload. in[:at] is the verb.
func (p *Parser) message(in []byte, at int, verb Verb, op *Op) (used int, err error) {
	var w words
	var count, eol, next int
	if at < len(in) {
		count, eol, next = w.split(in, at+1)
	}
	if next == 0 || in[at] != ' ' && in[at] != '\t' {
		return p.incomplete(in, at, verb, op)
	}
	if next-at > p.MaxControlLine && p.tooLong(in, at, eol) {
		return 0, ErrControlLine
	}
	form := &forms[verb]
	if op.kind != form.kind {
		op.reset(form.kind)
	}
	op.Verb = verb

	var reply, head []byte
	var header, total int
	switch between := count - int(form.before) - int(form.after); {
	case between < 0:
		return 0, ErrArgs
	case between <= 1:
		if between == 1 {
			reply = w.at(in, int(form.before))
		}
		total = w.size(in, count-1)
		if form.after == 2 {
			header = w.size(in, count-2)
		}
		if form.kind == leafShape {
			op.Queues = op.Queues[:0]
		}
	case form.kind != leafShape:
		return 0, ErrArgs
	default:
		var ok bool
		if reply, header, total, ok = op.queueList(in[at:eol], int(form.after)); !ok {
			return 0, ErrArgs
		}
	}
	if total < 0 || uint(header) > uint(total) {
		return 0, ErrArgs
	}
	if total > p.MaxPayload && p.tooLarge(total) {
		return 0, ErrMaxPayload
	}

	end := next + total
	if len(in) < end+2 {
		if len(in) > end && in[end] != '\r' {
			return 0, ErrTrailer
		}
		op.Need = end + 2
		return 0, nil
	}
	if in[end] != '\r' || in[end+1] != '\n' {
		return 0, ErrTrailer
	}
	if header > 0 {
		head = in[next : next+header : next+header]
	}
	op.Subject, op.Reply, op.Header, op.Payload = w.at(in, 0), reply, head, in[next+header:end:end]
	if form.kind == serverShape {
		op.Sid = w.at(in, 1)
	}
	op.Need = 0
	return end + 2, nil
}

// queueList reads a leaf's message line that has more arguments than a subject, a reply and
// its sizes: "+" and a reply, or "|" for none, come second, and queues follow.
func (op *Op) queueList(args []byte, sizes int) (reply []byte, header, total int, ok bool) {
	words := appendWords(op.Queues[:0], args)
	op.Queues = words[:0]
	if len(words[1]) != 1 {
		return nil, 0, 0, false
	}
	from, to := 2, len(words)-sizes
	switch words[1][0] {
	case '|':
	case '+':
		from, reply = 3, words[2]
	default:
		return nil, 0, 0, false
	}
	total = size(words[len(words)-1])
	if sizes == 2 {
		header = size(words[to])
	}
	// The queues move to the front, where the next list will be made: cutting off the
	// head instead would lose that much capacity each time.
	op.Queues = words[:copy(words, words[from:to])]
	return reply, header, total, true
}

// interest reads the operations that ask for messages, or ask for no more.
func (p *Parser) interest(in []byte, at int, verb Verb, op *Op) (used int, err error) {
	var w words
	var count, eol, next int
	if at < len(in) {
		count, eol, next = w.split(in, at+1)
	}
	if next == 0 || in[at] != ' ' && in[at] != '\t' {
		return p.incomplete(in, at, verb, op)
	}
	if next-at > p.MaxControlLine && p.tooLong(in, at, eol) {
		return 0, ErrControlLine
	}
	op.reset(otherShape)
	op.Verb = verb
	switch {
	case verb == Sub && (count == 2 || count == 3):
		op.Subject = w.at(in, 0)
		if count == 3 {
			op.Queue = w.at(in, 1)
		}
		op.Sid = w.at(in, count-1)
		last := w[count-1].to
		op.Args = in[w[0].from:last:last]
	case verb == Unsub && (count == 1 || count == 2):
		op.Sid = w.at(in, 0)
		if count == 2 {
			op.HasMax = true
			op.Max = uint64(max(0, w.size(in, 1)))
		}
	case verb == LeafSub && count == 1:
		op.Subject = w.at(in, 0)
	case verb == LeafSub && count == 3:
		op.Subject, op.Queue = w.at(in, 0), w.at(in, 1)
		op.Weight = int32(max(1, w.size(in, 2)))
	case verb == LeafUnsub && (count == 1 || count == 2):
		op.Subject = w.at(in, 0)
		if count == 2 {
			op.Queue = w.at(in, 1)
		}
	default:
		return 0, ErrArgs
	}
	return next, nil
}

// plain reads the operations whose line is one piece or of no interest.
func (p *Parser) plain(in []byte, at int, verb Verb, op *Op) (used int, err error) {
	lf := bytes.IndexByte(in[at:], '\n')
	if lf < 0 {
		return p.incomplete(in, at, verb, op)
	}
	end, next := at+lf, at+lf+1
	if lf > 0 && in[end-1] == '\r' {
		end--
	}
	if next-at > p.MaxControlLine && p.tooLong(in, at, end) {
		return 0, ErrControlLine
	}
	op.reset(otherShape)
	op.Verb = verb
	switch verb {
	case Connect, Info:
		op.Args = trimBlanks(in[at:end:end])
	case Err:
		op.Args = unquote(in[at:end:end])
	}
	return next, nil
}

// incomplete says what is known of a line that has no end yet, or a verb that does not end
// where it should; in[:at] is the verb.
func (p *Parser) incomplete(in []byte, at int, verb Verb, op *Op) (used int, err error) {
	op.Verb, op.Need = verb, 0
	end := len(in)
	if at < end {
		if needsBlank[verb] && in[at] != ' ' && in[at] != '\t' {
			return 0, ErrUnknownOp
		}
		if in[end-1] == '\r' {
			end-- // it may belong to the end of the line
		}
	}
	if p.tooLong(in, at, end) {
		return 0, ErrControlLine
	}
	return 0, nil
}

// tooLong decides about a line whose verb ends at in[at] and which goes on to in[end].
// nats-server counts the arguments, blanks among and behind them included, but not those in
// front; those have the same bound here, since nothing else would bound them.
func (p *Parser) tooLong(in []byte, at, end int) bool {
	limit := p.MaxControlLine
	if limit == 0 {
		limit = DefaultMaxControlLine
	}
	first := at
	for first < end && (in[first] == ' ' || in[first] == '\t') {
		first++
	}
	return end-first > limit || first-at > limit
}

// tooLarge decides about a size above MaxPayload, which may mean the default.
func (p *Parser) tooLarge(size int) bool {
	return size > 0 && (p.MaxPayload != 0 || size > DefaultMaxPayload)
}
