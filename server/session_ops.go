package server

import (
	"encoding/json"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// Data implements engine.Session: it carries out every operation that has arrived whole.
func (s *session) Data(l *engine.Loop, in []byte) (used int, err error) {
	if s.is(isOver) {
		return len(in), nil
	}
	set := s.door.server.settings.Load()
	lane := l.Local().(*broker.Lane)
	w := works.Get().(*work)
	op := &w.op
	active, most := false, lane.Effort()+maxEffort
	for used < len(in) && lane.Effort() < most && err == nil && s.flags&(isAway|isOver) == 0 {
		if s.peer == nil {
			if err = s.mayBegin(set, in[used]); err != nil {
				break
			}
		}
		n, wrong := s.reader(set).Next(in[used:], op)
		if n == 0 {
			if wrong != nil {
				err = s.fail(violation(wrong, in[used]))
			} else if op.Verb == parser.HPub && op.Need > 0 && !s.is(hasHeaders) {
				err = s.fail(errNoHeaders)
			}
			s.conn.Need(op.Need)
			break
		}
		used += n
		if s.output&isTraced != 0 {
			s.traceIn(set, in[used-n:used], op)
		}
		active = active || op.Verb != parser.Pong
		switch op.Verb {
		case parser.Pub:
			s.doPub(lane, w)
		case parser.HPub:
			if !s.is(hasHeaders) {
				err = s.fail(errNoHeaders)
				break
			}
			s.doPub(lane, w)
		case parser.Ping:
			s.doPing(set)
		case parser.Pong:
			s.doPong()
		case parser.Sub:
			s.doSub(w)
		case parser.Unsub:
			s.doUnsub(op)
		default:
			err = s.doRare(set, w)
		}
	}
	if lane.Effort() >= most {
		l.Again(s.conn)
	}
	if active {
		s.lastIn = l.Now()
	} else if used == len(in) {
		l.Lull()
	}
	w.release()
	s.settle()
	return used, err
}

// doRare carries out what a client sends once or never.
func (s *session) doRare(set *settings, w *work) error {
	switch w.op.Verb {
	case parser.Connect:
		return s.doConnect(set, w, w.op.Args)
	case parser.Info:
		if !json.Valid(w.op.Args) {
			return s.fail(errArguments)
		}
	case parser.Err:
		return s.fail(errClientError)
	}
	return nil // +OK
}

// doPub publishes one message.
func (s *session) doPub(lane *broker.Lane, w *work) {
	op, m := &w.op, &w.msg
	s.inMsgs++
	s.inBytes += uint64(len(op.Header) + len(op.Payload))
	m.Subject, m.Reply, m.Header, m.Payload = op.Subject, op.Reply, op.Header, op.Payload
	if s.flags&(isVerbose|isPedantic) != 0 || isReserved(op.Subject) || isReservedReply(op.Reply) {
		s.doCarefulPub(lane, m)
	} else {
		s.publish(lane, m)
	}
	if lane.Full() {
		lane.Flush()
	}
}

// publish hands a message to the broker, and answers for those who are not there.
func (s *session) publish(lane *broker.Lane, m *broker.Msg) (ok bool) {
	delivered, err := s.peer.Publish(lane, m)
	if err != nil {
		s.denyPublish(wireDeniedPublish, m.Subject)
		return false
	}
	if delivered == 0 && len(m.Reply) > 0 && s.is(wantsNoResponders) {
		s.sayNoResponders(lane, m)
	}
	return true
}

// sayNoResponders tells a requester that nobody has got its request, where it waits for the answer.
func (s *session) sayNoResponders(lane *broker.Lane, m *broker.Msg) {
	sub := s.peer.OwnInterest(lane, m.Reply)
	if sub == nil {
		return
	}
	const head, tail = "NATS/1.0 503\r\nNats-Subject: ", "\r\n\r\n"
	n := len(head) + len(m.Subject) + len(tail)
	size := lineRoom + len(m.Reply) + len(sub.Tag()) + n
	if !s.conn.Begin(size) {
		return
	}
	var b []byte
	if size <= engine.RoomMax {
		b = s.conn.Room(size)
	}
	start := b
	b = parser.AppendHMsg(b, m.Reply, sub.Tag(), nil, n, n)
	b = append(append(append(append(b, head...), m.Subject...), tail...), "\r\n"...)
	if start != nil {
		s.conn.Put(b)
	} else {
		s.conn.Write(b)
	}
	s.conn.End()
	s.flags |= owesFlush
}

// lineRoom is the most that a MSG or HMSG takes besides its subject, sid, reply, header and payload.
const lineRoom = len("HMSG ") + 4*len(" ") + 2*len("999999999") + 2*len("\r\n")

// Deliver implements broker.Sink. It runs on the publisher's goroutine.
func (s *session) Deliver(m *broker.Msg, sub *broker.Sub) bool {
	c, sid := s.conn, sub.Tag()
	line := lineRoom + len(m.Subject) + len(sid) + len(m.Reply)
	size := len(m.Header) + len(m.Payload)
	if !c.Begin(line + size) {
		return false
	}
	if !sub.Take() {
		c.End()
		return false
	}
	header := m.Header
	if s.output&takesHeaders == 0 {
		size -= len(header)
		header = nil
	}
	if line+size <= engine.RoomMax {
		b := appendMessage(c.Room(line+size), m, sid, header, size)
		b = append(append(b, header...), m.Payload...)
		c.Put(append(b, '\r', '\n'))
	} else {
		s.deliverLong(m, sid, header, size, line)
	}
	s.outMsgs++
	s.outBytes += uint64(size)
	traced := s.output&isTraced != 0
	c.End()
	if traced {
		s.traceMessage(m, sid, header, size)
	}
	return true
}

// appendMessage appends the line of MSG or HMSG.
func appendMessage(b []byte, m *broker.Msg, sid string, header []byte, size int) []byte {
	if len(header) == 0 {
		return parser.AppendMsg(b, m.Subject, sid, m.Reply, size)
	}
	return parser.AppendHMsg(b, m.Subject, sid, m.Reply, len(header), size)
}

// deliverLong is for messages that do not fit one chunk. Under the output lock.
func (s *session) deliverLong(m *broker.Msg, sid string, header []byte, size, line int) {
	c := s.conn
	if line <= engine.RoomMax {
		c.Put(appendMessage(c.Room(line), m, sid, header, size))
	} else {
		c.Write(appendMessage(nil, m, sid, header, size))
	}
	if len(header) > 0 {
		c.Write(header)
	}
	c.Write(m.Payload)
	c.Put(append(c.Room(2), '\r', '\n'))
}

// doSub makes a subscription. One with a sid that is in use changes nothing.
func (s *session) doSub(w *work) {
	op := &w.op
	w.text = append(append(append(w.text[:0], op.Subject...), op.Queue...), op.Sid...)
	_, err := s.peer.SubscribeText(string(w.text), len(op.Subject), len(op.Queue))
	switch err {
	case nil, broker.ErrTagInUse:
		s.sayOK()
	default:
		s.denySub(op, err)
	}
}

// doUnsub ends a subscription, at once or after so many messages. An unknown sid is no mistake.
func (s *session) doUnsub(op *parser.Op) {
	if sub := s.peer.FindBytes(op.Sid); sub != nil {
		s.peer.Unsubscribe(sub, op.Max)
	}
	s.sayOK()
}

var _ broker.Sink = (*session)(nil)
var _ broker.Rester = (*session)(nil)
var _ engine.Session = (*session)(nil)
