package leafnode

import (
	"bytes"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// The way in: Data unpacks what is packed and carries out every operation that has arrived whole.

const (
	// maxEffort is how many deliveries a link makes before others have their turn. So many operations
	// count as one, one that changes interest as two, and so many bytes that were unpacked: a megabyte of
	// any of these may come as fifty bytes.
	maxEffort      = 4096
	effortOps      = 4
	effortInterest = 2
	effortBytes    = 512
	// carryLeast is what is made room for at once.
	carryLeast = 256
)

// A work is what one call of Data needs and no link keeps.
type work struct {
	op     parser.Op
	msg    broker.Msg
	text   []byte
	queues []string
	msgs   uint64
	bytes  uint64
	effort int // beside the lane's, in effortOps
	most   int // of both together
}

var works = sync.Pool{New: func() any { return new(work) }}

func (w *work) release() {
	w.op, w.msg = parser.Op{Queues: w.op.Queues[:0]}, broker.Msg{}
	clear(w.queues)
	w.queues = w.queues[:0]
	w.msgs, w.bytes, w.effort = 0, 0, 0
	works.Put(w)
}

// isSpent reports whether others are to have their turn.
func (w *work) isSpent(lane *broker.Lane) bool { return lane.Effort()+w.effort/effortOps >= w.most }

// Data implements engine.Session.
func (k *link) Data(l *engine.Loop, in []byte) (used int, err error) {
	k.lastIn.Store(l.Now())
	lane := l.Local().(*broker.Lane)
	w := works.Get().(*work)
	w.most = lane.Effort() + maxEffort
	for used < len(in) && err == nil && !k.isAway {
		if w.isSpent(lane) {
			l.Again(k.conn)
			break
		}
		var n int
		if k.unpacks {
			n, err = k.doPacked(lane, w, in[used:])
		} else {
			n, err = k.doPlain(lane, w, in[used:])
		}
		used += n
		if n == 0 {
			if w.isSpent(lane) {
				l.Again(k.conn)
			}
			break
		}
	}
	if w.msgs > 0 {
		k.inMsgs.Add(w.msgs)
		k.inBytes.Add(w.bytes)
	}
	w.release()
	k.flush()
	return used, err
}

// doPlain carries out operations until one switches to S2.
func (k *link) doPlain(lane *broker.Lane, w *work, in []byte) (used int, err error) {
	for used < len(in) && !k.unpacks && !k.isAway && !w.isSpent(lane) {
		n, err := k.next(lane, w, in[used:])
		if n == 0 && err == nil {
			k.conn.Need(w.op.Need)
		}
		used += n
		if n == 0 || err != nil {
			return used, err
		}
	}
	return used, nil
}

// doPacked unpacks one chunk and carries out what is in it. A chunk whose operations are too many for
// this turn is not used up, and unpacked again in the next.
func (k *link) doPacked(lane *broker.Lane, w *work, in []byte) (used int, err error) {
	used, out, need, err := k.decoder.next(in)
	k.rawIn.Store(k.decoder.raw)
	k.wireIn.Store(k.decoder.wire)
	switch {
	case err == errChunkIdentifier && k.peer == nil && bytes.HasPrefix(in, []byte("-ERR")):
		return k.next(lane, w, in) // the other side has refused before it heard that we want S2
	case err != nil:
		return 0, k.garbage(err)
	case used == 0:
		k.conn.Need(need)
		return 0, nil
	}
	done := min(k.skip, len(out))
	k.skip = 0
	if len(k.carry) > 0 {
		n, err := k.complete(lane, w, out[done:])
		if err != nil {
			return 0, err
		}
		done += n
	}
	for done < len(out) {
		if w.isSpent(lane) || k.isAway {
			k.skip = done
			k.decoder.pause()
			return 0, nil
		}
		n, err := k.next(lane, w, out[done:])
		if err != nil {
			return 0, err
		}
		if n == 0 {
			k.carryNeed = w.op.Need
			if err := k.carryOn(out[done:]); err != nil {
				return 0, err
			}
			break
		}
		done += n
	}
	w.effort += effortOps * len(out) / effortBytes
	k.decoder.release()
	return used, nil
}

// carryOn keeps b, of an operation that is not whole, behind what is kept already.
func (k *link) carryOn(b []byte) error {
	if room := len(k.carry) + len(b); room > cap(k.carry) {
		// It doubles with what has come: who announces much and sends nothing costs nothing.
		double := max(2*cap(k.carry), carryLeast)
		if k.carryNeed > 0 {
			double = min(double, k.carryNeed)
		}
		room = max(room, double)
		grown := make([]byte, len(k.carry), room)
		copy(grown, k.carry)
		k.carry = grown
	}
	k.carry = append(k.carry, b...)
	// Small ones are everybody's; one large one there may always be.
	n := k.node
	if now := int64(cap(k.carry)); now > blockBytes && now != k.carried {
		if others := n.carried.Add(now-k.carried) - now; others > n.most.Load() {
			k.carried = now
			return k.fail(errHalfMessages)
		}
		k.carried = now
	}
	return nil
}

// carryNothing is the end of what was carried on.
func (k *link) carryNothing() {
	k.carry, k.carryNeed = k.carry[:0], 0
	if cap(k.carry) > blockBytes {
		k.carry = nil
	}
	if k.carried != 0 {
		k.node.carried.Add(-k.carried)
		k.carried = 0
	}
}

// complete adds to the operation that was not whole what belongs to it, and carries it out.
func (k *link) complete(lane *broker.Lane, w *work, out []byte) (used int, err error) {
	for used < len(out) {
		n := len(out) - used
		if k.carryNeed > len(k.carry) {
			n = min(n, k.carryNeed-len(k.carry))
		} else if i := bytes.IndexByte(out[used:], '\n'); i >= 0 {
			n = i + 1
		}
		if err := k.carryOn(out[used : used+n]); err != nil {
			return used, err
		}
		used += n
		if len(k.carry) < k.carryNeed {
			continue
		}
		taken, err := k.next(lane, w, k.carry)
		if err != nil {
			return used, err
		}
		if taken > 0 {
			k.carryNothing()
			return used, nil
		}
		k.carryNeed = w.op.Need
	}
	return used, nil
}

// garbage is a closing for what cannot be understood.
func (k *link) garbage(err error) error {
	return k.fail(&closing{reason: "Protocol Violation: " + err.Error(),
		remedy: "what came over the link is no leaf protocol: something in between changes it, or the other side is no nats-server or edgebus"})
}

// next carries out one operation. 0: it is not whole.
func (k *link) next(lane *broker.Lane, w *work, in []byte) (used int, err error) {
	op := &w.op
	if k.peer == nil && k.door != nil && !introduces(in[0]) {
		return 0, k.fail(errNotConnected)
	}
	used, err = k.parser.Next(in, op)
	if err != nil {
		return 0, k.violation(err)
	}
	if used == 0 {
		return 0, nil
	}
	w.effort++
	if k.peer == nil {
		return used, k.doEarly(op)
	}
	switch op.Verb {
	case parser.LeafMsg, parser.LeafHMsg:
		err = k.doMsg(lane, w)
	case parser.LeafSub:
		err = k.doSub(w)
	case parser.LeafUnsub:
		k.doUnsub(w)
	default:
		err = k.doRare(op)
	}
	return used, err
}

// introduces reports whether an operation that begins with b may come before a leaf is known: CONNECT and INFO.
func introduces(b byte) bool { return b|0x20 == 'c' || b|0x20 == 'i' }

// violation is what a parser's error does to a link.
func (k *link) violation(err error) error {
	var wrong *parser.ProtocolError
	why := &closing{reason: "Protocol Violation: " + err.Error(), remedy: "the other side does not keep to the leaf protocol"}
	if k.peer == nil {
		why.remedy = "is this a leaf node port? It is not the one that clients use"
		if k.door != nil {
			return k.fail(errNotConnected)
		}
	}
	if errors.As(err, &wrong) {
		why.wire = wrong.Wire
	}
	switch err {
	case parser.ErrControlLine:
		why.remedy = errControlLine.remedy
	case parser.ErrMaxPayload:
		why.remedy = errMaxPayload.remedy
	}
	return k.fail(why)
}

// doEarly carries out what may come before the link is up.
func (k *link) doEarly(op *parser.Op) error {
	switch {
	case op.Verb == parser.Info:
		return k.doEarlyInfo(op.Args)
	case op.Verb == parser.Err:
		return k.refusedBy(op.Args)
	case k.door != nil && op.Verb == parser.Connect:
		return k.doConnect(op.Args)
	case k.door != nil:
		return k.fail(errNotConnected)
	case op.Verb == parser.Ping:
		k.say(string(linePong))
	}
	return nil // a hub's PONG, and its interest before its last INFO: there is none
}

// doEarlyInfo goes on with the handshake.
func (k *link) doEarlyInfo(args []byte) error {
	i, err := parseInfo(args)
	if err != nil {
		return k.garbage(err)
	}
	return k.heed(&i)
}

// heed is what an INFO does to the handshake.
func (k *link) heed(i *info) error {
	var a action
	var err error
	if k.solicitor != nil {
		a, err = k.solicitor.info(i, k.rtt)
	} else {
		k.mu.Lock()
		k.rtt = time.Duration(engine.Now() - k.greetedAt) // about
		k.mu.Unlock()
		a, err = k.acceptor.info(i)
	}
	k.run(a)
	if err != nil {
		return k.failWith(err)
	}
	if a.up {
		return k.joinHub()
	}
	return nil
}

// failWith is fail for an error that may not be a closing.
func (k *link) failWith(err error) error {
	var why *closing
	if errors.As(err, &why) {
		return k.fail(why)
	}
	return k.fail(&closing{reason: err.Error()})
}

// doRare carries out what comes now and then.
func (k *link) doRare(op *parser.Op) error {
	switch op.Verb {
	case parser.Ping:
		k.mu.Lock()
		k.control = append(k.control, linePong...)
		k.mu.Unlock()
	case parser.Pong:
		k.doPong()
	case parser.Info:
		return k.doInfo(op.Args)
	case parser.Err:
		return k.refusedBy(op.Args)
	case parser.Connect:
		if k.door == nil {
			return k.fail(errUnexpected)
		}
	}
	return nil // +OK, and a second CONNECT, which no leaf sends
}

// refusedBy takes an -ERR. What ends a link ends it here too; the rest is only logged.
func (k *link) refusedBy(text []byte) error {
	why := reasonOf(string(text))
	k.node.tellErr(k, why)
	if !why.stays || k.peer == nil {
		return why
	}
	return nil
}

// doPong takes a receipt.
func (k *link) doPong() {
	now := engine.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	flying, _ := k.receipts.inFlight()
	rtt, ok := k.receipts.pong(now)
	if !ok {
		return
	}
	k.rtt = rtt
	if k.remote != nil && k.remote.tried != nil {
		// A hub that lets us in may refuse us still, but it does so before it answers.
		select {
		case k.remote.tried <- struct{}{}:
		default:
		}
	}
	if k.receipts.light() { // or it is our own queue that makes it long
		k.level.observe(rtt)
	}
	left, _ := k.receipts.inFlight()
	k.pace.add(now, flying-left)
}

// doMsg publishes what the other side has sent.
func (k *link) doMsg(lane *broker.Lane, w *work) error {
	op, m := &w.op, &w.msg
	w.msgs++
	w.bytes += uint64(len(op.Header) + len(op.Payload))
	if !k.filter.in(op.Subject) {
		return k.doForbidden(op.Subject)
	}
	m.Subject, m.Reply, m.Header, m.Payload, m.Route = op.Subject, op.Reply, op.Header, op.Payload, nil
	if ack, original, ok := splitAt(op.Reply); ok {
		m.Route, m.Subject, m.Reply = op.Subject, original, ack
	}
	w.queues = w.queues[:0]
	for _, group := range op.Queues {
		// Borrowed like all of m.
		w.queues = append(w.queues, unsafe.String(unsafe.SliceData(group), len(group)))
	}
	m.Queues = w.queues
	k.peer.Publish(lane, m)
	if lane.Full() {
		lane.Flush()
	}
	return nil
}

// doForbidden handles a message that may not come in: a leaf's is an offence, a hub's is dropped.
func (k *link) doForbidden(subject []byte) error {
	k.peer.Account().Drop(broker.Denied, 1)
	if k.door == nil {
		return nil
	}
	return k.fail(deniedPublish(string(subject)))
}

// doSub notes what the other side wants.
func (k *link) doSub(w *work) error {
	op := &w.op
	w.effort += effortInterest * effortOps
	filter := string(op.Subject)
	if isLDS(filter) && k.member.joint.own(filter) {
		return k.fail(loopOf(k.facts.account))
	}
	take, violation := k.filter.subscribe(filter)
	if violation && k.door != nil {
		return k.fail(deniedSubscription(filter))
	}
	if !take {
		k.refused = true
		return nil
	}
	w.text = appendTag(append(append(w.text[:0], op.Subject...), op.Queue...), op)
	if k.node.interest.Load() >= k.node.maxInterest.Load() {
		k.say("-ERR 'maximum subscriptions exceeded'\r\n")
		return nil
	}
	sub, err := k.peer.SubscribeText(string(w.text), len(op.Subject), len(op.Queue))
	switch {
	case err == nil:
		k.subscriptions.Add(1)
		k.node.interest.Add(1)
	case errors.Is(err, broker.ErrTagInUse):
	default:
		k.say("-ERR '" + wireInvalidSubject + "'\r\n")
		return nil
	}
	if len(op.Queue) > 0 {
		sub.SetWeight(op.Weight)
	}
	return nil
}

// appendTag appends how a subscription is found again.
func appendTag(b []byte, op *parser.Op) []byte {
	b = append(b, op.Subject...)
	if len(op.Queue) > 0 {
		b = append(append(b, ' '), op.Queue...)
	}
	return b
}

// doUnsub forgets what the other side has wanted.
func (k *link) doUnsub(w *work) {
	w.text = appendTag(w.text[:0], &w.op)
	if sub := k.peer.FindBytes(w.text); sub != nil {
		k.peer.Unsubscribe(sub, 0)
		k.subscriptions.Add(-1)
		k.node.interest.Add(-1)
	}
}

var _ broker.Sink = (*link)(nil)
var _ engine.SecureSession = (*link)(nil)
