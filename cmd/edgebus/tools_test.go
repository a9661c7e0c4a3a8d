package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPublishAndSubscribe(t *testing.T) {
	b := startBus(t)
	all := start(t, edgebusBinary, "", nil, "sub", "foo.>", "-s", b.url, "--count", "5").until("Subscribing on foo.>")
	heads := start(t, edgebusBinary, "", nil, "sub", "--headers-only", "--count=5", "-s", b.url, "foo.>").until("Subscribing on foo.>")
	lines := start(t, edgebusBinary, "", nil, "sub", "--subjects-only", "--count=5", "-s", b.url, "foo.>").until("Subscribing on foo.>")
	steps := []step{
		{name: "argument", args: []string{"pub", "foo.a", "hello"}, stderr: `\d\d:\d\d:\d\d Published 5 bytes to "foo.a"` + "\n"},
		{name: "standard input", stdin: "from\nstdin", args: []string{"pub", "foo.b"}, stderr: `.*Published 10 bytes to "foo.b"` + "\n"},
		{name: "options behind", args: []string{"pub", "foo.c", "-3", "--reply", "back", "-H", "A: x,y", "-H", "B:2", "-q"}, stderr: ""},
		{name: "count and templates", args: []string{"pub", "foo.{{.Count}}", "{{Count}} {{nope}} {{.Time", "--count", "2"}, stderr: `.*Published 2 messages to .*` + "\n"},
	}
	for _, s := range steps {
		s.run(t, b.url)
	}
	want := "[#1] Received on \"foo.a\"\nhello\n\n" +
		"[#2] Received on \"foo.b\"\nfrom\nstdin\n\n" +
		"[#3] Received on \"foo.c\" with reply \"back\"\nA: x,y\nB: 2\n\n-3\n\n" +
		"[#4] Received on \"foo.1\"\n1 {{nope}} {{.Time\n\n" +
		"[#5] Received on \"foo.2\"\n2 {{nope}} {{.Time\n\n"
	if r := all.wait(); r.code != 0 || r.stdout != want {
		t.Error(r)
	}
	want = "[#1] Received on \"foo.a\"\n[#2] Received on \"foo.b\"\n[#3] Received on \"foo.c\" with reply \"back\"\nA: x,y\nB: 2\n\n" +
		"[#4] Received on \"foo.1\"\n[#5] Received on \"foo.2\"\n"
	if r := heads.wait(); r.code != 0 || r.stdout != want {
		t.Error(r)
	}
	want = strings.ReplaceAll(want, "A: x,y\nB: 2\n\n", "")
	if r := lines.wait(); r.code != 0 || r.stdout != want {
		t.Error(r)
	}
}

func TestPublishSpacesMessagesOut(t *testing.T) {
	b := startBus(t)
	began := time.Now()
	step{name: "sleep", args: []string{"pub", "a", "x", "--count", "3", "--sleep", "50ms"},
		stderr: "(\\S+ Published 1 bytes to \"a\"\n){3}"}.run(t, b.url)
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("three messages within %v", took)
	}
}

func TestSubscribersOfAQueueShare(t *testing.T) {
	b := startBus(t)
	one := start(t, edgebusBinary, "", nil, "sub", "jobs", "--queue", "w", "--count", "3", "-s", b.url).until("with queue group w")
	two := start(t, edgebusBinary, "", nil, "sub", "jobs", "--queue", "w", "--wait", "300ms", "-s", b.url).until("with queue group w")
	step{name: "jobs", args: []string{"pub", "jobs", "{{.Count}}", "--count", "40"}, stderr: ".*"}.run(t, b.url)
	first, second := one.wait(), two.wait()
	if got := strings.Count(first.stdout, "Received"); got != 3 {
		t.Errorf("the first got %d", got)
	}
	// Who leaves after three leaves the rest to the others.
	if got := strings.Count(second.stdout, "Received"); got != 37 || second.code != 0 {
		t.Errorf("the second got %d: exit code %d", got, second.code)
	}
}

func TestRawOutputIsBodiesOnly(t *testing.T) {
	b := startBus(t)
	sub := start(t, edgebusBinary, "", nil, "sub", "a", "--raw", "--count", "1", "-s", b.url)
	for ended := false; !ended; {
		run(t, "", "pub", "a", "just this", "-s", b.url)
		select {
		case <-sub.ended:
			ended = true
		default:
		}
	}
	if r := sub.wait(); r.code != 0 || r.stdout != "just this\n" || r.stderr != "" {
		t.Error(r)
	}
}

