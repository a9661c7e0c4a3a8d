package monitor

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// parameters reads the query of a request. The first mistake is kept, in nats-server's words.
type parameters struct {
	url.Values
	err error
}

// lists reports whether a request may be for a page that lists subscriptions.
func (r *request) lists() bool {
	subs := r.target.Query().Get("subs")
	yes, err := strconv.ParseBool(subs)
	return subs != "" && (err != nil || yes)
}

func (p *parameters) fail(kind, name string, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("Error decoding %s for '%s': %v", kind, name, err)
	}
}

func (p *parameters) boolean(name string) bool {
	text := p.Get(name)
	if text == "" {
		return false
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		p.fail("boolean", name, err)
	}
	return v
}

func (p *parameters) integer(name string) int {
	text := p.Get(name)
	if text == "" {
		return 0
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		p.fail("int", name, err)
	}
	return v
}

func (p *parameters) number(name string) uint64 {
	text := p.Get(name)
	if text == "" {
		return 0
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.fail("uint64", name, err)
	}
	return v
}

func (p *parameters) state() ConnState {
	text := p.Get("state")
	switch strings.ToLower(text) {
	case "", "open":
		return Open
	case "closed":
		return Closed
	case "any", "all":
		return All
	}
	if p.err == nil {
		p.err = fmt.Errorf("Error decoding state for %s", text)
	}
	return Open
}

// connz reads what Connz is asked for; the order is that in which nats-server finds mistakes.
func (p *parameters) connz() (o ConnzOptions) {
	o.Sort = p.Get("sort")
	o.Auth = p.boolean("auth")
	if o.Detail = strings.EqualFold(p.Get("subs"), "detail"); !o.Detail {
		o.Subscriptions = p.boolean("subs")
	}
	o.Offset, o.Limit = p.integer("offset"), p.integer("limit")
	o.CID = p.number("cid")
	o.State = p.state()
	o.User, o.Account, o.MQTTClient = p.Get("user"), p.Get("acc"), p.Get("mqtt_client")
	return o
}

func (p *parameters) subsz() (o SubszOptions) {
	o.Subscriptions = p.boolean("subs")
	o.Offset, o.Limit = p.integer("offset"), p.integer("limit")
	o.Test, o.Account = p.Get("test"), p.Get("acc")
	return o
}

func (p *parameters) jsz() (o JszOptions) {
	for _, name := range []string{"accounts", "streams", "consumers", "direct-consumers", "config"} {
		p.boolean(name)
	}
	p.integer("offset")
	p.integer("limit")
	o.LeaderOnly = p.boolean("leader-only")
	p.boolean("raft")
	p.boolean("stream-leader-only")
	o.Account = p.Get("acc")
	return o
}

func (p *parameters) healthz() (o HealthzOptions) {
	for _, name := range []string{"js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"} {
		p.boolean(name)
	}
	o.Details = p.boolean("details")
	o.Account, o.Stream, o.Consumer = p.Get("account"), p.Get("stream"), p.Get("consumer")
	return o
}
