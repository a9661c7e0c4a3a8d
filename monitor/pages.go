package monitor

import (
	"encoding/json"
	"html"
	"os"
	"runtime"
	"strings"
)

// Pages is where the pages come from. Each function is called from any goroutine, and all must be
// there. An error is the asker's mistake.
type Pages struct {
	Varz     func() *Varz
	Connz    func(ConnzOptions) (*Connz, error)
	Subsz    func(SubszOptions) (*Subsz, error)
	Accountz func(AccountzOptions) (*Accountz, error)
	Accstatz func(AccstatzOptions) *Accstatz
	Routez   func() *Routez
	Gatewayz func() *Gatewayz
	Leafz    func(LeafzOptions) *Leafz
	Jsz      func(JszOptions) (*Jsz, error)
	Healthz  func(HealthzOptions) *Healthz
}

// A page answers one request; what it returns is shown as JSON.
type page struct {
	path  string
	count bool // before the query is read, as nats-server does; /connz and some more afterwards
	make  func(p *parameters) (any, error)
}

// A handler makes the answer to one request.
type handler func(r *request) *answer

// paths is every page there is, by whole path.
func (s *Server) paths() map[string]handler {
	all := map[string]handler{
		s.base:           s.root,
		s.at("/healthz"): s.healthz,
		s.at("/stacksz"): stacks,
		s.at("/raftz"): func(*request) *answer {
			return refuse(statusNotFound, "No Raft nodes registered")
		},
		s.at("/debug/vars"): func(*request) *answer {
			text, _ := json.Marshal(ReadVars()) // numbers and strings have no error
			return send(statusOK, text)
		},
	}
	for _, p := range s.table() {
		all[s.at(p.path)] = func(r *request) *answer { return s.show(r, p) }
	}
	all[s.at("/subscriptionsz")] = all[s.at("/subsz")]
	return all
}

// table is the pages that are JSON and nothing else.
func (s *Server) table() []page {
	return []page{
		{"/varz", true, func(*parameters) (any, error) { return s.pages.Varz(), nil }},
		{"/connz", false, func(p *parameters) (any, error) {
			o := p.connz()
			if p.err != nil {
				return nil, p.err
			}
			s.count("/connz")
			return s.pages.Connz(o)
		}},
		{"/subsz", true, s.subsz},
		{"/accountz", true, func(p *parameters) (any, error) { return s.pages.Accountz(AccountzOptions{p.Get("acc")}) }},
		{"/accstatz", true, func(p *parameters) (any, error) {
			o := AccstatzOptions{Unused: p.boolean("unused")}
			if p.err != nil {
				return nil, p.err
			}
			return s.pages.Accstatz(o), nil
		}},
		{"/routez", false, func(p *parameters) (any, error) {
			if !strings.EqualFold(p.Get("subs"), "detail") && !p.boolean("subs") && p.err != nil {
				return nil, p.err
			}
			s.count("/routez")
			return s.pages.Routez(), nil
		}},
		{"/gatewayz", true, func(p *parameters) (any, error) { return s.pages.Gatewayz(), nil }},
		{"/leafz", true, func(p *parameters) (any, error) {
			o := LeafzOptions{Subscriptions: p.boolean("subs"), Account: p.Get("acc")}
			if p.err != nil {
				return nil, p.err
			}
			return s.pages.Leafz(o), nil
		}},
		{"/jsz", true, func(p *parameters) (any, error) {
			o := p.jsz()
			if p.err != nil {
				return nil, p.err
			}
			return s.pages.Jsz(o)
		}},
		{"/ipqueuesz", false, func(*parameters) (any, error) { return struct{}{}, nil }},
	}
}

func (s *Server) subsz(p *parameters) (any, error) {
	o := p.subsz()
	if p.err != nil {
		return nil, p.err
	}
	return s.pages.Subsz(o)
}

// show makes a page.
func (s *Server) show(r *request, p page) *answer {
	if p.count {
		s.count(p.path)
	}
	shown, err := p.make(&parameters{Values: r.target.Query()})
	if err != nil {
		return refuse(statusBadRequest, err.Error())
	}
	text, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		s.options.Logger.Error("A page could not be shown", "path", p.path, "error", err)
		return refuse(statusInternalServerError, "internal error\n")
	}
	return send(statusOK, text)
}

// healthz says by its code as well how the server is. It is the only page in one line.
func (s *Server) healthz(r *request) *answer {
	s.count("/healthz")
	p := &parameters{Values: r.target.Query()}
	o := p.healthz()
	if p.err != nil {
		return refuse(statusBadRequest, p.err.Error())
	}
	h := *s.pages.Healthz(o)
	code := h.Code
	h.Code = 0
	text, _ := json.Marshal(h) // strings and numbers have no error
	return send(code, text)
}

// stacks shows what every goroutine is doing. It asks nobody, so that it works when all wait for
// one another.
func stacks(*request) *answer {
	buffer := make([]byte, firstStacks)
	n := runtime.Stack(buffer, true)
	for n == len(buffer) && n < maxStacks {
		buffer = make([]byte, 2*len(buffer))
		n = runtime.Stack(buffer, true)
	}
	return send(statusOK, buffer[:n])
}

// Vars is the page /debug/vars: what package expvar shows, but for the arguments of the program, which
// may hold a password.
type Vars struct {
	Cmdline  []string         `json:"cmdline"`
	Memstats runtime.MemStats `json:"memstats"`
}

// ReadVars makes Vars. The world stands still for some microseconds.
func ReadVars() *Vars {
	v := &Vars{Cmdline: os.Args[:min(1, len(os.Args))]}
	runtime.ReadMemStats(&v.Memstats)
	return v
}

// root shows a list of the pages.
func (s *Server) root(*request) *answer {
	s.count("/")
	body := []byte("<!DOCTYPE html>\n<html lang=\"en\"><head><title>edgebus</title></head><body><h1>edgebus</h1><ul>\n")
	for _, link := range [][2]string{
		{"/varz", "General"}, {"/jsz", "JetStream"}, {"/connz", "Connections"}, {"/accountz", "Accounts"},
		{"/accstatz", "Account Stats"}, {"/subsz", "Subscriptions"}, {"/routez", "Routes"}, {"/leafz", "LeafNodes"},
		{"/gatewayz", "Gateways"}, {"/healthz", "Health Probe"}, {"/debug/vars", "Expvar"},
	} {
		body = append(body, "<li><a href=\"."+html.EscapeString(s.at(link[0]))+"\">"+link[1]+"</a></li>\n"...)
	}
	return &answer{code: statusOK, kind: typeHTML, body: append(body, "</ul></body></html>\n"...)}
}
