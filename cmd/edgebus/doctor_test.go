package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// startServer starts a server with a configuration that leaves ports to the system, and returns those by
// what they are for.
func startServer(t *testing.T, config string) (b *process, path string, ports map[string][]string) {
	t.Helper()
	dir := t.TempDir()
	path = file(t, "edge.conf", "ports_file_dir: "+fmt.Sprintf("%q", dir)+"\nlisten: \"127.0.0.1:-1\"\n"+config)
	b = start(t, edgebusBinary, "", nil, "-c", path)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if found, _ := filepath.Glob(filepath.Join(dir, "edgebus_*.ports")); len(found) == 1 {
			text, err := os.ReadFile(found[0])
			if err == nil {
				err = json.Unmarshal(text, &ports)
			}
			if err != nil {
				t.Fatal(err)
			}
			return b, path, ports
		}
		select {
		case <-b.ended:
			t.Fatalf("the server ended: %v", b.wait())
		default:
		}
	}
}

// hostPort is the address in one of these.
func hostPort(t *testing.T, urls []string) string {
	t.Helper()
	if len(urls) != 1 {
		t.Fatalf("addresses %q, want one", urls)
	}
	_, at, _ := strings.Cut(urls[0], "://")
	return at
}

// socketPath is short enough for a socket, which the folders of tests with long names are not.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "c.sock")
}

