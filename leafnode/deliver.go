package leafnode

import (
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// The way out: Deliver puts frames into the link's queue, and flush lets them go as far as the window
// allows, interest and PONGs before messages.

const (
	// batchBytes is how much is packed and handed to the connection at once.
	batchBytes = 64 << 10
	// lineRoom is the most that a frame takes besides its subject, reply, groups, header and payload.
	lineRoom = len("HMSG ") + 5*len(" ") + 2*len("999999999") + 2*len("\r\n")
	// restFrom is the part of MaxPending from which on they do, and restBytes what is enough in any case: a
	// queue that stays in the processor's cache costs less.
	restFrom  = 4
	restBytes = 1 << 20
)

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, batchBytes+4096); return &b }}

// Deliver implements broker.Sink.
func (k *link) Deliver(m *broker.Msg, _ *broker.Sub) bool {
	subject := m.Subject
	if m.Route != nil {
		subject = m.Route
	}
	if most := int(k.maxPayload.Load()); most > 0 && len(m.Header)+len(m.Payload) > most {
		k.node.tellTooBig(k, m)
		return m.Refuse(broker.TooBig)
	}
	size := lineRoom + len(subject) + len(m.Subject) + len(m.Reply) + len(m.Header) + len(m.Payload)
	for _, group := range m.Queues {
		size += len(group) + 1
	}
	k.mu.Lock() // and no defer: this is done for every message
	if k.over || !k.filter.out(subject) {
		why := broker.Denied
		if k.over {
			why = broker.Closing
		}
		k.mu.Unlock()
		return m.Refuse(why)
	}
	k.queue.added(k.appendFrame(k.queue.room(size), m, subject))
	k.outMsgs++
	k.outBytes += uint64(len(m.Header) + len(m.Payload))
	k.count()
	n := k.node
	if most := n.maxPending.Load(); int64(k.queue.bytes) > most {
		k.shed(int(most))
	} else if n.waiting.Load() > n.most.Load() && k.queue.bytes > countFrom {
		k.shed(k.queue.bytes / 2)
	}
	k.mu.Unlock()
	return true
}

// countFrom is the change of what waits, in bytes, that others are told of.
const countFrom = 8 << 10

// count brings Node.waiting up to date with what waits here. Under mu.
func (k *link) count() {
	if d := k.queue.bytes - k.counted; d > countFrom || -d > countFrom || k.queue.bytes == 0 && d != 0 {
		k.counted = k.queue.bytes
		k.node.waiting.Add(int64(d))
	}
}

// appendFrame appends m as it stands on a link.
func (k *link) appendFrame(b []byte, m *broker.Msg, subject []byte) []byte {
	reply := m.Reply
	if m.Route != nil {
		var room [512]byte
		reply = joinAt(room[:0], m.Reply, m.Subject)
	}
	header := m.Header
	if !k.facts.headers {
		header = nil
	}
	size := len(header) + len(m.Payload)
	if len(header) == 0 {
		b = parser.AppendLeafMsg(b, subject, reply, m.Queues, size)
	} else {
		b = parser.AppendLeafHMsg(b, subject, reply, m.Queues, len(header), size)
		b = append(b, header...)
	}
	b = append(b, m.Payload...)
	return append(b, '\r', '\n')
}

// shed makes room in a full queue: what can leave does, and then the oldest goes. Under mu.
func (k *link) shed(most int) {
	k.flushLocked()
	dropped := 0
	for k.queue.bytes > most && k.queue.msgs > 0 {
		k.queue.drop()
		dropped++
	}
	k.count()
	if dropped > 0 {
		k.dropped += uint64(dropped)
		if k.owed += dropped; k.owed >= dropBatch {
			k.countDrops()
		}
		k.node.tellShed(k)
	}
}

// dropBatch is how many dropped messages the account hears of at once: counting takes its lock, and
// publishers shall not feel a link that is stuck.
const dropBatch = 256

// countDrops tells the account of messages that were dropped. Under mu.
func (k *link) countDrops() {
	if k.owed > 0 {
		k.peer.Account().Drop(broker.SlowPeer, k.owed)
		k.owed = 0
	}
}

// Wake implements broker.Sink. A link's publishers rest only while what waits would be gone soon.
func (k *link) Wake(bool) (rest time.Duration) {
	k.mu.Lock()
	k.flushLocked()
	if waiting, most := k.queue.bytes, int(k.node.maxPending.Load()); waiting > min(most/restFrom, restBytes) {
		rest = k.pace.rest(engine.Now(), waiting)
	}
	k.mu.Unlock()
	k.conn.Flush(false)
	return rest
}

