package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// Reload reads the configuration file again and applies what can be changed while running: the
// authorization block, the limits of clients, pings, the log. All or nothing: after an error
// everything is as it was, and the error says what to do.
func (d *Daemon) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running {
		return ErrNotRunning
	}
	if d.options.ConfigFile == "" {
		d.logger.Info("Reload: there is no configuration file, nothing has changed")
		return nil
	}
	d.notifier.reloading()
	defer d.notifier.ready() // with what was there before, if it cannot be
	if err := d.reload(); err != nil {
		return fmt.Errorf("reload: nothing has changed: %w", err)
	}
	return nil
}

// reload is Reload for a daemon that runs by a file. Under mu.
func (d *Daemon) reload() error {
	began := time.Now()
	d.pushing.Lock()
	defer d.pushing.Unlock()
	next, err := load(d.options.ConfigFile, d.options.Override, d.available)
	if err != nil {
		return err
	}
	accepted := false
	defer func() {
		if !accepted {
			next.Close()
		}
	}()
	// What the program itself has set is in no file.
	o := &next.Options
	o.NATSServerDefaults, o.Version, o.Server.Version = d.options.NATSServerDefaults, d.options.Version, d.options.Server.Version
	o.Server.AdvertiseHost, o.Log.Stderr = d.options.Server.AdvertiseHost, d.options.Log.Stderr
	if err := d.checkReload(next); err != nil {
		return err
	}
	changeLog, dropLog, err := d.log.prepare(o.Log)
	if err != nil {
		return err
	}
	next.directory.Inherit(d.directory)
	d.watchAccounts(next.directory)
	d.callThrough(next.directory)
	d.introduce(next.directory, o)
	o.Server.Events = d.options.Server.Events
	if err := d.server.Reload(o.Server, next.directory); err != nil {
		dropLog()
		return err
	}
	if err := d.reloadLeaf(o, next); err != nil {
		dropLog()
		return err
	}
	// From here on nothing can fail.
	accepted = true
	d.broker.Configure(withSystem(next.directory.Accounts(), next.directory.SystemAccount()))
	d.broker.Reload(o.Broker)
	changeLog()
	changed := d.options.changedKeys(o)
	d.directory.Close()
	d.followSystem(o, next.directory)
	if d.leafDirectory != d.directory {
		d.leafDirectory.Close()
	}
	d.options, d.directory, d.certs, d.leafDirectory = *o, next.directory, next.certs, next.leafDirectory
	d.show(next)
	d.logReload(next, changed, time.Since(began))
	return nil
}

// logReload says what a reload has changed.
func (d *Daemon) logReload(next *Loaded, changed []string, took time.Duration) {
	for _, warning := range next.Warnings {
		d.logger.Warn(warning.String())
	}
	d.reloadedHost(&next.Options)
	for _, line := range changed {
		d.logger.Info("Reloaded: " + line)
	}
	d.logger.Info("Reloaded server configuration", "changes", len(changed), "took", took.Round(time.Microsecond))
}

