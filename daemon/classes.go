package daemon

import "github.com/edgebus-io/edgebus/config"

// What is said of keys that ask for something which is not there.
const (
	noFederation = "edgebus is no member of clusters and gateways, it joins them as a leaf; the rest of the file is used"
	notBuilt     = " are not built yet, and the server does not start without what it was asked for: "
)

// classes says what becomes of every key of nats-server 2.15.2 that Options has no field for, or
// whose field no part reads yet. Keys that protect or promise something are refused: a server that
// ignored them would run without the protection it was asked for. A key that becomes a field
// loses its row.
func classes() map[string]config.Class {
	table := make(map[string]config.Class)
	for _, row := range []struct {
		kind config.Kind
		off  func(any) bool
		text string
		keys []string
	}{
		{config.WithoutEffect, config.Empty, noFederation, []string{"cluster", "gateway"}},
		{config.WithoutEffect, nil, "only members of clusters tell clients of addresses", []string{"client_advertise"}},
		{config.WithoutEffect, nil, "failed attempts are logged the first time, and then ever more seldom", []string{"connect_error_reports", "reconnect_error_reports"}},
		{config.WithoutEffect, config.SwitchedOff, "the match cache is bounded and cannot be switched off", []string{"disable_sublist_cache", "no_sublist_cache"}},
		{config.WithoutEffect, config.SwitchedOff, "a publisher that feeds a slow client always rests a little, 10 ms at most", []string{"no_fast_producer_stall"}},
		{config.WithoutEffect, nil, "edgebus has no such switches", []string{"feature_flags"}},
		{config.WithoutEffect, nil, "there is no JetStream yet", []string{"default_js_domain", "store_dir", "storedir"}},
		{config.WithoutEffect, nil, "it concerns links between servers; clients are closed at write_deadline", []string{"write_timeout"}},
		{config.WithoutEffect, config.SwitchedOff, "there is no profiling port; use the tools of the system", []string{"prof_port", "prof_block_rate"}},

		{config.Refused, config.SwitchedOff, "stapled answers about revoked certificates (OCSP)" + notBuilt + "remove the key; certificates that live for days need none", []string{"ocsp", "ocsp_cache"}},
		{config.WithoutEffect, nil, "a link that falls behind drops what waits longest, at max_pending", []string{"leafnodes.write_deadline", "leafnodes.write_timeout"}},
		{config.WithoutEffect, nil, "there are no WebSocket links yet", []string{
			"leafnodes.remotes.ws_compress", "leafnodes.remotes.ws_compression", "leafnodes.remotes.websocket_compress", "leafnodes.remotes.websocket_compression",
			"leafnodes.remotes.ws_no_masking", "leafnodes.remotes.websocket_no_masking"}},
		{config.WithoutEffect, nil, "there are no clusters whose leaders could move", []string{"leafnodes.remotes.jetstream_cluster_migrate", "leafnodes.remotes.js_cluster_migrate"}},
		{config.Refused, config.SwitchedOff, "proxies that say who connects" + notBuilt + "remove the key", []string{"leafnodes.authorization.proxy_required", "leafnodes.authorization.users.proxy_required"}},
		{config.Refused, config.SwitchedOff, "streams that keep messages" + notBuilt + "remove the key; messages are delivered to who listens, and not kept", []string{"jetstream"}},
		{config.Refused, config.Empty, "MQTT clients" + notBuilt + "remove the block", []string{"mqtt"}},
		{config.Refused, config.Empty, "WebSocket clients" + notBuilt + "remove the block", []string{"websocket", "ws"}},
		{config.Refused, config.SwitchedOff, "streams that keep messages" + notBuilt + "remove the key; messages are delivered to who listens, and not kept", []string{"accounts.jetstream"}},
		{config.WithoutEffect, config.Empty, "messages are not traced on their way", []string{"accounts.msg_trace", "accounts.trace_dest"}},
		{config.Refused, config.SwitchedOff, "proxies that say who connects" + notBuilt + "remove the key, and let clients connect without the proxy", []string{
			"proxy_protocol", "proxies", "authorization.proxy_required", "authorization.users.proxy_required"}},
	} {
		for _, key := range row.keys {
			table[key] = config.Class{Kind: row.kind, Text: row.text, Off: row.off}
		}
	}
	return table
}
