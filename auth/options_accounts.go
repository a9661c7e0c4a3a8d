package auth

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/subject"
	"github.com/nats-io/nkeys"
)

// AccountsOptions is the "accounts" block, by the names of accounts.
type AccountsOptions map[string]AccountOptions

// AccountOptions is one account.
type AccountOptions struct {
	// NKey is a public key for the account. It is shown and not used.
	NKey string `conf:"nkey"`

	// Users are who belongs to the account. No two users of all accounts may have the same name.
	Users []User `conf:"users"`

	// DefaultPermissions are for those of Users without their own. Default: everything is allowed.
	DefaultPermissions *PermissionOptions `conf:"default_permissions"`

	// Exports are subjects that other accounts may import, and Imports what is taken from others.
	Exports []ExportOptions `conf:"exports"`
	Imports []ImportOptions `conf:"imports"`

	// Mappings give subjects that are published in the account other names.
	Mappings MappingsOptions `conf:"mappings,alias=maps"`

	// Limits bound the account. Default: no bounds but those of the server.
	Limits LimitsOptions `conf:"limits"`
}

// ExportOptions is a stream or a service.
type ExportOptions struct {
	// Stream is what is published in the account and may be heard by others; Service is where they
	// may send requests. One of them must be given.
	Stream  string `conf:"stream"`
	Service string `conf:"service"`

	// Accounts are those that may import it. Default, and with an empty list: all.
	Accounts Names `conf:"accounts"`

	// AccountTokenPosition is the place, from 1 on, of a "*" that must be the importer's name: each
	// account may import its own part. Default: none.
	AccountTokenPosition int `conf:"account_token_position"`

	// Response says what a service answers with: singleton, stream or chunked. Default: singleton.
	Response string `conf:"response_type,alias=response"`

	// Threshold is how long a service may take for its answers. Default: 2 minutes.
	Threshold time.Duration `conf:"threshold,alias=response_threshold,alias=response_max_time,alias=response_time"`

	// Latency measures a service. Default: no.
	Latency *LatencyOptions `conf:"latency"`

	// AllowTrace lets the path of a traced request be followed into this account. Default: no.
	AllowTrace *bool `conf:"allow_trace"`
}

// ImportOptions is a stream or a service of another account.
type ImportOptions struct {
	// Stream is what to hear, Service is where requests go. One of them must be given.
	Stream  *SourceOptions `conf:"stream"`
	Service *SourceOptions `conf:"service"`

	// Prefix stands before the subjects of a stream in this account, with a dot between; To is the
	// subject in this account instead. Default: the same as there.
	Prefix string `conf:"prefix"`
	To     string `conf:"to"`

	// Share lets the service know more of who asks. Default: its account only.
	Share bool `conf:"share"`

	// AllowTrace lets the path of a traced message be followed into this account. Default: no.
	AllowTrace *bool `conf:"allow_trace"`
}

// SourceOptions says whose subject is imported.
type SourceOptions struct {
	Account string `conf:"account"`
	Subject string `conf:"subject"`
}

// LimitsOptions bound one account. -1 is no bound, 0 allows none.
type LimitsOptions struct {
	MaxConnections   *int64 `conf:"max_connections,alias=max_conn"`
	MaxSubscriptions *int64 `conf:"max_subscriptions,alias=max_subs"`
	MaxPayload       *int64 `conf:"max_payload,alias=max_pay,size"`
	MaxLeafNodes     *int64 `conf:"max_leafnodes,alias=max_leafs"`
}

// LatencyOptions is a subject, or a block with a share of requests besides.
type LatencyOptions Latency

// UnmarshalConf takes "subject" or {subject: "s", sampling: 50}.
func (o *LatencyOptions) UnmarshalConf(v any) error {
	*o = LatencyOptions{Sampling: 100}
	switch v := v.(type) {
	case string:
		o.Subject = v
		return nil
	case map[string]any:
		for key, value := range v {
			var ok bool
			switch strings.ToLower(key) {
			case "subject":
				o.Subject, ok = value.(string)
			case "sampling":
				o.Sampling, ok = sampling(value)
			default:
				return badf("unknown key %q, use subject and sampling", cut(key))
			}
			if !ok {
				return badf("%s: write a subject, and a sampling between 1 and 100 or \"headers\"", cut(key))
			}
		}
		return nil
	}
	return badf("write a subject, or { subject: \"s\", sampling: 50 }")
}

