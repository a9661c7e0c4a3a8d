package micro

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// Names of the protocol (ADR-32 of the NATS architecture and design documents).
const (
	APIPrefix       = "$SRV"
	ErrorHeader     = "Nats-Service-Error"
	ErrorCodeHeader = "Nats-Service-Error-Code"

	PingType  = "io.nats.micro.v1.ping_response"
	InfoType  = "io.nats.micro.v1.info_response"
	StatsType = "io.nats.micro.v1.stats_response"
)

// A Verb is what services can be asked.
type Verb string

// The verbs of the protocol.
const (
	PingVerb  Verb = "PING"
	InfoVerb  Verb = "INFO"
	StatsVerb Verb = "STATS"
)

var verbs = [...]Verb{PingVerb, InfoVerb, StatsVerb}

// ControlSubject is where a verb is asked of all services, of those with a name, or of one
// instance. An id needs a name.
func ControlSubject(verb Verb, name, id string) string {
	s := APIPrefix + "." + string(verb)
	if name != "" {
		s += "." + name
		if id != "" {
			s += "." + id
		}
	}
	return s
}

// An Identity is what every answer begins with.
type Identity struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Version  string            `json:"version"`
	Metadata map[string]string `json:"metadata"`
}

// A Ping is the answer to PING: here I am.
type Ping struct {
	Identity
	Type string `json:"type"`
}

// An Info is the answer to INFO: what there is to ask.
type Info struct {
	Identity
	Type        string         `json:"type"`
	Description string         `json:"description"`
	Endpoints   []EndpointInfo `json:"endpoints"`
}

// An EndpointInfo describes one endpoint.
type EndpointInfo struct {
	Name       string            `json:"name"`
	Subject    string            `json:"subject"`
	QueueGroup string            `json:"queue_group"` // empty: every instance gets every request
	Metadata   map[string]string `json:"metadata"`
}

// Stats is the answer to STATS: how each endpoint fares.
type Stats struct {
	Identity
	Type      string          `json:"type"`
	Started   time.Time       `json:"started"`
	Endpoints []EndpointStats `json:"endpoints"`
}

// EndpointStats are counts since the start, or since Reset. Errors are answers by Request.Error,
// answers that could not be sent, and requests dropped because the handler was too slow.
type EndpointStats struct {
	Name                  string          `json:"name"`
	Subject               string          `json:"subject"`
	QueueGroup            string          `json:"queue_group"`
	Requests              int             `json:"num_requests"`
	Errors                int             `json:"num_errors"`
	LastError             string          `json:"last_error"`
	ProcessingTime        time.Duration   `json:"processing_time"`
	AverageProcessingTime time.Duration   `json:"average_processing_time"`
	Data                  json.RawMessage `json:"data,omitempty"`
}

// answerLoop is the service's goroutine: it answers the nine subjects until their subscriptions
// end, by Stop or with the connection.
func (s *Service) answerLoop(ended <-chan struct{}) {
	defer close(s.done)
	for open := true; open; {
		select {
		case question := <-s.questions:
			s.answer(question)
		case <-ended:
			open = false
		}
	}
	// Asked before the end: when the connection is drained, the answers still go out.
	for len(s.questions) > 0 {
		s.answer(<-s.questions)
	}
	s.mu.Lock()
	s.stopped = true
	endpoints := s.endpoints
	s.mu.Unlock()
	for _, e := range endpoints {
		<-e.sub.Done()
	}
}

// answer has nobody to tell of a failure but the one who asked.
func (s *Service) answer(question *client.Msg) {
	var value any
	switch verb, _, _ := strings.Cut(question.Subject[len(APIPrefix)+1:], "."); Verb(verb) {
	case PingVerb:
		value = Ping{Identity: s.identity(), Type: PingType}
	case InfoVerb:
		value = s.Info()
	case StatsVerb:
		value = s.Stats()
	}
	text, err := json.Marshal(value)
	if err == nil {
		err = question.Respond(text)
	}
	if err != nil {
		question.RespondMsg(&client.Msg{Header: errorHeader("500", err.Error())})
	}
}

func (s *Service) identity() Identity {
	return Identity{Name: s.config.Name, ID: s.id, Version: s.config.Version, Metadata: s.config.Metadata}
}

// Info is what INFO answers.
func (s *Service) Info() Info {
	info := Info{Identity: s.identity(), Type: InfoType, Description: s.config.Description, Endpoints: []EndpointInfo{}}
	info.Metadata = maps.Clone(info.Metadata)
	for _, e := range s.list() {
		each := e.info
		each.Metadata = maps.Clone(each.Metadata)
		info.Endpoints = append(info.Endpoints, each)
	}
	return info
}

// Stats is what STATS answers.
func (s *Service) Stats() Stats {
	stats := Stats{Identity: s.identity(), Type: StatsType, Endpoints: []EndpointStats{}}
	stats.Metadata = maps.Clone(stats.Metadata)
	s.mu.Lock()
	stats.Started = s.started
	s.mu.Unlock()
	for _, e := range s.list() {
		each := e.stats()
		if s.config.Data != nil {
			data, err := json.Marshal(s.config.Data(e.info.Name, e.info.Subject))
			if err != nil {
				data, _ = json.Marshal("not shown: " + err.Error())
			}
			each.Data = data
		}
		stats.Endpoints = append(stats.Endpoints, each)
	}
	return stats
}

const (
	maxFound    = 4096 // instances that Find returns
	quietNeeded = 300 * time.Millisecond
)

// Find asks who is there: services with this name, or all if it is empty. Nobody knows how many
// there are, so it returns when no answer has come for 300 ms, when ctx ends, or at 4,096. Answers
// that make no sense are passed over.
func Find(ctx context.Context, conn *client.Conn, name string) ([]Info, error) {
	if name != "" && !validName(name) {
		return nil, wrap("service", name, ErrName)
	}
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox, "")
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe()
	if err := conn.PublishRequest(ControlSubject(InfoVerb, name, ""), inbox, nil); err != nil {
		return nil, err
	}
	// From here on quiet is the others' and not the way to the server.
	if err := conn.Flush(ctx); err != nil {
		return nil, fmt.Errorf("micro: ask for services: %w", err)
	}
	var found []Info
	for len(found) < maxFound {
		quiet, cancel := context.WithTimeout(ctx, quietNeeded)
		m, err := answers.NextMsg(quiet)
		cancel()
		if err != nil {
			if quiet.Err() != nil {
				return found, nil
			}
			return found, err
		}
		if m.IsNoResponders() {
			return nil, nil
		}
		var info Info
		if json.Unmarshal(m.Data, &info) == nil && info.Type == InfoType {
			found = append(found, info)
		}
	}
	return found, nil
}
