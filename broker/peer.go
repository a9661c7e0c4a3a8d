package broker

import (
	"math"
	"sync/atomic"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// A Peer is anything attached to the broker: a connection, a link, a stream.
type Peer struct {
	// Set when made.
	account *Account
	sink    Sink
	origin  uint32
	remote  bool
	up      bool
	own     bool

	// The goroutine's that publishes for this peer.
	noEcho bool

	// Anyone's.
	closed  atomic.Bool
	touched atomic.Uint32 // a bit for each lane that will wake the sink
	behind  atomic.Uint32 // how long in microseconds publishers to it should rest; mostly 0
	most    atomic.Int32  // subscriptions that the identity allows; 0 is any number, negative none
	perms   atomic.Pointer[auth.Permissions]
	replies atomic.Pointer[replies] // nil if the permissions allow no responses
	asked   atomic.Pointer[asked]   // requests to other accounts that wait for answers; nil before the first

	// On 64 bits it makes 128 bytes of a Peer, so that what a delivery looks at lies in one cache line.
	_ [24 * (^uintptr(0) >> 63)]byte

	// Under account.mu.
	subs  []*Sub
	byTag map[string]*Sub // nil up to fewSubs
}

// Account is where the peer is attached.
func (p *Peer) Account() *Account { return p.account }

// Sink is what was attached.
func (p *Peer) Sink() Sink { return p.sink }

// Remote reports whether the peer speaks for others.
func (p *Peer) Remote() bool { return p.remote }

// Up reports whether the peer speaks for those above us.
func (p *Peer) Up() bool { return p.up }

// Origin is the mark of those who do not hand messages to one another; 0 is none.
func (p *Peer) Origin() uint32 { return p.origin }

// SetNoEcho changes whether the peer wants its own messages. Only the goroutine that publishes for
// the peer may call it.
func (p *Peer) SetNoEcho(noEcho bool) { p.noEcho = noEcho }

// Subscribe makes interest in filter, as a member of queue if that is not empty. The tag, unless
// it is empty, is how Find finds the subscription again; if there is a live one, that is returned
// with ErrTagInUse.
func (p *Peer) Subscribe(filter, queue, tag string) (*Sub, error) {
	return p.SubscribeText(filter+queue+tag, len(filter), len(queue))
}

// SubscribeText is Subscribe for someone who has the three in one string already, which is kept:
// first the subject, then the queue, then the tag.
func (p *Peer) SubscribeText(text string, subjectBytes, queueBytes int) (*Sub, error) {
	if uint64(subjectBytes) > maxSubjectBytes || queueBytes > maxQueueBytes {
		return nil, ErrInvalidSubject
	}
	s := &Sub{peer: p, text: text, subjectBytes: uint32(subjectBytes), queueBytes: uint16(queueBytes)}
	old, err := p.subscribe(s)
	if err != nil {
		return old, err
	}
	if r := p.account.rules.Load(); r != nil && len(r.streams) != 0 {
		p.account.cast(s)
	}
	return s, nil
}

// subscribe puts s into the account's index if it may be there.
func (p *Peer) subscribe(s *Sub) (old *Sub, err error) {
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.closed.Load() {
		return nil, ErrDetached
	}
	// Under the lock, so that Reauthorize cannot come in between and miss this one. The order is
	// nats-server's: it decides which of two mistakes a client is told of.
	allowed, filtered := p.perms.Load().MaySubscribe(s.Subject(), s.Queue())
	if !allowed {
		return nil, ErrSubscribeDenied
	}
	bound := !p.remote && !p.own
	if limit := int(a.broker.maxTokens.Load()); bound && limit > 0 && subject.Tokens(s.Subject()) > limit {
		return nil, ErrTooManyTokens
	}
	if bound && len(p.subs) >= p.mostSubscriptions() {
		return nil, ErrMaxSubscriptions
	}
	if old := p.findLocked(s.Tag()); old != nil {
		return old, ErrTagInUse
	}
	if !subject.ValidFilter(s.Subject()) {
		return nil, ErrInvalidSubject
	}
	s.filtered = filtered
	p.addLocked(s)
	a.insertLocked(s)
	return nil, nil
}

// mostSubscriptions is the least of what the broker, the account and the identity allow. What an
// account allows is for each of its connections, as in nats-server.
func (p *Peer) mostSubscriptions() int {
	most := math.MaxInt
	bound := func(n int64) {
		if n != 0 {
			most = min(most, int(max(n, 0)))
		}
	}
	bound(int64(p.account.broker.maxSubscriptions.Load()))
	bound(int64(p.most.Load()))
	if r := p.account.rules.Load(); r != nil {
		bound(r.of.Limits.MaxSubscriptions)
	}
	return most
}

// Unsubscribe removes s once it has had most messages in all, counted from its beginning; 0 is now.
// A message that is being delivered at the same time may still arrive, unless the sink asks Take.
func (p *Peer) Unsubscribe(s *Sub, most uint64) {
	if most != 0 && !s.limit(most) {
		return
	}
	p.account.mu.Lock()
	p.account.removeLocked(s)
	p.account.unlock()
}

// Find returns the peer's live subscription of this tag, or nil. A closed one counts as absent.
func (p *Peer) Find(tag string) *Sub {
	p.account.mu.RLock()
	defer p.account.mu.RUnlock()
	return p.findLocked(tag)
}

// FindBytes is Find for a tag that is not a string yet.
func (p *Peer) FindBytes(tag []byte) *Sub {
	p.account.mu.RLock()
	defer p.account.mu.RUnlock()
	if len(tag) == 0 {
		return nil
	}
	if p.byTag != nil {
		return live(p.byTag[string(tag)])
	}
	for _, s := range p.subs {
		if s.Tag() == string(tag) && !s.Closed() {
			return s
		}
	}
	return nil
}

func (p *Peer) findLocked(tag string) *Sub {
	if tag == "" {
		return nil
	}
	if p.byTag != nil {
		return live(p.byTag[tag])
	}
	for _, s := range p.subs {
		if s.Tag() == tag && !s.Closed() {
			return s
		}
	}
	return nil
}

func live(s *Sub) *Sub {
	if s == nil || s.Closed() {
		return nil
	}
	return s
}

// addLocked puts s into the peer's own list.
func (p *Peer) addLocked(s *Sub) {
	s.own = int32(len(p.subs))
	p.subs = append(p.subs, s)
	if p.byTag == nil && len(p.subs) > fewSubs {
		p.byTag = make(map[string]*Sub, 2*fewSubs)
		for _, old := range p.subs {
			if old.Tag() != "" && !old.Closed() {
				p.byTag[old.Tag()] = old
			}
		}
		return
	}
	if p.byTag != nil && s.Tag() != "" {
		p.byTag[s.Tag()] = s
	}
}

// dropLocked takes s out of the peer's own list.
func (p *Peer) dropLocked(s *Sub) {
	last := len(p.subs) - 1
	moved := p.subs[last]
	p.subs[s.own] = moved
	moved.own = s.own
	p.subs[last] = nil
	p.subs = p.subs[:last]
	// A spent one may have been followed by another of the same tag before it came to this.
	if p.byTag != nil && p.byTag[s.Tag()] == s {
		delete(p.byTag, s.Tag())
	}
	if last == 0 && cap(p.subs) > fewSubs {
		p.subs, p.byTag = nil, nil
	}
}

// Subs calls f for each of the peer's subscriptions. f must not call back.
func (p *Peer) Subs(f func(*Sub)) {
	p.account.mu.RLock()
	defer p.account.mu.RUnlock()
	for _, s := range p.subs {
		if !s.Closed() {
			f(s)
		}
	}
}

// OwnInterest returns one of the peer's own plain subscriptions that match, or nil.
func (p *Peer) OwnInterest(l *Lane, literal []byte) *Sub {
	a := p.account
	a.mu.RLock()
	defer a.mu.RUnlock()
	if len(p.subs) <= 4*fewSubs {
		for _, s := range p.subs {
			if s.queueBytes == 0 && !s.Closed() && subject.Matches(s.Subject(), literal) {
				return s
			}
		}
		return nil
	}
	defer l.forgetMatches()
	a.index.Match(literal, &l.matches)
	l.effort += l.matches.Steps
	for _, s := range l.matches.Plain {
		if s.peer == p && !s.Closed() {
			return s
		}
	}
	return nil
}

// Reauthorize gives the peer another identity of the same account, after a reload. It returns the
// subscriptions that the new permissions do not allow; they are removed. Whom the peer was to answer is
// forgotten even where nothing has changed: nats-server does so.
func (p *Peer) Reauthorize(id *auth.Identity) (lost []*Sub) { return p.reauthorize(id, false) }

// Renew is Reauthorize after something else than a reload, as when the account was pushed: what the
// peer may answer on stays, unless what it is allowed of that has changed.
func (p *Peer) Renew(id *auth.Identity) (lost []*Sub) { return p.reauthorize(id, true) }

func (p *Peer) reauthorize(id *auth.Identity, keepReplies bool) (lost []*Sub) {
	a := p.account
	a.mu.Lock()
	defer a.unlock()
	p.permit(id, keepReplies)
	perms := p.perms.Load()
	differs := false
	for _, s := range p.subs {
		allowed, filtered := perms.MaySubscribe(s.Subject(), s.Queue())
		differs = differs || s.filtered || filtered
		s.filtered = filtered
		if s.shadowed && allowed {
			a.orphans = append(a.orphans, s) // its shadows have verdicts of the old permissions
		}
		if !allowed {
			lost = append(lost, s)
		}
	}
	for _, s := range lost {
		a.removeLocked(s)
	}
	if differs {
		// Slots hold what was filtered by the old permissions.
		a.moveAllLocked()
	}
	return lost
}

// permit takes over an identity's permissions.
func (p *Peer) permit(id *auth.Identity, keepReplies bool) {
	var perms *auth.Permissions
	if id != nil {
		perms = id.Perms
	}
	var most int64
	if id != nil {
		most = id.Limits.MaxSubscriptions
	}
	p.most.Store(int32(min(max(most, -1), math.MaxInt32)))
	limits, ok := perms.Responses()
	switch old := p.replies.Load(); {
	case !ok:
		p.replies.Store(nil)
		old.close()
	case old == nil || old.limits != limits || !keepReplies:
		p.replies.Store(p.account.broker.newReplies(limits))
		old.close()
	}
	p.perms.Store(perms)
}

// count changes the numbers of peers of the account by delta.
func (p *Peer) count(delta int32) {
	if p.remote {
		p.account.links.Add(delta)
	}
	if !p.own {
		p.account.peers.Add(delta)
	}
}

// Detach removes the peer with all it has subscribed to. A message that is being delivered at the
// same time may still reach the sink.
func (p *Peer) Detach() {
	if p.closed.Swap(true) {
		return
	}
	p.replies.Load().close()
	a := p.account
	p.count(-1)
	for more := true; more; {
		a.mu.Lock()
		for range detachBatch {
			if len(p.subs) == 0 {
				more = false
				break
			}
			a.removeLocked(p.subs[len(p.subs)-1])
		}
		a.unlock()
	}
	p.asked.Load().close() // now that its interest is gone
}
