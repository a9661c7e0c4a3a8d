package micro

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// Defaults and bounds.
const (
	DefaultQueueGroup = "q"
	MaxEndpoints      = 1000 // of one service: what INFO says of them fits into 1 MiB

	maxQuestions = 64 // of $SRV that wait; more are dropped, as whoever asks asks again
)

// A Config describes a service.
type Config struct {
	// Name is that of all instances: letters, digits, dashes and underscores.
	Name string
	// Version is the service's own, as 1.0.0.
	Version string
	// Description and Metadata are for people and tools that look.
	Description string
	Metadata    map[string]string
	// QueueGroup is the group of endpoints that name none. Default "q".
	QueueGroup string
	// NoQueueGroup: every instance gets every request.
	NoQueueGroup bool
	// Data, if set, says more about an endpoint for STATS. What it returns is shown as JSON. It is
	// called for each endpoint whenever somebody asks.
	Data func(endpoint, subject string) any
}

// A Service is one instance of a service.
type Service struct {
	// Set by AddService, never written again.
	conn      *client.Conn
	config    Config
	id        string
	questions chan *client.Msg       // from the nine subscriptions to answerLoop
	monitors  []*client.Subscription // the nine
	done      chan struct{}          // closed by answerLoop

	mu        sync.Mutex
	endpoints []*endpoint // only appended to
	started   time.Time
	stopped   bool // takes no more endpoints
}

// AddService makes an instance known. It has no endpoints yet; those that wait for answers do not
// come before AddEndpoint. The instance ends with Stop, or with the connection.
func AddService(conn *client.Conn, config Config) (*Service, error) {
	if !validName(config.Name) {
		return nil, wrap("service", config.Name, ErrName)
	}
	if !validVersion(config.Version) {
		return nil, wrap("service", config.Name, ErrVersion)
	}
	config.Metadata = cloned(config.Metadata)
	s := &Service{
		conn: conn, config: config, id: rand.Text(), started: time.Now().UTC(),
		questions: make(chan *client.Msg, maxQuestions), done: make(chan struct{}),
	}
	for _, verb := range verbs {
		for _, subject := range [...]string{
			ControlSubject(verb, "", ""), ControlSubject(verb, config.Name, ""), ControlSubject(verb, config.Name, s.id),
		} {
			sub, err := conn.SubscribeChan(subject, "", s.questions)
			if err != nil {
				return nil, errors.Join(wrap("service", config.Name, err), s.unsubscribe())
			}
			s.monitors = append(s.monitors, sub)
		}
	}
	go s.answerLoop(s.monitors[len(s.monitors)-1].Done())
	return s, nil
}

// cloned never returns nil: an empty object is easier to read than null.
func cloned(metadata map[string]string) map[string]string {
	if metadata == nil {
		return map[string]string{}
	}
	return maps.Clone(metadata)
}

// unsubscribe ends the nine, the one that answerLoop looks at last.
func (s *Service) unsubscribe() error {
	var failed error
	for _, sub := range s.monitors {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, client.ErrSubscriptionClosed) {
			failed = cmp.Or(failed, err)
		}
	}
	return failed
}

// ID tells this instance from others with the same name.
func (s *Service) ID() string { return s.id }

// Done is closed when the service has ended and its handlers have returned.
func (s *Service) Done() <-chan struct{} { return s.done }

// Stopped reports whether the service takes no more requests.
func (s *Service) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Reset begins counting anew.
func (s *Service) Reset() {
	s.mu.Lock()
	s.started = time.Now().UTC()
	s.mu.Unlock()
	for _, e := range s.list() {
		e.reset()
	}
}

func (s *Service) list() []*endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoints
}

// Stop ends the service in order: no more requests come, those that are here are handled and
// answered, and then nobody finds the service any more. When ctx ends first it ends as it is.
// Called from a handler it would wait for that handler until ctx ends.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	endpoints := s.endpoints
	s.mu.Unlock()
	var failed error
	if first {
		for _, e := range endpoints {
			if err := e.sub.Drain(ctx); err != nil && !errors.Is(err, client.ErrSubscriptionClosed) {
				failed = cmp.Or(failed, err)
			}
		}
		failed = cmp.Or(failed, s.unsubscribe())
		// A question after Stop shall find nobody, and not one who does not answer. A line that broke
		// has taken the subscriptions along.
		err := s.conn.Flush(ctx)
		if !errors.Is(err, client.ErrClosed) && !errors.Is(err, client.ErrDisconnected) {
			failed = cmp.Or(failed, err)
		}
	}
	if failed == nil {
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
			failed = ctx.Err()
		}
	}
	return wrap("stop service", s.config.Name, failed)
}