func TestRequestAndReply(t *testing.T) {
	b := startBus(t)
	for _, args := range [][]string{
		{"echo", "--echo"}, {"static", "{{.Count}}: not {{.Request}}", "-H", "K: v"},
		{"many", "1", "--queue", "a"}, {"many", "2", "--queue", "b"},
		{"slow", "--sleep", "10s", "--echo"},
	} {
		start(t, edgebusBinary, "", nil, append([]string{"reply", "-s", b.url}, args...)...).until("Listening on")
	}
	steps := []step{
		{name: "echo", args: []string{"request", "echo", "hello"}, stdout: "hello\n\n", stderr: `\S+ Sending request on "echo"` + "\n" + `\S+ Received with rtt \S+s` + "\n"},
		{name: "raw", args: []string{"req", "echo", "hello", "--raw"}, stdout: "hello\n"},
		{name: "standard input", stdin: "typed", args: []string{"request", "echo", "--raw"}, stdout: "typed\n"},
		{name: "static", args: []string{"request", "static", "x"}, stdout: "K: v\n\n1: not x\n\n", stderr: ".*"},
		{name: "two answers", args: []string{"request", "many", "", "--replies", "2", "--raw"}, stdout: "[12]\n[12]\n"},
		{name: "all answers", args: []string{"request", "many", "", "--replies", "0", "--raw"}, stdout: "[12]\n[12]\n"},
		{name: "one answer too few", args: []string{"request", "many", "", "--replies", "3", "--raw"}, code: 1, stdout: "[12]\n[12]\n", stderr: "edgebus: 2 of 3 answers came in time; --timeout waits longer\n"},
		{name: "too slow", args: []string{"request", "slow", "x", "--timeout", "200ms", "--raw"}, code: 1, stderr: "edgebus: 0 of 1 answers came in time.*"},
		{name: "nobody", args: []string{"request", "nobody", "x", "--raw"}, code: 1, stderr: "edgebus: no responders: nobody listens on \"nobody\"\n"},
		{name: "repeated", args: []string{"request", "echo", "{{.Count}}", "--count", "3", "--raw"}, stdout: "1\n2\n3\n"},
		{name: "no way to answer", args: []string{"reply", "x"}, code: 2, stderr: "edgebus: reply takes a subject, and one of: .*"},
		{name: "two ways to answer", args: []string{"reply", "x", "body", "--echo"}, code: 2, stderr: "edgebus: reply takes .*"},
	}
	for _, s := range steps {
		s.run(t, b.url)
	}
}

func TestReplyByCommandNeverExecutesTheQuestion(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands below are for sh")
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatal("no sh on this machine")
	}
	b := startBus(t)
	start(t, edgebusBinary, "", nil, "reply", "count.*", "--command", `printf "$NATS_REQUEST_SUBJECT "; wc -c | tr -d ' '`, "-s", b.url).until("Listening on")
	failing := start(t, edgebusBinary, "", nil, "reply", "fails", "--command", "exit 3", "-s", b.url).until("Listening on")
	large := strings.Repeat("x", 300_000)
	for _, s := range []step{
		{name: "quoting", args: []string{"request", "count.a", "'; echo $(id) `id`", "--raw"}, stdout: "count.a 18\n"},
		{name: "large", stdin: large, args: []string{"request", "count.b", "--raw"}, stdout: "count.b 300000\n"},
		{name: "failing", args: []string{"request", "fails", "x", "--raw", "--timeout", "500ms"}, code: 1, stderr: ".*0 of 1 answers.*"},
	} {
		s.run(t, b.url)
	}
	failing.until(`command "exit 3": exit status 3`)
}

