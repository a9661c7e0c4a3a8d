package system

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/broker"
)

// The codes in answers are those of HTTP.
const (
	codeBad    = 400
	codeFailed = 500
	codeBusy   = 503
)

// A request is one that has arrived, copied.
type request struct {
	handler        handler
	subject, reply string
	header, body   []byte
}

func (r *request) size() int64 {
	return int64(len(r.subject) + len(r.reply) + len(r.header) + len(r.body))
}

// A handler answers one kind of request.
type handler struct {
	filter string
	slow   bool // on the goroutine of commands
	do     func(r *request)
}

// Deliver takes a request. It runs on the publisher's goroutine and does not wait.
func (s *System) Deliver(m *broker.Msg, sub *broker.Sub) bool {
	r := &request{
		handler: s.handlers[sub.Tag()], subject: string(m.Subject), reply: string(m.Reply),
		header: bytes.Clone(m.Header), body: bytes.Clone(m.Payload),
	}
	size := r.size()
	if s.queued.Add(size) > maxRequestBytes {
		s.queued.Add(-size)
		s.lost.Add(1)
		return m.Refuse(broker.TooBig)
	}
	select {
	case s.requests <- r:
		return true
	default:
		s.queued.Add(-size)
		s.lost.Add(1)
		return false
	}
}

// Wake has nothing to flush.
func (s *System) Wake(bool) time.Duration { return 0 }

// answerAll answers one request after the other.
func (s *System) answerAll() {
	for {
		select {
		case r := <-s.requests:
			s.queued.Add(-r.size())
			if !r.handler.slow {
				r.handler.do(r)
				continue
			}
			select {
			case s.commands <- r:
			default:
				s.fail(r, codeBusy, errors.New("another command is being carried out"))
			}
		case <-s.stopping:
			return
		}
	}
}

// commandAll carries out one command after the other.
func (s *System) commandAll() {
	for {
		select {
		case r := <-s.commands:
			r.handler.do(r)
		case <-s.stopping:
			return
		}
	}
}

// table is all that is answered, by a tag for each subscription.
func (s *System) table() map[string]handler {
	o := &s.options
	id := o.Info().ID
	table := make(map[string]handler)
	add := func(filter string, slow bool, do func(*request)) { table[filter] = handler{filter, slow, do} }

	server := func(name string, do func(*request)) {
		add("$SYS.REQ.SERVER.PING."+name, false, do)
		add("$SYS.REQ.SERVER."+id+"."+name, false, do)
	}
	add("$SYS.REQ.SERVER.PING", false, s.howAreYou)
	server("STATSZ", s.howAreYou)
	server("IDZ", s.idz)
	for name, page := range o.Pages {
		server(name, func(r *request) { s.respond(r, func() (any, error) { return page(r.body) }) })
	}
	for name, page := range o.Commands {
		add("$SYS.REQ.SERVER."+id+"."+name, true, func(r *request) { s.respond(r, func() (any, error) { return page(r.body) }) })
	}
	for name, page := range o.AccountPages {
		add("$SYS.REQ.ACCOUNT.*."+name, false, func(r *request) {
			s.respond(r, func() (any, error) {
				account := token(r.subject, 3)
				if account == "PING" && name == "STATZ" {
					return nil, ErrSilent // the subscription for PING answers
				}
				return page(account, r.body)
			})
		})
	}
	if o.PingStatz != nil {
		add("$SYS.REQ.ACCOUNT.PING.STATZ", false, func(r *request) {
			s.respond(r, func() (any, error) { return o.PingStatz(r.body) })
		})
	}
	if o.AccountStat != nil {
		add("$SYS.REQ.ACCOUNT.*.CONNS", false, s.connsOf)
	}
	if o.UserInfo != nil {
		add("$SYS.REQ.USER.*.INFO", false, s.userInfo)
	}
	add("$SYS.DEBUG.SUBSCRIBERS", false, s.subscribers)
	add("$SYS.REQ.ACCOUNT.NSUBS", false, s.others)
	if o.Claims != nil {
		s.addClaims(add)
	}
	return table
}

