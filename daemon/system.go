package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/monitor"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/system"
)

// startSystem lets the system account answer. Without one there are no answers and no events.
func (d *Daemon) startSystem(o *Options, directory *auth.Directory) error {
	name := directory.SystemAccount()
	if name == "" {
		return nil
	}
	s, err := system.New(d.systemOptions(name, o), d.broker)
	if err != nil {
		return fmt.Errorf("account %s: %w", name, err)
	}
	d.system.Store(s)
	return nil
}

// stopSystem announces the end while there is somebody to hear of it.
func (d *Daemon) stopSystem(ctx context.Context) error {
	if s := d.system.Swap(nil); s != nil {
		return s.Shutdown(ctx)
	}
	return nil
}

// callThrough gives a directory a way to ask the services of accounts.
func (d *Daemon) callThrough(directory *auth.Directory) {
	directory.SetCaller(func(ctx context.Context, account, subject string, header map[string]string, payload []byte) ([]byte, map[string]string, error) {
		s := d.system.Load()
		if s == nil {
			return nil, nil, system.ErrStopped
		}
		// The service may take its time: others are checked meanwhile.
		var reply []byte
		var replyHeader map[string]string
		var err error
		d.engine.Waiting(func() { reply, replyHeader, err = s.Request(ctx, account, subject, header, payload) })
		return reply, replyHeader, err
	})
	directory.SetWaiting(d.engine.Waiting)
}

// followSystem moves to another system account, or into or out of operator mode, with a reload. The
// old one may be what has asked for the reload, so nobody waits here for its end.
func (d *Daemon) followSystem(next *Options, directory *auth.Directory) {
	if directory.SystemAccount() == d.directory.SystemAccount() && next.operatorMode() == d.options.operatorMode() {
		return
	}
	old := d.system.Swap(nil)
	if old != nil {
		d.doors.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopDeadline)
			defer cancel()
			if err := old.Shutdown(ctx); err != nil {
				d.logger.Error("The old system account is slow to end", "error", err)
			}
		})
	}
	if err := d.startSystem(next, directory); err != nil {
		d.logger.Error("The system account does not answer", "error", err)
	}
}

// operatorMode reports whether accounts come as JWTs.
func (o *Options) operatorMode() bool { return !same(o.Top.Operator, auth.OperatorOptions{}) }

// show hands pages what they need of the configuration.
func (d *Daemon) show(l *Loaded) {
	viewers, _ := d.options.Monitor.viewers() // checked with the options
	set := &shown{
		options: d.options, directory: d.directory, certs: d.certs, leafCerts: l.leafCerts, remoteCerts: l.remoteCerts,
		watched: l.watched(), viewers: viewers, digest: l.Digest, loaded: time.Now(),
	}
	d.tellRefreshes(set.watched)
	d.shown.Store(set)
	select {
	case d.reshown <- struct{}{}:
	default:
	}
}

// configureBroker gives the broker the accounts of a directory, and keeps it informed.
func (d *Daemon) configureBroker(directory *auth.Directory) {
	d.broker.Configure(withSystem(directory.Accounts(), directory.SystemAccount()))
	d.watchAccounts(directory)
}

// watchAccounts has the broker follow the accounts of a directory as they come and change.
func (d *Daemon) watchAccounts(directory *auth.Directory) {
	directory.OnChange(func(a *auth.Account) {
		d.broker.ConfigureAccount(oneWithSystem(a, directory.SystemAccount()))
	})
}

// systemOptions says what there is to tell.
func (d *Daemon) systemOptions(account string, of *Options) system.Options {
	p := pages{d}
	o := system.Options{
		Account: account,
		Info: func() system.Info {
			m := &d.shown.Load().options.Monitor
			host, _ := d.server.Address()
			return system.Info{
				Name: d.server.Name(), Host: host, ID: d.server.ID(), Version: d.server.Version(), Tags: m.Tags, Metadata: m.Metadata,
			}
		},
		Pages: map[string]func([]byte) (any, error){
			"VARZ":     func([]byte) (any, error) { return p.varz(), nil },
			"CONNZ":    asked(p.connz),
			"SUBSZ":    asked(p.subsz),
			"ACCOUNTZ": asked(p.accountz),
			"JSZ": asked(func(o monitor.JszOptions) (*monitor.Jsz, error) {
				if o.LeaderOnly {
					return nil, system.ErrSilent
				}
				return p.jsz(o)
			}),
			"HEALTHZ":   asked(func(o monitor.HealthzOptions) (any, error) { return p.healthz(o), nil }),
			"LEAFZ":     asked(func(o monitor.LeafzOptions) (any, error) { return p.leafz(o), nil }),
			"ROUTEZ":    func([]byte) (any, error) { return p.routez(), nil },
			"GATEWAYZ":  func([]byte) (any, error) { return p.gatewayz(), nil },
			"IPQUEUESZ": func([]byte) (any, error) { return struct{}{}, nil },
			"RAFTZ":     func([]byte) (any, error) { return struct{}{}, nil },
			"EXPVARZ":   func([]byte) (any, error) { return monitor.ReadVars(), nil },
			"PROFILEZ":  asked(profilez),
		},
		AccountPages: p.accountPages(),
		PingStatz:    asked(p.statz),
		Commands: map[string]func([]byte) (any, error){
			"RELOAD": func([]byte) (any, error) { return nil, d.Reload() },
			"KICK":   func(body []byte) (any, error) { return byCID(body, d.server.Kick, errNoClientOrLeaf) },
			"LDM":    func(body []byte) (any, error) { return byCID(body, d.server.LameDuckClient, errNoClient) },
		},
		UserInfo:    p.userInfo,
		Stats:       p.stats,
		AccountStat: p.accountOf,
		Connected: func() (names []string) {
			for name := range d.server.Status().Accounts {
				names = append(names, name)
			}
			return names
		},
		Logger: d.logger,
	}
	if of.operatorMode() {
		o.Claims = p.claims()
	}
	return o
}