// diagnose runs the doctor in this process, on a machine that alter has changed.
func diagnose(t *testing.T, alter func(*examination), args ...string) (text string, worst severity) {
	t.Helper()
	tool := doctorCommand(&program{name: "edgebus"})
	ordered, err := flagsFirst(tool.Flags, args)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tool.read(ordered)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newExamination(c)
	if err != nil {
		t.Fatal(err)
	}
	if alter != nil {
		alter(e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.examine(ctx); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if worst, err = e.print(&out, false); err != nil {
		t.Fatal(err)
	}
	return out.String(), worst
}

// names fails unless the first line says the cause and the second what to do.
func names(t *testing.T, text, cause, remedy string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	if !regexp.MustCompile(cause).MatchString(lines[0]) || len(lines) < 2 || !regexp.MustCompile("^  .*"+remedy).MatchString(lines[1]) {
		t.Errorf("want the cause %q in the first line and %q in the second, got\n%s", cause, remedy, text)
	}
}

// certificate writes one of its own authority, with its key, and returns their files.
func certificate(t *testing.T, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, DNSNames: []string{"edge"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: until.Add(-365 * 24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

func TestDoctorNamesAWrongPassword(t *testing.T) {
	_, _, ports := startServer(t, "authorization { user: ann, password: right }\n")
	url := ports["nats"][0]
	r := run(t, "", "doctor", "-s", url, "--user", "ann", "--password", "wrong")
	names(t, r.stdout, `^error: login: the server refuses user "ann": wrong user or password`, "compare user and password")
	if r.code != int(isError) {
		t.Error(r)
	}
	if r := run(t, "", "doctor", "-s", url, "--user", "ann", "--password", "right", "--json"); r.code != int(isWell) || !strings.Contains(r.stdout, `"severity":"ok","about":"login"`) {
		t.Error(r)
	}
}

// What nobody has asked for is no finding against the server: neither in the summary nor in the exit code.
func TestDoctorCountsWhatItHasSkippedForNothing(t *testing.T) {
	_, path, ports := startServer(t, `authorization { user: ann, password: "$2a$04$JV6pTzTDmdqJ8VQVB6uFG.VLNb0oA6bNCXQ0n1hXH7OYKYAIlVYm6" }`+"\n")
	r := run(t, "", "doctor", "-c", path, "-s", ports["nats"][0])
	if r.code != int(isWell) || !matches(`.*\nskipped: login: .* none were given\n  say --user and --password.*\nskipped: pages: .*the configuration names no port for them\n.*\n0 errors, 0 warnings, \d well, 2 skipped\n`, r.stdout) {
		t.Error(r)
	}
	// Pages that should be there and are not are another matter.
	r = run(t, "", "doctor", "-c", path, "-s", ports["nats"][0], "-m", "http://127.0.0.1:1")
	if r.code != int(isWarning) || !strings.HasPrefix(r.stdout, "warning: pages: no monitoring pages at http://127.0.0.1:1: ") {
		t.Error(r)
	}
}

func TestDoctorNamesAnExpiredCertificate(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(-48*time.Hour))
	path := file(t, "edge.conf", fmt.Sprintf("port: -1\ntls { cert_file: %q, key_file: %q }\n", cert, key))
	text, worst := diagnose(t, nil, "-c", path)
	names(t, text, `^error: certificate: tls: ".*cert.pem" expired at 20\d\d-`, "put a new one in its place")
	if worst != isError {
		t.Error(worst)
	}
	cert, key = certificate(t, time.Now().Add(48*time.Hour))
	path = file(t, "edge.conf", fmt.Sprintf("port: -1\ntls { cert_file: %q, key_file: %q }\n", cert, key))
	if text, _ := diagnose(t, nil, "-c", path); !strings.Contains(text, "warning: certificate: tls: ") {
		t.Errorf("a certificate that expires in two days: %s", text)
	}
}

func TestDoctorNamesAClockIn1970(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(300*24*time.Hour))
	path := file(t, "edge.conf", fmt.Sprintf("port: -1\ntls { cert_file: %q, key_file: %q }\n", cert, key))
	text, _ := diagnose(t, func(e *examination) { e.now = func() time.Time { return time.Unix(3600, 0) } }, "-c", path)
	names(t, text, `^error: clock: this machine's clock says 1970-01-01 01:00 UTC`, "NTP")
	if !strings.Contains(text, "is not valid before") {
		t.Errorf("what the clock has done to the certificate is not told: %s", text)
	}
}

func TestDoctorNamesADeadDNS(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no way to the DNS server")
	}}
	url := startBus(t).url
	path := file(t, "edge.conf", "leafnodes { remotes [ { url: \"nats://hub.example.net\" } ] }\n")
	text, _ := diagnose(t, nil, "-c", path, "-s", url)
	names(t, text, `^error: hub: nats://hub.example.net:7422 cannot be joined: dns: .*lookup hub.example.net.*: no way to the DNS server`, "resolv.conf")
}

func TestDoctorNamesAHubThatRefusesUs(t *testing.T) {
	_, _, ports := startServer(t, "leafnodes { listen: \"127.0.0.1:-1\", authorization { user: edge, password: right } }\n")
	hub := hostPort(t, ports["leafnodes"])
	url := ports["nats"][0]
	path := file(t, "edge.conf", "leafnodes { remotes [ { url: \"nats://edge:wrong@"+hub+"\" } ] }\n")
	text, _ := diagnose(t, nil, "-c", path, "-s", url)
	names(t, text, `^error: hub: nats://\S*`+hub+` cannot be joined: Authentication Failure`, "the hub refuses our credentials")
	if strings.Contains(text, "wrong@") {
		t.Errorf("the password is shown: %s", text)
	}
}

// A loop needs two servers that name each other: the first learns of the second by a reload.
func TestDoctorNamesALoop(t *testing.T) {
	socket := socketPath(t)
	common := fmt.Sprintf("http: \"127.0.0.1:-1\"\nserver_name: one\ncontrol_socket: %q\n", socket)
	_, path, ports := startServer(t, common+"leafnodes { listen: \"127.0.0.1:-1\" }\n")
	_, _, others := startServer(t, "http: \"127.0.0.1:-1\"\nserver_name: two\nleafnodes { listen: \"127.0.0.1:-1\", remotes [ { url: \"nats://"+hostPort(t, ports["leafnodes"])+"\" } ] }\n")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "leafnodes { ", "leafnodes { remotes [ { url: \"nats://"+hostPort(t, others["leafnodes"])+"\" } ], ", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Control(t.Context(), socket, "reload", nil); err != nil {
		t.Fatal(err)
	}
	// One of the two links stays. Which one, nobody can say, so the other may be either server's.
	found := ""
	for end := time.Now().Add(patience); time.Now().Before(end) && !strings.Contains(found, "Loop"); {
		for _, monitor := range []string{ports["monitoring"][0], others["monitoring"][0]} {
			if !strings.Contains(found, "Loop") {
				found, _ = diagnose(t, nil, "-m", monitor)
			}
		}
	}
	names(t, found, `^error: hub: nats://\S+ is not joined: Loop Detected`, "form a tree")
}

func TestDoctorNamesAFullDisk(t *testing.T) {
	url := startBus(t).url
	path := file(t, "edge.conf", "port: 4222\n")
	text, _ := diagnose(t, func(e *examination) {
		e.space = func(string) (diskState, error) { return diskState{free: 4096, total: 1 << 34}, nil }
	}, "-c", path, "-s", url)
	names(t, text, `^error: disk: the disk of \S+ is full: 4 KiB are free`, "make room")
	text, _ = diagnose(t, func(e *examination) {
		e.space = func(string) (diskState, error) { return diskState{free: 1 << 28, total: 1 << 34}, nil }
	}, "-c", path, "-s", url)
	if !strings.Contains(text, "warning: disk: ") {
		t.Errorf("a disk that is nearly full: %s", text)
	}
}

// The disk of a router is small without being full, and what the server only reads may be read-only. What it
// writes may not.
func TestDoctorMeasuresADiskByItsSizeAndByWhatIsWrittenThere(t *testing.T) {
	readOnly, written := t.TempDir(), t.TempDir()
	roomy := diskState{free: 1 << 33, total: 1 << 34}
	for name, row := range map[string]struct {
		key         string // of what is written; default pid_file
		read, write diskState
		want, not   string
	}{
		"small":                 {write: diskState{free: 12 << 20, total: 12 << 20}, want: "ok: disk: " + written, not: "(error|warning): disk"},
		"small and nearly full": {write: diskState{free: 400 << 10, total: 12 << 20}, want: "warning: disk: the disk of " + written, not: "error: disk"},
		"small and full":        {write: diskState{free: 12 << 10, total: 12 << 20}, want: "error: disk: the disk of " + written + " is full"},
		"squashfs":              {read: diskState{total: 4 << 20, readOnly: true}, want: "ok: disk: " + readOnly + ": read-only", not: "(error|warning): disk"},
		"read-only, pid file":   {write: diskState{free: 1 << 33, total: 1 << 34, readOnly: true}, want: "error: disk: the disk of " + written + " is read-only, and pid_file is there"},
		"read-only, log file":   {key: "log_file", write: diskState{total: 4 << 20, readOnly: true}, want: "error: disk: the disk of " + written + " is read-only, and log_file is there", not: "is full"},
		"read-only, resolver":   {key: "resolver", write: diskState{readOnly: true}, want: "error: disk: the disk of " + written + " is read-only, and resolver is there"},
	} {
		if row.read.total == 0 {
			row.read = roomy
		}
		var o daemon.Options
		switch row.key {
		case "log_file":
			o.Log.File = filepath.Join(written, "log")
		case "resolver":
			o.Top.Operator.Resolver.Dir = written
		default:
			o.PidFile = filepath.Join(written, "pid")
		}
		e := &examination{path: filepath.Join(readOnly, "edge.conf"), loaded: &daemon.Loaded{Options: o}, space: func(folder string) (diskState, error) {
			if folder == readOnly {
				return row.read, nil
			}
			return row.write, nil
		}}
		e.disks()
		var out strings.Builder
		if _, err := e.print(&out, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), row.want) || row.not != "" && regexp.MustCompile(row.not).MatchString(out.String()) {
			t.Errorf("%s: want %q and not %q in\n%s", name, row.want, row.not, &out)
		}
	}
}

func TestDoctorNamesAPortThatIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("SSH-2.0-other\r\n"))
			conn.Close()
		}
	}()
	path := file(t, "edge.conf", fmt.Sprintf("listen: %q\n", ln.Addr()))
	text, _ := diagnose(t, nil, "-c", path)
	names(t, text, `^error: port: `+ln.Addr().String()+` is taken by a program that is no NATS server \(it says "SSH-2.0-other`, "choose another port")

	_, port, _ := net.SplitHostPort(strings.TrimPrefix(startBus(t, "-n", "other").url, "nats://"))
	path = file(t, "edge.conf", "server_name: mine\nlisten: \"127.0.0.1:"+port+"\"\n")
	text, _ = diagnose(t, nil, "-c", path)
	names(t, text, `^error: port: \S+ is taken by another server, "other", and not by "mine"`, "stop the other one")
}

func TestDoctorNamesABadLine(t *testing.T) {
	path := file(t, "edge.conf", "port: 4333\nfoo_bar: 1\n")
	r := run(t, "", "doctor", "-c", path, "-s", startBus(t).url)
	names(t, r.stdout, `^error: configuration: \S*edge.conf:2:1: .*foo_bar`, "mend this line")
	if r.code != int(isError) {
		t.Error(r)
	}
}

func TestDoctorFindsNothingWrongWithAServerThatIsWell(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	_, path, ports := startServer(t, fmt.Sprintf("http: \"127.0.0.1:-1\"\npid_file: %q\n", pid))
	r := run(t, "", "doctor", "-c", path, "-m", ports["monitoring"][0])
	if r.code != 0 || !strings.Contains(r.stdout, "0 errors, 0 warnings") || !strings.Contains(r.stdout, "ok: server: up") {
		t.Error(r)
	}
	r = run(t, "", "doctor", "-c", path, "-m", ports["monitoring"][0], "--json")
	var told struct {
		Worst    string
		Findings []struct{ Severity, About, Text string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &told); err != nil || told.Worst != "ok" || len(told.Findings) < 4 {
		t.Errorf("%v: %v", err, r)
	}
	if err := os.WriteFile(path, append([]byte("max_payload: 500000\n"), mustRead(t, path)...), 0o600); err != nil {
		t.Fatal(err)
	}
	r = run(t, "", "doctor", "-c", path, "-m", ports["monitoring"][0])
	names(t, r.stdout, `^warning: configuration: \S+ has changed since the running server has read it`, "HUP")
	if r.code != int(isWarning) {
		t.Error(r)
	}
}

// Where nothing says which server is meant, it is the one that up has started.
func TestDoctorLooksAtTheServerOfUp(t *testing.T) {
	socket := socketPath(t)
	dir := filepath.Dir(socket)
	if err := os.WriteFile(filepath.Join(dir, "edgebus.conf"), fmt.Appendf(nil, "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nserver_name: mine\ncontrol_socket: %q\n", socket), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, edgebusBinary, "", nil, "-c", filepath.Join(dir, "edgebus.conf")).until("Server is ready")
	r := run(t, "", "doctor", "--dir", dir)
	if r.code != 0 || !strings.Contains(r.stdout, `is server "mine"`) || !strings.Contains(r.stdout, "ok: server: up") {
		t.Error(r)
	}
	// What is typed counts for more than a variable.
	elsewhere := start(t, edgebusBinary, "", []string{"NATS_URL=nats://127.0.0.1:1"}, "doctor", "--dir", dir).wait()
	if elsewhere.code != 0 || !strings.Contains(elsewhere.stdout, `is server "mine"`) {
		t.Error(elsewhere)
	}
	if r := run(t, "", "top", "--dir", dir, "--count", "1", "--interval", "50ms"); r.code != 0 || !strings.HasPrefix(r.stdout, "mine ") {
		t.Error(r)
	}
	if r := run(t, "", "why", "a", "--dir", dir); r.code != 1 || !strings.HasPrefix(r.stdout, "not delivered: no interest") {
		t.Error(r)
	}
	step{name: "no such folder", args: []string{"doctor", "--dir", dir + "x"}, code: 2, stderr: `edgebus: there is no \S*; "edgebus up" writes one.*`}.run(t, "")
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDoctorSaysThatNobodyIsThere(t *testing.T) {
	text, _ := diagnose(t, nil, "-s", nobodyThere)
	names(t, text, `^error: server: no server runs at `+nobodyThere, "start it")
}

// The file systems of Linux tell what a process has open; here is one that has nothing left.
func TestDoctorCountsOpenFiles(t *testing.T) {
	root := t.TempDir()
	process := filepath.Join(root, "proc", "77")
	for n := range 19 {
		if err := os.MkdirAll(filepath.Join(process, "fd", fmt.Sprint(n)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	limits := "Limit                     Soft Limit           Hard Limit           Units\nMax open files            20                   4096                 files\n"
	if err := os.WriteFile(filepath.Join(process, "limits"), []byte(limits), 0o600); err != nil {
		t.Fatal(err)
	}
	path := file(t, "edge.conf", fmt.Sprintf("pid_file: %q\n", file(t, "pid", "77")))
	text, _ := diagnose(t, func(e *examination) { e.root = root }, "-c", path, "-s", startBus(t).url)
	names(t, text, `^error: files: the server has 19 sockets and files open, and may have 20`, "LimitNOFILE")
}

// It is not a line to mend: a command writes the file.
func TestDoctorSaysHowTheFirstDeviceIsMade(t *testing.T) {
	text, _ := diagnose(t, nil, "-c", file(t, "edge.conf", "authorization {\n  include \"devices.conf\"\n}\n"), "-s", "127.0.0.1:1")
	names(t, text, `^error: configuration: \S+edge.conf:2:3: include "devices.conf": there is no file \S+devices\.conf$`, "add the first device, .*: edgebus device add NAME")
}
