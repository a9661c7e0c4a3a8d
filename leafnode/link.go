package leafnode

import (
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/parser"
)

// A link is one connection to another server, from the moment on that it has a socket. It is a session
// of the engine's inward and a sink of the broker's outward.
type link struct {
	// Set before the engine sees it, never written again.
	node    *Node
	remote  *remote       // that dialled; nil: a leaf has come to us
	ended   chan error    // told the reason in the end; nil with a leaf
	opened  chan struct{} // closed when conn is set; nil with a leaf
	door    *door         // that it came through; nil: we dialled
	conn    *engine.Conn
	parser  parser.Parser
	started time.Time

	// The owner's. Times are on the engine's scale.
	solicitor  *solicitor // while we are let in
	acceptor   *acceptor  // until a leaf is let in
	nonce      string     // that a leaf has to sign
	greetedAt  int64      // when a leaf could answer our INFO
	identity   *auth.Identity
	peer       *broker.Peer // nil until the link is up
	member     *member
	until      int64     // the handshake's end, and later that of the credentials; 0: never
	careAt     int64     // when to look after the link; 0 until it is up
	caredAt    int64     // when it was looked after last
	unread     int       // bytes that waited for the rest of what they are part of when it was looked after
	isAway     bool      // credentials are being checked beside the loop
	isMute     bool      // INFO has not been said, because the leaf is to begin with TLS
	isSecured  bool      // by TLS
	isCounted  bool      // by the turnstile
	isSecuring bool      // nothing may be said until TLS is done
	given      [2]limits // what the hub lets in and out
	refused    bool      // some of the other side's interest
	unpacks    bool      // what comes in is S2
	decoder    decoder
	carry      []byte // an operation that is not whole, of what was unpacked
	carryNeed  int    // its length, if it is known
	carried    int64  // of its bytes, what is counted in Node.carried
	skip       int    // of the chunk to be unpacked next, what has been carried out already

	// Written by the owner, read by anyone.
	lastIn        atomic.Int64 // when the last byte came
	inMsgs        atomic.Uint64
	inBytes       atomic.Uint64
	subscriptions atomic.Int32
	rawIn, wireIn atomic.Uint64 // bytes after and before unpacking
	maxPayload    atomic.Int32  // that the other side takes, in bytes; 0: unknown

	// Written once, when the link comes up, and before that read by nobody: see link.enter. Some change later.
	facts facts

	place standing // under Node.mu

	// Anyone's, under mu. It comes before a joint's lock and the connection's output lock.
	mu       sync.Mutex
	up       bool
	over     bool  // nothing is taken any more
	packs    bool  // what goes out is S2
	level    level // of compression
	encoder  encoder
	filter   *filter
	receipts receipts
	control  []byte // leaves before everything else
	queue    queue
	counted  int // of queue.bytes, what is counted in Node.waiting
	outMsgs  uint64
	outBytes uint64
	dropped  uint64 // messages, since the link is up
	owed     int    // of dropped, what the account has not heard of
	rtt      time.Duration
	pace     pace
	told     int64       // when dropping was last logged
	asked    atomic.Bool // a flush has been asked of the owner
}

// A standing is how far a link has come, in Node's eyes.
type standing uint8

const (
	nowhere  standing = iota // not admitted yet, or gone
	stranger                 // a leaf on its way in, that nobody knows yet
	dialing                  // on our way to a hub
	joined                   // in its account
	expelled                 // has to go for another one
)

// facts are what a link is known by once it is up.
type facts struct {
	account  string // ours
	system   bool
	name     string // of the other side
	serverID string
	cluster  string
	version  string
	theirs   string // its account
	address  string
	hub      bool // the other side is a hub of ours
	isolated bool // it is told nothing of what other links want; changed under link.mu
	alone    bool // the leaf has asked for that
	headers  bool
	mode     Mode        // as agreed
	own      Compression // what we wanted then; changed by the owner
	offered  string      // what the other side has, as INFO calls it
	offers   bool        // it has said so

	toldPayload int    // max_payload, as a leaf was told last; changed by the owner
	toldCluster string // ours, as a leaf was told when it was let in; empty: it was told of none
	secure      bool   // TLS
	origin      uint32
}

// fail tells the other side why the link is going to be closed, and returns that.
func (k *link) fail(why *closing) error {
	if why.wire != "" {
		k.say("-ERR '" + why.wire + "'\r\n")
	}
	return why
}

// close is fail outside of Data, which has nobody to return an error to.
func (k *link) close(why *closing) {
	if !k.isSecuring {
		k.fail(why)
	}
	k.conn.Close(why)
}

// say sends what does not wait for messages.
func (k *link) say(line string) {
	if line == "" {
		return
	}
	k.mu.Lock()
	k.emit([]byte(line))
	k.mu.Unlock()
	k.conn.Flush(false)
}

// run carries out what a step of the handshake asks.
func (k *link) run(a action) {
	k.mu.Lock()
	if len(a.send) > 0 {
		k.emit(a.send)
	}
	k.packs = k.packs || a.output
	if a.output {
		k.level = newLevel(k.compression(), k.agreed(), k.rtt)
	}
	if len(a.then) > 0 {
		k.emit(a.then)
	}
	k.mu.Unlock()
	k.unpacks = k.unpacks || a.input
	k.conn.Flush(false)
}

// compression is what we are configured to agree to on this link.
func (k *link) compression() Compression {
	set := k.node.settings.Load()
	if k.remote != nil {
		return k.remote.compression(set)
	}
	return set.Compression
}