// asked reads the options of a page out of a request.
func asked[O, T any](page func(O) (T, error)) func([]byte) (any, error) {
	return func(body []byte) (any, error) {
		var o O
		if len(body) > 0 {
			if err := json.Unmarshal(body, &o); err != nil {
				return nil, system.BadRequest{Err: err}
			}
		}
		return page(o)
	}
}

// accountPages are the pages about one account, whatever account the request's options name.
func (p pages) accountPages() map[string]func(string, []byte) (any, error) {
	return map[string]func(string, []byte) (any, error){
		"CONNZ": func(account string, body []byte) (any, error) {
			return asked(func(o monitor.ConnzOptions) (*monitor.Connz, error) {
				o.Account = account
				return p.connz(o)
			})(body)
		},
		"SUBSZ": func(account string, body []byte) (any, error) {
			return asked(func(o monitor.SubszOptions) (*monitor.Subsz, error) {
				o.Account, o.Subscriptions = account, true
				return p.subsz(o)
			})(body)
		},
		"LEAFZ": func(account string, body []byte) (any, error) {
			return asked(func(o monitor.LeafzOptions) (any, error) {
				o.Account = account
				return p.leafz(o), nil
			})(body)
		},
		"JSZ":  func(string, []byte) (any, error) { return (*monitor.Jsz)(nil), errNoJetStream },
		"INFO": func(account string, _ []byte) (any, error) { return p.account(account) },
		"STATZ": func(account string, body []byte) (any, error) {
			return asked(func(o monitor.AccstatzOptions) (any, error) {
				o.Accounts = []string{account}
				return p.statz(o)
			})(body)
		},
	}
}

// statz is silent about accounts without connections unless they are asked for.
func (p pages) statz(o monitor.AccstatzOptions) (any, error) {
	z := p.accstatz(o)
	if len(z.Accounts) == 0 && !o.Unused {
		return nil, system.ErrSilent
	}
	return z, nil
}

// byCID does something with the connection that a request names. unknown is said if there is none.
func byCID(body []byte, do func(cid uint64) error, unknown error) (any, error) {
	var who struct {
		CID uint64 `json:"cid"`
	}
	if json.Unmarshal(body, &who) != nil {
		return nil, system.ErrSilent // as nats-server
	}
	switch err := do(who.CID); err {
	case server.ErrNoClient:
		return nil, unknown
	case server.ErrNotListening:
		return nil, errNoNotice
	default:
		return nil, err
	}
}

// profileOptions choose a profile.
type profileOptions struct {
	Name     string        `json:"name"`
	Debug    int           `json:"debug"`
	Duration time.Duration `json:"duration,omitempty"`
}

type profile struct {
	Profile []byte `json:"profile"`
	Error   string `json:"error"`
}

// profilez has no profiles: what takes them costs every process a megabyte and a half, used or not. The
// tools of the system can watch a running server.
func profilez(o profileOptions) (profile, error) {
	if o.Name == "" {
		return profile{Error: "Profile name not specified"}, nil
	}
	return profile{Error: fmt.Sprintf("Profile %q not found", o.Name)}, nil
}

// claims is the store of account JWTs as requests see it.
func (p pages) claims() *system.Claims {
	directory := func() *auth.Directory { return p.d.shown.Load().directory }
	return &system.Claims{
		Subjects: directory().ClaimsSubjects(),
		Answer: func(subject string, body []byte, reply func(system.ClaimsReply)) {
			p.d.pushing.RLock()
			defer p.d.pushing.RUnlock()
			directory().AnswerClaims(subject, body, func(r auth.ClaimsReply) {
				reply(system.ClaimsReply{Data: r.Data, Error: r.Error, Raw: r.Raw})
			})
		},
	}
}

// systemEvents passes what happens to clients on to whoever is the system account now.
type systemEvents struct {
	d *Daemon
}

var _ server.Events = systemEvents{}

func (e systemEvents) Connected(c server.ClientSnapshot) {
	if s := e.d.system.Load(); s != nil {
		s.Connected(e.client(&c))
	}
}

func (e systemEvents) Disconnected(c server.ClientSnapshot) {
	if s := e.d.system.Load(); s != nil {
		s.Disconnected(e.end(&c))
	}
}

func (e systemEvents) AuthFailed(c server.ClientSnapshot) {
	if s := e.d.system.Load(); s != nil {
		s.AuthFailed(e.end(&c))
	}
}

func (e systemEvents) client(c *server.ClientSnapshot) system.Client {
	account := cmp.Or(c.Account, auth.GlobalAccount)
	return system.Client{
		Start: c.Start.UTC(), Host: c.IP, ID: c.ID, Account: account, User: c.User, Name: c.Name, Lang: c.Lang, Version: c.Version,
		IssuerKey: c.Issuer, NameTag: e.d.accountTag(account), Tags: c.Tags, Kind: c.Kind, Type: c.Type,
	}
}

// accountTag is the name that is shown of an account.
func (d *Daemon) accountTag(name string) string {
	if a := d.shown.Load().directory.Account(name); a != nil {
		return cmp.Or(a.Tag, name)
	}
	return name
}

func (e systemEvents) end(c *server.ClientSnapshot) system.End {
	client := e.client(c)
	client.RTT, client.Stop = c.RTT, c.Stop
	return system.End{
		Client: client, Reason: c.Reason,
		Sent: system.Traffic{Msgs: c.InMsgs, Bytes: c.InBytes}, Received: system.Traffic{Msgs: c.OutMsgs, Bytes: c.OutBytes},
	}
}