// serverInfo is what stands under "server".
type serverInfo struct {
	Info
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// An envelope is what an answer stands in.
type envelope struct {
	Server serverInfo `json:"server"`
	Data   any        `json:"data,omitempty"`
	Error  *apiError  `json:"error,omitempty"`
}

type apiError struct {
	Code        int    `json:"code"`
	Description string `json:"description,omitempty"`
}

// filter is what any request may hold to choose among servers.
type filter struct {
	Name    string   `json:"server_name"`
	Cluster string   `json:"cluster"`
	Host    string   `json:"host"`
	Exact   bool     `json:"exact_match"`
	Tags    []string `json:"tags"`
	Domain  string   `json:"domain"`
}

// meant reports whether a request is for this server. An error is the asker's.
func (s *System) meant(r *request) (bool, error) {
	if len(r.body) == 0 {
		return true, nil
	}
	var f filter
	if err := json.Unmarshal(r.body, &f); err != nil {
		return true, BadRequest{err}
	}
	info := s.options.Info()
	fits := func(asked, is string) bool {
		return asked == "" || asked == is || !f.Exact && strings.Contains(is, asked)
	}
	for _, tag := range f.Tags {
		if !slices.ContainsFunc(info.Tags, func(t string) bool { return strings.EqualFold(t, tag) }) {
			return false, nil
		}
	}
	return fits(f.Name, info.Name) && fits(f.Host, info.Host) && fits(f.Cluster, info.Cluster) &&
		(f.Domain == "" || f.Domain == info.Domain), nil
}

// respond answers with a page.
func (s *System) respond(r *request, page func() (any, error)) {
	if r.reply == "" {
		return
	}
	ours, err := s.meant(r)
	if !ours {
		return
	}
	var data any
	if err == nil {
		data, err = page()
	}
	switch {
	case errors.Is(err, ErrSilent):
		return
	case err != nil:
		code := codeFailed
		if errors.As(err, new(BadRequest)) {
			code, data = codeBad, nil
		}
		s.reply(r, envelope{Data: data, Error: &apiError{code, err.Error()}}, "")
		return
	}
	// Until it is published: a page may be large, and there may be many requests.
	published := make(chan int, 1)
	s.send(s.answer(r, envelope{Data: data}, encodingOf(r.header), published))
	select {
	case <-published:
	case <-s.stopping:
	}
}

// fail answers that a request cannot be answered.
func (s *System) fail(r *request, code int, err error) {
	if r.reply != "" {
		s.reply(r, envelope{Error: &apiError{code, err.Error()}}, "")
	}
}

func (s *System) reply(r *request, e envelope, encoding string) {
	s.send(s.answer(r, e, encoding, nil))
}

func (s *System) answer(r *request, e envelope, encoding string, published chan<- int) *outgoing {
	return &outgoing{subject: r.reply, encoding: encoding, delivered: published, make: func(server serverInfo) []byte {
		e.Server = server
		return s.marshal(e)
	}}
}

// raw answers with bytes as they are.
func (s *System) raw(r *request, payload []byte) {
	if r.reply != "" {
		s.send(&outgoing{subject: r.reply, payload: payload})
	}
}

func (s *System) marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		// What pages return always can be shown, unless we have made a mistake.
		s.options.Logger.Error("An answer could not be made", "error", err)
		return []byte(`{}`)
	}
	return text
}

// howAreYou answers how the server is. Without a reply subject everybody who listens is told.
func (s *System) howAreYou(r *request) {
	if r.reply == "" {
		if s.audience.wants(stats) {
			s.send(s.statsMessage("$SYS.SERVER." + s.options.Info().ID + ".STATSZ"))
		}
		return
	}
	switch ours, err := s.meant(r); {
	case err != nil:
		s.fail(r, codeBad, err)
	case ours:
		s.send(s.statsMessage(r.reply))
	}
}

// idz answers with who we are, without an envelope and whatever is asked.
func (s *System) idz(r *request) {
	info := s.options.Info()
	s.raw(r, s.marshal(struct {
		Name string `json:"name"`
		Host string `json:"host"`
		ID   string `json:"id"`
	}{info.Name, info.Host, info.ID}))
}

// userInfo answers who the requester is.
func (s *System) userInfo(r *request) {
	if r.reply == "" {
		return
	}
	var who Requester
	if text := headerValue(r.header, requestInfo); text != "" {
		if err := json.Unmarshal([]byte(text), &who); err != nil {
			s.reply(r, envelope{Error: &apiError{Code: codeBad}}, "")
			return
		}
	}
	data, err := s.options.UserInfo(who)
	if err != nil {
		s.fail(r, codeFailed, err)
		return
	}
	s.reply(r, envelope{Data: data}, "")
}

// requestInfo is the header in which a service finds who has asked.
const requestInfo = "Nats-Request-Info"

// encodingOf is the encoding that a request asks for: what it says, in the order of nats-server,
// which also knows snappy.
func encodingOf(header []byte) string {
	asked := strings.ToLower(headerValue(header, "Accept-Encoding"))
	switch {
	case asked == "":
		return ""
	case strings.Contains(asked, "gzip"):
		return "gzip"
	}
	return "identity"
}

// encode encodes a payload and says so in a header.
func encode(encoding string, payload []byte) (encoded, header []byte) {
	if encoding == "gzip" {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(payload) // a buffer has no error
		w.Close()
		payload = b.Bytes()
	}
	return payload, encodeHeader(map[string]string{"Content-Encoding": encoding})
}