// agreed is the mode of compression that both sides have agreed on.
func (k *link) agreed() Mode {
	if k.acceptor != nil {
		return k.acceptor.mode()
	}
	if k.solicitor != nil {
		return k.solicitor.mode()
	}
	return k.facts.mode
}

// Secured implements engine.SecureSession.
func (k *link) Secured(_ *engine.Loop, state *tls.ConnectionState) {
	k.isSecuring, k.isSecured = false, state != nil
	if k.isMute {
		k.isMute = false
		k.say(string(k.acceptor.hello()))
	}
	k.greetedAt = engine.Now()
	k.arm()
}

// Silent implements engine.SecureSession: a leaf that was to begin with TLS waits to be spoken to.
func (k *link) Silent(*engine.Loop) {
	if k.isMute {
		k.isMute = false
		k.say(string(k.acceptor.hello()))
	}
}

// Securing implements engine.SecureSession.
func (k *link) Securing(*engine.Loop) error {
	if t := k.node.settings.Load().TLS; t != nil && t.Allow != nil && !t.Allow() {
		return k.fail(errThrottled)
	}
	return nil
}

// Closed implements engine.Session.
func (k *link) Closed(reason error) {
	k.mu.Lock()
	k.over = true
	waiting := k.queue.clear()
	k.count()
	if k.peer != nil {
		k.countDrops()
	}
	bytes, flying := k.receipts.lost()
	k.mu.Unlock()
	k.decoder.release()
	k.carryNothing()
	k.carry = nil
	l := lost{waiting: waiting, flying: flying, flyingBytes: bytes}
	if k.subscriptions.Load() > manySubscriptions {
		go k.withdraw(reason, l) // the Node waits for it
		return
	}
	k.withdraw(reason, l)
}

// manySubscriptions take longer to remove than others on the loop should wait: 2 us each.
const manySubscriptions = 4096

// withdraw takes a link that is closed out of its account.
func (k *link) withdraw(reason error, l lost) {
	if k.peer != nil {
		k.peer.Detach()
		if k.member.joint != nil { // or the joint has not let us in
			k.member.joint.leave(k.member)
		}
		k.peer.Account().Drop(broker.Closing, l.waiting)
	}
	k.node.interest.Add(-int64(k.subscriptions.Load()))
	k.node.left(k, reason, l)
}

// lost is what a link held when it was cut.
type lost struct {
	waiting     int // messages that had not been sent
	flying      int // that had been, and no receipt had come for
	flyingBytes int
}

const (
	// careParts is how often in DeadAfter a link is looked after. A PING goes out in silence after
	// three of these parts, and after seven the link is given up.
	careParts = 8
	pingParts = 3
	deadParts = 7
	firstPing = time.Second
)

// arm asks for the next look at the clock.
func (k *link) arm() {
	at := k.careAt
	if k.until != 0 && (at == 0 || k.until < at) {
		at = k.until
	}
	k.conn.WakeAt(at)
}

// Due implements engine.Session.
func (k *link) Due(l *engine.Loop, now int64) {
	switch {
	case k.until == 0:
	case now >= k.until && !k.expire(now):
		return
	case k.peer != nil:
		// The clock may have been set since it was last asked.
		if why := k.bound(k.node.settings.Load()); why != nil {
			k.close(why)
			return
		}
	}
	if k.careAt != 0 && now >= k.careAt && !k.care(now) {
		return
	}
	k.arm()
}

// expire handles the end of the handshake's time, or of the credentials'. False: it is over.
func (k *link) expire(now int64) bool {
	set := k.node.settings.Load()
	switch {
	case k.peer != nil:
		if why := k.recheck(set); why != nil {
			k.close(why)
			return false
		}
		return true
	case k.isAway:
		k.until = now + int64(set.HandshakeTimeout)
		return true
	case k.remote != nil:
		k.close(errNoWelcome)
	default:
		k.close(errAuthTimeout)
	}
	return false
}

// care sees whether the other side is alive, and asks for receipts that are due. False: it is over.
func (k *link) care(now int64) bool {
	part := int64(k.node.settings.Load().DeadAfter) / careParts
	if n := k.conn.Unread(); n != k.unread {
		// Of a long message or chunk Data hears when it is whole, which may take minutes.
		k.unread = n
		k.lastIn.Store(now)
	}
	silence := now - k.lastIn.Load()
	k.mu.Lock()
	asked, isAsked := k.receipts.oldest()
	uncovered := k.receipts.wantsPing(true)
	k.countDrops()
	k.mu.Unlock()
	isFresh := now-k.caredAt < pingParts*part // or it may be we who were stopped, and have not read since
	k.caredAt = now
	switch {
	case isFresh && isAsked && silence >= deadParts*part && now-asked >= pingParts*part:
		k.close(errStale)
		return false
	case uncovered || silence >= pingParts*part && !isAsked || k.rttUnknown():
		k.mu.Lock()
		k.ping(now)
		k.mu.Unlock()
		k.conn.Flush(false)
	}
	k.careAt = now + part
	if isAsked {
		// On time, or a part and more would come on top.
		k.careAt = min(k.careAt, max(now+part/2, k.lastIn.Load()+deadParts*part, asked+pingParts*part))
	}
	if len(k.carry) == 0 {
		k.carry = nil
	}
	k.flush()
	return true
}

func (k *link) rttUnknown() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.receipts.last()
	_, asked := k.receipts.oldest()
	return !known && !asked
}
