package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	const before = "server_name: a\nhttp: \"127.0.0.1:-1\"\n"
	_, change := reloading(t, before)
	for text, want := range map[string]string{
		"server_name: b\n" + before[len("server_name: a\n"):]: `x.conf:1:1: server_name: "a" -> "b" needs a restart`,
		before + "http_base_path: /x":                         `x.conf:3:1: http_base_path: none -> "/x" needs a restart`,
		"server_name: a\nhttp: \"127.0.0.1:8222\"":            `x.conf:2:1: http: 127.0.0.1:-1 -> 127.0.0.1:8222 needs a restart`,
		before + "\nleafnodes {listen: \"127.0.0.1:7422\"}":   `x.conf:4:12: leafnodes.listen: none -> 127.0.0.1:7422 needs a restart`,
		before + "write_deadline: 3s\npid_file: x":            `x.conf:3:1: write_deadline: 10s -> 3s; `,
		"server_name: a": `x.conf: http: 127.0.0.1:-1 -> none needs a restart`,
	} {
		if err := change(text); !errors.Is(err, ErrRestart) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	// The command line stands above the file here.
	if err := change(before + "port: 4333\n"); err != nil {
		t.Error(err)
	}
}

func TestReloadLogsEachKeyByItsName(t *testing.T) {
	r, change := reloading(t, "http_user: op\nhttp_password: one\n")
	for _, step := range []struct{ text, want string }{
		{"http_user: op\nhttp_password: two", "http_password"},
		{"http_user: po\nhttp_password: two", "http_user = po"},
		{"http_user: po\nhttp_password: two\nlogtime_utc: true", "logtime_utc = true"},
		{"http_user: po\nhttp_password: two", "logtime_utc = false"},
		{"http_user: po\nhttp_password: two\nlog_format: json", "log_format = json"},
		{"http_user: po\nhttp_password: two\nlogfile_size_limit: 8192", "log_format = text"},
		{"http_user: po\nhttp_password: two\nlogfile_max_num: 3", "logfile_max_num = 3"},
		{"http_user: po\nhttp_password: two\nlogfile_max_num: 3\nno_system_account: true", "no_system_account = true"},
		{"", "http_user = none"},
	} {
		if err := change(step.text); err != nil {
			t.Fatal(err)
		}
		if want := "Reloaded: " + step.want; !strings.Contains(r.out.String(), want+"\n") && !strings.Contains(r.out.String(), want+`"`) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	if text := r.out.String(); strings.Contains(text, "two\n") || strings.Contains(text, "changes=0") || strings.Contains(text, "system_account = \n") {
		t.Errorf("log:\n%s", text)
	}
}

// Whoever adds users to a server that only this machine can reach wants others to reach it.
func TestReloadSaysThatTheServerStaysOnLoopback(t *testing.T) {
	path := mustWrite(t, "")
	loaded, err := Load(path, func(o *Options) { o.Port = randomPort })
	if err != nil {
		t.Fatal(err)
	}
	r := mustRun(t, loaded.Options)
	if err := os.WriteFile(path, []byte("authorization {user: a, password: b}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.out.String(), "[WRN] Reload: the server still listens on 127.0.0.1") {
		t.Errorf("log:\n%s", r.out)
	}
}

// logOfRun is what a server logs that starts with a file and is stopped.
func logOfRun(t *testing.T, path string) (loaded *Loaded, log string) {
	t.Helper()
	loaded, err := Load(path, func(o *Options) { o.Port, o.Host = randomPort, loopbackHost })
	if err != nil {
		t.Fatal(err)
	}
	out := &page{}
	loaded.Options.Log.Stderr = out
	d, err := FromLoaded(loaded)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(t.Context()) }()
	select {
	case <-d.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	d.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return loaded, out.String()
}

func TestStartSaysWhatNATSServerSays(t *testing.T) {
	certificate, key := writeCertificate(t)
	tls := fmt.Sprintf("tls {cert_file: %q, key_file: %q}\n", certificate, key)
	const (
		plain    = "[WRN] Plaintext passwords detected, use nkeys or bcrypt\n"
		required = "[INF] TLS required for client connections\n"
		offered  = "[INF] TLS available for client connections\n"
	)
	for text, want := range map[string][]string{
		"":                                     nil,
		"authorization {user: a, password: b}": {plain},
		"authorization {token: a}":             nil,
		"authorization {users: [{user: a, password: b}]}":                                                              {plain},
		`authorization {users: [{user: a, password: "$2a$04$JV6pTzTDmdqJ8VQVB6uFG.VLNb0oA6bNCXQ0n1hXH7OYKYAIlVYm6"}]}`: nil,
		tls:                         {required},
		tls + "allow_non_tls: true": {offered},
		strings.Replace(tls, "}", ", handshake_first: true}", 1): {required, "will fail to connect"},
	} {
		path := mustWrite(t, text)
		loaded, out := logOfRun(t, path)
		for _, line := range []string{plain, required, offered, "will fail to connect"} {
			if strings.Contains(out, line) != slices.Contains(want, line) {
				t.Errorf("%q, %q:\n%s", text, line, out)
			}
		}
		if head := "  Config:   " + path + " (" + loaded.Digest + ")\n"; !strings.Contains(out, head) {
			t.Errorf("no %q in\n%s", head, out)
		}
	}
}

func TestPortsFileNamesEveryDoor(t *testing.T) {
	certificate, key := writeCertificate(t)
	folder := t.TempDir()
	o := Options{Host: loopbackHost, PortsFileDir: folder, TLS: &TLSOptions{CertFile: certificate, KeyFile: key}}
	o.Monitor.HTTP = Address{loopbackHost, randomPort}
	o.Leaf.Listen = Address{loopbackHost, randomPort}
	r := mustRun(t, o)
	text, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("edgebus_%d.ports", os.Getpid())))
	var got map[string][]string
	if err != nil || json.Unmarshal(text, &got) != nil {
		t.Fatalf("%s, %v", text, err)
	}
	for name, want := range map[string]string{
		"nats": "tls://" + r.Addr().String(), "monitoring": "http://" + r.monitorListener.Addr().String(), "leafnodes": "nats-leaf://" + r.leafListener.Addr().String(),
	} {
		if !slices.Equal(got[name], []string{want}) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

// An address that stands for all of the machine is of no use to those who read the file.
func TestPortsFileNamesAddressesThatCanBeReached(t *testing.T) {
	urls := urlsOf("nats", &net.TCPAddr{IP: net.IPv6zero, Port: 4222})
	if !slices.Contains(urls, "nats://127.0.0.1:4222") || slices.Contains(urls, "nats://[::]:4222") {
		t.Errorf("got %q", urls)
	}
}
