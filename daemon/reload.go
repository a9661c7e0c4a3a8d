package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	began := time.Now()
	next, err := load(d.options.ConfigFile, d.options.Override, d.available)
	if err != nil {
		return fmt.Errorf("reload: nothing has changed: %w", err)
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
	if keys := d.options.restartKeys(o); len(keys) > 0 {
		return fmt.Errorf("reload: nothing has changed: %s %w", strings.Join(keys, ", "), ErrRestart)
	}
	if o.open() && !d.options.open() && !isLoopback(d.host) && o.Host == "" {
		return fmt.Errorf("reload: nothing has changed: without authorization the server listens on this machine only, and it listens on %s now: changing that %w", d.host, ErrRestart)
	}
	changeLog, dropLog, err := d.log.prepare(o.Log)
	if err != nil {
		return fmt.Errorf("reload: nothing has changed: %w", err)
	}
	next.directory.Inherit(d.directory)
	d.watchAccounts(next.directory)
	d.callThrough(next.directory)
	d.introduce(next.directory, o)
	o.Server.Events = d.options.Server.Events
	if err := d.server.Reload(o.Server, next.directory); err != nil {
		dropLog()
		return fmt.Errorf("reload: nothing has changed: %w", err)
	}
	// From here on nothing can fail.
	accepted = true
	d.broker.Configure(withSystem(next.directory.Accounts(), next.directory.SystemAccount()))
	d.broker.Reload(o.Broker)
	changeLog()
	changed := d.options.changedKeys(o)
	d.directory.Close()
	d.followSystem(o, next.directory)
	d.options, d.directory, d.certs = *o, next.directory, next.certs
	d.watchCerts(d.certs)
	d.show(next.Digest)
	for _, warning := range next.Warnings {
		d.logger.Warn(warning.String())
	}
	if host, _, _ := o.listenHost(); host != d.host {
		d.logger.Info("Reload: after the next restart the server will listen on " + host)
	}
	for _, line := range changed {
		d.logger.Info("Reloaded: " + line)
	}
	d.logger.Info("Reloaded server configuration", "changes", len(changed), "took", time.Since(began).Round(time.Microsecond))
	return nil
}

// restartKeys lists what differs and cannot be changed while running.
func (o *Options) restartKeys(next *Options) (keys []string) {
	for key, differs := range map[string]bool{
		"listen, host":   o.Host != next.Host,
		"port":           o.Port != next.Port,
		"server_name":    o.Server.ServerName != next.Server.ServerName,
		"loops":          o.Engine.Loops != next.Engine.Loops,
		"max_pending":    o.Engine.MaxPending != next.Engine.MaxPending,
		"pending_total":  o.Engine.PendingTotal != next.Engine.PendingTotal,
		"partial_total":  o.Engine.PartialTotal != next.Engine.PartialTotal,
		"write_deadline": o.Engine.WriteDeadline != next.Engine.WriteDeadline,
		"memory_limit":   o.MemoryLimit != next.MemoryLimit,
		"pid_file":       o.PidFile != next.PidFile,
		"ports_file_dir": o.PortsFileDir != next.PortsFileDir,
		"http, https":    o.Monitor.HTTP != next.Monitor.HTTP || o.Monitor.HTTPS != next.Monitor.HTTPS || o.Monitor.BasePath != next.Monitor.BasePath,
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
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
		{"system_account", next.Top.SystemAccount, o.Top.SystemAccount != next.Top.SystemAccount || o.Top.NoSystemAccount != next.Top.NoSystemAccount},
		{"operator, resolver", nil, !same(o.Top.Operator, next.Top.Operator)},
		{"tls", nil, !same(o.TLS, next.TLS)},
		{"allow_non_tls", next.AllowNonTLS, o.AllowNonTLS != next.AllowNonTLS},
		{"max_connections", next.Server.MaxConnections, o.Server.MaxConnections != next.Server.MaxConnections},
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
		{"server_tags, server_metadata", nil, !same(o.Monitor.Tags, next.Monitor.Tags) || !same(o.Monitor.Metadata, next.Monitor.Metadata)},
		{"debug", next.Log.Debug, o.Log.Debug != next.Log.Debug},
		{"trace", next.Log.Trace, o.Log.Trace != next.Log.Trace},
		{"trace_headers", next.Server.TraceHeaders, o.Server.TraceHeaders != next.Server.TraceHeaders},
		{"max_traced_msg_len", next.Server.MaxTracedMsgLen, o.Server.MaxTracedMsgLen != next.Server.MaxTracedMsgLen},
		{"logtime", *next.Log.Time, *o.Log.Time != *next.Log.Time || o.Log.TimeUTC != next.Log.TimeUTC},
		{"log_file, syslog", nil, !sameOutput(o.Log, next.Log)},
	} {
		switch {
		case !row.differs:
		case row.now == nil:
			lines = append(lines, row.key)
		default:
			lines = append(lines, fmt.Sprintf("%s = %v", row.key, row.now))
		}
	}
	return lines
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