func TestMistakesOfToolsSayWhatToTry(t *testing.T) {
	b := startBus(t)
	steps := []step{
		{name: "no subject", args: []string{"pub"}, code: 2, stderr: "edgebus: pub takes a subject and a body; .*"},
		{name: "unquoted body", args: []string{"pub", "a", "b", "c"}, code: 2, stderr: "edgebus: .*needs quotes\n"},
		{name: "bad subject", args: []string{"pub", "a..b", "x"}, code: 1, stderr: `edgebus: client: subject "a..b": invalid subject` + "\n"},
		{name: "bad header", args: []string{"pub", "a", "x", "-H", "novalue"}, code: 2, stderr: `edgebus: header "novalue" is not of the form Name:value` + "\n"},
		{name: "too large", stdin: strings.Repeat("x", 2<<20), args: []string{"pub", "a"}, code: 1, stderr: `edgebus: client: publish to "a": message is larger than the server takes: the body has 2097152 bytes, and max_payload of the server is 1048576, headers included` + "\n"},
		{name: "no filter", args: []string{"sub"}, code: 2, stderr: "edgebus: sub takes one subject or more; quote wildcards.*"},
		{name: "bad filter", args: []string{"sub", "a.>.b"}, code: 1, stderr: "edgebus: .*invalid subject\n"},
		{name: "bad address", args: []string{"pub", "a", "x", "-s", "http://x"}, code: 1, stderr: "edgebus: bad server address: unknown scheme \"http\", use nats://\n"},
		{name: "nobody there", args: []string{"pub", "a", "x", "-s", "nats://127.0.0.1:1"}, code: 1, stderr: "edgebus: .*connection refused; is the bus running there\\?.*"},
		{name: "wildcard", args: []string{"pub", "a.*", "x"}, code: 2, stderr: `edgebus: a message goes to one subject, and "a.\*" has a wildcard: those are for sub` + "\n"},
		{name: "request of a wildcard", args: []string{"request", ">", "x"}, code: 2, stderr: `edgebus: a message goes to one subject.*`},
		{name: "bench of a wildcard", args: []string{"bench", "a.>"}, code: 2, stderr: `edgebus: a message goes to one subject.*`},
		{name: "no messages", args: []string{"pub", "a", "x", "--count", "-1"}, code: 2, stderr: "edgebus: --count must be above zero\n"},
		{name: "no value", args: []string{"pub", "a", "x", "--count"}, code: 2, stderr: `edgebus: --count needs a value behind it; try "edgebus pub --help"` + "\n"},
		{name: "no number", args: []string{"pub", "a", "x", "--count", "many"}, code: 2, stderr: `edgebus: --count wants a number and got "many"; try "edgebus pub --help"` + "\n"},
		{name: "no unit", args: []string{"sub", "a", "--timeout", "5"}, code: 2, stderr: `edgebus: --timeout wants a time with its unit, such as 500ms, 5s or 2m, and got "5"; .*`},
		{name: "bad time", args: []string{"sub", "a", "--timeout", "0s"}, code: 2, stderr: "edgebus: --timeout must be above zero\n"},
	}
	for _, s := range steps {
		s.run(t, b.url)
	}
}

func TestPermissionIsAnError(t *testing.T) {
	conf := file(t, "p.conf", `authorization { users: [ {user: a, password: a, permissions: {publish: "ok.>", subscribe: "ok.>"}} ] }`)
	b := startBus(t, "-c", conf)
	login := []string{"NATS_USER=a", "NATS_PASSWORD=a"}
	for _, s := range []step{
		{name: "publish", args: []string{"pub", "secret", "x"}, env: login, code: 1, stderr: `.*edgebus: .*Permissions Violation for Publish to "secret".*`},
		{name: "subscribe", args: []string{"sub", "secret"}, env: login, code: 1, stderr: `.*edgebus: .*Permissions Violation for Subscription to "secret".*`},
		{name: "allowed", args: []string{"pub", "ok.x", "x"}, env: login, stderr: ".*Published.*"},
	} {
		s.run(t, b.url)
	}
}

func TestCheckOfAConnection(t *testing.T) {
	b := startBus(t, "-n", "gateway")
	for _, s := range []step{
		{name: "there", args: []string{"check", "--connect"}, stdout: `connected to 127.0.0.1:\d+ \(gateway, NATS 2\S+\), round trip \S+s` + "\n"},
		{name: "too slow", args: []string{"check", "--connect", "--max-rtt", "1ns"}, code: 1, stdout: "connected.*", stderr: "edgebus: round trip \\S+ is above 1ns\n"},
		{name: "not there", args: []string{"check", "--connect", "-s", "127.0.0.1:1"}, code: 1, stderr: "edgebus: .*connection refused.*"},
	} {
		s.run(t, b.url)
	}
}

func TestCheckOfAFileWithoutHubsTriesItsServer(t *testing.T) {
	_, _, ports := startServer(t, "server_name: gateway")
	at := hostPort(t, ports["nats"])
	here := file(t, "here.conf", fmt.Sprintf("listen: %q", at))
	any := file(t, "any.conf", "port: -1")
	const elsewhere = "nats://127.0.0.1:1" // of the environment, which is not about the file
	for _, s := range []step{
		{name: "its port", args: []string{"check", "-c", here, "--connect"}, stdout: `.* is valid .*here\.conf names no hub under leafnodes: trying the server itself` + "\nconnected to " + regexp.QuoteMeta(at) + ` \(gateway, .*`},
		{name: "no port", args: []string{"check", "-c", any, "--connect"}, code: 1, stdout: ".* is valid .*", stderr: "edgebus: .*any.conf names no hub .* say with --server .*"},
		{name: "what is typed", args: []string{"check", "-c", any, "--connect", "-s", at}, stdout: ".*any.conf names no hub .*connected to .*gateway.*"},
	} {
		s.run(t, elsewhere)
	}
}

