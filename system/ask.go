package system

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

// asking is our own requests to whoever serves something in an account.
type asking struct {
	mu      sync.Mutex
	prefix  string
	last    uint64                  // number of the last request; under mu
	askers  map[string]*asker       // by account; under mu
	waiting map[string]chan<- reply // by the subject of the answer; each has room for one; under mu
	closed  bool                    // under mu
}

// An asker is our peer in one account.
type asker struct {
	asking  *asking
	account string
	peer    *broker.Peer
	waiting int // requests that have not ended; under asking.mu
}

// reply is an answer, copied.
type reply struct{ header, payload []byte }

func (a *asking) init() {
	// As nats-server's, for services whose permissions name where they may answer.
	a.prefix = "$SYS._INBOX." + newID()[:8]
	a.askers = make(map[string]*asker)
	a.waiting = make(map[string]chan<- reply)
}

// Request sends a message in an account and waits for an answer. It blocks, so no loop may call it.
// If nobody has taken the request, it is an error at once.
func (s *System) Request(ctx context.Context, account, subject string, header map[string]string, payload []byte) (answer []byte, answerHeader map[string]string, err error) {
	answers := make(chan reply, 1)
	delivered := make(chan int, 1)
	from, inbox, err := s.asking.begin(s.broker.Account(account), answers)
	if err != nil {
		return nil, nil, fmt.Errorf("system: request %s in account %s: %w", subject, account, err)
	}
	defer s.asking.end(from, inbox)
	if !s.publish(&outgoing{peer: from.peer, subject: subject, reply: inbox, header: encodeHeader(header), payload: payload, delivered: delivered}) {
		return nil, nil, fmt.Errorf("system: request %s in account %s: %w", subject, account, errBusy)
	}
	for {
		select {
		case r := <-answers:
			return r.payload, decodeHeader(r.header), nil
		case n := <-delivered:
			if n == 0 {
				return nil, nil, fmt.Errorf("system: request %s in account %s: %w", subject, account, errNobody)
			}
			delivered = nil
		case <-s.stopping:
			return nil, nil, fmt.Errorf("system: request %s in account %s: %w", subject, account, ErrStopped)
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("system: request %s in account %s: %w", subject, account, ctx.Err())
		}
	}
}

// begin notes a request and gives the subject of its answer.
func (a *asking) begin(account *broker.Account, answers chan<- reply) (*asker, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) >= maxAsking {
		return nil, "", errBusy
	}
	from, err := a.askerLocked(account)
	if err != nil {
		return nil, "", err
	}
	from.waiting++
	a.last++
	inbox := a.prefix + "." + strconv.FormatUint(a.last, 36)
	a.waiting[inbox] = answers
	return from, inbox, nil
}

// askerLocked finds our peer in an account, or attaches one. Accounts come and go with reloads, so that of too many
// one where nothing waits is let go.
func (a *asking) askerLocked(account *broker.Account) (*asker, error) {
	if a.closed {
		return nil, ErrStopped
	}
	if from := a.askers[account.Name()]; from != nil {
		return from, nil
	}
	if len(a.askers) >= maxAskingAccounts && !a.dropIdleLocked() {
		return nil, errBusy
	}
	from := &asker{asking: a, account: account.Name()}
	from.peer = account.Attach(nil, from, broker.Traits{NoEcho: true, Own: true})
	if _, err := from.peer.Subscribe(a.prefix+".*", "", ""); err != nil {
		from.peer.Detach()
		return nil, err
	}
	a.askers[from.account] = from
	return from, nil
}

// dropIdleLocked lets a peer go that waits for nothing. False: there is none.
func (a *asking) dropIdleLocked() bool {
	for _, from := range a.askers {
		if from.waiting == 0 {
			delete(a.askers, from.account)
			from.peer.Detach()
			return true
		}
	}
	return false
}

func (a *asking) end(from *asker, inbox string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from.waiting--
	delete(a.waiting, inbox)
}

func (a *asking) close() {
	a.mu.Lock()
	askers := a.askers
	a.askers, a.closed = nil, true
	a.mu.Unlock()
	for _, from := range askers {
		from.peer.Detach()
	}
}

// Deliver hands an answer to who waits for it. Only the first counts.
func (f *asker) Deliver(m *broker.Msg, _ *broker.Sub) bool {
	f.asking.mu.Lock()
	answers := f.asking.waiting[string(m.Subject)]
	delete(f.asking.waiting, string(m.Subject))
	f.asking.mu.Unlock()
	if answers == nil {
		return m.Refuse(broker.Expired)
	}
	answers <- reply{bytes.Clone(m.Header), bytes.Clone(m.Payload)} // has room for it
	return true
}

// Wake has nothing to flush.
func (f *asker) Wake(bool) time.Duration { return 0 }
