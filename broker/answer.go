package broker

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/subject"
)

// Answers that services owe to other accounts. A request gets a reply subject of the exporter's,
// "_R_.aaaaaa.bbbbbb", where the first part is the account's and the second is new each time. An answer
// on it goes where the request wanted it. One subscription of nobody's takes them all, so that a request
// moves no generation. Who has asked is in the books as well: what a peer has asked for is bounded, and
// forgotten when it goes.
//
// Tried against nats-server 2.15.2: one answer, or as many as come until an empty one, by the export's
// response type; none later than the export's threshold after the request or the answer before; none
// once one has found nobody. There, answers are forgotten as soon as nobody waits for them any more;
// here that is seen when one comes, when the requester goes, or when time is up.

const (
	answerPrefix = "_R_."
	answerDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	answerToken  = 6
)

// owed is what the services of one account owe.
type owed struct {
	// Set when made.
	broker *Broker
	prefix string // with the dot behind it

	mu    sync.Mutex
	debts map[string]*debt // by key; under mu
	swept time.Time        // when what is over was last looked for; under mu
}

// A debt is the answer, or answers, to one request.
type debt struct {
	// Set when made.
	owed     *owed
	asked    *asked
	to       *Account // who waits
	export   *auth.Export
	text     string // key and reply
	keyBytes int

	last time.Time // request or last answer; under owed.mu

	before, after *debt // in asked; under asked.mu
	listed        bool  // under asked.mu
}

// asked are the open requests of one peer, oldest first.
type asked struct {
	mu          sync.Mutex
	first, last *debt // under mu
	bytes       int64 // of all; under mu; at most maxAskedBytes
	closed      bool  // under mu
}

func (d *debt) key() string   { return d.text[:d.keyBytes] }
func (d *debt) reply() string { return d.text[d.keyBytes:] }
func (d *debt) size() int64   { return int64(len(d.text)) + debtBytes }
func (d *debt) single() bool  { return d.export == nil || d.export.Response == auth.Singleton }

// patience is how long an answer may take.
func (d *debt) patience() time.Duration {
	if d.export == nil || d.export.Threshold <= 0 {
		return defaultThreshold
	}
	return d.export.Threshold
}

// owe notes that an answer on the key of what it returns is to go to reply in another account. It
// returns nil if there is too much of that.
func (a *Account) owe(asker *Peer, to *Account, reply []byte, export *auth.Export) *debt {
	w := a.books()
	now := time.Now()
	d := &debt{owed: w, asked: asker.books(), to: to, export: export, keyBytes: len(w.prefix) + answerToken, last: now}
	var text [256]byte
	b := appendRandom(append(text[:0], w.prefix...))
	d.text = string(append(b, reply...))
	if !d.asked.hasRoom(w, d.size(), now) {
		return nil
	}
	w.mu.Lock()
	for w.debts[d.key()] != nil {
		b = appendRandom(b[:len(w.prefix)])
		d.text = string(append(b, reply...))
	}
	w.debts[d.key()] = d
	w.mu.Unlock()
	w.broker.owed.Add(d.size())
	d.asked.add(d)
	return d
}

