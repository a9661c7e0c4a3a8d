package daemon

import "github.com/edgebus-io/edgebus/config"

// What is said of keys that ask for something which is not there.
const (
	noFederation = "edgebus is no member of clusters and gateways, it joins them as a leaf; the rest of the file is used"
	notBuilt     = " are not built yet, and the server does not start without what it was asked for: "
	noJWT        = "accounts and users out of signed tokens" + notBuilt + "remove the key, and name the users in the authorization block"
	noAccounts   = "accounts" + notBuilt + "remove the block, and name the users in the authorization block"
	noTLS        = "encrypted connections" + notBuilt + "remove the key only if nobody can listen in on this network, or put a TLS proxy in front"
	noMonitor    = "monitoring pages are not built yet, and the port stays closed"
	noNKeys      = "users with keys instead of passwords" + notBuilt + "give the user a password, a bcrypt hash of one is best"
	noLeaf       = "leaf links" + notBuilt + "remove the block"
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
		{config.WithoutEffect, nil, "there are no routes and no leaf links whose errors it counts", []string{"connect_error_reports", "reconnect_error_reports"}},
		{config.WithoutEffect, nil, "it would be shown by monitoring and clusters, which are not built yet", []string{"server_tags", "server_metadata", "max_closed_clients", "http_base_path"}},
		{config.WithoutEffect, config.SwitchedOff, "the match cache is bounded and cannot be switched off", []string{"disable_sublist_cache", "no_sublist_cache"}},
		{config.WithoutEffect, config.SwitchedOff, "a publisher that feeds a slow client always rests a little, 10 ms at most", []string{"no_fast_producer_stall"}},
		{config.WithoutEffect, nil, "edgebus has no such switches", []string{"feature_flags"}},
		{config.WithoutEffect, nil, "there is no JetStream yet", []string{"default_js_domain", "store_dir", "storedir"}},
		{config.WithoutEffect, nil, "it concerns links between servers; clients are closed at write_deadline", []string{"write_timeout"}},
		{config.WithoutEffect, config.SwitchedOff, "there is no profiling port; use the tools of the system", []string{"prof_port", "prof_block_rate"}},
		{config.WithoutEffect, nil, "there is no system account yet", []string{"no_system_account", "no_system", "no_sys_acc"}},
		{config.WithoutEffect, nil, "there is no TLS yet, so that all connections are plain", []string{"allow_non_tls"}},

		{config.Refused, nil, noTLS, []string{"tls", "resolver_tls"}},
		{config.Refused, config.SwitchedOff, noTLS, []string{"ocsp", "ocsp_cache"}},
		{config.Refused, nil, noJWT, []string{"operator", "operators", "root", "roots", "root_operator", "root_operators",
			"resolver", "account_resolver", "accounts_resolver", "resolver_preload", "resolver_pinned_accounts", "trusted", "trusted_keys", "default_sentinel"}},
		{config.Refused, config.Empty, noAccounts, []string{"accounts"}},
		{config.Refused, nil, noAccounts, []string{"system_account", "system"}},
		{config.Refused, config.Empty, "mappings of subjects" + notBuilt + "remove the block, and publish to the subjects themselves", []string{"mappings", "maps"}},
		{config.Refused, config.Empty, noLeaf, []string{"leafnodes", "leaf"}},
		{config.Refused, config.SwitchedOff, "streams that keep messages" + notBuilt + "remove the key; messages are delivered to who listens, and not kept", []string{"jetstream"}},
		{config.Refused, config.Empty, "MQTT clients" + notBuilt + "remove the block", []string{"mqtt"}},
		{config.Refused, config.Empty, "WebSocket clients" + notBuilt + "remove the block", []string{"websocket", "ws"}},
		{config.WithoutEffect, config.SwitchedOff, noMonitor, []string{"http", "https", "http_port", "monitor_port", "https_port"}},
		{config.Refused, config.SwitchedOff, "proxies that say who connects" + notBuilt + "remove the key, and let clients connect without the proxy", []string{
			"proxy_protocol", "proxies", "authorization.proxy_required", "authorization.users.proxy_required"}},
		{config.Refused, nil, "authentication by a service of yours" + notBuilt + "remove the block, and name the users in the authorization block", []string{"authorization.auth_callout"}},
		{config.Refused, nil, noNKeys, []string{"authorization.nkey", "authorization.users.nkey"}},
		{config.Refused, nil, "limits on how a user may connect" + notBuilt + "remove the key; there is one kind of connection so far", []string{
			"authorization.users.allowed_connection_types", "authorization.users.connection_types"}},
		{config.Refused, nil, noAccounts, []string{"authorization.users.account"}},
	} {
		for _, key := range row.keys {
			table[key] = config.Class{Kind: row.kind, Text: row.text, Off: row.off}
		}
	}
	return table
}