// sampling is a percentage, or 0 for requests whose headers ask for it.
func sampling(v any) (int, bool) {
	if text, ok := v.(string); ok && strings.EqualFold(strings.TrimSpace(text), "headers") {
		return 0, true
	}
	n, ok := percentage(v)
	return n, ok && n >= 1
}

// build makes accounts of the options, sorted by name.
func (o AccountsOptions) build(noSystem bool) ([]*Account, error) {
	var accounts []*Account
	for _, name := range slices.Sorted(maps.Keys(o)) {
		a, err := o.account(name)
		if err == nil {
			err = a.checkLatencies(noSystem)
		}
		if err != nil {
			return nil, badf("account %q: %w", cut(name), err)
		}
		accounts = append(accounts, a)
	}
	return accounts, nil
}

func (o AccountsOptions) account(name string) (*Account, error) {
	options := o[name]
	switch {
	case name == GlobalAccount:
		return nil, badf("the name is reserved: users of the global account stand in authorization")
	case name == "":
		return nil, badf("an account needs a name")
	case options.NKey != "" && !nkeys.IsValidPublicAccountKey(options.NKey):
		return nil, badf("nkey is not the public key of an account: it begins with A and has 56 letters")
	}
	a := &Account{Name: name, NKey: options.NKey, Limits: options.Limits.settled()}
	var err error
	if a.Mappings, err = options.Mappings.build(); err != nil {
		return nil, err
	}
	for i := range options.Exports {
		if err := a.export(&options.Exports[i], o); err != nil {
			return nil, err
		}
	}
	for i := range options.Imports {
		if err := a.take(&options.Imports[i]); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// settled turns nats-server's numbers into ours.
func (o *LimitsOptions) settled() AccountLimits {
	one := func(n *int64) int64 {
		switch {
		case n == nil || *n == -1:
			return 0
		case *n <= 0:
			return -1
		}
		return *n
	}
	return AccountLimits{
		MaxConnections: one(o.MaxConnections), MaxLeafNodes: one(o.MaxLeafNodes),
		MaxSubscriptions: one(o.MaxSubscriptions), MaxPayload: one(o.MaxPayload),
	}
}

// export adds an export. A subject that is exported twice is one export, for all that either names.
func (a *Account) export(o *ExportOptions, all AccountsOptions) error {
	e := Export{Service: o.Service != "", Subject: o.Service, Accounts: o.Accounts, TokenPosition: o.AccountTokenPosition, Threshold: o.Threshold}
	if !e.Service {
		e.Subject = o.Stream
	}
	kind := what(e.Service)
	switch {
	case o.Stream == "" && o.Service == "":
		return badf("an export names neither a stream nor a service")
	case o.Stream != "" && o.Service != "":
		return badf("an export names stream %q and service %q: write two exports", cut(o.Stream), cut(o.Service))
	case !subject.ValidFilter(e.Subject):
		return badf("exported %s %q is not a valid subject", kind, cut(e.Subject))
	case !e.Service && (o.Response != "" || o.Threshold != 0 || o.Latency != nil || o.AllowTrace != nil):
		return badf("exported stream %q has response_type, threshold, latency or allow_trace: they are for services", cut(e.Subject))
	case !tokenIsStar(e.Subject, e.TokenPosition):
		return badf("exported %s %q has no \"*\" at account_token_position %d", kind, cut(e.Subject), e.TokenPosition)
	}
	if len(e.Accounts) == 0 {
		e.Accounts = nil
	}
	for _, name := range e.Accounts {
		if _, known := all[name]; !known {
			return badf("exported %s %q is for account %q, which is not defined", kind, cut(e.Subject), cut(name))
		}
	}
	if e.Service {
		e.AllowTrace = o.AllowTrace != nil && *o.AllowTrace
		if err := e.service(o); err != nil {
			return badf("exported service %q: %w", cut(e.Subject), err)
		}
	}
	for i := range a.Exports {
		if before := &a.Exports[i]; before.Service == e.Service && before.Subject == e.Subject {
			before.merge(&e)
			return nil
		}
	}
	a.Exports = append(a.Exports, e)
	return nil
}

// service takes what streams do not have.
func (e *Export) service(o *ExportOptions) error {
	switch strings.ToLower(o.Response) {
	case "", "single", "singleton":
	case "stream":
		e.Response = Stream
	case "chunk", "chunked":
		e.Response = Chunked
	default:
		return badf("response_type %q is not known: use singleton, stream or chunked", cut(o.Response))
	}
	if o.Latency == nil {
		return nil
	}
	latency := Latency(*o.Latency)
	e.Latency = &latency
	switch {
	case !subject.ValidFilter(latency.Subject) || subject.HasWildcard(latency.Subject):
		return badf("latency is published to %q, which is no subject to publish to", cut(latency.Subject))
	case e.Response != Singleton:
		return badf("latency can be measured only if response_type is singleton")
	}
	return nil
}

// checkLatencies refuses measurements that would be requests to services.
func (a *Account) checkLatencies(noSystem bool) error {
	for i := range a.Exports {
		e := &a.Exports[i]
		if e.Latency == nil {
			continue
		}
		if noSystem {
			return badf("exported service %q has latency, which is not measured without a system account: remove no_system_account", cut(e.Subject))
		}
		if itself := a.ExportOf(true, e.Latency.Subject); itself != nil {
			return badf("latency of exported service %q is published to service %q: choose another subject", cut(e.Subject), cut(itself.Subject))
		}
	}
	return nil
}

func (e *Export) merge(other *Export) {
	if other.Accounts != nil || other.TokenPosition > 0 {
		e.TokenPosition = other.TokenPosition
		e.Accounts = append(e.Accounts, other.Accounts...)
	}
	if other.Response != Singleton {
		e.Response = other.Response
	}
	e.Threshold = other.Threshold
	e.AllowTrace = e.AllowTrace || other.AllowTrace
	if other.Latency != nil {
		e.Latency = other.Latency
	}
}

// take adds an import. Whether it is allowed is up to checkImports.
func (a *Account) take(o *ImportOptions) error {
	source := o.Service
	if source == nil {
		source = o.Stream
	}
	kind := what(o.Service != nil)
	switch {
	case source == nil:
		return badf("an import names neither a stream nor a service")
	case o.Stream != nil && o.Service != nil:
		return badf("an import names a stream and a service: write two imports")
	case source.Account == "" || source.Subject == "":
		return badf("imported %s wants an account and a subject: { account: \"A\", subject: \"s\" }", kind)
	case o.Service != nil && o.AllowTrace != nil:
		return badf("imported service %q has allow_trace, which is for streams: its export may have it", cut(source.Subject))
	case o.Stream != nil && o.Prefix != "" && o.To != "":
		return badf("imported stream %q has a prefix and a to: remove one", cut(source.Subject))
	}
	i := Import{Service: o.Service != nil, From: source.Account, Subject: source.Subject, To: o.To, Share: o.Service != nil && o.Share}
	i.AllowTrace = o.AllowTrace != nil && *o.AllowTrace
	if i.To == "" {
		i.To = i.Subject
	}
	if !i.Service && o.Prefix != "" {
		prefix := strings.TrimSuffix(o.Prefix, ".")
		if !subject.ValidFilter(prefix) || subject.HasWildcard(prefix) {
			return badf("imported stream %q: prefix %q is not a subject without wildcards", cut(i.Subject), cut(o.Prefix))
		}
		i.To = prefix + "." + i.Subject
	}
	if err := i.check(); err != nil {
		return badf("imported %s %q of account %q: %w", kind, cut(i.Subject), cut(i.From), err)
	}
	if duplicate(a.Imports, &i) {
		return badf("%s %q of account %q is imported twice", kind, cut(i.Subject), cut(i.From))
	}
	a.Imports = append(a.Imports, i)
	return nil
}

// Names are what must be a list, one name included: nats-server takes no bare one here.
type Names []string

// UnmarshalConf takes ["a", "b"].
func (n *Names) UnmarshalConf(v any) error {
	if _, bare := v.(string); bare {
		return badf("a list of names was expected: write it in brackets")
	}
	list, err := stringList("names", v)
	*n = list
	return err
}