// books are the debts of an account. The first time it makes the subscription that answers come by.
func (a *Account) books() *owed {
	if w := a.owed.Load(); w != nil {
		return w
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.owed.Load(); w != nil {
		return w
	}
	w := &owed{broker: a.broker, debts: make(map[string]*debt)}
	w.prefix = string(appendRandom([]byte(answerPrefix))) + "."
	filter := w.prefix + ">"
	a.owed.Store(w)
	a.insertLocked(&Sub{peer: a.innerLocked(), text: filter, subjectBytes: uint32(len(filter)), kind: answerSub})
	return w
}

// appendRandom appends a token that nobody can guess.
func appendRandom(b []byte) []byte {
	n := rand.Uint64()
	for range answerToken {
		b = append(b, answerDigits[n%uint64(len(answerDigits))])
		n /= uint64(len(answerDigits))
	}
	return b
}

// claim returns the debt that an answer is for, and takes one off the books that only one answer may
// settle. why says what is wrong if there is none. w may be nil.
func (w *owed) claim(key []byte) (d *debt, why Reason) {
	if w == nil {
		return nil, NoInterest
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	d = w.debts[string(key)]
	if d == nil {
		return nil, NoInterest
	}
	if now.Sub(d.last) > d.patience() {
		return nil, Expired // sweep takes it away
	}
	d.last = now
	if d.single() {
		delete(w.debts, d.key())
		w.broker.owed.Add(-d.size())
	}
	return d, 0
}

// settle takes d off all books. It may be called twice.
func (d *debt) settle() {
	w := d.owed
	w.mu.Lock()
	if w.debts[d.key()] == d {
		delete(w.debts, d.key())
		w.broker.owed.Add(-d.size())
	}
	w.mu.Unlock()
	d.asked.mu.Lock()
	d.asked.removeLocked(d)
	d.asked.mu.Unlock()
}

// sweep settles what is over, not more often than every sweepEvery.
func (w *owed) sweep(now time.Time) {
	var over []*debt
	w.mu.Lock()
	if now.Sub(w.swept) >= sweepEvery {
		w.swept = now
		for _, d := range w.debts {
			if now.Sub(d.last) > d.patience() {
				over = append(over, d)
			}
		}
	}
	w.mu.Unlock()
	for _, d := range over {
		d.settle()
	}
}

// count is how many requests are open. w may be nil.
func (w *owed) count() int {
	if w == nil {
		return 0
	}
	w.sweep(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.debts)
}

// books are the open requests of a peer.
func (p *Peer) books() *asked {
	for {
		if w := p.asked.Load(); w != nil {
			return w
		}
		p.asked.CompareAndSwap(nil, new(asked))
	}
}

// hasRoom makes room for a request of so many bytes, if need be at the cost of the oldest of the same
// peer. It is false if there is none: all peers together ask for too much, this one not among them.
func (w *asked) hasRoom(at *owed, size int64, now time.Time) bool {
	at.sweep(now)
	for {
		all := at.broker.owed.Load() + size
		w.mu.Lock()
		oldest, mine := w.first, w.bytes+size
		w.mu.Unlock()
		switch {
		case mine <= maxAskedBytes && all <= allOwedBytes:
			return true
		case oldest == nil:
			return all <= 2*allOwedBytes
		}
		oldest.settle()
	}
}

func (w *asked) add(d *debt) {
	w.mu.Lock()
	closed := w.closed
	if !closed {
		d.listed, d.before = true, w.last
		if w.last != nil {
			w.last.after = d
		} else {
			w.first = d
		}
		w.last = d
		w.bytes += d.size()
	}
	w.mu.Unlock()
	if closed {
		d.settle()
	}
}

func (w *asked) removeLocked(d *debt) {
	if !d.listed {
		return
	}
	d.listed = false
	w.bytes -= d.size()
	if d.before != nil {
		d.before.after = d.after
	} else {
		w.first = d.after
	}
	if d.after != nil {
		d.after.before = d.before
	} else {
		w.last = d.before
	}
	d.before, d.after = nil, nil
}

// close forgets the requests of a peer that is gone, but for those that somebody else still waits for.
// w may be nil.
func (w *asked) close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.closed = true
	var list []*debt
	for d := w.first; d != nil; d = d.after {
		list = append(list, d)
	}
	w.mu.Unlock()
	for _, d := range list {
		if !d.to.waitsFor(d.reply()) {
			d.settle()
		}
	}
}

// waitsFor reports whether somebody in the account would get an answer on reply.
func (a *Account) waitsFor(reply string) bool {
	if w := a.owed.Load(); w != nil && isAnswer(reply) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.debts[reply] != nil
	}
	var r subject.Result[*Sub]
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.index.Match([]byte(reply), &r)
	return len(r.Plain)+len(r.Groups) != 0
}
