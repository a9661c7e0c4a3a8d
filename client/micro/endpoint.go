package micro

import (
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// A Group gives its endpoints a common beginning of their subjects, and the same options.
type Group struct {
	service *Service
	prefix  string // "" or with a dot at the end
	place   place
	err     error // of the options; AddEndpoint says so
}

// A place is where an endpoint stands: what options change.
type place struct {
	subject  string
	queue    string
	noQueue  bool
	metadata map[string]string
}

// An Option changes one thing about an endpoint, or about all endpoints of a group.
type Option func(*place)

// Subject is where requests come to, in place of the endpoint's name. It may have wildcards. In a
// group it stands behind the group's name.
func Subject(subject string) Option { return func(p *place) { p.subject = subject } }

// QueueGroup is who shares the requests: instances with the same group.
func QueueGroup(queue string) Option {
	return func(p *place) { p.queue, p.noQueue = queue, false }
}

// NoQueueGroup: every instance gets every request.
func NoQueueGroup() Option { return func(p *place) { p.queue, p.noQueue = "", true } }

// Metadata is for tools that look, as the schema of requests and answers.
func Metadata(metadata map[string]string) Option {
	return func(p *place) { p.metadata = metadata }
}

// AddEndpoint begins to answer requests on the subject that is the endpoint's name, or the
// option Subject.
func (s *Service) AddEndpoint(name string, handle func(*Request), options ...Option) error {
	return s.root().AddEndpoint(name, handle, options...)
}

// AddGroup makes a group. Its name is the beginning of subjects: one token or several.
func (s *Service) AddGroup(name string, options ...Option) *Group {
	return s.root().AddGroup(name, options...)
}

// root is the group of endpoints in no group.
func (s *Service) root() *Group {
	g := &Group{service: s, place: place{queue: DefaultQueueGroup}}
	if s.config.QueueGroup != "" {
		g.place.queue = s.config.QueueGroup
	}
	g.place.noQueue = s.config.NoQueueGroup
	return g
}

// AddGroup makes a group in the group.
func (g *Group) AddGroup(name string, options ...Option) *Group {
	inner := &Group{service: g.service, prefix: g.prefix, place: g.place, err: g.err}
	if name != "" {
		inner.prefix += name + "."
	}
	for _, set := range options {
		set(&inner.place)
	}
	if inner.place.subject != "" {
		inner.err = wrap("group", name, ErrGroup)
	}
	return inner
}

// AddEndpoint begins to answer requests on a subject in the group.
func (g *Group) AddEndpoint(name string, handle func(*Request), options ...Option) error {
	if g.err != nil {
		return g.err
	}
	if !validName(name) {
		return wrap("endpoint", name, ErrName)
	}
	if handle == nil {
		return wrap("endpoint", name, ErrHandler)
	}
	p := g.place
	p.subject = name
	for _, set := range options {
		set(&p)
	}
	if p.noQueue {
		p.queue = ""
	}
	e := &endpoint{handle: handle, info: EndpointInfo{
		Name: name, Subject: g.prefix + p.subject, QueueGroup: p.queue, Metadata: cloned(p.metadata),
	}}
	if err := g.service.add(e, p.noQueue); err != nil {
		return wrap("endpoint", name, err)
	}
	return nil
}

// add subscribes. Requests may come before the endpoint is on the list; they are handled all
// the same.
func (s *Service) add(e *endpoint, alone bool) (err error) {
	if err := s.admits(); err != nil {
		return err
	}
	if alone {
		e.sub, err = s.conn.Subscribe(e.info.Subject, e.serve)
	} else {
		e.sub, err = s.conn.QueueSubscribe(e.info.Subject, e.info.QueueGroup, e.serve)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	err = s.admitsLocked()
	if err == nil {
		s.endpoints = append(s.endpoints, e)
	}
	s.mu.Unlock()
	if err != nil {
		e.sub.Unsubscribe()
	}
	return err
}

func (s *Service) admits() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitsLocked()
}

func (s *Service) admitsLocked() error {
	switch {
	case s.stopped:
		return ErrStopped
	case len(s.endpoints) >= MaxEndpoints:
		return ErrEndpoints
	}
	return nil
}

// An endpoint is one subject that is answered.
type endpoint struct {
	// Set by AddEndpoint; the handler does not look at sub, which is there only after the first
	// request may have come.
	info   EndpointInfo
	handle func(*Request)
	sub    *client.Subscription

	mu         sync.Mutex
	requests   int
	failed     int
	lastError  string
	processing time.Duration
	dropped    uint64 // of the subscription's count, at the last Reset
}

// serve runs on the subscription's goroutine.
func (e *endpoint) serve(m *client.Msg) {
	began := time.Now()
	e.handle(&Request{msg: m, endpoint: e})
	took := time.Since(began)
	e.mu.Lock()
	e.requests++
	e.processing += took
	e.mu.Unlock()
}

func (e *endpoint) countError(text string) {
	e.mu.Lock()
	e.failed++
	e.lastError = text
	e.mu.Unlock()
}

func (e *endpoint) stats() EndpointStats {
	dropped := e.sub.Dropped()
	e.mu.Lock()
	defer e.mu.Unlock()
	lost := int(dropped - e.dropped)
	stats := EndpointStats{
		Name: e.info.Name, Subject: e.info.Subject, QueueGroup: e.info.QueueGroup,
		Requests: e.requests, Errors: e.failed + lost, LastError: e.lastError, ProcessingTime: e.processing,
	}
	if e.requests > 0 {
		stats.AverageProcessingTime = e.processing / time.Duration(e.requests)
	}
	if lost > 0 && stats.LastError == "" {
		stats.LastError = client.ErrSlowConsumer.Error()
	}
	return stats
}

func (e *endpoint) reset() {
	dropped := e.sub.Dropped()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.failed, e.lastError, e.processing, e.dropped = 0, 0, "", 0, dropped
}
