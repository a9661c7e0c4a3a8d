package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestTableShowsTheNewestAndHowFastItGrows(t *testing.T) {
	table := newTable()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	send := func(second int, name, payload string) {
		now := at.Add(time.Duration(second) * time.Second)
		table.add("gateway.site."+name, fmt.Appendf(nil, payload, now.Format(time.RFC3339)), now)
	}
	send(0, "network.eth0.sent", `{"value":1000,"unit":"bytes","at":"%s"}`)
	send(0, "temperature.cpu", `{"value":48.26,"unit":"°C","at":"%s"}`)
	send(2, "network.eth0.sent", `{"value":5096,"unit":"bytes","at":"%s"}`)
	send(2, "load.1m", `{"value":0.5,"at":"%s"}`)
	table.add("gateway.site.other", []byte("hello"), at)

	got := table.render("connected", at.Add(3*time.Second))
	want := `gateway readings, connected, 4 messages, 1 that were no readings

READING                                           VALUE         CHANGE      AGE
site.load.1m                                       0.50                   1.0 s
site.network.eth0.sent                          5.0 KiB     +2.0 KiB/s    1.0 s
site.temperature.cpu                            48.3 °C                   3.0 s
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTableIsBounded(t *testing.T) {
	table := newTable()
	for i := range maxRows + 10 {
		table.add(fmt.Sprintf("gateway.x.%d", i), []byte(`{"value":1}`), time.Time{})
	}
	if len(table.rows) != maxRows || table.strange != 10 {
		t.Errorf("%d rows, %d left out; want %d and 10", len(table.rows), table.strange, maxRows)
	}
	table.add("gateway.x.0", []byte(`{"value":7}`), time.Time{})
	if table.rows["x.0"].Value != 7 {
		t.Error("a full table no longer updates what it knows")
	}
}

func TestStrangersCannotSteerTheTerminal(t *testing.T) {
	table := newTable()
	table.add("gateway.\x1b[2J", []byte(`{"value":1,"unit":"\u001b]0;x\u0007"}`), time.Time{})
	if text := table.render("", time.Time{}); strings.ContainsAny(text, "\x1b\x07") {
		t.Errorf("%q", text)
	}
}

func TestBytesText(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 24684084 * 1024: "23.5 GiB", 1 << 60: "1048576.0 TiB",
	} {
		if got := bytesText(v); got != want {
			t.Errorf("bytesText(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestWatchWithoutAServerEndsInTimeAndSaysSo(t *testing.T) {
	var out strings.Builder
	args := []string{"watch", "-server", "nats://127.0.0.1:1", "-seconds", "1", "-interval", "100ms"}
	err := run(context.Background(), args, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no reading arrived") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "waiting for the server") {
		t.Errorf("out: %s", out.String())
	}
}

func TestWrongCommandLinesAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{nil, {"listen"}, {"publish", "now"}, {"watch", "-interval", "0s"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want usage", args, err)
		}
	}
}
