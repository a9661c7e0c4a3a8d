package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

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
	next, err := load(d.options.ConfigFile, d.options.Override, d.available)
	if err != nil {
		return fmt.Errorf("reload: nothing has changed: %w", err)
	}
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
	if err := d.server.Reload(o.Server, next.directory); err != nil {
		dropLog()
		return fmt.Errorf("reload: nothing has changed: %w", err)
	}
	// From here on nothing can fail.
	d.broker.Reload(o.Broker)
	changeLog()
	changed := d.options.changedKeys(o)
	d.options = *o
	for _, warning := range next.Warnings {
		d.logger.Warn(warning.String())
	}
	if host, _, _ := o.listenHost(); host != d.host {
		d.logger.Info("Reload: after the next restart the server will listen on " + host)
	}
	if len(changed) == 0 {
		changed = []string{"nothing"}
	}
	d.logger.Info("Reloaded server configuration", "changed", strings.Join(changed, ", "))
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
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// changedKeys lists what differs of the rest, for the log. The authorization block counts as one:
// what is in it is nothing for a log.
func (o *Options) changedKeys(next *Options) (keys []string) {
	for key, differs := range map[string]bool{
		"authorization":          !sameAuth(o.Auth, next.Auth),
		"no_auth_user":           o.NoAuthUser != next.NoAuthUser,
		"max_connections":        o.Server.MaxConnections != next.Server.MaxConnections,
		"max_payload":            o.Server.MaxPayload != next.Server.MaxPayload,
		"max_control_line":       o.Server.MaxControlLine != next.Server.MaxControlLine,
		"ping_interval":          o.Server.PingInterval != next.Server.PingInterval,
		"ping_max":               o.Server.PingMax != next.Server.PingMax,
		"lame_duck_duration":     o.Server.LameDuckDuration != next.Server.LameDuckDuration,
		"lame_duck_grace_period": o.Server.LameDuckGracePeriod != next.Server.LameDuckGracePeriod,
		"no_header_support":      o.Server.NoHeaderSupport != next.Server.NoHeaderSupport,
		"max_subscriptions":      o.Broker.MaxSubscriptions != next.Broker.MaxSubscriptions,
		"max_sub_tokens":         o.Broker.MaxTokens != next.Broker.MaxTokens,
		"debug":                  o.Log.Debug != next.Log.Debug,
		"trace":                  o.Log.Trace != next.Log.Trace,
		"trace_headers":          o.Server.TraceHeaders != next.Server.TraceHeaders,
		"max_traced_msg_len":     o.Server.MaxTracedMsgLen != next.Server.MaxTracedMsgLen,
		"logtime":                *o.Log.Time != *next.Log.Time || o.Log.TimeUTC != next.Log.TimeUTC,
		"log_file, syslog":       !sameOutput(o.Log, next.Log),
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// sameAuth compares two authorization blocks by what they hold.
func sameAuth(a, b auth.Options) bool {
	before, err := json.Marshal(a)
	after, errAfter := json.Marshal(b)
	return err == nil && errAfter == nil && bytes.Equal(before, after)
}
