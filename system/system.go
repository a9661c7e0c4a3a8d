package system

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/edgebus-io/edgebus/broker"
)

// A System answers requests on the system account and announces events there.
type System struct {
	// Set by New, never written again.
	options  Options
	broker   *broker.Broker
	account  *broker.Account
	peer     *broker.Peer
	handlers map[string]handler // by the tag of their subscription
	requests chan *request      // to the goroutine that answers
	outgoing chan *outgoing     // to the goroutine that publishes; whoever has something to publish sends
	commands chan *request      // to the goroutine of commands
	stopping chan struct{}      // closed by Shutdown
	unwatch  func()
	audience audience
	asking   asking

	// Anyone's.
	queued   atomic.Int64  // bytes of requests
	lost     atomic.Uint64 // events and requests that were too many
	stopOnce sync.Once
	running  sync.WaitGroup // the three goroutines

	// The publishing goroutine's.
	seq uint64
}

// New attaches to the system account and begins to answer. It must be shut down.
func New(o Options, b *broker.Broker) (*System, error) {
	o.fill()
	s := &System{
		options: o, broker: b, account: b.Account(o.Account),
		requests: make(chan *request, maxRequests), outgoing: make(chan *outgoing, maxOutgoing),
		commands: make(chan *request, 1), stopping: make(chan struct{}),
	}
	s.asking.init()
	s.audience.init(o.Info().ID)
	s.peer = s.account.Attach(nil, s, broker.Traits{NoEcho: true, Own: true})
	s.handlers = s.table()
	for tag, h := range s.handlers {
		if _, err := s.peer.Subscribe(h.filter, "", tag); err != nil {
			s.peer.Detach()
			return nil, fmt.Errorf("system: subscribe to %s in account %s: %w", h.filter, o.Account, err)
		}
	}
	s.unwatch = s.account.Watch(s.audience.notice)
	s.running.Go(s.answerAll)
	s.running.Go(s.commandAll)
	s.running.Go(s.publishAll)
	return s, nil
}

// Shutdown announces the end, and waits until all that was to be published is. It is called while
// clients are still there to hear of it.
func (s *System) Shutdown(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	done := make(chan struct{})
	go func() { // ends with the goroutines, whose waits are all bounded
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("system: shutdown: %w", ctx.Err())
	}
	s.unwatch()
	s.peer.Detach()
	s.asking.close()
	if n := s.lost.Load(); n > 0 {
		s.options.Logger.Warn("The system account has lost requests and events, because more came than could be dealt with", "lost", n)
	}
	return nil
}

// An outgoing is one message of ours. Either payload is it, or make makes it where it is published.
type outgoing struct {
	peer           *broker.Peer // nil: the system account's
	subject, reply string
	header         []byte
	payload        []byte
	make           func(server serverInfo) []byte
	encoding       string // content encoding that was asked for
	delivered      chan<- int
}

// publish queues a message that may be lost when there are too many.
func (s *System) publish(o *outgoing) bool {
	select {
	case s.outgoing <- o:
		return true
	default:
		s.lost.Add(1)
		return false
	}
}

// send queues a message that is waited for until there is room.
func (s *System) send(o *outgoing) {
	select {
	case s.outgoing <- o:
	case <-s.stopping:
	}
}

// publishAll owns the lane.
func (s *System) publishAll() {
	lane := s.broker.NewLane()
	defer lane.Close()
	beat := newHeartbeat()
	defer beat.stop()
	for {
		select {
		case o := <-s.outgoing:
			s.publishOne(lane, o)
			// What else is there goes out with the same flush.
			for more := true; more && !lane.Full(); {
				select {
				case o := <-s.outgoing:
					s.publishOne(lane, o)
				default:
					more = false
				}
			}
		case <-s.audience.changed:
			beat.begin(&s.audience)
		case <-beat.stats.C:
			if beat.statsDue(&s.audience) {
				s.publishOne(lane, s.statsMessage("$SYS.SERVER."+s.options.Info().ID+".STATSZ"))
			}
		case <-beat.conns.C:
			if beat.connsDue(&s.audience) && s.options.AccountStat != nil && s.options.Connected != nil {
				s.publishConns(lane)
			}
		case <-s.stopping:
			s.drain(lane)
			return
		}
		lane.Flush()
	}
}

// publishConns announces the connections of every account that has some.
func (s *System) publishConns(lane *broker.Lane) {
	for i, account := range s.options.Connected() {
		if i == maxTold {
			break
		}
		if account == broker.GlobalAccount {
			continue
		}
		for _, o := range s.connsMessages(account) {
			s.publishOne(lane, o)
		}
	}
}

// drain publishes what is left, and that we are gone.
func (s *System) drain(lane *broker.Lane) {
	for {
		select {
		case o := <-s.outgoing:
			s.publishOne(lane, o)
			continue
		default:
		}
		break
	}
	s.publishOne(lane, s.bareMessage("$SYS.SERVER."+s.options.Info().ID+".SHUTDOWN"))
	lane.Flush()
}

func (s *System) publishOne(lane *broker.Lane, o *outgoing) {
	payload, header := o.payload, o.header
	if o.make != nil {
		s.seq++
		payload = o.make(serverInfo{Info: s.options.Info(), Seq: s.seq, Time: s.options.Now().UTC()})
	}
	if o.encoding != "" {
		payload, header = encode(o.encoding, payload)
	}
	peer := o.peer
	if peer == nil {
		peer = s.peer
	}
	m := broker.Msg{Subject: []byte(o.subject), Header: header, Payload: payload}
	if o.reply != "" {
		m.Reply = []byte(o.reply)
	}
	delivered, err := peer.Publish(lane, &m)
	if err != nil {
		s.options.Logger.Debug("An answer could not be published", "subject", o.subject, "error", err)
	}
	if o.delivered != nil {
		o.delivered <- delivered // has room for it
	}
}