func TestAuthorityIsBelievedWhereTheURLAsksForTLS(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(300*24*time.Hour))
	b := startBus(t, "--tls", "--tlscert", cert, "--tlskey", key)
	_, host, _ := strings.Cut(b.url, "://")
	secure := "tls://" + host
	for _, server := range []string{"nats://" + host, secure} {
		if r := run(t, "", "pub", "-s", server, "--tlsca", cert, "a", "b"); r.code != 0 {
			t.Errorf("%s: %v", server, r)
		}
	}
	if r := run(t, "", "pub", "-s", secure, "a", "b"); r.code == 0 || !strings.Contains(r.stderr, "unknown authority") {
		t.Errorf("a certificate that nobody has signed is believed: %v", r)
	}
}

func TestPasswordHashLogsIn(t *testing.T) {
	r := run(t, "correct horse\n", "passwd", "--cost", "4")
	hash := strings.TrimSpace(r.stdout)
	if r.code != 0 || !regexp.MustCompile(`^\$2a\$04\$\S{53}$`).MatchString(hash) || r.stderr != "" {
		t.Fatal(r)
	}
	b := startBus(t, "-c", file(t, "h.conf", `authorization { user: ann, password: "`+hash+`" }`))
	for _, s := range []step{
		{name: "right", args: []string{"pub", "a", "x", "--user", "ann", "--password", "correct horse"}, stderr: ".*Published.*"},
		{name: "wrong", args: []string{"pub", "a", "x", "--user", "ann", "--password", "wrong"}, code: 1, stderr: ".*authorization violation.*"},
		{name: "generated", args: []string{"passwd", "--generate", "--cost", "4"}, stdout: `\$2a\$04\$\S{53}` + "\n", stderr: `password: \S{26}` + "\n"},
		{name: "empty", args: []string{"passwd"}, code: 1, stderr: "edgebus: the password is empty; --generate makes one up\n"},
		{name: "argument", args: []string{"passwd", "secret"}, code: 2, stderr: "edgebus: passwd takes no password as argument.*"},
		{name: "too long", stdin: strings.Repeat("x", 100), args: []string{"passwd"}, code: 1, stderr: "edgebus: .*72.*"},
		{name: "absurd cost", stdin: "x", args: []string{"passwd", "--cost", "99"}, code: 2, stderr: "edgebus: --cost is 99 and must be from 4 to 31.*"},
	} {
		s.run(t, b.url)
	}
}

func TestBench(t *testing.T) {
	b := startBus(t)
	latency := `latency +p50 \S+s  p90 \S+s  p99 \S+s  p99.9 \S+s  max \S+s\n`
	for _, s := range []step{
		{name: "plain", args: []string{"bench", "--msgs", "2000", "--size", "1k"}, stdout: `1 publisher, 1 subscriber, 2,000 messages of 1,024 bytes on bench\.\S+\n` +
			`published +[\d,]+ msgs/s +\S+ [KM]iB/s  in \S+s\n` + `received +[\d,]+ msgs/s +\S+ [KM]iB/s  in \S+s\n` + latency},
		{name: "many", args: []string{"bench", "x", "--msgs", "1000", "--pub", "3", "--sub", "2"}, stdout: `3 publishers, 2 subscribers, 1,000 messages of 128 bytes on x\n.*` + latency},
		{name: "queue", args: []string{"bench", "--msgs", "1000", "--sub", "3", "--queue", "q"}, stdout: ".*" + latency},
		{name: "only publish", args: []string{"bench", "--msgs", "1000", "--sub", "0"}, stdout: `1 publisher, 0 subscribers.*published [^\n]*\n`},
		{name: "no room for a time", args: []string{"bench", "--msgs", "100", "--size", "0"}, stdout: ".*latency +not measured: .*\n"},
		{name: "requests", args: []string{"bench", "--msgs", "300", "--request", "--pub", "2"}, stdout: `2 requesters, 1 responder.*answered +[\d,]+ msgs/s.*` + latency},
		{name: "paced", args: []string{"bench", "--msgs", "50", "--rate", "500"}, stdout: ".*published +\\d{3} msgs/s.*" + latency},
		{name: "too large", args: []string{"bench", "--size", "2m"}, code: 1, stderr: "edgebus: the bus takes bodies up to 1048576 bytes, --size asks for 2097152\n"},
		{name: "bad size", args: []string{"bench", "--size", "big"}, code: 2, stderr: `edgebus: size "big" is not .*`},
		{name: "requests to nobody", args: []string{"bench", "--request", "--sub", "0"}, code: 2, stderr: "edgebus: --request needs somebody who answers.*"},
	} {
		s.run(t, b.url)
	}
}
