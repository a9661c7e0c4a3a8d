package daemon

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/config"
)

// mustWrite writes a configuration file and gives its path.
func mustWrite(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptionsThatDoNotFitTogetherAreRefusedWithTheirPlace(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"payload above pending": {"\nmax_pending: 1MB\nmax_payload: 2MB", ":3:1: max_payload 2097152 is above max_pending 1048576"},
		"payload above partial": {"partial_total: 100KB", "max_payload 1048576 is above partial_total 102400"},
		"pending above total":   {"max_pending: 8MB\npending_total: 4MB", ":1:1: max_pending 8388608 is above pending_total 4194304"},
		"two ports":             {"port: 4222\nlisten: 4333", ":2:1: listen says port 4333 and port says 4222"},
		"two hosts":             {"listen: \"10.0.0.1:1\"\nhost: 10.0.0.2", `:1:1: listen says "10.0.0.1" and host says "10.0.0.2"`},
		"a port in host":        {"\nhost: \"127.0.0.1:4222\"", `:2:1: host takes an address without a port: use listen: "127.0.0.1:4222"`},
		"a port behind IPv6":    {"host: \"[::1]:4222\"", `:1:1: host takes an address without a port: use listen: "[::1]:4222"`},
		"a port for leaves":     {"leafnodes {\n host: \"localhost:7422\"\n}", `host takes an address without a port: use listen: "localhost:7422"`},
		"blank in the name":     {"\nserver_name: \"a b\"", `:2:1: server_name "a b" has a blank in it`},
		"no port":               {"port: 70000", ":1:1: port 70000 is not between 1 and 65535"},
		"no listen":             {"listen: \"a:b\"", `:1:1: listen: "a:b": "b" is no port`},
		"negative":              {"max_pending: -1", "max_pending is negative"},
		"short lame duck":       {"\nlame_duck_duration: \"3s\"", ":2:1: lame_duck_duration 3s is less than 30s"},
		"ping_max":              {"ping_max: 1000", ":1:1: ping_max 1000"},
		"user and token":        {"\nauthorization {user: a, password: b, token: c}", ":2:1: a token and a user"},
		"no such guest":         {"authorization {user: a, password: b}\nno_auth_user: c", `:2:1: no_auth_user "c"`},
		"log format":            {"log_format: xml", `:1:1: log_format "xml" is neither text nor json`},
		"syslog address":        {"remote_syslog: \"http://x\"", ":1:1: remote_syslog"},
		"tiny log file":         {"log_size_limit: 1k", ":1:1: logfile_size_limit 1000 is less than 4096"},
		"above memory":          {"memory_limit: 32MB\nmax_connections: 60000", ":1:1: the worst case is above memory_limit: it comes to"},
		"pending above memory":  {"pending_total: 1gb", "lower pending_total, max_pending, or raise memory_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(mustWrite(t, test.text), nil, testMemory)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("\n got %v\nwant %s", err, test.want)
			}
			if !isOptions(err) {
				t.Error("is not known as an error of options")
			}
		})
	}
}

func TestDefaultsFollowMemory(t *testing.T) {
	for _, memory := range []int64{0, 8 << 20, 32 << 20, 64 << 20, 128 << 20, 256 << 20, 1 << 30, 64 << 30} {
		loaded, err := load("", nil, memory)
		if err != nil {
			t.Errorf("defaults do not start with %s: %v", showBytes(memory), err)
			continue
		}
		o := loaded.Options
		if o.Engine.MaxPending > 64<<20 || memory >= leastMemory && int64(o.Engine.MaxPending) > memory/8 {
			t.Errorf("%s: max_pending %d", showBytes(memory), o.Engine.MaxPending)
		}
		if o.Server.MaxConnections > 65536 || o.Server.MaxConnections < minMaxConnections {
			t.Errorf("%s: max_connections %d", showBytes(memory), o.Server.MaxConnections)
		}
	}
	if o := new(Options); true {
		o.fill(0)
		if o.Engine.MaxPending != 64<<20 || o.Port != 4222 || o.Server.MaxPayload != 1<<20 {
			t.Errorf("without knowledge of memory the defaults are not nats-server's: %+v", o)
		}
	}
}

func TestDefaultConnectionsFitMemoryAndDescriptors(t *testing.T) {
	for _, test := range []struct {
		memory      int64
		descriptors uint64
		want        int
	}{
		{0, 0, 65536}, {1 << 30, 1 << 20, 65536}, {64 << 20, 0, 16384}, {1 << 30, 1024, 960}, {1 << 30, 192, 128}, {1 << 30, 128, 64}, {1 << 30, 64, 32}, {1 << 30, 1, 1}, {1, 0, 128},
		{1 << 30, math.MaxUint64, 65536},
	} {
		if got := defaultConnections(test.memory, test.descriptors, connectionBytes); got != test.want {
			t.Errorf("%d bytes and %d descriptors: %d connections, want %d", test.memory, test.descriptors, got, test.want)
		}
	}
}