// flush lets go what may.
func (k *link) flush() {
	k.mu.Lock()
	k.flushLocked()
	k.mu.Unlock()
	k.conn.Flush(false)
}

// askFlush is flush for someone who holds locks: the owner does it.
func (k *link) askFlush() {
	if k.asked.CompareAndSwap(false, true) {
		k.conn.Post(func(*engine.Loop) {
			k.asked.Store(false)
			k.flush()
		})
	}
}

// isBehind reports whether a link that is up has something that it has not handed to the kernel.
func (k *link) isBehind() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.up && !k.over && (k.queue.msgs > 0 || k.conn.Pending() > 0)
}

// flushLocked hands to the connection what the window allows. Under mu.
func (k *link) flushLocked() {
	if !k.up || k.over {
		return
	}
	if len(k.control) > 0 {
		k.emit(k.control)
		k.control = k.control[:0]
	}
	if k.member.pending() > 0 && !k.flushInterest() {
		return
	}
	for k.queue.head != nil {
		room := k.receipts.room()
		if room <= 0 {
			return
		}
		flying, _ := k.receipts.inFlight()
		frames, msgs := k.queue.peek(min(room, batchBytes), flying == 0)
		if msgs == 0 { // a frame longer than a batch goes alone
			frames, msgs = k.queue.peek(room, flying == 0)
		}
		if msgs == 0 { // and one longer than the room waits for the receipt of all before it
			if k.receipts.wantsPing(true) {
				k.ping(engine.Now())
			}
			return
		}
		k.receipts.sent(k.emit(frames), msgs)
		k.queue.took(len(frames), msgs)
		k.askReceipt()
	}
	k.count()
}

// flushInterest lets go what has changed of our interest: always before the messages that come after
// the change. False: there is no room for all of it.
func (k *link) flushInterest() (all bool) {
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	for {
		b, room := (*scratch)[:0], k.receipts.room()
		k.member.drain(func(subject, queue string, weight int32) bool {
			if len(b)+len(subject)+len(queue)+lineRoom > min(room, batchBytes) && len(b) > 0 || room <= 0 {
				return false
			}
			if weight > 0 {
				b = parser.AppendLeafSub(b, subject, queue, weight)
			} else {
				b = parser.AppendLeafUnsub(b, subject, queue)
			}
			return true
		})
		if cap(b) > cap(*scratch) {
			*scratch = b[:0]
		}
		if len(b) > 0 {
			k.receipts.sent(k.emit(b), 0)
			k.askReceipt()
		}
		if k.member.pending() == 0 {
			return true
		}
		if len(b) == 0 {
			return false
		}
	}
}

// askReceipt sends a PING if one is due. Under mu.
func (k *link) askReceipt() {
	if k.receipts.wantsPing(false) {
		k.ping(engine.Now())
	}
}

// ping sends a PING, whose PONG is the receipt for all before it. Under mu.
func (k *link) ping(now int64) {
	k.emit(linePing)
	k.receipts.ping(now)
}

var (
	linePing = []byte("PING\r\n")
	linePong = []byte("PONG\r\n")
)

// emit hands bytes to the connection, packed if that was agreed on, and returns how many they have
// become. Under mu.
func (k *link) emit(b []byte) int {
	if !k.packs {
		k.write(b)
		return len(b)
	}
	scratch := scratches.Get().(*[]byte)
	if k.level.mode == ModeUncompressed && len(b) <= chunkData {
		head := k.encoder.head((*scratch)[:0], b)
		*scratch = head[:0]
		if k.conn.Begin(len(head) + len(b)) {
			k.conn.Write(head)
			k.conn.Write(b)
			k.conn.End()
		}
		n := len(head) + len(b)
		scratches.Put(scratch)
		return n
	}
	packed := k.encoder.append((*scratch)[:0], b, k.level.mode)
	k.write(packed)
	if cap(packed) <= 4*batchBytes {
		*scratch = packed[:0]
	}
	scratches.Put(scratch)
	return len(packed)
}

// write hands bytes to the connection as they are.
func (k *link) write(b []byte) {
	if !k.conn.Begin(len(b)) {
		return // it is closed
	}
	k.conn.Write(b)
	k.conn.End()
}
