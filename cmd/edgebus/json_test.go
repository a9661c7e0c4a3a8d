package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// asJSON runs a command that prints one value and reads it.
func asJSON[T any](t *testing.T, code int, args ...string) (value T) {
	t.Helper()
	r := run(t, "", append(args, "--json")...)
	if err := json.Unmarshal([]byte(r.stdout), &value); err != nil || r.code != code {
		t.Fatalf("%q: %v: %v", args, err, r)
	}
	return value
}

func TestMessagesAsJSONAreALineEach(t *testing.T) {
	b := startBus(t)
	sub := start(t, edgebusBinary, "", nil, "sub", "j.>", "-s", b.url, "--count", "2", "--json")
	start(t, edgebusBinary, "", nil, "reply", "j.ask", "<{{.Request}}>", "-H", "K: v", "-s", b.url).until("Listening on")
	bodies := start(t, edgebusBinary, "", nil, "sub", "j.>", "-s", b.url, "--count", "2").until("Subscribing on")
	// The first subscriber says nothing of it when it listens, so that it is asked until it does.
	for ended := false; !ended; {
		run(t, "\xff\x00", "pub", "j.bytes", "--reply", "back", "-H", "A: b", "-s", b.url)
		select {
		case <-sub.ended:
			ended = true
		default:
		}
	}
	bodies.wait()
	lines := strings.Split(strings.TrimSuffix(sub.wait().stdout, "\n"), "\n")
	var m messageLine
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &m) != nil {
		t.Fatalf("%q", lines)
	}
	if m.Number != 2 || m.Subject != "j.bytes" || m.Reply != "back" || m.Header.Get("A") != "b" || m.Data != nil || string(m.Base64) != "\xff\x00" || m.Time.IsZero() {
		t.Errorf("%+v", m)
	}
	answer := asJSON[messageLine](t, 0, "request", "j.ask", "text", "-s", b.url)
	if answer.Data == nil || *answer.Data != "<text>" || answer.Header.Get("K") != "v" || answer.RTT <= 0 || answer.Number != 1 {
		t.Errorf("%+v", answer)
	}
}

func TestBenchAsJSON(t *testing.T) {
	url := startBus(t).url
	r := asJSON[benchResult](t, 0, "bench", "x", "--msgs", "500", "--pub", "2", "-s", url)
	if r.Subject != "x" || r.Publishers != 2 || r.Published.Msgs != 500 || r.Received.Msgs != 500 || r.Received.Rate <= 0 || r.Lost != 0 || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 {
		t.Errorf("%+v", r)
	}
	r = asJSON[benchResult](t, 0, "bench", "x", "--msgs", "50", "--request", "-s", url)
	if !r.Request || r.Published != nil || r.Received.Msgs != 50 || r.Latency == nil {
		t.Errorf("%+v", r)
	}
}

func TestCheckAsJSON(t *testing.T) {
	good, bad := file(t, "good.conf", "port: -1\ncluster { port: 1 }\n"), file(t, "bad.conf", "port: -1\nprot: 1\ncluster { port: 1 }\n")
	r := asJSON[checkResult](t, 0, "check", "-c", good)
	if r.File != good || !*r.Valid || r.Digest == "" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "good.conf:2:") || r.Errors != nil {
		t.Errorf("%+v", r)
	}
	r = asJSON[checkResult](t, 1, "check", "-c", bad)
	if *r.Valid || len(r.Errors) != 1 || !strings.Contains(r.Errors[0], "bad.conf:2:1") || len(r.Warnings) != 1 || strings.Contains(r.Warnings[0], "warning") {
		t.Errorf("%+v", r)
	}
	r = asJSON[checkResult](t, 0, "check", "--connect", "-s", startBus(t, "-n", "gateway").url)
	if r.Valid != nil || r.Bus.Name != "gateway" || r.Bus.RTT <= 0 {
		t.Errorf("%+v", r)
	}
	hubs := file(t, "hubs.conf", `leafnodes { remotes: [ { url: "nats-leaf://127.0.0.1:1" } ] }`)
	r = asJSON[checkResult](t, 1, "check", "--connect", "-c", hubs)
	if len(r.Hubs) != 1 || r.Hubs[0].Up || r.Hubs[0].Reason == "" || r.Hubs[0].Remedy == "" {
		t.Errorf("%+v", r)
	}
}

func TestVersionAsJSON(t *testing.T) {
	if v := asJSON[map[string]string](t, 0, "version"); v["version"] != "v1.2.3" || v["go"] == "" || v["os"] == "" || v["arch"] == "" {
		t.Errorf("%v", v)
	}
}