// changedKeys lists what differs of the rest, for the log: keys with what they are now, blocks by their
// name, since what is in them is nothing for a log.
func (o *Options) changedKeys(next *Options) (lines []string) {
	for _, row := range []struct {
		key     string
		now     any // nil: not for the log
		differs bool
	}{
		{"authorization", nil, !sameAuth(o.Auth, next.Auth)},
		{"no_auth_user", next.Top.NoAuthUser, o.Top.NoAuthUser != next.Top.NoAuthUser},
		{"accounts", nil, !same(o.Top.Accounts, next.Top.Accounts)},
		{"mappings", nil, !same(o.Top.Mappings, next.Top.Mappings)},
		{"system_account", next.Top.SystemAccount, o.Top.SystemAccount != next.Top.SystemAccount},
		{"no_system_account", next.Top.NoSystemAccount, o.Top.NoSystemAccount != next.Top.NoSystemAccount},
		{"operator, resolver", nil, !same(o.Top.Operator, next.Top.Operator)},
		{"resolver_tls", nil, !same(o.ResolverTLS, next.ResolverTLS)},
		{"tls", nil, !same(o.TLS, next.TLS)},
		{"allow_non_tls", next.AllowNonTLS, o.AllowNonTLS != next.AllowNonTLS},
		{"max_connections", next.Server.MaxConnections, o.Server.MaxConnections != next.Server.MaxConnections},
		{"max_connections_per_address", next.Server.MaxConnectionsPerAddress, o.Server.MaxConnectionsPerAddress != next.Server.MaxConnectionsPerAddress},
		{"connection_rate_limit", next.Server.ConnectionRateLimit, o.Server.ConnectionRateLimit != next.Server.ConnectionRateLimit},
		{"max_payload", next.Server.MaxPayload, o.Server.MaxPayload != next.Server.MaxPayload},
		{"max_control_line", next.Server.MaxControlLine, o.Server.MaxControlLine != next.Server.MaxControlLine},
		{"max_closed_clients", next.Server.MaxClosedClients, o.Server.MaxClosedClients != next.Server.MaxClosedClients},
		{"max_failed_logins", next.Server.MaxFailedLogins, o.Server.MaxFailedLogins != next.Server.MaxFailedLogins},
		{"ping_interval", next.Server.PingInterval, o.Server.PingInterval != next.Server.PingInterval},
		{"ping_max", next.Server.PingMax, o.Server.PingMax != next.Server.PingMax},
		{"lame_duck_duration", next.Server.LameDuckDuration, o.Server.LameDuckDuration != next.Server.LameDuckDuration},
		{"lame_duck_grace_period", next.Server.LameDuckGracePeriod, o.Server.LameDuckGracePeriod != next.Server.LameDuckGracePeriod},
		{"no_header_support", next.Server.NoHeaderSupport, o.Server.NoHeaderSupport != next.Server.NoHeaderSupport},
		{"max_subscriptions", next.Broker.MaxSubscriptions, o.Broker.MaxSubscriptions != next.Broker.MaxSubscriptions},
		{"max_sub_tokens", next.Broker.MaxTokens, o.Broker.MaxTokens != next.Broker.MaxTokens},
		{"http_user", next.Monitor.User, o.Monitor.User != next.Monitor.User},
		{"http_password", nil, o.Monitor.Password != next.Monitor.Password},
		{"server_tags, server_metadata", nil, !same(o.Monitor.Tags, next.Monitor.Tags) || !same(o.Monitor.Metadata, next.Monitor.Metadata)},
		{"debug", next.Log.Debug, o.Log.Debug != next.Log.Debug},
		{"trace", next.Log.Trace, o.Log.Trace != next.Log.Trace},
		{"trace_headers", next.Server.TraceHeaders, o.Server.TraceHeaders != next.Server.TraceHeaders},
		{"max_traced_msg_len", next.Server.MaxTracedMsgLen, o.Server.MaxTracedMsgLen != next.Server.MaxTracedMsgLen},
		{"logtime", *next.Log.Time, *o.Log.Time != *next.Log.Time},
		{"logtime_utc", next.Log.TimeUTC, o.Log.TimeUTC != next.Log.TimeUTC},
		{"log_format", next.Log.Format, o.Log.Format != next.Log.Format},
		{"log_file", next.Log.File, o.Log.File != next.Log.File},
		{"logfile_size_limit", next.Log.FileSizeLimit, o.Log.FileSizeLimit != next.Log.FileSizeLimit},
		{"logfile_max_num", next.Log.FileMaxNum, o.Log.FileMaxNum != next.Log.FileMaxNum},
		{"syslog", next.Log.Syslog, o.Log.Syslog != next.Log.Syslog},
		{"remote_syslog", next.Log.RemoteSyslog, o.Log.RemoteSyslog != next.Log.RemoteSyslog},
	} {
		switch {
		case !row.differs:
		case row.now == nil:
			lines = append(lines, row.key)
		default:
			if row.now == "" {
				row.now = "none"
			}
			lines = append(lines, fmt.Sprintf("%s = %v", row.key, row.now))
		}
	}
	return append(lines, o.Leaf.changes(&next.Leaf)...)
}

// sameAuth compares two authorization blocks by what they hold.
func sameAuth(a, b auth.Options) bool {
	a.TopOptions, b.TopOptions = auth.TopOptions{}, auth.TopOptions{}
	return same(a, b)
}

// same compares two blocks by what they hold.
func same(a, b any) bool {
	before, err := json.Marshal(a)
	after, errAfter := json.Marshal(b)
	return err == nil && errAfter == nil && bytes.Equal(before, after)
}
