package daemon

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/config"
)

const testMemory = 512 << 20

func TestEverySampleLoads(t *testing.T) {
	samples, err := filepath.Glob("../configs/*.conf")
	if err != nil || len(samples) < 3 {
		t.Fatalf("samples %v, error %v", samples, err)
	}
	certificate, key := writeCertificate(t)
	t.Setenv("EDGEBUS_TLS_CERT", certificate)
	t.Setenv("EDGEBUS_TLS_KEY", key)
	for _, sample := range samples {
		loaded, err := load(sample, nil, testMemory)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		t.Cleanup(loaded.Close)
		brought := strings.HasSuffix(sample, "gateway-creds.conf") && len(loaded.Warnings) == 1 && strings.Contains(loaded.Warnings[0].Text, "gateway-1.creds")
		if len(loaded.Warnings) > 0 && !brought || loaded.Digest == "" {
			t.Errorf("%s: warnings %v, digest %q", sample, loaded.Warnings, loaded.Digest)
		}
	}
}

var (
	documented = regexp.MustCompile(`(?m)^#([a-z_]+): (.*)$`)
	blocks     = regexp.MustCompile(`(?m)^#([a-z_]+) \{`)
)

// The sample is the manual: it names every key, and the defaults it shows are accepted.
func TestSampleDocumentsEveryKey(t *testing.T) {
	text, err := os.ReadFile("../configs/edgebus.conf")
	if err != nil {
		t.Fatal(err)
	}
	shown, block := make(map[string]string), make(map[string]bool)
	for _, match := range documented.FindAllStringSubmatch(string(text), -1) {
		shown[match[1]] = match[2]
	}
	for _, match := range blocks.FindAllStringSubmatch(string(text), -1) {
		block[match[1]] = true
	}
	aliases := []string{"leaf", "account_resolver", "accounts_resolver", "maps", "monitor_port", "no_sys_acc", "no_system", "operators", "root",
		"root_operator", "root_operators", "roots", "system", "trusted", "net", "max_conn", "max_subs", "max_subscription_tokens", "trace_verbose", "logfile", "log_size_limit", "log_max_num", "pidfile"}
	elsewhere := []string{"listen"} // in prose
	for _, key := range config.Keys(&Options{}) {
		if strings.Contains(key, ".") || slices.Contains(aliases, key) || slices.Contains(elsewhere, key) {
			continue
		}
		if _, ok := shown[key]; !ok && !block[key] {
			t.Errorf("configs/edgebus.conf has no line for %q", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(shown)) {
		if _, err := config.Parse("edgebus.conf", key+": "+shown[key], &Options{}, classes()); err != nil {
			t.Errorf("the line of %q: %v", key, err)
		}
	}
}

func TestSampleUsersMayDoWhatItSays(t *testing.T) {
	loaded, err := load("../configs/users.conf", nil, testMemory)
	if err != nil {
		t.Fatal(err)
	}
	for user, password := range map[string]string{
		"sensor": "sensor-secret", "dashboard": "dashboard-secret", "service": "operator-secret", "operator": "operator-secret",
	} {
		id, slow, err := loaded.directory.Authenticate(auth.Credentials{User: user, Password: password})
		if slow != nil {
			id, err = slow()
		}
		if err != nil || id.User != user {
			t.Errorf("%s: %v, %v", user, id, err)
		}
	}
	sensor, dashboard := loaded.directory.Lookup("sensor").Perms, loaded.directory.Lookup("dashboard").Perms
	for what, may := range map[string]bool{
		"sensor publishes a reading":        sensor.MayPublish([]byte("sensors.1.temperature")),
		"sensor publishes no setting":       !sensor.MayPublish([]byte("settings.1")),
		"dashboard publishes nothing":       !dashboard.MayPublish([]byte("sensors.1.temperature")),
		"operator is not restricted at all": loaded.directory.Lookup("operator").Perms == nil,
	} {
		if !may {
			t.Errorf("not so: %s", what)
		}
	}
}

// everyKey is every key that nats-server 2.15.2 takes at the top of a file or in its authorization
// block, with a value that asks for something.
var everyKey = map[string]string{
	"listen": `"127.0.0.1:4222"`, "host": "127.0.0.1", "net": "127.0.0.1", "port": "4222", "server_name": "a", "client_advertise": `"a:1"`,
	"http": "8222", "https": "8222", "http_port": "8222", "monitor_port": "8222", "https_port": "8222", "http_base_path": "/x",
	"max_connections": "100", "max_conn": "100", "max_subscriptions": "10", "max_subs": "10", "max_sub_tokens": "10",
	"max_payload": "1MB", "max_control_line": "4KB", "max_pending": "16MB", "write_deadline": `"10s"`, "write_timeout": "close",
	"ping_interval": `"1m"`, "ping_max": "3", "lame_duck_duration": `"1m"`, "lame_duck_grace_period": `"5s"`,
	"debug": "true", "trace": "true", "trace_verbose": "true", "trace_headers": "true", "logtime": "true", "logtime_utc": "true",
	"log_file": "/tmp/x", "logfile": "/tmp/x", "logfile_size_limit": "1MB", "log_size_limit": "1MB", "logfile_max_num": "3", "log_max_num": "3",
	"syslog": "true", "remote_syslog": `"udp://127.0.0.1:514"`, "max_traced_msg_len": "10", "pid_file": "/tmp/x", "pidfile": "/tmp/x", "ports_file_dir": "/tmp",
	"authorization": "{user: a, password: b}", "accounts": "{A: {}}", "no_auth_user": "a", "system_account": "S", "system": "S", "no_system_account": "true",
	"no_system": "true", "no_sys_acc": "true", "mappings": "{a: b}", "maps": "{a: b}",
	"operator": "a", "operators": "a", "root": "a", "roots": "a", "root_operator": "a", "root_operators": "a", "resolver": "MEMORY",
	"account_resolver": "MEMORY", "accounts_resolver": "MEMORY", "resolver_tls": "{}", "resolver_preload": "{}", "resolver_pinned_accounts": "[a]",
	"trusted": "[a]", "trusted_keys": "[a]", "default_sentinel": "a", "tls": "{cert_file: a}", "allow_non_tls": "true", "ocsp": "true", "ocsp_cache": "true",
	"websocket": "{port: 1}", "ws": "{port: 1}", "leafnodes": "{port: 7422}", "leaf": "{port: 7422}", "cluster": "{name: a}", "gateway": "{name: a}",
	"mqtt": "{port: 1883}", "jetstream": "{}", "store_dir": "/tmp", "storedir": "/tmp", "no_header_support": "true", "connect_error_reports": "1",
	"reconnect_error_reports": "1", "server_tags": "[a]", "server_metadata": "{a: b}", "default_js_domain": "{a: b}", "no_fast_producer_stall": "true",
	"max_closed_clients": "10", "proxy_protocol": "true", "proxies": "{trusted: []}", "disable_sublist_cache": "true", "no_sublist_cache": "true",
	"feature_flags": "{a: true}", "prof_port": "1", "prof_block_rate": "1",

	"accounts.jetstream": "true", "accounts.msg_trace": "a", "accounts.trace_dest": "a",
	"authorization.user": "a", "authorization.username": "a", "authorization.pass": "a", "authorization.password": "a", "authorization.token": "a",
	"authorization.timeout": "2", "authorization.users": "[]", "authorization.default_permissions": "{publish: a}", "authorization.auth_callout": "{}",
	"authorization.proxy_required": "true", "authorization.users.user": "a", "authorization.users.password": "a", "authorization.users.nkey": "a",
	"leafnodes.listen": `"127.0.0.1:7422"`, "leafnodes.port": "7422", "leafnodes.host": "127.0.0.1", "leafnodes.net": "127.0.0.1",
	"leafnodes.authorization": "{user: a, password: b}", "leafnodes.remotes": "[]", "leafnodes.reconnect": `"5s"`, "leafnodes.reconnect_delay": `"5s"`,
	"leafnodes.reconnect_interval": `"5s"`, "leafnodes.dial_timeout": `"5s"`, "leafnodes.tls": "{cert_file: a}", "leafnodes.leafnode_advertise": `"a:1"`,
	"leafnodes.advertise": `"a:1"`, "leafnodes.no_advertise": "true", "leafnodes.min_version": `"2.9.0"`, "leafnodes.minimum_version": `"2.9.0"`,
	"leafnodes.compression": "s2_fast", "leafnodes.isolate_leafnode_interest": "true", "leafnodes.isolate": "true",
	"leafnodes.write_deadline": `"5s"`, "leafnodes.write_timeout": "close",
	"leafnodes.authorization.user": "a", "leafnodes.authorization.username": "a", "leafnodes.authorization.pass": "a", "leafnodes.authorization.password": "a",
	"leafnodes.authorization.nkey": "a", "leafnodes.authorization.timeout": "2", "leafnodes.authorization.users": "[]", "leafnodes.authorization.account": "a",
	"leafnodes.authorization.proxy_required": "true", "leafnodes.authorization.users.user": "a", "leafnodes.authorization.users.password": "a",
	"leafnodes.authorization.users.account": "a", "leafnodes.authorization.users.proxy_required": "true",
	"leafnodes.remotes.no_randomize": "true", "leafnodes.remotes.dont_randomize": "true", "leafnodes.remotes.url": `"nats://a"`, "leafnodes.remotes.urls": "[a]",
	"leafnodes.remotes.account": "A", "leafnodes.remotes.local": "A", "leafnodes.remotes.creds": "a", "leafnodes.remotes.credentials": "a",
	"leafnodes.remotes.nkey": "a", "leafnodes.remotes.seed": "a", "leafnodes.remotes.tls": "{ca_file: a}", "leafnodes.remotes.hub": "true",
	"leafnodes.remotes.deny_imports": "a", "leafnodes.remotes.deny_import": "[a]", "leafnodes.remotes.deny_exports": "a", "leafnodes.remotes.deny_export": "[a]",
	"leafnodes.remotes.ws_compress": "true", "leafnodes.remotes.ws_compression": "true", "leafnodes.remotes.websocket_compress": "true",
	"leafnodes.remotes.websocket_compression": "true", "leafnodes.remotes.ws_no_masking": "true", "leafnodes.remotes.websocket_no_masking": "true",
	"leafnodes.remotes.jetstream_cluster_migrate": "true", "leafnodes.remotes.js_cluster_migrate": "true",
	"leafnodes.remotes.isolate_leafnode_interest": "true", "leafnodes.remotes.isolate": "true", "leafnodes.remotes.request_isolation": "true",
	"leafnodes.remotes.compression": "off", "leafnodes.remotes.first_info_timeout": `"5s"`, "leafnodes.remotes.dial_timeout": `"5s"`,
	"leafnodes.remotes.disabled": "true", "leafnodes.remotes.proxy": `{url: "http://a:1", username: u, password: p, timeout: 5s, tls {insecure: true}}`, "leafnodes.remotes.ignore_discovered_servers": "true",
	"authorization.users.permissions": "{subscribe: a}", "authorization.users.allowed_connection_types": "[STANDARD]", "authorization.users.proxy_required": "true",
}

// protections are keys that a server must not pass over.
var protections = strings.Fields(`websocket mqtt jetstream proxy_protocol proxies ocsp authorization.proxy_required
	authorization.users.proxy_required leafnodes.authorization.proxy_required leafnodes.authorization.users.proxy_required`)

func TestEveryKeyOfNATSServerHasAFate(t *testing.T) {
	fate := func(key string) (string, error) {
		text := key + ": " + everyKey[key]
		if rest, ok := strings.CutPrefix(key, "accounts."); ok {
			text = "accounts { A { " + rest + ": " + everyKey[key] + " } }"
		} else if rest, ok := strings.CutPrefix(key, "authorization.users."); ok {
			text = "authorization { users: [ { " + rest + ": " + everyKey[key] + " } ] }"
		} else if rest, ok := strings.CutPrefix(key, "authorization."); ok {
			text = "authorization { " + rest + ": " + everyKey[key] + " }"
		} else if rest, ok := strings.CutPrefix(key, "leafnodes.remotes."); ok {
			text = "leafnodes { remotes: [ { " + rest + ": " + everyKey[key] + " } ] }"
		} else if rest, ok := strings.CutPrefix(key, "leafnodes.authorization.users."); ok {
			text = "leafnodes { authorization { users: [ { " + rest + ": " + everyKey[key] + " } ] } }"
		} else if rest, ok := strings.CutPrefix(key, "leafnodes.authorization."); ok {
			text = "leafnodes { authorization { " + rest + ": " + everyKey[key] + " } }"
		} else if rest, ok := strings.CutPrefix(key, "leafnodes."); ok {
			text = "leafnodes { " + rest + ": " + everyKey[key] + " }"
		}
		result, err := config.Parse("x.conf", text, &Options{}, classes())
		switch {
		case err != nil && strings.Contains(err.Error(), "is refused: "):
			return "refused", err
		case err != nil:
			return "error", err
		case len(result.Warnings) > 0:
			return "without effect", nil
		}
		return "honoured", nil
	}
	honoured := config.Keys(&Options{})
	for _, key := range slices.Sorted(maps.Keys(everyKey)) {
		got, err := fate(key)
		_, classed := classes()[key]
		want := "honoured"
		switch {
		case slices.Contains(protections, key):
			want = "refused"
		case classed && got != "refused":
			want = "without effect"
		case classed:
			want = "refused"
		case !slices.Contains(honoured, key):
			want = "a class or a field"
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", key, got, want, err)
		}
		if got == "refused" && (!strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), "remove")) {
			t.Errorf("%s: no remedy in %v", key, err)
		}
	}
	for key := range classes() {
		if _, ok := everyKey[key]; !ok {
			t.Errorf("the class of %q stands for no key of nats-server", key)
		}
	}
}

func TestKeysThatAskForNothingAreNotRefused(t *testing.T) {
	const text = `jetstream: false
		leafnodes {}
		mqtt {}
		http_port: 0
		proxy_protocol: false
		trace: false
		ocsp: false`
	result, err := config.Parse("x.conf", text, &Options{}, classes())
	if err != nil || len(result.Warnings) > 0 {
		t.Errorf("%v, error %v", result, err)
	}
}