func TestCommandLineIsAppliedAfterTheFile(t *testing.T) {
	path := mustWrite(t, "listen: \"10.0.0.1:4333\"\n")
	loaded, err := load(path, func(o *Options) { o.Port = 4444 }, testMemory)
	if err != nil || loaded.Options.Port != 4444 || loaded.Options.Host != "10.0.0.1" {
		t.Errorf("%+v, %v", loaded, err)
	}
}

func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		"max_payload: 9MB": "is above 8 MB",
		"authorization {}": "names nobody",
		`accounts {A {users: [{user: a, password: b}], exports: [{service: x, latency: "l"}]}}`: `:1:70: account "A": latency of "x" has no effect`,
		"cluster {name: x}":        "it joins them as a leaf",
		"log_file: x\nsyslog: yes": "syslog gets nothing",
		"ping_interval: 30":        `write "30s"`,
	} {
		loaded, err := load(mustWrite(t, text), nil, testMemory)
		if err != nil || len(loaded.Warnings) != 1 || !strings.Contains(loaded.Warnings[0].String(), want) {
			t.Errorf("%q: %+v, error %v", text, loaded, err)
		}
	}
}

func TestProblemsWithoutAFileAreOptionErrors(t *testing.T) {
	_, err := Load("", func(o *Options) { o.Port = -7; o.Log.Format = "xml" })
	var problems OptionErrors
	if !errors.As(err, &problems) || len(problems) != 2 || !errors.Is(err, ErrOptions) {
		t.Errorf("got %v", err)
	}
	if _, err = New(Options{Port: -7}); !errors.Is(err, ErrOptions) {
		t.Errorf("New: %v", err)
	}
	if _, err = Load(filepath.Join(t.TempDir(), "absent"), nil); !errors.As(err, new(config.Problems)) {
		t.Errorf("absent file: %v", err)
	}
}

// Safe by default: nobody who only starts the program opens his bus to the network.
func TestListensOnLoopbackUnlessToldOtherwise(t *testing.T) {
	for name, test := range map[string]struct {
		text       string
		natsServer bool
		host       string
		says       string
	}{
		"nothing given":      {"", false, "127.0.0.1", "-a 0.0.0.0"},
		"a port alone":       {"port: 4333", false, "127.0.0.1", "-a 0.0.0.0"},
		"listen with a port": {"listen: 4333", false, "127.0.0.1", "-a 0.0.0.0"},
		"listen with :port":  {"listen: \":4333\"", false, "127.0.0.1", "-a 0.0.0.0"},
		"users":              {"authorization {user: a, password: b}", false, "0.0.0.0", ""},
		"token":              {"authorization {token: b}", false, "0.0.0.0", ""},
		"empty users":        {"authorization {users: []}", false, "127.0.0.1", "-a 0.0.0.0"},
		"timeout alone":      {"authorization {timeout: 1}", false, "127.0.0.1", "-a 0.0.0.0"},
		"host":               {"host: 0.0.0.0", false, "0.0.0.0", "anybody who reaches 0.0.0.0"},
		"listen with host":   {"listen: \"10.1.2.3:4222\"", false, "10.1.2.3", "anybody who reaches 10.1.2.3"},
		"loopback":           {"host: localhost", false, "localhost", ""},
		"IPv6 loopback":      {"host: \"::1\"", false, "::1", ""},
		"host and users":     {"host: \"::\"\nauthorization {user: a, password: b}", false, "::", ""},
		"as nats-server":     {"", true, "0.0.0.0", "as nats-server does"},
		"and users":          {"authorization {user: a, password: b}", true, "0.0.0.0", ""},
		"and host":           {"host: 127.0.0.1", true, "127.0.0.1", ""},
	} {
		loaded, err := load(mustWrite(t, test.text), func(o *Options) { o.NATSServerDefaults = test.natsServer }, testMemory)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		host, info, warning := loaded.Options.listenHost()
		if host != test.host || !strings.Contains(info+warning, test.says) || (info+warning == "") != (test.says == "") {
			t.Errorf("%s: %q, info %q, warning %q", name, host, info, warning)
		}
	}
}

// A certificate that every client has to show keeps strangers out as well as a password.
func TestCertificatesOfClientsAreAuthorization(t *testing.T) {
	const anybodys = "no ca_file"
	certificate, key := writeCertificate(t)
	for more, open := range map[string]bool{
		"":                                      true,
		"verify: true":                          false,
		"verify_and_map: true":                  false,
		anybodys:                                true,
		"verify: true}\nallow_non_tls: true\n#": true,
		"verify: true, handshake_first: true}\nallow_non_tls: true\n#": false,
	} {
		text := fmt.Sprintf("tls {cert_file: %q, key_file: %q, ca_file: %q, %s\n}", certificate, key, certificate, more)
		if more == anybodys {
			text = fmt.Sprintf("tls {cert_file: %q, key_file: %q, verify: true}", certificate, key)
		}
		if strings.HasSuffix(more, "#") {
			text = strings.TrimSuffix(text, "}")
		}
		for _, host := range []string{"", "0.0.0.0"} {
			loaded, err := load(mustWrite(t, text), func(o *Options) { o.Host = host }, testMemory)
			if err != nil {
				t.Errorf("%s: %v", more, err)
				continue
			}
			at, info, warning := loaded.Options.listenHost()
			if open != (info+warning != "") || (at == anyHost) != (host != "" || !open) {
				t.Errorf("%q, host %q: %q, info %q, warning %q", more, host, at, info, warning)
			}
		}
	}
}

// What is wrong and what is probably not meant are shown together.
func TestErrorsDoNotHideWarnings(t *testing.T) {
	for text, want := range map[string]string{
		"cluster {name: x}\nprot: 1":          `:2:1: unknown field "prot"`,
		"cluster {name: x}\nping_max: 1000":   "ping_max 1000",
		"cluster {name: x}\nport: 4222000":    "port 4222000 is not between",
		"cluster {name: x}\ntls {timeout: 1}": ":2:1: cert_file and key_file are missing",
	} {
		_, err := load(mustWrite(t, text), nil, testMemory)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `:1:1: warning: "cluster" has no effect`) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]Address{
		"4222": {"", 4222}, ":4222": {"", 4222}, "-1": {"", -1}, "h": {"h", 0}, "h:-1": {"h", -1}, "1.2.3.4:5": {"1.2.3.4", 5},
		"[::1]:5": {"::1", 5}, "::1": {"::1", 0}, "[::1]": {"::1", 0},
	} {
		var got Address
		if err := got.UnmarshalConf(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []any{"h:x", "a:b:c", "h:70000", "70000", "h:-2", int64(70000), int64(-2), true, nil} {
		if err := new(Address).UnmarshalConf(bad); err == nil {
			t.Errorf("%v is taken for an address", bad)
		}
	}
}

func TestMemoryIsAskedOfTheContainerFirst(t *testing.T) {
	const meminfo = "MemFree: 1 kB\nMemTotal:         1048576 kB\n"
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known":     {nil, 0},
		"machine":           {map[string]string{"/proc/meminfo": meminfo}, 512 << 20},
		"version 2":         {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "104857600\n"}, 94371840},
		"version 2, above":  {map[string]string{"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/memory.max": "104857600\n", "/sys/fs/cgroup/a/b/memory.max": "max\n"}, 94371840},
		"version 2, none":   {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "max\n"}, 512 << 20},
		"version 2, inside": {map[string]string{"/proc/self/cgroup": "0::/../x\n", "/sys/fs/cgroup/memory.max": "104857600"}, 94371840},
		"version 1": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "5:cpu,cpuacct:/a\n9:memory:/docker/1\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "104857600\n"}, 94371840},
		"version 1, none": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "9:memory:/\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 512 << 20},
		"more than there is": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "999999999999"}, 512 << 20},
		"nonsense":           {map[string]string{"/proc/meminfo": "MemTotal: lots", "/proc/self/cgroup": "x\n::\n0::relative\n", "/sys/fs/cgroup/memory.max": "-5"}, 0},
	} {
		root := t.TempDir()
		for file, text := range test.files {
			path := filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := memoryAvailable(root); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestBudgetDoesNotWrapRound(t *testing.T) {
	b := budget{{"a", math.MaxInt64, "x"}, {"b", math.MaxInt64, "y"}}
	if b.total() != math.MaxInt64 || b.check(1<<40) == nil {
		t.Errorf("total %d, %v", b.total(), b.check(1<<40))
	}
}

func TestWriteDeadlineDefault(t *testing.T) {
	var o Options
	o.fill(0)
	if o.Engine.WriteDeadline != 10*time.Second {
		t.Errorf("%v", o.Engine.WriteDeadline)
	}
}

// isOptions reports whether an error of Load or New is a mistake in options or their file, and not a
// failure of the system.
func isOptions(err error) bool {
	var problems config.Problems
	return errors.As(err, &problems) || errors.Is(err, ErrOptions)
}
